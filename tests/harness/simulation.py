"""Containers that are only played: their times and failures are scripted, nothing runs."""

import asyncio
import dataclasses
import signal


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """The life of a simulated container, in seconds from one event to the next."""

    pull_seconds: float = 0.0
    ready_seconds: float = 0.0
    """From start until it passes its probes: the time that loading a model takes."""
    stop_seconds: float = 0.0
    """From SIGTERM to its end. Longer than the grace period: it is killed."""
    exit_after_seconds: float | None = None
    """It ends by itself, each time it is started."""
    exit_status: int = 0
    pull_error: str = ""
    """If stated, the image is never there: ErrImagePull, then ImagePullBackOff, with these words."""
    why: str = "this kubelet does not know the image"
    """Why the container is not real, for people who wonder."""


class SimulatedProcess:
    """Stands where a SandboxedProcess would."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if behaviour.exit_after_seconds is not None:
            self._end_after(behaviour.exit_after_seconds, behaviour.exit_status)

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    def signal(self, number: signal.Signals) -> None:
        self._end_after(self.behaviour.stop_seconds, 0)

    def kill(self) -> None:
        self._end(128 + signal.SIGKILL)

    def _end_after(self, seconds: float, status: int) -> None:
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._end, status)
        else:
            self._end(status)

    def _end(self, status: int) -> None:
        if not self._ended.done():
            self._ended.set_result(status)
