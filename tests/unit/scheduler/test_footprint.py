"""What a placed workload draws and emits: joules at the meter, grams by the grids it runs on."""

from decimal import Decimal
from typing import Any

import pytest

from berth_cost.cases.case import Prediction
from berth_cost.spending.carbon import Site
from berth_scheduler.decision import Decision, EnergyTotal, Footprint
from berth_scheduler.footprint import energy_of, footprint_of
from berth_scheduler.snapshot import (
    Berth,
    CapacityType,
    PodResources,
    Policy,
    Pool,
    Sharing,
    TokenLengths,
    Traffic,
    Workload,
)
from berth_scheduler.supply import supply_of

POLICY = Policy(hours_per_month=Decimal(720))
CLEAN = Site(place="clean", pue=1.1, pue_source="fleet", grams_per_kwh=10, source="grid of 2024")
DIRTY = Site(place="dirty", pue=1.5, pue_source="fleet", grams_per_kwh=700, source="grid of 2024")
BLIND = Site(place="blind", pue=1.2, pue_source="fleet", unknown="no carbon intensity is known of blind")


def workload(**traffic: Any) -> Workload:
    return Workload(
        key="a/b",
        planning_hash="h",
        backend="onnxruntime",
        variants=(),
        traffic=Traffic(requests_per_second=10, **traffic),
        resources=PodResources(cpu_cores=1, memory_bytes=1),
    )


def berth(pool: str, replicas: int) -> Berth:
    return Berth(
        pool=pool,
        gpu="L4",
        sharing=Sharing.EXCLUSIVE,
        capacity_type=CapacityType.ON_DEMAND,
        precision="fp16",
        tensor_parallel=1,
        gpus_per_replica=1,
        instances_per_gpu=1,
        maximum_batch_size=1,
        maximum_queue_delay_microseconds=0,
        replicas=replicas,
    )


def predicted(joules: float | None) -> Prediction:
    metrics: dict[str, float | dict[str, float]] = {} if joules is None else {"joulesPerRequest": joules}
    return Prediction(id="a/b", feasible=True, evidence="estimated", metrics=metrics, model_version="1")


def of(joules: float | None, replicas: dict[str, int], sites: dict[str, Site | None], **traffic: Any) -> Any:
    pools = [
        Pool(name=name, capacity_type=CapacityType.ON_DEMAND, gpus_per_node=1, site=site)
        for name, site in sites.items()
    ]
    berths = [berth(name, count) for name, count in replicas.items()]
    return footprint_of(
        workload(**traffic), berths, predicted(joules), supply_of(tuple(pools)), policy=POLICY, requests_per_second=10
    )


def test_grams_are_joules_at_the_meter_by_the_grid() -> None:
    found = of(36.0, {"dirty": 2}, {"dirty": DIRTY})
    # 36 J × 1.5 = 54 J = 1.5e-5 kWh a request; × 700 g × 1000 requests = 10.5 g.
    assert found.joules_per_request == 54
    assert found.grams_co2e_per_thousand_requests == pytest.approx(10.5)
    assert found.sites == ("dirty: PUE 1.5, 700 gCO2e/kWh",)
    assert found.sources == ("dirty: PUE: fleet; grid: grid of 2024",)
    assert found.joules_per_million_tokens is None
    # 10 requests/s × 2,592,000 s of 720 hours × 1.5e-5 kWh; × 0.7 kg.
    assert (found.kwh_per_month, found.kg_co2e_per_month) == (388.8, pytest.approx(272.16))


def test_tokens_share_the_energy_of_their_request() -> None:
    tokens = {"input_tokens": TokenLengths(mean=300), "output_tokens": TokenLengths(mean=100)}
    found = of(36.0, {"dirty": 2}, {"dirty": DIRTY}, **tokens)
    assert found.joules_per_million_tokens == pytest.approx(54 / 400 * 1e6)
    assert found.grams_co2e_per_million_tokens == pytest.approx(10.5 / 1000 / 400 * 1e6)


def test_replicas_in_several_places_weigh_by_their_number() -> None:
    found = of(36.0, {"clean": 3, "dirty": 1}, {"clean": CLEAN, "dirty": DIRTY})
    assert found.joules_per_request == pytest.approx(36 * (0.75 * 1.1 + 0.25 * 1.5))
    assert found.grams_co2e_per_thousand_requests == pytest.approx(36 / 3.6e6 * 1000 * (0.75 * 11 + 0.25 * 1050))


def test_a_grid_that_is_not_known_leaves_joules_and_names_the_place() -> None:
    found = of(36.0, {"blind": 1, "clean": 1}, {"blind": BLIND, "clean": CLEAN})
    assert found.joules_per_request == pytest.approx(36 * 1.15)
    assert found.grams_co2e_per_thousand_requests is None
    assert "blind" in found.unknown


def test_a_pool_of_unknown_place_leaves_the_joules_of_the_gpus() -> None:
    found = of(36.0, {"somewhere": 1}, {"somewhere": None})
    assert (found.joules_per_request, found.sources) == (36, ())
    assert "pool somewhere" in found.unknown


def test_without_a_predicted_energy_there_is_no_footprint() -> None:
    assert of(None, {"clean": 1}, {"clean": CLEAN}) is None


def decision(key: str, footprint: Footprint | None, *, placed: bool = True) -> Decision:
    return Decision(workload=key, placed=placed, reason="", message="", footprint=footprint, decision_hash="")


def test_the_energy_of_a_plan_is_the_sum_of_its_workloads_and_says_what_it_lacks() -> None:
    decisions = [
        decision("a/clean", of(36.0, {"clean": 2}, {"clean": CLEAN})),
        decision("a/dirty", of(36.0, {"dirty": 2}, {"dirty": DIRTY})),
        decision("a/blind", of(36.0, {"blind": 2}, {"blind": BLIND})),
        decision("a/dark", None),
        decision("a/refused", None, placed=False),
    ]
    # 36 J × 25.92 million requests are 259.2 kWh, × 1.1, 1.5 and 1.2.
    found = energy_of(decisions)
    assert found == EnergyTotal(
        kwh_per_month=984.96, kg_co2e_per_month=275.011, energy_unknown=("a/dark",), grid_unknown=("a/blind",)
    )
    assert found.kg_co2e_per_month == pytest.approx(259.2 * (1.1 * 0.01 + 1.5 * 0.7), rel=1e-5)
    assert energy_of([decision("a/refused", None, placed=False)]) is None
