"""A simulation as a page, and as Markdown."""

from decimal import Decimal

from berth_operator.cli.output import Column, Page, cell
from berth_operator.cli.plan_view import markdown_row
from berth_scheduler.simulation.play import PolicyResult
from berth_scheduler.simulation.simulation_record import Simulation
from berth_scheduler.wording import dollars, number

HEADERS = ("POLICY", "WINDOWS MET", "COST", "× HINDSIGHT", "GPU-HOURS", "SCALINGS/DAY", "UTILISATION")
COLUMNS = (Column(HEADERS[0]), *(Column(header, right=True) for header in HEADERS[1:]))

SHORT = {
    "static-peak": "static",
    "hpa-gpu-utilization": "hpa-gpu",
    "hpa-queue-time": "hpa-queue",
    "keda-threshold": "keda",
}
SETTING_HEADERS = ("TARGET", "MISSES", "WINDOW", "MET", "COST", "× HINDSIGHT", "SCALINGS/DAY", "NO WORSE THAN")
SETTING_COLUMNS = (
    *(Column(header, right=True) for header in SETTING_HEADERS[:-1]),
    Column(SETTING_HEADERS[-1], least=8),
)


def headline(simulation: Simulation) -> str:
    """``vision/resnet kept its objectives in 99.97 % of 20,150 windows for $1,234, 1.33 × hindsight.``"""
    ours, best = simulation.policies[0], simulation.policies[-1]
    times = _times(ours, best)
    over = f", {times} × hindsight" if times else ""
    return (
        f"{simulation.workload} keeps its objectives in {_met(ours)} of {simulation.windows:,} windows for "
        f"{dollars(ours.usd)}{over}."
    )


def show_simulation(page: Page, simulation: Simulation) -> None:
    page.sentence(headline(simulation), "bold")
    page.gap()
    page.table(
        COLUMNS,
        [
            tuple(cell(text, "bold" if not place and not row else "") for place, text in enumerate(cells))
            for row, cells in enumerate(_rows(simulation))
        ],
    )
    page.gap()
    for sentence in remarks(simulation):
        page.sentence(sentence)
    if simulation.settings:
        page.gap()
        page.table(SETTING_COLUMNS, [tuple(cell(text) for text in cells) for cells in _setting_rows(simulation)])


def simulation_markdown(simulation: Simulation) -> str:
    lines = [f"**{headline(simulation)}**", "", f"| {' | '.join(HEADERS).lower()} |", "|---" + "|---:" * 6 + "|"]
    lines += [markdown_row(*cells) for cells in _rows(simulation)]
    lines += ["", *remarks(simulation)]
    if simulation.settings:
        lines += ["", f"| {' | '.join(SETTING_HEADERS).lower()} |", "|---:" * 7 + "|---|"]
        lines += [markdown_row(*cells) for cells in _setting_rows(simulation)]
    return "\n".join(lines) + "\n"


def remarks(simulation: Simulation) -> list[str]:
    """What the figures rest on."""
    said = [
        f"A replica sustains {number(simulation.requests_per_second_per_replica, 3)} requests/s inside every "
        f"objective; demand peaks at {number(simulation.peak_requests_per_second, 3)}/s. "
        f"A cold start takes {number(simulation.cold_start_seconds, 3)} s; seed {simulation.seed}.",
        f"The controller aims at {number(simulation.target_utilization_percent, 3)} % utilisation, allows "
        f"{number(simulation.allowed_miss_percent, 3)} % of misses, and holds a count for "
        f"{number(simulation.scale_down_stabilization_seconds, 5)} s before it falls (spec.autoscaling).",
    ]
    if simulation.windows_cut:
        said.append(f"{simulation.windows_cut:,} windows are left out: the trace has holes there.")
    if simulation.unreachable_windows:
        said.append(
            f"{simulation.unreachable_windows:,} windows need more than the {simulation.maximum_replicas} "
            "replicas that replicas.maximum and the pools allow: no policy meets them."
        )
    lost = [f"{one.name} {one.interruptions}" for one in simulation.policies if one.interruptions]
    if lost:
        said.append(f"Spot replicas lost: {', '.join(lost)}; hindsight is spared them.")
    return said


def _rows(simulation: Simulation) -> list[tuple[str, ...]]:
    best = simulation.policies[-1]
    return [
        (
            one.name,
            _met(one),
            dollars(one.usd),
            _times(one, best),
            f"{one.gpu_hours:,.1f}",
            number(one.scalings_per_day, 3),
            f"{number(one.utilization_percent, 3)} %",
        )
        for one in simulation.policies
    ]


def _setting_rows(simulation: Simulation) -> list[tuple[str, ...]]:
    best = simulation.policies[-1]
    return [
        (
            f"{number(each.setting.target_utilization_percent, 3)} %",
            f"{number(each.setting.allowed_miss_percent, 3)} %",
            f"{number(each.setting.scale_down_stabilization_seconds, 5)} s",
            _met(each.result),
            dollars(each.result.usd),
            _times(each.result, best),
            number(each.result.scalings_per_day, 3),
            ", ".join(SHORT.get(name, name) for name in each.no_worse_than) or "–",
        )
        for each in simulation.settings
    ]


def _met(result: PolicyResult) -> str:
    """Never rounded up to 100 %."""
    hundredths = int(result.windows_met_percent * 100)
    return f"{hundredths / 100:.2f} %"


def _times(one: PolicyResult, best: PolicyResult) -> str:
    return f"{one.usd / best.usd:.2f}" if best.usd > Decimal(0) else ""
