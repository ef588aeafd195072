"""Recording rules of the chart: the expressions that the operator asks, under names for dashboards and alerts.

``python -m berth_operator.signals.recording_rules --to FILE`` writes them as a rule file of Prometheus.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from berth_operator.signals import expressions as of
from berth_operator.signals.expressions import Scope

GROUP = "berthmaster-signals"
_JOIN = "on (workload_namespace, workload, berth)"
_HEADER = """# Written by `python -m berth_operator.signals.recording_rules --to FILE`; do not edit.
# Rates over 60 s: the chart puts its own window in.
"""


def recording_rules() -> list[dict[str, Any]]:
    """Groups of a rule file. Series have the labels ``workload_namespace``, ``workload`` and, where it says so below,
    ``berth``: those of the operator's own metrics, so that measured and decided can be joined."""
    return [{"name": GROUP, "rules": [{"record": name, "expr": expression} for name, expression in _rules(Scope())]}]


def _rules(scope: Scope) -> Iterator[tuple[str, str]]:
    by_berth = {
        "replicas_seen": of.replicas_seen(scope),
        "requests:rate": _first(of.engine_arrivals(scope), of.server_arrivals(scope)),
        "pending_requests": _first(of.engine_waiting(scope), of.server_waiting(scope)),
        "busy_instances": of.busy_instances(scope),
        "busy_sequences": of.engine_concurrency(scope),
    }
    for name, expression in by_berth.items():
        yield f"berthmaster:berth_{name}", _named(expression, "berth")
    yield "berthmaster:berth_utilization:ratio", " or ".join(map(_share, ("sequences", "instances")))
    yield "berthmaster:requests:rate", "sum by (workload_namespace, workload) (berthmaster:berth_requests:rate)"
    yield "berthmaster:utilization:ratio", _mean_share()
    by_workload = {
        "queue_seconds": _first(of.engine_queue_seconds(scope), of.server_queue_seconds(scope)),
        "mean_batch": of.mean_batch(scope),
        "kv_cache:ratio": of.kv_cache_share(scope),
        "prompt_tokens": of.prompt_tokens(scope),
        "output_tokens": of.output_tokens(scope),
        "gpu_utilization:ratio": of.gpu_utilization(scope),
        "power_watts": of.power_watts(scope),
    }
    for name, expression in by_workload.items():
        yield f"berthmaster:{name}", _named(expression)
    yield "berthmaster:latency_seconds", _latency(scope)


def _first(engine: str, server: str) -> str:
    """An engine's own number where it has one."""
    return f"{engine} or {server}"


def _named(expression: str, *more: str) -> str:
    """With the labels of the operator's metrics in place of those of pods."""
    named = {"workload_namespace": of.NAMESPACE, "workload": of.WORKLOAD, "berth": of.BERTH}
    for name, label in named.items():
        if name != "berth" or more:
            expression = f'label_replace({expression}, "{name}", "$1", "{label}", "(.*)")'
    kept = ", ".join(("workload_namespace", "workload", *more))
    return f"max by ({kept}) ({expression})"


def _slots(counts: str) -> str:
    """What the operator exports, once, however many of its replicas are scraped."""
    return f'max by (workload_namespace, workload, berth) (berthmaster_berth_slots{{counts="{counts}"}})'


def _share(counts: str) -> str:
    return f"clamp_max(berthmaster:berth_busy_{counts} / {_JOIN} {_slots(counts)}, 1)"


def _mean_share() -> str:
    """Of all ready replicas: as the controller takes it, each slot weighs the same."""
    slots = "max by (workload_namespace, workload, berth) (berthmaster_berth_slots)"
    total = f"sum by (workload_namespace, workload) (berthmaster:berth_utilization:ratio * {_JOIN} {slots})"
    return f"{total} / sum by (workload_namespace, workload) ({slots} and {_JOIN} berthmaster:berth_utilization:ratio)"


def _latency(scope: Scope) -> str:
    """By objective, as ``latency.p99``. The server's histogram is of first responses: of an engine, the first token."""
    engines = f"max by (workload_namespace, workload) ({_slots('sequences')})"
    of_engine, of_others = (f"{word} on (workload_namespace, workload) {engines}" for word in ("and", "unless"))
    server = _objective(of.server_latency(scope), "latency")
    first_token = _objective(of.server_latency(scope), "ttft")
    parts = (
        _objective(of.engine_latency(scope), "latency"),
        f"({server} {of_others})",
        f"({_objective(of.slowest_replica_latency(scope), 'latency')} {of_others})",
        _objective(of.time_to_first_token(scope), "ttft"),
        f"({first_token} {of_engine})",
        _objective(of.time_per_output_token(scope), "tpot"),
    )
    return f"({' or '.join(parts)}) >= 0"


def _objective(expression: str, family: str) -> str:
    return _named(f'label_replace({expression}, "objective", "{family}.$1", "{of.OF}", "(.+)")', "objective")


def dumped() -> str:
    return _HEADER + yaml.safe_dump({"groups": recording_rules()}, sort_keys=False, width=118)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--to", type=Path, required=True, metavar="FILE")
    parser.parse_args(arguments).to.write_text(dumped(), encoding="utf-8")


if __name__ == "__main__":
    main()
