"""The CRDs on a real API server: what it accepts, refuses and fills in, in which words, and what kubectl shows."""

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

import api_cases
from api_cases import Case, merge_patch
from berth_cost.cases.case import Precision
from berth_operator.api import conditions, crd
from berth_operator.api.conditions import ConditionType, Finding, Reason
from berth_operator.api.status import (
    AlternativeStatus,
    BerthStatus,
    Estimate,
    GPUPoolStatus,
    InferenceWorkloadStatus,
    LatencyEstimate,
    Learned,
    Observed,
    ObservedLatency,
    PoolPriceStatus,
    PoolSummary,
    Predicted,
    SavingParts,
    SavingStatus,
    WorkloadCost,
    WorkloadSummary,
)
from berth_operator.api.v1alpha1 import parse_workload
from berth_operator.autoscaling.control_memory import packed
from berth_scheduler.control.replica_control import ControlState
from berth_scheduler.snapshot import CapacityType, Sharing
from controlplane import ControlPlane
from kube_api import Api, ApiError, Object, condition, until

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WORKLOADS = "/apis/berthmaster.dev/v1alpha1/namespaces/default/inferenceworkloads"
POOLS = "/apis/berthmaster.dev/v1alpha1/gpupools"
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)

Kubectl = Callable[..., str]


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane of this module's own: the CRDs would be in the way of tests that install them with the chart."""
    with ControlPlane(tmp_path_factory.mktemp("crds")) as running:
        yield running


@pytest.fixture(scope="module")
def api(plane: ControlPlane) -> Api:
    """With the committed CRDs established."""
    api = Api(plane.kubeconfig)
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        api.create(DEFINITIONS, yaml.safe_load(path.read_text(encoding="utf-8")))
    until(lambda: _is_served(api, POOLS) and _is_served(api, WORKLOADS))
    return api


def _is_served(api: Api, path: str) -> bool:
    try:
        api.get(path)
    except ApiError as error:
        if error.status not in (404, 429):  # not established, or its storage is being made
            raise
        return False
    return True


@pytest.fixture(scope="module")
def kubectl(plane: ControlPlane, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """``kubectl(*arguments, stdin="")``: what it says on both channels."""
    program = plane.link_kubectl(tmp_path_factory.mktemp("programs"))

    def run(*arguments: str, stdin: str = "") -> str:
        command = [str(program), f"--kubeconfig={plane.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr

    return run


def named(case: Case) -> str:
    return case.name


def submit(api: Api, manifest: Object, *, validation: str = "Ignore") -> Object:
    path = POOLS if manifest["kind"] == "GPUPool" else WORKLOADS
    return api.create(f"{path}?dryRun=All&fieldValidation={validation}", manifest)


def refusal(api: Api, manifest: Object, *, validation: str = "Ignore") -> str:
    with pytest.raises(ApiError) as error:
        submit(api, manifest, validation=validation)
    assert error.value.status in (400, 422)
    return error.value.message


@pytest.mark.parametrize("definition", crd.DEFINITIONS, ids=lambda definition: definition.plural)
def test_nothing_of_a_definition_is_dropped_by_the_server(api: Api, definition: crd.Definition) -> None:
    stored = api.get(f"{DEFINITIONS}/{definition.name}")
    assert stored["spec"]["versions"][0]["schema"] == definition.document()["spec"]["versions"][0]["schema"]
    assert condition(stored, "NonStructuralSchema") == {}


@pytest.mark.parametrize("case", api_cases.accepted(), ids=named)
def test_the_server_accepts_what_the_models_accept_and_reads_the_same(api: Api, case: Case) -> None:
    stored = submit(api, case.manifest, validation="Strict")
    assert api_cases.parse(stored).spec == api_cases.parse(case.manifest).spec


@pytest.mark.parametrize("case", api_cases.refused_by_rule(), ids=named)
def test_the_server_breaks_the_same_rules_as_the_models_in_the_same_words(api: Api, case: Case) -> None:
    message = refusal(api, case.manifest)
    for field, words in case.refused:
        assert f"{field or '<nil>'}: Invalid value" in message
        assert words in message
    assert message.count(": Invalid value: ") == len(case.refused), message


@pytest.mark.parametrize("case", api_cases.refused_by_schema(), ids=named)
def test_the_server_refuses_a_field_of_the_wrong_kind_by_name(api: Api, case: Case) -> None:
    message = refusal(api, case.manifest)
    for field in case.fields:
        assert f"{field}: " in message
    assert "error evaluating rule" not in message


@pytest.mark.parametrize("case", api_cases.refused_when_strict(), ids=named)
def test_unknown_fields_are_refused_where_the_client_asks_for_it_and_never_stored(api: Api, case: Case) -> None:
    (field,) = case.fields
    assert f'unknown field "{field}"' in refusal(api, case.manifest, validation="Strict")
    if case.name != "owned nodes":  # without the field that is not known, that price says nothing and is refused
        assert field.rpartition(".")[2] not in json.dumps(submit(api, case.manifest)["spec"])


def test_the_server_fills_in_the_documented_defaults(api: Api) -> None:
    spec = submit(api, api_cases.base("classic"))["spec"]
    assert spec["traffic"] == {"requestsPerSecond": 200, "burstiness": "1.0", "itemsPerRequest": 1}
    assert spec["replicas"] == {"minimum": 1, "maximum": 20}
    assert spec["placement"] == {
        "capacityTypes": ["OnDemand"],
        "sharing": ["Exclusive", "MIG"],
        "maximumTensorParallel": 8,
    }
    assert spec["rollout"] == {"strategy": "Switch"}
    assert spec["priority"] == 0
    assert not {"spot", "budget", "serving"} & spec.keys()


def test_defaults_beside_what_is_stated_are_filled_in_too(api: Api) -> None:
    stated = {
        "replicas": {"maximum": 3},
        "placement": {"capacityTypes": ["Spot"]},
        "spot": {},
        "budget": {"monthlyUSD": 9},
    }
    spec = submit(api, merge_patch(api_cases.base("classic"), {"spec": stated}))["spec"]
    assert spec["replicas"] == {"minimum": 1, "maximum": 3}
    assert spec["placement"]["maximumTensorParallel"] == 8
    assert spec["spot"] == {"maximumSharePercent": 70, "onDemandBase": 1}
    assert spec["budget"] == {"monthlyUSD": 9, "onExceeded": "Alert"}


@pytest.mark.parametrize(
    ("before", "after"), [("one", "other"), (None, "other"), ("one", None)], ids=["changed", "added", "removed"]
)
def test_the_name_that_clients_ask_for_cannot_change(api: Api, before: str | None, after: str | None) -> None:
    name = f"immutable-{before}-{after}".lower()
    patch = {"metadata": {"name": name}, "spec": {"model": {"name": before}}}
    api.create(WORKLOADS, merge_patch(api_cases.base("classic"), patch))
    with pytest.raises(ApiError, match=r"spec.model.*name cannot change"):
        api.patch(f"{WORKLOADS}/{name}", {"spec": {"model": {"name": after}}})
    changed = api.patch(f"{WORKLOADS}/{name}", {"spec": {"model": {"preset": "resnet18"}}})
    assert changed["spec"]["model"]["preset"] == "resnet18"
    api.delete(f"{WORKLOADS}/{name}")


def test_the_largest_object_that_is_allowed_is_within_the_budget_of_the_rules(api: Api) -> None:
    tensors = [
        {"name": f"tensor{i}".ljust(128, "x"), "dataType": "FP32", "dimensions": [2**31 - 1] * 16} for i in range(64)
    ]
    path = "/".join(["d" * 56] * 9)[:512]
    variants = [
        {
            "precision": precision,
            "source": {"persistentVolumeClaim": {"claimName": "c" * 253, "path": path}},
            "quality": {"score": "999999999999.999999999", "evidence": "Assumed"},
        }
        for precision in get_args(Precision)
    ]
    gpus = {"allow": [f"{i:064}" for i in range(64)], "deny": [f"{i:064}" for i in range(64, 128)]}
    spec = {
        "model": {"inputs": tensors, "outputs": tensors, "variants": variants, "maximumContextTokens": None},
        "objectives": {"quality": {"metric": "m" * 64, "minimum": "0.5"}},
        "placement": {"gpus": gpus},
    }
    largest = merge_patch(api_cases.base("classic"), {"spec": spec})
    assert len(submit(api, largest, validation="Strict")["spec"]["model"]["variants"]) == 11
    parse_workload(largest, strict=True)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_the_server_accepts_every_example(api: Api, path: Path) -> None:
    for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        namespace = manifest["metadata"].get("namespace")
        if namespace and not api.exists(f"/api/v1/namespaces/{namespace}"):
            api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        api.apply_object(manifest, dry_run=True)


# --- status ------------------------------------------------------------------------------------------------------


def workload_status() -> InferenceWorkloadStatus:
    """As large as one gets: every field, every list full, every message at its limit."""
    ready = Finding(ConditionType.READY, "True", Reason.REVISION_AVAILABLE, "m" * 300)
    findings = [
        Finding(kind, "True", Reason.REPLICAS_OWNED_BY_OTHER, "m" * 300) for kind in conditions.WORKLOAD_CONDITIONS
    ]
    latency = {f"{name}_milliseconds": _estimate() for name in ("mean", "p50", "p90", "p95", "p99")}
    measured = dict.fromkeys(latency, Decimal("12000"))
    berth = BerthStatus(
        pool="l4-spot-us-east1",
        gpu="L4",
        sharing=Sharing.EXCLUSIVE,
        mig_profile="1g.10gb",
        capacity_type=CapacityType.SPOT,
        precision="fp16",
        tensor_parallel=1,
        instances_per_gpu=1,
        maximum_batch_size=16,
        maximum_queue_delay_microseconds=500,
        replicas=2,
        ready_replicas=1,
    )
    return InferenceWorkloadStatus(
        observed_generation=1,
        conditions=conditions.merge(
            (), [*findings, ready], always=conditions.WORKLOAD_CONDITIONS, generation=1, now=NOW
        ),
        summary=WorkloadSummary(
            gpu="L4 Spot+OnDemand", precision="fp16", replicas="2+1", cost_per_hour="$1.38", p99="31 ms"
        ),
        berths=(berth,) * 4,
        replicas=3,
        ready_replicas=2,
        selector="berthmaster.dev/workload=resnet,berthmaster.dev/revision=0123abcd",
        predicted=Predicted(
            latency=LatencyEstimate(**latency),
            time_to_first_token=LatencyEstimate(**latency),
            time_per_output_token=LatencyEstimate(**latency),
            requests_per_second=_estimate(),
            output_tokens_per_second=_estimate(),
            utilization_percent=76,
            evidence="estimated",
        ),
        desired_replicas=3,
        observed=Observed(
            requests_per_second=Decimal("12000"),
            utilization_percent=76,
            latency=ObservedLatency(**measured),
            time_to_first_token=ObservedLatency(**measured),
            time_per_output_token=ObservedLatency(**measured),
            seconds_to_ready=3600,
            capacity_percent=100,
        ),
        learned=Learned(revision="0123abcd", memory=packed(ControlState())),
        cost=WorkloadCost(
            usd_per_hour=Decimal("1.38"),
            usd_per_month=Decimal("1007.4"),
            usd_per_million_requests=Decimal("1.92"),
            usd_per_million_tokens=Decimal("0.02"),
            price_date=date(2026, 11, 2),
            price_source="aws price list, us-east-1",
        ),
        savings=(
            SavingStatus(
                against="Conventional",
                what="20 × 8×A100-SXM-80GB, bf16, on demand",
                usd_per_hour=Decimal("544.02"),
                saved_usd_per_hour=Decimal("-262.64"),
                parts=SavingParts(
                    gpu=Decimal("-50.44"),
                    precision=Decimal("-50.44"),
                    replicas=Decimal("-50.44"),
                    capacity_type=Decimal("-50.44"),
                    price=Decimal("-60.88"),
                ),
            ),
            SavingStatus(against="Running", usd_per_hour=Decimal("544.02"), saved_usd_per_hour=Decimal("-262.64")),
        ),
        alternatives=(
            AlternativeStatus(
                placement="5 × L4 OnDemand int8",
                usd_per_hour=Decimal("4.02"),
                lost_by="cost",
                message="m" * 200,
                change="c" * 80,
            ),
        )
        * 5,
        revision="0123abcd",
        serving_revision="89abcdef",
        decision_hash="0123456789abcdef",
    )


def _estimate() -> Estimate:
    return Estimate(value=Decimal("31.1234"), low=Decimal("26.1234"), high=Decimal("37.1234"))


@pytest.fixture
def workload_with_status(api: Api) -> Iterator[Object]:
    api.create(WORKLOADS, merge_patch(api_cases.base("classic"), {"metadata": {"name": "reported"}}))
    status = workload_status().model_dump(mode="json", exclude_none=True)
    yield api.patch(f"{WORKLOADS}/reported/status", {"status": status})
    api.delete(f"{WORKLOADS}/reported")


def test_a_full_status_is_stored_as_it_was_written_and_stays_small(workload_with_status: Object) -> None:
    stored = workload_with_status["status"]
    assert stored == workload_status().model_dump(mode="json", exclude_none=True)
    assert parse_workload(workload_with_status).status == workload_status()
    # What follows demand is not compared with alternatives.
    followed = {name: part for name, part in stored.items() if name != "alternatives"}
    compared = {name: part for name, part in stored.items() if name not in ("observed", "learned")}
    for each in (followed, compared):
        assert len(json.dumps(each, separators=(",", ":"), ensure_ascii=False).encode()) <= 8000  # as it is stored


def test_the_columns_show_the_summary(workload_with_status: Object, kubectl: Kubectl) -> None:
    header, row = kubectl("get", "iw", "reported").splitlines()
    assert header.split() == ["NAME", "READY", "GPU", "PRECISION", "REPLICAS", "COST/H", "AGE"]
    assert " ".join(row.split()).startswith("reported True L4 Spot+OnDemand fp16 2+1 $1.38 ")


def test_the_wide_columns_say_why(workload_with_status: Object, kubectl: Kubectl) -> None:
    header, row = kubectl("get", "inference", "-o", "wide").splitlines()
    assert header.split()[6:] == ["P99", "REASON", "MESSAGE", "AGE"]
    assert "31 ms" in row
    assert "RevisionAvailable" in row


def test_kubectl_waits_for_ready(workload_with_status: Object, kubectl: Kubectl) -> None:
    assert "condition met" in kubectl("wait", "--for=condition=Ready", "iw/reported", "--timeout=5s")


def test_the_status_is_not_the_users_to_write(api: Api) -> None:
    manifest = merge_patch(api_cases.base("classic"), {"status": {"replicas": 3}})
    assert "status" not in submit(api, manifest)


def test_a_pool_shows_its_price_and_what_is_free(api: Api, kubectl: Kubectl) -> None:
    api.create(POOLS, api_cases.base("pool"))
    priced = Finding(ConditionType.PRICED, "True", Reason.PRICE_FOUND)
    status = GPUPoolStatus(
        observed_generation=1,
        conditions=conditions.merge((), (priced,), always=conditions.POOL_CONDITIONS, generation=1, now=NOW),
        summary=PoolSummary(gpu="L4", free="3/8", price_per_hour="$0.35"),
        gpu="L4",
        nodes=8,
        gpus=8,
        free_gpus=3,
        free_slices={"1g.10gb": 7},
        price=PoolPriceStatus(usd_per_node_hour=Decimal("0.35"), date=date(2026, 11, 2), source="price book"),
    )
    written = status.model_dump(mode="json", exclude_none=True)
    assert api.patch(f"{POOLS}/l4-spot/status", {"status": written})["status"] == written
    header, row = kubectl("get", "gpupool").splitlines()
    assert header.split() == ["NAME", "GPU", "CAPACITY", "NODES", "FREE", "PRICE/H", "PRICED", "AGE"]
    assert row.split()[:7] == ["l4-spot", "L4", "Spot", "8", "3/8", "$0.35", "True"]
    api.delete(f"{POOLS}/l4-spot")


# --- kubectl -----------------------------------------------------------------------------------------------------


def test_kubectl_explains_the_fields(kubectl: Kubectl) -> None:
    said = kubectl("explain", "iw.spec.objectives.timeToFirstToken")
    assert "from request to the first token (TTFT)" in said
    assert "p95Milliseconds" in said
    assert "Labels that every node of the pool has" in kubectl("explain", "gpupool.spec.nodeSelector")


def test_kubectl_refuses_a_typing_error_by_name(kubectl: Kubectl) -> None:
    manifest = merge_patch(api_cases.base("classic"), {"spec": {"replicas": {"maximumm": 3}}})
    assert 'unknown field "spec.replicas.maximumm"' in kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest))


def test_kubectl_names_the_field_of_a_contradiction(kubectl: Kubectl) -> None:
    manifest = merge_patch(api_cases.base("classic"), {"spec": {"replicas": {"minimum": 3, "maximum": 2}}})
    said = kubectl("apply", "-f", "-", stdin=yaml.safe_dump(manifest))
    assert "spec.replicas.minimum" in said
    assert "minimum must not be above maximum" in said


def test_workloads_and_only_they_can_be_scaled(api: Api) -> None:
    served: list[dict[str, Any]] = api.get("/apis/berthmaster.dev/v1alpha1")["resources"]
    assert {each["name"] for each in served} == {
        "gpupools", "gpupools/status", "inferenceworkloads", "inferenceworkloads/scale", "inferenceworkloads/status",
    }  # fmt: skip
