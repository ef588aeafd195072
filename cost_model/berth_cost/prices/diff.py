"""What changed between two price books, and what only seems to: a median moves when providers come and go.

On 2026-05-09 a public rental index went from 31 providers to 6; its medians moved, and hardly a price did. So every
GPU is compared twice: over all offers, and over those that both books have.
"""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from statistics import median
from typing import Literal

from berth_cost.prices.book import Price, PriceBook
from berth_cost.prices.offers import rounded_usd
from berth_cost.prices.rows import Bought, Market, PriceKey, Term
from berth_cost.record import Record

SAME_PANEL = Fraction(4, 5)
"""Share of the larger book's offers that both must have for their medians to be compared."""


class PriceChange(Record):
    """One price that came, went or moved. ``percent`` of the price before; None where there is none."""

    cloud: str
    region: str
    zone: str | None = None
    instance_type: str
    capacity_type: Market
    term: Term
    usd_per_hour_before: Decimal | None = None
    usd_per_hour_after: Decimal | None = None
    percent: Decimal | None = None
    source: str
    date: date
    """Of the later price; of the earlier one where there is no later."""

    @property
    def bought(self) -> Bought:
        return "Spot" if self.capacity_type == "Spot" else self.term


class GPUPriceChange(Record):
    """Of one GPU, on demand: medians per GPU-hour over all offers, and the change over the offers of both books."""

    gpu: str
    offers_before: int
    offers_after: int
    offers_in_both: int
    median_before: Decimal | None = None
    median_after: Decimal | None = None
    percent: Decimal | None = None
    like_for_like_percent: Decimal | None = None
    panel_changed: bool
    """Too few offers are in both books: ``percent`` tells who is listed, not what it costs."""


class PriceDiff(Record):
    kind: Literal["PriceDiff"] = "PriceDiff"
    before: str
    after: str
    added: tuple[PriceChange, ...] = ()
    removed: tuple[PriceChange, ...] = ()
    changed: tuple[PriceChange, ...] = ()
    unchanged: int
    flagged: int = 0
    """Prices of the later book that look wrong and are not used: they count as gone."""
    gpus: tuple[GPUPriceChange, ...] = ()
    """Those of which something changed."""


def price_diff(before: PriceBook, after: PriceBook, names: tuple[str, str]) -> PriceDiff:
    """Every price by what it is of; the largest moves first."""
    old, new = before.prices, after.prices
    moved = [key for key in old.keys() & new.keys() if old[key].usd_per_node_hour != new[key].usd_per_node_hour]
    changed = [_change(key, old[key], new[key], after) for key in moved]
    touched = (old.keys() ^ new.keys()) | set(moved)
    return PriceDiff(
        before=names[0],
        after=names[1],
        added=tuple(_change(key, None, new[key], after) for key in sorted(new.keys() - old.keys(), key=_order)),
        removed=tuple(_change(key, old[key], None, before) for key in sorted(old.keys() - new.keys(), key=_order)),
        changed=tuple(sorted(changed, key=lambda one: (-abs(one.percent or 0), one.model_dump_json()))),
        unchanged=len(old.keys() & new.keys()) - len(moved),
        flagged=len(after.flagged.keys() - before.flagged.keys()),
        gpus=tuple(_gpu_changes(before, after, touched)),
    )


def _order(key: PriceKey) -> tuple[str, ...]:
    return key.order


def _change(key: PriceKey, old: Price | None, new: Price | None, book: PriceBook) -> PriceChange:
    shape, told = book.instances.get((key.cloud, key.instance_type)), new or old
    assert told is not None  # a change is of at least one price
    return PriceChange(
        cloud=shape.cloud if shape else key.cloud,
        region=key.region,
        zone=key.zone,
        instance_type=shape.instance_type if shape else key.instance_type,
        capacity_type=key.capacity_type,
        term=key.term,
        usd_per_hour_before=old.usd_per_node_hour if old else None,
        usd_per_hour_after=new.usd_per_node_hour if new else None,
        percent=_percent(Fraction(old.usd_per_node_hour), Fraction(new.usd_per_node_hour)) if old and new else None,
        source=told.source,
        date=told.date,
    )


def _gpu_changes(before: PriceBook, after: PriceBook, touched: set[PriceKey]) -> list[GPUPriceChange]:
    old, new = _per_gpu(before), _per_gpu(after)
    found = []
    for gpu in sorted(old.keys() | new.keys()):
        one, other = old.get(gpu, {}), new.get(gpu, {})
        if not touched & (one.keys() | other.keys()):
            continue
        both = sorted(one.keys() & other.keys(), key=_order)
        matched = [median(book[key] for key in both) for book in (one, other)] if both else []
        found.append(
            GPUPriceChange(
                gpu=gpu,
                offers_before=len(one),
                offers_after=len(other),
                offers_in_both=len(both),
                median_before=rounded_usd(median(one.values())) if one else None,
                median_after=rounded_usd(median(other.values())) if other else None,
                percent=_percent(median(one.values()), median(other.values())) if one and other else None,
                like_for_like_percent=_percent(*matched) if matched else None,
                panel_changed=len(both) < SAME_PANEL * max(len(one), len(other)),
            )
        )
    return found


def _per_gpu(book: PriceBook) -> dict[str, dict[PriceKey, Fraction]]:
    """On-demand prices of one GPU, by GPU and key; shares of a GPU aside."""
    found: dict[str, dict[PriceKey, Fraction]] = {}
    for key, price in book.prices.items():
        shape = book.instances.get((key.cloud, key.instance_type))
        if shape is not None and key.bought == "OnDemand" and shape.gpu_count >= 1:
            found.setdefault(shape.gpu, {})[key] = Fraction(price.usd_per_node_hour) / shape.gpu_count
    return found


def _percent(old: Fraction, new: Fraction) -> Decimal:
    return rounded_usd((new - old) / old * 100)
