"""A simulation as a page, and as Markdown."""

from decimal import Decimal

from berth_operator.cli.output import Column, Page, cell
from berth_operator.cli.plan_view import markdown_row
from berth_scheduler.simulation.play import PolicyResult, Simulation
from berth_scheduler.wording import dollars, number, plural

HEADERS = ("POLICY", "WINDOWS MET", "COST", "× HINDSIGHT", "GPU-HOURS", "SCALINGS/DAY", "UTILISATION")
COLUMNS = (Column(HEADERS[0]), *(Column(header, right=True) for header in HEADERS[1:]))


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


def simulation_markdown(simulation: Simulation) -> str:
    lines = [f"**{headline(simulation)}**", "", f"| {' | '.join(HEADERS).lower()} |", "|---" + "|---:" * 6 + "|"]
    lines += [markdown_row(*cells) for cells in _rows(simulation)]
    return "\n".join([*lines, "", *remarks(simulation)]) + "\n"


def remarks(simulation: Simulation) -> list[str]:
    """What the figures rest on."""
    said = [
        f"A replica sustains {number(simulation.requests_per_second_per_replica, 3)} requests/s inside every "
        f"objective; demand peaks at {number(simulation.peak_requests_per_second, 3)}/s. "
        f"A cold start takes {number(simulation.cold_start_seconds, 3)} s; seed {simulation.seed}."
    ]
    if simulation.windows_cut:
        said.append(f"{plural(simulation.windows_cut, 'window')} are left out: the trace has holes there.")
    if simulation.unreachable_windows:
        said.append(
            f"{plural(simulation.unreachable_windows, 'window')} need more than the {simulation.maximum_replicas} "
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


def _met(result: PolicyResult) -> str:
    """Never rounded up to 100 %."""
    hundredths = int(result.windows_met_percent * 100)
    return f"{hundredths / 100:.2f} %"


def _times(one: PolicyResult, best: PolicyResult) -> str:
    return f"{one.usd / best.usd:.2f}" if best.usd > Decimal(0) else ""
