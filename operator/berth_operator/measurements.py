"""Measured runs of models: what ``spec.model.measuredFrom`` refers to, read line by line from ConfigMaps. Pure and
total: what cannot be used says why, naming ConfigMap, key and line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from berth_cost.cases.answers import checked
from berth_cost.cases.case import Case, Engine, Hardware, MeasuredPoint, Model
from berth_cost.cases.lines import CaseFlaw, NumberedCase, read_cases
from berth_cost.cases.measured_runs import completed, contradictions, run_of
from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_operator.api.conditions import Reason
from berth_operator.api.model import MeasuredFrom
from berth_operator.world import Object, World, key_of, mapping
from berth_scheduler.snapshot import Problem

MOST_RUNS = 100
"""Of one workload. A plan asks the model about every candidate once for each run; a hundred say all there is to say."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """The runs of one workload, each with everything stated and its GPU described; ``model`` is what the lines say the
    model is. Empty where there are none; with a ``problem`` where they cannot be used."""

    runs: tuple[MeasuredPoint, ...] = ()
    model: Model | None = None
    problem: Problem | None = None


NOTHING_MEASURED = Measurements()


@dataclass(frozen=True, slots=True)
class ConfigMaps:
    """ConfigMaps by ``namespace/name``."""

    by_key: Mapping[str, Object]

    @classmethod
    def of(cls, world: World) -> Self:
        found: dict[str, Object] = {}
        for thing in world.config_maps:
            key = key_of(thing)
            if key is not None:
                found[key] = thing if key not in found else min(thing, found[key], key=repr)
        return cls(found)

    def measurements(self, stated: MeasuredFrom | None, namespace: str, gpus: GPUCatalogue) -> Measurements:
        """What a workload of ``namespace`` refers to."""
        if stated is None:
            return NOTHING_MEASURED
        name, key = stated.config_map_key_ref.name, stated.config_map_key_ref.key
        config_map = self.by_key.get(f"{namespace}/{name}")
        if config_map is None:
            return _missing(f"ConfigMap {name} is not in {namespace}: make it, or correct measuredFrom")
        text = mapping(config_map, "data").get(key)
        if not isinstance(text, str):
            there = ", ".join(sorted(str(one) for one in mapping(config_map, "data"))[:5]) or "nothing"
            return _missing(f"ConfigMap {name} has no key {key} in its data, which holds {there}")
        return read_measurements(text, gpus, f"ConfigMap {name}, key {key}")


def referred_to(workloads: Iterable[Object]) -> frozenset[tuple[str, str]]:
    """(namespace, name) of the ConfigMaps that workloads refer to, whatever else is wrong with them."""
    found = set()
    for thing in workloads:
        reference = mapping(thing, "spec", "model", "measuredFrom", "configMapKeyRef")
        key, name = key_of(thing), reference.get("name")
        if key is not None and isinstance(name, str) and name:
            found.add((key.partition("/")[0], name))
    return frozenset(found)


def read_measurements(text: str, gpus: GPUCatalogue, where: str) -> Measurements:
    """The runs in lines of cases; ``where`` begins every message."""
    cases: list[NumberedCase] = []
    for read in read_cases(line.encode("utf-8", "surrogatepass") for line in text.split("\n")):
        one = checked(read, gpus)
        if isinstance(one, CaseFlaw):
            return _invalid(f"{where}, line {one.line}: {one.error}")
        cases.append(one)
    lines = [(one.line, run) for one in cases for run in _runs(one.case)]
    flaw = _flaw_of_all(cases, lines)
    if flaw is not None:
        return _invalid(f"{where}{flaw}")
    return Measurements(tuple(_described(run, gpus) for _, run in lines), cases[0].case.model)


def _runs(case: Case) -> list[MeasuredPoint]:
    """What was observed, and what the case itself was calibrated with."""
    observed = run_of(case)
    return [*([observed] if observed else []), *(completed(point, case) for point in case.measured)]


def _flaw_of_all(cases: list[NumberedCase], lines: list[tuple[int, MeasuredPoint]]) -> str | None:
    """What only shows when all lines are seen."""
    for one in cases:
        if not _runs(one.case):
            return f", line {one.line}: observed is missing: state what was measured"
        if one.case.model != cases[0].case.model:
            return f", line {one.line}: its model is not that of line {cases[0].line}: one model a key"
    if not lines:
        return " holds no case: one a line, with observed"
    if len(lines) > MOST_RUNS:
        return f" holds {len(lines)} runs, more than {MOST_RUNS}: keep those nearest to the traffic"
    for first, second, words in contradictions([run for _, run in lines]):
        return f", line {lines[second][0]} contradicts line {lines[first][0]}: {words}"
    return None


def _described(run: MeasuredPoint, gpus: GPUCatalogue) -> MeasuredPoint:
    """With the GPU's specification, so that a snapshot needs no catalogue."""
    hardware = run.hardware
    if hardware is None or hardware.gpu_specification is not None:
        return run
    gpu = gpus.get(hardware.gpu)
    if not isinstance(gpu, GPUSpecification):
        return run
    described: Hardware = hardware.model_copy(update={"gpu_specification": gpu})
    return run.model_copy(update={"hardware": described})


def served_by(runs: Iterable[MeasuredPoint], backend: str) -> tuple[MeasuredPoint, ...]:
    """The runs with the engine named as a workload of ``backend`` names it, where it is the same one.

    A workload does not say which version its image holds, so a run's version tells nothing apart. Measured behind
    Triton or alone, the engine is the same.
    """
    return tuple(
        run.model_copy(update={"engine": Engine(name=backend)})
        if run.engine is not None and (run.engine.name or "").lower().removeprefix("triton-") == backend
        else run
        for run in runs
    )


def _missing(message: str) -> Measurements:
    return Measurements(problem=Problem(reason=Reason.MEASUREMENTS_MISSING, message=message))


def _invalid(message: str) -> Measurements:
    return Measurements(problem=Problem(reason=Reason.INVALID_MEASUREMENTS, message=message))
