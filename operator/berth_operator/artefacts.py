"""Where an artefact can be mounted, from its claim and the volume behind it.

Access modes and node affinity as https://kubernetes.io/docs/concepts/storage/persistent-volumes/ has them (2025-10).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from berth_operator.api.conditions import Reason
from berth_operator.api.model import Source
from berth_operator.supply.node_labels import ZONE_LABELS
from berth_operator.world import Object, World, items, key_of, labels_of, mapping, name_of, text
from berth_scheduler.snapshot import ArtefactAccess, Problem

ZONE_KEYS = frozenset(
    {
        *ZONE_LABELS,
        "topology.gke.io/zone",
        "topology.ebs.csi.aws.com/zone",
        "topology.disk.csi.azure.com/zone",
    }
)
"""Keys under which storage drivers write a volume's zone; the values are those of the nodes' zone label."""
HOSTNAME = "kubernetes.io/hostname"
ANYWHERE = ArtefactAccess()


@dataclass(frozen=True, slots=True)
class Volumes:
    """Claims and volumes by key and name. ``claims`` None: nobody looked, every claim is taken to be mountable."""

    claims: Mapping[str, Object] | None
    volumes: Mapping[str, Object]
    node_by_hostname: Mapping[str, str]

    @classmethod
    def of(cls, world: World) -> Self:
        return cls(
            claims=None if world.claims is None else {key: c for c in world.claims if (key := key_of(c)) is not None},
            volumes={name: volume for volume in world.volumes if (name := name_of(volume)) is not None},
            node_by_hostname={
                labels_of(node)[HOSTNAME]: name
                for node in world.nodes
                if (name := name_of(node)) is not None and HOSTNAME in labels_of(node)
            },
        )

    def access(self, source: Source, namespace: str) -> ArtefactAccess:
        """Where ``source`` of a workload in ``namespace`` can be mounted, or the problem with it. Images: anywhere."""
        if source.persistent_volume_claim is None or self.claims is None:
            return ANYWHERE
        name = source.persistent_volume_claim.claim_name
        claim = self.claims.get(f"{namespace}/{name}")
        if claim is None:
            return _missing(f"PersistentVolumeClaim {name} is not in {namespace}: make it, or correct claimName")
        if text(claim, "status", "phase") == "Lost":
            return _missing(f"PersistentVolumeClaim {name} has lost its volume: restore the volume or make a new claim")
        if mapping(claim, "metadata").get("deletionTimestamp"):
            return _missing(f"PersistentVolumeClaim {name} is being deleted: no new pod can use it")
        modes = _access_modes(claim)
        if modes == {"ReadWriteOncePod"}:
            return _missing(
                f"PersistentVolumeClaim {name} is ReadWriteOncePod, for one pod only: use ReadOnlyMany or ReadWriteMany"
            )
        # A claim that is not bound yet is bound where its first pod lands: nothing is known against any zone.
        volume = self.volumes.get(text(claim, "spec", "volumeName") or "", {})
        single_node = bool(modes) and modes <= {"ReadWriteOnce", "ReadWriteOncePod"}
        return ArtefactAccess(zones=_zones(volume), node=self._node(volume), single_node=single_node)

    def _node(self, volume: Object) -> str | None:
        """The node of a volume that only one node can reach; of several named ones the first, which is never wrong."""
        hosts = _everywhere(volume, frozenset({HOSTNAME}))
        if not hosts:
            return None
        return min(self.node_by_hostname.get(host, host) for host in hosts)


def _missing(message: str) -> ArtefactAccess:
    return ArtefactAccess(problem=Problem(reason=Reason.ARTEFACT_MISSING, message=message))


def _access_modes(claim: Object) -> frozenset[str]:
    """Of the bound volume where the claim says so, else as asked for."""
    bound, asked = mapping(claim, "status").get("accessModes"), mapping(claim, "spec").get("accessModes")
    return frozenset(_strings(bound) or _strings(asked))


def _zones(volume: Object) -> tuple[str, ...] | None:
    """The zones that a volume is reachable from; None: any. Older drivers say it in a label, zones joined by ``__``."""
    zones = _everywhere(volume, ZONE_KEYS)
    if not zones:
        label = next((labels_of(volume)[key] for key in ZONE_LABELS if labels_of(volume).get(key)), "")
        zones = frozenset(filter(None, label.split("__")))
    return tuple(sorted(zones)) or None


def _everywhere(volume: Object, keys: frozenset[str]) -> frozenset[str]:
    """What the volume's node affinity allows for ``keys``: the union over its terms, empty where a term leaves it open.

    Terms are alternatives, the expressions of one term hold together; only In names values.
    """
    allowed: set[str] = set()
    terms = items(volume, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
    for term in terms:
        stated = [
            frozenset(filter(None, _strings(expression.get("values"))))
            for expression in items(term, "matchExpressions")
            if text(expression, "key") in keys and expression.get("operator") == "In"
        ]
        stated = [values for values in stated if values]
        if not stated:
            return frozenset()
        allowed |= frozenset.intersection(*stated)
    return frozenset(allowed)


def _strings(values: object) -> tuple[str, ...]:
    return tuple(v for v in values if isinstance(v, str)) if isinstance(values, Iterable) else ()
