"""From objects to a snapshot: pure, total and independent of the order in which the objects come."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from berth_operator.artefacts import Volumes
from berth_operator.catalogues import Catalogues
from berth_operator.demand import stored_scaling, workload_of
from berth_operator.measurements import ConfigMaps
from berth_operator.running import NOTHING_RUNS, RunningWorkload, read_running
from berth_operator.supply.list_prices import list_prices_of
from berth_operator.supply.pools import pools_of
from berth_operator.world import Object, World, key_of
from berth_scheduler.snapshot import Observed, Policy, Snapshot, Toleration, Workload

NO_POLICY = Policy()
NOTHING_OBSERVED: Mapping[str, Observed] = {}


def gather(
    world: World,
    catalogues: Catalogues,
    *,
    time: datetime,
    policy: Policy = NO_POLICY,
    tolerations: Sequence[Toleration] = (),
    observed: Mapping[str, Observed] = NOTHING_OBSERVED,
) -> Snapshot:
    """The snapshot of a world. It never raises: what is garbled has a problem or a remark, everybody else goes on.

    ``tolerations`` are those that the platform gives to every pod, beside a pool's own; ``observed`` is what production
    showed, by workload.
    """
    running = read_running(world)
    counted = frozenset[str]().union(*(one.pods for one in running.values()))
    others = replace(world, pods=tuple(pod for pod in world.pods if key_of(pod) not in counted))
    pools = pools_of(others, catalogues, time=time, tolerations=tolerations, policy=policy)
    return Snapshot(
        time=time,
        policy=policy,
        workloads=tuple(_with(one, observed.get(one.key)) for one in _workloads(world, catalogues, running)),
        pools=pools,
        list_prices=list_prices_of(world, pools, catalogues, time.date(), policy),
    )


def _with(workload: Workload, observed: Observed | None) -> Workload:
    return workload if observed is None else workload.model_copy(update={"observed": observed})


def _workloads(world: World, catalogues: Catalogues, running: dict[str, RunningWorkload]) -> tuple[Workload, ...]:
    """By key. Of two objects with one key, which no server ever had, always the same one counts."""
    volumes, config_maps = Volumes.of(world), ConfigMaps.of(world)
    things: dict[str, Object] = {}
    for thing in world.workloads:
        key = key_of(thing)
        if key is not None:
            things[key] = thing if key not in things else min(thing, things[key], key=repr)
    found = (
        workload_of(
            things[key],
            catalogues,
            volumes,
            running.get(key, NOTHING_RUNS),
            config_maps,
            scaling=stored_scaling(things[key]) if world.scalings is None else world.scalings.get(key),
        )
        for key in sorted(things)
    )
    return tuple(workload for workload in found if workload is not None)
