"""What one reading asks of Prometheus: a fixed number of queries, each for the whole fleet."""

from collections.abc import Callable
from dataclasses import dataclass

from berth_operator.signals import expressions
from berth_operator.signals.expressions import Scope


@dataclass(frozen=True, slots=True)
class Query:
    """``name``: of the signal. ``labels``: what tells apart the series of one workload that it answers."""

    name: str
    promql: str
    labels: tuple[str, ...] = ()


CLOCK = "vector(time())"
"""Asked first: whether anybody answers, and at which time; the others are evaluated at that time, so that clocks that
differ do no harm."""

UNLABELLED = "count(nv_inference_request_success or vllm:prompt_tokens_total)"
"""Asked only when no pod is found by its labels: whether the metrics are there and the labels are not."""

_BERTH, _OF = expressions.BERTH, expressions.OF

_SIGNALS: tuple[tuple[str, Callable[[Scope], str], tuple[str, ...]], ...] = (
    ("replicas_seen", expressions.replicas_seen, (_BERTH,)),
    ("newest_sample", expressions.newest_sample, (_BERTH,)),
    ("requests_per_second", expressions.arrival_rate, (_BERTH, _OF)),
    ("busy_instances", expressions.busy_instances, (_BERTH,)),
    ("concurrency", expressions.concurrency, (_BERTH, _OF)),
    ("pending_requests", expressions.waiting_requests, (_BERTH, _OF)),
    ("queue_seconds", expressions.queue_seconds, (_OF,)),
    ("mean_batch", expressions.mean_batch, ()),
    ("kv_cache_share", expressions.kv_cache_share, ()),
    ("prompt_tokens", expressions.prompt_tokens, ()),
    ("output_tokens", expressions.output_tokens, ()),
    ("server_latency", expressions.server_latency, (_OF,)),
    ("slowest_replica_latency", expressions.slowest_replica_latency, (_OF,)),
    ("engine_latency", expressions.engine_latency, (_OF,)),
    ("ttft", expressions.time_to_first_token, (_OF,)),
    ("tpot", expressions.time_per_output_token, (_OF,)),
    ("gpu_utilization", expressions.gpu_utilization, ()),
    ("power_watts", expressions.power_watts, ()),
)


def queries(scope: Scope) -> tuple[Query, ...]:
    """The same for every reading; with CLOCK fewer than 20."""
    return tuple(Query(name, express(scope), labels) for name, express, labels in _SIGNALS)
