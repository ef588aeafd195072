"""What a rendering starts from: the workload as stated, as planned, and the platform's settings."""

from dataclasses import dataclass
from math import ceil, floor

from berth_operator.api.v1alpha1 import InferenceWorkload, ResourceAmounts, Variant
from berth_operator.platform import Platform, TritonImage
from berth_scheduler.snapshot import Berth, LatencyObjective, Workload

ENGINES = frozenset({"vllm", "tensorrtllm"})
"""Backends that batch, queue and read weights by themselves: Triton only hands requests to them."""

TAIL_STATISTICS = ("p99", "p95", "p90")
_CONTEXT_STEP = 256


@dataclass(frozen=True)
class Order:
    """``planned`` is the workload in the snapshot that was planned: its model, resources and objectives resolved."""

    workload: InferenceWorkload
    planned: Workload
    platform: Platform

    @property
    def backend(self) -> str:
        return self.planned.backend

    @property
    def is_engine(self) -> bool:
        return self.backend in ENGINES

    @property
    def image(self) -> TritonImage:
        return self.platform.images.of(self.backend)

    @property
    def model_name(self) -> str:
        return self.workload.model_name

    def variant(self, berth: Berth) -> Variant:
        """The artefact of the berth's precision, which :func:`berth_operator.render.render` made sure of."""
        return next(each for each in self.workload.spec.model.variants if each.precision == berth.precision)

    def threads(self, berth: Berth) -> int:
        """CPU threads of a model instance or engine process: unasked, each would start one per core of the node."""
        limits = self.limits
        cores = float(limits.cpu) if limits and limits.cpu else self.planned.resources.cpu_cores
        return max(1, floor(cores / (berth.instances_per_gpu * berth.tensor_parallel)))

    @property
    def limits(self) -> ResourceAmounts | None:
        """CPU and memory limits that the workload states."""
        serving = self.workload.spec.serving
        return serving.resources.limits if serving and serving.resources else None

    def waiting_limit_seconds(self) -> float | None:
        """After how long a request is of no use any more: the limit of the highest percentile that has an objective.

        A limit of the mean or the median says nothing of one slow request; four times that is then taken.
        None without an objective on the latency of whole requests.
        """
        limits = {each.statistic: each.limit_seconds for each in self.planned.latency if _of_request(each)}
        for statistic in TAIL_STATISTICS:
            if statistic in limits:
                return limits[statistic]
        return 4 * max(limits.values()) if limits else None

    def first_response_limit_seconds(self) -> float | None:
        """The strictest objective on the time to the first token; None without one."""
        limits = [each.limit_seconds for each in self.planned.latency if each.metric == "timeToFirstTokenSeconds"]
        return min(limits, default=None)

    def longest_answer_seconds(self) -> float | None:
        """How long a language model may take for a long answer and keep its objectives; None where they do not say."""
        output = self.planned.traffic.output_tokens
        per_token = [each.limit_seconds for each in self.planned.latency if each.metric == "timePerOutputTokenSeconds"]
        first = [each.limit_seconds for each in self.planned.latency if each.metric == "timeToFirstTokenSeconds"]
        if output is None or not per_token:
            return None
        return max(first, default=0.0) + max(per_token) * _long(output.mean, output.p95)

    def context_tokens(self) -> int | None:
        """The longest prompt and answer together: as stated, or what the traffic's token lengths need."""
        if self.planned.maximum_context_tokens:
            return self.planned.maximum_context_tokens
        prompt, answer = self.planned.traffic.input_tokens, self.planned.traffic.output_tokens
        if prompt is None or answer is None:
            return None
        need = _long(prompt.mean, prompt.p95) + _long(answer.mean, answer.p95)
        return ceil(need / _CONTEXT_STEP) * _CONTEXT_STEP


def _of_request(objective: LatencyObjective) -> bool:
    return objective.metric in ("latencySeconds", "endToEndSeconds")


def _long(mean: float, p95: float | None) -> float:
    """A long one: the 95th percentile, or twice the mean where nobody states it."""
    return p95 if p95 is not None else 2 * mean
