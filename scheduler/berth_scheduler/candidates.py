"""Candidates as arrays: every way in which every workload could be held by what the pools offer.

Two tables, because speed does not depend on where something runs, and price does not depend on how it is batched:

- :class:`Lots`: (workload × offer × variant × tensor parallel), an offer being a GPU or MIG slice in a pool. What is
  asked of a lot: is it allowed, does it fit, what does it cost.
- :class:`Rows`: (cell × batch × instances), where a cell is the (problem × shape × precision × tensor parallel) that
  many lots share. What is asked of a row: how fast, how big. All workloads that ask the same question of the
  performance model share its answer, whatever their rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from berth_cost.cases.case import MeasuredPoint, Model
from berth_scheduler.snapshot import LatencyObjective, Workload
from berth_scheduler.supply import NO_SHAPE, Supply

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

CONTINUOUS_BACKENDS = ("vllm", "tensorrtllm")
"""They batch by the step and take requests in on arrival: a batch size is a limit on sequences at once."""

TENSOR_PARALLEL_SIZES = (1, 2, 4, 8, 16)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
"""Powers of two, as Model Analyzer searches them (model_analyzer docs/config.md: 1 to 128)."""
SEQUENCE_LIMITS = (8, 16, 32, 64, 128, 256)
"""Of engines that batch continuously; 256 is the engines' own default order of magnitude."""
INSTANCES = (1, 2)
"""Copies of a classic network on one GPU: two hide each other's copies in and out; more gain little (Triton
docs/user_guide/optimization.md)."""

QUEUE_DELAY_SHARE = 0.1
QUEUE_DELAY_SECONDS_PER_REQUEST = 100e-6
QUEUE_DELAY_STEP_SECONDS = 100e-6


@dataclass(frozen=True, slots=True)
class Runs:
    """Measured runs of a model. Equal where they say the same, and to be hashed, which their records are not."""

    said: str
    points: tuple[MeasuredPoint, ...] = field(compare=False, repr=False)

    @classmethod
    def of(cls, points: Sequence[MeasuredPoint]) -> Self:
        return cls("\n".join(point.model_dump_json() for point in points), tuple(points))


NO_RUNS = Runs("", ())


@dataclass(frozen=True, slots=True)
class SizingProblem:
    """All that the performance model is asked about a workload, its rate aside. Equal problems are solved once."""

    model: Model
    engine: str
    maximum_context_tokens: int | None
    burstiness: float
    items_per_request: int
    input_tokens: float | None
    input_tokens_p95: float | None
    output_tokens: float | None
    latency: tuple[LatencyObjective, ...]
    runs: Runs = NO_RUNS

    @property
    def continuous(self) -> bool:
        """Batched by the step, not by the request: language-model engines, and whatever they are given."""
        return self.engine in CONTINUOUS_BACKENDS or self.model.transformer is not None

    @property
    def tightest_seconds(self) -> float:
        """The tightest limit on a whole request; inf where none is asked."""
        whole = [one.limit_seconds for one in self.latency if one.metric in ("latencySeconds", "endToEndSeconds")]
        return min(whole, default=float("inf"))


def problem_of(workload: Workload) -> SizingProblem | None:
    """None of a workload without a model: there is nothing to size."""
    if workload.model is None:
        return None
    traffic = workload.traffic
    given, made = traffic.input_tokens, traffic.output_tokens
    return SizingProblem(
        model=workload.model,
        engine=workload.backend,
        maximum_context_tokens=workload.maximum_context_tokens,
        burstiness=traffic.burstiness,
        items_per_request=traffic.items_per_request,
        input_tokens=given.mean if given else None,
        input_tokens_p95=given.p95 if given else None,
        output_tokens=made.mean if made else None,
        latency=tuple(sorted(workload.latency, key=lambda one: (one.metric, one.statistic, one.limit_seconds))),
        runs=Runs.of(workload.measured) if workload.measured else NO_RUNS,
    )


def tensor_parallel_sizes(workload: Workload) -> tuple[int, ...]:
    """Sizes that split the attention heads evenly and that the workload allows; classic networks are not split."""
    transformer = workload.model.transformer if workload.model else None
    if transformer is None:
        return (1,)
    limit = workload.placement.maximum_tensor_parallel
    sizes = [size for size in TENSOR_PARALLEL_SIZES if size <= limit and transformer.attention_heads % size == 0]
    return tuple(sizes) or (1,)


@dataclass(frozen=True, slots=True)
class Lots:
    """One array axis: lot = (workload, offer, variant, tensor parallel), in that order, the last one fastest.

    Workloads are in the order given, variants in the order of their spec. ``precision`` points into ``precisions``.
    """

    workloads: tuple[Workload, ...]
    supply: Supply
    problems: tuple[SizingProblem, ...]
    precisions: tuple[str, ...]
    problem_of_workload: Integers
    """(workloads,)"""

    workload: Integers
    offer: Integers
    variant: Integers
    precision: Integers
    tensor_parallel: Integers

    def __len__(self) -> int:
        return len(self.workload)

    @property
    def shape(self) -> Integers:
        return self.supply.shape[self.offer]

    @property
    def problem(self) -> Integers:
        return self.problem_of_workload[self.workload]


def enumerate_lots(workloads: Sequence[Workload], supply: Supply) -> Lots:
    """All lots of workloads that have a model. A slice holds one shard; a node holds whole replicas only."""
    index_of_problem: dict[SizingProblem, int] = {}
    problems = [problem_of(workload) for workload in workloads]
    of_workload = [-1 if one is None else index_of_problem.setdefault(one, len(index_of_problem)) for one in problems]
    precisions = tuple(sorted({variant.precision for workload in workloads for variant in workload.variants}))
    code = {precision: index for index, precision in enumerate(precisions)}

    sizes = [tensor_parallel_sizes(workload) if one else () for workload, one in zip(workloads, problems, strict=True)]
    variants = [[code[variant.precision] for variant in workload.variants] for workload in workloads]
    tensor_table, variant_table = _padded(sizes), _padded(variants)
    per_tensor = np.array([len(one) for one in sizes], dtype=np.int64)
    per_variant = np.array([len(one) for one in variants], dtype=np.int64)

    # axes of one workload's block: offer, variant, tensor parallel
    counts = len(supply.offers) * per_variant * per_tensor
    workload, local = ragged(counts)
    tensor_index = local % np.maximum(per_tensor, 1)[workload]
    rest = local // np.maximum(per_tensor, 1)[workload]
    variant = rest % np.maximum(per_variant, 1)[workload]
    offer = rest // np.maximum(per_variant, 1)[workload]
    tensor = tensor_table[workload, tensor_index]

    sliced = np.array([one.mig_profile is not None for one in supply.offers], dtype=np.bool_)[offer]
    kept = np.where(sliced, tensor == 1, supply.gpus_per_node[offer] % tensor == 0)
    return Lots(
        workloads=tuple(workloads),
        supply=supply,
        problems=tuple(index_of_problem),
        precisions=precisions,
        problem_of_workload=np.array(of_workload, dtype=np.int64),
        workload=workload[kept],
        offer=offer[kept],
        variant=variant[kept],
        precision=variant_table[workload, variant][kept],
        tensor_parallel=tensor[kept],
    )


@dataclass(frozen=True, slots=True)
class Cells:
    """One array axis: cell = (problem, shape, precision, tensor parallel). Rows of a cell lie together."""

    problem: Integers
    shape: Integers
    precision: Integers
    tensor_parallel: Integers

    def __len__(self) -> int:
        return len(self.problem)


@dataclass(frozen=True, slots=True)
class Rows:
    """One array axis: row = (cell, instances, batch), the last one fastest. ``first`` is each cell's first row, and
    one more: rows of cell c are ``first[c]`` to ``first[c + 1]``. The queue delay follows from objective and batch."""

    cells: Cells
    first: Integers
    cell: Integers
    maximum_batch_size: Integers
    instances: Integers
    queue_delay_microseconds: Integers

    def __len__(self) -> int:
        return len(self.cell)


def cells_of(lots: Lots, asked: Booleans) -> tuple[Cells, Integers]:
    """The distinct cells of the lots that are asked about, and the cell of every lot (n,), -1 where not asked."""
    columns = (lots.problem, lots.shape, lots.precision, lots.tensor_parallel)
    asked = asked & (lots.shape != NO_SHAPE)
    sizes = (len(lots.problems), len(lots.supply.shapes), len(lots.precisions), max(TENSOR_PARALLEL_SIZES) + 1)
    key = np.ravel_multi_index(tuple(column[asked] for column in columns), sizes) if asked.any() else np.zeros(0, int)
    distinct, inverse = np.unique(key, return_inverse=True)
    cell = np.full(len(lots), -1, dtype=np.int64)
    cell[asked] = inverse
    unravelled = np.unravel_index(distinct, sizes) if len(distinct) else (distinct,) * 4
    return Cells(*(np.asarray(column, dtype=np.int64) for column in unravelled)), cell


def rows_of(cells: Cells, problems: Sequence[SizingProblem]) -> Rows:
    """The grid of every cell: (instances × batch); a cell of a continuous engine has one instance."""
    continuous = np.array([problem.continuous for problem in problems], dtype=np.bool_)[cells.problem]
    batches = _padded([BATCH_SIZES, SEQUENCE_LIMITS])
    per_batch = np.where(continuous, len(SEQUENCE_LIMITS), len(BATCH_SIZES))
    per_instance = np.where(continuous, 1, len(INSTANCES))
    cell, local = ragged(per_batch * per_instance)
    # axes of one cell's block: instances, batch
    instances = np.array(INSTANCES, dtype=np.int64)[local // per_batch[cell]]
    batch = batches[continuous[cell].astype(np.int64), local % per_batch[cell]]
    tightest = np.array([problem.tightest_seconds for problem in problems])[cells.problem[cell]]
    delay = np.where(continuous[cell], 0, queue_delay_microseconds(batch, tightest))
    first = np.concatenate(([0], np.cumsum(per_batch * per_instance)))
    return Rows(cells, first.astype(np.int64), cell, batch, instances, delay)


@dataclass(frozen=True, slots=True)
class FixedRow:
    """One row outside the grid: the very configuration that runs, all as indices and numbers of :class:`Rows`."""

    problem: int
    shape: int
    precision: int
    tensor_parallel: int
    maximum_batch_size: int
    instances: int
    queue_delay_microseconds: int


def with_fixed_rows(rows: Rows, fixed: Sequence[FixedRow]) -> Rows:
    """Each fixed row becomes a cell of its own behind the others: cell ``len(rows.cells) + i``."""
    if not fixed:
        return rows

    def extended(column: Integers, name: str) -> Integers:
        return np.concatenate((column, np.array([getattr(one, name) for one in fixed], dtype=np.int64)))

    cells = Cells(*(extended(getattr(rows.cells, name), name) for name in Cells.__slots__))
    new = np.arange(len(fixed), dtype=np.int64)
    return Rows(
        cells=cells,
        first=np.concatenate((rows.first, rows.first[-1] + 1 + new)),
        cell=np.concatenate((rows.cell, len(rows.cells) + new)),
        maximum_batch_size=extended(rows.maximum_batch_size, "maximum_batch_size"),
        instances=extended(rows.instances, "instances"),
        queue_delay_microseconds=extended(rows.queue_delay_microseconds, "queue_delay_microseconds"),
    )


def queue_delay_microseconds(batch: Integers, tightest_seconds: NDArray[np.float64]) -> Integers:
    """How long a request may wait for others to join its batch; 0 for batches of one.

    At most a tenth of the tightest objective, and no longer than requests 100 µs apart would take to fill the batch:
    the rule min(0.1 · S, (B − 1)/λ) at λ = 10,000/s, so that it does not hang on today's rate and a change of rate
    alone changes no pod. Rounded down to 100 µs.
    """
    fill = (batch - 1) * QUEUE_DELAY_SECONDS_PER_REQUEST
    delay = np.minimum(fill, QUEUE_DELAY_SHARE * tightest_seconds)
    steps = np.floor(np.round(delay / QUEUE_DELAY_STEP_SECONDS, 6))
    return np.asarray(steps * round(QUEUE_DELAY_STEP_SECONDS * 1e6), dtype=np.int64)


def ragged(counts: Integers) -> tuple[Integers, Integers]:
    """Blocks of ``counts[i]`` elements each: the block of every element and its place within it."""
    block = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    start = np.cumsum(counts) - counts
    return block, np.arange(len(block), dtype=np.int64) - start[block]


def _padded(lists: Sequence[Sequence[int]]) -> Integers:
    """A matrix with one list a row, filled up with 1."""
    width = max((len(one) for one in lists), default=0) or 1
    table = np.ones((len(lists), width), dtype=np.int64)
    for row, one in zip(table, lists, strict=True):
        row[: len(one)] = one
    return table
