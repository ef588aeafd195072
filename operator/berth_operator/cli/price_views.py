"""Prices as pages and as Markdown: what they come to, one line an offer, and what to do next."""

from collections.abc import Sequence
from decimal import Decimal

from berth_cost.prices.diff import GPUPriceChange, PriceChange, PriceDiff
from berth_cost.prices.offers import LeftOut, Offer, RankedOffer
from berth_operator.cli.output import Column, Page, cell
from berth_operator.cli.plan_view import markdown_row
from berth_operator.cli.price_records import PriceComparison, PriceExplanation, PriceList, Refreshed
from berth_scheduler.wording import plural

NOTHING = "–"
OFFER_COLUMNS = (
    Column("CLOUD", least=6),
    Column("REGION", least=8),
    Column("INSTANCE TYPE", least=12),
    Column("GPU", least=10),
    Column("BOUGHT"),
    Column("NODE", right=True),
    Column("GPU-HOUR", right=True),
    Column("AS OF"),
)
"""``BOUGHT`` is capacity type and term in one word."""


def usd(amount: Decimal | None) -> str:
    """$3.90, $0.526, $0.0001234: at least two decimals; below a dollar four significant digits."""
    if amount is None:
        return NOTHING
    if amount >= 1:
        return f"${amount:,.2f}"
    digits = f"{Decimal(f'{amount:.4g}').normalize():f}"
    return f"${digits}" if len(digits.partition(".")[2]) >= 2 else f"${amount:.2f}"


def percent(share: Decimal | None) -> str:
    if share is None:
        return NOTHING
    return f"{'+' if share > 0 else '−' if share < 0 else ''}{abs(share):.3g} %"


def gpus(offer: Offer) -> str:
    """``8 × H100-SXM-80GB``, ``1/6 × A10``."""
    if offer.gpu is None:
        return NOTHING
    return offer.gpu if offer.gpu_count == "1" else f"{offer.gpu_count} × {offer.gpu}"


def _place(offer: Offer | PriceChange) -> str:
    return offer.zone or offer.region


def _as_of(offer: Offer) -> str:
    return f"{offer.date}{' old' if offer.old else ' to come' if offer.to_come else ''}"


def _cells(offer: Offer) -> tuple[str, ...]:
    return (
        offer.cloud,
        _place(offer),
        offer.instance_type,
        gpus(offer),
        offer.bought,
        usd(offer.usd_per_hour),
        usd(offer.usd_per_gpu_hour),
        _as_of(offer),
    )


def _table(page: Page, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    page.gap()
    page.table(columns, [tuple(cell(text) for text in row) for row in rows])


def _markdown_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [markdown_row(*(column.header.lower() for column in columns))]
    lines.append("|" + "|".join("---:" if column.right else "---" for column in columns) + "|")
    return [*lines, *(markdown_row(*row) for row in rows)]


# --- list ----------------------------------------------------------------------------------------------------------


def list_headline(found: PriceList) -> str:
    """``28 prices of 3 clouds in 9 regions, 4 of them old.``"""
    if not found.offers:
        return "No price is like that: widen the filters."
    clouds = len({offer.cloud for offer in found.offers})
    regions = len({(offer.cloud, offer.region) for offer in found.offers})
    old = sum(offer.old for offer in found.offers)
    where = f"of {plural(clouds, 'cloud')} in {plural(regions, 'region')}"
    to_come = sum(offer.to_come for offer in found.offers)
    ages = f"{f', {old} of them old' if old else ''}{f', {to_come} dated in the future' if to_come else ''}"
    return f"{plural(len(found.offers), 'price')} {where}{ages}. US dollars an hour."


def show_list(page: Page, found: PriceList, limit: int, *, flagged_only: bool) -> None:
    if not flagged_only:
        page.sentence(list_headline(found), "bold")
        shown = found.offers[:limit] if limit else found.offers
        if shown:
            _table(page, OFFER_COLUMNS, [_cells(offer) for offer in shown])
        if len(shown) < len(found.offers):
            page.gap()
            page.sentence(f"{len(found.offers) - len(shown)} more: narrow it, or --limit 0", "dim")
    _show_flagged(page, found, always=flagged_only)


def _show_flagged(page: Page, found: PriceList, *, always: bool) -> None:
    if not found.flagged:
        if always:
            page.sentence("No price looks wrong.", "bold")
        return
    page.gap()
    page.sentence(f"{plural(len(found.flagged), 'price')} not used because it looks wrong:", "yellow")
    for one in found.flagged:
        offer = one.offer
        place = f"{offer.file}:{offer.line}" if offer.line else offer.file or "built-in"
        what = f"{offer.cloud} {_place(offer)} {offer.instance_type} {offer.bought} {usd(offer.usd_per_hour)}"
        page.sentence(f"{place}: {what}: {one.flag}: {one.message}", indent="  ", first="  ")
    page.sentence("Correct it, or state `accept: [FLAG]` in its row if it is right.", "dim")


def list_markdown(found: PriceList) -> str:
    lines = [f"**{list_headline(found)}**", "", *_markdown_table(OFFER_COLUMNS, [_cells(one) for one in found.offers])]
    for one in found.flagged:
        lines += ["", f"- not used: {one.offer.cloud} {_place(one.offer)} {one.offer.instance_type}: {one.message}"]
    return "\n".join(lines) + "\n"


# --- compare -------------------------------------------------------------------------------------------------------


def _compare_columns(found: PriceComparison) -> tuple[Column, ...]:
    """What serves a workload is a sentence: where it has to be cut, everything else stays whole."""
    served = found.per == "requests"
    return (
        Column("#", right=True),
        Column("PRICE", right=True),
        Column("CLOUD", least=None if served else 6),
        Column("REGION", least=None if served else 8),
        Column("INSTANCE TYPE", least=None if served else 12),
        Column("SERVED BY" if served else "GPU", least=10 if served else 12),
        Column("BOUGHT"),
        Column("NODE", right=True),
        Column("AS OF"),
    )


def _compared(found: PriceComparison, one: RankedOffer) -> tuple[str, ...]:
    offer = one.offer
    what = one.detail or NOTHING if found.per == "requests" else gpus(offer)
    place = (offer.cloud, _place(offer), offer.instance_type)
    return (str(one.rank), usd(one.usd_per_unit), *place, what, offer.bought, usd(offer.usd_per_hour), _as_of(offer))


def compare_headline(found: PriceComparison) -> str:
    if not found.ranked:
        return f"Nothing can be compared per {found.unit}."
    best = found.ranked[0]
    where = f"{best.offer.cloud} {_place(best.offer)} {best.offer.instance_type}"
    how = {"OnDemand": "on demand", "Spot": "spot", "OneYear": "for a year", "ThreeYears": "for three years"}
    return f"The cheapest {found.unit} is {usd(best.usd_per_unit)}: {where}, {how[best.offer.bought]}."


def show_comparison(page: Page, found: PriceComparison, limit: int) -> None:
    page.sentence(compare_headline(found), "bold")
    shown = found.ranked[:limit] if limit else found.ranked
    if shown:
        _table(page, _compare_columns(found), [_compared(found, one) for one in shown])
        page.gap()
        page.sentence("Each kind of node at its cheapest place.", "dim")
    if len(shown) < len(found.ranked):
        page.sentence(f"{len(found.ranked) - len(shown)} more: narrow it, or --limit 0", "dim")
    _show_left_out(page, found.left_out)


def _show_left_out(page: Page, left_out: Sequence[LeftOut]) -> None:
    if left_out:
        page.gap()
    for one in sorted(left_out, key=lambda one: (-one.offers, one.reason))[:8]:
        page.sentence(f"{plural(one.offers, 'price')} left out: {one.reason}", "dim", indent="  ", first="")
    if len(left_out) > 8:
        page.sentence(f"{len(left_out) - 8} more reasons: -o json has them all", "dim")


def comparison_markdown(found: PriceComparison) -> str:
    rows = [_compared(found, one) for one in found.ranked]
    lines = [f"**{compare_headline(found)}**", "", *_markdown_table(_compare_columns(found), rows)]
    return "\n".join([*lines, *(f"\n- {one.offers} left out: {one.reason}" for one in found.left_out)]) + "\n"


# --- explain -------------------------------------------------------------------------------------------------------


def explanation_lines(found: PriceExplanation) -> list[tuple[str, str]]:
    """Name and value of everything there is to say about a price."""
    offer = found.offer
    if offer is None:
        return []
    lines = [("source", f"{offer.source}"), ("as of", _age(offer, refused=found.refused))]
    if offer.file:
        lines.append(("from", f"{offer.file}:{offer.line}" if offer.line else offer.file))
    else:
        lines.append(("from", "the built-in book"))
    if found.replaces is not None:
        before = found.replaces
        lines.append(("replaces", f"{usd(before.usd_per_hour)} of {before.date}, {before.source}"))
    if offer.usd_per_gpu_hour is not None:
        lines.append(("per GPU", f"{usd(offer.usd_per_gpu_hour)} for each of {offer.gpu_count} × {offer.gpu}"))
    if found.market is not None:
        market = found.market
        low, high = usd(market.usd_per_gpu_hour_low), usd(market.usd_per_gpu_hour_high).removeprefix("$")
        middle = usd(market.usd_per_gpu_hour_median)
        lines.append(("elsewhere", f"{low}–{high} a GPU on demand, median {middle}, {market.offers} offers"))
    for other in found.others:
        lines.append((other.bought, f"{usd(other.usd_per_hour)} as of {_as_of(other)}, {other.source}"))
    return lines


def _age(offer: Offer, *, refused: bool) -> str:
    if offer.age_days < 0:
        return f"{offer.date}: in the future, so its date is wrong"
    text = f"{offer.date}, {plural(offer.age_days, 'day')} ago"
    if refused:
        return f"{text}: too old, no plan uses it"
    if offer.to_come:
        return f"{text}: in the future; correct the date, or it never grows old"
    if offer.old and offer.usd_per_hour_low is not None:
        low, high = usd(offer.usd_per_hour_low), usd(offer.usd_per_hour_high).removeprefix("$")
        return f"{text}: old, it may be {low}–{high} by now"
    return text


def show_explanation(page: Page, found: PriceExplanation) -> None:
    page.sentence(found.message, "bold")
    lines = explanation_lines(found)
    if lines:
        page.gap()
        width = max(len(name) for name, _ in lines) + 2
        for name, value in lines:
            page.sentence(value, indent=" " * width, first=name.ljust(width))


def explanation_markdown(found: PriceExplanation) -> str:
    return (
        "\n".join([f"**{found.message}**", "", *(f"- {name}: {value}" for name, value in explanation_lines(found))])
        + "\n"
    )


# --- diff ----------------------------------------------------------------------------------------------------------

CHANGE_COLUMNS = (
    Column("CLOUD", least=6),
    Column("REGION", least=8),
    Column("INSTANCE TYPE", least=12),
    Column("BOUGHT"),
    Column("BEFORE", right=True),
    Column("AFTER", right=True),
    Column("", right=True),
    Column("AS OF"),
)
GPU_COLUMNS = (
    Column("GPU", least=10),
    Column("OFFERS", right=True),
    Column("IN BOTH", right=True),
    Column("MEDIAN", right=True),
    Column("ALL OFFERS", right=True),
    Column("LIKE FOR LIKE", right=True),
    Column("", least=10),
)


def diff_headline(found: PriceDiff) -> str:
    parts = [f"{len(found.changed)} changed", f"{len(found.added)} new", f"{len(found.removed)} gone"]
    parts += [f"{found.flagged} flagged and not used"] if found.flagged else []
    return f"{found.before} → {found.after}: {', '.join(parts)}, {found.unchanged} unchanged."


def _change_cells(one: PriceChange) -> tuple[str, ...]:
    before, after = usd(one.usd_per_hour_before), usd(one.usd_per_hour_after)
    place = (one.cloud, _place(one), one.instance_type, one.bought)
    return (*place, before, after, percent(one.percent) if one.percent is not None else "", str(one.date))


def _gpu_cells(one: GPUPriceChange) -> tuple[str, ...]:
    remark = "other offers, not other prices" if one.panel_changed else ""
    offers = f"{one.offers_before} → {one.offers_after}"
    medians = f"{usd(one.median_before)} → {usd(one.median_after)}"
    return (
        one.gpu,
        offers,
        str(one.offers_in_both),
        medians,
        percent(one.percent),
        percent(one.like_for_like_percent),
        remark,
    )


def show_diff(page: Page, found: PriceDiff, limit: int) -> None:
    page.sentence(diff_headline(found), "bold")
    rows = [_change_cells(one) for one in (*found.changed, *found.added, *found.removed)]
    shown = rows[:limit] if limit else rows
    if shown:
        _table(page, CHANGE_COLUMNS, shown)
    if len(shown) < len(rows):
        page.sentence(f"{len(rows) - len(shown)} more: --limit 0", "dim")
    if found.gpus:
        _table(page, GPU_COLUMNS, [_gpu_cells(one) for one in found.gpus])


def diff_markdown(found: PriceDiff) -> str:
    rows = [_change_cells(one) for one in (*found.changed, *found.added, *found.removed)]
    lines = [f"**{diff_headline(found)}**", "", *_markdown_table(CHANGE_COLUMNS, rows)]
    if found.gpus:
        lines += ["", *_markdown_table(GPU_COLUMNS, [_gpu_cells(one) for one in found.gpus])]
    return "\n".join(lines) + "\n"


# --- refresh -------------------------------------------------------------------------------------------------------


def show_refreshed(page: Page, found: Refreshed) -> None:
    counts = f"{found.added} new, {found.changed} changed, {found.unchanged} as before"
    page.sentence(f"{found.file}: {plural(found.rows, 'price')} from {found.source}: {counts}.", "bold")
    if found.flagged:
        look = f"berth prices list --flagged --prices {found.file}"
        page.sentence(f"{found.flagged} look wrong and will not be used: {look}", "yellow")
    _show_left_out(page, found.skipped)
    page.gap()
    page.sentence(f"What changed: berth prices diff built-in {found.file}", "dim")


def refreshed_markdown(found: Refreshed) -> str:
    counts = f"{found.added} new, {found.changed} changed, {found.unchanged} as before, {found.flagged} flagged"
    return f"**{found.file}: {found.rows} prices from {found.source}: {counts}.**\n"
