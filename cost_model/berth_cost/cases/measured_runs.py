"""Measured runs before they calibrate anything: completed by their case, and checked against each other."""

from collections.abc import Iterator, Sequence
from itertools import combinations

from berth_cost.cases.case import Case, MeasuredPoint, Metrics, Percentiles

OVERRIDES = ("hardware", "precision", "engine", "parallelism", "serving", "load", "request")
"""What a run may state; what it leaves out is as in the case."""
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
