"""``berth cost commit``: how much to reserve for a trace of demand, at the prices of the book."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from berth_cost.prices.age import PriceAge
from berth_cost.prices.book import InstanceShape, Price, PriceBook, PriceMissing
from berth_cost.prices.offers import AgeLimits
from berth_cost.rounding import significant_number
from berth_cost.spending.commitment import Market
from berth_cost.spending.commitment_study import (
    LEAST_SEASONS,
    CommitmentPrice,
    CommitmentStudy,
    Schedule,
    advice,
    judged_policies,
)
from berth_cost.spot.availability import REPLACEMENT_SECONDS, SPOT_INTERRUPTIONS_PER_HOUR, effective_usd_per_hour
from berth_operator.cli import options
from berth_operator.cli.cost_commit_view import commitment_markdown, show_commitment
from berth_operator.cli.outcome import InputError, Outcome
from berth_operator.cli.output import Format, Output, note, progress
from berth_operator.cli.price_options import PriceFiles, age_limits, load_catalogues
from berth_operator.cli.simulation import read_demand, scalable_in
from berth_operator.cli.sources import Sources, make_plan, see
from berth_scheduler.simulation.demand_ticks import TICK_SECONDS, Capacity, Ticks, ticks_of
from berth_scheduler.simulation.demand_trace import DemandTrace, TraceError
from berth_scheduler.wording import plural

Floats = NDArray[np.float64]
Season = Literal["day", "week"]

STEP_SECONDS = 600.0
HELD_STEPS = 3
"""A replica stays for the busiest of so many steps: capacity follows peaks, and a scale-down waits."""
SEASONS: dict[str, tuple[Season, float]] = {"day": ("day", 86_400.0), "week": ("week", 7 * 86_400.0)}
TERMS = ("OneYear", "ThreeYears")
MOST_RATE = 1e6


@dataclass(frozen=True, slots=True)
class Sizing:
    """What one replica is. ``capacity``: the rate that it sustains, at the lengths of the time."""

    capacity: Capacity
    gpus: float
    reads_tokens: bool


def cost_commit(
    more: options.MoreFiles = None,
    *,
    trace: Annotated[Path, typer.Option("--trace", metavar="DEMAND.csv", help="Demand: t_s,requests_per_min[,…].")],
    node: Annotated[
        str,
        typer.Option("--node", metavar="CLOUD/REGION/TYPE", help="What is bought, such as aws/us-east-1/g6e.xlarge."),
    ],
    files: options.Files = None,
    workload: Annotated[
        str | None, typer.Option("--workload", metavar="NAME", help="Of the files, where there are several.")
    ] = None,
    replica_rate: Annotated[
        float | None,
        typer.Option("--replica-rate", metavar="RATE", help="Requests a second of one replica, instead of files."),
    ] = None,
    gpus_per_replica: Annotated[
        float, typer.Option("--gpus-per-replica", metavar="GPUS", help="With --replica-rate.")
    ] = 1.0,
    term: Annotated[str, typer.Option("--term", metavar="TERM", help="OneYear or ThreeYears.")] = "OneYear",
    spot_share_percent: Annotated[
        float,
        typer.Option("--spot-share-percent", metavar="PERCENT", help="Most replicas of a moment that may be on spot."),
    ] = 0.0,
    season: Annotated[
        str, typer.Option("--season", metavar="day|week", help="After which demand repeats itself.")
    ] = "day",
    prices: PriceFiles = None,
    at: options.At = None,
    output: options.As = Format.TABLE,
    to: options.To = None,
    settings: options.SettingsFile = None,
) -> int:
    """How many replicas to reserve, for a trace of demand, and how good that advice would have been.

    The first half of the trace is known, the second is paid for: the newsvendor's answer and the two-stage program's,
    beside the best commitment that hindsight has. Exits with 2 where the planner finds no place for the workload.
    """
    _check(term, spot_share_percent, season, replica_rate, gpus_per_replica)
    stated, catalogues = load_catalogues(settings, prices)
    shape, place = _node(node, catalogues.prices)
    demand = read_demand(trace)
    sources = Sources((*(files or ()), *(more or ())), settings=settings, at=at)
    sizing = _sizing(sources, workload, replica_rate, gpus_per_replica)
    if isinstance(sizing, str):
        note(sizing)
        return Outcome.DOES_NOT_HOLD
    gpus = shape.whole_gpus()
    if not isinstance(gpus, int) or sizing.gpus > gpus:
        raise InputError(f"--node {node}: {shape.instance_type} has {gpus} GPUs, and a replica needs {sizing.gpus:g}")
    market, paid = _market(
        catalogues.prices, place, (term, spot_share_percent / 100), sizing.gpus / gpus, age_limits(stated, at)
    )
    ticks = _ticks(trace, demand, sizing)
    schedule = _schedule(ticks, season, trace)
    with progress("weighing commitments"):
        study = CommitmentStudy(
            trace=trace.name,
            node=node,
            requests_per_second_per_replica=significant_number(float(np.mean(ticks.capacity))),
            gpus_per_replica=sizing.gpus,
            maximum_spot_share_percent=spot_share_percent,
            season=SEASONS[season][0],
            known_days=_days(schedule.known),
            judged_days=_days(len(schedule.replicas) - schedule.known),
            mean_replicas=significant_number(float(schedule.replicas.mean()), 4),
            peak_replicas=int(schedule.replicas.max()),
            prices=paid,
            advice=advice(schedule, market, replicas_per_node=gpus / sizing.gpus),
            policies=judged_policies(schedule, market),
        )
    Output(output, to).write_record(
        study, lambda page: show_commitment(page, study), lambda: commitment_markdown(study)
    )
    return Outcome.DONE


def _check(term: str, spot_share_percent: float, season: str, rate: float | None, gpus: float) -> None:
    """Raises :class:`InputError` that names every option that cannot be. Compared so that nan fails too."""
    flaws = []
    if term not in TERMS:
        flaws.append(f"--term {term}: must be {' or '.join(TERMS)}")
    if season not in SEASONS:
        flaws.append(f"--season {season}: must be {' or '.join(SEASONS)}")
    if not 0 <= spot_share_percent <= 100:
        flaws.append(f"--spot-share-percent {spot_share_percent:g}: must be from 0 to 100")
    if rate is not None and not 0 < rate <= MOST_RATE:
        flaws.append(f"--replica-rate {rate:g}: must be above 0 and at most {MOST_RATE:g}")
    if not 0 < gpus <= 64:
        flaws.append(f"--gpus-per-replica {gpus:g}: must be above 0 and at most 64")
    if flaws:
        raise InputError(*flaws)


# --- what is bought ----------------------------------------------------------------------------------------------


def _node(stated: str, book: PriceBook) -> tuple[InstanceShape, tuple[str, str, str]]:
    parts = stated.split("/")
    if len(parts) != 3 or not all(parts):
        raise InputError(f"--node {stated}: state CLOUD/REGION/TYPE, such as aws/us-east-1/g6e.xlarge")
    cloud, region, instance_type = parts
    shape = book.instance(cloud, instance_type)
    if isinstance(shape, PriceMissing):
        raise InputError(f"--node {stated}: {shape.message}")
    return shape, (cloud, region, instance_type)


def _market(
    book: PriceBook, place: tuple[str, str, str], wish: tuple[str, float], node_share: float, limits: AgeLimits
) -> tuple[Market, tuple[CommitmentPrice, ...]]:
    """Per replica, which has ``node_share`` of a node. ``wish``: the term, and the most that may be on spot, which has
    its risk in its price."""
    term, spot_share = wish
    wanted = ("OnDemand", term, *(["Spot"] if spot_share else []))
    usd: dict[str, float] = {}
    told = []
    for bought in wanted:
        found = book.lookup(cloud=place[0], region=place[1], instance_type=place[2], term=bought)
        if not isinstance(found, Price):
            raise InputError(f"--node {'/'.join(place)}: {found.message}")
        _check_age(found, "/".join(place), bought, limits)
        each = float(found.usd_per_node_hour) * node_share
        if bought == "Spot":
            each = effective_usd_per_hour(each, SPOT_INTERRUPTIONS_PER_HOUR, REPLACEMENT_SECONDS)
        usd[bought] = each
        source = f"{found.source}, {found.date}"
        told.append(
            CommitmentPrice.model_validate(
                {"bought": bought, "usd_per_replica_hour": str(significant_number(each)), "source": source}
            )
        )
    return Market(usd["OnDemand"], {term: usd[term]}, usd.get("Spot"), spot_share), tuple(told)


def _check_age(price: Price, node: str, bought: str, limits: AgeLimits) -> None:
    """Says that a price is old, or dated in the future. Raises :class:`InputError` for one that is too old to use."""
    age = PriceAge.of(price, limits.today, limits.old_after, limits.refused_after)
    told = f"the {bought} price of {node} is of {price.date}"
    if age.refused:
        raise InputError(
            f"--node {node}: {told}, older than {limits.refused_after} days: give a newer one with --prices"
        )
    if age.to_come:
        note(f"{told}, in the future: correct the date")
    if age.old:
        factor = age.factor(spot=bought == "Spot")
        note(f"{told}: by now it may be {1 / factor:.3g} to {factor:.3g} times that")


# --- what is needed ----------------------------------------------------------------------------------------------


def _sizing(sources: Sources, workload: str | None, rate: float | None, gpus: float) -> Sizing | str:
    """A sentence where the planner finds no place. Raises :class:`InputError`."""
    if (rate is None) == (not sources.files):
        raise InputError("say what one replica sustains: --replica-rate RATE, or -f FILE to plan a workload")
    if rate is not None:
        fixed = np.array(rate)
        return Sizing(
            lambda prompt, made: (_repeated(fixed, prompt), _repeated(fixed, prompt)), gpus, reads_tokens=False
        )
    snapshot = see(sources).snapshot
    found = scalable_in(snapshot, make_plan(snapshot), workload, "reserve")
    if isinstance(found, str):
        return found
    return Sizing(found.capacity, found.gpus_per_replica, reads_tokens=found.workload.traffic.output_tokens is not None)


MOST_BETWEEN = 3
"""Times the usual distance between two rows of a trace: what is further apart is said."""


def _repeated(value: Floats, like: Floats | None) -> Floats:
    return value if like is None else np.full(len(like), float(value))


def _ticks(file: Path, demand: DemandTrace, sizing: Sizing) -> Ticks:
    if not sizing.reads_tokens and demand.prompt_tokens is not None:
        note("token columns are left out: the rate of a replica is one for all lengths")
        demand = demand.without_tokens()
    try:
        ticks = ticks_of(demand, sizing.capacity)
    except TraceError as error:
        raise InputError(f"{file}: {error}") from error
    between = np.diff(demand.seconds)
    for place in np.flatnonzero(between > MOST_BETWEEN * np.median(between))[:5].tolist():
        line, hours = int(demand.lines[place + 1]), between[place] / 3600
        note(f"{file}: line {line}: no row for {hours:.3g} h before it: taken to run straight from row to row")
    if ticks.cut:
        note(f"{plural(len(ticks.cut), 'hole')} of the trace cut out: the course of its days is shifted by that")
    return ticks


def _schedule(ticks: Ticks, season: str, file: Path) -> Schedule:
    """Replicas by ten minutes: enough for the busiest of three steps, at least one."""
    per_step = round(STEP_SECONDS / TICK_SECONDS)
    steps = len(ticks.peak) // per_step
    length = round(SEASONS[season][1] / STEP_SECONDS)
    if steps < LEAST_SEASONS * length:
        days = steps * STEP_SECONDS / 86_400
        raise InputError(
            f"{file}: {days:.3g} days of demand are less than {LEAST_SEASONS} {season}s: two to know, one to judge by"
        )
    needed = np.maximum(np.ceil(ticks.peak[: steps * per_step].reshape(steps, per_step).max(axis=1) - 1e-9), 1.0)
    held = needed.copy()
    for back in range(1, HELD_STEPS):
        held[back:] = np.maximum(held[back:], needed[:-back])
    return Schedule(held, length, level_half_life=SEASONS["week"][1] / STEP_SECONDS)


def _days(steps: int) -> float:
    return significant_number(steps * STEP_SECONDS / 86_400, 4)
