"""What is chosen for one workload, and what is said about it."""

from decimal import Decimal

import numpy as np
import pytest

from berth_cost.performance import prediction as performance
from berth_cost.performance.prediction import sustainable_rate as answer
from berth_scheduler.candidates import queue_delay_microseconds
from berth_scheduler.decision import Constraint
from berth_scheduler.plan import plan
from berth_scheduler.snapshot import (
    ArtefactAccess,
    CapacityType,
    Placement,
    PodResources,
    Problem,
    Quality,
    QualityObjective,
    Sharing,
    SpotPolicy,
    Variant,
)
from example_snapshots import BERT, LLAMA_70B, chat, decision, node, p99, pool, snapshot, vision

BOTH = (CapacityType.ON_DEMAND, CapacityType.SPOT)


def plan_one(workload, *pools, **changes):
    return decision(plan(snapshot([workload], pools, **changes)))


def rejection(made, **wanted):
    found = [one for one in made.rejected if all(getattr(one, name) == value for name, value in wanted.items())]
    assert len(found) == 1, [one.message for one in made.rejected]
    return found[0]


def test_the_cheapest_pool_that_holds_every_objective_is_chosen():
    made = plan_one(vision(), pool("t4", "T4", "0.53", nodes=2), pool("l4", "L4", "0.81", nodes=2))
    assert made.placed and made.reason == "Placed"
    assert [(berth.pool, berth.replicas) for berth in made.berths] == [("t4", 1)]
    assert made.cost.usd_per_hour == Decimal("0.53")
    assert made.cost.usd_per_month == Decimal("386.90")  # 0.53 · 730
    assert made.cost.usd_per_million_requests == Decimal("14.7222")  # 0.53 / (10 · 3600) · 10⁶


def test_what_was_dearer_is_a_runner_up_with_the_price_at_which_it_would_win():
    made = plan_one(vision(), pool("t4", "T4", "0.53", nodes=2), pool("l4", "L4", "0.81", nodes=2))
    assert [one.berths[0].gpu for one in made.alternatives] == ["L4"]
    assert made.alternatives[0].lost_by is Constraint.COST
    assert made.alternatives[0].message == "1 × L4, fp16, on demand: $0.81/h; it wins if t4 rises above $0.81/h per GPU"
    assert rejection(made, gpu="L4").constraint is Constraint.COST


def test_replicas_follow_the_rate():
    pools = [pool("l4", "L4", "0.80", nodes=20)]
    lone = plan_one(vision(), *pools)
    carried = 10 / lone.prediction.utilization  # what one replica carries at the most
    counts = [plan_one(vision(rate=carried * share), *pools).berths[0].replicas for share in (0.1, 1.5, 3, 6)]
    assert counts == sorted(counts) and counts[0] == 1 and counts[1] >= 2 and counts[3] >= 6


def test_the_minimum_of_replicas_is_kept_at_any_rate():
    assert plan_one(vision(rate=1, minimum_replicas=3), pool("l4", "L4", "0.80", nodes=5)).berths[0].replicas == 3


def test_more_replicas_than_the_maximum_are_never_planned():
    made = plan_one(vision(rate=200000, maximum_replicas=3), pool("l4", "L4", "0.80", maximum_nodes=9999))
    assert not made.placed and made.reason == "NoFeasibleCandidate"
    nearest = rejection(made, gpu="L4")
    assert nearest.constraint is Constraint.THROUGHPUT and nearest.limit == 3 and nearest.value > 3
    more = [one for one in made.alternatives if one.change and one.change.startswith("replicas.maximum")]
    assert more[0].change == f"replicas.maximum ≥ {more[0].berths[0].replicas}"


def test_a_model_too_big_for_one_gpu_is_split_over_several():
    made = plan_one(
        chat(model=LLAMA_70B, variants=(Variant(precision="fp8"),)),
        pool("h100", "H100-SXM-80GB", "98", nodes=1, gpus_per_node=8),
        pool("l4", "L4", "0.80", nodes=8),
    )
    assert made.berths[0].tensor_parallel > 1
    assert made.berths[0].gpus_per_replica == made.berths[0].tensor_parallel
    assert rejection(made, gpu="L4").constraint is Constraint.MEMORY


def test_only_widths_that_divide_the_gpus_of_a_node_are_used():
    made = plan_one(
        chat(model=LLAMA_70B, variants=(Variant(precision="fp8"),)),
        pool("h100", "H100-SXM-80GB", "30", nodes=4, gpus_per_node=3),
    )
    assert not made.placed and rejection(made, gpu="H100-SXM-80GB").constraint is Constraint.MEMORY


def test_a_mig_slice_costs_its_share_of_the_gpu():
    made = plan_one(
        vision(),
        pool("mig", "A100-SXM-80GB", "7.00", nodes=1, mig_layout={"1g.10gb": 7}),
        pool("l4", "L4", "3", nodes=1),
    )
    berth = made.berths[0]
    assert (berth.sharing, berth.mig_profile) == (Sharing.MIG, "1g.10gb")
    assert berth.gpus_per_replica == pytest.approx(1 / 7, rel=1e-5)
    assert made.cost.usd_per_hour == Decimal("1.00") * berth.replicas


def test_a_gpu_that_is_denied_is_not_used():
    placement = Placement(deny=("T4",))
    made = plan_one(vision(placement=placement), pool("t4", "T4", "0.1", nodes=9), pool("l4", "L4", "0.8", nodes=9))
    assert made.berths[0].gpu == "L4"
    assert rejection(made, gpu="T4").message == "T4: denied by placement.gpus.deny"


def test_only_allowed_gpus_are_used_and_the_way_out_is_named():
    made = plan_one(vision(placement=Placement(allow=("H100-SXM-80GB",))), pool("l4", "L4", "0.8", nodes=9))
    assert not made.placed
    assert rejection(made, gpu="L4").constraint is Constraint.GPU
    assert made.alternatives[0].change == "placement.gpus: allow L4"
    assert made.alternatives[0].lost_by is Constraint.GPU


def test_mig_is_not_used_where_only_whole_gpus_are_wanted():
    pools = [pool("mig", "A100-SXM-80GB", "7", nodes=1, mig_layout={"1g.10gb": 7})]
    made = plan_one(vision(placement=Placement(sharing=(Sharing.EXCLUSIVE,))), *pools)
    assert rejection(made, mig_profile="1g.10gb").constraint is Constraint.SHARING
    assert made.alternatives[0].change == "placement.sharing: allow MIG"


def test_a_precision_that_the_gpu_cannot_compute_is_rejected_with_the_generation_it_needs():
    made = plan_one(chat(variants=(Variant(precision="fp8"),)), pool("a100", "A100-SXM-80GB", "4", nodes=1))
    assert rejection(made, gpu="A100-SXM-80GB").constraint is Constraint.PRECISION
    assert "compute capability" in rejection(made, gpu="A100-SXM-80GB").message


def test_a_variant_below_the_quality_floor_is_rejected():
    variants = (
        Variant(precision="fp16", quality=Quality(score=Decimal("0.91"), evidence="Measured")),
        Variant(precision="int8", quality=Quality(score=Decimal("0.88"), evidence="Measured")),
    )
    workload = vision(variants=variants, quality=QualityObjective(metric="f1", minimum=Decimal("0.899")))
    made = plan_one(workload, pool("l4", "L4", "0.8", nodes=9))
    assert made.berths[0].precision == "fp16"
    worst = rejection(made, precision="int8")
    assert (worst.constraint, worst.value, worst.limit) == (Constraint.QUALITY, 0.88, 0.899)
    assert worst.message == "L4 int8: f1 0.88 < 0.899"


def test_a_loss_of_quality_is_counted_from_the_best_variant():
    variants = (
        Variant(precision="fp16", quality=Quality(score=Decimal("0.90"), evidence="Measured")),
        Variant(precision="int8", quality=Quality(score=Decimal("0.88"), evidence="Measured")),
    )
    made = plan_one(
        vision(variants=variants, quality=QualityObjective(metric="f1", maximum_loss_percent=Decimal(2))),
        pool("l4", "L4", "0.8", nodes=9),
    )
    assert rejection(made, precision="int8").limit == pytest.approx(0.882)


def test_an_impossible_latency_names_the_objective_and_the_latency_that_would_do():
    made = plan_one(vision(model=BERT, latency=p99(2), rate=20), pool("l4", "L4", "0.8", nodes=9))
    assert not made.placed and not made.waiting_for_capacity and made.reason == "NoFeasibleCandidate"
    assert made.message.startswith("latency p99 ≤ 2 ms is out of reach: L4 fp16: latency p99 ")
    assert made.rejected[0].constraint is Constraint.LATENCY
    assert made.rejected[0].value > made.rejected[0].limit == 0.002
    assert made.alternatives[0].change.startswith("latency p99 ≤ ")


def test_what_is_offered_as_a_latency_that_would_do_does():
    pools = [pool("l4", "L4", "0.8", nodes=30)]
    impossible = vision(model=BERT, latency=p99(2), rate=20)
    offered = plan_one(impossible, *pools).alternatives[0]
    milliseconds = float(offered.change.split("≤ ")[1].split(" ")[0])
    made = plan_one(vision(model=BERT, latency=p99(milliseconds), rate=20), *pools)
    assert made.placed and made.cost.usd_per_hour == offered.usd_per_hour


def test_a_budget_is_never_silently_exceeded():
    pools = [pool("l4", "L4", "1.00", nodes=9)]
    assert plan_one(vision(budget_usd_per_month=Decimal(730)), *pools).placed
    made = plan_one(vision(budget_usd_per_month=Decimal(729)), *pools)
    assert not made.placed
    assert (
        made.message
        == "budget ≤ $729.00/month is out of reach: L4 fp16: $730.00/month > $729.00/month (budget.monthlyUSD)"
    )
    assert made.alternatives[0].change == "budget ≥ $730.00/month"


def test_a_pool_without_a_price_is_rejected_by_its_own_words():
    bad = pool(
        "l4", "L4", "1", nodes=3, price=None, problems=(Problem(reason="NotPriced", message="no price is known"),)
    )
    made = plan_one(vision(), bad)
    assert rejection(made, pool="l4").message == "pool l4: no price is known"
    assert made.message == "no pool can be used: pool l4: no price is known"


def test_a_volume_in_one_zone_binds_the_workload_to_it():
    access = ArtefactAccess(zones=("a",))
    pools = [
        pool("cheap", "L4", "0.5").model_copy(update={"nodes": (node("n1", zone="b"),)}),
        pool("dear", "L4", "0.9").model_copy(update={"nodes": (node("n2", zone="a"),)}),
    ]
    made = plan_one(vision(variants=(Variant(precision="fp16", access=access),)), *pools)
    assert made.berths[0].pool == "dear"


def test_a_volume_of_one_node_binds_all_replicas_to_it():
    access = ArtefactAccess(single_node=True)
    workload = vision(minimum_replicas=2, variants=(Variant(precision="fp16", access=access),))
    single = pool("single", "L4", "0.5", nodes=4)
    double = pool("double", "L4", "2.0", nodes=1, gpus_per_node=2)
    assert plan_one(workload, single, double).berths[0].pool == "double"
    assert rejection(plan_one(workload, single), gpu="L4").constraint is Constraint.CAPACITY


def test_a_missing_claim_is_passed_on():
    access = ArtefactAccess(problem=Problem(reason="ClaimNotFound", message="claim models does not exist"))
    made = plan_one(vision(variants=(Variant(precision="fp16", access=access),)), pool("l4", "L4", "1", nodes=1))
    assert made.rejected[0].constraint is Constraint.ARTEFACT
    assert made.rejected[0].message == "L4 fp16: claim models does not exist"


def test_replicas_that_no_node_can_feed_are_rejected():
    made = plan_one(vision(resources=PodResources(cpu_cores=96, memory_bytes=2**30)), pool("l4", "L4", "1", nodes=3))
    nearest = rejection(made, gpu="L4")
    assert (nearest.constraint, nearest.value, nearest.limit) == (Constraint.NODE_RESOURCES, 96, 64)


def test_cpu_limits_how_many_replicas_share_a_node():
    pools = [pool("l4", "L4", "4", nodes=2, gpus_per_node=4)]
    workload = vision(minimum_replicas=4, resources=PodResources(cpu_cores=30, memory_bytes=2**30))
    assert plan_one(workload, *pools).placed
    too_many = workload.model_copy(update={"minimum_replicas": 5})
    assert rejection(plan_one(too_many, *pools), gpu="L4").constraint is Constraint.CAPACITY


def test_spot_is_used_up_to_its_share_beside_a_steady_base():
    placement = Placement(capacity_types=BOTH)
    pools = [
        pool("l4", "L4", "0.80", nodes=20),
        pool("l4-spot", "L4", "0.30", nodes=20, capacity_type=CapacityType.SPOT),
    ]
    made = plan_one(vision(minimum_replicas=10, placement=placement), *pools)
    assert {berth.pool: berth.replicas for berth in made.berths} == {"l4": 3, "l4-spot": 7}
    assert made.cost.usd_per_hour == Decimal("4.50")  # 3 · 0.80 + 7 · 0.30
    assert "3 on demand + 7 spot" in made.message


def test_the_steady_base_comes_before_the_share():
    placement = Placement(capacity_types=BOTH)
    spot = SpotPolicy(maximum_share_percent=100, on_demand_base=2)
    pools = [pool("l4", "L4", "0.8", nodes=9), pool("s", "L4", "0.3", nodes=9, capacity_type=CapacityType.SPOT)]
    made = plan_one(vision(minimum_replicas=3, placement=placement, spot=spot), *pools)
    assert {berth.pool: berth.replicas for berth in made.berths} == {"l4": 2, "s": 1}


def test_spot_alone_is_refused_unless_the_shares_say_so():
    pools = [pool("s", "L4", "0.3", nodes=9, capacity_type=CapacityType.SPOT)]
    only = Placement(capacity_types=(CapacityType.SPOT,))
    made = plan_one(vision(placement=only), *pools)
    assert not made.placed and made.rejected[0].constraint is Constraint.SPOT_SHARE
    assert "spot.onDemandBase 0" in made.rejected[0].message
    willing = vision(placement=only, spot=SpotPolicy(maximum_share_percent=100, on_demand_base=0))
    assert plan_one(willing, *pools).placed


def test_gpus_are_never_mixed_to_fill_a_spot_share():
    placement = Placement(capacity_types=BOTH)
    pools = [pool("l4", "L4", "0.8", nodes=9), pool("s", "T4", "0.1", nodes=9, capacity_type=CapacityType.SPOT)]
    made = plan_one(vision(minimum_replicas=4, placement=placement), *pools)
    assert {berth.gpu for berth in made.berths} == {"L4"}
    assert rejection(made, gpu="T4").constraint is Constraint.SPOT_SHARE


def test_at_equal_price_started_nodes_are_filled_first():
    pools = [pool("a-new", "L4", "0.8", maximum_nodes=5), pool("b-started", "L4", "0.8", nodes=1)]
    assert plan_one(vision(), *pools).berths[0].pool == "b-started"


def test_at_equal_cost_the_better_quality_is_chosen():
    variants = tuple(
        Variant(precision=precision, quality=Quality(score=Decimal(score), evidence="Measured"))
        for precision, score in (("int8", "0.90"), ("fp16", "0.91"))
    )
    assert plan_one(vision(variants=variants), pool("l4", "L4", "0.8", nodes=9)).berths[0].precision == "fp16"


def test_a_context_that_does_not_fit_beside_the_weights_is_rejected():
    pools = [pool("l4", "L4", "0.8", nodes=9)]
    workload = chat(latency=(), maximum_context_tokens=8192)
    assert plan_one(workload, *pools).placed
    made = plan_one(workload.model_copy(update={"maximum_context_tokens": 131072}), *pools)
    assert rejection(made, gpu="L4").constraint is Constraint.CONTEXT


def test_a_workload_that_is_not_understood_keeps_its_own_reason():
    workload = vision(problem=Problem(reason="UnknownPreset", message="spec.model.preset: resnet51 is not known"))
    made = plan_one(workload, pool("l4", "L4", "0.8", nodes=9))
    assert (made.placed, made.reason) == (False, "UnknownPreset")
    assert made.message == "spec.model.preset: resnet51 is not known"


def test_without_pools_every_workload_says_so():
    made = plan_one(vision())
    assert (made.placed, made.reason, made.waiting_for_capacity) == (False, "NoPools", False)


def test_the_prediction_is_that_of_the_planned_rate_per_replica():
    made = plan_one(vision(minimum_replicas=4), pool("l4", "L4", "0.8", nodes=30))
    assert made.prediction.metrics["requestsPerSecond"] == 2.5
    low, high = made.prediction.band["latencySeconds"]["p99"]
    assert low < made.prediction.metrics["latencySeconds"]["p99"] < high <= 0.2


def test_messages_fit_a_condition():
    pools = [pool("l4", "L4", "0.8", nodes=9), pool("t4", "T4", "0.5", nodes=9)]
    for workload in (
        vision(),
        vision(latency=p99(1)),
        chat(),
        vision(rate=1e6),
        vision(budget_usd_per_month=Decimal(1)),
    ):
        assert len(plan_one(workload, *pools).message) <= 200


def test_what_is_dearer_and_over_budget_is_rejected_by_the_budget():
    pools = [pool("l4", "L4", "0.80", nodes=2), pool("h100", "H100-SXM-80GB", "7", nodes=2)]
    made = plan_one(vision(budget_usd_per_month=Decimal(1000)), *pools)
    worse = rejection(made, gpu="H100-SXM-80GB")
    assert (worse.constraint, worse.value, worse.limit) == (Constraint.BUDGET, 5110, 1000)


def test_a_runner_up_in_the_same_pool_does_not_win_by_its_price():
    mig = pool("mig", "A100-SXM-80GB", "7.00", nodes=1, mig_layout={"2g.20gb": 2, "1g.10gb": 3})
    assert plan_one(vision(), mig).alternatives[0].message == (
        "1 × A100-SXM-80GB 2g.20gb, fp16, on demand: $2.00/h; costs $1.00/h more"
    )


def test_capacity_types_that_would_do_are_named():
    made = plan_one(vision(), pool("r", "L4", "0.4", nodes=9, capacity_type=CapacityType.RESERVED))
    assert rejection(made, gpu="L4").constraint is Constraint.CAPACITY_TYPE
    assert made.alternatives[0].change == "placement.capacityTypes: allow Reserved"
    assert made.message == (
        "no pool has a capacity type that placement.capacityTypes allows: "
        "L4 Reserved: Reserved is not in placement.capacityTypes (OnDemand)"
    )


def test_the_width_that_would_do_is_named():
    workload = chat(
        model=LLAMA_70B,
        variants=(Variant(precision="fp8"),),
        placement=Placement(maximum_tensor_parallel=1),
        latency=(),
    )
    made = plan_one(workload, pool("h100", "H100-SXM-80GB", "30", nodes=4, gpus_per_node=8))
    assert made.rejected[0].constraint is Constraint.MEMORY
    change = made.alternatives[0].change
    assert change == f"placement.maximumTensorParallel ≥ {made.alternatives[0].berths[0].tensor_parallel}"


def test_the_quality_that_would_do_is_named():
    variants = (Variant(precision="int8", quality=Quality(score=Decimal("0.88"), evidence="Measured")),)
    workload = vision(variants=variants, quality=QualityObjective(metric="f1", minimum=Decimal("0.899")))
    made = plan_one(workload, pool("l4", "L4", "0.8", nodes=9))
    assert not made.placed
    assert made.alternatives[0].change == "quality f1 ≥ 0.88"


def test_a_what_if_never_changes_what_is_decided():
    pools = [pool("l4", "L4", "0.8", nodes=1)]
    impossible = vision("a/impossible", budget_usd_per_month=Decimal(1), priority=9)
    made = plan(snapshot([impossible, vision("b/fine")], pools))
    assert decision(made, "b/fine").placed
    assert made.totals.gpus_by_pool == {"l4": 1}


def test_a_dense_network_is_never_split():
    made = plan_one(vision(), pool("l4", "L4", "4", nodes=1, gpus_per_node=8))
    assert made.berths[0].tensor_parallel == 1 and made.cost.usd_per_hour == Decimal("0.50")


def test_queue_delay_is_at_most_a_tenth_of_the_objective_and_none_for_single_requests():
    batch = np.array([1, 2, 8, 128])
    delays = queue_delay_microseconds(batch, np.full(4, 0.05))
    assert delays.tolist() == [0, 100, 700, 5000]
    assert queue_delay_microseconds(batch, np.full(4, np.inf)).tolist() == [0, 100, 700, 12700]


def test_equal_questions_to_the_performance_model_are_asked_once(monkeypatch):
    asked = []
    monkeypatch.setattr(performance, "sustainable_rate", lambda *given: asked.append(given) or answer(*given))
    pools = [pool("l4", "L4", "0.8", nodes=99), pool("spot", "L4", "0.3", nodes=9, capacity_type=CapacityType.SPOT)]
    plan(snapshot([vision(f"a/{number}", rate=1 + number) for number in range(20)], pools))
    assert [len(table) for table, _ in asked] == [16]  # 8 batch sizes × 2 instances, one L4, one precision


def test_a_runner_up_may_take_the_very_gpus_of_the_choice():
    variants = tuple(
        Variant(precision=precision, quality=Quality(score=Decimal(score), evidence="Measured"))
        for precision, score in (("fp16", "0.91"), ("int8", "0.90"))
    )
    made = plan_one(vision(variants=variants), pool("l4", "L4", "0.8", nodes=1))
    assert [one.berths[0].precision for one in made.alternatives] == ["int8"]


def test_of_latencies_that_would_do_at_one_price_only_the_tightest_is_named():
    made = plan_one(vision(model=BERT, latency=p99(2)), pool("l4", "L4", "0.8", nodes=9))
    prices = [one.usd_per_hour for one in made.alternatives if one.lost_by is Constraint.LATENCY]
    assert prices and len(prices) == len(set(prices))
