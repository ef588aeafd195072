"""The pictures of a report, as SVG that takes the colours of the page it stands in. Equal input gives equal bytes."""

import io
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from berth_operator.cli.output import printable
from berth_operator.cli.report.page import MOST_BARS, Picture, monthly
from berth_scheduler.decision import Plan
from berth_scheduler.savings.saving import Baseline, SavingTotal
from berth_scheduler.savings.words import FACTORS, saving_of
from berth_scheduler.snapshot import Snapshot

INK = "#010203"
"""Stands for the page's own text colour: nothing else is drawn in it."""
BEFORE, PLANNED, LESS, MORE = "#7a869a", "#0072b2", "#009e73", "#d55e00"
"""Okabe and Ito (2008), told apart by people who do not see all colours; and legible on light and dark."""
STYLE: Any = {
    "svg.hashsalt": "berthmaster",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
WIDTH = 9.0
"""Inches; the page scales it."""
LONGEST = 40
"""Characters of a name."""


def pictures(plan: Plan, snapshot: Snapshot) -> tuple[Picture, ...]:
    """Where each saving comes from, and the workloads side by side; none where nothing can be compared."""
    hours = snapshot.policy.hours_per_month
    found = [_bridge(total, hours) for total in plan.totals.savings]
    if any(total.baseline is Baseline.CONVENTIONAL for total in plan.totals.savings):
        found.append(_side_by_side(plan, hours))
    return tuple(found)


def _bridge(total: SavingTotal, hours: Decimal) -> Picture:
    """From the baseline's cost down, and up, to what is planned."""
    steps = [(FACTORS[factor], part) for factor, part in total.parts.items()]
    name = f"from-{total.baseline.value.lower()}"
    before, after = monthly(total.usd_per_hour, hours), monthly(total.planned_usd_per_hour, hours)
    told = ", ".join(f"{what} {'costs' if part < 0 else 'saves'} {monthly(abs(part), hours)}" for what, part in steps)
    alt = f"From {before} a month to {after}: {told or 'no difference'}."

    def draw(axes: Axes) -> None:
        labels = [SHORT_NAMES[total.baseline], *(what for what, _ in steps), "planned"]
        level = float(total.usd_per_hour * hours)
        axes.barh(0, level, color=BEFORE)
        _value(axes, 0, level, before)
        for at, (_, part) in enumerate(steps, 1):
            change = float(part * hours)
            axes.barh(at, -change, left=level, color=LESS if change > 0 else MORE)
            sign = "−" if change > 0 else "+"
            _value(axes, at, max(level, level - change), f"{sign}{monthly(abs(part), hours)}")
            axes.plot([level, level], [at - 1, at], color=INK, linewidth=0.6)
            level -= change
        planned = float(total.planned_usd_per_hour * hours)
        axes.barh(len(labels) - 1, planned, color=PLANNED)
        _value(axes, len(labels) - 1, planned, after)
        axes.set_yticks(range(len(labels)), labels)

    return Picture(name, f"From {BASELINE_TITLES[total.baseline]} to the plan", alt, _svg(draw, len(steps) + 2, name))


SHORT_NAMES = {Baseline.RUNNING: "runs now", Baseline.CONVENTIONAL: "the usual"}
BASELINE_TITLES = {Baseline.RUNNING: "what runs now", Baseline.CONVENTIONAL: "the usual"}


def _side_by_side(plan: Plan, hours: Decimal) -> Picture:
    """The dearest workloads, usual and planned."""
    pairs = []
    for one in plan.decisions:
        saving = saving_of(one.savings, Baseline.CONVENTIONAL)
        if one.cost is not None and saving is not None and saving.usd_per_hour is not None:
            pairs.append((one.workload, saving.usd_per_hour, one.cost.usd_per_hour))
    pairs.sort(key=lambda pair: (-max(pair[1:]), pair[0]))
    shown = pairs[:MOST_BARS]
    alt = "; ".join(
        f"{name}: usual {monthly(usual, hours)}, planned {monthly(cost, hours)}" for name, usual, cost in shown
    )

    def draw(axes: Axes) -> None:
        for at, (_, usual, cost) in enumerate(shown):
            for offset, usd, colour in ((-0.2, usual, BEFORE), (0.2, cost, PLANNED)):
                axes.barh(at + offset, float(usd * hours), height=0.38, color=colour)
                _value(axes, at + offset, float(usd * hours), monthly(usd, hours), size=9)
        axes.set_yticks(range(len(shown)), [_literal(name) for name, _, _ in shown])

    left = f", the dearest {MOST_BARS} of {len(pairs)}" if len(pairs) > MOST_BARS else ""
    title = f"By workload{left}: usual above, planned below"
    return Picture("by-workload", title, alt, _svg(draw, 1.4 * len(shown), "by-workload"))


def _value(axes: Axes, at: float, end: float, text: str, size: float = 10.0) -> None:
    axes.annotate(
        _literal(text), (end, at), xytext=(5, 0), textcoords="offset points", va="center", fontsize=size, color=INK
    )


def _literal(text: str) -> str:
    """``text`` as it is: a pair of dollars would start a formula, and names may be long."""
    shown = printable(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")
    return shown.replace("$", r"\$")


def _svg(draw: Callable[[Axes], None], rows: float, name: str) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.7 + 0.42 * rows), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        draw(axes)
        axes.invert_yaxis()
        axes.margins(x=0.14, y=0.25 / rows)
        axes.set_xlim(left=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _literal(f"${value:,.0f}")))
        axes.set_xlabel("US dollars a month")
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return _embedded(written.getvalue(), name)


def _embedded(svg: str, name: str) -> str:
    """The element alone, with identifiers of its own, in the page's colours, and at the page's width."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', element)
    element = re.sub(r'(url\(#|xlink:href="#)', rf"\g<1>{name}-", element)
    element = re.sub(r'^<svg ([^>]*?)width="[^"]+" height="[^"]+"', r"<svg \1", element)
    element = element.replace("<svg ", '<svg aria-hidden="true" ', 1)  # what it shows is told in words beside it
    return element.replace(INK, "currentColor").strip()
