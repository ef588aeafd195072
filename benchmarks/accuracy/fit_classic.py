"""Fit the constants of classic networks to published measurements and write ``classic_constants.yaml``.

Run: ``python benchmarks/accuracy/fit_classic.py [--data FOLDER] [--to FILE] --date YYYY-MM-DD``. It takes minutes. How:
``constants_fit``. No time depends on the constants of two engines, two GPUs, two precisions or two families, so that
all of one kind are moved together, and a fit of hundreds of constants costs some twenty predictions a round.
"""

import copy
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from constants_fit import (
    NOISE,
    Document,
    Kind,
    Measured,
    at,
    command,
    fit_spread,
    measured,
    put,
    source_of,
)
from least_squares import Parameter, fit
from measured_cases import observations
from numpy.typing import NDArray

from berth_cost.cases.case import Case
from berth_cost.hardware.device import device_columns
from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.performance.batch_service import batch_service, state_under
from berth_cost.performance.case_table import LoadKind, rows_of
from berth_cost.performance.engine_constants import Constants, built_in_constants, engine_name
from berth_cost.performance.fitted_constants import GENERAL
from berth_cost.performance.percentiles import NORMAL_QUANTILES
from berth_cost.performance.prediction_table import SCALAR
from berth_cost.performance.work import dense_work

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
    "compute_efficiency": (0.3, 0.95),
    "memory_efficiency": (0.3, 0.95),
    "ramp_flops": (1.0, 1e12),
    "pass_overhead_seconds": (0.8, 5e-2),
    "size_exponent": (0.5, 0.2),
    "layer_exponent": (0.5, 1.2),
    "width_exponent": (0.7, 0.15),
    "launch_overlap": (0.7, 1.0),
    "request_seconds": (0.8, 2e-2),
    "host_bytes_per_second": (0.8, 2e10),
}
"""Deviation of the prior in logs, and the largest plausible value."""
CHEAPER_LAUNCHES = {"tensorrt": 0.3, "onnxruntime": 0.6}
"""Where the fit of an engine's launches starts, as a share of the general one: graphs that are compiled into few
kernels are launched at once. Only two families were measured on TensorRT, so that the start matters."""
SHARED = {
    "gpus": {"compute": (0.25, 1.4, 0.3), "memory": (0.20, 1.3, 0.3), "launches": (0.35, 4.0, 0.25)},
    "precisions": {"compute": (0.4, 3.5, 0.2), "memory": (0.2, 2.0, 0.4)},
    "families": {"launches": (0.4, 4.0, 0.15), "device": (0.35, 5.0, 0.2)},
}
"""What all engines have in common: deviation, largest and smallest value of each factor."""
REFERENCE_PRECISIONS = ("fp16", "bf16")
"""Efficiencies are stated for them."""
FEWEST_OF_FAMILY = 6
KIN = {
    "A100-PCIe-40GB": ("A100-SXM-40GB", "A100-SXM-80GB"),
    "A100-PCIe-80GB": ("A100-SXM-40GB", "A100-SXM-80GB"),
    "V100-PCIe": ("V100-SXM-16GB", "V100-SXM-32GB"),
    "RTX-5090": ("RTX-3090", "RTX-4090"),
    "RTX-PRO-6000-Server": ("RTX-PRO-6000-MaxQ",),
    "A10": ("T4", "A40"),
    "L4": ("T4",),
    "A30": ("A100-SXM-40GB", "T4"),
    "L40": ("A40",),
    "L40S": ("A40", "RTX-4090"),
}
"""GPUs that no measurement covers, and measured ones of the same generation, class or power limit: GeForce cards state
peak rates with 32-bit accumulation, boards of 70 to 165 W are held below theirs."""
TAIL_QUANTILES = {"p95": NORMAL_QUANTILES["p95"], "p99": NORMAL_QUANTILES["p99"]}
ARCHITECTURES_TO_TRUST = 1
"""After which a kind's own unevenness counts as much as everybody's."""
SPARSE_GAIN = 1.1
"""Assumed: what two-of-four sparsity adds to the rate of 8-bit integers in whole networks, of 2 in a matrix product."""
COPYING_ENGINE = "pytorch"
"""Whose published loop copies every input from pageable memory."""


def shared_parameters(document: Document, data: Measured) -> list[Parameter]:
    """GPUs, precisions and families of networks; missing entries of the document are filled in."""
    keys = keys_of(data.cases)
    counts = Counter(keys["families"])
    found = []
    for kind, parts in SHARED.items():
        names = sorted(set(keys[kind]) - {""} - set(REFERENCE_PRECISIONS))
        if kind == "families":
            names = [name for name in names if counts[name] >= FEWEST_OF_FAMILY]
        for name in names:
            entry = document["classic"][kind].setdefault(name, {})
            for part, (deviation, upper, lower) in parts.items():
                entry.setdefault(part, 1.0)
                found.append(Parameter(("classic", kind, name, part), deviation, upper, lower))
    return found


def keys_of(cases: Sequence[Case]) -> dict[str, list[str]]:
    """Engine, GPU, precision and family of every case, by the name that the document keeps them under."""
    constants = built_in_constants()
    return {
        "engines": [engine_name(constants, case.engine) for case in cases],
        "gpus": [case.hardware.gpu for case in cases],
        "precisions": [case.precision for case in cases],
        "families": [(case.model.dense.family if case.model.dense else None) or "" for case in cases],
    }


def owners_of(data: Measured, parameters: Sequence[Parameter]) -> list[NDArray[np.int64]]:
    """Parameters that move together, as :func:`least_squares.fit` wants them."""
    rows = np.concatenate([one.rows for one in data.judged])
    keys = keys_of(data.cases)
    groups: dict[tuple[str, str], dict[str, int]] = {}
    for position, one in enumerate(parameters):
        _, kind, name, part = one.path
        groups.setdefault((kind, part), {})[name] = position
    owners = []
    for (kind, _), positions in groups.items():
        everybody = positions.get(GENERAL, -1) if kind == "engines" else -1
        own = np.array([positions.get(name, everybody) for name in keys[kind]], dtype=np.int64)
        owners.append(own[rows])
    return owners


class Central:
    """log(predicted / observed) of what constants are judged by: as ``predict`` answers, without all the rest of it."""

    def __init__(self, data: Measured) -> None:
        self.rows = np.concatenate([one.rows for one in data.judged])
        self._judged, self._table = data.judged, data.table
        self._work, self._device = dense_work(data.table), device_columns(data.table)

    def log_ratios(self, constants: Constants) -> NDArray[np.float64]:
        table = self._table
        service = batch_service(table, self._work, self._device, constants)
        found = {name: np.full(len(table), np.nan) for name in ("mean", "p50", SCALAR)}
        for kind in LoadKind:
            chosen = np.flatnonzero(table.load_kind == kind)
            if len(chosen):
                state = state_under(rows_of(service, chosen), table.rows(chosen), kind, np.ones(len(chosen)))
                found["mean"][chosen] = state.latency.statistic("mean")
                found["p50"][chosen] = state.latency.statistic("p50")
                found[SCALAR][chosen] = state.requests_per_second * table.items_per_request[chosen]
        ratios = [np.log(found[one.statistic][one.rows] / one.values) for one in self._judged]
        return np.nan_to_num(np.clip(np.concatenate(ratios), -3, 3))


def fitted(document: Document, data: Measured, parameters: Sequence[Parameter]) -> Document:
    """``document`` with the parameters fitted to the central observations of ``data``."""
    weight = weights_of(data)

    def moved(values: NDArray[np.float64]) -> Document:
        changed = copy.deepcopy(document)
        for one, value in zip(parameters, values, strict=True):
            put(changed, one.path, float(np.clip(value, one.lower, one.upper)))
        return changed

    central = Central(data)

    def measured_at(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return central.log_ratios(Constants.model_validate(moved(values))) * weight[central.rows]

    start = np.array([at(document, one.path) for one in parameters], dtype=np.float64)
    return moved(fit(measured_at, start, parameters, rounds=20, owners=owners_of(data, parameters)))


def weights_of(data: Measured) -> NDArray[np.float64]:
    """As :func:`constants_fit.weights`, counting only networks of known size: nothing is predicted of the others."""
    known = [case for case in data.cases if known_size(case)]
    counts = Counter(source_of(case) for case in known)
    found = [np.sqrt(min(1.0, KIND.source_weight / counts[source_of(case)])) / NOISE for case in known]
    weight = np.zeros(len(data.cases))
    weight[[known_size(case) for case in data.cases]] = found
    return weight


def engine_parameters(engine: str) -> list[Parameter]:
    found = [Parameter(("classic", "engines", engine, name), *bounds) for name, bounds in PRIORS.items()]
    if engine == COPYING_ENGINE:
        found.append(Parameter(("classic", "engines", engine, "copy_seconds_per_byte"), 0.5, 1e-9))
    return found


def fit_all(document: Document, data: Measured, gpus: Mapping[str, GPUSpecification]) -> Document:
    """The general prior first, then every engine around it, together with what engines share."""
    document = copy.deepcopy(document)
    shared = shared_parameters(document, data)
    engines = document["classic"]["engines"]
    defaults = {engine: engines.get(engine, engines[GENERAL]) for engine in ENGINES}
    document["classic"]["engines"] = {GENERAL: engines[GENERAL]}
    document = fitted(document, data, [*engine_parameters(GENERAL), *shared])
    engines = document["classic"]["engines"]
    seen = set(keys_of(data.cases)["engines"])
    present = [engine for engine in ENGINES if engine in seen]
    for engine in present:
        engines[engine] = {**defaults[engine], **{name: engines[GENERAL][name] for name in PRIORS}}
        engines[engine]["pass_overhead_seconds"] *= CHEAPER_LAUNCHES.get(engine, 1.0)
    document = fitted(document, data, [*(one for engine in present for one in engine_parameters(engine)), *shared])
    assume_kin(document)
    document["classic"]["precisions"]["int8-sparse"]["compute"] = (
        SPARSE_GAIN * document["classic"]["precisions"]["int8"]["compute"]
    )
    alone = measured([case for case in data.cases if not in_company(case)], gpus)
    return with_loop_jitter(with_client_share(fit_spread(document, alone, KIND), data), data)


def in_company(case: Case) -> bool:
    """Whether several clients ask."""
    return (case.load.concurrency or 0) > 1


def with_client_share(document: Document, data: Measured) -> Document:
    """By how much Little's law, clients = rate · latency, is missed by several clients' published rates."""
    document = copy.deepcopy(document)
    closed = [case for case in data.cases if in_company(case)]
    seen = {(one.metric, one.statistic): one for one in observations(closed)}
    latency, rate = seen.get(("latencySeconds", "mean")), seen.get(("itemsPerSecond", SCALAR))
    if latency is not None and rate is not None:
        seconds, items = np.full(len(closed), np.nan), np.full(len(closed), np.nan)
        seconds[latency.rows], items[rate.rows] = latency.values, rate.values
        asked = np.array([(case.load.concurrency or 1) * case.request.items_per_request for case in closed])
        missed = float(np.nanmedian(1 - items * seconds / asked))
        document["classic"]["client_share"] = float(np.clip(missed, 0.0, 0.2))
    return document


def with_loop_jitter(document: Document, data: Measured) -> Document:
    """How far p95 and p99 of several clients lie above the mean of the same run where several instances serve, of all
    networks, those of unknown size too. Runs of one architecture are alike, so that each counts as one value; those
    whose server holds requests back, and the others, are drawn to the mean of all. By the engine's name the same
    values err more for architectures that were left out."""
    document = copy.deepcopy(document)
    loaded = [case for case in data.cases if in_company(case) and case.serving.instances > 1]
    by_statistic = {one.statistic: one for one in observations(loaded) if one.metric == "latencySeconds"}
    if not {"mean", *TAIL_QUANTILES} <= by_statistic.keys():
        return document
    kinds = np.array(keys_of(loaded)["families"])
    held = np.array([(case.serving.maximum_queue_delay_microseconds or 0) > 0 for case in loaded])
    center = np.full(len(loaded), np.nan)
    center[by_statistic["mean"].rows] = by_statistic["mean"].values
    deviation = np.full((len(TAIL_QUANTILES), len(loaded)), np.nan)
    for position, (statistic, quantile) in enumerate(TAIL_QUANTILES.items()):
        one = by_statistic[statistic]
        deviation[position, one.rows] = (one.values / center[one.rows] - 1) / quantile
    whole = _by_architecture(deviation, kinds)
    for name, chosen in (("loop", ~held), ("held_loop", held)):
        own = _by_architecture(deviation[:, chosen], kinds[chosen])
        drawn = (sum(own) + ARCHITECTURES_TO_TRUST * np.mean(whole)) / (len(own) + ARCHITECTURES_TO_TRUST)
        document["classic"]["jitter"][name] = float(np.clip(drawn, 0.01, 0.8))
    return document


def _by_architecture(deviation: NDArray[np.float64], kinds: NDArray[np.str_]) -> list[float]:
    """The median of each; ``deviation`` of shape (statistics, runs)."""
    return [float(np.nanmedian(deviation[:, kinds == kind])) for kind in sorted(set(kinds))]


def assume_kin(document: Document) -> None:
    """Factors of GPUs that nobody measured, from measured ones of their kind."""
    gpus = document["classic"]["gpus"]
    for name, kin in KIN.items():
        known = [gpus[one] for one in kin if one in gpus]
        if known and name not in gpus:
            means = {part: float(np.exp(np.mean([np.log(one[part]) for one in known]))) for part in SHARED["gpus"]}
            gpus[name] = means


def known_size(case: Case) -> bool:
    """Classic networks whose size is known."""
    return case.model.dense is not None and case.model.dense.flops_per_inference is not None


def is_network(case: Case) -> bool:
    return case.model.dense is not None


KIND = Kind(
    name="classic",
    engines=ENGINES,
    priors=PRIORS,
    shared_parameters=shared_parameters,
    jitter=("network_pass", "host"),
    banded=("latencySeconds", "itemsPerSecond"),
    source_weight=300,
    belongs=is_network,
    fits=is_network,
    every={"timm": 12},
)

if __name__ == "__main__":
    raise SystemExit(command(KIND, fit_all, __doc__))
