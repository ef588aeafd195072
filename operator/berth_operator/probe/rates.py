"""Rates that a GPU reaches: timed copies inside its memory and matrix products, by torch or cupy where one is there.

The best of several repetitions: what the GPU can do, not what a busy machine let it do.
"""

import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from berth_cost.record import Record
from berth_cost.rounding import significant_number

COPY_BYTES = 2**30
MATRIX_SIZE = 8192
REPETITIONS = 10
WARM_UP = 3
PRECISIONS = ("fp32", "tf32", "fp16", "bf16")


class AchievedRate(Record):
    """``per_second`` is in bytes (a copy reads and writes: both are counted) or in operations (a multiply-add is two).
    ``size``: bytes copied, or rows of the square matrices."""

    gpu: int
    what: Literal["copy", "matrix product"]
    precision: str | None = None
    size: int
    per_second: float
    library: str


class NoLibrary(Exception):
    """Raised where neither torch nor cupy can be imported, or neither finds a GPU."""


def achieved_rates(gpus: Sequence[int]) -> tuple[AchievedRate, ...]:
    """Of the GPUs by index. Raises :class:`NoLibrary`."""
    library = _library()
    timer = _Torch(library) if library.__name__ == "torch" else _Cupy(library)
    return tuple(rate for gpu in gpus for rate in _rates(timer, gpu, library.__name__))


def _library() -> Any:
    for name in ("torch", "cupy"):
        try:
            library = importlib.import_module(name)
            if library.cuda.is_available() if name == "torch" else library.cuda.runtime.getDeviceCount():
                return library
        except Exception:  # noqa: S112  (a library that is broken here is as good as none)
            continue
    raise NoLibrary("neither torch nor cupy is here with a GPU: install one, or leave --measure out")


class _Torch:
    """What is timed, in torch."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self.precisions = PRECISIONS

    def copy(self, gpu: int) -> Callable[[], None]:
        source = self._torch.empty(COPY_BYTES, dtype=self._torch.uint8, device=f"cuda:{gpu}")
        target = self._torch.empty_like(source)
        return lambda: target.copy_(source)

    def product(self, gpu: int, precision: str) -> Callable[[], None]:
        torch = self._torch
        dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        left = torch.ones((MATRIX_SIZE, MATRIX_SIZE), dtype=dtype, device=f"cuda:{gpu}")
        out = torch.empty_like(left)
        return lambda: torch.mm(left, left, out=out)

    def wait(self, gpu: int) -> None:
        self._torch.cuda.synchronize(gpu)


class _Cupy:
    """The same in cupy, which has no bf16 and no switch for tf32."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self.precisions = ("fp32", "fp16")

    def copy(self, gpu: int) -> Callable[[], None]:
        with self._cupy.cuda.Device(gpu):
            source = self._cupy.empty(COPY_BYTES, dtype="uint8")
            target = self._cupy.empty_like(source)
        return lambda: self._cupy.copyto(target, source)

    def product(self, gpu: int, precision: str) -> Callable[[], None]:
        with self._cupy.cuda.Device(gpu):
            left = self._cupy.ones((MATRIX_SIZE, MATRIX_SIZE), dtype="float16" if precision == "fp16" else "float32")
            out = self._cupy.empty_like(left)
        return lambda: self._cupy.matmul(left, left, out=out)

    def wait(self, gpu: int) -> None:
        with self._cupy.cuda.Device(gpu):
            self._cupy.cuda.runtime.deviceSynchronize()


def _rates(timer: "_Torch | _Cupy", gpu: int, library: str) -> list[AchievedRate]:
    seconds = _best_seconds(timer, gpu, timer.copy(gpu))
    copied = significant_number(2 * COPY_BYTES / seconds, 4)
    rates = [AchievedRate(gpu=gpu, what="copy", size=COPY_BYTES, per_second=copied, library=library)]
    for precision in timer.precisions:
        seconds = _best_seconds(timer, gpu, timer.product(gpu, precision))
        computed = significant_number(2 * MATRIX_SIZE**3 / seconds, 4)
        rates.append(
            AchievedRate(
                gpu=gpu,
                what="matrix product",
                precision=precision,
                size=MATRIX_SIZE,
                per_second=computed,
                library=library,
            )
        )
    return rates


def _best_seconds(timer: "_Torch | _Cupy", gpu: int, act: Callable[[], object]) -> float:
    for _ in range(WARM_UP):
        act()
    timer.wait(gpu)
    best = float("inf")
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        act()
        timer.wait(gpu)
        best = min(best, time.perf_counter() - began)
    return best
