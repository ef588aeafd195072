"""From what the driver says to a specification of the GPU: the driver's facts, and the catalogue's for the rest."""

from collections.abc import Sequence
from typing import Literal

from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_cost.record import Record
from berth_cost.rounding import significant_number
from berth_operator.probe.nvml import MEGABYTE, DriverAnswers, DriverGPU
from berth_operator.probe.rates import AchievedRate

DRIVER_FACTS = (
    "memory_bytes",
    "memory_bandwidth_bytes_per_second",
    "power_watts",
    "nvlink_bytes_per_second",
    "pcie_bytes_per_second",
    "multiprocessors",
    "compute_capability",
    "mig_profiles",
)
"""What the driver knows of a GPU better than any catalogue."""


class ProbedGPU(Record):
    """One GPU: what the driver says, and what that makes it."""

    driver_says: DriverGPU
    catalogue_name: str | None = None
    """None where the catalogue does not know the product; ``why_unknown`` says what it may be."""
    why_unknown: str | None = None
    gpu_specification: GPUSpecification


class Probe(Record):
    """Of one node. ``achieved`` are rates that were timed (``--measure``)."""

    kind: Literal["Probe"] = "Probe"
    driver: str | None = None
    gpus: tuple[ProbedGPU, ...] = ()
    achieved: tuple[AchievedRate, ...] = ()


def probed(answers: DriverAnswers, catalogue: GPUCatalogue, achieved: Sequence[AchievedRate] = ()) -> Probe:
    """Every GPU with its specification."""
    return Probe(
        driver=answers.driver,
        gpus=tuple(_probed(gpu, catalogue, achieved) for gpu in answers.gpus),
        achieved=tuple(achieved),
    )


def _probed(gpu: DriverGPU, catalogue: GPUCatalogue, achieved: Sequence[AchievedRate]) -> ProbedGPU:
    known = catalogue.resolve(gpu.product, memory_mib=gpu.memory_bytes / MEGABYTE)
    if isinstance(known, GPUSpecification):
        specification = known.model_copy(update=_facts(gpu))
        return ProbedGPU(driver_says=gpu, catalogue_name=known.name, gpu_specification=specification)
    specification = GPUSpecification(name=gpu.product).model_copy(update=_facts(gpu) | _floor(gpu, achieved))
    return ProbedGPU(driver_says=gpu, why_unknown=known.message, gpu_specification=specification)


def _facts(gpu: DriverGPU) -> dict[str, object]:
    """What the driver knows better than a catalogue: sizes, the power cap that holds, the links that are there.

    The bandwidth is that of the memory clock, which the catalogue's is too; idle power is not taken from one reading.
    """
    facts: dict[str, object | None] = {
        "memory_bytes": gpu.memory_bytes,
        "memory_bandwidth_bytes_per_second": _rounded(gpu.memory_bandwidth_bytes_per_second),
        "power_watts": gpu.power.enforced_watts,
        "nvlink_bytes_per_second": _rounded(gpu.nvlink_bytes_per_second),
        "pcie_bytes_per_second": _rounded(gpu.pcie_bytes_per_second),
        "multiprocessors": gpu.multiprocessors,
        "compute_capability": gpu.compute_capability,
        "mig_profiles": gpu.mig_profiles or None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _floor(gpu: DriverGPU, achieved: Sequence[AchievedRate]) -> dict[str, object]:
    """Of a product that nobody describes: rates that were reached are the least that it can do. They are marked as
    having no second source, which widens every band."""
    rates = {
        one.precision: one.per_second
        for one in achieved
        if one.gpu == gpu.index and one.what == "matrix product" and one.precision is not None
    }
    if not rates:
        return {}
    marked = tuple(sorted(f"peak_flops_per_second.{precision}" for precision in rates))
    return {"peak_flops_per_second": dict(sorted(rates.items())), "recalled": marked}


def _rounded(value: float | None) -> float | None:
    return None if value is None else significant_number(value, 4)
