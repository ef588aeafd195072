"""What a pool's status says of a price that is old, and of one that is too old."""

from datetime import UTC, datetime
from typing import Any

from berth_operator.catalogues import Catalogues
from berth_operator.pool_report import Held, pool_status
from berth_operator.supply.pools import pools_of
from berth_operator.world import World
from berth_scheduler.snapshot import Policy
from kubernetes_objects import pool

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ONE_YEAR = {"cloud": "aws", "region": "us-east-1", "instanceType": "p4de.24xlarge", "term": "OneYear"}
"""Of 2026-01-21."""


def priced(now: datetime, policy: Policy) -> tuple[dict[str, Any], dict[str, Any]]:
    """The status of a reserved pool, and its condition Priced."""
    stated = pool("a100", gpu="A100-SXM-80GB", gpusPerNode=8, capacityType="Reserved", price=ONE_YEAR)
    (found,) = pools_of(World.of([stated]), Catalogues.built_in(), time=now, policy=policy)
    status = pool_status(found, Held(), 1, {}, NOW)
    return status, next(one for one in status["conditions"] if one["type"] == "Priced")


def test_an_old_price_is_a_price_and_its_condition_says_what_it_may_be() -> None:
    status, condition = priced(NOW, Policy())
    assert (condition["status"], status["price"]["date"]) == ("True", "2026-01-21")
    assert condition["message"].endswith("of 2026-01-21, older than 180 days: it may be $13.28 to $22.81 per node hour")


def test_the_status_stays_the_same_for_a_quarter() -> None:
    assert priced(NOW, Policy()) == priced(NOW.replace(month=12, day=31), Policy())


def test_a_price_that_is_too_old_is_none() -> None:
    status, condition = priced(NOW, Policy(price_refused_after_days=300))
    assert "price" not in status
    assert (condition["status"], condition["reason"]) == ("False", "NoPrice")
    assert "older than 300 days (policy.priceRefusedAfterDays)" in condition["message"]


def test_a_fresh_price_says_its_source_and_day() -> None:
    _, condition = priced(datetime(2026, 3, 1, tzinfo=UTC), Policy())
    assert condition["message"].endswith("tsaol/aws-gpu, data/all_gpu_instances.js of 2026-01-21")


def test_a_price_of_the_future_is_doubted() -> None:
    _, condition = priced(datetime(2025, 12, 1, tzinfo=UTC), Policy())
    assert condition["message"].endswith("is dated 2026-01-21, in the future: correct the date, or it never grows old")
