"""Which precision runs on which GPU under which Triton backend. Bytes and compute rates: :mod:`number_format`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from berth_cost.document import (
    Provenance,
    known_keys_only,
    parse_yaml,
    read_built_in,
    read_entry,
    read_sources,
    section,
    validate,
)
from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.number_format import FORMATS, NumberFormat
from berth_cost.record import Record

ComputeCapability = tuple[int, int]


class Refusal(Record):
    """Why a precision cannot run. ``value`` and ``limit`` are compute capabilities as 8.9, where that is the reason."""

    reason: Literal["UnknownPrecision", "UnknownBackend", "Backend", "ComputeCapability", "UnknownComputeCapability"]
    message: str
    value: float | None = None
    limit: float | None = None


class Bounds(Record):
    """Compute capabilities from ``minimum`` on, and below ``below`` where newer GPUs lost what older ones have."""

    minimum_compute_capability: ComputeCapability = (0, 0)
    below_compute_capability: ComputeCapability | None = None


class BackendRule(Record):
    minimum_compute_capability: ComputeCapability
    precisions: tuple[str, ...]


@dataclass(frozen=True)
class PrecisionRules:
    """Bounds by precision, rules by backend, and what applies to a backend with a precision beyond both."""

    precisions: Mapping[str, Bounds]
    backends: Mapping[str, BackendRule]
    exceptions: Mapping[tuple[str, str], Bounds]
    provenances: Mapping[str, Mapping[str, Provenance]]

    @staticmethod
    def load_builtin() -> "PrecisionRules":
        """The rules of this package, read and validated once a process."""
        return _built_in()

    def bounds(self, precision: str, backend: str) -> Bounds:
        """What both ask of the GPU together. Both must be known."""
        own, exception = self.precisions[precision], self.exceptions.get((backend, precision), Bounds())
        below = [one.below_compute_capability for one in (own, exception) if one.below_compute_capability]
        return Bounds(
            minimum_compute_capability=max(
                own.minimum_compute_capability,
                exception.minimum_compute_capability,
                self.backends[backend].minimum_compute_capability,
            ),
            below_compute_capability=min(below) if below else None,
        )


def number_format(precision: str) -> NumberFormat:
    """Bytes of a weight, an activation and a cached value, and the peak rates that products run at, best first."""
    return FORMATS[precision]


def supported(gpu: GPUSpecification, precision: str, backend: str) -> Refusal | None:
    """Why ``precision`` does not run on ``gpu`` under ``backend``; None where it does."""
    rules = PrecisionRules.load_builtin()
    refusal = backend_refusal(precision, backend)
    if refusal is not None:
        return refusal
    capability = gpu.compute_capability
    if capability is None:
        message = f"the compute capability of {gpu.name} is not known: state it in a GPU document"
        return Refusal(reason="UnknownComputeCapability", message=message)
    bounds = rules.bounds(precision, backend)
    least, below = bounds.minimum_compute_capability, bounds.below_compute_capability
    if capability < least:
        limit, wording = least, f"{_dotted(least)} or newer"
    elif below is not None and capability >= below:
        limit, wording = below, f"older than {_dotted(below)}"
    else:
        return None
    message = f"{precision} with {backend} needs compute capability {wording}, and {gpu.name} has {_dotted(capability)}"
    return Refusal(reason="ComputeCapability", message=message, value=_number(capability), limit=_number(limit))


def backend_refusal(precision: str, backend: str) -> Refusal | None:
    """Why ``backend`` cannot run ``precision`` on any GPU; None where it can."""
    rules = PrecisionRules.load_builtin()
    if precision not in rules.precisions:
        message = f"{precision} is no known precision; known: {', '.join(rules.precisions)}"
        return Refusal(reason="UnknownPrecision", message=message)
    rule = rules.backends.get(backend)
    if rule is None:
        message = f"{backend} is no known backend; known: {', '.join(rules.backends)}"
        return Refusal(reason="UnknownBackend", message=message)
    if precision not in rule.precisions:
        message = f"{backend} does not run {precision}; it runs {', '.join(rule.precisions)}"
        return Refusal(reason="Backend", message=message)
    return None


def support_table(gpus: Sequence[GPUSpecification], precisions: Sequence[str], backend: str) -> NDArray[np.bool_]:
    """Whether :func:`supported` refuses nothing; shape (gpu, precision)."""
    rules = PrecisionRules.load_builtin()
    # Capabilities as major · 1000 + minor, so that they compare as numbers; −1 where not known, below every minimum.
    capability = np.array([_rank(gpu.compute_capability) for gpu in gpus], dtype=np.int64)
    known = [backend_refusal(precision, backend) is None for precision in precisions]
    bounds = [rules.bounds(one, backend) if fine else None for one, fine in zip(precisions, known, strict=True)]
    least = np.array([_rank(one.minimum_compute_capability) if one else 0 for one in bounds], dtype=np.int64)
    below = np.array([_rank_below(one) for one in bounds], dtype=np.int64)
    fits = (capability[:, None] >= least) & (capability[:, None] < below)
    return fits & np.array(known, dtype=np.bool_)


def _rank(capability: ComputeCapability | None) -> int:
    return -1 if capability is None else capability[0] * 1000 + capability[1]


def _rank_below(bounds: Bounds | None) -> int:
    below = bounds.below_compute_capability if bounds else None
    return np.iinfo(np.int64).max if below is None else _rank(below)


def _dotted(capability: ComputeCapability) -> str:
    return f"{capability[0]}.{capability[1]}"


def _number(capability: ComputeCapability) -> float:
    return float(_dotted(capability))


@cache
def _built_in() -> PrecisionRules:
    file = "precisions.yaml"
    document = parse_yaml(read_built_in(file), file)
    known_keys_only(document, ("sources", "precisions", "backends", "exceptions"), file)
    sources = read_sources(document, file)
    provenances: dict[str, Mapping[str, Provenance]] = {}

    def read(part: str, name: str, stated: object) -> dict[str, Any]:
        entry = read_entry(stated, sources, file, f"{part}.{name}")
        provenances[f"{part}.{name}"] = entry.provenance
        return entry.values

    return PrecisionRules(
        precisions={
            name: validate(Bounds, read("precisions", name, stated), file, f"precisions.{name}")
            for name, stated in section(document, "precisions", file).items()
        },
        backends={
            name: validate(BackendRule, read("backends", name, stated), file, f"backends.{name}")
            for name, stated in section(document, "backends", file).items()
        },
        exceptions={
            _backend_and_precision(name): validate(Bounds, read("exceptions", name, stated), file, f"exceptions.{name}")
            for name, stated in section(document, "exceptions", file).items()
        },
        provenances=provenances,
    )


def _backend_and_precision(name: str) -> tuple[str, str]:
    backend, _, precision = name.partition("/")
    return backend, precision
