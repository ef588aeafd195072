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


def nasa_requests_per_minute(data: Path, window_seconds: int = WINDOW_SECONDS) -> Floats | None:
    """Of the NASA web server of 1995, 58 days, means of each window; None where the file is not there."""
    path = data / "traces" / "nasa_http_1995.csv"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        rows = [(float(row["t_s"]), float(row["requests_per_min"])) for row in csv.DictReader(file)]
    seconds, rate = np.array(rows).T
    place = ((seconds - seconds[0]) // window_seconds).astype(np.int64)
    return np.asarray(np.bincount(place, weights=rate) / np.maximum(np.bincount(place), 1), dtype=np.float64)


def replicas(rate: Floats, per_replica: float, windows: int = 3) -> Floats:
    """What serves a rate: enough for the busiest of the last windows, at least one (a scale-down waits)."""
    needed = np.maximum(np.ceil(rate / per_replica), 1)
    held = needed.copy()
    for back in range(1, windows):
        held[back:] = np.maximum(held[back:], needed[:-back])
    return held
