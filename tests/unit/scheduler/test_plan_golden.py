"""A plan as JSON, from a snapshot kept as a file: the documented format, and a replay bit for bit.

``UPDATE_GOLDEN=1`` writes both anew; the plan's numbers change when the performance model is fitted again.
"""

import json
import os
from decimal import Decimal
from pathlib import Path

from berth_scheduler.decision import Plan
from berth_scheduler.plan import plan
from berth_scheduler.snapshot import (
    ArtefactAccess,
    CapacityType,
    Placement,
    Problem,
    Quality,
    QualityObjective,
    Snapshot,
    Variant,
)
from example_snapshots import BERT, LLAMA_70B, chat, decision, now_running, p99, pool, snapshot, vision

GOLDEN = Path(__file__).parents[2] / "golden" / "scheduler"
UPDATE = bool(os.environ.get("UPDATE_GOLDEN"))


def fleet() -> Snapshot:
    """One of each story: spot, a slice, tensor parallel, a floor of quality, what stays, and three that go nowhere."""
    pools = (
        pool("a100-mig", "A100-SXM-80GB", "4.20", nodes=1, mig_layout={"1g.10gb": 3, "2g.20gb": 2}),
        pool("h100", "H100-SXM-80GB", "55.84", nodes=1, gpus_per_node=8),
        pool("l4", "L4", "0.80", nodes=4),
        pool("l4-spot", "L4", "0.29", maximum_nodes=8, capacity_type=CapacityType.SPOT),
        pool("unpriced", "L40S", "1", nodes=1, price=None, problems=(Problem(reason="NotPriced", message="no price"),)),
    )
    scored = tuple(
        Variant(precision=precision, quality=Quality(score=Decimal(score), evidence="Measured"))
        for precision, score in (("fp16", "0.9087"), ("int8", "0.8912"))
    )
    kept = vision("vision/kept", planning_hash="k", latency=p99(40))
    placed = decision(plan(snapshot([kept], pools[2:3])))
    return snapshot(
        [
            vision(
                "vision/resnet", 3000, placement=Placement(capacity_types=(CapacityType.ON_DEMAND, CapacityType.SPOT))
            ),
            vision(
                "search/bert-qa",
                20,
                model=BERT,
                variants=scored,
                quality=QualityObjective(metric="f1", minimum=Decimal("0.899")),
                latency=p99(120),
                budget_usd_per_month=Decimal(5000),
            ),
            now_running(kept, placed.berths, pools),
            chat("chat/llama8b", 1.5),
            chat("chat/llama70b", 0.5, model=LLAMA_70B, variants=(Variant(precision="fp8"),)),
            vision("vision/huge", 20, model=BERT, latency=p99(2)),
            vision("vision/lost", variants=(Variant(precision="fp16", access=ArtefactAccess(node="elsewhere")),)),
            vision("vision/unknown", problem=Problem(reason="UnknownPreset", message="spec.model.preset: resnet51")),
        ],
        pools,
    )


def test_the_snapshot_on_file_is_planned_to_the_plan_on_file() -> None:
    asked, expected = GOLDEN / "snapshot.json", GOLDEN / "plan.json"
    if UPDATE:
        GOLDEN.mkdir(parents=True, exist_ok=True)
        asked.write_text(fleet().model_dump_json(indent=1) + "\n")
    made = plan(Snapshot.model_validate_json(asked.read_text())).model_dump_json(indent=1) + "\n"
    if UPDATE:
        expected.write_text(made)
    assert made == expected.read_text()


def test_the_plan_on_file_reads_back_as_a_plan() -> None:
    text = (GOLDEN / "plan.json").read_text()
    assert Plan.model_validate_json(text).model_dump_json(indent=1) + "\n" == text


def test_a_plan_has_the_documented_keys() -> None:
    made = json.loads((GOLDEN / "plan.json").read_text())
    assert set(made) == {"kind", "time", "decisions", "totals"}
    assert set(made["totals"]) == {"usdPerHour", "idleUSDPerHour", "gpusByPool", "savings", "energy"}
    by_key = {one["workload"]: one for one in made["decisions"]}
    berth = by_key["chat/llama70b"]["berths"][0]
    assert set(berth) == {
        "pool",
        "gpu",
        "sharing",
        "migProfile",
        "capacityType",
        "precision",
        "tensorParallel",
        "gpusPerReplica",
        "instancesPerGPU",
        "maximumBatchSize",
        "maximumQueueDelayMicroseconds",
        "replicas",
    }
    cost = by_key["vision/resnet"]["cost"]
    assert isinstance(cost["usdPerHour"], str) and isinstance(cost["usdPerMillionRequests"], str)
    assert by_key["vision/huge"]["rejected"][0]["constraint"] == "latency"
    assert by_key["vision/kept"]["kept"] is True
