"""Constants of engines that serve language models: ``data/language_constants.yaml``."""

from typing import Annotated

import numpy as np
from pydantic import Field

from berth_cost.performance.case_table import Floats
from berth_cost.performance.fitted_constants import FittedConstants, Seconds, Share
from berth_cost.record import Record


class LanguageConstants(Record):
    """Of an engine that serves language models by continuous batching."""

    compute_efficiency: Share
    """Share of the peak rate that large matrix products reach."""
    memory_efficiency: Share
    """Share of the memory bandwidth that streaming weights and cache reaches."""
    attention_efficiency: Share
    """Share of the memory bandwidth that reading the cache reaches."""
    attention_compute_efficiency: Share
    """Share of the 16-bit peak rate that attention reaches."""
    expert_efficiency: Share
    """Of streaming the weights of experts, relative to ``memory_efficiency``."""
    expert_compute_efficiency: Share
    """Of the matrix products of experts, relative to ``compute_efficiency``."""
    expert_overhead_seconds: Seconds
    """Per expert and layer that a step touches."""
    ramp_tokens: Annotated[float, Field(ge=0)]
    """Tokens of a step at which matrix products run at half of that efficiency."""
    layer_overhead_seconds: Seconds
    """Launches and synchronisation, per layer and step."""
    step_overhead_seconds: Seconds
    """Scheduling and sampling, per step."""
    sequence_overhead_seconds: Seconds
    """Per running sequence and step."""
    expert_layer_overhead_seconds: Seconds
    """Routing and dispatch, per layer with experts and step, beside ``layer_overhead_seconds``."""
    latent_layer_overhead_seconds: Seconds
    """The same again where attention is latent: its projections down and up are kernels of their own, per layer."""
    quantized_layer_overhead_seconds: Seconds
    """The same again where activations are quantised on the fly (8-bit and 4-bit computing), per layer and step."""
    quantized_expert_overhead_seconds: Seconds
    """As ``quantized_layer_overhead_seconds``, per layer with experts."""
    prompt_layer_overhead_seconds: Seconds
    """The same again in a step that carries prompts: its shape is not one that launches were recorded for."""
    prompt_expert_overhead_seconds: Seconds
    """As ``prompt_layer_overhead_seconds``, per layer with experts."""
    request_overhead_seconds: Seconds
    """HTTP, tokeniser and admission, once a request."""
    lookahead_steps: Annotated[float, Field(ge=0)]
    """Steps that are scheduled before a request is admitted, beside the one that runs."""
    tokens_per_step: Annotated[float, Field(ge=1)] = 1.0
    """Of a sequence: above 1 where the engine decodes speculatively."""
    reused_prefix_tokens: Annotated[float, Field(ge=0)]
    """Of a prompt, what the prefix cache holds on average where a replay at a constant rate does not say."""
    quantized_cache_bytes: Annotated[float, Field(gt=0)]
    """Of a cached number where the weights have 8 or 4 bits and computing too."""
    cohort_share: Annotated[float, Field(ge=0, le=2)]
    """Of a closed load: how much of the time to prefill all prompts at once the mean request waits for."""
    maximum_batch_size: Annotated[int, Field(ge=1)]
    """The engine's default."""
    maximum_batched_tokens: Annotated[int, Field(ge=1)]
    """The engine's default."""
    memory_share: Share
    """Of the GPU's memory that the engine takes by default."""
    share_of_free: bool = False
    """Whether that share is of what weights and workspaces leave free, rather than of all."""
    reserved_memory_bytes: Annotated[float, Field(ge=0)]
    """CUDA context, graphs, workspaces."""
    reserves_memory: bool = False
    """Whether the engine takes all of that share at start, for a cache that later requests find there."""
    splits_layers: bool = False
    """Whether several GPUs hold a share of the layers each and take turns, whatever the split is called."""
    output_reservation: Annotated[float, Field(ge=0, le=1)]
    """Share of the output length whose cache a request holds on average (or must have to be admitted)."""


class LinkConstants(Record):
    """Of the links between the GPUs of a replica."""

    latency_seconds: Seconds
    """Of one small all-reduce among two GPUs."""
    efficiency: Share


class LanguageJitter(Record):
    """Coefficients of variation of times that do not come from queueing."""

    service: Share
    """Of a step, averaged over a request."""
    first_token: Share
    output_length: Annotated[float, Field(ge=0)]


Distance = Annotated[float, Field(gt=0)]


class RunCovariance(Record):
    """Of the residuals of measured runs, log(measured / predicted), within a deployment. Standard deviations in logs,
    distances in e-folds over which what is shared falls to 1/e."""

    deployment: Annotated[float, Field(ge=0)]
    """Of what all runs share."""
    compute: Annotated[float, Field(ge=0)]
    """Of the seconds that a step computes; runs share it as far as both are spent on it. So with the next three."""
    weights: Annotated[float, Field(ge=0)]
    """Streaming them."""
    attention: Annotated[float, Field(ge=0)]
    overhead: Annotated[float, Field(ge=0)]
    """Launches, sequences and links."""
    load: Annotated[float, Field(ge=0)]
    """Of what only runs of a like load and like lengths share."""
    lengths: Annotated[float, Field(ge=0)]
    """Of what runs of like lengths share."""
    repeated: Annotated[float, Field(ge=0)]
    """Of what only a run of the very load and lengths tells."""
    noise: Annotated[float, Field(gt=0)]
    """Of measuring the same thing again."""
    load_distance: Distance
    input_distance: Distance
    output_distance: Distance
    odd_share: Annotated[float, Field(gt=0, lt=0.5)]
    """Of runs, those that tell nothing beyond themselves."""
    odd_deviation: Annotated[float, Field(gt=0)]
    """Of these, beside all others."""

    def part_variances(self) -> Floats:
        """In the order of ``step_shares``."""
        return np.array([self.compute, self.weights, self.attention, self.overhead]) ** 2


class LanguageSet(FittedConstants):
    """The whole file."""

    engines: dict[str, LanguageConstants]
    links: dict[str, LinkConstants]
    jitter: LanguageJitter
    run_covariance: dict[str, RunCovariance]
    """By calibration group (``service``, ``first_token``, ``throughput``, ``power``)."""
    run_edges: dict[str, dict[str, Annotated[float, Field(gt=0)]]] = {}
    """By calibration group, then slice as of ``bands``: deviations of what runs leave
    open, from the point to either edge of the 90 % band."""
