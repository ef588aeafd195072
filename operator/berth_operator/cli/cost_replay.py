"""``berth cost replay``: spot policies on traces of capacity."""

from pathlib import Path
from typing import Annotated

import typer

from berth_cost.document import DocumentError
from berth_cost.spot.comparison import POLICY_NAMES, other_days_fit, replay_policies
from berth_cost.spot.hazard import HazardFit, built_in_fit, read_fit
from berth_cost.spot.replay import ReplayRules, tick_rows
from berth_cost.spot.trace import SpotTrace, read_spot_trace
from berth_operator.cli import options
from berth_operator.cli.cost_replay_view import replay_markdown, show_replay
from berth_operator.cli.outcome import InputError, Outcome
from berth_operator.cli.output import Format, Output, progress


def cost_replay(
    *,
    trace: Annotated[
        Path, typer.Option("--trace", metavar="TRACE.csv", help="trace_id,tick_start,tick_end,nodes_available.")
    ],
    want: Annotated[int, typer.Option("--want", metavar="REPLICAS", min=1, max=64, help="To have ready.")],
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", metavar="NAME", help="This one only, can be repeated; by default all of them."),
    ] = None,
    select: Annotated[
        str, typer.Option("--select", metavar="PATTERN", help="Only these trace_ids, such as 'avail-1-node-*'.")
    ] = "*",
    ticks: Annotated[
        Path | None,
        typer.Option("--ticks", metavar="FILE", help="Write zones held and on-demand replicas per tick, as CSV."),
    ] = None,
    tick_seconds: Annotated[float, typer.Option("--tick-seconds", metavar="SECONDS", help="Length of a tick.")] = 195.0,
    start_ticks: Annotated[
        int, typer.Option("--start-ticks", metavar="TICKS", min=0, max=1000, help="From asking to ready.")
    ] = 1,
    spot_price_share: Annotated[
        float, typer.Option("--spot-price-share", metavar="SHARE", help="Spot price over on-demand price.")
    ] = 0.35,
    per_zone_limit: Annotated[
        int, typer.Option("--per-zone-limit", metavar="REPLICAS", min=1, max=64, help="Most on spot in one zone.")
    ] = 1,
    fit: Annotated[
        str,
        typer.Option(
            "--fit",
            metavar="built-in|other-days|FILE",
            help="What the learned policies learned from; other-days: each day from all other days of this trace.",
        ),
    ] = "built-in",
    output: options.As = Format.TABLE,
    to: options.To = None,
) -> int:
    """Replay spot policies on a trace of capacity: how often enough replicas were ready, at what share of on demand."""
    rules = _rules(want, tick_seconds, start_ticks, spot_price_share, per_zone_limit)
    names = tuple(policy or POLICY_NAMES)
    unknown = [name for name in names if name not in POLICY_NAMES]
    if unknown:
        raise InputError(f"--policy {unknown[0]}: there is no such policy; there are {', '.join(POLICY_NAMES)}")
    found = _trace(trace, select)
    with progress(f"Replaying {found.ticks} ticks of {len(found.zones)} zones"):
        try:
            fits = _fits(fit, found, rules)
        except ValueError as error:
            raise InputError(f"--fit {fit}: {error}") from error
        result, logs = replay_policies(found, rules, names, fits)
    if ticks is not None:
        Output(Format.TABLE, ticks).write(tick_rows(logs, found))
    Output(output, to).write_record(result, lambda page: show_replay(page, result), lambda: replay_markdown(result))
    return Outcome.DONE


def _rules(
    want: int, tick_seconds: float, start_ticks: int, spot_price_share: float, per_zone_limit: int
) -> ReplayRules:
    # Compared so that nan fails too.
    if not 0 < spot_price_share <= 1:
        raise InputError(
            f"--spot-price-share {spot_price_share:g}: must be above 0 and at most 1: spot that costs more than on"
            " demand is no alternative"
        )
    if not 0 < tick_seconds <= 86_400:
        raise InputError(f"--tick-seconds {tick_seconds:g}: must be above 0 and at most 86400, a day")
    return ReplayRules(
        want=want,
        tick_seconds=tick_seconds,
        start_ticks=start_ticks,
        spot_price_share=spot_price_share,
        per_zone_limit=per_zone_limit,
    )


def _trace(path: Path, select: str) -> SpotTrace:
    try:
        return read_spot_trace(_text(path, "--trace"), str(path), select)
    except DocumentError as error:
        raise InputError(*(str(flaw) for flaw in error.flaws)) from error


def _fits(named: str, trace: SpotTrace, rules: ReplayRules) -> tuple[HazardFit, ...]:
    """One fit for all days, or one a day."""
    if named == "built-in":
        return (built_in_fit(),)
    if named == "other-days":
        return other_days_fit(trace, rules)
    try:
        return (read_fit(_text(Path(named), "--fit"), named),)
    except DocumentError as error:
        raise InputError(*(str(flaw) for flaw in error.flaws)) from error


def _text(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{option} {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{option} {path}: is not UTF-8 text: byte {error.start} is not") from error
