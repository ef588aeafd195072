"""Fit the constants of classic networks to published measurements and write ``classic_constants.yaml``.

Run: ``python benchmarks/accuracy/fit_classic.py [--data FOLDER] [--to FILE] --date YYYY-MM-DD``. It takes minutes. How:
``constants_fit``.
"""

from collections import Counter
from collections.abc import Mapping

from constants_fit import Document, Kind, Measured, command, fit_kind, fit_spread
from least_squares import Parameter

from berth_cost.case import Case
from berth_cost.gpu_catalogue import GPUSpecification

ENGINES = (
    "tensorrt",
    "onnxruntime",
    "pytorch",
    "tensorflow",
    "pytorch-eager",
    "pytorch-eager-nhwc",
    "pytorch-inductor",
    "paddle-inference",
    "paddle-inference+tensorrt",
)
PRIORS = {
    "compute_efficiency": (0.3, 0.85),
    "memory_efficiency": (0.3, 0.95),
    "ramp_flops": (1.0, 1e12),
    "pass_overhead_seconds": (0.8, 5e-2),
    "size_exponent": (0.5, 1.0),
    "request_seconds": (0.8, 2e-2),
    "host_bytes_per_second": (0.8, 2e10),
}


def shared_parameters(document: Document, data: Measured) -> list[Parameter]:
    """What all engines have in common: precisions, GPUs, families of networks."""
    names = sorted({case.hardware.gpu for case in data.cases})
    for name in names:
        document["classic"]["gpus"].setdefault(name, {"compute": 1.0, "memory": 1.0})
    parts = ("compute", "memory")
    found = [Parameter(("classic", "gpus", name, part), 0.12, 1.0, 0.5) for name in names for part in parts]
    counts = Counter(case.model.dense.family for case in data.cases if case.model.dense)
    for family in sorted(family for family, count in counts.items() if family and count >= 12):
        document["classic"]["families"].setdefault(family, 1.0)
        found.append(Parameter(("classic", "families", family), 0.4, 4.0, 0.25))
    return found + [Parameter(("classic", "precisions", "int8", part), 0.2, 1.0) for part in parts]


def fit_all(document: Document, data: Measured, gpus: Mapping[str, GPUSpecification]) -> Document:
    return fit_spread(fit_kind(document, data, KIND, gpus), data, KIND)


def known_size(case: Case) -> bool:
    """Classic networks whose size is known."""
    return case.model.dense is not None and case.model.dense.flops_per_inference is not None


def fits(case: Case) -> bool:
    return True


KIND = Kind(
    name="classic",
    engines=ENGINES,
    priors=PRIORS,
    shared_parameters=shared_parameters,
    jitter=("network_pass", "host"),
    banded=("latencySeconds", "itemsPerSecond"),
    source_weight=300,
    belongs=known_size,
    fits=fits,
    every={"timm": 12},
)

if __name__ == "__main__":
    raise SystemExit(command(KIND, fit_all, __doc__))
