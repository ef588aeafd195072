"""What pods hold of a node: requests of containers, init containers and overhead, as Kubernetes' scheduler counts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache, reduce
from typing import Any, Self

from berth_operator.quantity import Quantity
from berth_operator.world import Object, items, mapping, text

DEVICE_PREFIX = "nvidia.com/"
FINISHED = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Amounts:
    """Cores, bytes, and whole devices by resource name."""

    cores: Decimal = Decimal(0)
    memory_bytes: Decimal = Decimal(0)
    devices: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, resources: Mapping[str, Any]) -> Self:
        """Of a resource list. Raises ValueError, naming the resource, for an amount that is no quantity."""
        devices = {k: v for k, v in resources.items() if isinstance(k, str) and k.startswith(DEVICE_PREFIX)}
        return cls(
            cores=_amount(resources, "cpu"),
            memory_bytes=_amount(resources, "memory"),
            devices={resource: int(_amount(devices, resource)) for resource in sorted(devices)},
        )

    @classmethod
    def read_pod(cls, resources: Mapping[str, Any]) -> Self:
        """Of a pod's requests: what is no quantity counts nothing, because no server ever let such a pod in."""
        readable = {}
        for resource in resources:
            try:
                cls.read({resource: resources[resource]})
            except ValueError:
                continue
            readable[resource] = resources[resource]
        return cls.read(readable)

    def __add__(self, other: Self) -> Self:
        return self._joined(other, lambda a, b: a + b)

    def __or__(self, other: Self) -> Self:
        """The larger of each."""
        return self._joined(other, max)

    def _joined(self, other: Self, join: Any) -> Self:
        names = sorted({*self.devices, *other.devices})
        return type(self)(
            join(self.cores, other.cores),
            join(self.memory_bytes, other.memory_bytes),
            {name: join(self.devices.get(name, 0), other.devices.get(name, 0)) for name in names},
        )


NOTHING = Amounts()


def _amount(resources: Mapping[str, Any], resource: str) -> Decimal:
    """Kubernetes reads a bare number as well as a string; what comes from YAML may be a float."""
    stated = resources.get(resource, 0)
    try:
        return _parsed(str(stated)) if isinstance(stated, str | int | float) else Quantity.parse(stated).amount
    except ValueError as error:
        raise ValueError(f"{resource}: {error}") from error


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Decimal:
    """A fleet has few different amounts and many of each."""
    amount = Quantity.parse(text).amount
    if amount < 0:
        raise ValueError("must not be negative")
    return amount


def requests_of(pod: Object) -> Amounts:
    """The larger of what runs and what any init container needs, plus overhead.

    A restartable init container (sidecar) runs on beside everything that starts after it.
    """
    running = reduce(Amounts.__add__, map(_container, items(pod, "spec", "containers")), NOTHING)
    sidecars, starting = NOTHING, NOTHING
    for container in items(pod, "spec", "initContainers"):
        if container.get("restartPolicy") == "Always":
            sidecars = sidecars + _container(container)
            starting = starting | sidecars
        else:
            starting = starting | (sidecars + _container(container))
    return (starting | (running + sidecars)) + Amounts.read_pod(mapping(pod, "spec", "overhead"))


def _container(container: Mapping[str, Any]) -> Amounts:
    """Requests; a limit without a request is a request."""
    limits, requests = mapping(container, "resources", "limits"), mapping(container, "resources", "requests")
    return Amounts.read_pod({**limits, **requests})


def held_by_node(pods: Iterable[Object]) -> dict[str, Amounts]:
    """By node: what pods that are not finished hold.

    One that is being deleted counts nothing: it gives back what it holds within its grace period, and a plan that saw
    it as lasting would move workloads for the sake of those seconds.
    """
    by_node: dict[str, Amounts] = {}
    for pod in pods:
        node = text(pod, "spec", "nodeName")
        going = mapping(pod, "metadata").get("deletionTimestamp")
        if node is not None and not going and text(pod, "status", "phase") not in FINISHED:
            by_node[node] = by_node.get(node, NOTHING) + requests_of(pod)
    return by_node
