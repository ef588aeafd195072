"""Money: shares of nodes, rounding, totals."""

from decimal import Decimal
from fractions import Fraction

import pytest

from berth_scheduler.cost import money
from berth_scheduler.snapshot import CapacityType
from berth_scheduler.supply import slice_shares, supply_of
from example_snapshots import pool


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (Fraction(105, 100), "1.05"),
        (Fraction(1), "1.00"),
        (Fraction(0), "0.00"),
        (Fraction(1, 3), "0.333333"),
        (Fraction(324, 100000), "0.00324"),
        (Fraction(76650, 100), "766.50"),
        (Fraction("1234567.891"), "1234567.89"),
        (Fraction("2.000004999"), "2.00"),
        (Fraction("1.000005"), "1.00"),  # half of the last place goes to even
        (Fraction("1.000015"), "1.00002"),
    ],
)
def test_money_has_six_digits_and_at_least_two_decimals(usd, shown):
    assert money(usd) == Decimal(shown) and str(money(usd)) == shown


def test_the_shares_of_a_full_gpu_sum_to_one():
    for layout in ({"1g.10gb": 7}, {"3g.40gb": 1, "2g.20gb": 1, "1g.10gb": 2}, {"3g.40gb": 2}, {"7g.80gb": 1}):
        shares = slice_shares(pool("mig", "A100-SXM-80GB", "1", mig_layout=layout))
        assert sum(share * layout[name] for name, share in shares.items()) == 1


def test_a_slice_weighs_the_larger_of_its_shares_of_compute_and_memory():
    # 3g.40gb: 3/7 of compute, 4/8 of memory, so 1/2; 1g.10gb: 1/7 of compute, 1/8 of memory, so 1/7.
    shares = slice_shares(pool("mig", "A100-SXM-80GB", "1", mig_layout={"3g.40gb": 1, "1g.10gb": 3}))
    assert shares == {"3g.40gb": Fraction(7, 13), "1g.10gb": Fraction(2, 13)}


def test_a_profile_that_the_gpu_does_not_have_is_refused_and_not_priced():
    supply = supply_of([pool("mig", "A100-SXM-80GB", "1", mig_layout={"1g.5gb": 7})])
    assert supply.offers[0].unusable == "A100-SXM-80GB has no MIG profile 1g.5gb: correct migProfiles"
    assert supply.offers[0].usd_per_unit_hour is None


def test_pools_of_the_same_gpu_share_a_shape_however_they_are_bought():
    supply = supply_of(
        [pool("b", "L4", "1"), pool("a", "L4", "2", capacity_type=CapacityType.SPOT), pool("c", "T4", "1")]
    )
    assert [offer.pool.name for offer in supply.offers] == ["a", "b", "c"]
    assert supply.shape.tolist() == [0, 0, 1]


def test_a_gpu_of_a_node_costs_its_share():
    supply = supply_of([pool("a", "L4", "1.00", gpus_per_node=3)])
    assert supply.usd_per_hour([(0, 2)]) == Fraction(2, 3)
