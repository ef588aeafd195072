"""Sizing: what the performance model says of every row, asked once for the whole fleet.

Three questions, each one call: can it run at all, does the longest request fit, and which rate does a replica sustain
inside every objective. The planned rate enters afterwards: replicas = rate / sustainable rate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from berth_cost.cases.case import Engine, MeasuredPoint, Model
from berth_cost.hardware.gpu_catalogue import GPUSpecification, MIGProfile
from berth_cost.performance import prediction as performance
from berth_cost.performance.calibration import calibrated
from berth_cost.performance.case_table import Calibration, rows_of
from berth_cost.performance.prediction import CaseTable, Feasibility, LoadKind, PredictionTable
from berth_scheduler.candidates import Cells, Rows, SizingProblem
from berth_scheduler.decision import Constraint
from berth_scheduler.supply import Shape

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CODE = {constraint: position for position, constraint in enumerate(Constraint)}
"""A constraint as a number that grows with how far the chain was passed."""
PASSED = len(CODE)

REFUSALS = {
    "precision": Constraint.PRECISION,
    "parallelism": Constraint.PARALLELISM,
    "unknown": Constraint.UNKNOWN,
    "memory": Constraint.MEMORY,
}
"""What the model's own reasons mean to the chain."""
Device = TypeVar("Device", GPUSpecification, MIGProfile)


@dataclass(frozen=True, slots=True)
class Corrections:
    """What measured runs change about every row (rows,): how far the model is off, and the model that stands for one
    whose size nobody knows."""

    models: tuple[Model, ...]
    model_index: Integers
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Questions:
    """What turns rows into cases: the categories that the rows' indices point into."""

    problems: tuple[SizingProblem, ...]
    shapes: tuple[Shape, ...]
    precisions: tuple[str, ...]

    memory_margin_percent: float

    def cases(
        self,
        rows: Rows,
        chosen: Integers,
        *,
        rate: Floats | float = 1.0,
        corrections: Corrections | None = None,
    ) -> CaseTable:
        """The chosen rows as cases at an open rate per replica (requests/s), with what measured runs say about them.

        Memory is what the policy's margin leaves: a prediction that is a little low must not become a kill.
        """
        cells = rows.cells
        cell = rows.cell[chosen]
        problem, tensor = cells.problem[cell], cells.tensor_parallel[cell]
        count = len(chosen)
        ones = np.ones(count, dtype=np.int64)
        engines = tuple(sorted({one.engine for one in self.problems}))

        def of_problem(values: Sequence[float | None]) -> Floats:
            return _floats(values)[problem]

        table = CaseTable(
            models=tuple(one.model for one in self.problems),
            gpus=tuple(_with_margin(one.gpu, self.memory_margin_percent) for one in self.shapes),
            slices=tuple(one.mig and _with_margin(one.mig, self.memory_margin_percent) for one in self.shapes),
            precisions=self.precisions,
            engines=tuple(Engine(name=name) for name in engines),
            model_index=problem,
            gpu_index=cells.shape[cell],
            slice_index=cells.shape[cell],
            precision_index=cells.precision[cell],
            engine_index=np.array([engines.index(one.engine) for one in self.problems], dtype=np.int64)[problem],
            gpu_count=tensor,
            tensor=tensor,
            pipeline=ones,
            expert=ones,
            maximum_batch_size=rows.maximum_batch_size[chosen].astype(np.float64),
            maximum_batched_tokens=np.full(count, np.nan),
            instances=rows.instances[chosen],
            dynamic_batching=np.ones(count, dtype=np.bool_),
            maximum_queue_delay_seconds=rows.queue_delay_microseconds[chosen].astype(np.float64) * 1e-6,
            load_kind=np.full(count, int(LoadKind.OPEN), dtype=np.int64),
            concurrency=np.full(count, np.nan),
            requests_per_second=np.broadcast_to(np.asarray(rate, dtype=np.float64), (count,)).copy(),
            burstiness=of_problem([one.burstiness for one in self.problems]),
            batch_size=np.full(count, np.nan),
            input_tokens=of_problem([one.input_tokens for one in self.problems]),
            input_tokens_p95=of_problem([one.input_tokens_p95 for one in self.problems]),
            output_tokens=of_problem([one.output_tokens for one in self.problems]),
            items_per_request=of_problem([one.items_per_request for one in self.problems]),
            shared_prefix_tokens=np.zeros(count),
        )
        if corrections is None:
            return table
        return replace(
            table,
            models=corrections.models,
            model_index=corrections.model_index[chosen],
            calibration=rows_of(corrections.calibration, chosen),
        )

    @property
    def measured(self) -> bool:
        return any(one.runs.points for one in self.problems)

    @property
    def rate_tells(self) -> bool:
        """Whether it matters at which rate runs and rows are compared: some run was under an open load."""
        points = (point for one in self.problems for point in one.runs.points)
        return any(point.load is not None and point.load.kind == "open" for point in points)

    def corrections(self, rows: Rows, chosen: Integers, rate: Floats | float = 1.0) -> Corrections | None:
        """Of the chosen rows at a rate, from the runs of each one's own problem; None where nothing was measured."""
        if not self.measured or not len(chosen):
            return None
        gpus = {one.gpu.name: _with_margin(one.gpu, self.memory_margin_percent) for one in reversed(self.shapes)}
        problem = rows.cells.problem[rows.cell[chosen]]
        measured = [
            (np.flatnonzero(problem == index), self._points(one.runs.points, gpus))
            for index, one in enumerate(self.problems)
            if one.runs.points
        ]
        table = calibrated(self.cases(rows, chosen, rate=rate), measured, gpus)
        if table.calibration is None:
            return None
        return Corrections(table.models, table.model_index, table.calibration)

    def _points(
        self, points: Sequence[MeasuredPoint], gpus: Mapping[str, GPUSpecification]
    ) -> tuple[MeasuredPoint, ...]:
        """The runs with GPUs as the rows have them, so that the same one is known again: by name, margin taken off."""
        known = []
        for point in points:
            hardware = point.hardware
            if hardware is not None and hardware.gpu in gpus:
                hardware = hardware.model_copy(update={"gpu_specification": gpus[hardware.gpu]})
            elif hardware is not None and hardware.gpu_specification is not None:
                own = _with_margin(hardware.gpu_specification, self.memory_margin_percent)
                hardware = hardware.model_copy(update={"gpu_specification": own})
            known.append(point.model_copy(update={"hardware": hardware}))
        return tuple(known)

    def objectives(self, rows: Rows, chosen: Integers) -> dict[tuple[str, str], Floats]:
        """Limit in seconds of every objective that any problem asks, by (metric, statistic); inf: not asked."""
        asked = {(ask.metric, ask.statistic) for one in self.problems for ask in one.latency}
        problem = rows.cells.problem[rows.cell[chosen]]
        limits = {key: np.full(len(self.problems), np.inf) for key in sorted(asked)}
        for index, one in enumerate(self.problems):
            for ask in one.latency:
                column = limits[ask.metric, ask.statistic]
                column[index] = min(column[index], ask.limit_seconds)
        return {key: column[problem] for key, column in limits.items()}


def _floats(values: Sequence[float | None]) -> Floats:
    """nan where there is no number."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _with_margin(one: Device, margin_percent: float) -> Device:
    """Of a GPU and of its slices alike."""
    changed: dict[str, object] = {}
    if one.memory_bytes is not None:
        changed["memory_bytes"] = int(one.memory_bytes * (1 - margin_percent / 100))
    if isinstance(one, GPUSpecification):
        changed["mig_profiles"] = tuple(_with_margin(profile, margin_percent) for profile in one.mig_profiles)
    return one.model_copy(update=changed)


@dataclass(frozen=True, slots=True)
class Sizing:
    """The answers. Row arrays (rows,): ``code`` of the constraint that rejects it (``PASSED``: none), the number that
    broke it with its limit (nan: not a number), the model's own words, what would break first, and the rate that a
    replica sustains (requests/s, 0 where rejected).

    Cell arrays (cells,): the row that tells most (``nearest``: the fastest, else the nearest miss) and the best rate.
    """

    questions: Questions
    rows: Rows
    corrections: Corrections | None
    """None where nothing was measured."""
    code: Integers
    value: Floats
    limit: Floats
    message: NDArray[np.object_]
    binding: NDArray[np.object_]
    requests_per_second: Floats

    nearest: Integers
    best_requests_per_second: Floats

    @property
    def cells(self) -> Cells:
        return self.rows.cells

    def predict(self, rows: Integers, requests_per_second: Floats) -> PredictionTable:
        """Of the given rows, each at its own rate per replica. Corrected as the rows were when they were sized, so that
        what held then holds now; what the numbers rest on is told of this very rate."""
        asked, corrections = self.questions, self.corrections
        table = asked.cases(self.rows, rows, rate=requests_per_second, corrections=corrections)
        here = None if corrections is None else asked.corrections(self.rows, rows, requests_per_second)
        if table.calibration is not None and here is not None:
            table = replace(table, calibration=replace(table.calibration, evidence=here.calibration.evidence))
        return performance.predict(table)


def size(questions: Questions, rows: Rows) -> Sizing:
    """Ask the performance model about all rows."""
    code = np.full(len(rows), PASSED, dtype=np.int64)
    value, limit, rate = np.full(len(rows), np.nan), np.full(len(rows), np.nan), np.zeros(len(rows))
    message, binding = np.full(len(rows), None, dtype=object), np.full(len(rows), None, dtype=object)

    def refuse(asked: Integers, reasons: Feasibility, meaning: Mapping[str, Constraint]) -> None:
        refused = np.array([reason is not None for reason in reasons.code.tolist()], dtype=np.bool_)
        rejected = asked[refused]
        code[rejected] = [CODE[meaning[reason]] for reason in reasons.code[refused].tolist()]
        value[rejected], limit[rejected] = reasons.value[refused], reasons.limit[refused]
        message[rejected] = reasons.message[refused]

    every = np.arange(len(rows), dtype=np.int64)
    corrections = questions.corrections(rows, every)
    if len(rows):
        refuse(every, performance.feasibility(questions.cases(rows, every, corrections=corrections)), REFUSALS)
    promising, cases = _with_longest_request(questions, rows, np.flatnonzero(code == PASSED), corrections)
    if len(promising):
        refuse(promising, performance.feasibility(cases), REFUSALS | {"memory": Constraint.CONTEXT})
    alive = np.flatnonzero(code == PASSED)
    if len(alive):
        answer = _sustained(questions, rows, alive, corrections)
        if questions.rate_tells:
            # Runs under an open load are compared with rows at a rate, and now there is one.
            near = np.ones(len(rows))
            near[alive] = np.where(answer.requests_per_second > 0, answer.requests_per_second, 1.0)
            corrections = questions.corrections(rows, every, near)
            answer = _sustained(questions, rows, alive, corrections)
        rate[alive], binding[alive] = np.nan_to_num(answer.requests_per_second), answer.binding
        slow = alive[rate[alive] <= 0]
        code[slow] = CODE[Constraint.LATENCY]
        value[alive], limit[alive] = answer.value, answer.limit
    nearest = _nearest(rows, code, rate, value / limit)
    best = rate[nearest]
    return Sizing(questions, rows, corrections, code, value, limit, message, binding, rate, nearest, best)


def _sustained(
    questions: Questions, rows: Rows, alive: Integers, corrections: Corrections | None
) -> performance.SustainableRate:
    cases = questions.cases(rows, alive, corrections=corrections)
    return performance.sustainable_rate(cases, questions.objectives(rows, alive))


def _with_longest_request(
    questions: Questions, rows: Rows, alive: Integers, corrections: Corrections | None
) -> tuple[Integers, CaseTable]:
    """The rows that promise a context, with one request of that many tokens: an engine that promises a longer request
    than it can hold refuses to start."""
    promised = _floats([one.maximum_context_tokens for one in questions.problems])
    context = promised[rows.cells.problem[rows.cell[alive]]]
    chosen, context = alive[~np.isnan(context)], context[~np.isnan(context)]
    cases = questions.cases(rows, chosen, corrections=corrections)
    written = np.minimum(np.nan_to_num(cases.output_tokens, nan=1.0), context - 1)
    cases.input_tokens[:] = np.maximum(context - written, 1.0)
    cases.input_tokens_p95[:] = np.nan
    return chosen, cases


def _nearest(rows: Rows, code: Integers, rate: Floats, factor: Floats) -> Integers:
    """Of every cell the fastest row; where none passes the one that got furthest, and of those the one that missed its
    limit by the smallest factor; then the first (cells,)."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    first = rows.first[:-1]
    left = np.ones(len(rows), dtype=np.bool_)
    for rank in (code.astype(np.float64), rate, np.where(np.isnan(factor), -np.inf, -factor)):
        ranked = np.where(left, rank, -np.inf)
        left &= ranked == np.maximum.reduceat(ranked, first)[rows.cell]
    places = np.where(left, np.arange(len(rows)), len(rows))
    return np.minimum.reduceat(places, first)
