"""``berth simulate``: reads the traces, plans, and plays them."""

import gzip
import io
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from berth_cost.document import DocumentError
from berth_cost.rounding import significant_number
from berth_cost.spot.trace import read_spot_trace as read_zones
from berth_operator.api.workload import Autoscaling
from berth_operator.cli.outcome import InputError
from berth_operator.cli.output import note, progress
from berth_operator.world import Object, key_of, mapping
from berth_scheduler.control.replica_control import ControlPolicy
from berth_scheduler.control.scalable import Scalable, scalable
from berth_scheduler.decision import Decision, Plan
from berth_scheduler.simulation.demand_ticks import Ticks, ticks_of
from berth_scheduler.simulation.demand_trace import (
    OUTPUT,
    PROMPT,
    DemandTrace,
    SpotSupplyTrace,
    TraceError,
    read_spot_trace,
    read_trace,
)
from berth_scheduler.simulation.play import Scene, compare, unreachable_windows
from berth_scheduler.simulation.setting_ladder import LADDER, AutoscalingSetting, SettingResult, climb
from berth_scheduler.simulation.simulated_fleet import SpotTrace
from berth_scheduler.simulation.simulation_record import Simulation
from berth_scheduler.snapshot import CapacityType, Snapshot
from berth_scheduler.wording import number, plural

Trace = TypeVar("Trace")

MOST_BYTES = 200 * 2**20
GZIP = b"\x1f\x8b"
LONGEST_USUAL_STEP_SECONDS = 3600.0
DEFAULT_COLD_START_SECONDS = 180.0
LONGEST_COLD_START_SECONDS = 7200.0


@dataclass(frozen=True, slots=True)
class SimulationRequest:
    """What the command line asks for; shares in percent. None: as the workload says, or its pools."""

    trace: Path
    workload: str | None
    cold_start_seconds: float | None
    seed: int
    spot_trace: Path | None
    spot_select: str
    spot_tick_seconds: float
    target_utilization_percent: float | None
    scale_down_stabilization_seconds: float | None
    allowed_miss_percent: float | None
    other_settings: bool

    def check(self) -> None:
        """Raises :class:`InputError` that names the options that cannot be."""
        flaws = []
        for option, value, least, most in (
            ("--cold-start-seconds", self.cold_start_seconds, 0, LONGEST_COLD_START_SECONDS),
            ("--target-utilization-percent", self.target_utilization_percent, 10, 100),
            ("--spot-tick-seconds", self.spot_tick_seconds, 1, 86_400),
            ("--scale-down-stabilization-seconds", self.scale_down_stabilization_seconds, 0, 30 * 86_400),
            ("--allowed-miss-percent", self.allowed_miss_percent, 0.1, 50),
        ):
            if value is not None and not (math.isfinite(value) and least <= value <= most):
                flaws.append(f"{option} {value:g}: must be between {least:g} and {most:g}")
        if flaws:
            raise InputError(*flaws)


def simulated(
    snapshot: Snapshot, plan: Plan, key: str | None, asked: SimulationRequest, workloads: Sequence[Object]
) -> Simulation | str:
    """The simulation of one workload; a sentence where it has no place. Raises :class:`InputError`."""
    trace = read_demand(asked.trace)
    found = scalable_in(snapshot, plan, key, "simulate")
    if isinstance(found, str):
        return found
    ticks = _ticks(asked.trace, _fitting(trace, found), found)
    scene = Scene(
        ticks=ticks,
        berths=found.berths,
        gpus_per_replica=found.gpus_per_replica,
        start=found.planned,
        cold_start_seconds=_cold_start(asked, found),
        seed=asked.seed,
        spot=_spot(asked, snapshot, found, float(ticks.seconds[0])),
    )
    setting = _setting(asked, found.workload.key, workloads)
    return _simulation(scene, setting.applied(_limits(found)), setting, found, asked)


def scalable_in(snapshot: Snapshot, plan: Plan, key: str | None, verb: str) -> Scalable | str:
    """What a plan makes of one of its workloads; a sentence where it has no place to ``verb``. Raises InputError."""
    decision = _chosen(plan, key)
    if not decision.placed:
        return f"{decision.workload} cannot be placed, so there is nothing to {verb}: {decision.message}"
    others = [one for one in plan.decisions if one.placed and one.workload != decision.workload]
    return scalable(snapshot, decision, others)


def read_demand(file: Path) -> DemandTrace:
    """A trace of demand. Raises :class:`InputError`."""
    return _read(file, read_trace)


def _simulation(
    scene: Scene, policy: ControlPolicy, setting: AutoscalingSetting, found: Scalable, asked: SimulationRequest
) -> Simulation:
    with progress(f"simulating {scene.ticks.windows:,} windows"):
        policies = compare(scene, policy)
    settings: tuple[SettingResult, ...] = ()
    if asked.other_settings:
        with progress(f"simulating {len(LADDER)} other settings"):
            settings = tuple(climb(scene, policy, policies))
    return Simulation(
        trace=asked.trace.name,
        workload=found.workload.key,
        windows=scene.ticks.windows,
        windows_cut=scene.ticks.windows_cut,
        unreachable_windows=unreachable_windows(scene, policy),
        cold_start_seconds=scene.cold_start_seconds,
        seed=scene.seed,
        target_utilization_percent=setting.target_utilization_percent,
        scale_down_stabilization_seconds=setting.scale_down_stabilization_seconds,
        allowed_miss_percent=setting.allowed_miss_percent,
        requests_per_second_per_replica=significant_number(float(np.mean(scene.ticks.capacity))),
        peak_requests_per_second=significant_number(float(np.max(scene.ticks.peak * scene.ticks.capacity))),
        minimum_replicas=policy.minimum,
        maximum_replicas=min(policy.maximum, sum(berth.maximum for berth in scene.berths)),
        policies=policies,
        settings=settings,
    )


def _limits(found: Scalable) -> ControlPolicy:
    return ControlPolicy(
        minimum=found.workload.minimum_replicas,
        maximum=max(found.workload.maximum_replicas, sum(found.planned)),
        spot=found.workload.spot,
    )


def _setting(asked: SimulationRequest, key: str, workloads: Sequence[Object]) -> AutoscalingSetting:
    """What the command line says, else the workload; planned workloads are valid ones."""
    thing = next(one for one in workloads if key_of(one) == key)
    stated = Autoscaling.model_validate(mapping(thing, "spec").get("autoscaling") or {})

    def either(option: float | None, spec: int | Decimal) -> float:
        return float(spec) if option is None else option

    return AutoscalingSetting(
        target_utilization_percent=either(asked.target_utilization_percent, stated.target_utilization_percent),
        allowed_miss_percent=either(asked.allowed_miss_percent, stated.allowed_miss_percent),
        scale_down_stabilization_seconds=either(
            asked.scale_down_stabilization_seconds, stated.scale_down_stabilization_seconds
        ),
    )


def _chosen(plan: Plan, key: str | None) -> Decision:
    there = [one.workload for one in plan.decisions]
    if key is None and len(there) != 1:
        named = ", ".join(there[:10]) or "none"
        raise InputError(f"a trace is of one workload, and there are {len(there)}: say which with --workload ({named})")
    return next(one for one in plan.decisions if key is None or one.workload == key)


def _cold_start(asked: SimulationRequest, found: Scalable) -> float:
    if asked.cold_start_seconds is not None:
        return asked.cold_start_seconds
    return DEFAULT_COLD_START_SECONDS if found.startup_seconds is None else found.startup_seconds


# --- traces ------------------------------------------------------------------------------------------------------


def _read(file: Path, read: Callable[[str], Trace]) -> Trace:
    try:
        return read(_text(file))
    except TraceError as error:
        raise InputError(f"{file}: {error}") from error
    except DocumentError as error:
        raise InputError(*str(error).splitlines()) from error


def _text(file: Path) -> str:
    """Of a CSV, or of one that gzip made smaller; lines end with a newline whatever they ended with."""
    try:
        with file.open("rb") as stream:
            content = _bounded(file, stream)
        if content.startswith(GZIP):
            content = _bounded(file, gzip.GzipFile(fileobj=io.BytesIO(content)))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{file}: is no whole gzip file ({error}): make it again") from error
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    try:
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{file}: line {line}: is not text in UTF-8: save it as CSV in UTF-8") from error


def _bounded(file: Path, stream: BinaryIO | gzip.GzipFile) -> bytes:
    content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(f"{file}: larger than {MOST_BYTES // 2**20} MiB: thin the trace out")
    return content


def _fitting(trace: DemandTrace, found: Scalable) -> DemandTrace:
    """The trace without what the model of this workload cannot use; told."""
    if trace.ignored:
        note(f"columns that a simulation does not read: {', '.join(trace.ignored)[:200]}")
    apart = float(np.median(np.diff(trace.seconds)))
    if apart > LONGEST_USUAL_STEP_SECONDS:
        note(f"rows are {number(apart, 3)} s apart, and demand between them is taken for a line: is t_s in seconds?")
    if trace.prompt_tokens is not None and found.workload.traffic.output_tokens is None:
        note(f"{PROMPT} and {OUTPUT} are left out: {found.workload.key} is no language model")
        return trace.without_tokens()
    return trace


def _ticks(file: Path, trace: DemandTrace, found: Scalable) -> Ticks:
    try:
        ticks = ticks_of(trace, found.capacity)
    except TraceError as error:
        raise InputError(f"{file}: {error}") from error
    for start, end in ticks.cut[:5]:
        zeros = np.any((trace.seconds > start) & (trace.seconds < end))
        what = "zeros from" if zeros else "no rows from"
        note(f"{what} t_s {start:.10g} to {end:.10g}: a hole in the trace, not demand: cut out")
    if len(ticks.cut) > 5:
        note(f"and {plural(len(ticks.cut) - 5, 'more hole')} cut out: {number(ticks.windows_cut, 6)} windows in all")
    return ticks


def _spot_supply(text: str, asked: SimulationRequest) -> SpotSupplyTrace:
    """Rows in time, or run-length rows of zones as `berth cost replay` reads them: their nodes are added up."""
    if "tick_start" not in text.partition("\n")[0]:
        return read_spot_trace(text)
    zones = read_zones(text, str(asked.spot_trace), asked.spot_select)
    seconds = np.arange(zones.ticks, dtype=np.float64) * asked.spot_tick_seconds
    nodes = zones.nodes.sum(axis=1)
    return SpotSupplyTrace(seconds, nodes, np.full(zones.ticks, np.nan))


def _spot(asked: SimulationRequest, snapshot: Snapshot, found: Scalable, start_seconds: float) -> SpotTrace | None:
    """In replicas of this workload. All spot pools of a workload share the trace, the cheapest first."""
    if asked.spot_trace is None:
        return None
    trace = _read(asked.spot_trace, lambda text: _spot_supply(text, asked))
    names = {berth.key.partition("/")[0] for berth in found.berths if berth.spot}
    pools = [pool for pool in snapshot.pools if pool.name in names and pool.capacity_type is CapacityType.SPOT]
    if not pools:
        raise InputError(f"--spot-trace {asked.spot_trace}: {found.workload.key} has no spot berth to apply it to")
    per_node = min(pool.gpus_per_node for pool in pools) / found.gpus_per_replica
    replicas = np.floor(trace.nodes * per_node + 1e-9).astype(np.int64)
    # A trace of spot has a clock of its own, which starts with the demand's.
    return SpotTrace(trace.seconds - trace.seconds[0] + start_seconds, replicas, trace.usd_per_node_hour / per_node)
