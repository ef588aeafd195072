"""Words and numbers as people read them: the same in messages, explanations and tables."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import floor, log10

from berth_scheduler.snapshot import Berth, CapacityType, Workload

MESSAGE_LENGTH = 200
"""A condition's message is read in a table."""

CAPACITY_TYPES = tuple(CapacityType)
BOUGHT = {
    CapacityType.ON_DEMAND: "on demand",
    CapacityType.RESERVED: "reserved",
    CapacityType.OWNED: "owned",
    CapacityType.SPOT: "spot",
}
METRICS = {
    "latencySeconds": "latency",
    "endToEndSeconds": "latency",
    "timeToFirstTokenSeconds": "time to first token",
    "timePerOutputTokenSeconds": "time per output token",
}
LATENCY_PARTS = {
    "queue_seconds": "queueing",
    "host_seconds": "input copy",
    "memory_seconds": "memory",
    "compute_seconds": "computation",
    "communication_seconds": "communication",
    "overhead_seconds": "overhead",
}
"""The parts of a prediction, in the order in which a request meets them."""


def model_metric(workload: Workload, metric: str) -> str:
    """What the model calls it: the time of a whole request is ``endToEndSeconds`` of a language model and
    ``latencySeconds`` of any other."""
    if metric in ("latencySeconds", "endToEndSeconds"):
        return "endToEndSeconds" if workload.model and workload.model.transformer else "latencySeconds"
    return metric


def number(value: float, digits: int = 3) -> str:
    """At most ``digits`` significant digits, no exponent, no trailing zeros: 9.1, 262, 12,400."""
    if value == 0:
        return "0"
    rounded = f"{value:.{digits - 1}e}"
    mantissa, _, exponent = rounded.partition("e")
    decimals = len(mantissa.rstrip("0").partition(".")[2])
    return f"{float(rounded):,.{max(0, decimals - int(exponent))}f}"


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{number(seconds / size)} {unit}"
    return f"{number(seconds / 1e-6)} µs"


def band(point: float, low: float, high: float) -> str:
    """``8.2–10.4``: a band of durations in the unit that :func:`duration` gives the point."""
    size = 1.0 if point >= 1 else 1e-3 if point >= 1e-3 else 1e-6
    return f"{number(low / size)}–{number(high / size)}"


def duration_band(point: float, low: float, high: float) -> str:
    """``9.1 ms (8.2–10.4)``"""
    return f"{duration(point)} ({band(point, low, high)})"


def memory(size_bytes: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= size:
            return f"{number(size_bytes / size)} {unit}"
    return f"{number(size_bytes)} B"


def dollars(usd: Decimal | Fraction | float) -> str:
    """$1.05; $1,533 from a thousand on; four decimals below a cent."""
    value = float(usd)
    if value >= 1000:
        return f"${value:,.0f}"
    return f"${value:.2f}" if value >= 0.01 or value == 0 else f"${value:.4f}"


def unit_name(gpu: str, mig_profile: str | None) -> str:
    return f"{gpu} {mig_profile}" if mig_profile else gpu


def replicas_phrase(berths: Sequence[Berth]) -> str:
    """``3 × L4``; where a replica spans four GPUs ``4×H100-SXM-80GB``, and two of them ``2 × 4×H100-SXM-80GB``."""
    first, total = berths[0], sum(berth.replicas for berth in berths)
    unit = unit_name(first.gpu, first.mig_profile)
    if first.tensor_parallel == 1:
        return f"{total} × {unit}"
    return f"{f'{total} × ' if total > 1 else ''}{first.tensor_parallel}×{unit}"


def bought_phrase(berths: Sequence[Berth]) -> str:
    """``on demand``; ``1 on demand + 2 spot`` where it is mixed."""
    counts: dict[CapacityType, int] = {}
    for berth in berths:
        counts[berth.capacity_type] = counts.get(berth.capacity_type, 0) + berth.replicas
    kinds = [kind for kind in CAPACITY_TYPES if kind in counts]
    if len(kinds) == 1:
        return BOUGHT[kinds[0]]
    return " + ".join(f"{counts[kind]} {BOUGHT[kind]}" for kind in kinds)


def berths_phrase(berths: Sequence[Berth]) -> str:
    """``4 × A100-SXM-80GB 1g.10gb, int8, on demand``"""
    return f"{replicas_phrase(berths)}, {berths[0].precision}, {bought_phrase(berths)}"


def objective_name(metric: str, statistic: str) -> str:
    return f"{METRICS.get(metric, metric)} {statistic}"


def percent(value: float) -> str:
    """``99.9 %``, ``99.99967 %``: as many nines as there are, and two digits after them."""
    places = max(0, 1 - floor(log10(100 - value))) if 0 < value < 100 else 0
    # Rounded down: what is said must not be more than what holds.
    shown = floor(value * 10**places + 1e-6) / 10**places
    return f"{shown:.{places}f}".rstrip("0").rstrip(".") + " %" if places else f"{shown:.0f} %"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shortened(message: str) -> str:
    """At most :data:`MESSAGE_LENGTH` characters, cut at a word."""
    if len(message) <= MESSAGE_LENGTH:
        return message
    return message[: MESSAGE_LENGTH - 1].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"
