"""What Prometheus should be able to tell of a berth: how many replicas serve, and what one of them can hold."""

from collections.abc import Iterable
from dataclasses import dataclass

from berth_operator.running import berth_of
from berth_operator.world import Object, mapping, name_of
from berth_scheduler.snapshot import Berth


@dataclass(frozen=True, slots=True)
class ExpectedBerth:
    """``instances``: of the model in one replica. ``sequences``: of a language engine, that it computes at once."""

    ready_replicas: int
    instances: int = 1
    sequences: int | None = None


def expected_berths(deployments: Iterable[Object], *, engine: bool) -> dict[str, ExpectedBerth]:
    """Of one workload, by the name of the Deployment; one whose annotation cannot be read is left out."""
    found = {}
    for deployment in deployments:
        name, berth = name_of(deployment), berth_of(deployment)
        if name is not None and berth is not None:
            ready = mapping(deployment, "status").get("readyReplicas")
            ready = ready if isinstance(ready, int) and ready >= 0 else 0
            found[name] = expected_berth(berth, ready, engine=engine)
    return found


def expected_berth(berth: Berth, ready_replicas: int, *, engine: bool) -> ExpectedBerth:
    """A classic server runs so many instances on each of its GPUs; an engine is one for all of them."""
    if engine:
        return ExpectedBerth(ready_replicas, 1, berth.maximum_batch_size * berth.instances_per_gpu)
    return ExpectedBerth(ready_replicas, berth.instances_per_gpu * max(1, round(berth.gpus_per_replica)))
