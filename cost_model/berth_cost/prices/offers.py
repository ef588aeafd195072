"""Offers: the rows of a price book with what their node is and how old they are, and what they cost per unit of use."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.prices.age import PriceAge
from berth_cost.prices.book import Origin, Price, PriceBook
from berth_cost.prices.rows import Bought, InstanceShape, Market, PriceFlag, PriceKey, Term
from berth_cost.record import Record

DIGITS = 6
GB, TERA = 10**9, 10**12


class Offer(Record):
    """One price of one kind of node at one place. Money is US dollars an hour."""

    cloud: str
    region: str
    zone: str | None = None
    instance_type: str
    gpu: str | None = None
    gpu_count: str | None = None
    """A whole number, or a share such as 1/6."""
    capacity_type: Market
    term: Term
    usd_per_hour: Decimal
    """Of the node."""
    usd_per_gpu_hour: Decimal | None = None
    currency: Literal["USD"] = "USD"
    source: str
    date: date
    age_days: int
    old: bool
    """Older than the first limit: the price may have moved."""
    to_come: bool = False
    """Its date is after tomorrow, which no price's is: it is used, and never grows old."""
    usd_per_hour_low: Decimal | None = None
    usd_per_hour_high: Decimal | None = None
    file: str | None = None
    """The user's file that it is from; None: the built-in book."""
    line: int | None = None

    @property
    def bought(self) -> Bought:
        """Market and term in one word, as a pool says it."""
        return "Spot" if self.capacity_type == "Spot" else self.term


class FlaggedOffer(Record):
    """A price that is not used, and why."""

    offer: Offer
    flag: PriceFlag
    message: str


@dataclass(frozen=True, slots=True)
class AgeLimits:
    """In days, as of ``today``."""

    today: date
    old_after: int
    refused_after: int | None


@dataclass(frozen=True, slots=True)
class OfferFilter:
    """What to look at. None is everything; texts are compared without case, several of a kind are alternatives."""

    clouds: frozenset[str] | None = None
    regions: frozenset[str] | None = None
    gpus: frozenset[str] | None = None
    instance_types: frozenset[str] | None = None
    bought: frozenset[str] | None = None

    def accepts(self, key: PriceKey, shape: InstanceShape | None) -> bool:
        gpu = shape.gpu.casefold() if shape else ""
        return (
            _among(key.cloud, self.clouds)
            and _among(key.region, self.regions)
            and _among(gpu, self.gpus)
            and _among(key.instance_type, self.instance_types)
            and _among(key.bought.casefold(), self.bought)
        )


def _among(value: str, allowed: frozenset[str] | None) -> bool:
    return allowed is None or value in allowed


def offers_of(book: PriceBook, chosen: OfferFilter, limits: AgeLimits) -> list[Offer]:
    """The offers of a book by GPU, price per GPU and place; those that are too old to use are among them."""
    found = [
        _offer(key, price, book.instances.get((key.cloud, key.instance_type)), book.origins.get(key), limits)
        for key, price in book.prices.items()
        if chosen.accepts(key, book.instances.get((key.cloud, key.instance_type)))
    ]
    return sorted(found, key=_order)


def flagged_of(book: PriceBook, chosen: OfferFilter, limits: AgeLimits) -> list[FlaggedOffer]:
    """The flagged prices of a book, by place."""
    return [
        FlaggedOffer(
            offer=_offer(key, found.price, book.instances.get((key.cloud, key.instance_type)), found.origin, limits),
            flag=found.flag,
            message=found.message,
        )
        for key, found in sorted(book.flagged.items(), key=lambda item: item[0].order)
        if chosen.accepts(key, book.instances.get((key.cloud, key.instance_type)))
    ]


def offer_of(book: PriceBook, key: PriceKey, price: Price, limits: AgeLimits) -> Offer:
    """A row of the book as an offer."""
    return _offer(key, price, book.instances.get((key.cloud, key.instance_type)), book.origins.get(key), limits)


def too_old(offer: Offer, limits: AgeLimits) -> bool:
    return limits.refused_after is not None and offer.age_days > limits.refused_after


def _offer(key: PriceKey, price: Price, shape: InstanceShape | None, origin: Origin | None, limits: AgeLimits) -> Offer:
    usd = price.usd_per_node_hour
    age = PriceAge.of(price, limits.today, limits.old_after, limits.refused_after)
    factor = Fraction(age.factor(spot=key.capacity_type == "Spot"))
    return Offer(
        cloud=shape.cloud if shape else key.cloud,
        region=key.region,
        zone=key.zone,
        instance_type=shape.instance_type if shape else key.instance_type,
        gpu=shape.gpu if shape else None,
        gpu_count=str(shape.gpu_count) if shape else None,
        capacity_type=key.capacity_type,
        term=key.term,
        usd_per_hour=usd,
        usd_per_gpu_hour=rounded_usd(Fraction(usd) / shape.gpu_count) if shape else None,
        source=price.source,
        date=price.date,
        age_days=(limits.today - price.date).days,
        old=age.old,
        to_come=age.to_come,
        usd_per_hour_low=rounded_usd(Fraction(usd) / factor) if age.old else None,
        usd_per_hour_high=rounded_usd(Fraction(usd) * factor) if age.old else None,
        file=origin.file if origin else None,
        line=origin.line if origin else None,
    )


def rounded_usd(usd: Fraction) -> Decimal:
    """Six significant digits, without trailing zeros or an exponent."""
    return Decimal(format(Decimal(f"{float(usd):.{DIGITS - 1}e}").normalize(), "f"))


def _order(offer: Offer) -> tuple[object, ...]:
    each = offer.usd_per_gpu_hour
    place = (offer.cloud, offer.region, offer.zone or "", offer.instance_type, offer.bought)
    return offer.gpu or "", each is None, each or Decimal(0), place


# --- cheapest by what is used --------------------------------------------------------------------------------------

Measure = Literal["gpu", "memory", "tflops", "requests"]


class RankedOffer(Record):
    """An offer with its price per unit of what is compared."""

    rank: int
    offer: Offer
    usd_per_unit: Decimal
    detail: str | None = None
    """What the unit rests on: 8 × 85.5 GB, say."""


class LeftOut(Record):
    """Why offers are not in a comparison, and how many."""

    reason: str
    offers: int


@dataclass(frozen=True, slots=True)
class Unit:
    """How many units an hour of the node gives; None with a reason where that is not known."""

    amount: Fraction | None
    text: str


def gpu_units(offer: Offer) -> Unit:
    return _per_node(offer, None, lambda count: Unit(count, f"{count} GPU"))


def memory_units(offer: Offer, specifications: Mapping[str, GPUSpecification]) -> Unit:
    """GB of GPU memory, as the driver reports it."""

    def of(count: Fraction) -> Unit:
        size = specifications[offer.gpu or ""].memory_bytes
        if size is None:
            return Unit(None, f"the memory of a {offer.gpu} is not known")
        return Unit(count * size / GB, f"{float(count * size / GB):.4g} GB")

    return _per_node(offer, specifications, of)


def tflop_units(offer: Offer, specifications: Mapping[str, GPUSpecification], precision: str) -> Unit:
    """Dense TFLOP/s (TOP/s for integers) at a precision."""

    def of(count: Fraction) -> Unit:
        rate = specifications[offer.gpu or ""].peak_flops_per_second.get(precision)
        if rate is None:
            return Unit(None, f"no dense {precision} rate is known of a {offer.gpu}")
        return Unit(count * Fraction(rate) / TERA, f"{float(count) * rate / TERA:,.4g} TFLOP/s")

    return _per_node(offer, specifications, of)


def _per_node(
    offer: Offer, specifications: Mapping[str, GPUSpecification] | None, of: Callable[[Fraction], Unit]
) -> Unit:
    if offer.gpu_count is None:
        return Unit(None, "what GPUs the node has is not known")
    if specifications is not None and offer.gpu not in specifications:
        return Unit(None, f"the GPU catalogue has no {offer.gpu}")
    return of(Fraction(offer.gpu_count))


def cheapest(offers: Iterable[Offer], units: Callable[[Offer], Unit]) -> tuple[list[RankedOffer], list[LeftOut]]:
    """Offers by their price per unit, the cheapest place of each (cloud, type, way to buy); and what is left out."""
    best: dict[tuple[str, str, str], tuple[Fraction, Offer, str]] = {}
    left_out: dict[str, int] = {}
    for offer in offers:
        unit = units(offer)
        if unit.amount is None or unit.amount <= 0:
            left_out[unit.text] = left_out.get(unit.text, 0) + 1
            continue
        per_unit = Fraction(offer.usd_per_hour) / unit.amount
        of = (offer.cloud, offer.instance_type, offer.bought)
        if of not in best or (per_unit, _order(offer)) < (best[of][0], _order(best[of][1])):
            best[of] = per_unit, offer, unit.text
    ordered = sorted(best.values(), key=lambda found: (found[0], _order(found[1])))
    ranked = [
        RankedOffer(rank=rank, offer=offer, usd_per_unit=rounded_usd(per_unit), detail=text)
        for rank, (per_unit, offer, text) in enumerate(ordered, 1)
    ]
    return ranked, _reasons(left_out)


def _reasons(left_out: Mapping[str, int]) -> list[LeftOut]:
    return [LeftOut(reason=reason, offers=left_out[reason]) for reason in sorted(left_out)]


def usable(offers: Sequence[Offer], limits: AgeLimits) -> tuple[list[Offer], list[LeftOut]]:
    """The offers that are not too old, and how many are."""
    fresh = [offer for offer in offers if not too_old(offer, limits)]
    old = len(offers) - len(fresh)
    return fresh, [LeftOut(reason=f"the price is older than {limits.refused_after} days", offers=old)] if old else []
