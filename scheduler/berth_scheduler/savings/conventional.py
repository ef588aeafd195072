"""What most people would do: on demand, fp16, replicas for the whole rate, on the first GPU of the ladder that serves.

Nothing of it depends on what is decided, nor on which pools there are: what a plan is compared with must not move with
the plan. The objectives, the batching and the performance model are the same; availability is had by spares.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numpy as np

from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.hardware.precision import support_table
from berth_cost.prices.conventional import ConventionalGPU, ConventionalGPUs
from berth_cost.prices.list_price import ListPrice
from berth_cost.rounding import significant_number
from berth_cost.spot.availability import FAILURES_PER_GPU_HOUR, REPLACEMENT_SECONDS, unavailability
from berth_scheduler.crew import Berthing, crew_of
from berth_scheduler.savings.static_size import Asked, SizedCells
from berth_scheduler.snapshot import Workload
from berth_scheduler.supply import Shape
from berth_scheduler.survey import Survey

NEAREST_TO_FP16 = ("fp16", "bf16", "tf32", "fp32", "fp8", "int8")
"""Then the others in the order of the variants. Only what the workload has an artefact for."""


class Conventional(NamedTuple):
    """``needed`` replicas carry the rate, ``replicas`` has the spares that an availability needs on top."""

    listed: ListPrice
    precision: str
    width: int
    needed: int
    replicas: int

    @property
    def what(self) -> str:
        """``3 × T4, fp16, on demand``"""
        unit = self.listed.gpu if self.width == 1 else f"{self.width}×{self.listed.gpu}"
        return f"{self.replicas} × {unit}, {self.precision}, on demand"


class _Trial(NamedTuple):
    """One workload on one rung."""

    workload: int
    rung: ConventionalGPU
    listed: ListPrice
    gpu: GPUSpecification
    precision: str


def conventional_of(
    found: Survey, cells: SizedCells, indices: Sequence[int], list_prices: Sequence[ListPrice]
) -> dict[int, Conventional | str]:
    """By workload: the baseline, or why there is none. Each rung is asked of all workloads that no lower one serves.

    ``cells`` are those of the survey.
    """
    by_gpu = {one.gpu: one for one in list_prices if one.specification is not None}
    sized = cells.sized_questions()
    precisions = _Precisions()
    settled: dict[int, Conventional | str] = {}
    ladders = {index: _ladder(found.workloads[index]) for index in indices}
    for height in range(max((len(ladder) for ladder in ladders.values()), default=0)):
        trials = []
        for index in indices:
            rung = ladders[index][height] if index not in settled and height < len(ladders[index]) else None
            listed = by_gpu.get(rung.gpu) if rung else None
            if rung is not None and listed is not None and listed.specification is not None:
                precision = precisions.nearest(index, found.workloads[index], listed.specification)
                if precision is not None:
                    trials.append(_Trial(index, rung, listed, listed.specification, precision))
        settled |= _tried(found, cells, sized, trials)
    return settled | {
        index: _why_none(found.workloads[index], ladders[index], by_gpu) for index in indices if index not in settled
    }


def _ladder(workload: Workload) -> tuple[ConventionalGPU, ...]:
    ladders = ConventionalGPUs.load_builtin()
    return ladders.language if workload.model and workload.model.transformer else ladders.classic


class _Precisions:
    """The nearest to fp16 of a workload's variants that a GPU runs under its backend, each found once."""

    def __init__(self) -> None:
        self._of_workload: dict[int, tuple[str, ...]] = {}
        self._nearest: dict[tuple[str, str, tuple[str, ...]], str | None] = {}

    def nearest(self, index: int, workload: Workload, gpu: GPUSpecification) -> str | None:
        there = self._of_workload.get(index)
        if there is None:
            there = self._of_workload[index] = tuple([variant.precision for variant in workload.variants])
        key = (gpu.name, workload.backend, there)
        if key not in self._nearest:
            table = support_table([gpu], there, workload.backend)[0].tolist()
            fine = [one for one, supported in zip(there, table, strict=True) if supported]
            self._nearest[key] = next((one for one in (*NEAREST_TO_FP16, *fine) if one in fine), None)
        return self._nearest[key]


def _tried(
    found: Survey, cells: SizedCells, sized: AbstractSet[tuple[int, int, int]], trials: Sequence[_Trial]
) -> dict[int, Conventional | str]:
    """The workloads that their rung serves. What the plan has asked about anyway is not asked again."""
    own = {shape.gpu.name: index for index, shape in reversed([*enumerate(found.supply.shapes)]) if shape.mig is None}
    code = {precision: index for index, precision in enumerate(found.lots.precisions)}
    problem = found.lots.problem_of_workload.tolist()
    known: list[_Trial] = []
    anew: list[_Trial] = []
    for trial in trials:
        at = (problem[trial.workload], own.get(trial.gpu.name, -1), code[trial.precision])
        (known if at in sized else anew).append(trial)
    settled = _served(found, cells, known, own)
    if anew:
        gpus = {trial.gpu.name: trial.gpu for trial in anew}
        shapes = tuple(Shape(gpus[name], None) for name in sorted(gpus))
        place = {shape.gpu.name: index for index, shape in enumerate(shapes)}
        asked = [(problem[trial.workload], place[trial.gpu.name], code[trial.precision]) for trial in anew]
        settled |= _served(found, SizedCells.sized(found, shapes, asked), anew, place)
    return settled


def _served(
    found: Survey, cells: SizedCells, trials: Sequence[_Trial], place: Mapping[str, int]
) -> dict[int, Conventional | str]:
    if not trials:
        return {}
    code = {precision: index for index, precision in enumerate(found.lots.precisions)}
    asked = Asked.of([(trial.workload, place[trial.gpu.name], code[trial.precision]) for trial in trials])
    widest = np.array([min(trial.rung.most_gpus, trial.listed.most_gpus) for trial in trials], dtype=np.int64)
    sizes = cells.static_size(found, asked, widest)
    needed, widths = sizes.replicas.tolist(), sizes.width.tolist()
    carrying = needed
    if any(found.workloads[trial.workload].availability_percent is not None for trial in trials):
        carrying = cells.static_size(found, asked, sizes.width, minimum=False).replicas.tolist()
    settled: dict[int, Conventional | str] = {}
    for trial, count, width, least in zip(trials, needed, widths, carrying, strict=True):
        workload = found.workloads[trial.workload]
        if count <= workload.maximum_replicas:
            replicas = int(count)
            if workload.availability_percent is not None:
                gone = significant_number(unavailability(FAILURES_PER_GPU_HOUR * width, REPLACEMENT_SECONDS))
                price = float(trial.listed.usd_per_gpu_hour) * width
                replicas = crew_of(workload, int(least), replicas, Berthing((price, gone), None)).replicas
            settled[trial.workload] = Conventional(trial.listed, trial.precision, width, int(count), replicas)
    return settled


def _why_none(workload: Workload, ladder: Sequence[ConventionalGPU], priced: Mapping[str, ListPrice]) -> str:
    names = ", ".join(rung.gpu for rung in ladder)
    if not any(rung.gpu in priced for rung in ladder):
        return f"no price on demand is known of the GPUs that most people would take ({names})"
    precisions = ", ".join(variant.precision for variant in workload.variants)
    return (
        f"none of the GPUs that most people would take ({names}) serves it as {precisions} inside its objectives with "
        f"at most {workload.maximum_replicas} replicas"
    )
