"""Costs that rest on old prices: a band, what it is for, and a decision that stays the same."""

from datetime import UTC, date, datetime
from decimal import Decimal

from berth_cost.prices.book import Price
from berth_scheduler.explain import explain
from berth_scheduler.plan import plan
from berth_scheduler.snapshot import CapacityType, Placement, Policy
from example_snapshots import decision, p99, pool, snapshot, vision

LISTED = date(2026, 1, 21)
POLICY = Policy()
BOTH = Placement(capacity_types=(CapacityType.ON_DEMAND, CapacityType.SPOT))


def of(day: date, usd: str = "1.00") -> Price:
    return Price(usd_per_node_hour=Decimal(usd), source="a list", date=day)


def made(time: datetime, policy: Policy = POLICY):
    pools = [pool("l4", "L4", "1.00", nodes=2, price=of(LISTED))]
    return decision(plan(snapshot([vision("a/w", latency=p99(80))], pools, time=time, policy=policy)))


def test_a_cost_by_a_fresh_price_has_no_band():
    cost = made(datetime(2026, 6, 1, tzinfo=UTC)).cost
    assert (cost.usd_per_hour_low, cost.usd_per_hour_high, cost.price_note) == (None, None, None)


def test_a_cost_by_an_old_price_has_a_band_and_says_why():
    cost = made(datetime(2026, 11, 1, tzinfo=UTC)).cost  # 284 days: the fourth quarter has begun
    assert float(cost.usd_per_hour_low) == round(float(cost.usd_per_hour) / 1.07**4, 6)
    assert float(cost.usd_per_hour_high) == round(float(cost.usd_per_hour) * 1.07**4, 5)
    assert cost.price_note == "prices older than 180 days: l4 of 2026-01-21"


def test_the_band_and_the_words_stay_for_a_quarter_and_the_decision_hash_for_good():
    first, later, much_later = (made(datetime(2026, *day, tzinfo=UTC)) for day in ((10, 20), (12, 31), (6, 1)))
    assert first.cost == later.cost
    assert first.decision_hash == later.decision_hash == much_later.decision_hash


def test_the_policy_says_when_a_price_is_old():
    assert made(datetime(2026, 6, 1, tzinfo=UTC), Policy(price_old_after_days=30)).cost.price_note is not None


def test_spot_widens_a_mixed_cost_by_its_share_only():
    pools = [
        pool("l4", "L4", "1.00", nodes=4, price=of(date(2026, 10, 1))),
        pool("l4-spot", "L4", "0.40", nodes=8, capacity_type=CapacityType.SPOT, price=of(LISTED, "0.40")),
    ]
    asked = vision("a/w", 2000, latency=p99(80), placement=BOTH)
    one = decision(plan(snapshot([asked], pools, time=datetime(2026, 11, 1, tzinfo=UTC))))
    spot = sum(berth.replicas for berth in one.berths if berth.capacity_type is CapacityType.SPOT) * 0.40
    assert 0 < spot < float(one.cost.usd_per_hour)
    assert float(one.cost.usd_per_hour_high - one.cost.usd_per_hour) == round(spot * (1.15**4 - 1), 5)


def test_an_explanation_shows_the_band_and_what_it_is_for():
    asked = vision("a/w", latency=p99(80))
    pools = [pool("l4", "L4", "1.00", nodes=2, price=of(LISTED))]
    one = decision(plan(snapshot([asked], pools, time=datetime(2026, 11, 1, tzinfo=UTC))))
    told = explain(one, asked)
    assert "$1.00/h (0.76–1.31)" in told.headline
    assert told.closing == "The band of the cost is for prices older than 180 days: l4 of 2026-01-21."
