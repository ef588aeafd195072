"""The PromQL of every signal, in one place: what the operator asks, the chart's rules record and the dashboard shows.

Metric names: docs/user_guide/metrics.md of triton-inference-server/server (2026-08), src/utils/metrics.py of
triton-inference-server/vllm_backend (2026-01), docs/usage/metrics.md of vllm-project/vllm (2026-01), the metrics of
NVIDIA/TensorRT-LLM's C++ backend, and etc/default-counters.csv of NVIDIA/dcgm-exporter (2026-05).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from berth_operator import labels


def label_name(key: str) -> str:
    """What Prometheus makes of a Kubernetes label's key."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", key)


def quoted(value: str) -> str:
    """``value`` as a PromQL string: whatever is in it stays inside the quotes."""
    return json.dumps(value, ensure_ascii=False)


NAMESPACE, POD = "namespace", "pod"
WORKLOAD = label_name(labels.WORKLOAD)
BERTH = label_name(labels.APP_INSTANCE)
"""The name of the Deployment, of which each berth of each revision has one."""
OF_WORKLOAD = f"{NAMESPACE}, {WORKLOAD}"
OF_BERTH = f"{OF_WORKLOAD}, {BERTH}"
OF_POD = f"{OF_BERTH}, {POD}"
OF = "of"
"""Tells apart what one query answers of several things: a percentile, or who measured it."""
ENGINE, SERVER = "engine", "server"
"""A language engine's own metrics, and those of the server around it."""

PERCENTILES = {"p50": "0.5", "p90": "0.9", "p95": "0.95", "p99": "0.99"}

_MODEL = "model, version"
_ENGINE = "model, model_name, version, engine"
_TOKEN_LATENCY = ("vllm:time_per_output_token_seconds", "vllm:inter_token_latency_seconds")
"""The name before and after vLLM 0.11."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which series count. ``matchers``: label values that all of them must have, beside one that names the workload."""

    window: str = "60s"
    """Of rates, as PromQL writes a duration."""
    stale_seconds: float = 60.0
    matchers: Mapping[str, str] = field(default_factory=dict)

    def series(self, metric: str, **more: str) -> str:
        """A selector; ``more``: further label values."""
        wanted = ", ".join((f'{WORKLOAD}!=""', *_equal({**self.matchers, **more})))
        return f"{metric}{{{wanted}}}"

    def rate(self, metric: str, **more: str) -> str:
        return f"rate({self.series(metric, **more)}[{self.window}])"

    def slope(self, metric: str, **more: str) -> str:
        """Of a gauge, by the second."""
        return f"deriv({self.series(metric, **more)}[{self.window}])"


def _equal(values: Mapping[str, str]) -> list[str]:
    return [f"{name}={quoted(value)}" for name, value in sorted(values.items())]


def once(expression: str, by: str) -> str:
    """One of several copies: two scrape jobs, or two Prometheus replicas, must not count a pod twice."""
    return f"max by ({OF_POD}, {by}) ({expression})"


def _tagged(expression: str, label: str, value: str) -> str:
    return f'label_replace({expression}, "{label}", "{value}", "", "")'


def _either(engine: str, server: str) -> str:
    """Both, told apart: which one counts depends on the workload, not on which is there."""
    return f"{_tagged(engine, OF, ENGINE)} or {_tagged(server, OF, SERVER)}"


# --- pods --------------------------------------------------------------------------------------------------------


def _scraped(scope: Scope) -> str:
    """When each pod was last scraped with success, Unix seconds."""
    up = scope.series("up")
    return f"max by ({OF_POD}) (timestamp({up}) and {up} == 1)"


def replicas_seen(scope: Scope) -> str:
    return f"count by ({OF_BERTH}) ({_scraped(scope)} > time() - {scope.stale_seconds:g})"


def newest_sample(scope: Scope) -> str:
    return f"max by ({OF_BERTH}) ({_scraped(scope)})"


# --- demand ------------------------------------------------------------------------------------------------------


def arrival_rate(scope: Scope) -> str:
    """Requests per second: what completed or failed, and by how much what waits or runs grew meanwhile.

    Counters move when a request ends, so alone they show an overloaded server's capacity in place of its demand.
    Requests that a full queue turns away are in no metric of Triton's.
    """
    return _either(engine_arrivals(scope), server_arrivals(scope))


def engine_arrivals(scope: Scope) -> str:
    ended = once(scope.rate("vllm:request_success_total"), f"{_ENGINE}, finished_reason")
    running = _tagged(once(scope.slope("vllm:num_requests_running"), _ENGINE), "finished_reason", "running")
    waiting = _tagged(once(scope.slope("vllm:num_requests_waiting"), _ENGINE), "finished_reason", "waiting")
    # Gauges alone, without what ended, would show the change of a load in place of the load.
    return f"clamp_min(sum by ({OF_BERTH}) ({ended} or {running} or {waiting}), 0) and sum by ({OF_BERTH}) ({ended})"


def server_arrivals(scope: Scope) -> str:
    done = once(scope.rate("nv_inference_request_success"), _MODEL)
    failed = once(scope.rate("nv_inference_request_failure"), f"{_MODEL}, reason")
    waiting = _tagged(once(scope.slope("nv_inference_pending_request_count"), _MODEL), "reason", "waiting")
    return f"clamp_min(sum by ({OF_BERTH}) ({done} or {failed} or {waiting}), 0)"


def waiting_requests(scope: Scope) -> str:
    """Requests that wait for their execution. An engine behind Triton takes each at once, so Triton's count says
    nothing of it."""
    return _either(engine_waiting(scope), server_waiting(scope))


def engine_waiting(scope: Scope) -> str:
    of_vllm = once(scope.series("vllm:num_requests_waiting"), _ENGINE)
    of_tensorrt = once(scope.series("nv_trt_llm_request_metrics", request_type="waiting"), _MODEL)
    return f"sum by ({OF_BERTH}) ({of_vllm} or {of_tensorrt})"


def server_waiting(scope: Scope) -> str:
    return f"sum by ({OF_BERTH}) ({once(scope.series('nv_inference_pending_request_count'), _MODEL)})"


def concurrency(scope: Scope) -> str:
    """Requests under way, by Little's law: seconds spent on requests that ended, per second."""
    server = once(scope.rate("nv_inference_request_duration_us"), _MODEL)
    return _either(engine_concurrency(scope), f"sum by ({OF_BERTH}) ({server}) / 1e6")


def engine_concurrency(scope: Scope) -> str:
    return f"sum by ({OF_BERTH}) ({once(scope.rate('vllm:e2e_request_latency_seconds_sum'), _ENGINE)})"


# --- utilisation -------------------------------------------------------------------------------------------------


def busy_instances(scope: Scope) -> str:
    """How many instances of the model are busy at a time. Triton sums the time of an execution over the requests in
    it, so it is divided by their mean number. An idle server is 0, one without metrics absent."""
    parts = ("compute_input", "compute_infer", "compute_output")
    spent = " + ".join(once(scope.rate(f"nv_inference_{part}_duration_us"), _MODEL) for part in parts)
    executions = once(scope.rate("nv_inference_exec_count"), _MODEL)
    requests = once(scope.rate("nv_inference_request_success"), _MODEL)
    idle = f"sum by ({OF_BERTH}) ({requests}) * 0"
    return f"sum by ({OF_BERTH}) (({spent}) / 1e6 * {executions} / ({requests} > 0)) or {idle}"


def kv_cache_share(scope: Scope) -> str:
    """Of the fullest replica, whose requests are the first to be preempted."""
    found = (
        scope.series("vllm:kv_cache_usage_perc"),
        scope.series("vllm:gpu_cache_usage_perc"),
        scope.series("nv_trt_llm_kv_cache_block_metrics", kv_cache_block_type="fraction"),
    )
    return " or ".join(f"max by ({OF_WORKLOAD}) ({each})" for each in found)


def _dcgm(metric: str, scope: Scope) -> str:
    """By pod and GPU, with the workload's name. The exporter's labels are ``exported_…`` unless honoured."""
    series = f"{metric}{{{', '.join(_equal(scope.matchers))}}}"
    for name in (NAMESPACE, POD):
        series = f'label_replace({series}, "{name}", "$1", "exported_{name}", "(.+)")'
    owners = f"max by ({OF_WORKLOAD}, {POD}) ({scope.series('up')}) * 0"
    gpus = f"max by ({NAMESPACE}, {POD}, UUID, GPU_I_ID) ({series})"
    return f"{gpus} + on ({NAMESPACE}, {POD}) group_left ({WORKLOAD}) {owners}"


def gpu_utilization(scope: Scope) -> str:
    """Share of time in which anything ran on the GPU."""
    active = f"avg by ({OF_WORKLOAD}) ({_dcgm('DCGM_FI_PROF_GR_ENGINE_ACTIVE', scope)})"
    return f"{active} or avg by ({OF_WORKLOAD}) ({_dcgm('DCGM_FI_DEV_GPU_UTIL', scope)}) / 100"


def power_watts(scope: Scope) -> str:
    """Of whole GPUs: a slice counts its GPU's."""
    return f"sum by ({OF_WORKLOAD}) ({_dcgm('DCGM_FI_DEV_POWER_USAGE', scope)})"


# --- means and percentiles ---------------------------------------------------------------------------------------


def _mean(scope: Scope, total: str, count: str) -> str:
    """NaN while nothing ended in the window."""
    return f"sum by ({OF_WORKLOAD}) ({scope.rate(total)}) / sum by ({OF_WORKLOAD}) ({scope.rate(count)})"


def queue_seconds(scope: Scope) -> str:
    return _either(engine_queue_seconds(scope), server_queue_seconds(scope))


def engine_queue_seconds(scope: Scope) -> str:
    return _mean(scope, "vllm:request_queue_time_seconds_sum", "vllm:request_queue_time_seconds_count")


def server_queue_seconds(scope: Scope) -> str:
    return f"{_mean(scope, 'nv_inference_queue_duration_us', 'nv_inference_request_success')} / 1e6"


def mean_batch(scope: Scope) -> str:
    return _mean(scope, "nv_inference_count", "nv_inference_exec_count")


def prompt_tokens(scope: Scope) -> str:
    return _tokens(scope, "prompt")


def output_tokens(scope: Scope) -> str:
    return _tokens(scope, "generation")


def _tokens(scope: Scope, kind: str) -> str:
    exact = _mean(scope, f"vllm:request_{kind}_tokens_sum", f"vllm:request_{kind}_tokens_count")
    counted = [
        _mean(scope, f"vllm:{kind}_tokens_total", ended)
        for ended in ("vllm:request_success_total", "nv_inference_request_success")
    ]
    return " or ".join((exact, *counted))


def server_latency(scope: Scope) -> str:
    """Seconds to the first response, which of a classic network is the only one, from Triton's histogram; the mean is
    of whole requests."""
    mean = _mean(scope, "nv_inference_request_duration_us", "nv_inference_request_success")
    buckets = _buckets(scope, "nv_inference_first_response_histogram_ms")
    return f"{_tagged(f'{mean} / 1e6', OF, 'mean')} or {_percentiles(buckets, ' / 1e3')}"


def slowest_replica_latency(scope: Scope) -> str:
    """Seconds, of the slowest replica: percentiles of several pods do not add up. From Triton's summaries."""
    found = {
        name: scope.series("nv_inference_request_summary_us", quantile=share) for name, share in PERCENTILES.items()
    }
    return " or ".join(_tagged(f"max by ({OF_WORKLOAD}) ({series}) / 1e6", OF, name) for name, series in found.items())


def engine_latency(scope: Scope) -> str:
    return _engine_percentiles(scope, "vllm:e2e_request_latency_seconds")


def time_to_first_token(scope: Scope) -> str:
    return _engine_percentiles(scope, "vllm:time_to_first_token_seconds")


def time_per_output_token(scope: Scope) -> str:
    return _engine_percentiles(scope, *_TOKEN_LATENCY)


def _engine_percentiles(scope: Scope, *names: str) -> str:
    mean = " or ".join(_mean(scope, f"{name}_sum", f"{name}_count") for name in names)
    buckets = " or ".join(_buckets(scope, name) for name in names)
    return f"{_tagged(mean, OF, 'mean')} or {_percentiles(buckets)}"


def _buckets(scope: Scope, name: str) -> str:
    return f"sum by ({OF_WORKLOAD}, le) ({scope.rate(f'{name}_bucket')})"


def _percentiles(buckets: str, scale: str = "") -> str:
    return " or ".join(
        _tagged(f"histogram_quantile({share}, {buckets}){scale}", OF, name) for name, share in PERCENTILES.items()
    )
