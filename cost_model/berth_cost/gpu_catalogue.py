"""GPUs by name: memory, bandwidth, peak rates, power, links, MIG profiles, and the spellings that others use for them."""

from berth_cost.record import Record


class MIGProfile(Record):
    """One slice of a partitioned GPU, as a share of its compute and memory slices."""

    name: str
    maximum_instances: int
    compute_slices: int
    compute_slices_total: int
    memory_slices: int
    memory_slices_total: int
    memory_bytes: int


class GPUSpecification(Record):
    """What one GPU is. A number that is not known is absent, and what depends on it refuses with that reason.

    ``peak_flops_per_second`` is dense (not sparse) by precision: fp32, tf32, fp16, bf16, fp8, fp4, int8, int4.
    ``recalled`` names the fields whose value has no second source: they widen the error band.
    """

    name: str
    memory_bytes: int | None = None
    memory_bandwidth_bytes_per_second: float | None = None
    peak_flops_per_second: dict[str, float] = {}
    power_watts: float | None = None
    idle_power_watts: float | None = None
    nvlink_bytes_per_second: float | None = None
    """Both directions together; 0 where the GPU has none."""
    pcie_bytes_per_second: float | None = None
    """One direction."""
    multiprocessors: int | None = None
    l2_cache_bytes: int | None = None
    compute_capability: tuple[int, int] | None = None
    mig_profiles: tuple[MIGProfile, ...] = ()
    recalled: tuple[str, ...] = ()
