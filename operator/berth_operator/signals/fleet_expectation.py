"""What Prometheus should know of the fleet, from what the operator sees of the cluster."""

from collections.abc import Callable, Mapping

from berth_operator import kinds
from berth_operator.kinds import Kind
from berth_operator.mirror import Mirror
from berth_operator.render.order import ENGINES
from berth_operator.signals.expected import ExpectedBerth, expected_berths
from berth_operator.signals.source import WorkloadKey


class FleetExpectation:
    """``backend_of``: a workload's, by its key as ``namespace/name``; None where it is not known."""

    def __init__(self, mirrors: Mapping[Kind, Mirror], backend_of: Callable[[str], str | None]) -> None:
        self._mirrors = mirrors
        self._backend_of = backend_of

    def __call__(self, workload: WorkloadKey) -> dict[str, ExpectedBerth]:
        key = "/".join(workload)
        deployments = (each.thing for each in self._mirrors[kinds.DEPLOYMENT].of_workload(key) if not each.deleting)
        return expected_berths(deployments, engine=self._backend_of(key) in ENGINES)
