"""``berth cost export``: the plan's costs as FOCUS rows, on files."""

import csv
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest

from berth_cost.spending.focus import COLUMNS, FocusRow, focus_rows, violations
from berth_operator.cli import cost_export, run

AT = ("--at", "2026-11-21T08:00:00Z")
INFRA = """\
apiVersion: berthmaster.dev/v1alpha1
kind: GPUPool
metadata: {name: dgx}
spec:
  gpu: L4
  capacityType: Owned
  gpusPerNode: 8
  nodeSelector: {pool: dgx}
  nodeResources: {cpu: "96", memory: 768Gi}
  maximumNodes: 1
  price: {usdPerNodeHour: "4.80"}
---
apiVersion: berthmaster.dev/v1alpha1
kind: GPUPool
metadata: {name: l4}
spec:
  gpu: L4
  nodeSelector: {pool: l4}
  maximumNodes: 9
  price: {cloud: gcp, region: us-east4, instanceType: g2-standard-8}
"""
WORKLOAD = """\
apiVersion: berthmaster.dev/v1alpha1
kind: InferenceWorkload
metadata: {name: NAME, namespace: vision}
spec:
  model:
    preset: resnet50
    backend: onnxruntime
    variants: [{precision: fp16, source: {persistentVolumeClaim: {claimName: models, path: resnet50/fp16}}}]
  traffic: {requestsPerSecond: 100}
  objectives: {latency: {p99Milliseconds: LIMIT}}
  placement: {capacityTypes: [HOW]}
"""
TINY = Decimal("1e-6")
Export = Callable[..., tuple[int, str, str]]


@pytest.fixture
def infra(tmp_path: Path) -> Path:
    (tmp_path / "pools.yaml").write_text(INFRA, encoding="utf-8")
    for name, how in (("owned", "Owned"), ("rented", "OnDemand")):
        text = WORKLOAD.replace("NAME", name).replace("LIMIT", "80").replace("HOW", how)
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def export(capsys: pytest.CaptureFixture[str]) -> Export:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = run(["cost", "export", *(str(argument) for argument in arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def rows_of(text: str) -> list[FocusRow]:
    return [FocusRow.model_validate(one) for one in json.loads(text)]


def test_rows_keep_the_rules_of_the_specification(export: Export, infra: Path) -> None:
    code, out, _ = export("-f", infra, *AT, "-o", "json")
    rows = rows_of(out)
    assert code == 0 and violations(rows) == []
    assert {row.charge_category for row in rows} == {"Usage", "Purchase"}
    owned = [row for row in rows if row.commitment_discount_id == "owned/dgx"]
    assert sum(row.effective_cost for row in owned) == Decimal("115.2")  # a node of $4.80 for 24 hours
    assert {row.commitment_discount_status for row in owned} == {None, "Used", "Unused"}
    rented = next(row for row in rows if row.pricing_category == "Standard" and row.charge_category == "Usage")
    assert (rented.provider_name, rented.region_id, rented.sku_id) == ("gcp", "us-east4", "g2-standard-8")


def test_a_month_by_the_day_and_a_day_by_the_hour_cost_what_the_plan_says(export: Export, infra: Path) -> None:
    month = ("--from", "2026-11-01", "--until", "2026-12-01")
    _, by_day, _ = export("-f", infra, *AT, *month, "-o", "json")
    _, by_hour, _ = export("-f", infra, *AT, "--granularity", "hourly", "-o", "json")
    daily = sum(row.effective_cost for row in rows_of(by_day)) / 30
    assert daily == pytest.approx(sum(row.effective_cost for row in rows_of(by_hour)), abs=Decimal("1e-6"))
    assert {row.billing_period_end.isoformat() for row in rows_of(by_day)} == {"2026-12-01T00:00:00+00:00"}


def test_a_billing_period_is_a_calendar_month(export: Export, infra: Path) -> None:
    _, out, _ = export("-f", infra, *AT, "--from", "2026-11-30T12:00", "--until", "2026-12-01T12:00", "-o", "json")
    spans = sorted({(row.charge_period_start.isoformat(), row.billing_period_start.day) for row in rows_of(out)})
    assert spans == [("2026-11-30T12:00:00+00:00", 1), ("2026-12-01T00:00:00+00:00", 1)]


def test_the_opencost_rules_split_the_same_money_otherwise(export: Export, infra: Path) -> None:
    _, by_gpu, _ = export("-f", infra, *AT, "-o", "json")
    _, by_all, _ = export("-f", infra, *AT, "--allocate", "opencost", "-o", "json")
    one, other = rows_of(by_gpu), rows_of(by_all)
    assert violations(other) == []
    assert sum(row.effective_cost for row in one) == pytest.approx(sum(row.effective_cost for row in other), abs=TINY)
    idle = [sum(row.effective_cost for row in rows if not row.sub_account_id) for rows in (one, other)]
    assert idle[1] > idle[0]  # cores and memory that nobody asked for


@pytest.mark.parametrize("how", ["weighted", "even"])
def test_what_nobody_holds_can_be_paid_by_those_who_hold_the_rest(export: Export, infra: Path, how: str) -> None:
    second = WORKLOAD.replace("NAME", "second").replace("LIMIT", "80").replace("HOW", "Owned")
    (infra / "second.yaml").write_text(second.replace("requestsPerSecond: 100", "requestsPerSecond: 3000"))
    _, apart, _ = export("-f", infra, *AT, "-o", "json")
    _, shared, _ = export("-f", infra, *AT, "--idle", how, "-o", "json")
    before, after = rows_of(apart), rows_of(shared)
    assert violations(after) == []
    assert sum(row.effective_cost for row in before) == pytest.approx(
        sum(row.effective_cost for row in after), abs=TINY
    )
    assert {row.sub_account_id for row in after if row.charge_category == "Usage"} == {"vision"}
    first, other = (
        next(row for row in after if row.resource_id == f"dgx/vision/{name}") for name in ("owned", "second")
    )
    assert first.effective_cost + other.effective_cost == pytest.approx(Decimal("115.2"), abs=TINY)
    was = {row.resource_id: row.effective_cost for row in before}
    more = [row.effective_cost - was[row.resource_id] for row in (first, other)]
    if how == "even":
        assert more[0] == pytest.approx(more[1], abs=TINY)
    else:
        ratio = was["dgx/vision/second"] / was["dgx/vision/owned"]
        assert float(more[1] / more[0]) == pytest.approx(float(ratio), rel=1e-6)


def test_a_table_that_breaks_a_rule_of_the_specification_is_not_written(
    export: Export, infra: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> Iterator[FocusRow]:
        return (row.model_copy(update={"billed_cost": Decimal(1)}) for row in focus_rows(*arguments))  # type: ignore[arg-type]

    monkeypatch.setattr(cost_export, "focus_rows", broken)
    code, out, err = export("-f", infra, *AT)
    assert (code, out) == (1, "")
    assert "FOCUS 1.2: row 1: BilledCost of what a commitment covers is 1, not 0" in err


def test_a_table_has_every_column_and_the_same_bytes_again(export: Export, infra: Path, tmp_path: Path) -> None:
    _, out, _ = export("-f", infra, *AT)
    assert tuple(csv.DictReader(StringIO(out)).fieldnames or ()) == COLUMNS
    assert export("-f", infra, *AT)[1] == out
    to = tmp_path / "focus.csv"
    export("-f", infra, *AT, "--to", to)
    assert to.read_text(encoding="utf-8") == out


def test_what_cannot_be_placed_has_no_rows_and_ends_with_two(export: Export, infra: Path) -> None:
    text = WORKLOAD.replace("NAME", "hopeless").replace("LIMIT", "1").replace("HOW", "Owned")
    (infra / "hopeless.yaml").write_text(text, encoding="utf-8")
    code, out, err = export("-f", infra, *AT)
    assert code == 2 and "hopeless" not in out and "1 workload cannot be placed" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--until", "2026-11-01"), "is not after --from"),
        (("--from", "2020-01-01", "--granularity", "Hourly", "--until", "2026-01-01"), "more than 10000 periods"),
        (("--granularity", "Weekly"), "--granularity: Weekly is none of Daily, Hourly"),
        (("--allocate", "fairly"), "--allocate: fairly is none of gpu, opencost"),
        (("--idle", "hidden"), "--idle: hidden is none of apart, weighted, even"),
        (("-o", "xml"), "--output: xml is none of csv, json"),
    ],
)
def test_a_wrong_question_is_refused(export: Export, infra: Path, arguments: tuple[str, ...], says: str) -> None:
    code, _, err = export("-f", infra, *AT, *arguments)
    assert code == 1 and says in err
