"""A cost comparison as a page and as Markdown: what it costs, against what, why, and what would change that."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich.text import Text

from berth_cost.ownership.comparison import COMPARED, Comparison, OptionResult
from berth_cost.ownership.sensitivity import InputSensitivity, Percentiles
from berth_operator.cli.columns import NOTHING
from berth_operator.cli.output import Column, Page, cell
from berth_operator.cli.plan_view import markdown_row
from berth_scheduler.wording import number, plural

AGAINST_BASELINE = frozenset(COMPARED.values())
MOST_COLUMNS, LONGEST_NAME = 5, 14
"""Of options side by side, and of their names there."""
MOST_INPUTS = 12
"""Rows of the sensitivity table; -o json has them all."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table for either medium; the first column is left-aligned, all others right."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def headline(result: Comparison) -> str:
    """``owned is the cheapest of 2 options: $2,648,681 over 48 months, $490,903 (16 %) less than rented, …``"""
    best = next(option for option in result.options if option.name == result.cheapest)
    over = f"{money(best.total_usd)} over {plural(result.horizon_months, 'month')}"
    if len(result.options) == 1:
        return f"{best.name}: {over}."
    if best.saving_usd is None:
        second = min(option.total_usd for option in result.options if option.name != best.name)
        less = f"{money(second - best.total_usd)} less than the next"
        return f"{best.name}, the baseline, is the cheapest of {len(result.options)} options: {over}, {less}."
    base = best.total_usd + best.saving_usd
    share = f" ({number(float(best.saving_usd / base * 100), 2)} %)" if base else ""
    text = (
        f"{best.name} is the cheapest of {len(result.options)} options: {over}, {money(best.saving_usd)}{share} less"
        f" than {result.baseline}, the baseline."
    )
    if best.npv_usd is None or best.npv_usd >= 0 or result.discount_rate_percent is None:
        return text
    rate = _plain(result.discount_rate_percent)
    return f"{text} At {rate} % a year it is no investment all the same: its NPV is {money(best.npv_usd)}."


def assumptions(result: Comparison) -> str:
    demand = result.demand
    rate = result.discount_rate_percent
    parts = [
        f"{_plain(demand.gpus)} GPU{'' if demand.gpus == 1 else 's'}, {_plain(demand.utilization_percent)} % used",
        f"{_plain(result.hours_per_month)} hours a month",
        "not discounted" if rate is None else f"discounted at {_plain(rate)} % a year, {result.compounding}",
    ]
    sized = f" Sized from {demand.sized_from}." if demand.sized_from else ""
    return f"{'; '.join(parts)}.{sized}"


def show_cost_comparison(page: Page, result: Comparison, file: str) -> None:
    page.sentence(headline(result), "bold")
    page.sentence(assumptions(result))
    for table in tables(result):
        page.gap()
        if table.title:
            page.sentence(table.title, "bold")
        columns = [
            Column(header, right=at > 0, least=16 if not at else None) for at, header in enumerate(table.headers)
        ]
        page.table(columns, [_styled(row) for row in table.rows])
        if table.note:
            page.sentence(table.note, "dim")
    _show_lines(page, "Looks wrong (used as stated)", flag_lines(result), "yellow")
    _show_lines(page, "Not in the tables", reason_lines(result), "")
    _show_lines(page, "Sources", source_lines(result), "dim")
    if result.distribution is None and len(result.options) > 1:
        page.gap()
        page.sentence(f"How sure is that: berth cost compare {file} --draws 10000 --seed 1", "dim")


def _styled(row: tuple[str, ...]) -> tuple[Text, ...]:
    return (cell(row[0], "bold"), *(cell(text) for text in row[1:]))


def _show_lines(page: Page, title: str, lines: Sequence[str], style: str) -> None:
    if not lines:
        return
    page.gap()
    page.sentence(title, "bold")
    for line in lines:
        page.sentence(line, style, indent="    ", first="  ")


def cost_comparison_markdown(result: Comparison) -> str:
    """For a decision paper or a pull request."""
    lines = [f"**{headline(result)}**", "", assumptions(result)]
    for table in tables(result):
        lines += ["", f"{table.title or 'Cost'}", "", markdown_row(*table.headers)]
        lines += [f"|---|{'---:|' * (len(table.headers) - 1)}", *(markdown_row(*row) for row in table.rows)]
        lines += ["", table.note] if table.note else []
    for title, found in (
        ("Looks wrong (used as stated)", flag_lines(result)),
        ("Not in the tables", reason_lines(result)),
        ("Sources", source_lines(result)),
    ):
        lines += ["", title, "", *(f"- {line}" for line in found)] if found else []
    return "\n".join(lines) + "\n"


# --- tables ------------------------------------------------------------------------------------------------------


def tables(result: Comparison) -> Iterator[Table]:
    yield _costs(result)
    if len(result.options) > 1:
        yield _investment(result)
    yield from _breakdown(result)
    if result.sensitivity:
        yield _sensitivity(result)
    if result.distribution is not None:
        yield _distribution(result)
    if result.scaling is not None:
        yield from _scaling(result)


def _costs(result: Comparison) -> Table:
    tokens = any(option.per_million_tokens_usd is not None for option in result.options)
    energy = any(option.k_wh is not None for option in result.options)
    columns: list[tuple[str, Callable[[OptionResult], str]]] = [
        ("TOTAL", lambda option: money(option.total_usd)),
        ("A MONTH", lambda option: money(option.per_month_usd)),
        ("GPU-H", lambda option: price(option.per_gpu_hour_provisioned_usd)),
        ("USED GPU-H", lambda option: price(option.per_gpu_hour_used_usd)),
        ("LEVELIZED", lambda option: price(option.levelized_usd_per_gpu_hour)),
    ]
    if tokens:
        columns.append(("1M TOKENS", lambda option: price(option.per_million_tokens_usd)))
    if energy:
        columns.append(("MWH", lambda option: NOTHING if option.k_wh is None else f"{option.k_wh / 1000:,.4g}"))
        columns.append(("T CO2E", lambda option: _number(option.t_co2e)))
    rows = tuple(
        (
            f"{option.name}{' (baseline)' if option.name == result.baseline else ''}",
            *(show(option) for _, show in columns),
        )
        for option in result.options
    )
    note = "LEVELIZED: a used GPU-hour with the cost of capital." if result.discount_rate_percent is not None else ""
    return Table("", ("OPTION", *(name for name, _ in columns)), rows, note)


def _investment(result: Comparison) -> Table:
    rows = tuple(
        (
            option.name,
            money(option.up_front_usd),
            money(option.saving_usd),
            money(option.npv_usd),
            percent(option.irr_percent),
            percent(option.roi_percent),
            _months(option.payback_months),
            _number(option.break_even_hours),
            percent(option.break_even_utilization_percent),
        )
        for option in result.options
        if option.name != result.baseline
    )
    headers = ("OPTION", "UP FRONT", "SAVES", "NPV", "IRR", "ROI", "PAYBACK", "BREAK-EVEN H", "AT USE")
    return Table(f"Against {result.baseline}", headers, rows)


def _breakdown(result: Comparison) -> Iterator[Table]:
    """A few options a table, as many as have room."""
    names = list(dict.fromkeys(name for option in result.options for name in option.breakdown_usd))
    for start in range(0, len(result.options), MOST_COLUMNS):
        shown = result.options[start : start + MOST_COLUMNS]
        rows = [(name, *(money(option.breakdown_usd.get(name)) for option in shown)) for name in names]
        rows.append(("total", *(money(option.total_usd) for option in shown)))
        title = "Where the money goes" if not start else "Where the money goes, continued"
        yield Table(title, ("ITEM", *(_heading(option.name) for option in shown)), tuple(rows))


def _sensitivity(result: Comparison) -> Table:
    # The winner's saving; where the baseline wins, that of the next best.
    shown = min((one for one in result.options if one.name != result.baseline), key=lambda one: one.total_usd).name
    telling = [row for row in result.sensitivity if _moves(row, shown) or row.flips_at is not None]
    telling.sort(key=lambda row: -_moves(row, shown))
    rows = tuple(_sensitivity_row(row, shown) for row in telling[:MOST_INPUTS])
    more = len(result.sensitivity) - len(rows)
    note = f"Saving of {shown} against {result.baseline}. * = assumed ±10 %, no source for inputs of the kind."
    note += " FLIPS AT: another option becomes the cheapest."
    note += f" {more} more inputs: -o json." if more > 0 else ""
    headers = ("INPUT", "STATED", "FROM", "TO", "SAVES AT FROM", "AT TO", "FLIPS AT")
    return Table("What would change the answer, one input at a time", headers, rows, note)


def _moves(row: InputSensitivity, shown: str) -> Decimal:
    saving = next(option for option in row.options if option.name == shown)
    return abs(saving.saving_usd_at_high - saving.saving_usd_at_low)


def _sensitivity_row(row: InputSensitivity, shown: str) -> tuple[str, ...]:
    saving = next(option for option in row.options if option.name == shown)
    return (
        f"{row.input}{'*' if row.assumed else ''}",
        _number(float(row.base)),
        _number(float(row.low)),
        _number(float(row.high)),
        money(saving.saving_usd_at_low),
        money(saving.saving_usd_at_high),
        NOTHING if row.flips_at is None else _number(row.flips_at),
    )


def _distribution(result: Comparison) -> Table:
    assert result.distribution is not None
    rows = []
    for option in result.distribution.options:
        cheapest = f"{option.cheapest_percent:.3g} %"
        rows.append((f"{_shortened(option.name)}: total", *_five(option.total_usd, money), cheapest))
        if option.saving_usd is not None:
            rows.append(("  saving", *_five(option.saving_usd, money), f"saves {option.saves_percent:.3g} %"))
        if option.npv_usd is not None:
            rows.append(("  NPV", *_five(option.npv_usd, money), ""))
    title = f"All inputs at once: {result.distribution.draws:,} draws, seed {result.distribution.seed}"
    headers = ("OPTION", "5 %", "25 %", "MEDIAN", "75 %", "95 %", "CHEAPEST IN")
    return Table(title, headers, tuple(rows))


def _five(found: Percentiles, show: Callable[[Decimal], str]) -> tuple[str, ...]:
    return tuple(show(value) for value in (found.p5, found.p25, found.p50, found.p75, found.p95))


def _scaling(result: Comparison) -> Iterator[Table]:
    assert result.scaling is not None
    by_tokens = result.scaling.rows[0].per_million_tokens_usd is not None
    unit = "$ per million tokens" if by_tokens else "$ per used GPU-hour"
    stages = "; ".join(
        f"{stage.cheapest} {_stretch(stage.from_gpus, stage.to_gpus)}" for stage in result.scaling.stages[:8]
    )
    more = len(result.scaling.stages) - 8
    stages += f"; … {more} more stretches: -o json" if more > 0 else ""
    for start in range(0, len(result.options), MOST_COLUMNS):
        names = [option.name for option in result.options[start : start + MOST_COLUMNS]]
        rows = tuple(
            (
                f"{row.gpus:,}",
                *([_number(row.tokens_per_second)] if by_tokens else []),
                *(price((row.per_million_tokens_usd or row.per_gpu_hour_used_usd)[name]) for name in names),
                _shortened(row.cheapest),
            )
            for row in result.scaling.rows
        )
        headers = ("GPUS", *(["TOKENS/S"] if by_tokens else []), *(_heading(name) for name in names), "CHEAPEST")
        last = start + MOST_COLUMNS >= len(result.options)
        yield Table(f"By size, {unit}", headers, rows, f"Cheapest: {stages}." if last else "")


def _heading(name: str) -> str:
    return _shortened(name).upper()


def _shortened(name: str) -> str:
    """Beginning and end of a long name: the ends are where names of a kind differ."""
    return name if len(name) <= LONGEST_NAME else f"{name[:5]}…{name[-8:]}"


def _stretch(start: int, end: int) -> str:
    return f"at {start:,}" if start == end else f"from {start:,} to {end:,} GPUs"


# --- lines -------------------------------------------------------------------------------------------------------


def flag_lines(result: Comparison) -> list[str]:
    return [f"{flag.input}: {flag.message}" for flag in result.flags]


def reason_lines(result: Comparison) -> list[str]:
    """Why cells are empty, or what to know about them; what goes without saying is left to -o json."""
    energy = any(option.k_wh is not None for option in result.options)
    why: dict[tuple[str, ...], list[str]] = {}
    for option in result.options:
        fields: dict[str, list[str]] = {}
        for field, reason in option.reasons.items():
            compared = option.name == result.baseline and option.saving_usd is None and field in AGAINST_BASELINE
            if not compared and (energy or field not in ("kWh", "tCO2e")):
                fields.setdefault(reason, []).append(field)
        for reason, named in fields.items():
            why.setdefault((reason, *named), []).append(option.name)
    return [f"{', '.join(options)}: {', '.join(fields)}: {reason}" for (reason, *fields), options in why.items()]


def source_lines(result: Comparison) -> list[str]:
    return [f"{option.name}: {source}" for option in result.options for source in option.sources]


# --- cells -------------------------------------------------------------------------------------------------------


def money(usd: Decimal | None) -> str:
    """``$2,648,681``, ``−$9,440``, ``$12.50``"""
    if usd is None:
        return NOTHING
    sign, size = ("−" if usd < 0 else ""), abs(usd)
    return f"{sign}${size:,.0f}" if size >= 1000 else f"{sign}${size:,.2f}"


def price(usd: Decimal | None) -> str:
    """``$1.69``; below ten cents with three digits that count: ``$0.0324``"""
    if usd is None:
        return NOTHING
    return f"${usd:,.2f}" if abs(usd) >= Decimal("0.1") or not usd else f"${usd:.3g}"


def percent(value: float | None) -> str:
    if value is None:
        return NOTHING
    return (f"{value:,.3g} %" if abs(value) < 999.5 else f"{value:,.0f} %").replace("-", "−")


def _months(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.3g} mo" if value < 1000 else f"{value:,.0f} mo"


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
