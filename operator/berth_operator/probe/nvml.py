"""The driver's answers about the GPUs of this node, as records. What a GPU or a driver cannot answer is None.

NVML: https://docs.nvidia.com/deploy/nvml-api (read 2026-08). Nothing is changed on the device.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pynvml

from berth_cost.hardware.gpu_catalogue import MIGProfile
from berth_cost.record import Record

MEGABYTE = 2**20
"""What NVML calls a MB of MIG memory."""
PCIE_BYTES_PER_LANE = {1: 250e6, 2: 500e6, 3: 984.6e6, 4: 1969e6, 5: 3938e6, 6: 7563e6}
"""Each direction after line coding, by generation (PCI-SIG)."""
DATA_RATE = 2
"""Transfers a clock: of HBM, and of GDDR5 and GDDR6 by the clock that NVML reports (T4: 5001 MHz × 256 bit = 320 GB/s,
A100 40 GB: 1215 MHz × 5120 bit = 1555 GB/s, as their datasheets say)."""
CORES_PER_MULTIPROCESSOR = {(7, 0): 64, (7, 5): 64, (8, 0): 64, (8, 6): 128, (8, 9): 128, (9, 0): 128}
"""CUDA C++ programming guide, arithmetic instructions; 128 from compute capability 8.6 on."""
SERVING_PROFILES = (
    pynvml.NVML_GPU_INSTANCE_PROFILE_1_SLICE,
    pynvml.NVML_GPU_INSTANCE_PROFILE_1_SLICE_REV2,
    pynvml.NVML_GPU_INSTANCE_PROFILE_2_SLICE,
    pynvml.NVML_GPU_INSTANCE_PROFILE_3_SLICE,
    pynvml.NVML_GPU_INSTANCE_PROFILE_4_SLICE,
    pynvml.NVML_GPU_INSTANCE_PROFILE_7_SLICE,
)
"""Variants with media engines are the same slices."""
MEMORY_SLICES = 8
NVLINKS = 18
"""Links of the GPUs that have most of them."""


class NoDriver(Exception):
    """Raised where there is no NVIDIA driver to ask; the message says what was missing."""


class Clocks(Record):
    """In megahertz."""

    maximum_multiprocessor_megahertz: int | None = None
    maximum_memory_megahertz: int | None = None


class PowerLimits(Record):
    """In watts. ``enforced`` is what holds now, of all limits the lowest."""

    enforced_watts: float | None = None
    default_watts: float | None = None
    minimum_watts: float | None = None
    maximum_watts: float | None = None
    drawn_watts: float | None = None
    """At the time of the probe: of an idle GPU its idle power."""


class Links(Record):
    pcie_generation: int | None = None
    pcie_lanes: int | None = None
    nvlinks: int = 0
    """Active ones."""
    nvlink_megabytes_per_second: int | None = None
    """Of one link, one direction."""


class DriverGPU(Record):
    """One GPU as the driver describes it."""

    index: int
    product: str
    uuid: str | None = None
    memory_bytes: int
    memory_bus_bits: int | None = None
    cores: int | None = None
    compute_capability: tuple[int, int] | None = None
    clocks: Clocks
    power: PowerLimits
    links: Links
    mig_enabled: bool = False
    mig_profiles: tuple[MIGProfile, ...] = ()
    """What it can be cut into."""
    mig_layout: dict[str, int] = {}
    """What it is cut into: slices by profile."""

    @property
    def memory_bandwidth_bytes_per_second(self) -> float | None:
        megahertz, bits = self.clocks.maximum_memory_megahertz, self.memory_bus_bits
        return None if not megahertz or not bits else megahertz * 1e6 * bits / 8 * DATA_RATE

    @property
    def multiprocessors(self) -> int | None:
        if not self.cores or self.compute_capability is None:
            return None
        return self.cores // CORES_PER_MULTIPROCESSOR.get(self.compute_capability, 128)

    @property
    def pcie_bytes_per_second(self) -> float | None:
        """One direction."""
        per_lane = PCIE_BYTES_PER_LANE.get(self.links.pcie_generation or 0)
        return None if per_lane is None or not self.links.pcie_lanes else per_lane * self.links.pcie_lanes

    @property
    def nvlink_bytes_per_second(self) -> float | None:
        """Both directions of all active links; 0 without any, None where their speed is not told."""
        if not self.links.nvlinks:
            return 0.0
        speed = self.links.nvlink_megabytes_per_second
        return None if not speed else 2.0 * self.links.nvlinks * speed * 1e6


class DriverAnswers(Record):
    driver: str | None = None
    gpus: tuple[DriverGPU, ...] = ()


@contextmanager
def _session() -> Iterator[None]:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NoDriver(str(error)) from error
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def ask_driver() -> DriverAnswers:
    """All GPUs that this process may see. Raises :class:`NoDriver`."""
    with _session():
        count = _told(pynvml.nvmlDeviceGetCount) or 0
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        return DriverAnswers(
            driver=_text(_told(pynvml.nvmlSystemGetDriverVersion)),
            gpus=tuple(_gpu(index, handle) for index, handle in enumerate(handles)),
        )


def _told(call: Callable[..., Any], *arguments: Any) -> Any:
    """The answer; None where this GPU or driver has none."""
    try:
        return call(*arguments)
    except pynvml.NVMLError:
        return None


def _text(value: Any) -> str | None:
    """Older bindings answer in bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _gpu(index: int, handle: Any) -> DriverGPU:
    memory_bytes = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
    mode = _told(pynvml.nvmlDeviceGetMigMode, handle)
    enabled = bool(mode and mode[0])
    return DriverGPU(
        index=index,
        product=_text(pynvml.nvmlDeviceGetName(handle)) or "",
        uuid=_text(_told(pynvml.nvmlDeviceGetUUID, handle)),
        memory_bytes=memory_bytes,
        memory_bus_bits=_told(pynvml.nvmlDeviceGetMemoryBusWidth, handle),
        cores=_told(pynvml.nvmlDeviceGetNumGpuCores, handle),
        compute_capability=_told(pynvml.nvmlDeviceGetCudaComputeCapability, handle),
        clocks=Clocks(
            maximum_multiprocessor_megahertz=_told(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM),
            maximum_memory_megahertz=_told(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_MEM),
        ),
        power=_power(handle),
        links=_links(handle),
        mig_enabled=enabled,
        mig_profiles=_profiles(handle),
        mig_layout=_layout(handle) if enabled else {},
    )


def _power(handle: Any) -> PowerLimits:
    bounds = _told(pynvml.nvmlDeviceGetPowerManagementLimitConstraints, handle) or (None, None)
    return PowerLimits(
        enforced_watts=_watts(_told(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
        default_watts=_watts(_told(pynvml.nvmlDeviceGetPowerManagementDefaultLimit, handle)),
        minimum_watts=_watts(bounds[0]),
        maximum_watts=_watts(bounds[1]),
        drawn_watts=_watts(_told(pynvml.nvmlDeviceGetPowerUsage, handle)),
    )


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _links(handle: Any) -> Links:
    states = [_told(pynvml.nvmlDeviceGetNvLinkState, handle, link) for link in range(NVLINKS)]
    active = sum(state == pynvml.NVML_FEATURE_ENABLED for state in states)
    speed = None
    if active:
        (field,) = _told(pynvml.nvmlDeviceGetFieldValues, handle, [pynvml.NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON]) or [
            None
        ]
        if field is not None and field.nvmlReturn == pynvml.NVML_SUCCESS:
            speed = int(field.value.uiVal)
    return Links(
        pcie_generation=_told(pynvml.nvmlDeviceGetMaxPcieLinkGeneration, handle),
        pcie_lanes=_told(pynvml.nvmlDeviceGetMaxPcieLinkWidth, handle),
        nvlinks=active,
        nvlink_megabytes_per_second=speed,
    )


def _profiles(handle: Any) -> tuple[MIGProfile, ...]:
    """As shares of the whole: NVIDIA's GPUs have seven compute slices and eight of memory (MIG user guide)."""
    found = [_told(pynvml.nvmlDeviceGetGpuInstanceProfileInfo, handle, profile) for profile in SERVING_PROFILES]
    known = [one for one in found if one is not None and one.sliceCount and one.memorySizeMB]
    slices = max((one.sliceCount for one in known), default=0)
    whole = max((one.memorySizeMB for one in known), default=0)
    profiles = {}
    for one in known:
        name = _profile_name(one.name) or f"{one.sliceCount}g.{_gigabytes(one.memorySizeMB)}gb"
        profiles[name] = MIGProfile(
            name=name,
            maximum_instances=one.instanceCount,
            compute_slices=one.sliceCount,
            compute_slices_total=slices,
            memory_slices=max(1, round(MEMORY_SLICES * one.memorySizeMB / whole)),
            memory_slices_total=MEMORY_SLICES,
            memory_bytes=int(one.memorySizeMB) * MEGABYTE,
        )
    return tuple(profiles[name] for name in sorted(profiles))


def _profile_name(said: Any) -> str | None:
    """``1g.10gb`` of "MIG 1g.10gb", or of "NVIDIA A100-SXM4-80GB MIG 1g.10gb"."""
    found = re.search(r"[0-9]+g\.[0-9]+gb", _text(said) or "")
    return found[0] if found else None


def _gigabytes(megabytes: int) -> int:
    """As names of profiles mostly have it: 9856 → 10, 4864 → 5."""
    return max(1, -(-int(megabytes) // 1024))


def _layout(handle: Any) -> dict[str, int]:
    layout: dict[str, int] = {}
    for index in range(_told(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        device = _told(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
        name = None if device is None else _profile_name(_told(pynvml.nvmlDeviceGetName, device))
        if name is not None:
            layout[name] = layout.get(name, 0) + 1
    return dict(sorted(layout.items()))
