"""From nothing to a status for everybody, and from nothing to all children.

    python benchmarks/operator_cold_start.py [--only without-room|without-pods|with-pods] [--workloads N]

- without-room: somebody else's pods hold every GPU. Nothing can be placed, and all 5,000 workloads have to be told so.
- with-pods: 500 workloads get their children (Deployment, two Services, ConfigMap, ServiceAccount,
  PodDisruptionBudget, NetworkPolicy). Their pods are made, scheduled and played on the same machine meanwhile.
- without-pods: the same while controller manager and scheduler are stopped: operator and API server by themselves.

The workloads are there first; the clock starts with the operator's process. Times are those of the API server's audit
log. Without an option: all three.
"""

import argparse
import collections
import sys
import tempfile
import time
from pathlib import Path

from operator_parts import stage
from operator_parts.figures import Figure, cpu_rows, scraped, show
from operator_parts.trail import Trail, Write
from operator_parts.usage import CPUMeter, Usage

from operator_process import OperatorProcess

GOAL_SECONDS = 30.0
GOAL_MB = 400.0
NAMESPACES = 20
GIVE_UP_SECONDS = 300.0

CHILDREN = (
    "deployments", "services", "configmaps", "serviceaccounts", "poddisruptionbudgets", "networkpolicies",
)  # fmt: skip
OBJECTS_OF_ONE = 7


def without_room(count: int) -> int:
    """Until every workload has a status that says Accepted, Placed and why."""
    with stage.stage(nodes_of_each=10) as local, tempfile.TemporaryDirectory() as folder:
        stage.occupy(local.api)
        homes = stage.homes(local.api, NAMESPACES)
        stage.create(local.api, stage.workloads(count, homes))

        def everybody(writes: list[Write]) -> bool:
            told = {(each.namespace, each.name) for each in writes if each.resource == "inferenceworkloads/status"}
            return len(told) == count

        with Trail(local.control_plane.audit_log) as trail:
            meter, began = CPUMeter(local), time.time()
            with OperatorProcess(local.kubeconfig, {}, Path(folder)) as operator:
                assert operator.process is not None
                meter.add("operator", operator.process.pid)
                writes = trail.wait_for(everybody, began, GIVE_UP_SECONDS)
                spent, used, said = meter.spent(), Usage.of(operator.process.pid), scraped(operator)
                _check_told(local.api, homes, count)
        return show(
            f"Cold start: {count:,} workloads, no room",
            [
                Figure("every workload has its first status", writes[-1].answered_at - began, "s", GOAL_SECONDS),
                Figure("peak memory of the operator", used.peak_rss_mb, "MB", GOAL_MB),
            ],
            [
                Figure("first status written", writes[0].answered_at - began, "s"),
                *_details(said, writes),
                *cpu_rows(spent),
            ],
        )


def _check_told(api: stage.Api, homes: list[str], count: int) -> None:
    found = collections.Counter(
        (told.get("Accepted"), told.get("Placed")) for told in map(stage.conditions, stage.stored(api, homes))
    )
    if found != {(("True", "SpecAccepted"), ("False", "InsufficientCapacity")): count}:
        raise AssertionError(f"not everybody was told that there is no room: {found}")


def with_room(count: int, *, pods: bool) -> int:
    """Until every child of every workload is there; with ``pods`` then until every workload is ready."""
    with stage.stage(nodes_of_each=-(-count // 8)) as local, tempfile.TemporaryDirectory() as folder:
        homes = stage.homes(local.api, NAMESPACES)
        stage.create(local.api, stage.workloads(count, homes))
        if not pods:
            local.control_plane.kill("kube-controller-manager", "kube-scheduler")

        def all_children(writes: list[Write]) -> bool:
            return len(_made(writes)) >= count * OBJECTS_OF_ONE

        with Trail(local.control_plane.audit_log) as trail:
            meter, began = CPUMeter(local), time.time()
            with OperatorProcess(local.kubeconfig, {}, Path(folder)) as operator:
                assert operator.process is not None
                meter.add("operator", operator.process.pid)
                writes = trail.wait_for(all_children, began, GIVE_UP_SECONDS)
                spent, said = meter.spent(), scraped(operator)
                ready: list[Figure] = []
                if pods:
                    stage.wait_for(local, homes, count, operator)
                    ready = [
                        Figure(
                            "every workload ready, its status written", trail.since(began)[-1].answered_at - began, "s"
                        )
                    ]
                used = Usage.of(operator.process.pid)
        made, how = sorted(_made(writes).values()), "their pods played" if pods else "nobody makes pods"
        return show(
            f"Cold start: {count:,} workloads with all children, {how}",
            [Figure(f"all {len(made):,} children are there", made[-1] - began, "s", GOAL_SECONDS)],
            [
                Figure("first child", made[0] - began, "s"),
                *_details(said, writes),
                *cpu_rows(spent),
                *ready,
                Figure("peak memory of the operator", used.peak_rss_mb, "MB"),
            ],
        )  # fmt: skip


def _made(writes: list[Write]) -> dict[tuple[str, str, str], float]:
    """When each child was first written."""
    made: dict[tuple[str, str, str], float] = {}
    for each in writes:
        if each.resource in CHILDREN and each.code < 300:
            made.setdefault((each.resource, each.namespace, each.name), each.answered_at)
    return made


def _details(said: dict[str, float], writes: list[Write]) -> list[Figure]:
    return [
        Figure("plans until then", said["berthmaster_plan_seconds_count"], ""),
        Figure("gathering and planning, in a thread of the operator", said["berthmaster_plan_seconds_sum"], "s"),
        Figure("writes until then", len(writes), ""),
        Figure(
            "writes a second, from first to last", len(writes) / (writes[-1].answered_at - writes[0].answered_at), "/s"
        ),
    ]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--workloads", type=int, help="by default 5,000 without and 500 with room")
    options.add_argument("--only", choices=("without-room", "without-pods", "with-pods"))
    asked = options.parse_args()
    parts = {
        "without-room": lambda: without_room(asked.workloads or 5000),
        "without-pods": lambda: with_room(asked.workloads or 500, pods=False),
        "with-pods": lambda: with_room(asked.workloads or 500, pods=True),
    }
    return max([part() for name, part in parts.items() if asked.only in (None, name)])


if __name__ == "__main__":
    sys.exit(main())
