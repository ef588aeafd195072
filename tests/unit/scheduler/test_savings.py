"""What a decision saves against named baselines, and where that comes from."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from berth_cost.prices.book import Price
from berth_cost.prices.list_price import ListPrice
from berth_scheduler.decision import Decision
from berth_scheduler.explain import explain
from berth_scheduler.plan import plan
from berth_scheduler.savings.bill import Bill, Static, parts_of
from berth_scheduler.savings.saving import Baseline, Factor, Saving
from berth_scheduler.savings.words import total_phrase
from berth_scheduler.snapshot import CapacityType, Placement, Quality, Snapshot, Variant
from example_snapshots import BERT, LLAMA_70B, chat, decision, gpu, now_running, p99, pool, snapshot, vision

DAY = date(2026, 11, 2)
BOTH = Placement(capacity_types=(CapacityType.ON_DEMAND, CapacityType.SPOT))


def price(usd: str) -> Price:
    return Price(usd_per_node_hour=Decimal(usd), source="a list", date=DAY)


def listed(name: str, usd: str, gpus: int = 1) -> ListPrice:
    """Of a node with that many GPUs, in a place where they come by one to eight."""
    return ListPrice(
        gpu=name,
        cloud="aws",
        region="us-east-1",
        instance_type=f"{gpus}-{name}",
        gpus_per_node=gpus,
        price=price(usd),
        most_gpus=8,
        specification=gpu(name),
    )


LISTED = (listed("T4", "0.50"), listed("A10G", "1.00"), listed("A100-SXM-80GB", "27.20", 8), listed("L4", "0.80"))


def savings(made: Decision) -> dict[Baseline, Saving]:
    found = {one.baseline: one for one in made.savings}
    for one in found.values():  # whatever else a test asks
        if one.saved_usd_per_hour is not None and one.usd_per_hour is not None and made.cost is not None:
            assert one.usd_per_hour - made.cost.usd_per_hour == one.saved_usd_per_hour
            assert sum(one.parts.values(), Decimal(0)) == one.saved_usd_per_hour
    return found


def usual(asked: Snapshot) -> Saving:
    return savings(decision(plan(asked)))[Baseline.CONVENTIONAL]


def running(asked: Snapshot) -> Saving:
    return savings(decision(plan(asked)))[Baseline.RUNNING]


def one(workload: Any, *pools: Any, prices: tuple[ListPrice, ...] = LISTED) -> Snapshot:
    return snapshot([workload], pools, list_prices=prices)


# --- what most people would do -------------------------------------------------------------------------------------


def test_a_classic_network_is_compared_with_a_t4_on_demand_in_fp16_at_its_list_price():
    found = usual(one(vision(), pool("l4", "L4", "0.80", nodes=4)))
    assert found.what == "1 × T4, fp16, on demand"
    assert found.usd_per_hour == Decimal("0.50")
    assert (found.price_date, found.price_source) == (DAY, "aws us-east-1 1-T4: a list")


def test_another_gpu_is_where_the_difference_comes_from():
    found = usual(one(vision(), pool("l4", "L4", "0.80", nodes=4)))
    assert found.parts == {Factor.GPU: Decimal("-0.30")}
    assert found.saved_percent == -60.0


def test_the_same_thing_at_its_list_price_saves_nothing():
    found = usual(one(vision(), pool("t4", "T4", "0.50", nodes=4)))
    assert (found.saved_usd_per_hour, found.saved_percent, found.parts) == (0, 0.0, {})


def test_a_price_of_ones_own_is_told_apart_from_the_gpu():
    found = usual(one(vision(), pool("t4", "T4", "0.40", nodes=4)))
    assert found.parts == {Factor.PRICE: Decimal("0.10")}


def test_spot_saves_by_how_it_is_bought():
    spot = pool("t4-spot", "T4", "0.20", nodes=4, capacity_type=CapacityType.SPOT, on_demand_price=price("0.60"))
    asked = vision(placement=Placement(capacity_types=(CapacityType.SPOT,)))
    asked = asked.model_copy(
        update={"spot": asked.spot.model_copy(update={"maximum_share_percent": 100.0, "on_demand_base": 0})}
    )
    # First a third of the price on demand, then from 0.50 to where it costs 0.60 on demand.
    found = usual(one(asked, spot))
    assert found.parts == {Factor.CAPACITY_TYPE: Decimal("0.333333"), Factor.PRICE: Decimal("-0.033333")}


def test_a_workload_that_a_small_gpu_cannot_serve_is_compared_with_the_next():
    tight = vision("search/bert-qa", 1.0, model=BERT, latency=p99(60))
    found = usual(one(tight, pool("l4", "L4", "0.80", nodes=4), pool("a100", "A100-SXM-80GB", "4.00", nodes=4)))
    assert found.what is not None
    assert "T4" not in found.what


def test_a_language_model_is_compared_with_what_holds_it():
    asked = chat(model=LLAMA_70B, variants=(Variant(precision="fp8"), Variant(precision="bf16")))
    found = usual(one(asked, pool("h100", "H100-SXM-80GB", "55.84", nodes=1, gpus_per_node=8)))
    # 70 billion parameters of two bytes are more than one GPU of 80 GB, and A100 knows no fp8.
    assert found.what is not None
    assert "×A100-SXM-80GB, bf16, on demand" in found.what


def test_the_baseline_does_not_depend_on_what_there_is_to_choose_from():
    few = usual(one(vision("v/a", 2000), pool("l4", "L4", "0.80", nodes=9)))
    many = usual(one(vision("v/a", 2000), pool("l4", "L4", "0.80", nodes=9), pool("t4", "T4", "0.10", nodes=9)))
    assert (few.what, few.usd_per_hour) == (many.what, many.usd_per_hour)


def test_spares_for_an_availability_are_on_both_sides():
    asked = vision(availability_percent=99.99)
    made = decision(plan(one(asked, pool("t4", "T4", "0.50", nodes=6))))
    found = savings(made)[Baseline.CONVENTIONAL]
    assert found.what == f"{sum(berth.replicas for berth in made.berths)} × T4, fp16, on demand"
    assert found.parts == {}


def test_a_minimum_that_somebody_states_is_on_both_sides():
    found = usual(one(vision(minimum_replicas=3), pool("t4", "T4", "0.50", nodes=6)))
    assert (found.what, found.parts) == ("3 × T4, fp16, on demand", {})


def test_precision_is_told_apart_on_the_same_gpu():
    scored = tuple(
        Variant(precision=each, quality=Quality(score=Decimal(1), evidence="Measured")) for each in ("fp16", "int8")
    )
    asked = vision("search/bert", 400.0, model=BERT, variants=scored, latency=p99(500), maximum_replicas=60)
    made = decision(plan(one(asked, pool("t4", "T4", "0.50", nodes=60))))
    assert made.berths[0].precision == "int8"
    found = savings(made)[Baseline.CONVENTIONAL]
    assert list(found.parts) == [Factor.PRECISION]
    assert found.parts[Factor.PRECISION] > 0


def test_where_no_price_is_known_it_says_so():
    found = usual(one(vision(), pool("l4", "L4", "0.80", nodes=4), prices=()))
    assert found.usd_per_hour is None
    assert found.unknown is not None
    assert found.unknown.startswith("no price on demand is known of the GPUs that most people would take (T4,")


def test_where_no_such_gpu_serves_it_says_so():
    asked = vision("v/fast", 20, model=BERT, latency=p99(30))
    made = plan(one(asked, pool("h100", "H100-SXM-80GB", "7.00", nodes=9), prices=(listed("T4", "0.50"),)))
    assert decision(made).placed
    found = savings(decision(made))[Baseline.CONVENTIONAL]
    assert found.unknown is not None
    assert "serves it as fp16 inside its objectives with at most 20 replicas" in found.unknown
    assert made.totals.savings == ()


# --- what runs now -------------------------------------------------------------------------------------------------


def test_nothing_runs_yet():
    assert running(one(vision(), pool("l4", "L4", "0.80", nodes=4))).unknown == "nothing runs yet"


def kept(planned_for: str = "a", replicas: int = 1, usd_now: str = "0.80") -> Snapshot:
    pools = (pool("l4", "L4", "0.80", nodes=6),)
    placed = decision(plan(snapshot([vision()], pools)))
    berths = tuple(berth.model_copy(update={"replicas": replicas}) for berth in placed.berths)
    asked = now_running(vision(), berths, pools, planned_for=planned_for)
    return snapshot([asked], [pool("l4", "L4", usd_now, nodes=6)], list_prices=LISTED)


def test_what_runs_and_stays_saves_nothing_at_todays_price():
    found = running(kept(usd_now="0.90"))
    assert (found.what, found.usd_per_hour, found.parts) == ("1 × L4, fp16, on demand", Decimal("0.90"), {})


def test_replicas_that_nobody_needs_are_where_the_saving_comes_from():
    found = running(kept(replicas=4))
    assert found.usd_per_hour == Decimal("3.20")
    assert found.parts == {Factor.REPLICAS: Decimal("2.40")}


def test_a_move_to_another_gpu_is_compared_with_what_serves_until_then():
    a100 = pool("a100", "A100-SXM-80GB", "3.40", nodes=2)
    placed = decision(plan(snapshot([vision()], [a100])))
    asked = now_running(vision(), placed.berths, [a100], planned_for="an older spec")
    made = decision(plan(snapshot([asked], [a100, pool("l4", "L4", "0.80", nodes=4)], list_prices=LISTED)))
    found = savings(made)[Baseline.RUNNING]
    assert made.berths[0].gpu == "L4"
    assert (found.what, found.parts) == ("1 × A100-SXM-80GB, fp16, on demand", {Factor.GPU: Decimal("2.60")})


def test_a_pool_that_is_gone_has_no_price_of_today():
    gone = pool("gone", "A100-SXM-80GB", "3.40", nodes=2)
    placed = decision(plan(snapshot([vision()], [gone])))
    asked = now_running(vision(), placed.berths, [gone])
    found = running(one(asked, pool("l4", "L4", "0.80", nodes=4)))
    assert found.unknown == "no price is known of pool gone, where it runs"


# --- where it comes from -------------------------------------------------------------------------------------------


def test_the_example_of_the_documentation():
    """Eight T4 at $0.50 against five L4 on spot at $0.30, listed at 0.80 and 0.90 there, four of which would do."""
    parts = parts_of(Bill(8, 4.0, 4.0, 4.0), Bill(5, 1.5, 4.5, 4.0), Static(4.0, 3.2, 3.2), Decimal("2.50"))
    assert parts == {
        Factor.GPU: Decimal("0.80"),
        Factor.REPLICAS: Decimal("-0.80"),
        Factor.CAPACITY_TYPE: Decimal("2.666667"),
        Factor.PRICE: Decimal("-0.166667"),
    }


def test_a_slice_that_is_too_small_for_one_precision_and_right_for_another_was_chosen_for_neither():
    before, after = Bill(4, 4.0, 4.0, 4.0), Bill(3, 1.5, 1.5, 1.5)
    told = parts_of(before, after, Static(4.0, 13.5, 1.5), Decimal("2.50"))
    unknown = parts_of(before, after, Static(4.0, None, 1.5), Decimal("2.50"))
    assert told == unknown == {Factor.GPU_AND_PRECISION: Decimal("2.50")}


# --- together ------------------------------------------------------------------------------------------------------


def fleet(*order: int) -> Snapshot:
    pools = (
        pool("l4", "L4", "0.80", nodes=8),
        pool("t4", "T4", "0.40", nodes=1),
        pool("a100", "A100-SXM-80GB", "4", nodes=2),
    )
    workloads = (vision("a/one"), vision("b/two", 3000), chat(), vision("c/no", 20, model=BERT, latency=p99(1)))
    return snapshot([workloads[at] for at in order], pools, list_prices=LISTED)


def test_totals_are_the_sums_of_what_is_compared():
    made = plan(fleet(0, 1, 2, 3))
    (total,) = made.totals.savings
    compared = [savings(each)[Baseline.CONVENTIONAL] for each in made.decisions if each.placed]
    assert (total.baseline, total.workloads, total.left_out) == (Baseline.CONVENTIONAL, 3, 0)
    assert total.usd_per_hour == sum(each.usd_per_hour for each in compared)
    assert total.planned_usd_per_hour == made.totals.usd_per_hour
    assert sum(total.parts.values()) == total.saved_usd_per_hour == total.usd_per_hour - total.planned_usd_per_hour


def test_a_decision_that_is_not_placed_saves_nothing():
    made = plan(fleet(3))
    assert [each.savings for each in made.decisions] == [()]


@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 3, 0, 2)])
def test_the_order_of_workloads_changes_no_byte(order: tuple[int, ...]):
    assert plan(fleet(*order)).model_dump_json() == plan(fleet(0, 1, 2, 3)).model_dump_json()


def test_a_replay_gives_the_same_savings():
    asked = fleet(0, 1, 2, 3)
    again = Snapshot.model_validate_json(asked.model_dump_json())
    assert plan(again).model_dump_json() == plan(asked).model_dump_json()


def test_what_it_is_compared_with_changes_no_decision_and_no_hash():
    asked = fleet(0, 1, 2, 3)
    bare = plan(asked.model_copy(update={"list_prices": ()}))
    compared = plan(asked)
    assert [each.decision_hash for each in bare.decisions] == [each.decision_hash for each in compared.decisions]
    assert [each.berths for each in bare.decisions] == [each.berths for each in compared.decisions]


def test_an_explanation_names_the_baselines():
    asked = one(vision(), pool("l4", "L4", "0.80", nodes=4))
    told = explain(decision(plan(asked)), asked.workloads[0]).compared_with
    assert [each.baseline for each in told] == [Baseline.RUNNING, Baseline.CONVENTIONAL]
    assert told[0].text == "not known: nothing runs yet"
    assert told[1].text == "1 × T4, fp16, on demand: $0.50/h; costs $0.30/h more (60 %): GPU −$0.30"


def test_a_total_says_how_many_it_is_about():
    pools = (pool("l4", "L4", "0.80", nodes=8), pool("h100", "H100-SXM-80GB", "7.00", nodes=9))
    fast = vision("v/fast", 20, model=BERT, latency=p99(30))
    (total,) = plan(snapshot([vision(), fast], pools, list_prices=(listed("T4", "0.50"),))).totals.savings
    assert (total.workloads, total.left_out) == (1, 1)
    assert total_phrase(total) == (
        "Against on demand, fp16, static peak on the GPU that most people take ($0.50/h, 1 of 2 workloads) "
        "the plan costs $0.30/h more (60 %): GPU −$0.30."
    )
