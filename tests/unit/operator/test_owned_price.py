"""``GPUPool.spec.price.owned``: the total cost of ownership of a node-hour, and what the status says of it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from berth_operator.catalogues import Catalogues
from berth_operator.pool_report import Held, pool_status
from berth_operator.supply.pools import pools_of
from berth_operator.world import World
from berth_scheduler.snapshot import CapacityType, Pool
from kubernetes_objects import node, pool

TIME = datetime(2026, 11, 2, 12, tzinfo=UTC)
H100: dict[str, Any] = {
    "perNode": {"usd": "310000", "gpus": 8},
    "lifeMonths": 48,
    "residualPercent": 20,
    "power": {"idleKW": 8, "busyKW": 8, "pue": "1.3", "usdPerKWh": "0.08"},
    "staff": {"nodesPerFullTimeEquivalent": 50, "usdPerYear": 250000},
    "maintenancePercentPerYear": 3,
    "discountRatePercent": 8,
}


def owned(price: dict[str, Any], *nodes: dict[str, Any], day: datetime = TIME, **spec: Any) -> Pool:
    stated = pool(
        "own", **{"gpu": "H100-SXM-80GB", "gpusPerNode": 8, "capacityType": "Owned", **spec}, price={"owned": price}
    )
    stated["metadata"]["creationTimestamp"] = "2026-10-05T08:00:00Z"
    world = World.of([stated, *nodes])
    return next(found for found in pools_of(world, Catalogues.built_in(), time=day) if found.name == "own")


def usd(price: dict[str, Any], **spec: Any) -> Decimal:
    found = owned(price, **spec)
    assert found.price is not None, found.problems
    return found.price.usd_per_node_hour


def test_a_pool_costs_what_the_capital_recovery_formula_gives() -> None:
    # Reference point of docs/cost-model.md: $1.447 a GPU-hour, so $11.578 a node-hour.
    assert usd(H100) == pytest.approx(Decimal("11.578"), abs=Decimal("0.001"))


def test_without_cost_of_capital_it_is_a_straight_line() -> None:
    # (96,000 − 24,000) / 48 months + 600 a month, over 730 hours and 2 nodes.
    price = {"nodes": 2, "capexUSD": 96000, "lifeMonths": 48, "residualPercent": 25, "opexUSDPerMonth": 600}
    assert usd(price) == pytest.approx(Decimal(2100) / 730 / 2, abs=Decimal("0.00001"))


def test_figures_are_of_the_nodes_that_the_pool_may_have() -> None:
    price = {"capexUSD": 96000, "lifeMonths": 48}
    assert usd(price, maximumNodes=4) == pytest.approx(usd({**price, "nodes": 2}) / 2, rel=Decimal("1e-5"))


def test_the_network_can_follow_the_size_of_the_cluster() -> None:
    price = {"nodes": 64, "perNode": {"usd": "310000", "gpus": 8}, "lifeMonths": 48, "network": {"byClusterSize": True}}
    assert usd(price) == pytest.approx(Decimal(310_000) / (1 - Decimal("0.0463")) / 48 / 730, rel=Decimal("1e-5"))


def test_power_follows_utilisation() -> None:
    power = {"idleKW": 2, "busyKW": 6, "pue": "1.5", "usdPerKWh": "0.1"}
    price = {"nodes": 1, "capexUSD": 96000, "lifeMonths": 48, "power": power}
    half, full = usd({**price, "utilizationPercent": 50}), usd(price)
    assert full - half == pytest.approx(Decimal("0.3"), abs=Decimal("0.00002"))


def test_the_status_says_what_the_price_is_made_of_and_never_changes_by_itself() -> None:
    said = []
    for days in (0, 40):
        now = TIME + timedelta(days=days)
        found = owned({**H100, "nodes": 4}, day=now)
        said.append(pool_status(found, Held(), 1, said[0] if said else {}, now))
    assert said[0] == said[1]
    price = said[0]["price"]
    assert price["source"] == "owned: 4 nodes over 48 months, 20 % left, 100 % busy, capital at 8 %"
    assert price["date"] == "2026-10-05"
    priced = next(one for one in said[0]["conditions"] if one["type"] == "Priced")
    assert (priced["status"], priced["reason"]) == ("True", "PriceStated")
    assert "per node hour, owned: 4 nodes" in priced["message"]


def test_nodes_that_come_and_go_do_not_move_the_price() -> None:
    stated = {"capexUSD": 96000, "lifeMonths": 48}
    labels = {"pool": "own", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    spec = {"nodeSelector": {"pool": "own"}, "maximumNodes": 4}
    alone = owned(stated, **spec).price
    assert alone == owned(stated, node("a", labels=labels, gpus=8), **spec).price
    assert alone is not None and alone.date == date(2026, 10, 5)
    assert owned(stated, **spec).capacity_type is CapacityType.OWNED


@pytest.mark.parametrize(
    ("price", "spec", "said"),
    [
        ({"capexUSD": 1, "lifeMonths": 48}, {"maximumNodes": None}, "state spec.price.owned.nodes, or maximumNodes"),
        ({"perNode": {"usd": 9, "gpus": 4}, "lifeMonths": 48}, {}, "perNode.gpus is 4, but a node of the pool has 8"),
        ({"nodes": 1, "capexUSD": 1, "lifeMonths": 48, "residualPercent": 100}, {}, "nothing is left to pay"),
        ({"capexUSD": 1, "lifeMonths": 0}, {}, "spec.price.owned.lifeMonths: must be at least 1"),
        ({"capexUSD": -1, "lifeMonths": 48}, {}, "spec.price.owned.capexUSD"),
        (
            {"perNode": {"usd": 9, "gpus": 8}, "lifeMonths": 48, "network": {"shareOfCapexPercent": 100}},
            {},
            "must be at least 0, below 100",
        ),
    ],
)
def test_what_has_no_price_says_why(price: dict[str, Any], spec: dict[str, Any], said: str) -> None:
    found = owned(price, **spec)
    assert found.price is None
    assert [problem.reason for problem in found.problems] == ["NoPrice"]
    assert said in found.problems[0].message
