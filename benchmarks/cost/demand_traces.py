"""Traces of demand as the benchmarks of the cost model read them."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DEFAULT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SERVICES = ("m-large", "m-mid")
WINDOW_SECONDS = 600
WINDOWS_PER_DAY = 86_400 // WINDOW_SECONDS


def requests_per_minute(data: Path, service: str) -> Floats | None:
    """Of a ServeGen service, in windows of ten minutes over fourteen days; None where the file is not there."""
    path = data / "traces" / f"servegen_{service}.csv"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        return np.array([float(row["requests_per_min"]) for row in csv.DictReader(file)])


def replicas(rate: Floats, per_replica: float) -> Floats:
    """What serves a rate: enough for the busiest of the last three windows, at least one (a scale-down waits)."""
    needed = np.maximum(np.ceil(rate / per_replica), 1)
    held = needed.copy()
    for back in (1, 2):
        held[back:] = np.maximum(held[back:], needed[:-back])
    return held
