"""Bills: what berths cost an hour, as a product of four things that a saving can come from.

    cost = static × replicas × capacity type × price

*static* is what the GPUs that carry the rate cost at their list price on demand; *replicas* is how many GPUs there are
over how many it takes; *capacity type* what is paid over what the same nodes cost on demand at the same place; *price*
that over the list price. Between two bills the factors are exchanged one after the other, in this order, and what each
exchange saves is its part: the parts telescope, so that they add up.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from berth_scheduler.savings.saving import Factor
from berth_scheduler.snapshot import CapacityType
from berth_scheduler.supply import Offer

PLACES = 6
"""Decimals of a part: a millionth of a dollar an hour."""
NOISE = 1e-5
"""Of the dearer bill: prices are compared in six significant digits, and less is nobody's saving."""
CENTS = 2
CENT, ZERO = Decimal("0.01"), Decimal(0)


class UnitPrice(NamedTuple):
    """Of one unit (GPU or slice) of an offer, in US dollars an hour."""

    paid: float
    on_demand: float
    """The same node at the same place on demand; else the list price; else what is paid."""
    listed: float
    """List price of the GPU where the fleet buys; else the same node on demand."""

    @classmethod
    def of(cls, offer: Offer, usd_per_gpu_hour: Mapping[str, float]) -> "UnitPrice":
        """``usd_per_gpu_hour``: list prices by GPU."""
        pool, paid = offer.pool, offer.comparable_usd_per_unit_hour
        listed = usd_per_gpu_hour.get(pool.gpu.name) if pool.gpu is not None else None
        share = offer.gpus_per_unit
        if pool.capacity_type is CapacityType.ON_DEMAND:
            on_demand = paid
        elif pool.on_demand_price is not None:
            on_demand = float(pool.on_demand_price.usd_per_node_hour) / pool.gpus_per_node * share
        else:
            on_demand = paid if listed is None else listed * share
        return cls(paid, on_demand, on_demand if listed is None else listed * share)


class Bill(NamedTuple):
    """Of all berths together, in US dollars an hour; ``units`` are GPUs or slices of one kind."""

    units: float
    paid: float
    on_demand: float
    listed: float

    @classmethod
    def of(cls, units: Sequence[tuple[int, int]], prices: Sequence[UnitPrice]) -> "Bill":
        """Units by offer."""
        count = paid = on_demand = listed = 0.0
        for offer, number in units:
            price = prices[offer]
            count += number
            paid += number * price.paid
            on_demand += number * price.on_demand
            listed += number * price.listed
        return cls(count, paid, on_demand, listed)

    def static(self, units: float) -> float:
        """List price of so many units of the kind."""
        return units * self.listed / self.units


class Static(NamedTuple):
    """What carries the rate, at list prices in US dollars an hour: of the baseline, of the decided GPU at the
    baseline's precision (None: it cannot), and of what is decided."""

    before: float
    other_gpu: float | None
    after: float

    @property
    def told_apart(self) -> bool:
        """Not where one of the two alone would cost more and the other more than makes up for it: a slice that is too
        small for fp16 and right for int8 was chosen for neither."""
        other = self.other_gpu
        return other is not None and (self.before <= other <= self.after or self.before >= other >= self.after)


def parts_of(before: Bill, after: Bill, static: Static, saved: Decimal) -> dict[Factor, Decimal]:
    """What each exchange saves, in the order of :class:`Factor`; what rounding leaves goes to the largest."""
    replicas = before.listed / static.before
    replicas_after = after.listed / static.after
    bought, bought_after = before.paid / before.on_demand, after.paid / after.on_demand
    price, price_after = before.on_demand / before.listed, after.on_demand / after.listed
    rest = replicas * bought * price
    if static.told_apart and static.other_gpu is not None:
        exchanged = [
            (Factor.GPU, (static.before - static.other_gpu) * rest),
            (Factor.PRECISION, (static.other_gpu - static.after) * rest),
        ]
    else:
        exchanged = [(Factor.GPU_AND_PRECISION, (static.before - static.after) * rest)]
    exchanged += [
        (Factor.REPLICAS, static.after * (replicas - replicas_after) * bought * price),
        (Factor.CAPACITY_TYPE, static.after * replicas_after * (bought - bought_after) * price),
        (Factor.PRICE, static.after * replicas_after * bought_after * (price - price_after)),
    ]
    # Six digits of a price are no reason to see a saving in the seventh.
    noise = NOISE * max(before.paid, after.paid)
    heard = [(factor, usd) for factor, usd in exchanged if usd > noise or usd < -noise]
    if len(heard) < 2:
        return {(heard or exchanged)[-1][0]: saved} if saved else {}
    parts = {factor: Decimal(repr(round(usd, PLACES))) for factor, usd in heard}
    largest = max(heard, key=_size)[0]
    parts[largest] += saved - sum(parts.values(), ZERO)
    return parts


def _size(exchanged: tuple[Factor, float]) -> float:
    return abs(exchanged[1])


def shortest(usd: Decimal) -> Decimal:
    """Without zeros at the end beyond the cents."""
    short = usd.normalize()
    exponent = short.as_tuple().exponent
    return short.quantize(CENT) if isinstance(exponent, int) and exponent > -CENTS else short
