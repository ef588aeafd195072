"""What every process used: CPU time and memory, from /proc."""

import dataclasses
import os
from pathlib import Path

from cluster import LocalCluster

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Usage:
    """CPU seconds since it started, all threads; memory in MB (10^6 bytes)."""

    cpu_seconds: float
    peak_rss_mb: float
    rss_mb: float

    @classmethod
    def of(cls, process: int) -> "Usage":
        folder = Path(f"/proc/{process}")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        kib = {name: int(status[name].split()[0]) for name in ("VmHWM", "VmRSS")}
        return cls((int(fields[11]) + int(fields[12])) / _TICKS, kib["VmHWM"] * 1.024e-3, kib["VmRSS"] * 1.024e-3)


class CPUMeter:
    """CPU seconds by process from its making on; the harness is this process: kubelet, service proxy, clients."""

    def __init__(self, local: LocalCluster, **more: int) -> None:
        self._processes = {name: process.pid for name, process in local.control_plane.components.items()}
        self._processes |= {"benchmark, with its kubelet": os.getpid()} | more
        self._before = self._now()
        self._machine_before = _machine_busy_seconds()

    def spent(self) -> dict[str, float]:
        """``the rest of the machine`` is everybody else's work."""
        spent = {name: used - self._before.get(name, 0.0) for name, used in self._now().items()}
        others = _machine_busy_seconds() - self._machine_before - sum(spent.values())
        return spent | {"the rest of the machine": max(0.0, others)}

    def add(self, name: str, process: int) -> None:
        """A process that started meanwhile; all that it used counts."""
        self._processes[name] = process

    def _now(self) -> dict[str, float]:
        return {name: Usage.of(process).cpu_seconds for name, process in self._processes.items()}


def _machine_busy_seconds() -> float:
    """Of all cores together: user, nice, system, interrupts; neither idle nor waiting for disks."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    return sum(int(fields[index]) for index in (0, 1, 2, 5, 6)) / _TICKS
