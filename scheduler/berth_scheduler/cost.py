"""Cost: what berths cost an hour, a month and a million requests. Exact inside, decimal money outside.

A workload pays its share of each node, by GPU or by MIG slice (:func:`berth_scheduler.supply.slice_shares`); what a
started node leaves unused is nobody's and shows in the totals as idle.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction

from berth_cost.prices.age import PriceAge
from berth_cost.rounding import significant_number
from berth_cost.spot.availability import effective_usd_per_hour
from berth_scheduler.capacity import Room
from berth_scheduler.crew import interruptions_of
from berth_scheduler.decision import Cost, Totals
from berth_scheduler.snapshot import Berth, CapacityType, Policy, Pool, Workload
from berth_scheduler.supply import Supply, slice_shares

_CENTS = 2
_DIGITS = 6


def money(usd: Fraction) -> Decimal:
    """Six significant digits, never coarser than a cent and never with fewer than two decimals: 1.05, 0.00324.

    Half a unit of the last place is rounded to even.
    """
    exponent = int(f"{float(usd):e}".partition("e")[2])
    places = max(_CENTS, _DIGITS - 1 - exponent) if usd else _CENTS
    units = round(usd * 10**places)
    while places > _CENTS and units % 10 == 0:
        units, places = units // 10, places - 1
    return Decimal(units).scaleb(-places)


def usd_per_month(usd_per_hour: Fraction, policy: Policy) -> Fraction:
    return usd_per_hour * Fraction(policy.hours_per_month)


def cost_of(
    workload: Workload,
    berths: Sequence[Berth],
    usd_per_hour: Fraction,
    supply: Supply,
    policy: Policy,
    *,
    requests_per_second: float,
) -> Cost:
    """At a rate of all berths together. Tokens are those read and written together."""
    per_request = usd_per_hour / (Fraction(requests_per_second) * 3600)
    given, made = workload.traffic.input_tokens, workload.traffic.output_tokens
    tokens = Fraction(given.mean if given else 0) + Fraction(made.mean if made else 0)
    pools = {pool.name: pool for pool in supply.pools}
    prices = [price for berth in berths if (price := pools[berth.pool].price) is not None]
    wasted = wasted_usd_per_hour(berths, pools)
    return Cost(
        usd_per_hour=money(usd_per_hour),
        usd_per_month=money(usd_per_month(usd_per_hour, policy)),
        effective_usd_per_hour=money(usd_per_hour + Fraction(wasted)) if wasted else None,
        usd_per_million_requests=money(per_request * 10**6),
        usd_per_million_tokens=money(per_request / tokens * 10**6) if tokens else None,
        price_date=min((price.date for price in prices), default=None),
        price_source=", ".join(sorted({price.source for price in prices})) or None,
    )


def wasted_usd_per_hour(berths: Sequence[Berth], pools: Mapping[str, Pool]) -> float:
    """What is paid for starts after interruptions: price × interruptions × start-up of everything on spot."""
    wasted = 0.0
    for berth in berths:
        pool = pools[berth.pool]
        if berth.capacity_type is CapacityType.SPOT and pool.price is not None:
            usd = float(pool.price.usd_per_node_hour) / pool.gpus_per_node * berth.gpus_per_replica * berth.replicas
            wasted += effective_usd_per_hour(usd, *interruptions_of(pool)) - usd
    return significant_number(wasted)


def with_price_age(cost: Cost, berths: Sequence[Berth], supply: Supply, policy: Policy, today: date) -> Cost:
    """With the band that old prices leave, and which they are; as it was where none is old."""
    pools = {pool.name: pool for pool in supply.pools}
    nominal = low = high = 0.0
    old: dict[str, date] = {}
    for berth in berths:
        pool = pools[berth.pool]
        if pool.price is None:
            return cost
        age = PriceAge.of(pool.price, today, policy.price_old_after_days, policy.price_refused_after_days)
        factor = age.factor(spot=pool.capacity_type is CapacityType.SPOT)
        usd = float(pool.price.usd_per_node_hour) / pool.gpus_per_node * berth.gpus_per_replica * berth.replicas
        nominal, low, high = nominal + usd, low + usd / factor, high + usd * factor
        if age.old:
            old[pool.name] = pool.price.date
    if not old:
        return cost
    usd_per_hour = Fraction(cost.usd_per_hour)
    dated = ", ".join(f"{name} of {day}" for name, day in sorted(old.items()))
    return cost.model_copy(
        update={
            "usd_per_hour_low": money(usd_per_hour * Fraction(low / nominal)),
            "usd_per_hour_high": money(usd_per_hour * Fraction(high / nominal)),
            "price_note": f"prices older than {policy.price_old_after_days} days: {dated}",
        }
    )


def totals_of(placed: Sequence[tuple[tuple[Berth, ...], Fraction | None]], supply: Supply, room: Room) -> Totals:
    """Of all placed workloads: cost, GPUs held by pool, and what started nodes cost beyond what anybody holds."""
    gpus: dict[str, float] = {}
    for berths, _ in placed:
        for berth in berths:
            gpus[berth.pool] = gpus.get(berth.pool, 0.0) + berth.gpus_per_replica * berth.replicas
    by_pool = {pool.name: _idle_usd_per_hour(pool, index, room) for index, pool in enumerate(supply.pools)}
    return Totals(
        usd_per_hour=money(sum((usd for _, usd in placed if usd is not None), Fraction(0))),
        idle_usd_per_hour=money(sum(by_pool.values(), Fraction(0))),
        idle_usd_per_hour_by_pool={name: money(usd) for name, usd in sorted(by_pool.items()) if usd},
        gpus_by_pool={name: significant_number(gpus[name]) for name in sorted(gpus)},
    )


def _idle_usd_per_hour(pool: Pool, index: int, room: Room) -> Fraction:
    """Price of the GPUs and slices that nobody holds on nodes that exist or that the plan starts."""
    if pool.price is None:
        return Fraction(0)
    usd_per_gpu_hour = Fraction(pool.price.usd_per_node_hour) / pool.gpus_per_node
    shares = [(profile, share) for profile, share in slice_shares(pool).items()]
    free = (
        share * int(room.pools[index].free_units(profile).clip(min=0).sum())
        for profile, share in (shares if pool.mig_layout else [(None, Fraction(1))])
    )
    return usd_per_gpu_hour * sum(free, Fraction(0))
