"""A cost comparison as pictures: where the money goes, what would change the answer, how sure it is, at which size."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from berth_cost.ownership.comparison import Comparison

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
"""Okabe and Ito (2008): told apart by people who do not see all colours."""
MOST_INPUTS = 12
SUFFIX = ".svg"

Picture = Callable[[Comparison, Axes], None]

# Identical bytes for identical results: no random identifiers, and no date (see _save).
mpl.rcParams.update({"svg.hashsalt": "berthmaster", "svg.fonttype": "none"})


def write_plots(result: Comparison, folder: Path, suffix: str = SUFFIX) -> list[Path]:
    """Write what ``result`` has into ``folder``, made where it is not there; the files written. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures: list[tuple[str, Picture, float]] = [("cost", _cost, 4.5)]
    if result.sensitivity:
        pictures.append(("sensitivity", _sensitivity, 1.6 + 0.34 * min(len(result.sensitivity), MOST_INPUTS)))
    if result.distribution is not None:
        pictures.append(("distribution", _distribution, 1.6 + 0.6 * len(result.options)))
    if result.scaling is not None:
        pictures.append(("scaling", _scaling, 4.5))
    return [_save(folder / f"{name}{suffix}", result, draw, height) for name, draw, height in pictures]


def _save(path: Path, result: Comparison, draw: Picture, height: float) -> Path:
    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.add_subplot()
    draw(result, axes)
    figure.suptitle(axes.get_title(loc="left"), x=0.01, ha="left")
    axes.set_title("", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path


def _dollars(value: float, _: object = None) -> str:
    sign, size = ("−" if value < 0 else ""), abs(value)
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if size >= scale:
            return f"{sign}${size / scale:.4g}{unit}"
    return f"{sign}${size:.3g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _literal(text: str) -> str:
    """``text`` as it is: a pair of dollars would start a formula."""
    return text.replace("$", r"\$")


_MONEY = FuncFormatter(lambda value, position: _literal(_dollars(value, position)))


def _cost(result: Comparison, axes: Axes) -> None:
    names = [option.name for option in result.options]
    items = list(dict.fromkeys(item for option in result.options for item in option.breakdown_usd))
    above, below = [0.0] * len(names), [0.0] * len(names)
    for index, item in enumerate(items):
        values = [float(option.breakdown_usd.get(item, 0)) for option in result.options]
        starts = [above[at] if value >= 0 else below[at] for at, value in enumerate(values)]
        hatch = "//" if index >= len(COLOURS) else None
        axes.bar(names, values, bottom=starts, color=COLOURS[index % len(COLOURS)], label=_literal(item), hatch=hatch)
        above = [top + max(value, 0) for top, value in zip(above, values, strict=True)]
        below = [bottom + min(value, 0) for bottom, value in zip(below, values, strict=True)]
    for at, option in enumerate(result.options):
        text = _literal(f"{_dollars(float(option.total_usd))}")
        axes.annotate(text, (at, above[at]), xytext=(0, 3), textcoords="offset points", ha="center", weight="bold")
    axes.yaxis.set_major_formatter(_MONEY)
    axes.set_title(_literal(f"Cost over {result.horizon_months} months, {result.demand.gpus} GPUs"), loc="left")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _sensitivity(result: Comparison, axes: Axes) -> None:
    """A tornado: the saving of the best option that is not the baseline."""
    shown = min((one for one in result.options if one.name != result.baseline), key=lambda one: one.total_usd)
    rows = []
    for row in result.sensitivity:
        ends = next(option for option in row.options if option.name == shown.name)
        rows.append((row, float(ends.saving_usd_at_low), float(ends.saving_usd_at_high)))
    rows.sort(key=lambda each: -abs(each[2] - each[1]))
    rows = [each for each in rows[:MOST_INPUTS] if each[1] != each[2]]
    stated = float(shown.saving_usd or 0)
    for at, (_, low, high) in enumerate(rows):
        axes.barh(at, low - stated, left=stated, color=COLOURS[0], label="input low" if at == 0 else None)
        axes.barh(at, high - stated, left=stated, color=COLOURS[1], label="input high" if at == 0 else None)
    labels = [f"{row.input}  ({_number(float(row.low))} to {_number(float(row.high))})" for row, _, _ in rows]
    axes.set_yticks(range(len(rows)), [_literal(label) for label in labels])
    axes.invert_yaxis()
    axes.axvline(stated, color="black", linewidth=0.8)
    axes.axvline(0, color="black", linewidth=0.8, linestyle=":")
    axes.xaxis.set_major_formatter(_MONEY)
    axes.set_title(_literal(f"Saving of {shown.name} against {result.baseline}, one input at a time"), loc="left")
    axes.legend(frameon=False, loc="lower right")


def _distribution(result: Comparison, axes: Axes) -> None:
    assert result.distribution is not None
    boxes = [
        {
            "whislo": float(option.total_usd.p5),
            "q1": float(option.total_usd.p25),
            "med": float(option.total_usd.p50),
            "q3": float(option.total_usd.p75),
            "whishi": float(option.total_usd.p95),
            "label": _literal(f"{option.name}\ncheapest in {option.cheapest_percent:.3g} %"),
        }
        for option in result.distribution.options
    ]
    axes.bxp(boxes, orientation="horizontal", showfliers=False, medianprops={"color": COLOURS[5]})
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(_MONEY)
    axes.set_title(
        _literal(f"Total over {result.horizon_months} months, 5 to 95 % of {result.distribution.draws:,} draws"),
        loc="left",
    )


def _scaling(result: Comparison, axes: Axes) -> None:
    assert result.scaling is not None
    rows = result.scaling.rows
    by_tokens = rows[0].per_million_tokens_usd is not None
    demand = [row.tokens_per_second or 0.0 for row in rows] if by_tokens else [float(row.gpus) for row in rows]
    lowest = [float("inf")] * len(rows)
    for index, option in enumerate(result.options):
        prices = [float((row.per_million_tokens_usd or row.per_gpu_hour_used_usd)[option.name]) for row in rows]
        axes.plot(demand, prices, color=COLOURS[index % len(COLOURS)], label=_literal(option.name), linewidth=1.5)
        lowest = [min(pair) for pair in zip(lowest, prices, strict=True)]
    axes.plot(demand, lowest, color="black", linewidth=5, alpha=0.15, label="cheapest")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(_MONEY)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))
    axes.set_xlabel("tokens per second" if by_tokens else "GPUs")
    unit = "a million tokens" if by_tokens else "a used GPU-hour"
    axes.set_title(_literal(f"Price of {unit} by demand"), loc="left")
    axes.legend(frameon=False)
