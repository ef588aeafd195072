"""Demand: InferenceWorkload objects become the workloads of a snapshot. Total: a spec that is not understood says why.

Quantities become numbers in SI units here, milliseconds become seconds, names are looked up in the catalogues.
"""

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from berth_cost.cases.case import Dense, Model, Transformer
from berth_cost.hardware.gpu_catalogue import UnknownGPU
from berth_cost.performance.model_catalogue import ModelPreset, UnknownModel
from berth_cost.performance.parameter_count import contradiction
from berth_operator.api.conditions import Reason
from berth_operator.api.field import Part
from berth_operator.api.model import GENERATING_BACKENDS, ONE_PASS_BACKENDS, Backend
from berth_operator.api.model import Dense as StatedDense
from berth_operator.api.model import Transformer as StatedTransformer
from berth_operator.api.v1alpha1 import InferenceWorkload, InvalidObject, parse_workload
from berth_operator.api.workload import GPUChoice, Latency
from berth_operator.api.workload import TokenLengths as StatedTokenLengths
from berth_operator.artefacts import Volumes
from berth_operator.catalogues import Catalogues
from berth_operator.measurements import ConfigMaps, Measurements, served_by
from berth_operator.planning_hash import digest, planning_hash
from berth_operator.quantity import Quantity
from berth_operator.replica_resources import replica_resources
from berth_operator.running import NOTHING_RUNS, RunningWorkload
from berth_operator.world import Object, key_of, mapping
from berth_scheduler.snapshot import (
    LatencyObjective,
    Placement,
    PodResources,
    Problem,
    Quality,
    QualityObjective,
    RightSizing,
    Scaling,
    SpotPolicy,
    TokenLengths,
    Traffic,
    Variant,
    Workload,
)

NO_CONFIG_MAPS = ConfigMaps({})
STATISTICS = ("mean", "p50", "p90", "p95", "p99")


def workload_of(
    thing: Object,
    catalogues: Catalogues,
    volumes: Volumes,
    running: RunningWorkload = NOTHING_RUNS,
    config_maps: ConfigMaps = NO_CONFIG_MAPS,
    *,
    scaling: Scaling | None = None,
) -> Workload | None:
    """The workload of an object; None for one without a name or on its way out, which nothing is planned for.

    ``scaling`` is what the replica controller asks for; it counts in mode Managed.

    A spec that is not understood has a ``problem`` and keeps what runs.
    """
    key = key_of(thing)
    if key is None or mapping(thing, "metadata").get("deletionTimestamp"):
        return None
    try:
        # No plan depends on a status, and reading one takes as long as reading the spec.
        stated = parse_workload({name: value for name, value in thing.items() if name != "status"})
    except InvalidObject as flaw:
        return _not_understood(key, thing, flaw, running)
    namespace = stated.key.partition("/")[0]
    measurements = config_maps.measurements(stated.spec.model.measured_from, namespace, catalogues.gpus)
    found = _understood(stated, catalogues, volumes, running, measurements)
    return found.model_copy(update={"scaling": _scaling(stated, scaling)})


def _not_understood(key: str, thing: Object, flaw: InvalidObject, running: RunningWorkload) -> Workload:
    metadata = mapping(thing, "metadata")
    generation, uid = metadata.get("generation"), metadata.get("uid")
    return Workload(
        key=key,
        uid=uid if isinstance(uid, str) else "",
        generation=generation if isinstance(generation, int) else 0,
        planning_hash=digest(repr(sorted(mapping(thing, "spec").items(), key=repr))),
        problem=Problem(reason=Reason.INVALID_SPEC, message=str(flaw)),
        backend="",
        variants=(),
        traffic=Traffic(requests_per_second=0),
        resources=PodResources(cpu_cores=0, memory_bytes=0),
        running=running.running,
        remarks=running.remarks,
    )


def _understood(
    stated: InferenceWorkload,
    catalogues: Catalogues,
    volumes: Volumes,
    running: RunningWorkload,
    measurements: Measurements,
) -> Workload:
    spec = stated.spec
    model, problem = _model(stated, catalogues)
    problem = problem or measurements.problem or _other_kind(model, measurements)
    model = model or measurements.model
    backend = spec.model.backend or (Backend.VLLM if model and model.transformer else Backend.ONNXRUNTIME)
    variants = _variants(stated, volumes)
    problem = problem or next(_problems(stated, model, backend, catalogues), None) or _no_artefact(variants)
    budget = spec.budget.monthly_usd if spec.budget else None
    return Workload(
        key=stated.key,
        uid=stated.metadata.uid,
        generation=stated.metadata.generation,
        planning_hash=planning_hash(spec, measurements.runs),
        problem=problem,
        model=model,
        backend=backend.value,
        maximum_context_tokens=spec.model.maximum_context_tokens,
        measured=served_by(measurements.runs, backend.value),
        variants=variants,
        traffic=_traffic(stated),
        latency=tuple(_latency(stated)),
        quality=_quality(stated),
        availability_percent=_or_none(spec.objectives.availability_percent),
        placement=_placement(stated),
        priority=spec.priority,
        minimum_replicas=spec.replicas.minimum,
        maximum_replicas=spec.replicas.maximum,
        spot=SpotPolicy()
        if spec.spot is None
        else SpotPolicy(
            maximum_share_percent=spec.spot.maximum_share_percent,
            on_demand_base=min(spec.spot.on_demand_base, spec.replicas.maximum),
        ),
        budget_usd_per_month=budget,
        carbon_grams_per_thousand_requests=_carbon_limit(stated),
        resources=replica_resources(
            spec.serving.resources if spec.serving else None, backend, model, [v.precision for v in spec.model.variants]
        ),
        strategy=spec.rollout.strategy,
        right_sizing=RightSizing(
            mode=spec.right_sizing.mode,
            minimum_saving_percent=float(spec.right_sizing.minimum_saving_percent),
            maximum_payback_hours=float(spec.right_sizing.maximum_payback_hours),
        ),
        running=running.running,
        remarks=running.remarks,
    )


# --- the model ---------------------------------------------------------------------------------------------------


def _model(stated: InferenceWorkload, catalogues: Catalogues) -> tuple[Model | None, Problem | None]:
    """The architecture as stated; what a stated classic network leaves open is the preset's, where one is named."""
    spec = stated.spec.model
    preset = catalogues.models.get(spec.preset) if spec.preset is not None else None
    if isinstance(preset, UnknownModel):
        return None, Problem(reason=Reason.UNKNOWN_PRESET, message=f"spec.model.preset: {preset.message}")
    if spec.architecture is None:
        return (preset.model if preset is not None else None), None
    name = preset.name if preset is not None else stated.model_name
    if spec.architecture.transformer is not None:
        return Model(name=name, transformer=_transformer(spec.architecture.transformer)), None
    known = preset.model.dense if isinstance(preset, ModelPreset) else None
    dense = _dense(spec.architecture.dense or StatedDense.model_construct(), known)
    return (None, dense) if isinstance(dense, Problem) else (Model(name=name, dense=dense), None)


def _other_kind(model: Model | None, measurements: Measurements) -> Problem | None:
    """Runs of a language model say nothing about a classic network, and the other way round."""
    measured = measurements.model
    if model is None or measured is None or (model.transformer is None) == (measured.transformer is None):
        return None
    kinds = ("a classic network", "a language model")
    ran, stated = kinds[measured.transformer is not None], kinds[model.transformer is not None]
    message = f"spec.model.measuredFrom: its runs are of {ran}, and the model is {stated}"
    return Problem(reason=Reason.INVALID_MEASUREMENTS, message=message)


def _transformer(stated: StatedTransformer) -> Transformer:
    return Transformer.model_validate(_numbers(stated))


def _dense(stated: StatedDense, preset: Dense | None) -> Dense | Problem:
    known = preset.model_dump(by_alias=False) if preset is not None else {}
    numbers = _numbers(stated)
    part, whole = known.get("repeated_parameters"), known.get("parameters")
    if part and whole and "parameters" in numbers:
        known["repeated_parameters"] = numbers["parameters"] * part / whole  # a smaller copy repeats a like share
    both = known | numbers
    if "repeated_parameters" in numbers and both["repeated_parameters"] > (both.get("parameters") or math.inf):
        field = "spec.model.architecture.dense.repeatedParameters"
        return _invalid(f"{field}: must not be above the preset's parameters, {whole:.6g}: they are a part of them")
    return Dense.model_validate(both)


def _numbers(part: Part) -> dict[str, Any]:
    """What a part of the API states, by field; quantities as floats."""
    stated: dict[str, Any] = {}
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Part):
            stated[name] = _numbers(value)
        elif value is not None:
            stated[name] = float(value) if isinstance(value, Quantity | Decimal) else value
    return stated


# --- what only catalogues and the model can tell is wrong --------------------------------------------------------


def _problems(
    stated: InferenceWorkload, model: Model | None, backend: Backend, catalogues: Catalogues
) -> Iterator[Problem]:
    """In the order in which a person would mend them; the first is told."""
    spec = stated.spec
    if model is None:
        yield _invalid("spec.model: state preset, architecture, or measuredFrom")
        return
    contradicted = contradiction(model.transformer) if model.transformer is not None else None
    if contradicted is not None:
        yield _invalid(f"spec.model.architecture.transformer: {contradicted}")
    generates, what = model.transformer is not None, spec.model.preset or "the model"
    if generates and backend in ONE_PASS_BACKENDS:
        message = f"spec.model.backend: {backend} runs one forward pass a request, and {what} is a language model"
        yield Problem(reason=Reason.UNSUPPORTED_BACKEND, message=f"{message}: use vllm, tensorrtllm or python")
    if not generates and backend in GENERATING_BACKENDS:
        message = f"spec.model.backend: {backend} serves language models only, and {what} is a classic network"
        yield Problem(reason=Reason.UNSUPPORTED_BACKEND, message=message)
    if generates and spec.traffic.input_tokens is None:
        yield _invalid(f"spec.traffic: {what} is a language model: state inputTokens and outputTokens")
    if not generates and spec.traffic.input_tokens is not None:
        yield _invalid(f"spec.traffic: {what} is a classic network: remove inputTokens and outputTokens")
    yield from _context_problems(stated, catalogues)
    yield from _gpu_problems(spec.placement.gpus, catalogues)


def _context_problems(stated: InferenceWorkload, catalogues: Catalogues) -> Iterator[Problem]:
    """A preset says how long its context can be."""
    spec = stated.spec.model
    preset = catalogues.models.get(spec.preset) if spec.preset is not None else None
    longest = preset.maximum_context_tokens if isinstance(preset, ModelPreset) else None
    if longest is not None and spec.maximum_context_tokens is not None and spec.maximum_context_tokens > longest:
        asked = spec.maximum_context_tokens
        yield _invalid(f"spec.model.maximumContextTokens: {asked}, but {spec.preset} has a context of {longest}")


def _gpu_problems(gpus: GPUChoice | None, catalogues: Catalogues) -> Iterator[Problem]:
    for field in ("allow", "deny"):
        for index, name in enumerate((getattr(gpus, field) if gpus else None) or ()):
            found = catalogues.gpus.get(name)
            if isinstance(found, UnknownGPU):
                path = f"spec.placement.gpus.{field}[{index}]"
                yield Problem(reason=Reason.UNKNOWN_GPU, message=f"{path}: {found.message}")


def _invalid(message: str) -> Problem:
    return Problem(reason=Reason.INVALID_SPEC, message=message)


# --- the rest of the spec ----------------------------------------------------------------------------------------


def _variants(stated: InferenceWorkload, volumes: Volumes) -> tuple[Variant, ...]:
    namespace = stated.key.partition("/")[0]
    return tuple(
        Variant(
            precision=variant.precision,
            quality=None
            if variant.quality is None
            else Quality(score=variant.quality.score, evidence=variant.quality.evidence),
            access=volumes.access(variant.source, namespace),
        )
        for variant in sorted(stated.spec.model.variants, key=lambda variant: variant.precision)
    )


def _no_artefact(variants: Sequence[Variant]) -> Problem | None:
    """The problem of the first variant, where none can be mounted anywhere: nothing is left to choose between."""
    problems = [variant.access.problem for variant in variants]
    return problems[0] if problems and all(problems) else None


def _traffic(stated: InferenceWorkload) -> Traffic:
    traffic = stated.spec.traffic
    return Traffic(
        requests_per_second=float(traffic.requests_per_second),
        burstiness=float(traffic.burstiness),
        items_per_request=traffic.items_per_request,
        input_tokens=_tokens(traffic.input_tokens),
        output_tokens=_tokens(traffic.output_tokens),
    )


def _scaling(stated: InferenceWorkload, controlled: Scaling | None) -> Scaling | None:
    """Who follows the demand, to how many replicas, and how much of them it is to use."""
    spec = stated.spec
    if spec.autoscaling.mode == "External" and spec.replicas.desired is not None:
        return Scaling(replicas=spec.replicas.desired)
    if spec.autoscaling.mode != "Managed" or controlled is None:
        return None
    return controlled.model_copy(update={"target_utilization": spec.autoscaling.target_utilization_percent / 100})


def stored_scaling(thing: Object) -> Scaling | None:
    """What the status says that the replica controller asked for last, at which measured rate, and whether that was
    known then."""
    desired = mapping(thing, "status").get("desiredReplicas")
    whole = isinstance(desired, int) and not isinstance(desired, bool) and desired > 0
    if not whole or not isinstance(desired, int):
        return None
    try:
        rate = float(str(mapping(thing, "status", "observed").get("requestsPerSecond")))
    except ValueError:
        rate = 0.0
    return Scaling(
        replicas=desired,
        requests_per_second=rate if math.isfinite(rate) and rate > 0 else None,
        is_current="notKnownSince" not in mapping(thing, "status", "observed"),
    )


def _tokens(stated: StatedTokenLengths | None) -> TokenLengths | None:
    if stated is None:
        return None
    return TokenLengths(mean=float(stated.mean), p95=None if stated.p95 is None else float(stated.p95))


def _latency(stated: InferenceWorkload) -> Iterator[LatencyObjective]:
    """In seconds. The latency of a request is end to end where it generates, of one forward pass where it does not."""
    objectives = stated.spec.objectives
    whole = "endToEndSeconds" if stated.spec.traffic.input_tokens is not None else "latencySeconds"
    asked: Sequence[tuple[str, Latency | None]] = (
        (whole, objectives.latency),
        ("timeToFirstTokenSeconds", objectives.time_to_first_token),
        ("timePerOutputTokenSeconds", objectives.time_per_output_token),
    )
    for metric, limits in asked:
        for statistic in STATISTICS:
            limit = getattr(limits, f"{statistic}_milliseconds", None)
            if limit is not None:
                yield LatencyObjective.model_validate(
                    {"metric": metric, "statistic": statistic, "limit_seconds": float(limit / 1000)}
                )


def _quality(stated: InferenceWorkload) -> QualityObjective | None:
    asked = stated.spec.objectives.quality
    if asked is None:
        return None
    return QualityObjective(metric=asked.metric, minimum=asked.minimum, maximum_loss_percent=asked.maximum_loss_percent)


def _or_none(stated: Decimal | None) -> float | None:
    return None if stated is None else float(stated)


def _carbon_limit(stated: InferenceWorkload) -> float | None:
    asked = stated.spec.objectives.carbon
    return None if asked is None else float(asked.maximum_grams_per_thousand_requests)


def _placement(stated: InferenceWorkload) -> Placement:
    placement = stated.spec.placement
    allow = placement.gpus.allow if placement.gpus else None
    return Placement(
        allow=None if allow is None else tuple(sorted(allow)),
        deny=tuple(sorted((placement.gpus.deny if placement.gpus else None) or ())),
        capacity_types=tuple(sorted(placement.capacity_types, key=list(type(placement.capacity_types[0])).index)),
        sharing=tuple(sorted(placement.sharing)),
        maximum_tensor_parallel=placement.maximum_tensor_parallel,
    )
