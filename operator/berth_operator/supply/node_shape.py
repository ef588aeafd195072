"""What a node that does not exist yet would offer to pods, from its nominal size.

Nobody publishes how much every cloud holds back for the system. The rule here is GKE's, the largest reservation among
the published ones (https://cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes, 2025-10): what is planned
by it fits on other clouds too.
"""

from berth_scheduler.snapshot import NodeShape

GIBIBYTE = 2**30
EVICTION_BYTES = 100 * 2**20
MEMORY_BANDS = ((4, 0.25), (8, 0.20), (16, 0.10), (128, 0.06), (float("inf"), 0.02))
"""Up to so many GiB, this share of the band is held back."""
CORE_BANDS = ((1, 0.06), (2, 0.01), (4, 0.005), (float("inf"), 0.0025))


def allocatable_shape(nominal_cores: float, nominal_bytes: int) -> NodeShape:
    """Allocatable cores, to the millicore, and bytes of a node of the stated nominal size."""
    reserved_bytes = _held_back(nominal_bytes / GIBIBYTE, MEMORY_BANDS) * GIBIBYTE + EVICTION_BYTES
    return NodeShape(
        cpu_cores=round(nominal_cores - _held_back(nominal_cores, CORE_BANDS), 3),
        memory_bytes=max(0, nominal_bytes - round(reserved_bytes)),
    )


def _held_back(amount: float, bands: tuple[tuple[float, float], ...]) -> float:
    held, lower = 0.0, 0.0
    for upper, share in bands:
        held += max(0.0, min(amount, upper) - lower) * share
        lower = upper
    return held
