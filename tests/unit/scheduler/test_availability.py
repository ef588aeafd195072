"""``objectives.availabilityPercent``: spares and steady replicas until enough stand often enough."""

from decimal import Decimal

import pytest

from berth_cost.spot.availability import enough_stand, unavailability
from berth_scheduler.crew import away
from berth_scheduler.decision import Constraint, Decision
from berth_scheduler.explain import explain
from berth_scheduler.plan import plan
from berth_scheduler.snapshot import CapacityType, Placement, Pool, SpotPolicy, SpotRisk, Workload
from berth_scheduler.wording import percent
from example_snapshots import decision, now_running, pool, snapshot, vision

BOTH = Placement(capacity_types=(CapacityType.ON_DEMAND, CapacityType.SPOT))
CALM = SpotRisk(interruptions_per_hour=0.02, startup_seconds=180)
WILD = SpotRisk(interruptions_per_hour=1, startup_seconds=600)


def pools(risk: SpotRisk | None, nodes: int = 20) -> list[Pool]:
    return [
        pool("l4", "L4", "0.80", nodes=nodes),
        pool("l4-spot", "L4", "0.30", nodes=nodes, capacity_type=CapacityType.SPOT, spot=risk),
    ]


def decided(workload: Workload, supply: list[Pool]) -> Decision:
    return decision(plan(snapshot([workload], supply)))


def replicas(made: Decision) -> dict[str, int]:
    return {berth.pool: berth.replicas for berth in made.berths}


def test_without_the_objective_nothing_is_added_and_nothing_is_said() -> None:
    made = decided(vision(placement=BOTH), pools(WILD))
    assert sum(replicas(made).values()) == 1
    assert made.availability_percent is None


def test_one_replica_on_demand_stands_as_often_as_its_gpu_does() -> None:
    made = decided(vision(availability_percent=99.9), pools(None))
    assert replicas(made) == {"l4": 1}
    assert made.availability_percent == pytest.approx(100 * (1 - away(pools(None)[0], 1)), abs=1e-6)


def test_an_objective_beyond_one_gpu_gets_a_spare() -> None:
    made = decided(vision(availability_percent=99.99999), pools(None))
    assert replicas(made) == {"l4": 2}
    assert made.cost is not None and made.cost.usd_per_hour == Decimal("1.60")


def test_the_steadier_the_spot_the_more_of_it_is_used() -> None:
    spot = SpotPolicy(maximum_share_percent=100, on_demand_base=0)
    ask = vision(availability_percent=99.5, placement=BOTH, spot=spot)
    assert replicas(decided(ask, pools(CALM))) == {"l4-spot": 1}
    assert replicas(decided(ask, pools(WILD))) == {"l4": 1}


def test_what_is_decided_holds_by_the_formula() -> None:
    spot = SpotPolicy(maximum_share_percent=100, on_demand_base=0)
    ask = vision(rate=20_000.0, availability_percent=99.9, placement=BOTH, spot=spot, maximum_replicas=100)
    made = decided(ask, pools(CALM, nodes=100))
    without = decided(ask.model_copy(update={"availability_percent": None}), pools(CALM, nodes=100))
    carrying = sum(replicas(without).values())
    found = replicas(made)
    stands = enough_stand(
        carrying,
        found.get("l4", 0),
        found.get("l4-spot", 0),
        away(pools(CALM)[0], 1),
        away(pools(CALM)[1], 1),
    )
    assert made.availability_percent == pytest.approx(100 * stands, abs=1e-5)
    assert stands >= 0.999
    assert found["l4-spot"] > 0


def test_what_cannot_hold_is_rejected_with_the_number_that_broke_it() -> None:
    only = Placement(capacity_types=(CapacityType.SPOT,))
    spot = SpotPolicy(maximum_share_percent=100, on_demand_base=0)
    ask = vision(availability_percent=99.9, placement=only, spot=spot, maximum_replicas=2)
    made = decided(ask, pools(WILD))
    assert not made.placed
    nearest = next(one for one in made.rejected if one.constraint is Constraint.AVAILABILITY)
    assert nearest.limit == 99.9
    assert nearest.value is not None and nearest.value < 99.9
    assert "availability ≥ 99.9 % is out of reach" in made.message
    assert [one.change for one in made.alternatives] == ["placement.capacityTypes: allow OnDemand"]


def test_spot_that_needs_more_spares_than_it_saves_is_rejected_by_what_it_would_reach() -> None:
    made = decided(vision(rate=2_000.0, availability_percent=99.9, placement=BOTH), pools(WILD))
    assert set(replicas(made)) == {"l4"}
    assert sum(replicas(made).values()) > 1
    (spot,) = (one for one in made.rejected if one.capacity_type == "Spot")
    assert spot.constraint is Constraint.AVAILABILITY
    assert spot.value is not None and spot.value < 99.9 == spot.limit
    assert "steady ones cost less than the spares" in spot.message


def test_spot_alone_that_the_share_forbids_is_told_as_such() -> None:
    only = Placement(capacity_types=(CapacityType.SPOT,))
    made = decided(vision(availability_percent=50.0, placement=only), pools(CALM))
    assert made.rejected[0].constraint is Constraint.SPOT_SHARE


def test_replicas_that_the_minimum_asks_for_serve_as_spares() -> None:
    made = decided(vision(availability_percent=99.99999, minimum_replicas=2), pools(None))
    assert replicas(made) == {"l4": 2}


def test_what_runs_keeps_its_spares() -> None:
    supply = pools(None)
    ask = vision(availability_percent=99.99999)
    first = decided(ask, supply)
    again = decided(now_running(ask, first.berths, supply), supply)
    assert again.kept
    assert replicas(again) == replicas(first)
    assert again.availability_percent == first.availability_percent


def test_the_explanation_says_what_was_asked_and_how_often_it_holds() -> None:
    ask = vision(availability_percent=99.9)
    line = next(one for one in explain(decided(ask, pools(None)), ask).objectives if one.name == "availability")
    assert (line.asked, line.holds, line.evidence) == ("≥ 99.9 %", True, "failure rates")
    assert line.predicted == "99.99967 %"


@pytest.mark.parametrize(
    ("value", "text"), [(99.9, "99.9 %"), (99.99967, "99.99967 %"), (95.549, "95.5 %"), (99, "99 %"), (100, "100 %")]
)
def test_a_percentage_is_shown_with_its_nines_and_never_rounded_up(value: float, text: str) -> None:
    assert percent(value) == text


def test_spot_has_an_effective_price_beside_the_billed_one() -> None:
    spot = SpotPolicy(maximum_share_percent=100, on_demand_base=0)
    ask = vision(placement=BOTH, spot=spot)
    made = decided(ask, pools(WILD))
    assert made.cost is not None
    assert made.cost.usd_per_hour == Decimal("0.30")
    assert made.cost.effective_usd_per_hour == Decimal("0.35")  # one interruption an hour wastes a sixth of it
    assert "$0.30/h ($0.35 with what interruptions waste)" in explain(made, ask).headline
    steady = decided(vision(), pools(WILD))
    assert steady.cost is not None and steady.cost.effective_usd_per_hour is None


def test_a_pool_that_states_no_risk_is_as_unsteady_as_measured_ones_were() -> None:
    assert away(pools(None)[1], 1) == pytest.approx(unavailability(0.28, 600), rel=1e-3)
    assert away(pools(CALM)[1], 1) == pytest.approx(unavailability(0.02, 180), rel=0.01)


def test_a_replica_on_a_slice_falls_as_often_as_its_whole_gpu() -> None:
    assert away(pools(None)[0], 1 / 7) == away(pools(None)[0], 1)
    assert away(pools(None)[0], 2) == pytest.approx(2 * away(pools(None)[0], 1), rel=1e-4)
