"""A decision in the order in which people ask."""

from decimal import Decimal

from berth_cost.cases.case import MemorySplit, Parts
from berth_scheduler.explain import explain
from berth_scheduler.plan import plan
from berth_scheduler.snapshot import Problem, Quality, QualityObjective, Variant
from berth_scheduler.wording import band, dollars, duration, memory, number, shortened
from example_snapshots import BERT, decision, now_running, p99, pool, snapshot, vision

POOLS = [pool("l4", "L4", "0.80", nodes=9), pool("t4", "T4", "0.50", nodes=9)]


def explained(workload, pools=POOLS):
    return explain(decision(plan(snapshot([workload], pools))), workload)


def line(told, name):
    return next(one for one in told.objectives if one.name == name)


def test_the_headline_says_what_runs_and_what_it_costs():
    assert explained(vision()).headline == (
        "vision/resnet is placed on 1 × T4, fp16, on demand: $0.50/h, $365.00/month, $13.89 per million requests."
    )


def test_every_objective_stands_beside_what_is_predicted():
    variants = (Variant(precision="fp16", quality=Quality(score=Decimal("0.91"), evidence="Measured")),)
    workload = vision(
        variants=variants,
        quality=QualityObjective(metric="f1", minimum=Decimal("0.899")),
        budget_usd_per_month=Decimal(5000),
    )
    told = explained(workload)
    assert [one.name for one in told.objectives] == ["latency p99", "quality f1", "throughput", "budget"]
    latency = line(told, "latency p99")
    assert latency.asked == "≤ 200 ms" and latency.holds and latency.evidence == "estimated"
    assert latency.predicted.endswith(" ms") and "–" in latency.band
    quality = line(told, "quality f1")
    assert (quality.asked, quality.predicted, quality.evidence, quality.holds) == ("≥ 0.899", "0.91", "measured", True)
    assert line(told, "throughput").asked == "10/s" and "% utilisation" in line(told, "throughput").evidence
    budget = line(told, "budget")
    assert (budget.asked, budget.predicted, budget.holds) == ("≤ $5,000/month", "$365.00/month", True)
    assert budget.evidence == "prices of 2026-11-02 (stated)"


def test_where_the_time_goes_leaves_out_what_takes_none():
    told = explained(vision())
    assert all(part.seconds > 0 for part in told.where_the_time_goes)
    assert "communication" not in {part.name for part in told.where_the_time_goes}


def test_what_binds_is_said_with_its_shares_of_the_mean_latency():
    made = decision(plan(snapshot([vision()], POOLS)))
    parts = Parts(
        compute_seconds=0.06,
        memory_seconds=0.90,
        overhead_seconds=0.03,
        communication_seconds=0,
        host_seconds=0.01,
        queue_seconds=0,
    )
    split = MemorySplit(weight_seconds=0.71, cache_seconds=0.18)

    def told(split=split, **changed):
        update = {"parts": parts.model_copy(update=changed), "memory_split": split}
        own = made.prediction.model_copy(update=update)
        return explain(made.model_copy(update={"prediction": own}), vision()).bound_by

    assert told() == "memory-bound: 71 % weights, 18 % KV cache, 6 % computation, 3 % overhead"
    assert told(split=None) == "memory-bound: 90 % memory, 6 % computation, 3 % overhead"
    assert told(compute_seconds=9.06).startswith("compute-bound: 91 % computation")
    assert told(queue_seconds=9).startswith("bound by queueing: 90 % queueing, 7 % weights")


def test_what_cannot_be_placed_says_why_and_what_would_do():
    told = explained(vision("vision/huge", 20, model=BERT, latency=p99(2)))
    assert told.headline == "vision/huge cannot be placed: latency p99 ≤ 2 ms is out of reach."
    assert " fp16: latency p99 " in told.because and "for a lone request > 2 ms" in told.because
    assert told.nearest_that_would_do[0].change.startswith("latency p99 ≤ ")
    assert told.closing == "Nothing was deployed."
    assert line(told, "latency p99").predicted is None


def test_a_problem_of_a_field_is_told_with_its_field():
    problem = Problem(reason="UnknownPreset", message="spec.model.preset: there is no model preset x; nearest: y, z")
    told = explained(vision(problem=problem))
    assert told.headline == "vision/resnet cannot be placed: spec.model.preset: there is no model preset x."
    assert told.because == "nearest: y, z"


def test_what_waits_for_room_is_not_called_impossible():
    told = explained(vision(minimum_replicas=3), [POOLS[0].model_copy(update={"maximum_nodes": 9})])
    assert told.placed
    busy = POOLS[0].model_copy(
        update={"nodes": tuple(one.model_copy(update={"free_gpus": 0}) for one in POOLS[0].nodes)}
    )
    told = explained(vision(), [busy])
    assert told.headline == "vision/resnet cannot be placed yet: waiting for room."


def test_a_cheaper_offer_that_is_not_taken_is_explained():
    running = now_running(vision(), decision(plan(snapshot([vision()], POOLS[:1]))).berths, POOLS[:1])
    told = explained(running)
    assert told.headline.startswith("vision/resnet runs on 1 × L4")
    assert told.closing == "What runs stays: a cheaper offer alone moves nothing. A change of the spec would take it."


def test_numbers_read_as_people_write_them():
    assert [number(one) for one in (0, 9.1, 262, 12400, 0.00123)] == ["0", "9.1", "262", "12,400", "0.00123"]
    assert [duration(one) for one in (0.031, 1.25, 0.00085)] == ["31 ms", "1.25 s", "850 µs"]
    assert band(0.0091, 0.0082, 0.0104) == "8.2–10.4"
    assert [memory(one) for one in (22.8e9, 141e9, 5e6)] == ["22.8 GB", "141 GB", "5 MB"]
    assert [dollars(one) for one in (1.05, 1533, 0.0012, 0)] == ["$1.05", "$1,533", "$0.0012", "$0.00"]


def test_a_message_is_cut_at_a_word():
    text = "word " * 60
    assert len(shortened(text)) <= 200 and shortened(text).endswith("word…")
