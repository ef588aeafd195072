"""What an idle fleet costs: writes to the API server, its Lease aside, and the operator's CPU time.

    python benchmarks/operator_idle.py [--workloads 500] [--minutes 3]

Every workload is ready and nobody changes anything. Resync and relist, by default every 10 and every 8 minutes, run
every minute here, so that each workload is looked at and each object listed anew several times in the time measured.
"""

import argparse
import collections
import sys
import time

from operator_parts.figures import Figure, cpu_rows, scraped, show
from operator_parts.settled_fleet import settled_fleet
from operator_parts.usage import CPUMeter, Usage

GOAL_WRITES_PER_MINUTE = 0
RESTLESS = {"reconcile": {"resyncSeconds": 60, "relistSeconds": 60}}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--workloads", type=int, default=500)
    options.add_argument("--minutes", type=float, default=3.0)
    asked = options.parse_args()
    with settled_fleet(asked.workloads, RESTLESS) as fleet:
        assert fleet.operator.process is not None
        meter, before, began = (
            CPUMeter(fleet.local, operator=fleet.operator.process.pid),
            scraped(fleet.operator),
            time.time(),
        )
        time.sleep(asked.minutes * 60)
        writes, spent, after = fleet.trail.since(began), meter.spent(), scraped(fleet.operator)
        used = Usage.of(fleet.operator.process.pid)
    grown = {name: after[name] - before.get(name, 0.0) for name in after}
    kinds = collections.Counter(f"{each.verb} {each.resource}" for each in writes)
    return show(
        f"Idle fleet: {asked.workloads:,} workloads for {asked.minutes:g} minutes",
        [Figure("writes a minute, the Lease aside", len(writes) / asked.minutes, "", GOAL_WRITES_PER_MINUTE)],
        [
            *(Figure(f"of them: {kind}", count, "") for kind, count in sorted(kinds.items())),
            Figure("looks at workloads and pools", grown["berthmaster_reconcile_seconds_count"], ""),
            Figure("plans", grown["berthmaster_plan_seconds_count"], ""),
            Figure("repairs by relists", grown.get("berthmaster_mirror_repairs_total", 0.0), ""),
            Figure("memory of the operator", used.rss_mb, "MB"),
            *cpu_rows(spent),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
