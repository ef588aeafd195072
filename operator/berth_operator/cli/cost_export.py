"""``berth cost export``: what a plan costs over a time, as rows of FOCUS 1.2, cloud and owned in one table."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import groupby
from statistics import median
from typing import Annotated, Any, Literal

import typer

from berth_cost.prices.book import PriceBook
from berth_cost.spending.focus import COLUMNS, VERSION, FocusRow, Period, Supplier, focus_rows, violations
from berth_operator.cli import options
from berth_operator.cli.from_sources import from_sources
from berth_operator.cli.outcome import InputError, Outcome
from berth_operator.cli.output import Format, Output, note
from berth_operator.cli.sources import Seen, Sources, make_plan, see
from berth_operator.supply.node_labels import INSTANCE_TYPE_LABELS, REGION_LABELS, cloud_of, first_label
from berth_operator.world import World, labels_of, mapping, name_of
from berth_scheduler.charges import Split, charges_by_gpu, charges_by_resource, with_idle_shared
from berth_scheduler.snapshot import CapacityType, Pool
from berth_scheduler.wording import plural

MOST_PERIODS = 10_000
OWN = "own data centre"
SPLITS: Mapping[str, Split] = {"weighted": "weighted", "even": "even"}
STEPS = {"Daily": timedelta(days=1), "Hourly": timedelta(hours=1)}


@from_sources
def cost_export(
    sources: Sources,
    *,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--from", metavar="TIME", parser=options.parse_time, help="Begin; by default the day of the plan."
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--until", metavar="TIME", parser=options.parse_time, help="End, exclusive; by default a day on."),
    ] = None,
    granularity: Annotated[str, typer.Option("--granularity", metavar="HOW", help="Daily or Hourly.")] = "Daily",
    allocate: Annotated[
        str, typer.Option("--allocate", metavar="HOW", help="gpu: by GPU, as plans count; opencost: by all resources.")
    ] = "gpu",
    idle: Annotated[
        str,
        typer.Option(
            "--idle",
            metavar="HOW",
            help="What nobody holds: apart, or paid by those who hold the rest of the pool, weighted or even.",
        ),
    ] = "apart",
    account: Annotated[str, typer.Option("--account", metavar="ID", help="BillingAccountId.")] = "berthmaster",
    output: Annotated[str, typer.Option("-o", "--output", metavar="FORMAT", help="csv or json.")] = "csv",
    to: options.To = None,
) -> int:
    """What the plan costs from one time to another, as FOCUS 1.2 rows: by pool and workload, what is idle apart.

    Exits with 2 where a workload cannot be placed: what it would cost is not in the rows.
    """
    form = _one_of("--output", output, ("csv", "json"))
    how = _one_of("--allocate", allocate, ("gpu", "opencost"))
    split = _one_of("--idle", idle, ("apart", *SPLITS))
    seen = see(sources)
    periods = _periods(seen.snapshot.time, since, until, _one_of("--granularity", granularity, tuple(STEPS)))
    made = make_plan(seen.snapshot)
    suppliers = {pool.name: _supplier(pool, seen.world) for pool in seen.snapshot.pools}
    charges = (
        charges_by_gpu(seen.snapshot, made, suppliers)
        if how == "gpu"
        else charges_by_resource(seen.snapshot, made, suppliers, _listed(seen))
    )
    if split in SPLITS:
        charges = with_idle_shared(charges, SPLITS[split])
    if not account.strip():
        raise InputError("--account: must not be empty: every row of FOCUS names a billing account")
    rows = list(focus_rows(charges, periods, account))
    _check(rows)
    Output(Format.JSON, to).write(_as_csv(rows) if form == "csv" else _as_json(rows))
    lost = [one.workload for one in made.decisions if not one.placed]
    if lost:
        note(
            f"{plural(len(lost), 'workload')} cannot be placed and {'is' if len(lost) == 1 else 'are'} not in the rows"
        )
    return Outcome.DOES_NOT_HOLD if lost else Outcome.DONE


def _check(rows: Sequence[FocusRow]) -> None:
    """The specification's rules about cost, period by period: a table that breaks one would be believed."""
    for _, of_period in groupby(rows, key=lambda row: row.charge_period_start):
        found = violations(list(of_period))
        if found:
            raise InputError(*(f"FOCUS {VERSION}: {text}" for text in found))


def _one_of(option: str, stated: str, known: tuple[str, ...]) -> str:
    for one in known:
        if one.casefold() == stated.casefold():
            return one
    raise InputError(f"{option}: {stated} is none of {', '.join(known)}")


def _periods(time: datetime, since: datetime | None, until: datetime | None, granularity: str) -> list[Period]:
    """Charge periods from ``since`` until ``until``; the last may be shorter. Billing is by the calendar month."""
    step = STEPS[granularity]
    start = since or time.replace(hour=0, minute=0, second=0, microsecond=0)
    end = until or start + timedelta(days=1)
    if end <= start:
        raise InputError(f"--until {end.isoformat()} is not after --from {start.isoformat()}")
    if (end - start) / step > MOST_PERIODS:
        raise InputError(f"--from and --until are more than {MOST_PERIODS} periods apart: export less at a time")
    periods = []
    while start < end:
        billing_start = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        billing_end = (billing_start + timedelta(days=32)).replace(day=1)
        stop = min(start + step, end, billing_end)
        periods.append(Period(start, stop, billing_start, billing_end))
        start = stop
    return periods


# --- who sells it --------------------------------------------------------------------------------------------------

_BOUGHT: Mapping[CapacityType, Literal["OnDemand", "Spot", "Reserved", "Owned"]] = {
    CapacityType.ON_DEMAND: "OnDemand",
    CapacityType.SPOT: "Spot",
    CapacityType.RESERVED: "Reserved",
    CapacityType.OWNED: "Owned",
}


def _supplier(pool: Pool, world: World) -> Supplier:
    """By what the pool states of its price, else by the labels of its first node."""
    stated = next((thing for thing in world.pools if name_of(thing) == pool.name), None) if pool.stated else None
    price = mapping(stated, "spec", "price") if stated is not None else {}
    labels, provider_id = _first_node(pool, world)
    owned = pool.capacity_type is CapacityType.OWNED
    cloud = price.get("cloud") or cloud_of(provider_id, labels) or (OWN if owned else "not stated")
    region, kind = first_label(labels, REGION_LABELS), first_label(labels, INSTANCE_TYPE_LABELS)
    gpu = pool.gpu.name if pool.gpu else pool.name
    return Supplier(
        pool=pool.name,
        provider=str(cloud),
        region=str(price["region"]) if price.get("region") else region[1] if region else None,
        sku=str(price.get("instanceType") or (kind[1] if kind else f"{pool.gpus_per_node} x {gpu}")),
        bought=_BOUGHT[pool.capacity_type],
    )


def _first_node(pool: Pool, world: World) -> tuple[dict[str, str], str | None]:
    names = {node.name for node in pool.nodes}
    found = sorted((thing for thing in world.nodes if name_of(thing) in names), key=lambda thing: name_of(thing) or "")
    if not found:
        return {}, None
    provider_id = mapping(found[0], "spec").get("providerID")
    return dict(labels_of(found[0])), provider_id if isinstance(provider_id, str) else None


def _listed(seen: Seen) -> dict[str, Fraction]:
    """What one GPU of each name is listed at on demand: the median over the price book."""
    book: PriceBook = seen.catalogues.prices
    prices: dict[str, list[Fraction]] = {}
    for key, price in book.prices.items():
        shape = book.instances.get((key.cloud, key.instance_type))
        if shape is not None and key.bought == "OnDemand" and shape.gpu_count >= 1:
            prices.setdefault(shape.gpu, []).append(Fraction(price.usd_per_node_hour) / shape.gpu_count)
    return {gpu: median(found) for gpu, found in prices.items()}


# --- files ---------------------------------------------------------------------------------------------------------


def _cells(rows: Sequence[FocusRow]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield row.model_dump(mode="json", by_alias=True)


def _as_json(rows: Sequence[FocusRow]) -> str:
    return json.dumps(list(_cells(rows)), indent=2, ensure_ascii=False) + "\n"


def _as_csv(rows: Sequence[FocusRow]) -> str:
    """Null is an empty cell, tags are JSON."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=COLUMNS, lineterminator="\n")
    writer.writeheader()
    for cells in _cells(rows):
        tags = cells.get("Tags")
        writer.writerow(cells | {"Tags": "" if tags is None else json.dumps(tags, sort_keys=True)})
    return out.getvalue()
