"""The world: raw Kubernetes objects by kind, as they came from a file, a mirror or a list call."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from berth_scheduler.snapshot import Scaling

Object = Mapping[str, Any]
"""One Kubernetes object as a plain dict."""

FIELD_BY_KIND = {
    ("berthmaster.dev", "InferenceWorkload"): "workloads",
    ("berthmaster.dev", "GPUPool"): "pools",
    ("", "Node"): "nodes",
    ("", "Pod"): "pods",
    ("apps", "Deployment"): "deployments",
    ("", "Service"): "services",
    ("", "PersistentVolumeClaim"): "claims",
    ("", "PersistentVolume"): "volumes",
    ("", "ConfigMap"): "config_maps",
}
"""(API group, kind) → field of :class:`World`."""

CLUSTER_SCOPED = frozenset({"GPUPool", "Node", "PersistentVolume"})


@dataclass(frozen=True, slots=True)
class World:
    """Everything a snapshot is made of. The order inside a tuple never matters.

    ``claims`` None means that nobody looked (manifests without a single claim): artefacts are then taken to be
    mountable anywhere. An empty tuple means that there are none, and a workload that names one is told so.
    """

    workloads: tuple[Object, ...] = ()
    pools: tuple[Object, ...] = ()
    nodes: tuple[Object, ...] = ()
    pods: tuple[Object, ...] = ()
    deployments: tuple[Object, ...] = ()
    services: tuple[Object, ...] = ()
    claims: tuple[Object, ...] | None = ()
    volumes: tuple[Object, ...] = ()
    config_maps: tuple[Object, ...] = ()
    scalings: Mapping[str, Scaling] | None = None
    """What the replica controller asks for, by workload key; None: nobody knows better than the statuses say."""

    @classmethod
    def of(cls, objects: Iterable[Object], *, claims_known: bool = True) -> Self:
        """Sort ``objects`` into their kinds; a kind that no plan depends on is left out."""
        fields: dict[str, list[Object]] = {}
        for thing in objects:
            field = FIELD_BY_KIND.get(group_and_kind(thing))
            if field is not None:
                fields.setdefault(field, []).append(thing)
        known: dict[str, Any] = {field: tuple(things) for field, things in fields.items()}
        world = cls(**known)
        return world if claims_known or world.claims else replace(world, claims=None)


def group_and_kind(thing: Object) -> tuple[str, str]:
    """``("apps", "Deployment")`` of an object; the core group is the empty string; ("", "") of what is none."""
    version, kind = thing.get("apiVersion"), thing.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str):
        return "", ""
    group, slash, _ = version.partition("/")
    return (group if slash else ""), kind


def mapping(thing: object, *path: str) -> Mapping[str, Any]:
    """The mapping at ``path`` inside ``thing``; empty where any step is absent or is not a mapping."""
    for step in path:
        # Nearly everything is a plain dict, and asking for that first is several times faster.
        thing = thing.get(step) if type(thing) is dict or isinstance(thing, Mapping) else None
    return thing if type(thing) is dict or isinstance(thing, Mapping) else {}


def items(thing: object, *path: str) -> tuple[Mapping[str, Any], ...]:
    """The mappings in the list at ``path`` inside ``thing``; empty where it is absent or is not a list."""
    *parents, last = path
    found = mapping(thing, *parents).get(last)
    return tuple(item for item in found if isinstance(item, Mapping)) if isinstance(found, list | tuple) else ()


def text(thing: object, *path: str) -> str | None:
    """The string at ``path`` inside ``thing``; None where it is absent, empty or something else."""
    *parents, last = path
    found = mapping(thing, *parents).get(last)
    return found if isinstance(found, str) and found else None


def string_map(thing: object, *path: str) -> dict[str, str]:
    """The entries of the mapping at ``path`` whose key and value are strings: labels, annotations, selectors."""
    return {k: v for k, v in mapping(thing, *path).items() if isinstance(k, str) and isinstance(v, str)}


def name_of(thing: object) -> str | None:
    return text(thing, "metadata", "name")


def namespace_of(thing: object) -> str:
    """The namespace; ``default`` where a manifest leaves it out, as kubectl does."""
    return text(thing, "metadata", "namespace") or "default"


def key_of(thing: object) -> str | None:
    """``namespace/name``; None for an object without a name, which no server ever stored."""
    name = name_of(thing)
    return None if name is None else f"{namespace_of(thing)}/{name}"


def labels_of(thing: object) -> dict[str, str]:
    return string_map(thing, "metadata", "labels")


def annotations_of(thing: object) -> dict[str, str]:
    return string_map(thing, "metadata", "annotations")
