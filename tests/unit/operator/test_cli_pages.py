"""Pages for people: laid out as they are kept in ``tests/golden/cli``, never wider than 100 columns.

After a change that is meant, look at the difference and write them anew: ``UPDATE_GOLDEN=1 pytest -k cli_pages``.
"""

import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from berth_cost.cases.case import Parts, Prediction
from berth_cost.prices.book import Price
from berth_operator.cli.comparison import compare
from berth_operator.cli.comparison_view import comparison_markdown, show_comparison
from berth_operator.cli.explanation_view import explanation_markdown, show_explanation
from berth_operator.cli.output import WIDTH, Page
from berth_operator.cli.plan_view import plan_markdown, show_plan
from berth_operator.cli.snapshot_view import show_snapshot, snapshot_markdown
from berth_scheduler.decision import Alternative, Constraint, Cost, Decision, Plan, Rejection, Totals
from berth_scheduler.explain import explain
from berth_scheduler.snapshot import (
    Berth,
    CapacityType,
    LatencyObjective,
    PodResources,
    Pool,
    Problem,
    Quality,
    QualityObjective,
    Sharing,
    Snapshot,
    Traffic,
    Variant,
    Workload,
)

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "cli"
TIME = datetime(2026, 11, 2, 12, tzinfo=UTC)
LONG = "a-workload-with-a-name-of-forty-characters-xx"[:40]


def workload(key: str, **changes: Any) -> Workload:
    stated: dict[str, Any] = {
        "key": key,
        "planning_hash": "0",
        "backend": "onnxruntime",
        "variants": (
            Variant(precision="fp16", quality=Quality(score=Decimal("0.9087"), evidence="Measured")),
            Variant(precision="int8", quality=Quality(score=Decimal("0.9012"), evidence="Measured")),
        ),
        "traffic": Traffic(requests_per_second=200),
        "latency": (LatencyObjective(metric="latencySeconds", statistic="p99", limit_seconds=0.05),),
        "resources": PodResources(cpu_cores=2, memory_bytes=3 * 2**30),
    }
    return Workload(**stated | changes)


def berth(gpu: str, replicas: int, **changes: Any) -> Berth:
    stated: dict[str, Any] = {
        "pool": gpu.lower(),
        "gpu": gpu,
        "sharing": Sharing.EXCLUSIVE,
        "capacity_type": CapacityType.ON_DEMAND,
        "precision": "int8",
        "tensor_parallel": 1,
        "gpus_per_replica": 1,
        "instances_per_gpu": 1,
        "maximum_batch_size": 8,
        "maximum_queue_delay_microseconds": 500,
        "replicas": replicas,
    }
    return Berth(**stated | changes)


SLICES = berth("A100-SXM-80GB", 4, pool="a100-mig", sharing=Sharing.MIG, mig_profile="1g.10gb", gpus_per_replica=1 / 7)
MIXED = (berth("L4", 2, pool="l4-spot", capacity_type=CapacityType.SPOT), berth("L4", 1))


def prediction(p99: float) -> Prediction:
    return Prediction(
        id="1",
        feasible=True,
        evidence="calibrated",
        metrics={"latencySeconds": {"p99": p99}, "requestsPerSecond": 200},
        band={"latencySeconds": {"p99": (p99 * 0.84, p99 * 1.19)}},
        parts=Parts(
            compute_seconds=0.007,
            memory_seconds=0.012,
            overhead_seconds=0.001,
            communication_seconds=0,
            host_seconds=0.002,
            queue_seconds=0.009,
        ),
        utilization=0.76,
        model_version="1",
    )


def cost(usd_per_hour: str) -> Cost:
    hourly = Decimal(usd_per_hour)
    return Cost(
        usd_per_hour=hourly,
        usd_per_month=hourly * 730,
        usd_per_million_requests=Decimal("2.92"),
        price_date=date(2026, 11, 2),
        price_source="aws us-east-1",
    )


def rejection(gpu: str, constraint: Constraint, message: str) -> Rejection:
    return Rejection(gpu=gpu, constraint=constraint, message=f"{gpu} {message}")


PLACED = Decision(
    workload="search/bert-qa",
    placed=True,
    reason="Placed",
    message="4 × A100-SXM-80GB 1g.10gb, int8, on demand: $2.10/h",
    berths=(SLICES,),
    prediction=prediction(0.031),
    cost=cost("2.10"),
    alternatives=(
        Alternative(
            berths=(berth("L4", 5),),
            usd_per_hour=Decimal("4.02"),
            lost_by=Constraint.COST,
            message="L4 × 5, int8, on demand: $4.02/h. It wins if the MIG price rises above $1.01/h per slice",
        ),
    ),
    rejected=(
        rejection("T4", Constraint.LATENCY, "int8: p99 88 ms > 50 ms at 200/s with ≤ 20 replicas"),
        rejection("L4", Constraint.SPOT_SHARE, "Spot: spot share 100 % > 70 % (spot.maximumSharePercent)"),
        *(rejection("L40S", Constraint.COST, f"fp16: fits, costs ${cents}.00/h") for cents in range(5, 9)),
    ),
    decision_hash="a",
)
MIXED_DECISION = PLACED.model_copy(
    update={"workload": f"vision/{LONG}", "berths": MIXED, "cost": cost("1.38"), "prediction": prediction(0.0421)}
)
REFUSED = Decision(
    workload="vision/huge",
    placed=False,
    reason="NoFeasibleCandidate",
    message="latency p99 ≤ 5 ms is out of reach: the fastest candidate, H100-SXM-80GB fp16, needs 9.1 ms (8.2–10.4)"
    " for one request at batch 1, 7.9 ms of it computation",
    alternatives=(
        Alternative(
            berths=(berth("H100-SXM-80GB", 2, precision="fp16"),),
            usd_per_hour=Decimal("13.96"),
            lost_by=Constraint.LATENCY,
            message="would do",
            change="latency p99 ≤ 10.5 ms",
        ),
    ),
    rejected=PLACED.rejected[:1],
    decision_hash="b",
)
BERT = workload(
    "search/bert-qa",
    quality=QualityObjective(metric="f1", minimum=Decimal("0.899")),
    budget_usd_per_month=Decimal(5000),
)
HUGE = workload(
    "vision/huge", latency=(LatencyObjective(metric="latencySeconds", statistic="p99", limit_seconds=0.005),)
)
SNAPSHOT = Snapshot(
    time=TIME,
    workloads=(BERT, HUGE, workload(f"vision/{LONG}")),
    pools=(
        Pool(
            name="a100-mig",
            capacity_type=CapacityType.ON_DEMAND,
            gpus_per_node=8,
            mig_layout={"1g.10gb": 7},
            maximum_nodes=3,
            price=Price(usd_per_node_hour=Decimal("27.44"), source="book", date=date(2026, 11, 2)),
        ),
        Pool(
            name="unreadable-nodes",
            stated=False,
            capacity_type=CapacityType.ON_DEMAND,
            gpus_per_node=1,
            problems=(
                Problem(
                    reason="UnreadableLabels",
                    message="nodes g1, g2, g3 and 4 more left out: label nvidia.com/gpu.product is 'Graphics-Device':"
                    " Graphics-Device is no known GPU",
                ),
            ),
        ),
    ),
)


def plan(*decisions: Decision) -> Plan:
    usd = sum((one.cost.usd_per_hour for one in decisions if one.cost), Decimal(0))
    totals = Totals(usd_per_hour=usd, idle_usd_per_hour=Decimal("12.5"), gpus_by_pool={"a100-mig": 0.571429})
    return Plan(time=TIME, decisions=decisions, totals=totals)


def earlier() -> tuple[Snapshot, Plan]:
    """BERT at fp16 on L40S, and a workload that is gone since."""
    old = PLACED.model_copy(update={"berths": (berth("L40S", 3, precision="fp16"),), "cost": cost("5.58")})
    gone = PLACED.model_copy(update={"workload": "vision/gone", "cost": cost("0.4")})
    same = REFUSED
    return Snapshot(time=TIME, workloads=(BERT, workload("vision/gone"), HUGE)), plan(old, gone, same)


def page(show: Any, *arguments: Any, **options: Any) -> str:
    layout = Page(colour=False)
    show(layout, *arguments, **options)
    return layout.text()


NEWER = plan(PLACED, REFUSED, MIXED_DECISION)
COMPARISON = compare(*earlier(), SNAPSHOT, NEWER, "main/infra")
AGAIN = "berth explain search/bert-qa -f infra"
PAGES = {
    "plan.txt": page(show_plan, NEWER, SNAPSHOT, again="-f infra"),
    "plan.md": plan_markdown(NEWER, SNAPSHOT),
    "explain-placed.txt": page(show_explanation, explain(PLACED, BERT), BERT, everything=False, again=AGAIN),
    "explain-all.txt": page(show_explanation, explain(PLACED, BERT), BERT, everything=True, again=AGAIN),
    "explain-refused.txt": page(show_explanation, explain(REFUSED, HUGE), HUGE, everything=False, again=AGAIN),
    "explain-placed.md": explanation_markdown(explain(PLACED, BERT)),
    "comparison.txt": page(show_comparison, COMPARISON),
    "comparison.md": comparison_markdown(COMPARISON),
    "snapshot.txt": page(show_snapshot, SNAPSHOT),
    "snapshot.md": snapshot_markdown(SNAPSHOT),
}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_laid_out_as_it_is_kept(name: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(PAGES[name], encoding="utf-8")
    assert PAGES[name] == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(name for name in PAGES if name.endswith(".txt")))
def test_no_line_of_a_page_is_wider_than_a_hundred_columns_or_ends_in_spaces(name: str) -> None:
    for line in PAGES[name].split("\n"):
        assert len(line) <= WIDTH and line == line.rstrip()


def test_a_name_that_would_steer_the_terminal_or_the_markup_is_printed_as_it_is() -> None:
    hostile = PLACED.model_copy(update={"workload": "a/[red]x[/red]\x1b[2J|<b>"})
    one = plan(hostile)
    snapshot = Snapshot(time=TIME, workloads=(workload(hostile.workload),))
    text = page(show_plan, one, snapshot, again="")
    assert "[red]x[/red]" in text and "\x1b" not in text
    assert "\\|&lt;b>" in plan_markdown(one, snapshot)


def test_the_pages_in_the_documentation_are_those_that_are_kept() -> None:
    documents = Path(__file__).resolve().parents[3] / "docs"
    reference = (documents / "reference" / "cli.md").read_text(encoding="utf-8")
    assert PAGES["comparison.txt"].rstrip("\n") in reference
    comment = (documents / "gitops" / "pull-requests.md").read_text(encoding="utf-8")
    assert all(f"> {line}".rstrip() in comment for line in PAGES["comparison.md"].rstrip("\n").split("\n"))
