"""The published examples come out: figures retyped from the publications that examples/cost/ names."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from berth_cost.ownership.bill import node_usd_per_hour
from berth_cost.ownership.comparison import Comparison, OptionResult, compare
from berth_cost.ownership.pricing import ScenarioError
from berth_cost.ownership.scenario import NodeRate, Scenario
from berth_cost.prices.book import PriceBook
from berth_cost.spending.carbon import CarbonTable

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "cost"
Change = Callable[[dict[str, Any]], object]


def compared(stated: dict[str, Any]) -> Comparison:
    scenario = Scenario.model_validate(stated, by_name=False)
    return compare(scenario, PriceBook.load_builtin(), CarbonTable.load_builtin())


def example(name: str, change: Change = lambda stated: None) -> dict[str, OptionResult]:
    stated = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    change(stated)
    return {option.name: option for option in compared(stated).options}


@pytest.mark.parametrize(
    ("baseline", "hours"),
    [("aws-on-demand", 8_556), ("aws-1-year", 10_890), ("aws-3-years", 15_710), ("aws-today", 15_392)],
)
def test_lenovo_breaks_even_after_the_published_hours(baseline: str, hours: float) -> None:
    owned = example("lenovo-against-aws", lambda stated: stated.update(baseline=baseline))["owned"]
    assert owned.break_even_hours == pytest.approx(hours, rel=0.0005)


def test_lenovo_costs_what_is_published_over_five_years() -> None:
    options = example("lenovo-against-aws")
    assert options["aws-on-demand"].total_usd == Decimal("4306416.00")
    assert options["owned"].total_usd == Decimal("871912.00")


@pytest.mark.parametrize(
    ("provider", "monthly", "total", "relative"),
    [
        ("gold", 5_539_138, 199_408_973, 1.00),
        ("hyperscaler", 6_989_395, 251_618_208, 1.26),
        ("silver", 6_200_693, 223_224_957, 1.12),
    ],
)
def test_clustermax_totals_are_within_a_ten_thousandth(
    provider: str, monthly: int, total: int, relative: float
) -> None:
    options = example("clustermax")
    assert float(options[provider].per_month_usd) == pytest.approx(monthly, abs=1.5)
    assert float(options[provider].total_usd) == pytest.approx(total, abs=30)
    assert float(options[provider].total_usd / options["gold"].total_usd) == pytest.approx(relative, abs=0.005)


def test_clustermax_support_is_a_twentieth_of_charges_and_monthly_items() -> None:
    assert example("clustermax")["hyperscaler"].breakdown_usd["support"] / 36 == pytest.approx(Decimal(321_422), abs=1)


def test_the_accelerator_console_saves_money_and_is_no_investment() -> None:
    owned = example("owned-64-gpus")["owned"]
    assert float(owned.saving_usd or 0) == pytest.approx(490_903, abs=1)
    assert float(owned.npv_usd or 0) == pytest.approx(-9_440, rel=0.005)
    assert owned.roi_percent == pytest.approx(25.57, rel=0.005)
    assert owned.payback_months == pytest.approx(3.18553 * 12, rel=0.005)
    assert owned.break_even_utilization_percent == pytest.approx(59.05, rel=0.005)


@pytest.mark.parametrize(
    ("nodes", "node_usd", "network_usd", "usd_per_gpu"),
    [
        (2, 310_000, 12_960, "45810.00"),
        (64, 310_000, 963_840, "46882.50"),
        (128, 310_000, 4_349_440, "49247.50"),
        (512, 300_000, 17_397_760, "47997.50"),
        (4096, 310_000, 216_678_400, "51612.50"),
    ],
)
def test_the_h100_cluster_sheet_is_exact(nodes: int, node_usd: int, network_usd: int, usd_per_gpu: str) -> None:
    def row(stated: dict[str, Any]) -> None:
        stated["demand"]["gpus"] = nodes * 8
        owned = stated["options"][0]["owned"]
        owned["perNode"]["usd"], owned["network"]["usd"] = str(node_usd), str(network_usd)
        owned["oneTimeUSD"] = {"facility": str(50_000 * nodes)}

    assert example("h100-cluster-512", row)["cluster"].per_gpu_usd == Decimal(usd_per_gpu)


def test_opencost_splits_a_node_exactly() -> None:
    rate = NodeRate.model_validate(
        {
            "usdPerHour": "35",
            "gpus": 1,
            "resources": {
                "gpu": {"amount": 1, "baseUSD": 30},
                "cpu": {"amount": 1, "baseUSD": 30},
                "memory": {"amount": 1, "baseUSD": 10},
            },
        }
    )
    assert node_usd_per_hour(rate) == {"gpu": 15, "cpu": 15, "memory": 5}
    assert example("opencost-node")["node"].breakdown_usd == {
        "gpu": Decimal("10950.00"),
        "cpu": Decimal("10950.00"),
        "memory": Decimal("3650.00"),
    }


def test_a_power_bill_that_the_draw_does_not_give_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"statedUSDPerYear: \$33,600 a year is inconsistent.* \$6,868"):
        example("power-bill-that-does-not-add-up")


def test_the_power_bill_by_the_formula_is_accepted() -> None:
    def right(stated: dict[str, Any]) -> None:
        stated["options"][0]["owned"]["power"]["statedUSDPerYear"] = "6868"

    owned = example("power-bill-that-does-not-add-up", right)["owned"]
    assert owned.breakdown_usd["power"] / 3 == pytest.approx(Decimal("6867.84"), abs=Decimal("0.01"))


def reference_node(utilization: int, *, colocation: bool = False) -> Decimal | None:
    """8 x H100 for $310,000, 20 % left after 4 years, 8 kW, 1 person for 50 nodes, 3 % upkeep, 8 % capital."""
    owned: dict[str, Any] = {
        "capexUSD": "310000",
        "lifeMonths": 48,
        "residualPercent": "20",
        "power": {"idleKW": "8", "busyKW": "8", "pue": "1.3", "usdPerKWh": "0.08"},
        "staff": {"fullTimeEquivalents": "0.02", "usdPerYear": "250000"},
        "maintenancePercentPerYear": "3",
    }
    if colocation:
        owned["colocation"] = {"usdPerKWMonth": "184", "committedKW": "10.2"}
    stated = {
        "horizonMonths": 48,
        "hoursPerMonth": "730",
        "discountRatePercent": "8",
        "demand": {"gpus": 8, "utilizationPercent": utilization},
        "baseline": "owned",
        "options": [{"name": "owned", "owned": owned}],
    }
    return compared(stated).options[0].levelized_usd_per_gpu_hour


@pytest.mark.parametrize(("utilization", "usd"), [(100, "1.45"), (70, "2.07"), (50, "2.89"), (30, "4.82")])
def test_the_levelized_price_of_an_owned_gpu_hour_follows_the_capital_recovery_formula(
    utilization: int, usd: str
) -> None:
    assert reference_node(utilization) == pytest.approx(Decimal(usd), rel=Decimal("0.002"))


@pytest.mark.parametrize(("utilization", "usd"), [(100, "1.74"), (70, "2.49"), (50, "3.49"), (30, "5.82")])
def test_a_colocation_charges_kilowatts_and_no_cooling(utilization: int, usd: str) -> None:
    assert reference_node(utilization, colocation=True) == pytest.approx(Decimal(usd), rel=Decimal("0.003"))
