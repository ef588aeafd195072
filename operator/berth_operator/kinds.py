"""The kinds of Kubernetes objects that the operator reads or writes, and where the API serves them."""

from dataclasses import dataclass
from urllib.parse import quote

from berth_operator.labels import GROUP


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """``api_version`` is ``group/version``, or ``v1`` of the core group."""

    api_version: str
    name: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """Empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        return self.api_version.rpartition("/")[2]

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, of one object or of its subresource; no ``namespace`` means all of them."""
        parts = ["apis" if self.group else "api", *([self.group] if self.group else []), self.version]
        if namespace is not None and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/" + "/".join(quote(part, safe="") for part in parts)


WORKLOAD = Kind(f"{GROUP}/v1alpha1", "InferenceWorkload", "inferenceworkloads")
POOL = Kind(f"{GROUP}/v1alpha1", "GPUPool", "gpupools", namespaced=False)

NODE = Kind("v1", "Node", "nodes", namespaced=False)
POD = Kind("v1", "Pod", "pods")
CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
VOLUME = Kind("v1", "PersistentVolume", "persistentvolumes", namespaced=False)

DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
SERVICE = Kind("v1", "Service", "services")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
POD_MONITOR = Kind("monitoring.coreos.com/v1", "PodMonitor", "podmonitors")

LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
EVENT = Kind("events.k8s.io/v1", "Event", "events")

CHILDREN = (SERVICE_ACCOUNT, CONFIG_MAP, NETWORK_POLICY, SERVICE, DISRUPTION_BUDGET, POD_MONITOR, DEPLOYMENT)
"""What a workload's children can be, in the order in which they are made: a Deployment after what its pods need."""

_CHILD_BY_NAME = {(kind.api_version, kind.name): kind for kind in CHILDREN}


def child_kind(manifest: dict[str, object]) -> Kind:
    """The kind of a rendered child; raises KeyError for anything that rendering may not make."""
    return _CHILD_BY_NAME[str(manifest["apiVersion"]), str(manifest["kind"])]
