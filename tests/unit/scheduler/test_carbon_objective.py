"""``objectives.carbon``: a placement emits no more than it may, judged by the grid it draws from."""

import pytest

from berth_cost.spending.carbon import Site
from berth_scheduler.decision import Constraint, Decision
from berth_scheduler.explain import explain
from berth_scheduler.plan import plan
from example_snapshots import decision, pool, snapshot, vision

CLEAN = Site(place="gcp europe-north2", pue=1.1, pue_source="fleet", grams_per_kwh=3, source="2024")
DIRTY = Site(place="gcp asia-south1", pue=1.1, pue_source="fleet", grams_per_kwh=679, source="2024")
BLIND = Site(place="aws mars-1", pue=1.2, pue_source="fleet", unknown="no carbon intensity is known of aws mars-1")


def placed_with(limit: float | None, *sites: Site | None) -> Decision:
    """On L4 pools of which the first is the cheapest."""
    pools = [pool(f"p{index}", "L4", str(index + 1), nodes=2, site=site) for index, site in enumerate(sites)]
    return decision(plan(snapshot([vision(carbon_grams_per_thousand_requests=limit)], pools)))


def test_without_an_objective_the_cheapest_pool_wins_however_dirty() -> None:
    found = placed_with(None, DIRTY, CLEAN)
    assert [berth.pool for berth in found.berths] == ["p0"]
    assert found.footprint is not None and found.footprint.grams_co2e_per_thousand_requests is not None


def test_an_objective_moves_a_workload_to_the_cleaner_grid() -> None:
    dirty = placed_with(None, DIRTY).footprint
    assert dirty is not None and dirty.grams_co2e_per_thousand_requests is not None
    limit = dirty.grams_co2e_per_thousand_requests / 2
    found = placed_with(limit, DIRTY, CLEAN)
    assert [berth.pool for berth in found.berths] == ["p1"]
    assert found.footprint is not None and (found.footprint.grams_co2e_per_thousand_requests or 0) <= limit


def test_the_limit_holds_at_the_upper_edge_of_the_energy() -> None:
    free = placed_with(None, DIRTY)
    assert free.footprint is not None and free.prediction is not None
    point, band = free.prediction.metrics["joulesPerRequest"], free.prediction.band["joulesPerRequest"]
    assert isinstance(point, float) and isinstance(band, tuple)
    edge = (free.footprint.grams_co2e_per_thousand_requests or 0) * band[1] / point
    assert placed_with(edge * 1.001, DIRTY).placed
    assert not placed_with(edge * 0.999, DIRTY).placed


def test_what_is_out_of_reach_names_value_and_limit_and_what_would_do() -> None:
    found = placed_with(0.001, DIRTY)
    assert not found.placed and found.reason == "NoFeasibleCandidate"
    assert found.message.startswith("carbon ≤ 0.001 g of CO2e per thousand requests is out of reach")
    (rejection,) = found.rejected
    assert rejection.constraint is Constraint.CARBON
    assert rejection.limit == 0.001 and rejection.value is not None and rejection.value > 0.001
    assert "gcp asia-south1" in rejection.message
    assert [one.change for one in found.alternatives] == ["without objectives.carbon"]


@pytest.mark.parametrize(("site", "said"), [(BLIND, "aws mars-1"), (None, "pool p0")])
def test_a_grid_that_nobody_knows_is_refused_by_name(site: Site | None, said: str) -> None:
    found = placed_with(1e9, site)
    assert not found.placed
    assert found.rejected[0].constraint is Constraint.CARBON
    assert said in found.rejected[0].message
    assert [berth.pool for berth in placed_with(1e9, site, CLEAN).berths] == ["p1"]


def test_an_explanation_says_what_is_asked_and_predicted() -> None:
    wanted = vision(carbon_grams_per_thousand_requests=500.0)
    found = decision(plan(snapshot([wanted], [pool("p0", "L4", "1", nodes=2, site=DIRTY)])))
    line = next(one for one in explain(found, wanted).objectives if one.name == "carbon")
    assert line.asked == "≤ 500 g/1,000 requests"
    assert line.holds is True and line.predicted is not None and line.predicted.endswith(" g")
    energy = explain(found, wanted).energy
    assert energy is not None and "J a request" in energy and "gcp asia-south1: PUE 1.1, 679 gCO2e/kWh" in energy
