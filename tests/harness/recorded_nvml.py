"""NVML as it answers on a machine with GPUs: the binding's calls replaced by answers from a file, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import yaml

ANSWERS = Path(__file__).resolve().parents[1] / "golden" / "nvml"
PLAIN = (
    "nvmlDeviceGetName",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetMemoryBusWidth",
    "nvmlDeviceGetNumGpuCores",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetPowerManagementDefaultLimit",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetMaxPcieLinkGeneration",
    "nvmlDeviceGetMaxPcieLinkWidth",
)
TUPLES = (
    "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetPowerManagementLimitConstraints",
    "nvmlDeviceGetMigMode",
)


def replay(monkeypatch: pytest.MonkeyPatch, name: str, **changes: Any) -> list[dict[str, Any]]:
    """The binding answers from ``name``.yaml; ``changes`` replace answers of every GPU, None: not supported."""
    recorded = yaml.safe_load((ANSWERS / f"{name}.yaml").read_text(encoding="utf-8"))
    gpus: list[dict[str, Any]] = [{**gpu, **changes} for gpu in recorded["gpus"]]

    def answer(call: str, of: Callable[..., Any]) -> None:
        monkeypatch.setattr(pynvml, call, of)

    answer("nvmlInit", lambda: None)
    answer("nvmlShutdown", lambda: None)
    answer("nvmlSystemGetDriverVersion", lambda: recorded["driver"])
    answer("nvmlDeviceGetCount", lambda: len(gpus))
    answer("nvmlDeviceGetHandleByIndex", lambda index: gpus[index])
    for call in PLAIN:
        answer(call, lambda handle, call=call: stated(handle, call))
    for call in TUPLES:
        answer(call, lambda handle, call=call: tuple(stated(handle, call)))
    answer("nvmlDeviceGetMemoryInfo", lambda handle: SimpleNamespace(total=stated(handle, "nvmlDeviceGetMemoryInfo")))
    clocks = {pynvml.NVML_CLOCK_SM: "sm", pynvml.NVML_CLOCK_MEM: "memory"}
    answer("nvmlDeviceGetMaxClockInfo", lambda handle, kind: stated(handle, "nvmlDeviceGetMaxClockInfo")[clocks[kind]])
    answer("nvmlDeviceGetNvLinkState", lambda handle, link: int(link < stated(handle, "nvmlDeviceGetNvLinkState")))
    answer("nvmlDeviceGetFieldValues", _fields)
    answer("nvmlDeviceGetGpuInstanceProfileInfo", _profile)
    answer("nvmlDeviceGetMaxMigDeviceCount", lambda handle: len(stated(handle, "slices")))
    answer("nvmlDeviceGetMigDeviceHandleByIndex", lambda handle, index: {"nvmlDeviceGetName": handle["slices"][index]})
    return gpus


def without_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", refuse)


def stated(handle: dict[str, Any], call: str) -> Any:
    """Raises as the binding does for what this GPU does not support."""
    if handle.get(call) is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return handle[call]


def _fields(handle: dict[str, Any], fields: list[int]) -> list[Any]:
    assert fields == [pynvml.NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON]
    value = SimpleNamespace(uiVal=stated(handle, "nvlinkMegabytesPerSecond"))
    return [SimpleNamespace(nvmlReturn=pynvml.NVML_SUCCESS, value=value)]


def _profile(handle: dict[str, Any], profile: int) -> Any:
    found = stated(handle, "profiles").get(profile)
    if found is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return SimpleNamespace(**{**found, "name": found["name"].encode()})
