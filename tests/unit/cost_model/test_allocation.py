"""Who pays for a node, by the OpenCost rules: the example of its specification, and what it leaves to us."""

from fractions import Fraction

import pytest

from berth_cost.spending.allocation import Asset, Resource, Use, allocate, base_prices, share_out, unit_prices

ONE_OF_EACH: dict[Resource, Fraction] = {"gpu": Fraction(1), "cpu": Fraction(1), "memory": Fraction(1)}


def amounts(gpu: str = "0", cpu: str = "0", memory: str = "0") -> dict[Resource, Fraction]:
    return {"gpu": Fraction(gpu), "cpu": Fraction(cpu), "memory": Fraction(memory)}


def test_a_node_of_35_dollars_splits_as_in_the_specification() -> None:
    """OpenCost specification v0.1, Appendix A: bases 30, 30 and 10 make 15, 15 and 5."""
    price = unit_prices(Fraction(35), ONE_OF_EACH, amounts("30", "30", "10"))
    assert price == {"gpu": 15, "cpu": 15, "memory": 5}


def test_a_gpu_weighs_what_such_a_gpu_costs() -> None:
    """OpenCost has $0.95 for every GPU: of an H100 node the processors would seem to cost a third."""
    node = amounts("8", "192", "2048")
    h100 = unit_prices(Fraction("55.04"), node, base_prices(Fraction("3.90")))
    flat = unit_prices(Fraction("55.04"), node, base_prices(Fraction("0.95")))
    assert h100["gpu"] * 8 / Fraction("55.04") == pytest.approx(0.675, abs=0.01)
    assert flat["gpu"] * 8 / Fraction("55.04") == pytest.approx(0.335, abs=0.01)


def test_a_workload_holds_the_larger_of_what_it_requests_and_uses() -> None:
    node = Asset("n", Fraction(70), amounts("2", "2", "2"))
    bases = amounts("30", "30", "10")
    split = allocate(node, [Use("a", amounts("1", "1"), amounts("0", "2", "1"))], bases)
    # 15 for a GPU, 2 × 15 for two cores used, 5 for a GiB; the rest is idle.
    assert split.by_workload == {"a": 50} and split.idle == 20


def test_a_slice_counts_as_its_share() -> None:
    node = Asset("n", Fraction(7), amounts("1"))
    slices = [Use("a", amounts("1/7"), {}), Use("b", amounts("2/7"), {})]
    split = allocate(node, slices, base_prices(Fraction(2)))
    assert split.by_workload == {"a": 1, "b": 2} and split.idle == 4


def test_parts_add_up_to_the_node_and_bursts_share_what_there_is() -> None:
    node = Asset("n", Fraction(10), amounts("0", "4"))
    split = allocate(node, [Use("a", amounts(cpu="2"), amounts(cpu="6")), Use("b", amounts(cpu="2"), {})], ONE_OF_EACH)
    assert split.by_workload == {"a": Fraction(30, 4), "b": Fraction(10, 4)} and split.idle == 0


def test_a_node_of_nothing_has_no_unit_price() -> None:
    with pytest.raises(ValueError, match="nothing to split its price over"):
        unit_prices(Fraction(1), {}, ONE_OF_EACH)


def test_shared_cost_is_split_by_cost_evenly_or_by_weight() -> None:
    costs = {"a": Fraction(30), "b": Fraction(10)}
    assert share_out(Fraction(8), costs) == {"a": 36, "b": 12}
    assert share_out(Fraction(8), costs, {"a": Fraction(1), "b": Fraction(1)}) == {"a": 34, "b": 14}
    assert share_out(Fraction(8), costs, {"b": Fraction(2)}) == {"a": 30, "b": 18}
    assert share_out(Fraction(8), {"a": Fraction(0), "b": Fraction(0)}) == {"a": 4, "b": 4}
    assert share_out(Fraction(8), {}) == {}
