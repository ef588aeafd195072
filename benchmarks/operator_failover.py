"""The leader dies without a word: how long until another operator writes.

    python benchmarks/operator_failover.py [--workloads 500] [--repeat 5]

Two operators with the Lease of the defaults (15 s, 10 s, 2 s). The leader is killed with SIGKILL, and right after that
the spec of one workload changes, so that there is something to write. The clock stops at the first answered write of
the other one that is not the Lease. It takes over when it saw the Lease unchanged for 15 s (0 to 2 s less after the
kill, as the last renewal was before it), lists and watches the cluster, and plans.
"""

import argparse
import json
import statistics
import sys
import time
from datetime import datetime

from operator_parts import stage
from operator_parts.figures import Figure, show
from operator_parts.settled_fleet import SettledFleet, settled_fleet

from operator_process import OperatorProcess
from operator_stories import WORKLOADS

GOAL_SECONDS = 20.0
GIVE_UP_SECONDS = 90.0
STANDBY_SECONDS = 8.0
"""For the next standby to start and see the Lease."""
STEPS = ("lease.taken", "sync.done", "plan")


def take_over(fleet: SettledFleet, leader: OperatorProcess, heir: OperatorProcess, turn: int) -> dict[str, float]:
    """Seconds from the kill to each step in the heir's log, and to its first write."""
    workload = stage.stored(fleet.local.api, fleet.homes[turn : turn + 1])[turn]["metadata"]
    killed = time.time()
    leader.kill()
    fleet.local.api.patch(
        f"{WORKLOADS.format(workload['namespace'])}/{workload['name']}",
        {"spec": {"serving": {"resources": {"requests": {"cpu": "3", "memory": "9Gi"}}}}},
    )
    writes = fleet.trail.wait_for(bool, killed, GIVE_UP_SECONDS)
    steps: dict[str, float] = {}
    for line in heir.said().splitlines():
        said = json.loads(line)
        if said["event"] in STEPS:
            steps.setdefault(said["event"], datetime.fromisoformat(said["timestamp"]).timestamp() - killed)
    return steps | {"write": writes[0].answered_at - killed}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--workloads", type=int, default=500)
    options.add_argument("--repeat", type=int, default=5)
    asked = options.parse_args()
    found: list[dict[str, float]] = []
    with settled_fleet(asked.workloads, {}) as fleet:
        leader = fleet.operator
        for turn in range(asked.repeat):
            heir = fleet.another()
            heir.start()
            time.sleep(STANDBY_SECONDS + turn * 0.4)  # another moment between two renewals each time
            if not heir.alive:
                raise RuntimeError(f"the standby ended: {heir.said()}")
            found.append(take_over(fleet, leader, heir, turn))
            leader = heir
            fleet.wait_quiet()
        leader.kill()
    writes = [each["write"] for each in found]
    return show(
        f"Leader killed, {asked.workloads:,} workloads: {len(found)} times",
        [Figure("first write of the next, slowest", max(writes), "s", GOAL_SECONDS)],
        [
            Figure("first write of the next, median", statistics.median(writes), "s"),
            Figure("median from the kill to: the Lease taken", _median(found, "lease.taken"), "s"),
            Figure("median from the kill to: everything listed", _median(found, "sync.done"), "s"),
            Figure("median from the kill to: first plan made", _median(found, "plan"), "s"),
        ],
    )


def _median(found: list[dict[str, float]], step: str) -> float:
    return statistics.median(each[step] for each in found)


if __name__ == "__main__":
    sys.exit(main())
