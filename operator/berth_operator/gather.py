"""From objects to a snapshot: pure, total and independent of the order in which the objects come."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from berth_operator.artefacts import Volumes
from berth_operator.catalogues import Catalogues
from berth_operator.demand import workload_of
from berth_operator.running import NOTHING_RUNS, RunningWorkload, read_running
from berth_operator.supply import pools_of
from berth_operator.world import World, key_of
from berth_scheduler.snapshot import Policy, Snapshot, Toleration, Workload

NO_POLICY = Policy()


def gather(
    world: World,
    catalogues: Catalogues,
    *,
    time: datetime,
    policy: Policy = NO_POLICY,
    tolerations: Sequence[Toleration] = (),
) -> Snapshot:
    """The snapshot of a world. It never raises: what is garbled has a problem or a remark, everybody else goes on.

    ``tolerations`` are those that the platform gives to every pod, beside a pool's own.
    """
    running = read_running(world)
    counted = frozenset[str]().union(*(one.pods for one in running.values()))
    others = replace(world, pods=tuple(pod for pod in world.pods if key_of(pod) not in counted))
    return Snapshot(
        time=time,
        policy=policy,
        workloads=_workloads(world, catalogues, running),
        pools=pools_of(others, catalogues, time=time, tolerations=tolerations),
    )


def _workloads(world: World, catalogues: Catalogues, running: dict[str, RunningWorkload]) -> tuple[Workload, ...]:
    """By key. Of two objects with one key, which no server ever had, the last in a fixed order counts."""
    volumes = Volumes.of(world)
    found = {}
    for thing in sorted(world.workloads, key=repr):
        workload = workload_of(thing, catalogues, volumes, running.get(key_of(thing) or "", NOTHING_RUNS))
        if workload is not None:
            found[workload.key] = workload
    return tuple(found[key] for key in sorted(found))
