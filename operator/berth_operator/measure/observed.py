"""Samples of a run as the metrics of a case. Pure."""

from collections.abc import Sequence

import numpy as np

from berth_cost.cases.case import Metrics, Percentiles
from berth_cost.rounding import significant_number
from berth_operator.measure.load import Run

LEAST_SAMPLES = {"p50": 2, "p90": 10, "p95": 20, "p99": 100}
"""Below that a percentile is the largest sample by another name, and left out."""


def observed_classic(run: Run, items_per_request: int) -> Metrics:
    """Of requests that are one forward pass."""
    rate = significant_number(_rate(run))
    return Metrics(
        latency_seconds=percentiles([one.done_seconds - one.due_seconds for one in run.samples]),
        requests_per_second=rate,
        items_per_second=significant_number(rate * items_per_request),
    )


def observed_language(run: Run) -> Metrics:
    """Of requests whose tokens were seen one by one.

    The time per output token of a request is that between its first and last token, over the tokens after the first;
    it is one sample a request, as load generators count it.
    """
    answered = [one for one in run.samples if one.tokens_at]
    tokens = sum(len(one.tokens_at) for one in answered)
    spread = [
        (one.tokens_at[-1] - one.tokens_at[0]) / (len(one.tokens_at) - 1) for one in answered if one.tokens_at[1:]
    ]
    return Metrics(
        time_to_first_token_seconds=percentiles([one.tokens_at[0] - one.due_seconds for one in answered]),
        time_per_output_token_seconds=percentiles(spread),
        end_to_end_seconds=percentiles([one.done_seconds - one.due_seconds for one in answered]),
        requests_per_second=significant_number(_rate(run)),
        output_tokens_per_second=significant_number(tokens / run.seconds) if tokens else None,
    )


def mean_tokens(run: Run) -> float | None:
    """Of an answer; None where none was seen."""
    counts = [len(one.tokens_at) for one in run.samples if one.tokens_at]
    return significant_number(float(np.mean(counts))) if counts else None


def _rate(run: Run) -> float:
    return len(run.samples) / run.seconds


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """Mean and the percentiles that there are samples enough for; None without any value above 0."""
    array = np.array([value for value in values if value > 0])
    if not len(array):
        return None
    found = {"mean": float(array.mean())}
    found |= {
        name: float(np.percentile(array, int(name[1:]))) for name, least in LEAST_SAMPLES.items() if len(array) >= least
    }
    return Percentiles.model_validate({name: significant_number(value) for name, value in found.items()})
