"""What the operator says of itself to Prometheus. Every name and label is stable: alerts are written on them."""

from collections.abc import Callable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

from berth_operator.autoscaling.view import Measured
from berth_operator.plan_metrics import PlanMetrics
from berth_operator.planner import Result
from berth_operator.right_sizing import Review
from berth_operator.signals import self_check
from berth_operator.signals.source import Reading
from berth_operator.spending.spending_metrics import SpendingMetrics
from berth_scheduler.right_sizing.course import Phase

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One instance a process, or a test, with a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        gauge = partial(Gauge, namespace="berthmaster", registry=self.registry)
        counter = partial(Counter, namespace="berthmaster", registry=self.registry)
        histogram = partial(Histogram, namespace="berthmaster", registry=self.registry)
        self.leading = gauge("leading", "1 while this replica holds the Lease.")
        self.queue_depth = gauge("workqueue_depth", "Keys that wait for a worker.")
        self.queue_oldest = gauge("workqueue_oldest_seconds", "Age of the oldest key that waits or is worked on.")
        self.queue_retrying = gauge("workqueue_retrying", "Keys whose last attempt failed.")
        self.retries = counter("workqueue_retries", "Attempts that failed and were put back.")
        self.reconcile_seconds = histogram(
            "reconcile_seconds", "Duration of one look at a workload or pool.", ["outcome"], buckets=_SECONDS
        )
        self.requests = counter(
            "api_requests",
            "Requests to the API server; code is its status or the kind of failure.",
            ["verb", "kind", "code"],
        )
        self.request_seconds = histogram(
            "api_request_seconds", "Duration of requests to the API server.", ["verb"], buckets=_SECONDS
        )
        self.plan_seconds = histogram(
            "plan_seconds", "Duration of gathering and planning the whole fleet.", buckets=_LONG_SECONDS
        )
        self.plan_failures = counter("plan_failures", "Plans that ended in a defect.")
        self.drift = counter("resync_drift", "Looks without any cause that had to write: a lost signal, healed.")
        self.mirror_objects = gauge("mirror_objects", "Objects in the mirror.", ["kind"])
        self.mirror_repairs = counter(
            "mirror_repairs",
            "Entries that a new list added, changed or removed: what the watch had not said yet.",
            ["kind"],
        )
        self.decisions = gauge("decisions", "Berths of the newest plan.", ["gpu", "precision", "capacity_type"])
        self.workloads = gauge("workloads", "Workloads by whether the newest plan placed them.", ["placed", "reason"])
        self.planned_cost = gauge("planned_usd_per_hour", "Cost of all berths of the newest plan.")
        self.rightsizing_recommended = gauge(
            "rightsizing_recommended", "Workloads that another berth would serve for less."
        )
        self.rightsizing_saving = gauge(
            "rightsizing_saving_usd_per_month", "What all recommendations together would save a month."
        )
        self.rightsizing_under_way = gauge("rightsizing_under_way", "Workloads that right-sizing moves now.", ["phase"])
        self.rightsizing_disagreements = gauge(
            "rightsizing_disagreements", "Workloads whose replicas carry more or less than the model's band says."
        )
        self.rightsizing_moves = counter(
            "rightsizing_moves", "Moves of right-sizing, by how far they came.", ["outcome"]
        )
        self.rightsizing_review_seconds = histogram(
            "rightsizing_review_seconds",
            "Duration of asking the whole fleet whether another berth would do for less.",
            buckets=_LONG_SECONDS,
        )
        self.of_workloads = PlanMetrics(self.registry)
        of_workload = ["workload_namespace", "workload"]
        self.desired_replicas = gauge(
            "workload_desired_replicas",
            "What the replica controller wants; an HPA or KEDA may follow it where the mode is External.",
            of_workload,
        )
        self.replicas = gauge("workload_replicas", "Replicas of the newest decision.", of_workload)
        self.utilization = gauge(
            "workload_utilization_ratio", "Busy share of the instances of the ready replicas.", of_workload
        )
        self.signal_age = gauge("workload_signal_age_seconds", "Age of the newest sample.", of_workload)
        self.tick_seconds = histogram(
            "autoscaling_tick_cpu_seconds", "CPU of one evaluation of the whole fleet.", buckets=_SECONDS
        )
        self.events_dropped = counter("events_dropped", "Kubernetes Events that were not posted.")
        self.spending = SpendingMetrics(self.registry)
        self.loop_lag = gauge("event_loop_lag_seconds", "How late the event loop last woke up.")
        self.prometheus_up = gauge("prometheus_up", "1 while Prometheus answers with something to go by.")
        self.prometheus_queries = counter("prometheus_queries", "Queries to Prometheus.")
        self.reading_seconds = histogram(
            "prometheus_reading_seconds", "Duration of one reading of the whole fleet.", buckets=_SECONDS
        )
        self.berth_slots = gauge(
            "berth_slots",
            "What the ready replicas of a berth compute at once: instances of a model, or an engine's sequences.",
            ["workload_namespace", "workload", "berth", "counts"],
        )
        self.signals = gauge(
            "signals", "Workloads by signal and whether it is measured of them or missing.", ["signal", "state"]
        )

    def observe_request(self, verb: str, kind: str, code: str, seconds: float) -> None:
        """As :class:`berth_operator.kube.Observer`."""
        self.requests.labels(verb, kind, code).inc()
        self.request_seconds.labels(verb).observe(seconds)

    def observe_tick(self, seconds: float, measured: Mapping[str, Measured]) -> None:
        """One tick of the autoscaler; what is not measured has no series."""
        self.tick_seconds.observe(seconds)
        shown: tuple[tuple[Gauge, Callable[[Measured], float | None]], ...] = (
            (self.desired_replicas, lambda one: one.desired),
            (self.replicas, lambda one: one.current),
            (self.utilization, lambda one: one.utilization),
            (self.signal_age, lambda one: one.signal_age_seconds),
        )
        for gauge, number in shown:
            gauge.clear()
            for key, one in measured.items():
                value = number(one)
                if value is not None:
                    namespace, _, name = key.partition("/")
                    gauge.labels(namespace, name).set(value)

    def show(self, result: Result) -> None:
        """The newest plan."""
        berths: dict[tuple[str, ...], int] = {}
        reasons: dict[tuple[str, ...], int] = {}
        cost = 0.0
        for planned in result.planned.values():
            decision = planned.decision
            reason = (str(decision.placed).lower(), decision.reason)
            reasons[reason] = reasons.get(reason, 0) + 1
            cost += float(decision.cost.usd_per_hour) if decision.placed and decision.cost else 0.0
            for berth in decision.berths:
                kind = (berth.gpu, berth.precision, berth.capacity_type.value)
                berths[kind] = berths.get(kind, 0) + 1
        for shown, counts in ((self.decisions, berths), (self.workloads, reasons)):
            shown.clear()
            for labels, count in sorted(counts.items()):
                shown.labels(*labels).set(count)
        self.planned_cost.set(cost)
        self.of_workloads.show(result)
        if result.review is not None:
            self._show_right_sizing(result.review)

    def _show_right_sizing(self, review: Review) -> None:
        courses = review.advance.courses.values()
        told = [course.recommendation for course in courses if course.recommendation is not None]
        self.rightsizing_recommended.set(len(told))
        self.rightsizing_saving.set(float(sum(one.proposal.saving_usd_per_month for one in told)))
        for phase in (Phase.MOVING, Phase.PROBATION, Phase.REVERTING):
            self.rightsizing_under_way.labels(phase.value).set(sum(course.phase is phase for course in courses))
        self.rightsizing_disagreements.set(sum(course.disagreement is not None for course in courses))
        for outcome in ("begun", "arrived", "given_up", "reverted"):
            self.rightsizing_moves.labels(outcome).inc(len(getattr(review.advance, outcome)))
        if review.seconds is not None:
            self.rightsizing_review_seconds.observe(review.seconds)

    def observe_reading(self, reading: Reading, seconds: float) -> None:
        """One reading of Prometheus. While it cannot be used, what was measured before is not shown as if it held."""
        self.prometheus_up.set(0 if reading.problem else 1)
        self.prometheus_queries.inc(reading.queries)
        self.reading_seconds.observe(seconds)
        self.berth_slots.clear()
        for (namespace, workload), signals in reading.workloads.items():
            counts = "sequences" if signals.counts_sequences else "instances"
            for berth, found in signals.berths.items():
                if found.slots:
                    self.berth_slots.labels(namespace, workload, berth, counts).set(found.slots)
        for (signal, state), count in self_check.counts(reading.workloads).items():
            self.signals.labels(signal, state).set(count)
