"""A placed workload as the replica controller sees it: the berths it can grow into, and what one replica sustains.

More replicas are the same revision: the same shape, precision, parallelism and batching as planned, in the planned
berths and in every other pool that offers the same at a capacity type that the workload allows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from berth_cost.performance import prediction as performance
from berth_cost.performance.case_table import CaseTable
from berth_cost.performance.case_table import rows_of as rows_of_table
from berth_scheduler.candidates import FixedRow, cells_of, enumerate_lots, rows_of, with_fixed_rows
from berth_scheduler.capacity import Reach, Room, need_of
from berth_scheduler.control.berth_spread import BerthSupply
from berth_scheduler.decision import Decision
from berth_scheduler.sizing import Questions
from berth_scheduler.snapshot import Berth, CapacityType, Policy, Snapshot, Workload
from berth_scheduler.supply import Offer, Supply, supply_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scalable:
    """``planned``: replicas by berth in the plan. ``cases``: one row, a replica of it, as the model is asked."""

    workload: Workload
    berths: tuple[BerthSupply, ...]
    planned: tuple[int, ...]
    gpus_per_replica: float
    startup_seconds: float | None
    """The longest that a pool of these berths states; None where none does."""
    cases: CaseTable
    objectives: dict[tuple[str, str], Floats]

    def capacity(self, prompt_tokens: Floats | None, output_tokens: Floats | None) -> tuple[Floats, Floats]:
        """(sustainable rate inside every objective, saturation rate) in requests/s by pair of mean lengths.

        None: the lengths that were planned for. Rates are scalar arrays then, and 0 where nothing is sustained.
        """
        count = 1 if prompt_tokens is None else len(prompt_tokens)
        table = rows_of_table(self.cases, np.zeros(count, dtype=np.int64))
        if prompt_tokens is not None and output_tokens is not None:
            spread_of_lengths = table.input_tokens_p95 / table.input_tokens
            table = replace(
                table,
                input_tokens=prompt_tokens.copy(),
                input_tokens_p95=prompt_tokens * spread_of_lengths,
                output_tokens=output_tokens.copy(),
            )
        asked = {key: np.repeat(limit, count) for key, limit in self.objectives.items()}
        answer = performance.sustainable_rate(table, asked)
        rate = np.nan_to_num(answer.requests_per_second)
        saturation = np.maximum(np.nan_to_num(answer.maximum_rate), rate)
        return (rate[0], saturation[0]) if prompt_tokens is None else (rate, saturation)


def scalable(snapshot: Snapshot, decision: Decision, others: Sequence[Decision] = ()) -> Scalable | str:
    """What is said of a placed decision; a sentence where the model cannot be asked about it.

    ``others`` hold their planned replicas: what they take is no room to grow into.
    """
    workload = next(one for one in snapshot.workloads if one.key == decision.workload)
    supply = supply_of(snapshot.pools)
    first = decision.berths[0]
    planned_offer = supply.find(first.pool, first.mig_profile)
    if planned_offer is None or workload.model is None:
        return f"{decision.workload}: the pool {first.pool} of its plan is not there"
    shape = supply.offers[planned_offer].shape
    offers = [
        offer
        for offer in supply.offers
        if offer.shape == shape and offer.unusable is None and _allowed(workload, offer, decision.berths)
    ]
    room, taken = Room.of(supply.pools), _taken(others)
    berths = tuple(_berth(workload, first, offer, room, taken) for offer in offers)
    counts = {(one.pool, one.mig_profile): one.replicas for one in decision.berths}
    planned = tuple(counts.get((offer.pool.name, offer.mig_profile), 0) for offer in offers)
    starts = [offer.pool.spot.startup_seconds for offer in offers if offer.pool.spot is not None]
    cases, objectives = _cases(workload, first, shape, supply, snapshot.policy)
    return Scalable(
        workload,
        _at_least(berths, planned),
        planned,
        first.gpus_per_replica,
        max(starts, default=None),
        cases,
        objectives,
    )


def _allowed(workload: Workload, offer: Offer, berths: Sequence[Berth]) -> bool:
    planned = any(one.pool == offer.pool.name and one.mig_profile == offer.mig_profile for one in berths)
    divides = offer.mig_profile is not None or offer.pool.gpus_per_node % berths[0].tensor_parallel == 0
    return planned or (offer.capacity_type in workload.placement.capacity_types and divides)


def _taken(others: Sequence[Decision]) -> dict[str, float]:
    """GPUs by pool."""
    taken: dict[str, float] = {}
    for decision in others:
        for berth in decision.berths:
            taken[berth.pool] = taken.get(berth.pool, 0.0) + berth.gpus_per_replica * berth.replicas
    return taken


def _berth(workload: Workload, first: Berth, offer: Offer, room: Room, taken: dict[str, float]) -> BerthSupply:
    variant = next(one for one in workload.variants if one.precision == first.precision)
    need = need_of(workload.resources, offer.mig_profile, first.tensor_parallel)
    slots = room.slots(offer, need, Reach.of(variant.access)).total
    held = math.ceil(taken.get(offer.pool.name, 0.0) / first.gpus_per_replica - 1e-9)
    spot = offer.capacity_type is CapacityType.SPOT
    interruptions = offer.pool.spot.interruptions_per_hour if spot and offer.pool.spot else 0.0
    name = offer.pool.name if offer.mig_profile is None else f"{offer.pool.name}/{offer.mig_profile}"
    usd = float(offer.usd_per_unit_hour or 0) * first.tensor_parallel
    return BerthSupply(name, spot, usd, max(min(slots - held, workload.maximum_replicas), 0), interruptions)


def _at_least(berths: Sequence[BerthSupply], planned: Sequence[int]) -> tuple[BerthSupply, ...]:
    """What is planned has room."""
    return tuple(
        replace(berth, maximum=max(berth.maximum, count)) for berth, count in zip(berths, planned, strict=True)
    )


def _cases(
    workload: Workload, berth: Berth, shape: int, supply: Supply, policy: Policy
) -> tuple[CaseTable, dict[tuple[str, str], Floats]]:
    lots = enumerate_lots([workload], supply)
    cells, _ = cells_of(lots, np.zeros(len(lots), dtype=np.bool_))
    fixed = FixedRow(
        problem=0,
        shape=shape,
        precision=lots.precisions.index(berth.precision),
        tensor_parallel=berth.tensor_parallel,
        maximum_batch_size=berth.maximum_batch_size,
        instances=berth.instances_per_gpu,
        queue_delay_microseconds=berth.maximum_queue_delay_microseconds,
    )
    rows = with_fixed_rows(rows_of(cells, lots.problems), [fixed])
    questions = Questions(lots.problems, supply.shapes, lots.precisions, policy.memory_margin_percent)
    only = np.array([len(rows) - 1], dtype=np.int64)
    return questions.cases(rows, only), questions.objectives(rows, only)
