"""Every decision of a plan against its baselines: what runs now, and what most people would do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from berth_cost.prices.list_price import ListPrice
from berth_cost.rounding import significant_number
from berth_scheduler.cost import money
from berth_scheduler.decision import Decision
from berth_scheduler.fleet import FleetPlan
from berth_scheduler.incumbent import offer_of
from berth_scheduler.savings.bill import Bill, Static, UnitPrice, parts_of, shortest
from berth_scheduler.savings.conventional import Conventional, conventional_of
from berth_scheduler.savings.saving import Baseline, Factor, Saving, SavingTotal
from berth_scheduler.savings.static_size import ANY_WIDTH, Asked, SizedCells
from berth_scheduler.snapshot import Berth, Running
from berth_scheduler.supply import NO_SHAPE
from berth_scheduler.survey import Survey
from berth_scheduler.wording import berths_phrase

NOTHING_RUNS = Saving(baseline=Baseline.RUNNING, unknown="nothing runs yet")
Kind = tuple[str | None, str | None, str]
"""GPU, slice, precision."""


class _Kept(NamedTuple):
    """What a workload has, before or after: its bill, and what it is."""

    bill: Bill
    shape: int
    kind: Kind


class _Exchange(NamedTuple):
    """One baseline of one decision. ``usd_static``: the list price of what carries the rate, where that is known."""

    workload: int
    baseline: Baseline
    what: str
    usd_per_hour: Decimal
    before: _Kept
    after: _Kept
    usd_static: float | None
    price_date: date | None
    price_source: str | None


@dataclass(frozen=True, slots=True)
class _Market:
    """What the offers of a supply cost, and where they are found."""

    found: Survey
    prices: tuple[UnitPrice, ...]
    offers: Mapping[tuple[str, str | None], int]

    @classmethod
    def of(cls, found: Survey, list_prices: Sequence[ListPrice]) -> "_Market":
        usd_per_gpu_hour = {one.gpu: float(one.usd_per_gpu_hour) for one in list_prices}
        offers = found.supply.offers
        return cls(
            found,
            tuple(UnitPrice.of(one, usd_per_gpu_hour) for one in offers),
            {(one.pool.name, one.mig_profile): index for index, one in enumerate(offers)},
        )

    def kept(self, berths: Sequence[Berth], offers: Sequence[int]) -> _Kept:
        first = berths[0]
        return _Kept(
            Bill.of(
                [(at, one.replicas * one.tensor_parallel) for at, one in zip(offers, berths, strict=True)], self.prices
            ),
            self.found.supply.offers[offers[0]].shape,
            (first.gpu, first.mig_profile, first.precision),
        )


def savings_of(
    found: Survey, fleet: FleetPlan, decisions: Iterable[Decision], list_prices: Sequence[ListPrice]
) -> dict[str, tuple[Saving, ...]]:
    """By workload, of every decision that is placed and has a price: one saving a baseline, in their order."""
    market = _Market.of(found, list_prices)
    cost = {one.workload: one.cost.usd_per_hour for one in decisions if one.placed and one.cost is not None}
    priced = [index for index in sorted(fleet.choices) if found.workloads[index].key in cost]
    cells, listed = SizedCells.of_survey(found), _Listed()
    conventional = conventional_of(found, cells, priced, list_prices)
    told: dict[int, list[_Exchange | Saving]] = {}
    for index in priced:
        berths = fleet.choices[index].berths
        after = market.kept(berths, [market.offers[one.pool, one.mig_profile] for one in berths])
        told[index] = [_running(market, index, after), _conventional(index, conventional[index], after, listed)]
    parts = _parts(found, cells, [one for each in told.values() for one in each if isinstance(one, _Exchange)], cost)
    return {
        found.workloads[index].key: tuple(
            one if isinstance(one, Saving) else parts[index, one.baseline] for one in told[index]
        )
        for index in priced
    }


def _running(market: _Market, index: int, after: _Kept) -> _Exchange | Saving:
    """What serves, at today's prices; also while another revision starts beside it."""
    found = market.found
    serving = next((one for one in found.workloads[index].running if one.serving and one.berths), None)
    if serving is None:
        return NOTHING_RUNS
    offers = _offers(market, index, serving)
    berths = [one.berth for one in serving.berths]
    lost = [one.pool for one, offer in zip(berths, offers, strict=True) if offer is None or not _priced(market, offer)]
    known = [offer for offer in offers if offer is not None]
    if lost or not any(one.replicas for one in berths):
        why = (
            f"no price is known of pool {lost[0]}, where it runs" if lost else "no replica of what serves is asked for"
        )
        return Saving(baseline=Baseline.RUNNING, unknown=why)
    units = [(offer, one.replicas * one.tensor_parallel) for offer, one in zip(known, berths, strict=True)]
    prices = [price for offer in known if (price := found.supply.offers[offer].pool.price) is not None]
    return _Exchange(
        workload=index,
        baseline=Baseline.RUNNING,
        what=berths_phrase(berths),
        usd_per_hour=money(found.supply.usd_per_hour(units)),
        before=market.kept(berths, known),
        after=after,
        usd_static=None,
        price_date=min(price.date for price in prices),
        price_source=", ".join(sorted({price.source for price in prices})),
    )


def _offers(market: _Market, index: int, serving: Running) -> Sequence[int | None]:
    incumbent = market.found.incumbents.get(index)
    if incumbent is not None and incumbent.running is serving:
        return incumbent.offers
    return [offer_of(one, market.found.supply) for one in serving.berths]


def _priced(market: _Market, offer: int) -> bool:
    return market.found.supply.offers[offer].usd_per_unit_hour is not None


class _Listed:
    """List prices as conventional baselines need them, each worked out once."""

    def __init__(self) -> None:
        self._each: dict[str, tuple[float, str]] = {}
        self._usd: dict[tuple[str, int], Decimal] = {}

    def each(self, listed: ListPrice) -> tuple[float, str]:
        """US dollars an hour of one GPU, and who says so."""
        if listed.gpu not in self._each:
            place = f"{listed.cloud} {listed.region} {listed.instance_type}"
            self._each[listed.gpu] = float(listed.usd_per_gpu_hour), f"{place}: {listed.price.source}"
        return self._each[listed.gpu]

    def usd_per_hour(self, listed: ListPrice, gpus: int) -> Decimal:
        if (listed.gpu, gpus) not in self._usd:
            self._usd[listed.gpu, gpus] = money(listed.usd_per_gpu_hour * gpus)
        return self._usd[listed.gpu, gpus]


def _conventional(index: int, told: Conventional | str, after: _Kept, listed: _Listed) -> _Exchange | Saving:
    if isinstance(told, str):
        return Saving(baseline=Baseline.CONVENTIONAL, unknown=told)
    each, source = listed.each(told.listed)
    gpus = told.replicas * told.width
    usd = gpus * each
    return _Exchange(
        workload=index,
        baseline=Baseline.CONVENTIONAL,
        what=told.what,
        usd_per_hour=listed.usd_per_hour(told.listed, gpus),
        before=_Kept(Bill(gpus, usd, usd, usd), NO_SHAPE, (told.listed.gpu, None, told.precision)),
        after=after,
        usd_static=told.needed * told.width * each,
        price_date=told.listed.price.date,
        price_source=source,
    )


# --- where it comes from -------------------------------------------------------------------------------------------


def _parts(
    found: Survey, cells: SizedCells, exchanges: Sequence[_Exchange], cost: Mapping[str, Decimal]
) -> dict[tuple[int, Baseline], Saving]:
    """The savings, by workload and baseline. Static sizes are asked about all together."""
    code = {precision: index for index, precision in enumerate(found.lots.precisions)}
    questions: dict[tuple[int, int, int], int] = {}

    def ask(index: int, shape: int, precision: str) -> int | None:
        if shape == NO_SHAPE or precision not in code:
            return None
        return questions.setdefault((index, shape, code[precision]), len(questions))

    asked = [
        (
            ask(one.workload, one.before.shape, one.before.kind[2]),
            ask(one.workload, one.after.shape, one.before.kind[2]),
            ask(one.workload, one.after.shape, one.after.kind[2]),
        )
        for one in exchanges
    ]
    units = cells.static_size(found, Asked.of(list(questions)), ANY_WIDTH).units.tolist()

    def listed(kept: _Kept, place: int | None) -> float | None:
        return None if place is None or units[place] == float("inf") else kept.bill.static(units[place])

    savings = {}
    for one, (before, other, after) in zip(exchanges, asked, strict=True):
        sizes = (
            listed(one.before, before) if one.usd_static is None else one.usd_static,
            listed(one.after, other),
            listed(one.after, after),
        )
        decided = cost[found.workloads[one.workload].key]
        savings[one.workload, one.baseline] = _saving(one, _static(one, *sizes), decided)
    return savings


def _static(exchange: _Exchange, before: float | None, other: float | None, after: float | None) -> Static:
    """Sizes that nobody knows are taken to be what there is, so that nothing is told apart that cannot be."""
    one, two = exchange.before, exchange.after
    decided = two.bill.listed if after is None else after
    if one.kind == two.kind:
        return Static(decided, decided, decided)
    started = one.bill.listed if before is None else before
    if one.kind[:2] == two.kind[:2]:
        return Static(started, started, decided)
    if one.kind[2] == two.kind[2]:
        return Static(started, decided, decided)
    return Static(started, other, decided)


def _saving(exchange: _Exchange, static: Static, decided: Decimal) -> Saving:
    usd = exchange.usd_per_hour
    saved = usd - decided
    return Saving(
        baseline=exchange.baseline,
        what=exchange.what,
        usd_per_hour=usd,
        saved_usd_per_hour=saved,
        saved_percent=significant_number(float(saved) / float(usd) * 100, 4),
        parts=parts_of(exchange.before.bill, exchange.after.bill, static, saved),
        price_date=exchange.price_date,
        price_source=exchange.price_source,
    )


# --- all together --------------------------------------------------------------------------------------------------


def totals_of_savings(decisions: Sequence[Decision]) -> tuple[SavingTotal, ...]:
    """One a baseline that any decision is compared with."""
    totals = []
    for baseline in Baseline:
        placed = [one for one in decisions if one.placed]
        compared = [
            (decision, saving)
            for decision in placed
            for saving in decision.savings
            if saving.baseline is baseline and saving.usd_per_hour is not None and decision.cost is not None
        ]
        if not compared:
            continue
        parts: dict[Factor, Decimal] = {}
        before = planned = Decimal(0)
        for decision, saving in compared:
            assert decision.cost is not None and saving.usd_per_hour is not None  # asked above
            before += saving.usd_per_hour
            planned += decision.cost.usd_per_hour
            for factor, part in saving.parts.items():
                parts[factor] = parts.get(factor, Decimal(0)) + part
        totals.append(
            SavingTotal(
                baseline=baseline,
                workloads=len(compared),
                left_out=len(placed) - len(compared),
                usd_per_hour=before,
                planned_usd_per_hour=planned,
                saved_usd_per_hour=shortest(before - planned),
                saved_percent=significant_number(float((before - planned) / before * 100), 4),
                parts={factor: shortest(parts[factor]) for factor in Factor if parts.get(factor)},
            )
        )
    return tuple(totals)
