"""The commands about a plan. Each reads its input, calls the pure packages, writes one result, returns how it ended."""

from pathlib import Path
from typing import Annotated

import typer

from berth_operator.cli import options
from berth_operator.cli.comparison import PlanComparison, compare, continued
from berth_operator.cli.comparison_view import comparison_markdown, show_comparison
from berth_operator.cli.explanation_view import explanation_markdown, show_explanation
from berth_operator.cli.from_sources import from_sources
from berth_operator.cli.outcome import InputError, Outcome
from berth_operator.cli.output import Format, Output, note
from berth_operator.cli.plan_view import plan_markdown, show_plan
from berth_operator.cli.rendering import rendered_objects, write_objects
from berth_operator.cli.simulation import SimulationRequest, simulated
from berth_operator.cli.simulation_view import show_simulation, simulation_markdown
from berth_operator.cli.snapshot_view import show_snapshot, snapshot_markdown
from berth_operator.cli.sources import Seen, Sources, load_snapshot, make_plan, manifests_in, see
from berth_scheduler.decision import Plan
from berth_scheduler.explain import explain
from berth_scheduler.plan import plan as plan_snapshot
from berth_scheduler.snapshot import Snapshot


@from_sources
def plan(
    sources: Sources,
    *,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="DIR_OR_SNAPSHOT", help="Show what changes from there, and what it costs."),
    ] = None,
    fail_above: Annotated[
        float | None,
        typer.Option("--fail-above", metavar="PERCENT", help="With --against: exit 2 where the cost grows by more."),
    ] = None,
    namespace: options.OnlyNamespace = None,
    output: options.As = Format.TABLE,
    to: options.To = None,
) -> int:
    """Decide for all workloads: GPUs, precision, replicas, prediction, cost, and what cannot be placed.

    Exits with 0 when done, 1 on an error in the input, 2 where something cannot be placed or costs more than allowed.
    """
    if fail_above is not None and against is None:
        raise InputError("--fail-above compares with something: give --against DIR_OR_SNAPSHOT too")
    seen, result = see(sources), Output(output, to)
    if against is not None:
        return _plan_against(seen, against, fail_above, result)
    return _write_plan(seen.snapshot, make_plan(seen.snapshot), result, namespace, sources.as_options)


def replay(
    snapshot: Annotated[Path, typer.Argument(metavar="SNAPSHOT.json", help="What berth snapshot wrote.")],
    *,
    output: options.As = Format.TABLE,
    to: options.To = None,
) -> int:
    """Plan a snapshot again: the same plan, bit for bit."""
    found = load_snapshot(snapshot)
    return _write_plan(found, make_plan(found), Output(output, to), None, "")


def explain_workload(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The workload: NAME, or NAMESPACE/NAME.")],
    *,
    files: options.Files = None,
    cluster: options.Cluster = False,
    everything: Annotated[bool, typer.Option("--all", help="Every rejected candidate and runner-up.")] = False,
    namespace: options.Namespace = None,
    at: options.At = None,
    output: options.As = Format.TABLE,
    to: options.To = None,
    settings: options.SettingsFile = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> int:
    """Why this berth, why not the others, and what would change the answer. Without -f: of the live cluster."""
    sources = Sources(tuple(files or ()), cluster or not files, kubeconfig, context, settings, at)
    snapshot = see(sources).snapshot
    key = _find(name, namespace, snapshot)
    decision = next(one for one in make_plan(snapshot).decisions if one.workload == key)
    workload = next(one for one in snapshot.workloads if one.key == key)
    explanation = explain(decision, workload)
    again = f"berth explain {key} {sources.as_options}"
    Output(output, to).write_record(
        explanation,
        lambda page: show_explanation(page, explanation, workload, everything=everything, again=again),
        lambda: explanation_markdown(explanation),
    )
    return Outcome.DONE if decision.placed else Outcome.DOES_NOT_HOLD


@from_sources
def render(
    sources: Sources,
    *,
    namespace: options.OnlyNamespace = None,
    pod_monitors: Annotated[
        bool, typer.Option("--pod-monitors", help="As for a cluster that has the kind PodMonitor.")
    ] = False,
    output: Annotated[
        Format, typer.Option("-o", "--output", help="yaml, json, or a table of the objects.")
    ] = Format.YAML,
    to: options.To = None,
) -> int:
    """The manifests that the operator would apply for what can be placed."""
    seen = see(sources)
    decisions = make_plan(seen.snapshot).decisions
    objects, refused = rendered_objects(seen, decisions, namespace, has_pod_monitor=pod_monitors)
    for message in refused:
        note(message)
    write_objects(objects, Output(output, to))
    return Outcome.DOES_NOT_HOLD if refused else Outcome.DONE


@from_sources
def snapshot(
    sources: Sources,
    *,
    output: options.As = Format.JSON,
    to: options.To = None,
) -> int:
    """What a plan depends on, as one file: berth replay plans it again. -o table shows it to people."""
    found = see(sources).snapshot
    Output(output, to).write_record(found, lambda page: show_snapshot(page, found), lambda: snapshot_markdown(found))
    return Outcome.DONE


def simulate(
    more: options.MoreFiles = None,
    *,
    trace: Annotated[Path, typer.Option("--trace", metavar="DEMAND.csv", help="Demand: t_s,requests_per_min[,…].")],
    files: options.Files = None,
    cluster: options.Cluster = False,
    workload: Annotated[
        str | None, typer.Option("--workload", metavar="NAME", help="Which, where there are several: NAMESPACE/NAME.")
    ] = None,
    cold_start_seconds: Annotated[
        float | None,
        typer.Option(
            "--cold-start-seconds",
            metavar="SECONDS",
            help="From the request of a replica to its first answer; by default what the pools state, else 180.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of spot interruptions.")] = 0,
    spot_trace: Annotated[
        Path | None,
        typer.Option(
            "--spot-trace", metavar="SPOT.csv", help="Spot capacity: t_s,nodes_available[,usd_per_node_hour]."
        ),
    ] = None,
    spot_select: Annotated[
        str,
        typer.Option("--spot-select", metavar="PATTERN", help="Of a --spot-trace by zones: which, * and ? allowed."),
    ] = "*",
    spot_tick_seconds: Annotated[
        float, typer.Option("--spot-tick-seconds", metavar="SECONDS", help="Of a --spot-trace by zones: a tick.")
    ] = 195.0,
    target_utilization_percent: Annotated[
        float | None,
        typer.Option(
            "--target-utilization-percent",
            metavar="PERCENT",
            help="What the controller aims at; this and the next two by default as spec.autoscaling says.",
        ),
    ] = None,
    scale_down_stabilization_seconds: Annotated[
        float | None,
        typer.Option("--scale-down-stabilization-seconds", metavar="SECONDS", help="How long fewer must do."),
    ] = None,
    allowed_miss_percent: Annotated[
        float | None,
        typer.Option(
            "--allowed-miss-percent", metavar="PERCENT", help="How often demand may exceed its forecast's edge."
        ),
    ] = None,
    other_settings: Annotated[
        bool, typer.Option("--other-settings", help="Play ten other settings too, from careful to cheap.")
    ] = False,
    at: options.At = None,
    output: options.As = Format.TABLE,
    to: options.To = None,
    settings: options.SettingsFile = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> int:
    """The replica controller against a trace of demand, beside static sizing, HPA, KEDA and hindsight."""
    sources = Sources((*(files or ()), *(more or ())), cluster, kubeconfig, context, settings, at)
    asked = SimulationRequest(
        trace=trace,
        workload=workload,
        cold_start_seconds=cold_start_seconds,
        seed=seed,
        spot_trace=spot_trace,
        spot_select=spot_select,
        spot_tick_seconds=spot_tick_seconds,
        target_utilization_percent=target_utilization_percent,
        scale_down_stabilization_seconds=scale_down_stabilization_seconds,
        allowed_miss_percent=allowed_miss_percent,
        other_settings=other_settings,
    )
    asked.check()
    seen = see(sources)
    snapshot = seen.snapshot
    key = _find(workload, None, snapshot) if workload else None
    simulation = simulated(snapshot, make_plan(snapshot), key, asked, seen.world.workloads)
    if isinstance(simulation, str):
        note(simulation)
        return Outcome.DOES_NOT_HOLD
    Output(output, to).write_record(
        simulation, lambda page: show_simulation(page, simulation), lambda: simulation_markdown(simulation)
    )
    return Outcome.DONE


# --- plan --------------------------------------------------------------------------------------------------------


def _write_plan(snapshot: Snapshot, made: Plan, result: Output, namespace: str | None, again: str) -> int:
    shown = made if namespace is None else _only(made, namespace)
    result.write_record(
        shown, lambda page: show_plan(page, shown, snapshot, again=again), lambda: plan_markdown(shown, snapshot)
    )
    return Outcome.DONE if all(one.placed for one in shown.decisions) else Outcome.DOES_NOT_HOLD


def _only(made: Plan, namespace: str) -> Plan:
    """The decisions of one namespace; the totals stay those of the fleet."""
    decisions = tuple(one for one in made.decisions if one.workload.partition("/")[0] == namespace)
    return made.model_copy(update={"decisions": decisions})


def _plan_against(seen: Seen, against: Path, fail_above: float | None, result: Output) -> int:
    earlier = _earlier(seen, against)
    earlier_plan = plan_snapshot(earlier)
    later = continued(seen.snapshot, earlier, earlier_plan)
    comparison = compare(earlier, earlier_plan, later, make_plan(later), str(against))
    result.write_record(
        comparison, lambda page: show_comparison(page, comparison), lambda: comparison_markdown(comparison)
    )
    too_dear = fail_above is not None and _grows_above(comparison, fail_above)
    if too_dear:
        note(f"the cost grows by more than {fail_above:g} % (--fail-above)")
    lost = any(not one.placed for one in comparison.plan.decisions)
    return Outcome.DOES_NOT_HOLD if too_dear or lost else Outcome.DONE


def _earlier(seen: Seen, against: Path) -> Snapshot:
    """A snapshot that was written before, or manifests, seen with the same settings and at the same time."""
    if against.is_file() and against.suffix == ".json" and b'"Snapshot"' in against.read_bytes():
        return load_snapshot(against)
    return seen.snapshot_of(manifests_in([against]).world)


def _grows_above(comparison: PlanComparison, percent: float) -> bool:
    """From nothing to something is more than any percentage."""
    if comparison.percent is None:
        return comparison.after_usd_per_hour > 0
    return comparison.percent > percent


# --- names -------------------------------------------------------------------------------------------------------


def _find(name: str, namespace: str | None, snapshot: Snapshot) -> str:
    """The key of the workload that ``name`` means. Raises :class:`InputError` that lists what there is."""
    keys = [one.key for one in snapshot.workloads]
    wanted = name if "/" in name or namespace is None else f"{namespace}/{name}"
    found = [key for key in keys if key == wanted or ("/" not in wanted and key.partition("/")[2] == wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{name} is the name of several workloads: {', '.join(found)}; say which with -n NAMESPACE")
    there = ", ".join(keys[:10]) + (f" and {len(keys) - 10} more" if len(keys) > 10 else "")
    raise InputError(f"there is no workload {wanted}; there is {there or 'none'}")
