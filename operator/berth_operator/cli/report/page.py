"""The page of a report: one HTML document that loads nothing. Every name in it is a stranger's and is escaped."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from html import escape
from string import Template
from typing import NamedTuple

from berth_cost.prices.age import PriceAge
from berth_operator.cli import columns
from berth_operator.cli.plan_view import headline
from berth_operator.cli.report.risks import evidence_of, risks_of
from berth_operator.cli.report.style import STYLE
from berth_scheduler.decision import Plan
from berth_scheduler.savings.comparison import NOTHING_RUNS
from berth_scheduler.savings.saving import Baseline, Factor, Saving, SavingTotal
from berth_scheduler.savings.words import BASELINES, FACTORS, saving_of
from berth_scheduler.snapshot import Pool, Snapshot
from berth_scheduler.wording import BOUGHT, berths_phrase, dollars, number, plural

SHORT_NAMES = {Baseline.RUNNING: "what runs now", Baseline.CONVENTIONAL: "the usual"}
MOST_BARS = 20
"""Workloads in a picture; the table has them all."""

WORD_JOINER = "\u2060"


class Picture(NamedTuple):
    """``alt`` says in words what it shows."""

    name: str
    title: str
    alt: str
    svg: str


def page(plan: Plan, snapshot: Snapshot, pictures: Sequence[Picture]) -> str:
    """The document. Equal input gives equal bytes."""
    drawn = {picture.name: _figure(picture) for picture in pictures}
    return _PAGE.substitute(
        style=STYLE,
        time=f"{plan.time:%Y-%m-%d %H:%M} UTC",
        datetime=plan.time.isoformat(),
        headline=_text(headline(plan, snapshot)),
        cards="\n".join(_cards(plan, snapshot)),
        sources="\n".join(_sources(total, snapshot, drawn) for total in plan.totals.savings) or _NOTHING_COMPARED,
        side_by_side=drawn.get("by-workload", ""),
        workloads=_workloads(plan, snapshot),
        risks=_risks(plan, snapshot),
        evidence=_text(evidence_of(plan.decisions) or "none"),
        prices=_prices(plan, snapshot),
        list_prices=_list_prices(snapshot),
    )


def monthly(usd_per_hour: Decimal, hours_per_month: Decimal) -> str:
    """``$1,533``"""
    usd = usd_per_hour * hours_per_month
    return f"${usd:,.0f}" if abs(usd) >= 10 else dollars(usd)


def _text(text: str) -> str:
    """Escaped, without control characters, and no line broken between a minus and its number."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return escape(plain.replace("−", f"−{WORD_JOINER}"))


# --- the answer ----------------------------------------------------------------------------------------------------


def _cards(plan: Plan, snapshot: Snapshot) -> Iterator[str]:
    hours = snapshot.policy.hours_per_month
    totals = {total.baseline: total for total in plan.totals.savings}
    running, usual = totals.get(Baseline.RUNNING), totals.get(Baseline.CONVENTIONAL)
    if running is None:
        yield _card("Cost now", "not known", "nothing runs yet, or its price is not known")
    else:
        yield _card("Cost now", monthly(running.usd_per_hour, hours), f"a month, {_of(running)}")
    hourly = f"a month, {columns.hourly(plan.totals.usd_per_hour)}"
    yield _card("Cost planned", monthly(plan.totals.usd_per_hour, hours), hourly)
    if running is not None:
        yield _saved_card("Saved against now", running, hours)
    if usual is not None:
        yield _saved_card("Saved against the usual", usual, hours)


def _saved_card(title: str, total: SavingTotal, hours: Decimal) -> str:
    usd = total.saved_usd_per_hour
    share = "" if total.saved_percent is None else f"{number(abs(total.saved_percent), 2)} % "
    less = "less" if usd >= 0 else "more"
    what = f"a month, {share}{less} than {monthly(total.usd_per_hour, hours)}, {_of(total)}"
    return _card(title, _signed(usd, hours), what, "good" if usd > 0 else "bad" if usd < 0 else "")


def _of(total: SavingTotal) -> str:
    return f"for {total.workloads} of {plural(total.workloads + total.left_out, 'placed workload')}"


def _card(title: str, value: str, note: str, kind: str = "") -> str:
    return (
        f'<div class="card {kind}"><dt>{_text(title)}</dt><dd><strong>{_text(value)}</strong>'
        f"<span>{_text(note)}</span></dd></div>"
    )


# --- where it comes from -------------------------------------------------------------------------------------------

_NOTHING_COMPARED = "<p>No placed workload can be compared with a baseline; the table below says why.</p>"

_EXPLAINED = {
    Factor.GPU: "Another GPU, or a slice of one, with the replicas that it then takes.",
    Factor.PRECISION: "Another number format of the same model, with the replicas that it then takes.",
    Factor.GPU_AND_PRECISION: "GPU and number format together, where neither would be chosen without the other.",
    Factor.REPLICAS: "More or fewer replicas than the rate takes: spares, a stated minimum, what was too many.",
    Factor.CAPACITY_TYPE: "Spot, reserved or owned instead of on demand.",
    Factor.PRICE: "The same GPU in another region or kind of node, or at a price of one's own.",
}


def _sources(total: SavingTotal, snapshot: Snapshot, drawn: dict[str, str]) -> str:
    hours = snapshot.policy.hours_per_month
    rows = [
        (FACTORS[factor], _EXPLAINED[factor], _signed(total.parts[factor], hours))
        for factor in Factor
        if factor in total.parts
    ]
    rows.append(
        ("together", f"{plural(total.workloads, 'workload')} compared", _signed(total.saved_usd_per_hour, hours))
    )
    title = f"Against {BASELINES[total.baseline]}"
    table = _table(("Source", "What it is", "Saved a month"), rows, caption=title, right=(2,), last_is_total=True)
    return f"<h3>{_text(title)}</h3>\n{drawn.get(f'from-{total.baseline.value.lower()}', '')}\n{table}"


def _signed(usd_per_hour: Decimal, hours: Decimal) -> str:
    sign = "−" if usd_per_hour < 0 else ""
    return f"{sign}{monthly(abs(usd_per_hour), hours)}"


def _workloads(plan: Plan, snapshot: Snapshot) -> str:
    """What runs has a column where anything does."""
    hours = snapshot.policy.hours_per_month
    runs = any(saving.baseline is Baseline.RUNNING and saving != NOTHING_RUNS for saving in _savings(plan))
    compared = [one for one in Baseline if one is not Baseline.RUNNING or runs]
    rows = [
        (
            one.workload,
            berths_phrase(one.berths) if one.berths else "not placed",
            monthly(one.cost.usd_per_hour, hours) if one.cost is not None else columns.NOTHING,
            *(_against(saving_of(one.savings, baseline), hours) for baseline in compared),
        )
        for one in plan.decisions
    ]
    headers = ("Workload", "Planned", "A month", *(f"Against {SHORT_NAMES[baseline]}" for baseline in compared))
    return _table(headers, rows, caption="Every workload", right=(2,), names=(0, 1))


def _savings(plan: Plan) -> Iterator[Saving]:
    return (saving for decision in plan.decisions for saving in decision.savings)


def _against(saving: Saving | None, hours: Decimal) -> str:
    """The baseline, what is saved against it a month and where that comes from; or why nobody knows."""
    if saving is None:
        return columns.NOTHING
    usd = saving.saved_usd_per_hour
    if usd is None:
        return saving.unknown or columns.NOTHING
    if not usd:
        return f"{saving.what}: costs the same"
    share = "" if saving.saved_percent is None else f" ({number(abs(saving.saved_percent), 2)} %)"
    told = [f"{FACTORS[factor]} {_signed(part, hours)}" for factor, part in saving.parts.items()]
    change = f"saves {monthly(usd, hours)}{share}" if usd > 0 else f"costs {monthly(-usd, hours)} more{share}"
    parts = f"; {', '.join(told)}" if len(told) > 1 else ""
    return f"{saving.what}: {change}{parts}"


# --- what it risks, and what it rests on ---------------------------------------------------------------------------


def _risks(plan: Plan, snapshot: Snapshot) -> str:
    rows = [(risk.kind, risk.workload or "the plan", risk.text) for risk in risks_of(plan, snapshot)]
    if not rows:
        return "<p>Nothing of note: no spot, no old price, no wide prediction, everything placed.</p>"
    return _table(("Risk", "Of", "What"), rows, caption="Risks", names=(0, 1))


def _prices(plan: Plan, snapshot: Snapshot) -> str:
    used = {berth.pool for one in plan.decisions for berth in one.berths}
    rows = [_price(pool, snapshot) for pool in snapshot.pools if pool.name in used and pool.price is not None]
    headers = ("Pool", "GPU", "Bought", "A node-hour", "As of", "Source")
    return (
        _table(headers, rows, caption="Prices that the plan pays", right=(3,), names=(0,), whole=(1, 2, 4))
        if rows
        else "<p>None.</p>"
    )


def _price(pool: Pool, snapshot: Snapshot) -> tuple[str, ...]:
    price, policy = pool.price, snapshot.policy
    assert price is not None  # asked by the caller
    day = snapshot.time.date()
    age = PriceAge.of(price, day, policy.price_old_after_days, policy.price_refused_after_days)
    gpu = f"{pool.gpus_per_node} × {pool.gpu.name}" if pool.gpu else columns.NOTHING
    when = f"{price.date}{', old' if age.old else ''}"
    return pool.name, gpu, BOUGHT[pool.capacity_type], dollars(price.usd_per_node_hour), when, price.source


def _list_prices(snapshot: Snapshot) -> str:
    rows = [
        (
            one.gpu,
            f"{one.cloud} {one.region}, {one.instance_type}",
            dollars(one.usd_per_gpu_hour),
            str(one.price.date),
            one.price.source,
        )
        for one in snapshot.list_prices
    ]
    headers = ("GPU", "Listed at", "A GPU-hour", "As of", "Source")
    return (
        _table(headers, rows, caption="List prices on demand", right=(2,), whole=(0, 3))
        if rows
        else "<p>None is known.</p>"
    )


# --- building blocks -----------------------------------------------------------------------------------------------


def _figure(picture: Picture) -> str:
    return (
        f'<figure><figcaption>{_text(picture.title)}</figcaption><div role="img" aria-label="{_text(picture.alt)}">'
        f"{picture.svg}</div></figure>"
    )


def _table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str,
    right: Sequence[int] = (),
    names: Sequence[int] = (),
    whole: Sequence[int] = (),
    last_is_total: bool = False,
) -> str:
    """The first cell of a row names it. Columns: ``right`` of numbers, ``names`` wide enough for one, ``whole`` in one
    line."""
    kinds = dict.fromkeys(names, "name") | dict.fromkeys(whole, "whole") | dict.fromkeys(right, "number")
    side = [f' class="{kinds[index]}"' if index in kinds else "" for index in range(len(headers))]
    head = "".join(f'<th{side[at]} scope="col">{_text(text)}</th>' for at, text in enumerate(headers))
    lines = [list(row) for row in rows]
    body = []
    for place, row in enumerate(lines):
        cells = [f'<th{side[0]} scope="row">{_text(row[0])}</th>']
        cells += [f"<td{side[at]}>{_text(text)}</td>" for at, text in enumerate(row) if at]
        kind = ' class="total"' if last_is_total and place == len(lines) - 1 else ""
        body.append(f"<tr{kind}>{''.join(cells)}</tr>")
    # Wide tables scroll by themselves, by the keyboard too.
    return (
        f'<div class="scroll" role="region" aria-label="{_text(caption)}" tabindex="0"><table><caption>{_text(caption)}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


_PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>What inference costs, and what it saves</title>
<style>
$style
</style>
</head>
<body>
<header>
<h1>What inference costs, and what it saves</h1>
<p>$headline Planned as of <time datetime="$datetime">$time</time>.</p>
</header>
<main>
<dl class="cards">
$cards
</dl>
<section aria-labelledby="sources">
<h2 id="sources">Where the saving comes from</h2>
$sources
</section>
<section aria-labelledby="workloads">
<h2 id="workloads">By workload</h2>
$side_by_side
$workloads
</section>
<section aria-labelledby="risks">
<h2 id="risks">What it risks</h2>
<p>Predictions: $evidence.</p>
$risks
</section>
<section aria-labelledby="prices">
<h2 id="prices">Prices</h2>
$prices
<p>What savings are measured by: what the price book lists on demand where the fleet buys, the cheapest node per GPU of
each place, of several places the one in the middle.</p>
$list_prices
</section>
<section aria-labelledby="method">
<h2 id="method">How to read it</h2>
<ul>
<li><strong>What runs now</strong>: the replicas that serve at this moment, at today's prices.</li>
<li><strong>The usual</strong>: on demand, fp16 (or the nearest precision that there is an artefact of), replicas for
the whole rate all the time, on the GPU that most people would take. Objectives and performance model are the same.</li>
<li>The parts of a saving add up to it exactly. They are taken one after the other: GPU, precision, replicas, how it is
bought, price.</li>
<li>Costs are planned, not billed: shares of nodes at the prices above, a month at its average length.</li>
</ul>
</section>
</main>
</body>
</html>
"""
)
