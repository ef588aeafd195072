"""What the newest plan decided of each workload, for Prometheus: to be held against what is measured of it."""

from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from berth_operator.planner import Planned, Result
from berth_operator.signals.objective import signal_of

OF_WORKLOAD = ("workload_namespace", "workload")
"""``namespace`` would be the operator's own once it is scraped."""


class PlanMetrics:
    """Gauges with one series a workload, berth or objective; all of them anew with each plan."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, namespace="berthmaster", registry=registry)
        self.cost = gauge("workload_usd_per_month", "Cost of all berths of a workload.", OF_WORKLOAD)
        self.budget = gauge("workload_budget_usd_per_month", "The budget in a workload's spec.", OF_WORKLOAD)
        self.replicas = gauge(
            "berth_replicas",
            "Replicas of a berth as decided.",
            (*OF_WORKLOAD, "pool", "gpu", "capacity_type", "precision"),
        )
        self.objective = gauge(
            "workload_objective_seconds", "The most that a spec allows a latency.", (*OF_WORKLOAD, "objective")
        )
        self.predicted = gauge(
            "workload_predicted_seconds", "The latency that the model predicts.", (*OF_WORKLOAD, "objective")
        )
        self.utilization = gauge(
            "workload_predicted_utilization_ratio",
            "Share of what the replicas sustain inside the objectives that the planned rate takes.",
            OF_WORKLOAD,
        )

    def show(self, result: Result) -> None:
        for gauge in (
            self.cost, self.budget, self.replicas, self.objective, self.predicted, self.utilization,
        ):  # fmt: skip
            gauge.clear()
        for key, planned in sorted(result.planned.items()):
            if planned.decision.placed:
                namespace, _, name = key.partition("/")
                self._show(namespace, name, planned)

    def _show(self, namespace: str, name: str, planned: Planned) -> None:
        decision, workload = planned.decision, planned.workload
        if decision.cost is not None:
            self.cost.labels(namespace, name).set(float(decision.cost.usd_per_month))
        if workload.budget_usd_per_month is not None:
            self.budget.labels(namespace, name).set(float(workload.budget_usd_per_month))
        for berth in decision.berths:
            kind = (berth.pool, berth.gpu, berth.capacity_type.value, berth.precision)
            self.replicas.labels(namespace, name, *kind).inc(berth.replicas)
        predicted = decision.prediction
        if predicted is not None and predicted.utilization is not None:
            self.utilization.labels(namespace, name).set(predicted.utilization)
        for asked in workload.latency:
            signal = signal_of(asked)
            self.objective.labels(namespace, name, signal).set(asked.limit_seconds)
            found = None if predicted is None else predicted.metrics.get(asked.metric)
            if isinstance(found, dict) and asked.statistic in found:
                self.predicted.labels(namespace, name, signal).set(found[asked.statistic])
