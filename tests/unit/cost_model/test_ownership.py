"""Bills, cash flows and comparisons: numbers that can be checked by hand, and a reference library's."""

import math
import re
from decimal import Decimal
from typing import Any

import pytest
import pyxirr

from berth_cost.ownership.cash_flow import NoRate, capital_recovery, internal_rate
from berth_cost.ownership.comparison import Comparison, OptionResult, compare
from berth_cost.ownership.scenario import Scenario
from berth_cost.prices.book import PriceBook
from berth_cost.spending.carbon import CarbonTable
from reference_scenarios import reference, same, scenario


def compared(stated: dict[str, Any], **asked: Any) -> Comparison:
    read = Scenario.model_validate(stated, by_name=False)
    return compare(read, PriceBook.load_builtin(), CarbonTable.load_builtin(), **asked)


def two(owned: dict[str, Any], rented: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "horizonMonths": 48,
        "hoursPerMonth": "730",
        "discountRatePercent": "10",
        "demand": {"gpus": 8, "utilizationPercent": "50"},
        "baseline": "rented",
        "options": [{"name": "owned", "owned": owned}, {"name": "rented", "rented": rented}],
        **more,
    }


def owned_of(stated: dict[str, Any]) -> OptionResult:
    return compared(stated).options[0]


# --- against a reference library ---------------------------------------------------------------------------------

FIGURES = ("irr_percent", "roi_percent", "payback_months", "break_even_hours", "break_even_utilization_percent")


@pytest.mark.parametrize("seed", range(60))
def test_random_scenarios_agree_with_the_reference_library(seed: int) -> None:
    stated = scenario(seed)
    expected, found = reference(stated), owned_of(stated)
    assert abs(float(found.total_usd) - expected.total_usd) < 0.0051
    assert found.npv_usd is not None and abs(float(found.npv_usd) - expected.npv_usd) < 0.0051
    for name in FIGURES:
        assert same(getattr(found, name), getattr(expected, name)), name


@pytest.mark.parametrize("flows", [[-100.0, 60, 60], [-100.0, 30, 30, 30, 30, 30], [-1000.0, 5, 5], [50.0, -20, -40]])
def test_a_rate_of_return_is_that_of_the_library(flows: list[float]) -> None:
    rate = internal_rate(flows, [float(year) for year in range(len(flows))])
    assert rate == pytest.approx(pyxirr.irr(flows), rel=1e-9)


@pytest.mark.parametrize(
    ("flows", "reason"),
    [
        ([100.0, 5, 5], "only saves"),
        ([-100.0, -5, -5], "never returns"),
        ([0.0, 0, 0], "costs what the baseline costs"),
        ([-100.0, 230, -132], "several rates.*10 %, 20 %"),
        ([-100.0, 100, -100], "no rate makes"),
    ],
)
def test_a_rate_that_does_not_exist_has_a_reason(flows: list[float], reason: str) -> None:
    rate = internal_rate(flows, [0.0, 1.0, 2.0])
    assert isinstance(rate, NoRate)
    assert re.search(reason, rate.reason)


def test_two_changes_of_sign_may_still_have_one_rate() -> None:
    # −100 now, 300 after one year, −1 after two: (1 + r) = 1.5 + sqrt(2.25 − 0.01), the other root is below −99 %.
    rates = internal_rate([-100.0, 300.0, -1.0], [0.0, 1.0, 2.0])
    assert isinstance(rates, NoRate) and "several" in rates.reason


def test_capital_recovery_without_interest_is_equal_shares() -> None:
    assert capital_recovery(Decimal(0), Decimal(4)) == Decimal("0.25")
    assert float(capital_recovery(Decimal("0.08"), Decimal(4))) == pytest.approx(pyxirr.pmt(0.08, 4, -1))


# --- bills -------------------------------------------------------------------------------------------------------


def test_power_is_idle_and_busy_draw_by_utilisation_never_a_nameplate() -> None:
    power = {"idleKW": "2", "busyKW": "6", "pue": "1.5", "usdPerKWh": "0.10", "gCO2ePerKWh": "400"}
    result = owned_of(two({"capexUSD": "300000", "lifeMonths": 48, "power": power}, {"usdPerGPUHour": "2"}))
    # (2 + 4 × 0.5) kW × 1.5 × 730 h × 48 months = 210,240 kWh.
    assert result.k_wh == 210_240
    assert result.breakdown_usd["power"] == Decimal("21024.00")
    assert result.t_co2e == pytest.approx(84.096)


def test_a_price_of_carbon_is_an_item_of_those_whose_emissions_are_known() -> None:
    power = {"idleKW": "2", "busyKW": "6", "pue": "1.5", "usdPerKWh": "0.10", "gCO2ePerKWh": "400"}
    stated = two(
        {"capexUSD": "300000", "lifeMonths": 48, "power": power}, {"usdPerGPUHour": "2"}, carbonUSDPerTonne=100
    )
    found = compared(stated)
    assert found.options[0].breakdown_usd["carbon"] == Decimal("8409.60")  # 84.096 t
    assert [flag.input for flag in found.flags if "no carbon" in flag.message] == ["rented"]


def test_a_colocation_pays_for_committed_power_and_pue_only_where_it_charges_it() -> None:
    power = {"idleKW": "4", "busyKW": "4", "pue": "1.5", "usdPerKWh": "0.10"}
    owned = {"capexUSD": "300000", "lifeMonths": 48, "power": power}
    colocation = {"usdPerKWMonth": "200", "committedKW": "10"}
    plain = owned_of(two({**owned, "colocation": colocation}, {"usdPerGPUHour": "2"}))
    charged = owned_of(two({**owned, "colocation": {**colocation, "chargesPUE": True}}, {"usdPerGPUHour": "2"}))
    assert plain.breakdown_usd["colocation"] == Decimal("96000.00")
    assert plain.breakdown_usd["power"] == Decimal("14016.00")
    assert charged.breakdown_usd["power"] == Decimal("21024.00")


def test_nodes_are_bought_whole_and_the_network_is_a_share_of_both() -> None:
    owned = {"perNode": {"usd": "90000", "gpus": 8}, "network": {"shareOfCapexPercent": "10"}, "lifeMonths": 48}
    result = owned_of(two(owned, {"usdPerGPUHour": "2"}, demand={"gpus": 9, "utilizationPercent": "50"}))
    assert result.breakdown_usd == {"nodes": Decimal("180000.00"), "network": Decimal("20000.00")}


@pytest.mark.parametrize(("gpus", "percent"), [(8, 0), (16, 2.05), (512, 4.63), (1024, 9.88), (32768, 14.58)])
def test_the_network_share_follows_the_size_of_the_cluster(gpus: int, percent: float) -> None:
    owned = {"perNode": {"usd": "310000", "gpus": 8}, "network": {"byClusterSize": True}, "lifeMonths": 48}
    found = owned_of(two(owned, {"usdPerGPUHour": "2"}, demand={"gpus": gpus, "utilizationPercent": "50"}))
    network = found.breakdown_usd.get("network", Decimal(0))
    assert float(network / found.total_usd * 100) == pytest.approx(percent)


def test_hardware_that_outlives_the_horizon_is_worth_its_straight_line_value() -> None:
    # 100,000 falling to 20,000 in 60 months is 36,000 after 48.
    result = owned_of(two({"capexUSD": "100000", "lifeMonths": 60, "residualPercent": 20}, {"usdPerGPUHour": "2"}))
    assert result.breakdown_usd["residual"] == Decimal("-36000.00")
    assert result.total_usd == Decimal("64000.00")


def test_hardware_that_lives_shorter_is_bought_again() -> None:
    # Two purchases; the first sold for 10,000 at 36 months, the second worth 70,000 after 12 of its 36 months.
    result = owned_of(two({"capexUSD": "100000", "lifeMonths": 36, "residualPercent": 10}, {"usdPerGPUHour": "2"}))
    assert result.breakdown_usd == {"capex": Decimal("200000.00"), "residual": Decimal("-80000.00")}


def test_a_reservation_is_paid_to_the_end_of_its_term() -> None:
    reserved = {"usdPerGPUHour": "1", "termMonths": 36, "upFrontUSD": "1000"}
    stated = two({"capexUSD": "300000", "lifeMonths": 48}, {"usdPerGPUHour": "2"})
    stated["options"].append({"name": "reserved", "reserved": reserved})
    found = compared(stated)
    # 8 GPUs × 730 h × $1: 48 months within the horizon, 24 more to the end of the second term.
    assert found.options[2].breakdown_usd == {
        "upFront": Decimal("2000.00"),
        "gpu": Decimal("280320.00"),
        "committedBeyondHorizon": Decimal("140160.00"),
    }
    assert any(flag.input == "reserved.termMonths" for flag in found.flags)


def test_support_is_on_charges_egress_and_monthly_items_and_not_on_waste() -> None:
    rented = {
        "usdPerGPUHour": "1",
        "supportPercent": "10",
        "monthlyUSD": {"storage": "60"},
        "egress": {"gigabytesPerMonth": "1000", "usdPerGigabyte": "0.1"},
        "goodputLossUSDPerMonth": "500",
    }
    result = compared(two({"capexUSD": "300000", "lifeMonths": 48}, rented)).options[1]
    assert result.breakdown_usd["support"] == (Decimal(5840) + 60 + 100) / 10 * 48


def test_looked_up_prices_say_where_they_are_from() -> None:
    price = {"cloud": "aws", "region": "us-east-1", "instanceType": "p5.48xlarge"}
    result = compared(two({"capexUSD": "300000", "lifeMonths": 48}, {"price": price})).options[1]
    assert result.per_gpu_hour_provisioned_usd == Decimal("6.88")
    assert "p5.48xlarge (8 GPUs) in aws us-east-1: $55.04/h" in result.sources[0]
    assert "2026-07-20" in result.sources[0]


def test_a_breakdown_sums_to_the_total_to_the_cent() -> None:
    for seed in range(20):
        for option in compared(scenario(seed)).options:
            assert sum(option.breakdown_usd.values()) == option.total_usd


# --- undefined figures -------------------------------------------------------------------------------------------


def test_what_is_not_defined_is_null_with_its_reason() -> None:
    dear = {"capexUSD": "300000", "lifeMonths": 48, "opexUSDPerMonth": "50000"}
    result = owned_of(two(dear, {"usdPerGPUHour": "2"}))
    assert (result.payback_months, result.break_even_hours, result.irr_percent) == (None, None, None)
    assert "a month more to run" in result.reasons["paybackMonths"]
    assert "never returns" in result.reasons["irrPercent"]
    assert result.break_even_utilization_percent is not None and result.break_even_utilization_percent > 100


def test_a_payback_after_the_horizon_is_reported_and_said() -> None:
    result = owned_of(two({"capexUSD": "700000", "lifeMonths": 48}, {"usdPerGPUHour": "2"}))
    assert result.payback_months == pytest.approx(700_000 / (8 * 730 * 2), rel=1e-5)
    assert "horizon" in result.reasons["paybackMonths"]


def test_no_discount_rate_is_no_present_value_and_no_hour_used_no_price() -> None:
    stated = two({"capexUSD": "300000", "lifeMonths": 48}, {"usdPerGPUHour": "2"})
    del stated["discountRatePercent"]
    stated["demand"]["utilizationPercent"] = 0
    result = owned_of(stated)
    assert (result.npv_usd, result.levelized_usd_per_gpu_hour, result.per_gpu_hour_used_usd) == (None, None, None)
    assert "discountRatePercent" in result.reasons["npvUSD"]
    assert "utilizationPercent 0" in result.reasons["perGPUHourUsedUSD"]


def test_every_null_of_a_result_has_a_reason() -> None:
    told = {"perMillionRequestsUSD", "perMillionTokensUSD"}  # of a demand in GPUs, nobody asked
    for seed in range(20):
        for option in compared(scenario(seed)).options:
            shown = option.model_dump(by_alias=True)
            missing = {name for name, value in shown.items() if value is None} - told
            assert missing <= set(option.reasons)


# --- what would change the answer --------------------------------------------------------------------------------


def test_the_answer_flips_where_both_cost_the_same() -> None:
    stated = two({"capexUSD": "500000", "lifeMonths": 48}, {"usdPerGPUHour": "2"})
    stated["ranges"] = {"rented.usdPerGPUHour": {"low": "1", "high": "3"}}
    row = next(row for row in compared(stated).sensitivity if row.input == "rented.usdPerGPUHour")
    assert row.flips_at == pytest.approx(500_000 / (8 * 730 * 48), rel=1e-4)
    assert (row.cheapest_at_low, row.cheapest_at_high) == ("rented", "owned")
    assert row.source == "stated"


def test_a_looked_up_price_can_have_a_range() -> None:
    price = {"cloud": "aws", "region": "us-east-1", "instanceType": "p5.48xlarge"}
    stated = two({"capexUSD": "500000", "lifeMonths": 48}, {"price": price})
    stated["ranges"] = {"rented.perNode.usdPerHour": {"low": "50", "high": "60"}}
    row = next(row for row in compared(stated).sensitivity if row.input == "rented.perNode.usdPerHour")
    assert (row.low, row.base, row.high) == (50, Decimal("55.04"), 60)


def test_inputs_without_a_source_are_varied_by_a_tenth_and_marked() -> None:
    stated = two({"capexUSD": "500000", "lifeMonths": 48, "opexUSDPerMonth": "100"}, {"usdPerGPUHour": "2"})
    rows = {row.input: row for row in compared(stated).sensitivity}
    assert rows["owned.opexUSDPerMonth"].assumed
    assert (rows["owned.opexUSDPerMonth"].low, rows["owned.opexUSDPerMonth"].high) == (90, 110)
    assert not rows["owned.capexUSD"].assumed


def test_draws_depend_on_their_seed_alone() -> None:
    stated = two({"capexUSD": "300000", "lifeMonths": 48}, {"usdPerGPUHour": "2", "billed": "used"})
    first, again, other = (compared(stated, draws=500, seed=seed).distribution for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_without_ranges_every_draw_is_the_answer_itself() -> None:
    stated = two({"capexUSD": "300000", "lifeMonths": 48}, {"usdPerGPUHour": "2"})
    stated["ranges"] = {"rented.usdPerGPUHour": {"low": "2", "high": "2.0000001"}}
    found = compared(stated, draws=100, seed=1)
    assert found.distribution is not None
    spread = found.distribution.options[1].total_usd
    assert spread.p5 == pytest.approx(spread.p95, abs=Decimal("0.1"))
    assert spread.p50 == pytest.approx(found.options[1].total_usd, abs=Decimal("0.1"))


def test_small_sizes_are_rented_and_large_ones_bought() -> None:
    owned = {
        "perNode": {"usd": "310000", "gpus": 8},
        "lifeMonths": 48,
        "staff": {"nodesPerFullTimeEquivalent": 50, "minimumFullTimeEquivalents": "0.5", "usdPerYear": "250000"},
    }
    found = compared(two(owned, {"usdPerGPUHour": "2.99"}), scaling=True).scaling
    assert found is not None
    assert found.rows[0].cheapest == "rented" and found.rows[-1].cheapest == "owned"
    assert found.stages[0].from_gpus == 1 and found.stages[-1].to_gpus == 10_000
    for before, after in zip(found.stages, found.stages[1:], strict=False):
        assert after.from_gpus == before.to_gpus + 1 and after.cheapest != before.cheapest


def test_the_scaling_curve_goes_through_the_stated_size() -> None:
    stated = two({"capexUSD": "300000", "lifeMonths": 48, "opexUSDPerMonth": "1000"}, {"usdPerGPUHour": "2.99"})
    found = compared(stated, scaling=True)
    assert found.scaling is not None
    row = next(row for row in found.scaling.rows if row.gpus == 8)
    assert row.per_gpu_hour_used_usd["owned"] == found.options[0].per_gpu_hour_used_usd


def test_tokens_are_priced_where_a_rate_is_stated() -> None:
    stated = two({"capexUSD": "300000", "lifeMonths": 48}, {"usdPerGPUHour": "2"})
    stated["demand"] |= {"requestsPerSecond": "10", "tokensPerRequest": "500"}
    rented = compared(stated).options[1]
    # $16/h over 36,000 requests an hour.
    assert rented.per_million_requests_usd == pytest.approx(Decimal("444.444"), rel=Decimal("1e-5"))
    assert rented.per_million_tokens_usd == pytest.approx(Decimal("0.888889"), rel=Decimal("1e-5"))


def test_floats_and_decimals_compute_the_same() -> None:
    for seed in range(30):
        found = compared(scenario(seed))
        for row in found.sensitivity[:1]:
            # The base of a range lies inside it, so the stated saving lies between the ends of a monotone input.
            saving, ends = found.options[0].saving_usd, row.options[0]
            assert saving is not None
            low, high = sorted((ends.saving_usd_at_low, ends.saving_usd_at_high))
            assert low - 1 <= saving <= high + 1
            assert math.isfinite(float(row.swing_usd))
