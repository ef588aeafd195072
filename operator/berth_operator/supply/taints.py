"""Taints of nodes and the tolerations that let pods on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from berth_operator.supply.node_labels import ALWAYS_TOLERATED_TAINT
from berth_operator.world import items, text
from berth_scheduler.snapshot import Toleration

PASSING_DOMAINS = (
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "karpenter.sh/",
    "aws-node-termination-handler/",
)
"""Taints that come and go with a node's life: nobody should tolerate them, and nobody has to be told."""

GPU_TOLERATION = Toleration(key=ALWAYS_TOLERATED_TAINT, operator="Exists")


@dataclass(frozen=True, slots=True)
class Taint:
    """One that keeps pods away: effect NoSchedule or NoExecute."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"

    @property
    def passing(self) -> bool:
        return self.key.startswith(PASSING_DOMAINS)

    def tolerated_by(self, tolerations: Iterable[Toleration]) -> bool:
        """As https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/ has it (2025-10)."""
        return any(self._matched_by(toleration) for toleration in tolerations)

    def _matched_by(self, toleration: Toleration) -> bool:
        if toleration.effect not in (None, "", self.effect):
            return False
        if toleration.operator == "Exists":
            return toleration.key in (None, "", self.key)
        return toleration.key == self.key and (toleration.value or "") == self.value


def read_taints(node: Any) -> tuple[Taint, ...]:
    """Those of a node that keep pods away, sorted; what is no taint is passed over."""
    stated = [
        Taint(text(taint, "key") or "", text(taint, "value") or "", text(taint, "effect") or "")
        for taint in items(node, "spec", "taints")
    ]
    return tuple(sorted((t for t in stated if t.key and t.effect in ("NoSchedule", "NoExecute")), key=str))


def with_gpu_toleration(tolerations: Sequence[Toleration]) -> tuple[Toleration, ...]:
    """``tolerations`` and the one that every pod with a GPU has."""
    taint = Taint(ALWAYS_TOLERATED_TAINT, "", "NoSchedule")
    covered = any(t.operator == "Exists" and taint.tolerated_by([t]) and not t.effect for t in tolerations)
    return tuple(tolerations) if covered else (*tolerations, GPU_TOLERATION)
