"""Static size: how many GPUs or slices carry a workload's whole rate, by shape and precision, whoever sells them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from berth_scheduler.candidates import Cells, ragged, rows_of, tensor_parallel_sizes
from berth_scheduler.groups import replicas_for
from berth_scheduler.sizing import Questions, size
from berth_scheduler.supply import Shape
from berth_scheduler.survey import Survey

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WIDTHS = 64
"""More than the widest replica has GPUs: units and width share one number while the smallest is sought."""
ANY_WIDTH = WIDTHS - 1


@dataclass(frozen=True, slots=True)
class Asked:
    """One element a question (n,): which workload, and the indices of shape and precision."""

    workload: Integers
    shape: Integers
    precision: Integers

    @classmethod
    def of(cls, questions: Sequence[tuple[int, int, int]]) -> "Asked":
        numbers = (number for question in questions for number in question)
        table = np.fromiter(numbers, dtype=np.int64, count=3 * len(questions)).reshape(-1, 3)
        return cls(table[:, 0], table[:, 1], table[:, 2])


@dataclass(frozen=True, slots=True)
class StaticSize:
    """Of every question (n,): replicas and their width in GPUs; replicas are inf where none carries the rate."""

    replicas: Floats
    width: Integers

    @property
    def units(self) -> Floats:
        return self.replicas * self.width


@dataclass(frozen=True, slots=True)
class SizedCells:
    """Cells in the order of (problem, shape, precision, width), and the best rate of a replica of each."""

    key: Integers
    """(problem, shape, precision) as one number, ascending."""
    width: Integers
    requests_per_second: Floats
    shapes: int
    precisions: int
    rate: Floats
    least: Floats
    """Requests per second and least replicas of each workload (workloads,)."""

    @classmethod
    def of_survey(cls, found: Survey) -> "SizedCells":
        """What the plan asked about anyway. The cells of what runs lie behind the others and are left out."""
        count = len(found.sizing.cells) - len(found.incumbent_rows)
        return cls._of(found.sizing.cells, count, found.sizing.best_requests_per_second, found)

    @classmethod
    def sized(cls, found: Survey, shapes: tuple[Shape, ...], asked: Sequence[tuple[int, int, int]]) -> "SizedCells":
        """Ask the performance model anew: (problem, index into ``shapes``, precision) at every width allowed."""
        problems, precisions = found.lots.problems, found.lots.precisions
        widths: dict[int, set[int]] = {}
        for workload, problem in zip(found.workloads, found.lots.problem_of_workload.tolist(), strict=True):
            widths.setdefault(problem, set()).update(tensor_parallel_sizes(workload))
        wanted = [(*one, width) for one in sorted(set(asked)) for width in sorted(widths[one[0]])]
        columns = np.array(wanted, dtype=np.int64).reshape(-1, 4)
        cells = Cells(*(columns[:, axis] for axis in range(4)))
        questions = Questions(problems, shapes, precisions, found.policy.memory_margin_percent)
        sizing = size(questions, rows_of(cells, problems))
        return cls._of(cells, len(cells), sizing.best_requests_per_second, found, len(shapes))

    @classmethod
    def _of(cls, cells: Cells, count: int, best: Floats, found: Survey, shapes: int | None = None) -> "SizedCells":
        width, precisions = shapes or max(len(found.supply.shapes), 1), len(found.lots.precisions)
        key = (cells.problem[:count] * width + cells.shape[:count]) * precisions + cells.precision[:count]
        rate = np.array([one.traffic.requests_per_second for one in found.workloads], dtype=np.float64)
        least = np.array([one.minimum_replicas for one in found.workloads], dtype=np.float64)
        return cls(key, cells.tensor_parallel[:count], best[:count], width, precisions, rate, least)

    def sized_questions(self) -> frozenset[tuple[int, int, int]]:
        """(Problem, shape, precision) of everything that was asked about."""
        distinct = np.unique(self.key)
        rest, precision = np.divmod(distinct, self.precisions)
        problem, shape = np.divmod(rest, self.shapes)
        return frozenset(zip(problem.tolist(), shape.tolist(), precision.tolist(), strict=True))

    def static_size(self, found: Survey, asked: Asked, widest: Integers | int, *, minimum: bool = True) -> StaticSize:
        """Of the width that takes the fewest GPUs, at most ``widest`` (n,); the narrower of two.

        ``minimum`` False: what the rate alone takes, whatever ``replicas.minimum`` says.
        """
        problem = found.lots.problem_of_workload[asked.workload]
        key = (problem * self.shapes + asked.shape) * self.precisions + asked.precision
        first = np.searchsorted(self.key, key, "left")
        block, place = ragged(np.searchsorted(self.key, key, "right") - first)
        cell = first[block] + place
        workload = asked.workload[block]
        at_least = self.least[workload] if minimum else np.ones(len(workload))
        replicas = replicas_for(self.rate[workload], self.requests_per_second[cell], at_least)
        replicas[self.width[cell] > np.broadcast_to(widest, key.shape)[block]] = np.inf
        combined = np.full(len(key), np.inf)
        np.minimum.at(combined, block, replicas * self.width[cell] * WIDTHS + self.width[cell])
        known = np.isfinite(combined)
        width = np.where(known, np.where(known, combined, 1) % WIDTHS, 1).astype(np.int64)
        units = np.where(known, np.where(known, combined, 0) // WIDTHS, np.inf)
        return StaticSize(units / width, width)
