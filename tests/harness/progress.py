"""Say on stderr what long work is doing, how far it is and how long it has left. Standard library only."""

import sys
import threading
import time
from types import TracebackType
from typing import Self

REFRESH_SECONDS = 0.2
BAR_WIDTH = 24


class Step:
    """A piece of work with a beginning and an end: one line on a terminal, kept up to date; two lines in a log.

    ``total`` counts whatever ``advance`` is called for; without it only the elapsed time is shown.
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self._live = sys.stderr.isatty()
        self._started = time.monotonic()
        self._finished = threading.Event()
        self._painter = threading.Thread(target=self._paint_until_finished, daemon=True)

    def advance(self, by: int = 1) -> None:
        self.done += by

    def __enter__(self) -> Self:
        if self._live:
            self._painter.start()
        else:
            _write(f"{self.what} …\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished.set()
        if self._live:
            self._painter.join()
        outcome = "done" if kind is None else "failed"
        erase = "\r\x1b[K" if self._live else ""
        _write(f"{erase}{self.what}: {outcome} in {_duration(self._elapsed())}\n")

    def line(self) -> str:
        """What stands on the terminal just now."""
        if not self.total:
            return f"{self.what} … {_duration(self._elapsed())}"
        share = min(self.done / self.total, 1.0)
        bar = "█" * int(share * BAR_WIDTH)
        return f"{self.what} {bar:░<{BAR_WIDTH}} {share:4.0%} {self._left(share)}"

    def _left(self, share: float) -> str:
        if share < 0.02:  # too early for an estimate
            return _duration(self._elapsed())
        return f"about {_duration(self._elapsed() * (1 - share) / share)} left"

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _paint_until_finished(self) -> None:
        while not self._finished.wait(REFRESH_SECONDS):
            _write(f"\r\x1b[K{self.line()}")


def say(text: str) -> None:
    _write(f"{text}\n")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min {seconds % 60:02.0f} s"


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
