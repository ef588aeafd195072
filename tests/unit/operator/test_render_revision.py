"""What starts a rollout, and what never does."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import render_stories
from berth_cost.prices.book import Price
from berth_operator import labels
from berth_operator.render import Rendered
from berth_scheduler.snapshot import CapacityType, PodResources, Toleration
from render_stories import Story

RESNET = render_stories.story("vision-resnet")
REVISION = RESNET.render().revision


def with_pools(story: Story, **changes: Any) -> Story:
    return story.but(pools={name: pool.model_copy(update=changes) for name, pool in story.pools.items()})


def moved(story: Story, **changes: Any) -> Story:
    """Everything in one other pool."""
    pool = next(iter(story.pools.values())).model_copy(update={"name": "elsewhere", **changes})
    berth = story.decision.berths[0].model_copy(update={"pool": "elsewhere", "capacity_type": pool.capacity_type})
    decision = story.decision.model_copy(update={"berths": (berth,)})
    return story.but(pools={"elsewhere": pool}, decision=decision)


def variant(precision: str) -> dict[str, Any]:
    claim = {"claimName": "models", "path": f"resnet50/{precision}"}
    return {"precision": precision, "source": {"persistentVolumeClaim": claim}}


UNCHANGED = {
    "replicas": RESNET.with_berths(replicas=17),
    "another pool with the same GPU": moved(RESNET),
    "another pool, bought as spot": moved(RESNET, capacity_type=CapacityType.SPOT),
    "one berth of two": RESNET.but(decision=RESNET.decision.model_copy(update={"berths": RESNET.decision.berths[:1]})),
    "berths in another order": RESNET.but(
        decision=RESNET.decision.model_copy(update={"berths": RESNET.decision.berths[::-1]})
    ),
    "labels of the pools": with_pools(RESNET, node_labels={"renamed": "yes"}),
    "tolerations of the pools": with_pools(RESNET, tolerations=(Toleration(key="new", operator="Exists"),)),
    "zones of the pools": with_pools(RESNET, zones=("us-east1-d",)),
    "the planning hash": RESNET.with_planned(planning_hash="another"),
    "what serves": RESNET.but(serving_revision="deadbeef"),
    "the rate": RESNET.with_spec({"traffic.requestsPerSecond": 300}),
    "bounds of the replicas": RESNET.with_spec({"replicas": {"minimum": 2, "maximum": 9}}),
    "a variant that was not chosen": RESNET.with_spec({"model.variants": [variant("fp16"), variant("int8")]}),
    "who may connect": RESNET.with_platform(open_egress=True, metrics_from=()),
    "how long spot leaves": RESNET.with_platform(grace_cap_seconds={CapacityType.SPOT: 100}),
    "the metrics interval": RESNET.with_platform(metrics_interval_seconds=60),
}

CHANGED = {
    "precision": RESNET.with_spec({"model.variants.0.precision": "bf16"}).with_berths(precision="bf16"),
    "batch size": RESNET.with_berths(maximum_batch_size=32),
    "queue delay": RESNET.with_berths(maximum_queue_delay_microseconds=700),
    "instances": RESNET.with_berths(instances_per_gpu=2),
    "GPU": RESNET.with_berths(gpu="A10"),
    "GPUs of a replica": RESNET.with_berths(tensor_parallel=2, gpus_per_replica=2.0),
    "image": RESNET.with_platform(images={"onnxruntime": {"reference": "nvcr.io/nvidia/tritonserver:26.06-py3"}}),
    "path of the artefact": RESNET.with_spec({"model.variants.0.source.persistentVolumeClaim.path": "resnet50/v2"}),
    "claim of the artefact": RESNET.with_spec({"model.variants.0.source.persistentVolumeClaim.claimName": "others"}),
    "declared inputs": RESNET.with_spec(
        {
            "model.inputs": [{"name": "input", "dataType": "FP32", "dimensions": [3, 224, 224]}],
            "model.outputs": [{"name": "output", "dataType": "FP32", "dimensions": [1000]}],
        }
    ),
    "resources": RESNET.with_planned(resources=PodResources(cpu_cores=8, memory_bytes=2**34)),
    "priority class": RESNET.with_spec({"serving": {"priorityClassName": "urgent"}}),
    "drain": RESNET.with_platform(drain_seconds=20),
}


@pytest.mark.parametrize("what", UNCHANGED)
def test_a_revision_stays_when_this_changes(what: str) -> None:
    assert UNCHANGED[what].render().revision == REVISION


@pytest.mark.parametrize("what", CHANGED)
def test_a_revision_is_new_when_this_changes(what: str) -> None:
    assert CHANGED[what].render().revision != REVISION


def test_a_price_is_not_even_an_input() -> None:
    price = Price(usd_per_node_hour=Decimal("3.5"), source="stated", date=date(2026, 11, 1))
    assert with_pools(RESNET, price=price).render() == RESNET.render()


@given(
    replicas=st.lists(st.integers(0, 1000), min_size=2, max_size=2),
    zones=st.none() | st.lists(st.sampled_from("abcdef"), min_size=1, unique=True),
    node_labels=st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.just("yes"), max_size=3),
    capacity_type=st.sampled_from(CapacityType),
    planning_hash=st.text("0123456789abcdef", min_size=8, max_size=8),
)
def test_replicas_places_and_times_never_start_a_rollout(
    replicas: list[int],
    zones: list[str] | None,
    node_labels: dict[str, str],
    capacity_type: CapacityType,
    planning_hash: str,
) -> None:
    changed = with_pools(RESNET, zones=tuple(zones) if zones else None, node_labels=node_labels)
    berths = tuple(
        berth.model_copy(update={"replicas": count, "capacity_type": capacity_type})
        for berth, count in zip(RESNET.decision.berths, replicas, strict=True)
    )
    changed = changed.but(decision=RESNET.decision.model_copy(update={"berths": berths}))
    rendered = changed.with_planned(planning_hash=planning_hash).render()
    assert rendered.revision == REVISION
    assert rendered.config == RESNET.render().config


def templates(rendered: Rendered) -> list[Any]:
    return [each["spec"]["template"] for each in rendered.deployments]


def test_a_new_planning_hash_reaches_the_deployment_and_no_pod() -> None:
    rendered = RESNET.with_planned(planning_hash="another").render()
    assert {each["metadata"]["annotations"][labels.PLANNED_FOR] for each in rendered.deployments} == {"another"}
    assert templates(rendered) == templates(RESNET.render())


def test_the_annotation_of_what_was_applied_changes_with_the_object_and_only_with_it() -> None:
    before, after = RESNET.render(), RESNET.but(serving_revision="deadbeef").render()
    changed = {
        (old["kind"], old["metadata"]["name"])
        for old, new in zip(before.objects, after.objects, strict=True)
        if old["metadata"]["annotations"][labels.RENDERED] != new["metadata"]["annotations"][labels.RENDERED]
    }
    assert changed == {("Service", "resnet"), ("Service", "resnet-headless")}


def test_berths_that_run_differently_share_a_revision_and_have_files_of_their_own() -> None:
    first, second = RESNET.decision.berths
    berths = (first, second.model_copy(update={"maximum_batch_size": 4}))
    rendered = RESNET.but(decision=RESNET.decision.model_copy(update={"berths": berths})).render()
    keys = [
        mount["subPath"]
        for template in templates(rendered)
        for mount in template["spec"]["containers"][0]["volumeMounts"]
        if mount["name"] == "configuration"
    ]
    assert len(set(keys)) == 2
    assert set(keys) == set(rendered.config["data"])
    sizes = ["max_batch_size: 16" in rendered.config["data"][key] for key in keys]
    assert sizes == [True, False]
    assert rendered.revision != REVISION


def test_two_berths_in_one_pool_have_names_of_their_own() -> None:
    first, _ = RESNET.decision.berths
    berths = (first, first.model_copy(update={"maximum_batch_size": 4, "replicas": 7}))
    rendered = RESNET.but(decision=RESNET.decision.model_copy(update={"berths": berths})).render()
    assert len(set(rendered.replicas)) == 2
    assert list(rendered.replicas.values()) == [1, 7]
