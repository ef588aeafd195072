"""Measured runs before they calibrate anything: completed by their case, and checked against each other."""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

from berth_cost.cases.case import Case, MeasuredPoint, Metrics, Percentiles

OVERRIDES = ("hardware", "precision", "engine", "parallelism", "serving", "load", "request")
"""What a run may state; what it leaves out is as in the case."""
PERCENTILES = ("p50", "p90", "p95", "p99")
CONTRADICTION = 2.0
"""Measured again, a configuration differs by 4 to 6 % (InferenceMAX repeats, BERT over TensorRT releases, read 2026):
a factor of two in a mean, a median or a rate is another configuration, or an error of measurement."""
CENTRAL = ("mean", "p50")


def completed(point: MeasuredPoint, case: Case) -> MeasuredPoint:
    """The run with everything stated."""
    absent = {name: getattr(case, name) for name in OVERRIDES if getattr(point, name) is None}
    return point.model_copy(update=absent)


def run_of(case: Case) -> MeasuredPoint | None:
    """What was observed in a case, as a run with everything stated; None where nothing was observed."""
    if case.observed is None or not any(True for _ in numbers_of(case.observed)):
        return None
    return completed(MeasuredPoint(metrics=case.observed), case)


def numbers_of(metrics: Metrics) -> Iterator[tuple[str, str | None, float]]:
    """(metric, statistic or None, value) of everything stated, by the names of the JSON."""
    for name, field in type(metrics).model_fields.items():
        value, metric = getattr(metrics, name), field.alias or name
        if isinstance(value, Percentiles):
            yield from ((metric, statistic, number) for statistic, number in value if number is not None)
        elif value is not None:
            yield metric, None, value


def contradictions(runs: Sequence[MeasuredPoint]) -> Iterator[tuple[int, int, str]]:
    """Pairs of runs of one configuration that cannot both be true: their positions, and why in words.

    ``runs`` are completed, or of one case. Latencies are compared by mean and median, rates and the rest as they are.
    """
    by_configuration: dict[str, list[int]] = {}
    for position, run in enumerate(runs):
        by_configuration.setdefault(run.model_dump_json(exclude={"metrics"}), []).append(position)
    for positions in by_configuration.values():
        for first, second in combinations(positions, 2):
            words = _difference(runs[first].metrics, runs[second].metrics)
            if words is not None:
                yield first, second, words


def _difference(first: Metrics, second: Metrics) -> str | None:
    there = {(metric, statistic): value for metric, statistic, value in numbers_of(second)}
    for metric, statistic, value in numbers_of(first):
        other = there.get((metric, statistic))
        if other is None or statistic not in (None, *CENTRAL):
            continue
        factor = max(value, other) / min(value, other)
        if factor > CONTRADICTION:
            name = metric if statistic is None else f"{metric}.{statistic}"
            return f"{name} is {value:g} in one and {other:g} in the other, a factor of {factor:.1f}"
    return None


def impossible(run: MeasuredPoint) -> str | None:
    """Why one run cannot be true, in words: percentiles that fall, or more requests at once than there were clients
    (Little's law: rate × latency); either by more than two runs may differ."""
    for metric, rising in _percentiles(run.metrics).items():
        for (lower, before), (higher, after) in pairwise(rising):
            if before > CONTRADICTION * after:
                return f"{metric}.{lower} is {before:g} and {higher} is {after:g}: percentiles rise"
    clients = None if run.load is None or run.load.kind != "closed" else run.load.concurrency
    times = run.metrics.latency_seconds or run.metrics.end_to_end_seconds
    rate, seconds = run.metrics.requests_per_second, None if times is None else times.mean
    if clients and rate and seconds and rate * seconds > CONTRADICTION * clients:
        return f"{rate:g} requests per second of {seconds:g} s each are more at once than {clients:g} clients"
    return None


def _percentiles(metrics: Metrics) -> dict[str, list[tuple[str, float]]]:
    """By metric, in the order in which they should rise."""
    found: dict[str, dict[str, float]] = {}
    for metric, statistic, value in numbers_of(metrics):
        if statistic is not None:
            found.setdefault(metric, {})[statistic] = value
    return {metric: [(name, own[name]) for name in PERCENTILES if name in own] for metric, own in found.items()}
