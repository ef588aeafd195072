"""One pod on a node of this kubelet: volumes, containers in their order, status, and its end."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

import container_environment
import sandbox
from addresses import of_pod
from async_api import RETRY_SECONDS, AsyncApi
from container import START_RETRY_SECONDS, Container, Launch
from container_environment import Missing
from images import Images, Program
from kube_api import ApiError, Object, timestamp
from probes import Target
from simulation import Behaviour
from volumes import Volume, Volumes, mounts

OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
HOST_ADDRESS = "127.0.0.1"
SETTLED = (404, 409, 422)
"""Answers to a write about a pod that is gone or was replaced by another of its name."""


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What all pods of a kubelet share."""

    api: AsyncApi
    folder: Path
    """Below it each pod gets a folder for its volumes and logs."""
    volumes: Volumes
    images: Images
    addresses: Iterator[str]
    """What the next pods report."""
    server: tuple[str, int]
    """Host and port of the API server, as pods reach it."""
    first_backoff_seconds: float
    """Before the second restart of a container; doubled for each further one."""


class Pod:
    """``address`` is what it reports; its processes listen on ``addresses.of_pod(address)``."""

    def __init__(self, document: Object, address: str, around: Surroundings) -> None:
        metadata, spec = document["metadata"], document["spec"]
        self.document = document
        self.address = address
        self.folder = around.folder / f"{metadata['namespace']}_{metadata['name']}_{metadata['uid'][:8]}"
        self.restart_policy: str = spec.get("restartPolicy", "Always")
        self.grace_seconds: float = spec.get("terminationGracePeriodSeconds", 30)
        self.first_backoff_seconds = around.first_backoff_seconds
        self.initialising = [Container(each, self, initialises=True) for each in spec.get("initContainers", [])]
        self.containers = [Container(each, self) for each in spec["containers"]]
        self._api, self._images, self._server = around.api, around.images, around.server
        self._volumes_of = around.volumes
        self._volumes: Mapping[str, Volume] | None = None
        self._since = timestamp()
        self._transitions: dict[str, tuple[str, str]] = {}
        self._changed = asyncio.Event()
        self._deleted = asyncio.Event()
        self._power = asyncio.Event()
        self._power.set()
        self._vanished = False
        self._reported: Object | None = None
        self._background: set[asyncio.Task[None]] = set()

    @property
    def path(self) -> str:
        metadata = self.document["metadata"]
        return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"

    def update(self, document: Object) -> None:
        """The newest state of the pod in the API."""
        self.document = document
        if "deletionTimestamp" in document["metadata"]:
            self._deleted.set()

    def vanish(self) -> None:
        """The object is gone without us (deleted by force): nothing of it may run on."""
        self._vanished = True
        self._deleted.set()
        self.cut_power()

    def cut_power(self) -> None:
        """Every process dies at once, nothing is reported, nothing starts until power is back."""
        self._power.clear()
        self._kill()

    def _kill(self) -> None:
        for container in [*self.initialising, *self.containers]:
            container.kill()

    def restore_power(self) -> None:
        self._power.set()
        self.changed()

    async def run(self) -> None:
        """From binding until the object is gone from the API."""
        reporting = asyncio.create_task(self._report_changes())
        living = asyncio.create_task(self._live())
        try:
            await self._deleted.wait()
            await self._stop()
        finally:
            reporting.cancel()
            living.cancel()
            self._kill()
            self._images.ended(self.document)
        if not self._vanished:
            await self._confirm_deletion()

    async def _live(self) -> None:
        await self._prepare()
        for container in self.initialising:
            running = asyncio.create_task(container.run())
            await (container.until_started() if container.sidecar else running)
            if container.exit_status not in (None, 0):
                return
        await asyncio.gather(*(container.run() for container in self.containers))
        for sidecar in self.initialising:
            if sidecar.sidecar:
                await sidecar.stop(self.grace_seconds)
        self.changed()

    async def _prepare(self) -> None:
        """Volumes, once everything they are made from is there. For a played pod only that presence is checked."""
        while True:
            try:
                await (self._volumes_of.require(self.document) if self._all_played() else self._make_volumes())
                return
            except (Missing, ApiError, aiohttp.ClientError, TimeoutError, OSError) as problem:
                self.event("Warning", "FailedMount", f"MountVolume.SetUp failed: {problem}")
                self.changed()
                await asyncio.sleep(START_RETRY_SECONDS)

    def _all_played(self) -> bool:
        containers = [*self.initialising, *self.containers]
        return all(isinstance(self._choice(container.spec), Behaviour) for container in containers)

    async def _make_volumes(self) -> Mapping[str, Volume]:
        if self._volumes is None:
            self._volumes = await self._volumes_of.prepared(self.document, self.folder / "volumes")
        return self._volumes

    def _choice(self, container: Object) -> Program | Behaviour:
        workplace = self.folder / "programs" / container["name"]
        return self._images.chosen(self.document, container, of_pod(self.address), workplace)

    async def launch(self, container: Object) -> Launch:
        """Raises Missing where something that the container refers to is not there."""
        choice = self._choice(container)
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", []) if "name" in port}
        running = next(each for each in [*self.initialising, *self.containers] if each.spec is container)
        if isinstance(choice, Behaviour):
            target = Target(of_pod(self.address), ports, lambda command: running.execute(command, {}))
            return Launch(target, behaviour=choice)
        variables = await self._variables(container, choice)
        target = Target(of_pod(self.address), ports, lambda command: running.execute(command, variables))
        command = container.get("command") or list(choice.entrypoint)
        words = [container_environment.expanded(word, variables) for word in [*command, *container.get("args", [])]]
        return Launch(target, None, await self._confinement(container, choice, variables), tuple(words))

    async def _variables(self, container: Object, program: Program) -> dict[str, str]:
        async def read(plural: str, name: str) -> Object | None:
            return await self._volumes_of.read(self.document["metadata"]["namespace"], plural, name)

        own = {"status.podIP": of_pod(self.address), "status.hostIP": HOST_ADDRESS}
        stated = await container_environment.variables(container, self.document, own, read)
        host, port = self._server
        server = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}
        return {**program.environment, "HOSTNAME": self.document["metadata"]["name"], **server, **stated}

    async def _confinement(self, container: Object, program: Program, variables: dict[str, str]) -> sandbox.Confinement:
        whole, own = self.document["spec"].get("securityContext", {}), container.get("securityContext", {})
        volumes = await self._make_volumes()
        return sandbox.Confinement(
            mounts=[*program.mounts, *mounts(container, volumes)],
            environment=variables,
            links=program.links,
            user=own.get("runAsUser", whole.get("runAsUser", 0)),
            group=own.get("runAsGroup", whole.get("runAsGroup", 0)),
            working_directory=container.get("workingDir", "/"),
            read_only_root=own.get("readOnlyRootFilesystem", False),
            shared_processes=self.document["spec"].get("shareProcessNamespace", False),
        )

    async def _stop(self) -> None:
        grace = self.document["metadata"].get("deletionGracePeriodSeconds", self.grace_seconds)
        await asyncio.gather(*(container.stop(grace) for container in self.containers))
        await asyncio.gather(*(container.stop(grace) for container in self.initialising))

    async def _confirm_deletion(self) -> None:
        """The last word on what ended how, where it was real, then the object itself."""
        only_this_one = {"uid": self.document["metadata"]["uid"]}
        while True:
            await self._power.wait()
            try:
                if any(container.image_id == "real" for container in self.containers):
                    await self._write(self.status())
                await self._api.delete(self.path, gracePeriodSeconds=0, preconditions=only_this_one)
                return
            except ApiError as error:
                if error.status in SETTLED:
                    return
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(RETRY_SECONDS)

    # What a container needs of its pod.

    async def powered(self) -> None:
        await self._power.wait()

    def log(self, container: str, attempt: int) -> Path:
        folder = self.folder / "logs" / container
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{attempt}.log"

    def changed(self) -> None:
        self._changed.set()

    def event(self, kind: str, reason: str, message: str) -> None:
        metadata = self.document["metadata"]
        now = timestamp()
        body = {
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": "v1", "kind": "Pod", "namespace": metadata["namespace"],
                "name": metadata["name"], "uid": metadata["uid"],
            },
            "type": kind, "reason": reason, "message": message[:1000], "count": 1,
            "firstTimestamp": now, "lastTimestamp": now,
            "source": {"component": "kubelet", "host": self.document["spec"]["nodeName"]},
        }  # fmt: skip
        sending = asyncio.create_task(self._send_event(metadata["namespace"], body))
        self._background.add(sending)
        sending.add_done_callback(self._background.discard)

    async def _send_event(self, namespace: str, body: Object) -> None:
        with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):  # events are best effort
            await self._api.create(f"/api/v1/namespaces/{namespace}/events", body)

    # Status.

    async def _report_changes(self) -> None:
        self.changed()
        while True:
            await self._changed.wait()
            await asyncio.sleep(0)  # what changes together is reported together
            await self._power.wait()
            self._changed.clear()
            status = self.status()
            if status == self._reported:
                continue
            try:
                await self._write(status)
                self._reported = status
            except ApiError as error:
                if error.status in SETTLED:
                    continue  # a watch event about it is under way
                await self._retry()
            except (aiohttp.ClientError, TimeoutError, OSError):
                await self._retry()

    async def _retry(self) -> None:
        await asyncio.sleep(RETRY_SECONDS)
        self.changed()

    async def _write(self, status: Object) -> None:
        only_this_one = {"uid": self.document["metadata"]["uid"]}
        await self._api.patch(f"{self.path}/status", {"metadata": only_this_one, "status": status})

    def status(self) -> Object:
        """The whole status, as a merge patch needs it."""
        status: Object = {
            "phase": self._phase(),
            "conditions": self._conditions(),
            "hostIP": HOST_ADDRESS,
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": self._since,
            "containerStatuses": [container.status() for container in self.containers],
        }
        if self.initialising:
            status["initContainerStatuses"] = [container.status() for container in self.initialising]
        return status

    def _phase(self) -> str:
        if any(container.initialises and container.exit_status not in (None, 0) for container in self.initialising):
            return "Failed"
        ended = [container.exit_status for container in self.containers]
        if all(status is not None for status in ended):
            return "Succeeded" if not any(ended) else "Failed"
        never_started = any("waiting" in each.state and not each.last_state for each in self.containers)
        return "Pending" if never_started else "Running"

    def _conditions(self) -> list[Object]:
        initialised = all(each.sidecar or each.exit_status == 0 for each in self.initialising)
        unready = [container.name for container in self.containers if not container.ready]
        gates = [gate["conditionType"] for gate in self.document["spec"].get("readinessGates", [])]
        others = [
            each for each in self.document.get("status", {}).get("conditions", []) if each["type"] not in OWN_CONDITIONS
        ]
        closed = [
            gate for gate in gates if not any(each["type"] == gate and each["status"] == "True" for each in others)
        ]
        waits = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"}
        gated = {"reason": "ReadinessGatesNotReady", "message": f"readiness gates not ready: {closed}"}
        return [
            *others,
            self._condition("PodReadyToStartContainers", True, {}),
            self._condition("Initialized", initialised, {"reason": "ContainersNotInitialized"}),
            self._condition("ContainersReady", not unready, waits),
            self._condition("Ready", not unready and not closed, waits if unready else gated),
        ]

    def _condition(self, kind: str, holds: bool, otherwise: Object) -> Object:
        status = str(holds)
        if self._transitions.get(kind, ("", ""))[0] != status:
            self._transitions[kind] = (status, timestamp())
        condition: dict[str, Any] = {"type": kind, "status": status, "lastTransitionTime": self._transitions[kind][1]}
        return condition if holds else condition | otherwise
