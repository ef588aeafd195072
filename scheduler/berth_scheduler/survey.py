"""A survey: everything that is known about every workload's candidates before capacity is shared out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from berth_scheduler.candidates import FixedRow, Lots, cells_of, enumerate_lots, rows_of, with_fixed_rows
from berth_scheduler.capacity import Room
from berth_scheduler.carbon_price import carbon_usd_per_replica_hour
from berth_scheduler.constraints import Outcome, examine_fitness, examine_offers, examine_room
from berth_scheduler.groups import Groups, Matter, distinct_variants
from berth_scheduler.incumbent import Incumbent, incumbent_of
from berth_scheduler.rank import Options, batching_rows, rank
from berth_scheduler.sizing import Questions, Sizing, size
from berth_scheduler.snapshot import Berth, Configuration, Policy, Workload
from berth_scheduler.supply import Supply

NOTHING_RUNS: Mapping[str, frozenset[str]] = {}


@dataclass(frozen=True, slots=True)
class Survey:
    """``outcome`` is what the chain says of every lot; ``options`` are made of the lots that passed all of it."""

    policy: Policy
    lots: Lots
    sizing: Sizing
    cell: NDArray[np.int64]
    outcome: Outcome
    groups: Groups
    options: Options
    carbon_usd: NDArray[np.float64]
    """(lots,): what an hour of a replica emits, at the policy's price of carbon."""
    batching: NDArray[np.int64]
    """The sizing row that batches each option."""
    incumbents: dict[int, Incumbent]
    """By workload: what runs for it, where something does."""
    incumbent_rows: dict[int, int]
    """By workload: the sizing row of what runs, where the model can be asked about it."""
    move_rows: dict[int, int]
    """By workload that is to move: the sizing row of where to."""

    @property
    def workloads(self) -> tuple[Workload, ...]:
        return self.lots.workloads

    @property
    def supply(self) -> Supply:
        return self.lots.supply


def survey(
    workloads: Sequence[Workload], supply: Supply, policy: Policy, whole: Mapping[str, frozenset[str]] = NOTHING_RUNS
) -> Survey:
    """Survey workloads that have a model and variants. ``whole``: by workload, revisions whose replicas have room."""
    lots = enumerate_lots(workloads, supply)
    outcome = examine_offers(lots)
    cells, cell = cells_of(lots, outcome.passes)
    incumbents = {
        index: found
        for index, workload in enumerate(workloads)
        if (found := incumbent_of(workload, supply, whole.get(workload.key, frozenset()))) is not None
    }
    fixed = {
        index: row for index, incumbent in incumbents.items() if (row := _fixed_row(index, incumbent, lots)) is not None
    }
    moves = {index: row for index in range(len(workloads)) if (row := _move_row(index, lots)) is not None}
    rows = with_fixed_rows(rows_of(cells, lots.problems), [*fixed.values(), *moves.values()])
    questions = Questions(lots.problems, supply.shapes, lots.precisions, policy.memory_margin_percent)
    sizing = size(questions, rows)
    matter = Matter(lots, distinct_variants(lots), Room.of(supply.pools), cell, sizing)
    if outcome.passes.any():
        examine_fitness(matter, outcome)
    groups = examine_room(matter, outcome)
    carbon_usd = carbon_usd_per_replica_hour(matter, groups, policy)
    options = rank(lots, groups, cell, carbon_usd)
    first = len(rows) - len(fixed) - len(moves)
    return Survey(
        policy=policy,
        lots=lots,
        sizing=sizing,
        cell=cell,
        outcome=outcome,
        groups=groups,
        options=options,
        carbon_usd=carbon_usd,
        batching=batching_rows(options, lots, sizing),
        incumbents=incumbents,
        incumbent_rows={index: first + position for position, index in enumerate(fixed)},
        move_rows={index: first + len(fixed) + position for position, index in enumerate(moves)},
    )


def _fixed_row(index: int, incumbent: Incumbent, lots: Lots) -> FixedRow | None:
    """None where the running configuration is no candidate any more: an unknown GPU, a variant that is gone."""
    if incumbent.shape is None or incumbent.berth.precision not in lots.precisions:
        return None
    return _row_like(incumbent.berth, index, incumbent.shape, lots)


def _move_row(index: int, lots: Lots) -> FixedRow | None:
    """None where the workload is not to move, or no pool has that GPU or slice."""
    target = lots.workloads[index].move
    if target is None or target.precision not in lots.precisions:
        return None
    shape = lots.supply.find_shape(target.gpu, target.mig_profile)
    return None if shape is None else _row_like(target, index, shape, lots)


def _row_like(one: Berth | Configuration, index: int, shape: int, lots: Lots) -> FixedRow:
    return FixedRow(
        problem=int(lots.problem_of_workload[index]),
        shape=shape,
        precision=lots.precisions.index(one.precision),
        tensor_parallel=one.tensor_parallel,
        maximum_batch_size=one.maximum_batch_size,
        instances=one.instances_per_gpu,
        queue_delay_microseconds=one.maximum_queue_delay_microseconds,
    )
