"""Measured grids of configurations as questions: which is the cheapest that keeps an objective on the time per token?

A grid is a published set of runs of one model at one pair of lengths: GPUs, engines and versions, precisions, splits
and numbers of clients. Time per output token of served runs is as published; of static batches it is the batch over its
output rate, prompts included. Money: a node's price in proportion to the GPUs used, over the tokens it makes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from berth_cost.cases.case import Case
from berth_cost.performance.prediction_table import PredictionTable
from berth_cost.prices.book import PriceBook

Floats = NDArray[np.float64]

SOURCES = ("inferencemax", "aiconfigurator-silicon", "trtllm-docs")
OBJECTIVES_SECONDS = tuple(milliseconds / 1000 for milliseconds in (10, 15, 20, 25, 30, 40, 50, 60, 80, 100))
FEWEST_OPTIONS = 3


@dataclass(frozen=True)
class Answers:
    """What somebody says, or what was measured, about every run of a grid; shapes (n,)."""

    seconds: Floats
    """Per output token: what is held against the objective. nan: nothing is said."""
    tokens_per_second: Floats
    """Output tokens of the whole deployment."""


@dataclass(frozen=True)
class Question:
    """``rows`` are the runs to choose from."""

    source: str
    model: str
    lengths: tuple[float, float]
    rows: NDArray[np.int64]
    objective_seconds: float


def is_option(case: Case) -> bool:
    """Whether the run states a time per token, or a rate of a static batch."""
    seen = case.observed
    if case.id.split("/")[0] not in SOURCES or seen is None or (case.request.output_tokens or 0) <= 1:
        return False
    if case.load.kind == "batch":
        return seen.output_tokens_per_second is not None
    return case.load.kind == "closed" and seen.time_per_output_token_seconds is not None


def questions(cases: Sequence[Case], measured: Answers) -> list[Question]:
    """Every grid at every objective that some run of it keeps: below that there is nothing to choose."""
    grids: dict[tuple[str, str, float, float], list[int]] = {}
    for row, case in enumerate(cases):
        key = (case.id.split("/")[0], case.model.name, case.request.input_tokens or 0, case.request.output_tokens or 0)
        grids.setdefault(key, []).append(row)
    found = []
    for (source, model, prompt, output), rows in sorted(grids.items()):
        if len(rows) < FEWEST_OPTIONS:
            continue
        chosen = np.array(rows, dtype=np.int64)
        for objective in OBJECTIVES_SECONDS:
            if (measured.seconds[chosen] <= objective).any():
                found.append(Question(source, model, (prompt, output), chosen, objective))
    return found


def measured_answers(cases: Sequence[Case]) -> Answers:
    seconds, rates = np.full(len(cases), np.nan), np.full(len(cases), np.nan)
    for row, case in enumerate(cases):
        seen, load, output = case.observed, case.load, case.request.output_tokens or 0.0
        assert seen is not None
        if load.kind == "batch":
            assert seen.output_tokens_per_second is not None and load.batch_size is not None
            rates[row] = seen.output_tokens_per_second
            seconds[row] = load.batch_size / rates[row]
            continue
        token, first = seen.time_per_output_token_seconds, seen.time_to_first_token_seconds
        assert token is not None and token.mean is not None and load.concurrency is not None
        seconds[row] = token.mean
        waited = first.mean if first is not None and first.mean is not None else 0.0
        rates[row] = load.concurrency * output / (waited + (output - 1) * token.mean)
    return Answers(seconds, rates)


def predicted_answers(cases: Sequence[Case], predictions: PredictionTable, *, pessimistic: bool) -> Answers:
    """Objectives judged on the pessimistic edge of the band or on the point; costs always by the point."""
    judged = predictions.high if pessimistic else predictions.point
    slowest = (predictions.low if pessimistic else predictions.point)["outputTokensPerSecond"]["value"]
    batch = np.array([case.load.batch_size if case.load.kind == "batch" else np.nan for case in cases])
    per_token = judged["timePerOutputTokenSeconds"]["mean"]
    seconds = np.where(np.isnan(batch), per_token, batch / slowest)
    return Answers(seconds, predictions.point["outputTokensPerSecond"]["value"])


def usd_per_gpu_hour(book: PriceBook, gpus: Sequence[str]) -> dict[str, float]:
    """By GPU: the median over the clouds that sell it on demand of each one's lowest price."""
    lowest: dict[str, dict[str, float]] = {gpu: {} for gpu in gpus}
    for key, price in book.rows():
        shape = book.instances.get((key.cloud, key.instance_type.casefold()))
        if shape is None or shape.gpu not in lowest or (key.capacity_type, key.term) != ("OnDemand", "OnDemand"):
            continue
        each = float(price.usd_per_node_hour) / float(shape.gpu_count)
        known = lowest[shape.gpu]
        known[key.cloud] = min(each, known.get(key.cloud, each))
    return {gpu: median(clouds.values()) for gpu, clouds in lowest.items() if clouds}


def usd_per_hour(cases: Sequence[Case], prices: Mapping[str, float]) -> Floats:
    return np.array([prices[case.hardware.gpu] * case.hardware.gpu_count for case in cases])
