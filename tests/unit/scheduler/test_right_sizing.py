"""Right-sizing: what another berth would save, whether the change pays, and who moves when."""

from datetime import timedelta
from decimal import Decimal

import pytest

from berth_scheduler.decision import Transition
from berth_scheduler.plan import plan
from berth_scheduler.right_sizing.assessment import ChangeOver, SizingReason, assess, report
from berth_scheduler.right_sizing.course import Course, Pace, Phase, Sight, advance, follow
from berth_scheduler.right_sizing.observed_day import ObservedDay
from berth_scheduler.right_sizing.what_if import observed_traffic, rounded_up, trusted, what_if
from berth_scheduler.snapshot import (
    Berth,
    CapacityType,
    Correction,
    Observed,
    Placement,
    RightSizing,
    Scaling,
    Sharing,
    Snapshot,
    TokenLengths,
    configuration_of,
)
from example_snapshots import TIME, chat, decision, now_running, pool, snapshot, vision

MONTH = Decimal(730)
PACE = Pace(settle_seconds=600, move_seconds=1200, probation_seconds=600, cool_down_seconds=3600)
CHANGE_OVER = ChangeOver()
H100 = "H100-PCIe-80GB"


def on_h100(workload, *pools, **changes):
    """The workload as it was placed when there were only H100s."""
    dear = [one for one in pools if one.gpu.name == H100]
    made = decision(plan(snapshot([workload], dear)))
    assert made.placed, made.message
    return now_running(workload, made.berths, dear, **changes)


def two_pools(l4_usd="1"):
    return [pool("h", H100, "4", nodes=2), pool("l", "L4", l4_usd, nodes=2)]


def assessed(workload, pools, change_over=CHANGE_OVER):
    asked = what_if(snapshot([workload], pools))
    return assess(asked, plan(asked), change_over)[0]


# --- the question ------------------------------------------------------------------------------------------------


def test_a_snapshot_without_observations_asks_the_same_question():
    same = snapshot([vision()], two_pools())
    assert what_if(same) is same


def seen(rate=20.0, **changes):
    return Observed(at=TIME, hours=24, requests_per_second=rate, **changes)


def test_the_observed_rate_is_asked_about_and_the_stated_one_stays_in_the_snapshot():
    workload = vision(rate=200, observed=seen(12.3))
    asked = what_if(snapshot([workload], two_pools())).workloads[0]
    assert asked.traffic.requests_per_second == 13
    assert workload.traffic.requests_per_second == 200


def test_an_observation_changes_no_plan():
    workload, pools = vision(rate=200), two_pools()
    observed = workload.model_copy(update={"observed": seen(2.0)})
    assert plan(snapshot([workload], pools)) == plan(snapshot([observed], pools))


def test_a_snapshot_with_observations_is_read_back_as_it_was():
    workload = vision(observed=seen(correction=Correction(factor=0.9, samples=40, spread=0.1)))
    moved = on_h100(workload, *two_pools())
    place = configuration_of([moved.running[0].berths[0].berth.model_copy(update={"gpu": "L4"})])
    there = snapshot([moved.model_copy(update={"move": place})], two_pools())
    again = Snapshot.model_validate_json(there.model_dump_json(by_alias=True))
    assert again == there
    assert plan(again).model_dump_json() == plan(there).model_dump_json()


@pytest.mark.parametrize(("value", "rounded"), [(0.0123, 0.013), (1.0, 1.0), (99.1, 100.0), (120.0, 120.0)])
def test_observed_rates_are_rounded_up_to_two_digits(value, rounded):
    assert rounded_up(value) == rounded


def test_observed_lengths_replace_stated_ones_and_keep_their_spread():
    workload = chat()
    stated = workload.traffic.model_copy(update={"input_tokens": TokenLengths(mean=500, p95=1000)})
    workload = workload.model_copy(update={"traffic": stated})
    lengths = {"input_tokens": TokenLengths(mean=213), "output_tokens": TokenLengths(mean=77)}
    traffic = observed_traffic(workload, seen(**lengths))
    assert traffic.input_tokens == TokenLengths(mean=210, p95=420)
    assert traffic.output_tokens == TokenLengths(mean=77)


def test_a_correction_for_the_better_is_not_believed_of_another_berth():
    assert trusted(Correction(factor=1.25, samples=1000)) == 1.0


def test_a_correction_for_the_worse_counts_the_more_the_more_samples_there_are():
    few, many = (trusted(Correction(factor=0.8, samples=count)) for count in (3, 3000))
    assert 0.8 < many < few < 1.0
    assert many == pytest.approx(0.8, rel=0.01)


# --- the money ---------------------------------------------------------------------------------------------------


def test_a_cheaper_berth_is_proposed_with_its_money():
    found = assessed(on_h100(vision(), *two_pools()), two_pools(), ChangeOver(start_seconds=540, drain_seconds=60))
    assert found.reason is SizingReason.CHEAPER_BERTH, found.message
    proposal = found.proposal
    assert proposal.berths[0].gpu == "L4"
    assert (found.usd_per_hour, proposal.usd_per_hour) == (Decimal("4.00"), Decimal("1.00"))
    assert proposal.saving_usd_per_month == 3 * MONTH
    assert proposal.saving_percent == 75
    # Ten minutes of $1 an hour, and in one of twenty cases ten minutes of both ($5 an hour).
    assert proposal.change_over_usd == Decimal("0.208333")
    assert proposal.payback_hours == pytest.approx(0.208333 / 3, rel=1e-2)


def test_a_saving_below_the_minimum_is_named_and_not_recommended():
    bounds = RightSizing(minimum_saving_percent=80)
    found = assessed(on_h100(vision(right_sizing=bounds), *two_pools()), two_pools())
    assert found.reason is SizingReason.SAVING_TOO_SMALL
    assert "less than 80 %" in found.message


def test_a_change_that_pays_back_too_late_is_named_and_not_recommended():
    bounds = RightSizing(maximum_payback_hours=0.01)
    found = assessed(on_h100(vision(right_sizing=bounds), *two_pools()), two_pools())
    assert found.reason is SizingReason.PAYBACK_TOO_LONG
    assert "pays back in" in found.message


def test_what_runs_on_the_cheapest_is_right_sized():
    pools = two_pools(l4_usd="9")
    assert assessed(on_h100(vision(), *pools), pools).reason is SizingReason.RIGHT_SIZED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"right_sizing": RightSizing(mode="Disabled")}, SizingReason.DISABLED),
        ({"planning_hash": "b"}, SizingReason.NOTHING_RUNS),
        ({"objective_broken": True}, SizingReason.OBJECTIVE_BROKEN),
    ],
)
def test_some_workloads_are_not_asked_about(changes, reason):
    workload = on_h100(vision(), *two_pools()).model_copy(update=changes)
    assert assessed(workload, two_pools()).reason is reason


def test_traffic_that_what_runs_has_no_room_for_is_named():
    pools = [pool("h", H100, "4", nodes=1), pool("l", "L4", "1")]
    workload = on_h100(vision(), *pools)
    found = assessed(workload.model_copy(update={"observed": seen(1e6)}), pools)
    assert found.reason is SizingReason.OUTGROWN
    assert "no room for this traffic" in found.message


def test_less_traffic_than_stated_makes_a_smaller_gpu_do():
    pools = [pool("h", H100, "4", nodes=8), pool("l", "L4", "3", nodes=8)]
    workload = on_h100(vision(rate=5000.0, maximum_replicas=4), *pools)
    stated = assessed(workload, pools)
    observed = assessed(workload.model_copy(update={"observed": seen(50.0)}), pools)
    assert stated.proposal is None or stated.proposal.berths[0].gpu != "L4" or not stated.recommended
    assert observed.recommended
    assert observed.basis == "observed"
    assert observed.proposal.berths[0].gpu == "L4"


def test_spot_of_the_same_gpu_is_proposed_and_named_as_the_same_revision():
    both = (CapacityType.ON_DEMAND, CapacityType.SPOT)
    workload = vision(placement=Placement(capacity_types=both), minimum_replicas=4)
    steady = pool("od", "L4", "1", nodes=8)
    spot = pool("spot", "L4", "0.2", nodes=8, capacity_type=CapacityType.SPOT)
    made = decision(plan(snapshot([workload], [steady])))
    running = now_running(workload, made.berths, [steady])
    found = assessed(running, [steady, spot])
    assert found.recommended, found.message
    assert found.proposal.same_revision
    assert {berth.capacity_type for berth in found.proposal.berths} == set(both)
    assert found.proposal.interruptions_per_day > 0
    assert "interruptions a day" in found.message


def test_a_report_adds_up_what_is_recommended():
    made = snapshot([on_h100(vision(), *two_pools())], two_pools())
    assert report(made, assess(made, plan(made))).saving_usd_per_month == 3 * MONTH


# --- a plan moves a workload ---------------------------------------------------------------------------------------


def moving(workload, pools):
    proposal = assessed(workload, pools).proposal
    return workload.model_copy(update={"move": configuration_of(proposal.berths)})


def test_a_workload_that_is_to_move_gets_the_very_configuration_beside_what_runs():
    workload = moving(on_h100(vision(), *two_pools()), two_pools())
    made = decision(plan(snapshot([workload], two_pools())))
    assert made.transition is Transition.SWITCH
    assert configuration_of(made.berths) == workload.move


def test_a_workload_stays_where_there_is_no_room_to_move_to():
    workload = moving(on_h100(vision(), *two_pools()), two_pools())
    full = [two_pools()[0], pool("l", "L4", "1")]
    made = decision(plan(snapshot([workload], full)))
    assert made.kept
    assert made.berths[0].gpu == H100


def test_a_workload_stays_where_the_place_no_longer_holds_its_objectives():
    workload = moving(on_h100(vision(), *two_pools()), two_pools())
    denied = workload.model_copy(update={"placement": Placement(deny=("L4",))})
    made = decision(plan(snapshot([denied], two_pools())))
    assert made.kept
    assert made.berths[0].gpu == H100


def test_a_move_under_way_goes_on_and_ends_where_it_was_to_go():
    pools = two_pools()
    workload = moving(on_h100(vision(), *pools), pools)
    there = decision(plan(snapshot([workload], pools))).berths
    started = now_running(workload, there, pools, revision="22222222", serving=False).running
    both = workload.model_copy(update={"running": (*workload.running, *started)})
    made = decision(plan(snapshot([both], pools)))
    assert made.berths == there
    assert made.transition is Transition.SWITCH
    arrived = now_running(workload, there, pools, revision="22222222").model_copy(update={"move": None})
    made = decision(plan(snapshot([arrived], pools)))
    assert made.kept
    assert made.berths == there


def test_a_count_that_follows_demand_is_no_part_of_the_question():
    workload = on_h100(vision(), *two_pools()).model_copy(update={"scaling": Scaling(replicas=2)})
    found = assessed(workload, two_pools())
    assert found.recommended, found.message
    assert found.usd_per_hour == Decimal("4.00")


def test_a_workload_that_follows_demand_moves_with_what_its_replicas_sustain():
    pools = two_pools()
    workload = on_h100(vision(rate=1e-3), *pools)
    place = moving(workload, pools).move
    few = workload.model_copy(update={"move": place, "scaling": Scaling(replicas=1)})
    made = decision(plan(snapshot([few], [pools[0], pool("l", "L4", "1", nodes=40)])))
    assert made.transition is Transition.SWITCH
    assert made.berths[0].replicas > 1, "one H100 sustains more than one L4, whatever the spec states"


def test_where_the_arriving_rate_is_measured_it_moves_with_what_carries_that():
    pools = two_pools()
    workload = on_h100(vision(rate=1e-3), *pools)
    place = moving(workload, pools).move
    calm = workload.model_copy(update={"move": place, "scaling": Scaling(replicas=1, requests_per_second=1e-3)})
    made = decision(plan(snapshot([calm], [pools[0], pool("l", "L4", "1", nodes=40)])))
    assert made.transition is Transition.SWITCH
    assert made.berths[0].replicas == 1
    busy = workload.model_copy(update={"move": place, "scaling": Scaling(replicas=1, requests_per_second=1e5)})
    made = decision(plan(snapshot([busy], [pools[0], pool("l", "L4", "1", nodes=1)])))
    assert made.kept


# --- the course --------------------------------------------------------------------------------------------------


def berth(gpu, **changes):
    stated = {
        "pool": gpu.lower(),
        "gpu": gpu,
        "sharing": Sharing.EXCLUSIVE,
        "capacity_type": CapacityType.ON_DEMAND,
        "precision": "fp16",
        "tensor_parallel": 1,
        "gpus_per_replica": 1,
        "instances_per_gpu": 1,
        "maximum_batch_size": 8,
        "maximum_queue_delay_microseconds": 0,
        "replicas": 1,
    }
    return Berth(**stated | changes)


AT_H100 = configuration_of([berth(H100)])
AT_L4 = configuration_of([berth("L4")])


@pytest.fixture(scope="module")
def cheaper():
    return assessed(on_h100(vision(right_sizing=RightSizing(mode="Auto")), *two_pools()), two_pools())


def sight(found=None, serving=AT_H100, mode="Auto", **changes):
    return Sight("a", mode, 10, serving, assessment=found, **changes)


def at(minutes):
    return TIME + timedelta(minutes=minutes)


def walked(sights_by_minute, course=None):
    for minute, one in sights_by_minute:
        course = advance({} if course is None else {"w": course}, {"w": one}, at(minute), PACE).courses["w"]
    return course


def test_a_proposal_becomes_a_recommendation_when_it_stood_for_long_enough(cheaper):
    told = walked([(0, sight(cheaper, mode="Recommend"))])
    assert told.recommendation is None
    told = walked([(5, sight(cheaper, mode="Recommend")), (10, sight(cheaper, mode="Recommend"))], told)
    assert told.recommendation.proposal == cheaper.proposal
    assert told.phase is Phase.IDLE


def test_a_proposal_that_comes_and_goes_is_never_recommended(cheaper):
    none = cheaper.model_copy(update={"reason": SizingReason.RIGHT_SIZED, "proposal": None, "others": ()})
    course = None
    for minute in range(0, 600, 5):
        course = walked([(minute, sight(cheaper if minute // 5 % 2 else none))], course)
        assert course.recommendation is None
        assert course.phase is Phase.IDLE


def test_a_recommendation_stays_while_it_saves_half_of_what_is_asked(cheaper):
    told = walked([(0, sight(cheaper, mode="Recommend")), (10, sight(cheaper, mode="Recommend"))])
    for percent, stays in ((6.0, True), (4.0, False)):
        less = cheaper.proposal.model_copy(update={"saving_percent": percent})
        small = cheaper.model_copy(update={"reason": SizingReason.SAVING_TOO_SMALL, "proposal": less, "others": ()})
        assert (walked([(15, sight(small, mode="Recommend"))], told).recommendation is not None) is stays


def moved(cheaper):
    target = configuration_of(cheaper.proposal.berths)
    course = walked([(0, sight(cheaper)), (10, sight(cheaper))])
    assert course.phase is Phase.MOVING
    assert course.destination == target
    return walked([(12, sight(serving=target))], course), target


def test_an_automatic_move_arrives_and_passes_its_probation(cheaper):
    course, target = moved(cheaper)
    assert course.phase is Phase.PROBATION
    assert course.destination is None
    course = walked([(20, sight(serving=target, objective_holds=True)), (23, sight(serving=target))], course)
    assert course.phase is Phase.IDLE
    assert course.moved_at == (at(12),)


def test_an_objective_that_breaks_on_probation_takes_the_workload_back_for_good(cheaper):
    course, target = moved(cheaper)
    course = walked([(15, sight(serving=target, objective_holds=False))], course)
    assert (course.phase, course.destination) == (Phase.REVERTING, AT_H100)
    course = walked([(18, sight(serving=AT_H100))], course)
    assert course.phase is Phase.IDLE
    for minute in range(60, 6 * 24 * 60, 60):
        course = walked([(minute, sight(cheaper))], course)
        assert course.phase is Phase.IDLE
    assert walked([(8 * 24 * 60, sight(cheaper)), (8 * 24 * 60 + 15, sight(cheaper))], course).phase is Phase.MOVING


def test_a_move_that_finds_no_room_is_given_up(cheaper):
    course = walked([(0, sight(cheaper)), (10, sight(cheaper)), (31, sight(cheaper))])
    assert course.phase is Phase.IDLE
    assert walked([(40, sight(cheaper)), (60, sight(cheaper))], course).phase is Phase.IDLE


def test_only_one_workload_of_a_fleet_is_on_its_way(cheaper):
    sights = {name: sight(cheaper.model_copy(update={"workload": name})) for name in "abc"}
    courses = {}
    for minute in (0, 10, 11, 12):
        courses = advance(courses, sights, at(minute), PACE).courses
        assert sum(one.under_way for one in courses.values()) == (minute >= 10)
    assert courses["a"].phase is Phase.MOVING


def test_recommend_moves_nothing(cheaper):
    course = walked([(minute, sight(cheaper, mode="Recommend")) for minute in range(0, 300, 5)])
    assert course.recommendation is not None
    assert course.phase is Phase.IDLE


def test_what_would_cost_more_at_the_stated_traffic_does_not_move_by_itself(cheaper):
    dearer = cheaper.model_copy(update={"reason": SizingReason.RIGHT_SIZED, "proposal": None, "others": ()})
    course = walked([(minute, sight(cheaper, stated=dearer)) for minute in range(0, 60, 5)])
    assert course.recommendation is not None
    assert course.phase is Phase.IDLE
    assert walked([(70, sight(cheaper, stated=cheaper))], course).phase is Phase.MOVING


def test_pods_of_the_same_revision_elsewhere_are_no_move(cheaper):
    same = cheaper.model_copy(update={"proposal": cheaper.proposal.model_copy(update={"same_revision": True})})
    course = walked([(minute, sight(same)) for minute in range(0, 60, 5)])
    assert course.recommendation is not None
    assert course.phase is Phase.IDLE


def test_a_new_spec_forgets_everything_but_when_the_workload_moved(cheaper):
    course, target = moved(cheaper)
    after = follow(course, Sight("b", "Auto", 10, target), at(13), PACE)
    assert after == Course(planning_hash="b", moved_at=course.moved_at)


def test_a_recommendation_is_not_told_anew_for_a_few_dollars(cheaper):
    told = walked([(0, sight(cheaper, mode="Recommend")), (10, sight(cheaper, mode="Recommend"))])
    wobbled = cheaper.proposal.model_copy(update={"saving_usd_per_month": Decimal("2300")})
    again = cheaper.model_copy(update={"proposal": wobbled})
    assert walked([(15, sight(again, mode="Recommend"))], told) == told


# --- what is observed --------------------------------------------------------------------------------------------


def a_day(rates, **lengths):
    day = ObservedDay()
    for minute, rate in enumerate(rates):
        day = day.with_sample(600.0 + minute * 60, rate, **lengths)
    return day


def test_the_rate_to_hold_is_the_95th_percentile_of_five_minutes():
    rates = [rate for rate in range(1, 101) for _ in range(5)]
    assert a_day([*rates, 0]).observed().requests_per_second == 95


def test_nothing_is_observed_before_the_first_five_minutes_are_over():
    assert a_day([1, 1]).observed() is None


def test_what_is_no_rate_is_left_out():
    clean = a_day([5] * 20)
    for nothing in (None, float("nan"), float("inf"), -1.0):
        assert clean.with_sample(99_999.0, nothing) is clean


def test_a_day_stays_a_day():
    day = a_day([1.0] * (60 * 24 * 3))
    assert len(day.rates) == 288
    assert day.observed().hours == 24


def test_mean_lengths_are_weighed_by_requests():
    day = ObservedDay().with_sample(60, 1.0, 100.0, 10.0).with_sample(120, 1.0, 100.0, 10.0)
    day = day.with_sample(180, 3.0, 500.0, 50.0)
    assert day.prompt_tokens == pytest.approx((120 * 100 + 180 * 500) / 300, rel=1e-3)
