"""What ``berth prices`` answers, as records: their schemas are in docs/reference."""

from decimal import Decimal
from typing import Literal

from berth_cost.prices.offers import FlaggedOffer, LeftOut, Measure, Offer, RankedOffer
from berth_cost.record import Record


class PriceList(Record):
    """The offers that were asked for. ``flagged`` are those that are not used."""

    kind: Literal["Prices"] = "Prices"
    offers: tuple[Offer, ...]
    flagged: tuple[FlaggedOffer, ...] = ()


class PriceComparison(Record):
    """Offers by what a unit of use costs, the cheapest place of each kind of node."""

    kind: Literal["PriceComparison"] = "PriceComparison"
    per: Measure
    unit: str
    precision: str | None = None
    workload: str | None = None
    ranked: tuple[RankedOffer, ...]
    left_out: tuple[LeftOut, ...] = ()


class PriceRange(Record):
    """Of one whole GPU on demand, over the rows of the book that are not too old."""

    gpu: str
    offers: int
    usd_per_gpu_hour_low: Decimal
    usd_per_gpu_hour_median: Decimal
    usd_per_gpu_hour_high: Decimal


class PriceExplanation(Record):
    """Where a price came from. ``offer`` None: there is none, and ``message`` says why."""

    kind: Literal["PriceExplanation"] = "PriceExplanation"
    message: str
    offer: Offer | None = None
    replaces: Offer | None = None
    """What the built-in book says, where a user's row replaced it."""
    flagged: FlaggedOffer | None = None
    refused: bool = False
    """Too old to be used by a plan."""
    others: tuple[Offer, ...] = ()
    """The other ways to buy the same node at the same place."""
    market: PriceRange | None = None


class Refreshed(Record):
    """What ``berth prices refresh`` wrote, and what of it differs from the book before."""

    kind: Literal["PriceRefresh"] = "PriceRefresh"
    source: str
    file: str
    rows: int
    added: int
    changed: int
    unchanged: int
    flagged: int
    skipped: tuple[LeftOut, ...] = ()
