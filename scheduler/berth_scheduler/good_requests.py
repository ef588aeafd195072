"""What a request costs that is answered inside its objectives, on one kind of node alone.

The workload is planned by itself on as many such nodes as it may have replicas, and what it takes is counted in node
hours: prices, which scale it, come later, so that one plan serves every place where such a node is sold.
"""

from datetime import UTC, datetime
from fractions import Fraction

from berth_cost.cases.case import Prediction
from berth_cost.record import Record
from berth_scheduler.plan import plan
from berth_scheduler.snapshot import ArtefactAccess, CapacityType, Policy, Pool, Snapshot, SpotPolicy, Workload
from berth_scheduler.wording import berths_phrase, model_metric, plural

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)
"""A plan has a time; nothing here depends on it."""


class GoodRequests(Record):
    """An hour of the workload on such nodes. ``node_hours`` are whole started nodes, ``shared_node_hours`` the share of
    them that the workload holds. ``good_share`` is the least share of requests inside all latency objectives."""

    node_hours: float
    shared_node_hours: float
    requests_per_hour: float
    good_share: float
    text: str

    def usd_per_million(self, usd_per_node_hour: Fraction, *, shared: bool) -> Fraction:
        hours = Fraction(self.shared_node_hours if shared else self.node_hours)
        return hours * usd_per_node_hour / Fraction(self.requests_per_hour * self.good_share) * 10**6


class NotServed(Record):
    """Such nodes cannot serve the workload, and why."""

    reason: str


def good_requests(workload: Workload, pool: Pool, policy: Policy) -> GoodRequests | NotServed:
    """``pool`` is hypothetical: priced at anything, without nodes, with as many to come as may be needed.

    Spot nodes are taken as if they were never interrupted: what a spot price is worth is another question.
    """
    alone = workload.model_copy(
        update={
            "placement": workload.placement.model_copy(update={"capacity_types": (pool.capacity_type,)}),
            "spot": SpotPolicy(maximum_share_percent=100, on_demand_base=0),
            "running": (),
            "budget_usd_per_month": None,
            "variants": tuple(one.model_copy(update={"access": ArtefactAccess()}) for one in workload.variants),
        }
    )
    made = plan(Snapshot(time=ANY_TIME, policy=policy, workloads=(alone,), pools=(pool,)))
    decision = made.decisions[0]
    if not decision.placed or decision.cost is None or pool.price is None:
        reason = decision.rejected[0].message if decision.rejected else decision.message
        return NotServed(reason=reason)
    usd = float(pool.price.usd_per_node_hour)
    held, idle = float(decision.cost.usd_per_hour) / usd, float(made.totals.idle_usd_per_hour) / usd
    nodes = round(held + idle)
    return GoodRequests(
        node_hours=nodes,
        shared_node_hours=held,
        requests_per_hour=workload.traffic.requests_per_second * 3600,
        good_share=_good_share(alone, decision.prediction),
        text=f"{berths_phrase(decision.berths)}; {plural(nodes, 'node')}",
    )


def _good_share(workload: Workload, prediction: Prediction | None) -> float:
    """The highest predicted percentile inside its limit, the lowest over all objectives; 1 where none is asked."""
    if prediction is None:
        return 1.0
    shares = []
    for ask in workload.latency:
        points = prediction.metrics.get(model_metric(workload, ask.metric))
        if isinstance(points, dict):
            inside = [
                share for name, share in PERCENTILES.items() if points.get(name, float("inf")) <= ask.limit_seconds
            ]
            shares.append(max(inside, default=PERCENTILES["p50"]))
    return min(shares, default=1.0)


def bought_as(spot: bool) -> CapacityType:
    return CapacityType.SPOT if spot else CapacityType.ON_DEMAND
