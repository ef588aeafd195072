"""``policy.carbonUSDPerTonne``: emissions count when candidates are ranked, and in no cost."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from berth_cost.spending.carbon import Site
from berth_scheduler.decision import Decision
from berth_scheduler.explain import explain
from berth_scheduler.plan import plan
from berth_scheduler.snapshot import Policy
from example_snapshots import decision, pool, snapshot, vision

CLEAN = Site(place="gcp europe-north2", pue=1.1, pue_source="fleet", grams_per_kwh=3, source="2024")
DIRTY = Site(place="gcp asia-south1", pue=1.1, pue_source="fleet", grams_per_kwh=679, source="2024")
BLIND = Site(place="aws mars-1", pue=1.2, pue_source="fleet", unknown="no carbon intensity is known of aws mars-1")


def planned(
    usd_per_tonne: str | None, *pools: tuple[str, Site | None], gpus: tuple[str, ...] = ("L4", "L4")
) -> Decision:
    """``pools``: price of a node-hour and site, named p0, p1, …"""
    policy = Policy(carbon_usd_per_tonne=None if usd_per_tonne is None else Decimal(usd_per_tonne))
    there = [pool(f"p{index}", gpus[index], price, nodes=4, site=site) for index, (price, site) in enumerate(pools)]
    return decision(plan(snapshot([vision()], there).model_copy(update={"policy": policy})))


def pools_of(found: Decision) -> list[str]:
    return [berth.pool for berth in found.berths]


def priced(found: Decision) -> Decimal:
    assert found.footprint is not None and found.footprint.carbon_usd_per_hour is not None
    return found.footprint.carbon_usd_per_hour


def test_emissions_are_priced_at_what_an_hour_of_them_weighs() -> None:
    found = planned("100", ("1", DIRTY))
    assert found.footprint is not None and found.footprint.grams_co2e_per_thousand_requests is not None
    tonnes = found.footprint.grams_co2e_per_thousand_requests * vision().traffic.requests_per_second * 3.6 / 1e6
    assert float(priced(found)) == pytest.approx(tonnes * 100, rel=1e-5)


def test_the_price_at_which_the_cleaner_grid_wins_is_the_difference_in_cost() -> None:
    each = float(priced(planned("1", ("1", DIRTY)))) * (679 - 3) / 679
    """USD that moving saves, for every dollar a tonne costs."""
    dirty, clean = ("1", DIRTY), ("1.01", CLEAN)
    replicas = planned(None, dirty).berths[0].replicas
    threshold = 0.01 * replicas / each
    assert pools_of(planned(None, dirty, clean)) == ["p0"]
    assert pools_of(planned(f"{threshold * 0.99:.6f}", dirty, clean)) == ["p0"]
    moved = planned(f"{threshold * 1.01:.6f}", dirty, clean)
    assert pools_of(moved) == ["p1"]
    assert moved.cost is not None and moved.cost.usd_per_hour == Decimal("1.01") * replicas


def test_the_thriftier_gpu_wins_where_carbon_costs_enough() -> None:
    dear = planned(None, ("1", DIRTY), ("1.02", DIRTY), gpus=("A100-SXM-80GB", "L4"))
    assert dear.berths[0].gpu == "A100-SXM-80GB"
    assert planned("10000", ("1", DIRTY), ("1.02", DIRTY), gpus=("A100-SXM-80GB", "L4")).berths[0].gpu == "L4"


@pytest.mark.parametrize("site", [BLIND, None])
def test_a_grid_that_nobody_knows_does_not_win_by_that(site: Site | None) -> None:
    assert pools_of(planned("1000", ("1", site), ("1", DIRTY))) == ["p1"]


def test_the_explanation_says_what_carbon_was_ranked_as() -> None:
    found = planned("100000", ("1", DIRTY), ("1.05", CLEAN), gpus=("A100-SXM-80GB", "L4"))
    said = explain(found, vision())
    assert said.energy is not None and "more by the price of carbon" in said.energy
    assert any("less, and its emissions more than that at $100,000 per tonne" in one for one in said.runners_up)


@pytest.mark.parametrize("wrong", ["0", "-5", "NaN", "Infinity", "100001"])
def test_a_price_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="carbonUSDPerTonne"):
        Policy.model_validate({"carbonUSDPerTonne": wrong})
