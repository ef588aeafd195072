"""What holds of every plan, whatever the fleet: drawn by hypothesis from real GPUs, models and made-up prices."""

import os
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from berth_cost.cases.case import Case, Engine, Hardware, Load, Parallelism, Request, Serving
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.performance.prediction import predict
from berth_scheduler.decision import Decision, Plan
from berth_scheduler.plan import plan
from berth_scheduler.snapshot import (
    Berth,
    CapacityType,
    Node,
    Placement,
    PodResources,
    Pool,
    Quality,
    QualityObjective,
    Running,
    RunningBerth,
    Snapshot,
    SpotPolicy,
    Variant,
    Workload,
)
from example_snapshots import BERT, GIB, chat, decision, gpu, now_running, p99, pool, snapshot, vision

BOTH = (CapacityType.ON_DEMAND, CapacityType.SPOT)
thorough = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PRICES = st.decimals("0.05", "9", places=2)

# --- fleets --------------------------------------------------------------------------------------------------------


@st.composite
def pools(draw: st.DrawFn, most: int = 4) -> tuple[Pool, ...]:
    """Pools of different sizes, some with room to grow, some sliced, some spot."""
    kinds = draw(
        st.lists(st.sampled_from(["T4", "L4", "L40S", "A100-SXM-80GB", "H100-SXM-80GB"]), min_size=1, max_size=most)
    )
    made = []
    for index, kind in enumerate(kinds):
        nodes = draw(st.integers(0, 5))
        sliced = kind == "A100-SXM-80GB" and draw(st.booleans())
        made.append(
            pool(
                f"pool-{index}",
                kind,
                str(draw(PRICES)),
                nodes=nodes,
                gpus_per_node=draw(st.sampled_from([1, 2, 4, 8])),
                mig_layout={"1g.10gb": 3, "2g.20gb": 2} if sliced else {},
                maximum_nodes=draw(st.one_of(st.none(), st.integers(nodes, nodes + 3))),
                capacity_type=draw(st.sampled_from((CapacityType.ON_DEMAND, *BOTH))),
            )
        )
    return tuple(made)


@st.composite
def workloads(draw: st.DrawFn, key: str = "a/one") -> Workload:
    placement = Placement(
        capacity_types=draw(st.sampled_from([BOTH, BOTH[:1]])),
        deny=draw(st.sampled_from([(), ("T4",)])),
        maximum_tensor_parallel=draw(st.sampled_from([1, 8])),
    )
    shared = {
        "placement": placement,
        "priority": draw(st.integers(0, 2)),
        "minimum_replicas": draw(st.integers(1, 3)),
        "maximum_replicas": draw(st.integers(3, 40)),
        "spot": SpotPolicy(maximum_share_percent=draw(st.integers(0, 100)), on_demand_base=draw(st.integers(0, 2))),
        "budget_usd_per_month": draw(st.sampled_from([None, None, Decimal(300), Decimal(3000)])),
        "resources": PodResources(cpu_cores=draw(st.sampled_from([1, 1, 8, 40])), memory_bytes=4 * GIB),
    }
    if draw(st.integers(0, 2)) == 0:
        variants = tuple(Variant(precision=one) for one in draw(st.sampled_from([("bf16",), ("fp8", "bf16")])))
        return chat(key, draw(st.floats(0.1, 15)), variants=variants, **shared)
    variants = tuple(
        Variant(precision=one, quality=Quality(score=Decimal(score), evidence="Measured"))
        for one, score in draw(st.sampled_from([(("fp16", "0.91"),), (("fp16", "0.91"), ("int8", "0.90"))]))
    )
    changes = draw(
        st.sampled_from(
            [{}, {"model": BERT}, {"quality": QualityObjective(metric="top1", maximum_loss_percent=Decimal("0.5"))}]
        )
    )
    latency = p99(draw(st.floats(8, 400)))
    return vision(key, draw(st.floats(1, 4000)), variants=variants, latency=latency, **{**shared, **changes})


@st.composite
def fleets(draw: st.DrawFn) -> Snapshot:
    count = draw(st.integers(1, 4))
    return snapshot([draw(workloads(f"a/{index}")) for index in range(count)], draw(pools()))


def hourly(made: Plan, key: str | None = None) -> Decimal | None:
    cost = decision(made, key).cost
    return cost.usd_per_hour if cost else None


# --- properties ----------------------------------------------------------------------------------------------------


@thorough
@given(fleets())
def test_no_choice_breaks_what_was_asked(asked: Snapshot) -> None:
    made = plan(asked)
    by_key = {workload.key: workload for workload in asked.workloads}
    by_name = {one.name: one for one in asked.pools}
    for one in made.decisions:
        if one.placed:
            check_wishes(one, by_key[one.workload], by_name)
            check_speed(one, by_key[one.workload])
        else:
            assert not one.berths and one.cost is None and one.message


def check_wishes(made: Decision, workload: Workload, by_name: dict[str, Pool]) -> None:
    """Everything but speed, computed here from the snapshot alone."""
    placement = workload.placement
    total = sum(berth.replicas for berth in made.berths)
    spot = sum(berth.replicas for berth in made.berths if berth.capacity_type is CapacityType.SPOT)
    assert workload.minimum_replicas <= total <= workload.maximum_replicas
    assert (
        len({berth.model_copy(update={"pool": "", "capacity_type": "Spot", "replicas": 1}) for berth in made.berths})
        == 1
    )
    if spot:
        assert spot * 100 <= total * workload.spot.maximum_share_percent
        assert total - spot >= min(workload.spot.on_demand_base, total)
    usd = Fraction(0)
    for berth in made.berths:
        source = by_name[berth.pool]
        assert berth.gpu not in placement.deny
        assert berth.capacity_type is source.capacity_type and berth.capacity_type in placement.capacity_types
        assert berth.tensor_parallel <= placement.maximum_tensor_parallel
        assert source.gpus_per_node % berth.tensor_parallel == 0
        share = Fraction(berth.tensor_parallel)
        if berth.mig_profile:
            # 3 × 1g.10gb and 2 × 2g.20gb use all seven compute slices: 1, 1, 1, 2, 2
            share = {"1g.10gb": Fraction(1, 7), "2g.20gb": Fraction(2, 7)}[berth.mig_profile]
        assert abs(float(share) - berth.gpus_per_replica) < 1e-5
        usd += Fraction(source.price.usd_per_node_hour) / source.gpus_per_node * share * berth.replicas
    assert abs(made.cost.usd_per_hour - Decimal(float(usd))) <= Decimal("0.005") + Decimal(float(usd)) / 10**5
    if workload.budget_usd_per_month is not None:
        assert usd * 730 <= Fraction(workload.budget_usd_per_month)
    chosen = next(one for one in workload.variants if one.precision == made.berths[0].precision)
    if workload.quality:
        best = max(one.quality.score for one in workload.variants)
        assert chosen.quality.score >= best * (1 - workload.quality.maximum_loss_percent / 100)


@thorough
@given(fleets(), st.sampled_from([90.0, 99.0, 99.9, 99.9999]))
def test_whatever_is_placed_stands_as_often_as_was_asked(asked: Snapshot, percent: float) -> None:
    demanding = [one.model_copy(update={"availability_percent": percent}) for one in asked.workloads]
    made = plan(asked.model_copy(update={"workloads": tuple(demanding)}))
    by_name = {one.name: one for one in asked.pools}
    for one, workload in zip(made.decisions, sorted(demanding, key=lambda each: each.key), strict=True):
        if one.placed:
            assert one.availability_percent is not None and one.availability_percent >= percent
            check_wishes(one, workload, by_name)


def check_speed(made: Decision, workload: Workload) -> None:
    """The configuration as a case of its own: it runs, and every objective holds on the pessimistic edge."""
    berth = made.berths[0]
    traffic = workload.traffic
    rate = traffic.requests_per_second / sum(one.replicas for one in made.berths)
    tokens = {}
    if traffic.input_tokens:
        tokens = {"input_tokens": traffic.input_tokens.mean, "output_tokens": traffic.output_tokens.mean}
    case = Case(
        id="check",
        model=workload.model,
        hardware=Hardware(gpu=berth.gpu, gpu_count=berth.tensor_parallel, mig_profile=berth.mig_profile),
        precision=berth.precision,
        engine=Engine(name=workload.backend),
        parallelism=Parallelism(tensor=berth.tensor_parallel),
        serving=Serving(
            maximum_batch_size=berth.maximum_batch_size,
            instances=berth.instances_per_gpu,
            maximum_queue_delay_microseconds=berth.maximum_queue_delay_microseconds,
        ),
        load=Load(kind="open", requests_per_second=rate, burstiness=1.0),
        request=Request(**tokens),
    )
    catalogue = GPUCatalogue.load_builtin()
    answer = predict(case_table([case], {name: catalogue.get(name) for name in catalogue.names()}))
    assert answer.feasible[0], answer.reason_message[0]
    for ask in workload.latency:
        assert answer.high[ask.metric][ask.statistic][0] <= ask.limit_seconds * (1 + 1e-3)


@thorough
@given(fleets())
def test_no_pool_holds_more_than_it_has(asked: Snapshot) -> None:
    made = plan(asked)
    for source in asked.pools:
        nodes = max(len(source.nodes), source.maximum_nodes or 0)
        for profile in [*source.mig_layout] or [None]:
            each = source.gpus_per_node * (source.mig_layout[profile] if profile else 1)
            held = sum(
                berth.replicas * berth.tensor_parallel
                for one in made.decisions
                for berth in one.berths
                if (berth.pool, berth.mig_profile) == (source.name, profile)
            )
            assert held <= nodes * each
        cores = sum(
            berth.replicas * workload.resources.cpu_cores
            for one, workload in zip(made.decisions, sorted(asked.workloads, key=lambda each: each.key), strict=True)
            for berth in one.berths
            if berth.pool == source.name
        )
        assert cores <= nodes * 64


@thorough
@given(workloads(), pools(), st.floats(1.0, 5.0))
def test_a_looser_latency_never_costs_more(workload: Workload, supply: tuple[Pool, ...], factor: float) -> None:
    loose = workload.model_copy(
        update={
            "latency": tuple(
                one.model_copy(update={"limit_seconds": one.limit_seconds * factor}) for one in workload.latency
            )
        }
    )
    before, after = (hourly(plan(snapshot([one], supply))) for one in (workload, loose))
    assert before is None or (after is not None and after <= before)


@thorough
@given(workloads(), pools(), st.floats(1.0, 5.0))
def test_a_higher_rate_never_costs_less(workload: Workload, supply: tuple[Pool, ...], factor: float) -> None:
    rate = workload.traffic.requests_per_second * factor
    busy = workload.model_copy(update={"traffic": workload.traffic.model_copy(update={"requests_per_second": rate})})
    quiet, busier = (hourly(plan(snapshot([one], supply))) for one in (workload, busy))
    assert busier is None or (quiet is not None and quiet <= busier)


@thorough
@given(workloads(), pools(), st.integers(0, 3), st.decimals("1", "4", places=1))
def test_a_dearer_pool_never_makes_it_cheaper(
    workload: Workload, supply: tuple[Pool, ...], index: int, factor: Decimal
) -> None:
    one = supply[index % len(supply)]
    price = one.price.model_copy(update={"usd_per_node_hour": one.price.usd_per_node_hour * factor})
    dearer = tuple(each if each is not one else each.model_copy(update={"price": price}) for each in supply)
    before, after = (hourly(plan(snapshot([workload], each))) for each in (supply, dearer))
    assert after is None or (before is not None and before <= after)


@thorough
@given(fleets(), st.randoms(use_true_random=False))
def test_the_order_of_workloads_pools_and_nodes_changes_nothing(asked: Snapshot, shuffle) -> None:
    def shuffled(values):
        return tuple(shuffle.sample(list(values), len(values)))

    mixed = asked.model_copy(
        update={
            "workloads": shuffled(asked.workloads),
            "pools": shuffled([one.model_copy(update={"nodes": shuffled(one.nodes)}) for one in asked.pools]),
        }
    )
    assert plan(mixed).model_dump_json() == plan(asked).model_dump_json()


@thorough
@given(fleets())
def test_a_snapshot_read_back_from_json_plans_the_same_bytes(asked: Snapshot) -> None:
    again = Snapshot.model_validate_json(asked.model_dump_json())
    made = plan(asked).model_dump_json()
    assert plan(again).model_dump_json() == made
    assert Plan.model_validate_json(made).model_dump_json() == made


@thorough
@given(workloads(), pools(), PRICES)
def test_what_runs_is_not_moved_by_a_cheaper_price(workload: Workload, supply: tuple[Pool, ...], usd: Decimal) -> None:
    first = decision(plan(snapshot([workload], supply)))
    if first.placed and all(fits_what_exists(berth, supply) for berth in first.berths):
        running = now_running(workload, first.berths, supply)
        offer = pool("offer", "H100-SXM-80GB", str(usd / 100), nodes=3, gpus_per_node=8)
        second = decision(plan(snapshot([running], [*supply, offer])))
        assert second.kept and second.berths == first.berths


@thorough
@given(fleets(), st.lists(PRICES, min_size=4, max_size=4))
def test_a_fleet_that_runs_as_planned_stays_as_planned_whatever_prices_do(
    asked: Snapshot, prices: list[Decimal]
) -> None:
    first = plan(asked)
    running = all_running(asked, first)
    if running is not None:
        repriced = tuple(
            one.model_copy(update={"price": one.price.model_copy(update={"usd_per_node_hour": usd})})
            for one, usd in zip(asked.pools, prices, strict=False)
        )
        second = plan(running.model_copy(update={"pools": repriced}))
        for before, after in zip(first.decisions, second.decisions, strict=True):
            if before.placed:
                assert after.kept and after.berths == before.berths and after.transition == "None"


def all_running(asked: Snapshot, made: Plan) -> Snapshot | None:
    """Every placed workload with its pods on the first nodes that have room; None where they need nodes to come."""
    free = {one.name: {each.name: each for each in one.nodes} for one in asked.pools}
    workloads = []
    for one, workload in zip(made.decisions, sorted(asked.workloads, key=lambda each: each.key), strict=True):
        berths = []
        for berth in one.berths:
            nodes = [seat(free[berth.pool], berth, workload) for _ in range(berth.replicas)]
            if None in nodes:
                return None
            berths.append(RunningBerth(berth=berth, ready_replicas=berth.replicas, nodes=tuple(sorted(nodes))))
        revision = Running(revision="1", planned_for=workload.planning_hash, serving=True, berths=tuple(berths))
        workloads.append(workload.model_copy(update={"running": (revision,) if berths else ()}))
    return asked.model_copy(update={"workloads": tuple(workloads)})


def seat(nodes: dict[str, Node], berth: Berth, workload: Workload) -> str | None:
    """Take one replica's room from the fullest node that has it: the order in which the plan fills nodes."""

    def seats(one: Node) -> int:
        units = (
            one.free_slices.get(berth.mig_profile, 0) if berth.mig_profile else one.free_gpus // berth.tensor_parallel
        )
        return min(units, int(one.free_cpu_cores // workload.resources.cpu_cores))

    able = sorted((one for one in nodes.values() if seats(one) > 0), key=lambda one: (seats(one), one.name))
    if not able:
        return None
    one = able[0]
    slices = dict(one.free_slices)
    if berth.mig_profile:
        slices[berth.mig_profile] -= 1
    nodes[one.name] = one.model_copy(
        update={
            "free_slices": slices,
            "free_gpus": one.free_gpus - (0 if berth.mig_profile else berth.tensor_parallel),
            "free_cpu_cores": one.free_cpu_cores - workload.resources.cpu_cores,
        }
    )
    return one.name


def fits_what_exists(berth: Berth, supply: tuple[Pool, ...]) -> bool:
    """Whether the berth needs no node that is not there yet: the test lets its pods run on those that are."""
    source = next(one for one in supply if one.name == berth.pool)
    free = [one.free_slices.get(berth.mig_profile, 0) if berth.mig_profile else one.free_gpus for one in source.nodes]
    return berth.replicas <= sum(units // berth.tensor_parallel for units in free)


def test_the_same_bytes_come_whatever_the_hash_seed(tmp_path: Path) -> None:
    asked = snapshot(
        [vision("a/one", placement=Placement(capacity_types=BOTH)), chat("b/two"), vision("c/three", latency=p99(0.5))],
        [
            pool("t4", "T4", "0.5", nodes=2),
            pool("l4", "L4", "0.5", nodes=2),
            pool("mig", "A100-SXM-80GB", "4", nodes=1, mig_layout={"1g.10gb": 3, "2g.20gb": 2}),
            pool("h", "H100-SXM-80GB", "30", nodes=1, gpus_per_node=8),
        ],
    )
    file = tmp_path / "snapshot.json"
    file.write_text(asked.model_dump_json())
    code = (
        "import sys; from berth_scheduler.plan import plan; from berth_scheduler.snapshot import Snapshot;"
        "print(plan(Snapshot.model_validate_json(open(sys.argv[1]).read())).model_dump_json())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, str(file)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(outputs) == 1
    assert gpu("L4").name.encode() in outputs.pop()
