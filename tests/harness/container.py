"""One container: pulled, started, probed, restarted and stopped as a kubelet does it."""

import asyncio
import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import probes
import sandbox
from container_environment import Missing
from kube_api import Object, timestamp
from sandbox import SandboxedProcess
from simulation import Behaviour, SimulatedProcess

START_RETRY_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 300.0
FORGIVEN_AFTER_SECONDS = 600.0
"""A container that ran this long starts over with the shortest back-off."""

LEAST_GRACE_SECONDS = 2.0
"""After a preStop hook that used up the grace period."""

Event = Callable[[str, str, str], None]
"""``event(type, reason, message)`` about the pod."""


class Process(Protocol):
    async def wait(self) -> int: ...
    def signal(self, number: signal.Signals) -> None: ...
    def kill(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Launch:
    """A container made ready to start: really (``confinement`` and ``command``) or in play (``behaviour``)."""

    target: probes.Target
    behaviour: Behaviour | None = None
    confinement: sandbox.Confinement | None = None
    command: tuple[str, ...] = ()


class Host(Protocol):
    """What a container needs of its pod."""

    restart_policy: str
    grace_seconds: float
    first_backoff_seconds: float

    async def launch(self, container: Object) -> Launch: ...
    def log(self, container: str, attempt: int) -> Path: ...
    def changed(self) -> None: ...
    def event(self, kind: str, reason: str, message: str) -> None: ...
    async def powered(self) -> None: ...


class Container:
    """``status()`` is what a kubelet reports of it."""

    def __init__(self, spec: Object, host: Host, *, initialises: bool = False) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.sidecar = initialises and spec.get("restartPolicy") == "Always"
        self.initialises = initialises and not self.sidecar
        self.state: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
        self.last_state: dict[str, Any] = {}
        self.restarts = 0
        self.ready = False
        self.started = False
        self.image_id = ""
        self.exit_status: int | None = None
        """Set once it has ended for good."""
        self._host = host
        self._process: Process | None = None
        self._starting = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._has_started = asyncio.Event()

    @property
    def running(self) -> bool:
        return "running" in self.state

    @property
    def simulated(self) -> bool:
        return not isinstance(self._process, SandboxedProcess)

    def status(self) -> Object:
        return {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": self.image_id,
            "restartCount": self.restarts,
            "ready": self.ready,
            "started": self.started,
            "state": self.state,
            "lastState": self.last_state,
        }

    async def run(self) -> int:
        """Until it has ended for good: stopped, or ended with a status that its restart policy lets stand."""
        failures = 0
        while True:
            started = time.monotonic()
            status = await self._run_once()
            if self._stopping.is_set() or not self._restarts_after(status):
                self.exit_status = status
                return status
            failures = 0 if time.monotonic() - started > FORGIVEN_AFTER_SECONDS else failures + 1
            await self._back_off(failures)
            self.restarts += 1

    async def until_started(self) -> None:
        """For sidecars: the containers after it wait for it."""
        await self._has_started.wait()

    async def stop(self, grace_seconds: float) -> None:
        """preStop hook, SIGTERM, and after the grace period SIGKILL. Returns when nothing of it runs."""
        self._stopping.set()
        async with self._starting:
            process = self._process
        if process is not None:
            await self._end(process, grace_seconds)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    async def _run_once(self) -> int:
        async with self._starting:
            launch = None if self._stopping.is_set() else await self._launched()
            if launch is None:
                return 128 + signal.SIGKILL
            self._process = process = await self._started(launch)
        if process is None:
            return 128
        since = timestamp()
        self._move({"running": {"startedAt": since}})
        probing = asyncio.create_task(self._probe(launch, process))
        try:
            status = await process.wait()
        finally:
            probing.cancel()
        self._process = None
        self.ready = self.started = False
        self._move({"terminated": self._ending(status, since)})
        return status

    async def _launched(self) -> Launch | None:
        """Once everything is there: the node's power, ConfigMaps, the image. None when told to stop meanwhile."""
        while not self._stopping.is_set():
            await self._host.powered()
            try:
                launch = await self._host.launch(self.spec)
            except Missing as missing:
                self._wait_for("CreateContainerConfigError", str(missing))
                await self._pause(START_RETRY_SECONDS)
                continue
            if await self._pulled(launch.behaviour):
                return launch
        return None

    async def _pulled(self, behaviour: Behaviour | None) -> bool:
        self.image_id = f"simulated: {behaviour.why}" if behaviour else "real"
        if behaviour is None:
            return True
        if behaviour.pull_error:
            self._host.event(
                "Warning", "Failed", f'Failed to pull image "{self.spec["image"]}": {behaviour.pull_error}'
            )
            self._wait_for("ErrImagePull", behaviour.pull_error)
            await self._pause(START_RETRY_SECONDS)
            self._move(
                {
                    "waiting": {
                        "reason": "ImagePullBackOff",
                        "message": f"Back-off pulling image: {behaviour.pull_error}",
                    }
                }
            )
            await self._pause(self._host.first_backoff_seconds)
            return False
        if behaviour.pull_seconds:
            self._host.changed()
            await self._pause(behaviour.pull_seconds)
        return not self._stopping.is_set()

    async def _started(self, launch: Launch) -> Process | None:
        if launch.behaviour is not None:
            return SimulatedProcess(launch.behaviour)
        assert launch.confinement is not None
        log = self._host.log(self.name, self.restarts)
        try:
            return await SandboxedProcess.start(launch.confinement, launch.command, log)
        except (OSError, TimeoutError) as error:
            self._host.event("Warning", "Failed", f"Error: {error}")
            self._move({"terminated": {"exitCode": 128, "reason": "StartError", "message": str(error)}})
            return None

    async def _probe(self, launch: Launch, process: Process) -> None:
        """Startup first; then readiness and liveness. A played container passes when its script says so."""
        if launch.behaviour is not None:
            if launch.behaviour.ready_seconds and {"startupProbe", "readinessProbe"} & self.spec.keys():
                await asyncio.sleep(launch.behaviour.ready_seconds)
            self._set(started=True, ready=True)
            return
        if startup := self.spec.get("startupProbe"):
            await self._watch("Startup", startup, launch.target, until_passed=True)
        self._set(started=True, ready="readinessProbe" not in self.spec)
        watches = [
            self._watch(kind, self.spec[field], launch.target)
            for kind, field in (("Readiness", "readinessProbe"), ("Liveness", "livenessProbe"))
            if field in self.spec
        ]
        await asyncio.gather(*watches)

    async def _watch(self, kind: str, probe: Object, target: probes.Target, *, until_passed: bool = False) -> None:
        passed_once = asyncio.Event()

        async def report(passed: bool, why: str) -> None:
            if passed:
                passed_once.set()
            else:
                self._host.event("Warning", "Unhealthy", f"{kind} probe failed: {why}")
            if kind == "Readiness":
                self._set(ready=passed)
            elif not passed and not self._stopping.is_set():
                said = f"Container {self.name} failed {kind.lower()} probe, will be restarted"
                self._host.event("Normal", "Killing", said)
                grace = probe.get("terminationGracePeriodSeconds", self._host.grace_seconds)
                self._restart = asyncio.create_task(self._end_running(grace))  # this task ends with the process
                await asyncio.Event().wait()

        watching = asyncio.create_task(probes.watch(probe, target, report))
        try:
            await (passed_once.wait() if until_passed else watching)
        finally:
            watching.cancel()

    async def _end_running(self, grace_seconds: float) -> None:
        if self._process is not None:
            await self._end(self._process, grace_seconds)

    async def _end(self, process: Process, grace_seconds: float) -> None:
        deadline = time.monotonic() + grace_seconds
        if grace_seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_seconds):
                    await self._before_stop()
            process.signal(signal.SIGTERM)
            left = max(deadline - time.monotonic(), LEAST_GRACE_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), left)
                return
        process.kill()
        await process.wait()

    async def _before_stop(self) -> None:
        hook = self.spec.get("lifecycle", {}).get("preStop", {})
        if not hook or (self.simulated and "sleep" not in hook):
            return
        if "sleep" in hook:
            await asyncio.sleep(hook["sleep"]["seconds"])
            return
        target = (await self._host.launch(self.spec)).target
        failure = None
        if command := hook.get("exec"):
            status = await target.execute(command["command"])
            failure = f"exit status {status}" if status else None
        elif http := hook.get("httpGet"):
            try:
                failure = await probes.http_get(http, target)
            except OSError as error:
                failure = str(error)
        if failure:
            self._host.event("Warning", "FailedPreStopHook", failure)

    async def execute(self, command: list[str], environment: dict[str, str]) -> int:
        """Run ``command`` inside the container; its exit status, 137 where the container does not run."""
        if isinstance(self._process, SandboxedProcess):
            return await self._process.execute(command, environment)
        return 128 + signal.SIGKILL

    async def _back_off(self, failures: int) -> None:
        self.last_state = self.state
        seconds = min(self._host.first_backoff_seconds * 2 ** (failures - 1), LONGEST_BACKOFF_SECONDS)
        if failures > 1:
            message = f"back-off {seconds:g}s restarting failed container={self.name}"
            self._host.event("Warning", "BackOff", message)
            self._wait_for("CrashLoopBackOff", message)
            await self._pause(seconds)

    def _restarts_after(self, status: int) -> bool:
        if self.sidecar:
            return True
        policy = self._host.restart_policy
        if self.initialises and policy == "Always":
            policy = "OnFailure"
        return policy == "Always" or (policy == "OnFailure" and status != 0)

    def _ending(self, status: int, since: str) -> Object:
        ending: Object = {"exitCode": status, "reason": "Completed" if status == 0 else "Error"}
        log = self._host.log(self.name, self.restarts)
        if status == 1 and log.exists() and (error := sandbox.start_error(log)):
            ending |= {"exitCode": 128, "reason": "StartError", "message": error}
        return ending | {"startedAt": since, "finishedAt": timestamp()}

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _set(self, *, ready: bool, started: bool = True) -> None:
        if (self.ready, self.started) != (ready, started):
            self.ready, self.started = ready, started
            self._has_started.set()
            self._host.changed()

    def _wait_for(self, reason: str, message: str) -> None:
        self._move({"waiting": {"reason": reason, "message": message}})

    def _move(self, state: Object) -> None:
        self.state = state
        self._host.changed()
