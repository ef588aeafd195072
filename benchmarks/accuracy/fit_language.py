"""Fit the constants of language models to published measurements and write ``language_constants.yaml``.

Run: ``python benchmarks/accuracy/fit_language.py [--data FOLDER] [--to FILE] --date YYYY-MM-DD``. It takes
minutes. How: ``constants_fit``.
"""

from collections.abc import Mapping

import numpy as np
from constants_fit import (
    NOISE,
    Document,
    Floats,
    Kind,
    Measured,
    command,
    fit_kind,
    fit_spread,
    fitted_to,
    source_of,
)
from least_squares import Parameter
from measured_cases import observations

from berth_cost.case import Case
from berth_cost.gpu_catalogue import GPUSpecification
from berth_cost.prediction_table import PredictionTable

MOST_RUNNING = 256
"""Beyond this many running sequences (vLLM's default limit) an engine's own loop on the CPU outweighs the GPU: judged,
but not fitted."""
LENGTHS_UNSURE = {"blis-training"}
"""Prompts share prefixes by an unknown amount: less is prefilled than the lengths say. Judged, not fitted."""
ENGINES = ("vllm", "tensorrtllm", "lmdeploy-turbomind", "llama.cpp", "mlc-llm")
PRIORS = {
    "compute_efficiency": (0.25, 0.80),
    "memory_efficiency": (0.15, 0.92),
    "ramp_tokens": (0.7, 512.0),
    "layer_overhead_seconds": (0.6, 2e-4),
    "step_overhead_seconds": (0.8, 2e-2),
    "sequence_overhead_seconds": (0.8, 5e-5),
    "expert_layer_overhead_seconds": (0.8, 4e-4),
    "request_overhead_seconds": (0.8, 0.5),
    "cohort_share": (0.6, 1.5),
}
"""Deviation of the prior in logs, and the largest plausible value. Large matrix products reach 77 to 87 % of the peak
rate (public measurements of achievable rates on A100, H100, B200)."""


def shared_parameters(document: Document, data: Measured) -> list[Parameter]:
    """What all engines have in common: links, precisions, GPUs."""
    names = sorted({case.hardware.gpu for case in data.cases})
    for name in names:
        document["language"]["gpus"].setdefault(name, {"compute": 1.0, "memory": 1.0})
    parts = ("compute", "memory")
    found = [Parameter(("language", "gpus", name, part), 0.12, 1.0, 0.5) for name in names for part in parts]
    for link in ("nvlink", "pcie"):
        found.append(Parameter(("language", "links", link, "latency_seconds"), 0.5, 1e-4))
        found.append(Parameter(("language", "links", link, "efficiency"), 0.25, 0.95))
    precisions = ("fp8", "mxfp4", "int4-weight")
    return found + [
        Parameter(("language", "precisions", name, part), 0.2, 1.0) for name in precisions for part in parts
    ]


def fit_power(document: Document, data: Measured) -> Document:
    """Power while serving, from readings per GPU."""
    read = [one for one in observations(data.cases) if one.metric == "powerWattsPerGPU"]

    def measure(answers: PredictionTable) -> Floats:
        return np.concatenate([np.nan_to_num(one.log_ratio(answers)) / NOISE for one in read])

    parameters = [Parameter(("language", "power", name), 0.6, 1.0) for name in ("base", "compute", "memory")]
    return fitted_to(document, data, parameters, measure)


def fit_all(document: Document, data: Measured, gpus: Mapping[str, GPUSpecification]) -> Document:
    document = fit_kind(document, data, KIND, gpus)
    document = fit_spread(document, data, KIND)
    return fit_power(document, data)


def is_language(case: Case) -> bool:
    return case.model.transformer is not None


def fits(case: Case) -> bool:
    return source_of(case) not in LENGTHS_UNSURE and (case.load.concurrency or 0) <= MOST_RUNNING


KIND = Kind(
    name="language",
    engines=ENGINES,
    priors=PRIORS,
    shared_parameters=shared_parameters,
    jitter=("service", "first_token"),
    banded=(
        "timePerOutputTokenSeconds",
        "endToEndSeconds",
        "timeToFirstTokenSeconds",
        "outputTokensPerSecond",
        "powerWattsPerGPU",
    ),
    source_weight=80,
    belongs=is_language,
    fits=fits,
    every={},
)

if __name__ == "__main__":
    raise SystemExit(command(KIND, fit_all, __doc__))
