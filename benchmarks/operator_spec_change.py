"""From the change of one spec to its children, in a fleet that is otherwise at rest.

    python benchmarks/operator_spec_change.py [--workloads 500] [--changes 32]

Each change is another workload's: it asks for other CPU and memory, which is a new revision, so a ConfigMap and a
Deployment are made beside the running ones. The clock starts when the API server has answered the patch, and stops
when it has answered the last of the two, by its audit log. The next change comes when this one is ready and the pods
of the former revision are gone. The settings are the defaults, but for a drain of 2 s instead of 10, which only
shortens the time between changes; pods are played, half a second from start to ready.
"""

import argparse
import statistics
import sys
import time
from dataclasses import dataclass

from operator_parts import stage
from operator_parts.figures import Figure, cpu_rows, scraped, show
from operator_parts.settled_fleet import SettledFleet, settled_fleet
from operator_parts.trail import Write
from operator_parts.usage import CPUMeter

from berth_operator.settings import PlanningSettings
from kube_api import until
from operator_stories import WORKLOADS

GOAL_SECONDS = 2.0
GIVE_UP_SECONDS = 60.0
PAUSE_SECONDS = 5.0
"""Until the pods of the former revision are gone and planned without: each plan delays what comes while it is made."""
QUICK_DRAIN = {"platform": {"drainSeconds": 2}}


@dataclass(frozen=True)
class Timed:
    """Seconds from the answer to the patch to the answer to the first and to the last child."""

    first_child_seconds: float
    children_seconds: float


def change(fleet: SettledFleet, namespace: str, name: str) -> Timed:
    """Change one workload, and wait until it is ready again."""
    path = f"{WORKLOADS.format(namespace)}/{name}"
    api = fleet.local.api
    api.patch(path, {"spec": {"serving": {"resources": {"requests": {"cpu": "3", "memory": "9Gi"}}}}})
    began = time.time()

    def made(writes: list[Write]) -> list[Write]:
        """The first write of each of the two."""
        names = {"configmaps", "deployments"}
        found = [each for each in writes if each.namespace == namespace and each.name.startswith(name)]
        return [
            next(each for each in found if each.resource == kind)
            for kind in sorted(names & {each.resource for each in found})
        ]

    writes = made(fleet.trail.wait_for(lambda writes: len(made(writes)) == 2, began, GIVE_UP_SECONDS))
    times = [each.answered_at - began for each in writes]
    until(lambda: stage.ready(api.get(path)), GIVE_UP_SECONDS, every_seconds=0.5)
    time.sleep(PAUSE_SECONDS)
    return Timed(min(times), max(times))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--workloads", type=int, default=500)
    options.add_argument("--changes", type=int, default=32)
    asked = options.parse_args()
    with settled_fleet(asked.workloads, QUICK_DRAIN) as fleet:
        assert fleet.operator.process is not None
        known = sorted(stage.stored(fleet.local.api, fleet.homes), key=lambda each: str(each["metadata"]["name"]))
        chosen = [each["metadata"] for each in known[:: asked.workloads // asked.changes]][: asked.changes]
        meter, before = CPUMeter(fleet.local, operator=fleet.operator.process.pid), scraped(fleet.operator)
        times = [change(fleet, each["namespace"], each["name"]) for each in chosen]
        spent, after = meter.spent(), scraped(fleet.operator)
    seconds = sorted(each.children_seconds for each in times)
    percentile_99 = statistics.quantiles(seconds, n=100, method="inclusive")[98]
    plans = after["berthmaster_plan_seconds_count"] - before["berthmaster_plan_seconds_count"]
    planning = after["berthmaster_plan_seconds_sum"] - before["berthmaster_plan_seconds_sum"]
    return show(
        f"One spec changed, {asked.workloads:,} workloads: {len(times)} changes",
        [Figure("its children are there, p99", percentile_99, "s", GOAL_SECONDS)],
        [
            Figure("its children are there, p50", statistics.median(seconds), "s"),
            Figure("fastest", seconds[0], "s"),
            Figure("slowest", seconds[-1], "s"),
            Figure("of it: waiting for further changes (planning.idleSeconds)", PlanningSettings().idle_seconds, "s"),
            Figure("of it: one gathering and planning, mean", planning / plans, "s"),
            Figure("plans, those that the pods' starts and ends cause included", plans, ""),
            *cpu_rows(spent),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
