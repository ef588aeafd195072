"""An operator with an autoscaler, driven by hand on an API server in memory: scripted signals, a clock of its own."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from berth_operator import kinds
from berth_operator.autoscaling.fleet_autoscaler import FleetAutoscaler
from berth_operator.autoscaling.view import View
from berth_operator.catalogues import Catalogues
from berth_operator.events import Recorder
from berth_operator.labels import APP_INSTANCE, POOL, REVISION, WORKLOAD
from berth_operator.mirror import Mirror
from berth_operator.planner import Result, make_plan
from berth_operator.platform import Platform
from berth_operator.reconcile import Outcome, Reconciler
from berth_operator.right_sizing import RightSizer
from berth_operator.signals.source import Reading, SignalSource, WorkloadKey, WorkloadSignals
from berth_operator.world import World
from berth_scheduler.snapshot import Policy
from fake_kube import FakeKube

CATALOGUES = Catalogues.built_in()
START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TICK_SECONDS = 10.0
Object = dict[str, Any]


def workload(name: str = "resnet", namespace: str = "vision", **spec: Any) -> Object:
    source = {"persistentVolumeClaim": {"claimName": "models", "path": "resnet50/fp16"}}
    variants = [{"precision": "fp16", "source": source}]
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"preset": "resnet50", "backend": "onnxruntime", "variants": variants},
            "traffic": {"requestsPerSecond": 200},
            "objectives": {"latency": {"p99Milliseconds": 50}},
            **spec,
        },
    }


def node(name: str, product: str, pool: str, gpus: int = 1) -> Object:
    amounts = {"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": str(gpus)}
    found = {"pool": pool, "nvidia.com/gpu.product": product}
    status = {"allocatable": amounts, "capacity": amounts, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": name, "labels": found}, "spec": {}, "status": status}


def pool(name: str, price: str, gpus: int = 1, **more: Any) -> Object:
    spec = {"nodeSelector": {"pool": name}, "gpusPerNode": gpus, "price": {"usdPerNodeHour": price}}
    return {"metadata": {"name": name}, "spec": {**spec, "capacityType": "OnDemand", **more}}


def cluster(nodes: int = 20) -> FakeKube:
    """One pool of T4 nodes, and the claim that workloads mount."""
    kube = FakeKube()
    claim = {"metadata": {"name": "models", "namespace": "vision"}, "spec": {"accessModes": ["ReadOnlyMany"]}}
    kube.put(kinds.CLAIM, claim | {"status": {"phase": "Bound", "accessModes": ["ReadOnlyMany"]}})
    kube.put(kinds.POOL, pool("t4", "0.50"))
    for number in range(nodes):
        kube.put(kinds.NODE, node(f"t4-{number}", "Tesla-T4", "t4"))
    return kube


@dataclass
class ScriptedSource:
    """Says what the test says. ``problem``: Prometheus is down."""

    signals: dict[WorkloadKey, Mapping[str, Any] | Callable[[], Mapping[str, Any]]] = field(default_factory=dict)
    problem: str = ""
    asked: int = 0

    async def read(self, workloads: Iterable[WorkloadKey], at_seconds: float) -> Reading:
        self.asked += 1
        if self.problem:
            return Reading(at_seconds, problem=self.problem)
        found = {
            key: WorkloadSignals(at_seconds=at_seconds, **{"age_seconds": 5.0, **(said() if callable(said) else said)})
            for key in workloads
            if (said := self.signals.get(key)) is not None
        }
        return Reading(at_seconds, found)


class FollowedFleet:
    """Plan, look, tick, in virtual time. ``source`` None: nothing measures. ``sizer`` makes what right-sizes."""

    def __init__(
        self, kube: FakeKube, source: ScriptedSource | None, sizer: Callable[[], RightSizer] | None = None
    ) -> None:
        self.kube = kube
        self.source = source
        self.sizer = sizer
        self.seconds = 0.0
        self.start()

    def start(self) -> None:
        """A new process: everything that was only in memory is gone."""
        every = (kinds.WORKLOAD, kinds.POOL, kinds.NODE, kinds.POD, kinds.CLAIM, kinds.VOLUME, *kinds.CHILDREN)
        self.mirrors = {kind: Mirror(kind) for kind in every}
        self.kube.watch(self.mirrors.values())
        self.result = Result({}, {})
        self.due: set[str] = set()
        self.plan_due = True
        self.right_sizer = None if self.sizer is None else self.sizer()
        self.autoscaler: FleetAutoscaler | None = None
        if self.source is not None:
            self.follow(self.source)
        self.reconciler = Reconciler(
            self.kube,
            self.mirrors,
            lambda: self.result,
            Platform(),
            recorder=Recorder(self.kube, instance="test", clock=lambda: self.seconds, now=self.now),
            clock=lambda: self.seconds,
            now=self.now,
            views=None if self.source is None else self._view,
        )

    def follow(self, source: SignalSource) -> None:
        """By what another source measures, from nothing."""
        self.autoscaler = FleetAutoscaler(
            source,
            self.mirrors,
            lambda: self.result,
            changed=self._changed,
            now=lambda: START.timestamp() + self.seconds,
        )

    def _view(self, key: str) -> View | None:
        return None if self.autoscaler is None else self.autoscaler.view(key)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def _changed(self, news: set[str], wanted: bool) -> None:
        self.due |= news
        self.plan_due = self.plan_due or wanted

    def plan(self) -> None:
        things = {kind: mirror.things() for kind, mirror in self.mirrors.items()}
        before = self.result.planned
        self.result = make_plan(
            World(
                workloads=things[kinds.WORKLOAD],
                pools=things[kinds.POOL],
                nodes=things[kinds.NODE],
                pods=things[kinds.POD],
                deployments=things[kinds.DEPLOYMENT],
                services=things[kinds.SERVICE],
                claims=things[kinds.CLAIM],
                volumes=things[kinds.VOLUME],
                scalings={} if self.autoscaler is None else self.autoscaler.scalings(),
            ),
            CATALOGUES,
            policy=Policy(),
            tolerations=(),
            now=self.now(),
            right_sizer=self.right_sizer,
        )
        self.plan_due = self.result.review is not None and self.result.review.moves
        self.due |= {key for key, each in self.result.planned.items() if each != before.get(key)}

    async def round(self, seconds: float = TICK_SECONDS) -> None:
        """One tick, and all that follows from it."""
        if self.autoscaler is not None and self.result.planned:
            await self.autoscaler.tick()
        if self.plan_due:
            self.plan()
        for key in sorted(self.due):
            self.due.discard(key)
            await self.reconciler.reconcile(key)
        self.controllers()
        self.seconds += seconds

    async def rounds(self, count: int) -> None:
        for _ in range(count):
            await self.round()

    async def settle(self, key: str = "vision/resnet") -> Outcome:
        """Until nothing is written any more."""
        outcome = Outcome("")
        for _ in range(12):
            before = len(self.kube.writes)
            self.plan()
            outcome = await self.reconciler.reconcile(key)
            self.controllers()
            self.seconds += TICK_SECONDS
            if len(self.kube.writes) == before and outcome.look_again_seconds is None:
                return outcome
        raise AssertionError(f"still writing: {self.kube.writes[-5:]}")

    def controllers(self, ready: Callable[[Object], bool] = lambda each: True) -> None:
        """What Deployments do: pods come and go, and are ready at once."""
        for (kind, namespace, name), thing in list(self.kube.objects.items()):
            if kind is not kinds.DEPLOYMENT:
                continue
            count = thing["spec"].get("replicas", 1)
            self._pods(thing, count)
            status = {
                "observedGeneration": thing["metadata"]["generation"],
                "replicas": count,
                "updatedReplicas": count,
                "readyReplicas": count if ready(thing) else 0,
                "availableReplicas": count if ready(thing) else 0,
            }
            if thing.get("status") != status:
                self.plan_due = True
                self.due.add(f"{namespace}/{thing['metadata']['labels'][WORKLOAD]}")

                def say(each: Object, status: Object = status) -> None:
                    each["status"] = status

                self.kube.change(kinds.DEPLOYMENT, name, namespace, say)

    def _pods(self, deployment: Object, count: int) -> None:
        metadata = deployment["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        there = [
            key for key in sorted(self.kube.objects, key=str) if key[0] is kinds.POD and key[2].startswith(f"{name}-")
        ]
        for key in there[count:]:
            self.kube.remove(*[key[0], key[2], key[1]])
        taken = {
            thing["spec"].get("nodeName") for (kind, _, _), thing in self.kube.objects.items() if kind is kinds.POD
        }
        where = deployment["spec"]["template"]["metadata"]["labels"].get(POOL)
        free = [
            name
            for name in self.kube.names(kinds.NODE)
            if name not in taken and self.kube.objects[kinds.NODE, None, name]["metadata"]["labels"]["pool"] == where
        ]
        for number in range(len(there), count):
            own = {each: metadata["labels"][each] for each in (WORKLOAD, REVISION)}
            own |= {"app.kubernetes.io/managed-by": "berthmaster", APP_INSTANCE: name}
            gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
            self.kube.put(
                kinds.POD,
                {
                    "metadata": {"name": f"{name}-{number}-{int(self.seconds)}", "namespace": namespace, "labels": own},
                    "spec": {"nodeName": free.pop(0) if free else None, "containers": [gpu]},
                    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
                },
            )

    # --- what there is -------------------------------------------------------------------------------------------

    def status(self, name: str = "resnet") -> Object:
        found: Object = self.kube.objects[kinds.WORKLOAD, "vision", name]["status"]
        return found

    def condition(self, kind: str, name: str = "resnet") -> tuple[str, str]:
        for each in self.status(name).get("conditions", ()):
            if each["type"] == kind:
                return each["status"], each["reason"]
        return "", ""

    def replicas(self) -> int:
        """Asked for by all Deployments together."""
        return sum(
            thing["spec"].get("replicas", 1)
            for (kind, _, _), thing in self.kube.objects.items()
            if kind is kinds.DEPLOYMENT
        )

    def sustained(self, key: str = "vision/resnet") -> float:
        """Requests/s of one replica, by the plan."""
        return self.result.planned[key].decision.requests_per_second_per_replica or 0.0

    def serve(self, requests_per_second: float, *, efficiency: float = 1.0, **more: Any) -> Callable[[], Object]:
        """What is measured of replicas that carry ``efficiency`` of what the model says, under a rate."""
        decision = self.result.planned["vision/resnet"].decision
        used = decision.prediction.utilization if decision.prediction else None
        replicas = sum(berth.replicas for berth in decision.berths)
        saturation = (decision.requests_per_second or 0) / (used or 1) / replicas

        def said() -> Object:
            busy = requests_per_second / saturation / efficiency / max(self.replicas(), 1)
            return {"requests_per_second": requests_per_second, "utilization": min(busy, 1.0), **more}

        return said
