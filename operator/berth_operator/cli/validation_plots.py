"""Predicted against measured, one SVG a metric: equal input gives equal bytes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from berth_cost.cases.validation import Comparison

MANY = 2000
"""Points from which on they are drawn as pixels inside the SVG: a file of a hundred thousand paths opens nowhere."""
COLOURS = {"mean": "#1f77b4", "p50": "#2ca02c", "p90": "#bcbd22", "p95": "#ff7f0e", "p99": "#d62728", None: "#1f77b4"}
FACTOR = 1.2
"""The dashed lines: 20 % off."""
STYLE: Any = {"svg.hashsalt": "berthmaster", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9.0}


def draw(found: Iterable[Comparison], folder: Path) -> list[Path]:
    """Write ``folder/METRIC.svg`` for each metric with a prediction; returns the files. Raises OSError."""
    by_metric: dict[str, list[Comparison]] = {}
    for one in found:
        if np.isfinite(one.predicted):
            by_metric.setdefault(one.metric, []).append(one)
    folder.mkdir(parents=True, exist_ok=True)
    return [_plot(metric, by_metric[metric], folder / f"{metric}.svg") for metric in sorted(by_metric)]


def _plot(metric: str, members: Sequence[Comparison], file: Path) -> Path:
    # A figure of its own, no pyplot: nothing is shared, and no display is asked for.
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6, 6), dpi=150, layout="constrained")
        axes = figure.subplots()
        _points(axes, members)
        values = [value for one in members for value in (one.observed, one.predicted)]
        low, high = min(values) / 1.5, max(values) * 1.5
        for factor, style in ((1.0, "-"), (FACTOR, "--"), (1 / FACTOR, "--")):
            axes.plot([low, high], [low * factor, high * factor], style, color="black", linewidth=0.6)
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
        axes.set(xlabel=f"measured {metric}", ylabel="predicted, with its 90 % band")
        axes.legend(loc="upper left", frameon=False)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file


def _points(axes: Axes, members: Sequence[Comparison]) -> None:
    pixels = len(members) > MANY
    for statistic, colour in COLOURS.items():
        some = [one for one in members if one.statistic == statistic]
        if not some:
            continue
        observed, predicted, low, high = np.array([[one.observed, one.predicted, one.low, one.high] for one in some]).T
        label = f"{statistic or 'value'} ({len(some):,})"
        axes.vlines(observed, low, high, color=colour, alpha=0.15, linewidth=0.8, rasterized=pixels)
        axes.plot(observed, predicted, ".", color=colour, markersize=3, label=label, rasterized=pixels)
