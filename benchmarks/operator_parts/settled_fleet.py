"""A fleet in which every workload is ready and nothing is under way any more, with its operator."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

from cluster import LocalCluster
from operator_parts import stage
from operator_parts.trail import Trail
from operator_process import OperatorProcess

NAMESPACES = 20
QUIET_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class SettledFleet:
    local: LocalCluster
    homes: list[str]
    trail: Trail
    operator: OperatorProcess
    settings: Mapping[str, Any]

    def another(self) -> OperatorProcess:
        """One more replica of the operator, to be entered."""
        return OperatorProcess(self.local.kubeconfig, self.settings, self.operator.log.parent)

    def wait_quiet(self, timeout_seconds: float = 300) -> None:
        """Until the operator wrote nothing for a while; raises TimeoutError."""
        deadline = time.monotonic() + timeout_seconds
        while self.trail.since(time.time() - QUIET_SECONDS):
            if time.monotonic() > deadline:
                raise TimeoutError(f"still writing after {timeout_seconds:g} s")
            time.sleep(1)


@contextlib.contextmanager
def settled_fleet(count: int, settings: Mapping[str, Any]) -> Iterator[SettledFleet]:
    """``count`` workloads of one replica each, ready, on nodes with as many GPUs free again: two minutes for 500."""
    with stage.stage(nodes_of_each=-(-count // 8)) as local, Trail(local.control_plane.audit_log) as trail:
        homes = stage.homes(local.api, NAMESPACES)
        stage.create(local.api, stage.workloads(count, homes))
        with OperatorProcess(local.kubeconfig, settings, local.state / "operators") as operator:
            stage.wait_for(local, homes, count, operator, timeout_seconds=600)
            made = SettledFleet(local, homes, trail, operator, settings)
            made.wait_quiet()
            yield made
