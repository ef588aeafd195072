"""What tests of the running operator start from: quick settings, a few nodes and pools, small workloads."""

from pathlib import Path
from typing import Any

import diagnosis
import fleet
import namespaces
from cluster import LocalCluster
from kube_api import Api, Object

CRDS = Path(__file__).resolve().parents[2] / "crds"

NODES = ((fleet.T4_EKS, 4), (fleet.L4_GKE, 4))

QUICK: dict[str, Any] = {
    "planning": {"idleSeconds": 0.2, "longestSeconds": 2},
    "reconcile": {"firstRetrySeconds": 0.2, "lastRetrySeconds": 2, "resyncSeconds": 30, "relistSeconds": 60},
    "lease": {"durationSeconds": 6, "renewDeadlineSeconds": 4, "retrySeconds": 1},
    "platform": {"drainSeconds": 2},
    "health": {"port": 0},
}
"""As the defaults, some times as fast: what they do does not depend on how long they wait. Nobody asks for health."""

WORKLOADS = "/apis/berthmaster.dev/v1alpha1/namespaces/{}/inferenceworkloads"
POOLS = "/apis/berthmaster.dev/v1alpha1/gpupools"


def pool(name: str, labels: dict[str, str], price: str, **spec: Any) -> Object:
    return {
        "apiVersion": "berthmaster.dev/v1alpha1",
        "kind": "GPUPool",
        "metadata": {"name": name},
        "spec": {
            "nodeSelector": labels,
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "gpusPerNode": 1,
            "price": {"usdPerNodeHour": price},
            **spec,
        },
    }


POOL_T4 = pool("t4", {"eks.amazonaws.com/nodegroup": "gpu-t4"}, "0.50")
POOL_L4 = pool("l4", {"cloud.google.com/gke-nodepool": "l4"}, "1.00")


def workload(name: str, namespace: str, **spec: Any) -> Object:
    """A vision network of 200 requests a second: two T4 or one L4."""
    source = {"persistentVolumeClaim": {"claimName": "models", "path": "resnet50/fp16"}}
    return {
        "apiVersion": "berthmaster.dev/v1alpha1",
        "kind": "InferenceWorkload",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {
                "preset": "resnet50",
                "backend": "onnxruntime",
                "variants": [{"precision": "fp16", "source": source}],
            },
            "traffic": {"requestsPerSecond": 200},
            "objectives": {"latency": {"p99Milliseconds": 50}},
            **spec,
        },
    }


def install(api: Api, *, pools: tuple[Object, ...] = (POOL_T4, POOL_L4)) -> None:
    """The CRDs and pools, as an administrator does before the operator is there."""
    import yaml

    for file in sorted(CRDS.glob("*.yaml")):
        api.apply_object(yaml.safe_load(file.read_text()))
    for each in pools:
        _patiently(api, each)


def _patiently(api: Api, document: Object) -> None:
    """A kind that was just defined takes a moment to be served."""

    def applied() -> bool:
        try:
            api.apply_object(document)
        except LookupError:
            return False
        return True

    diagnosis.wait_until(applied, timeout_seconds=60, what=f"{document['kind']} is served")


def home(api: Api) -> str:
    """A fresh namespace with a claim for models that is bound wherever it is used."""
    name = namespaces.fresh(api)
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"models-{name}"},
        "spec": {
            "capacity": {"storage": "1Ti"},
            "accessModes": ["ReadOnlyMany"],
            "nfs": {"server": "models.example", "path": "/"},
            "storageClassName": "",
            "claimRef": {"namespace": name, "name": "models"},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models", "namespace": name},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": "",
            "volumeName": f"models-{name}",
            "resources": {"requests": {"storage": "1Ti"}},
        },
    }
    for each in (volume, claim):
        api.apply_object(each)
    return name


class Story:
    """One namespace and what a test looks at in it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.namespace = home(api)

    def apply(self, name: str = "resnet", **spec: Any) -> Object:
        return self.api.apply_object(workload(name, self.namespace, **spec))

    def edit(self, name: str, **spec: Any) -> Object:
        return self.api.patch(f"{WORKLOADS.format(self.namespace)}/{name}", {"spec": spec})

    def leave(self) -> None:
        """Give back the GPUs: other tests need them."""
        for each in self.api.items(WORKLOADS.format(self.namespace)):
            self.api.delete(f"{WORKLOADS.format(self.namespace)}/{each['metadata']['name']}")

    def get(self, name: str = "resnet") -> Object:
        return self.api.get(f"{WORKLOADS.format(self.namespace)}/{name}")

    def condition(self, kind: str, name: str = "resnet") -> tuple[str, str]:
        """Status and reason; of the newest spec only."""
        found = self.get(name)
        status = found.get("status", {})
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return "", ""
        for each in status.get("conditions", []):
            if each["type"] == kind:
                return each["status"], each["reason"]
        return "", ""

    def settled(self, name: str = "resnet") -> bool:
        return self.condition("Ready", name) == ("True", "RevisionAvailable")

    def items(self, kind: str) -> list[Object]:
        """``deployments``, ``services``, … of ours in this namespace."""
        prefix = {
            "deployments": "/apis/apps/v1",
            "poddisruptionbudgets": "/apis/policy/v1",
            "networkpolicies": "/apis/networking.k8s.io/v1",
        }.get(kind, "/api/v1")
        path = f"{prefix}/namespaces/{self.namespace}/{kind}?labelSelector=app.kubernetes.io/managed-by%3Dberthmaster"
        return self.api.items(path)

    def names(self, kind: str) -> list[str]:
        return sorted(each["metadata"]["name"] for each in self.items(kind))

    def children(self) -> dict[str, list[str]]:
        kinds = ("deployments", "services", "configmaps", "serviceaccounts", "poddisruptionbudgets", "networkpolicies")
        return {kind: self.names(kind) for kind in kinds}

    def ready_behind_service(self, name: str = "resnet") -> int:
        """Ready endpoints of the workload's Service."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices"
        slices = self.api.items(f"{path}?labelSelector=kubernetes.io/service-name%3D{name}")
        return sum(
            bool(endpoint["conditions"].get("ready")) for each in slices for endpoint in each.get("endpoints") or ()
        )


def played_cluster(state: Path, **options: Any) -> LocalCluster:
    """A local cluster in which no Triton is real: pods are played, ready half a second after they start."""
    return LocalCluster(state, NODES, real_triton=0, **options)
