"""The kubelet of every node: keeps nodes alive and runs the pods that the scheduler binds to them."""

import asyncio
import contextlib
from pathlib import Path

import aiohttp

from kube_api import ApiError, Object, condition, timestamp
from pod import HOST_ADDRESS, Pod, Surroundings

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
VERSION = "v1.36.3"
ENDED = ("Succeeded", "Failed")


class Kubelet:
    """``lose`` and ``restore`` take a node away and bring it back, as a power cut would."""

    def __init__(self, around: Surroundings, *, renew_seconds: float = 15) -> None:
        self.pods: dict[str, Pod] = {}
        """By uid."""
        self.nodes: dict[str, Object] = {}
        self.lost: set[str] = set()
        self.port: int | None = None
        """Where every node serves the logs of its containers, once known."""
        self._around, self._api = around, around.api
        self._renew_seconds = renew_seconds
        self._addresses = around.addresses
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled; then nothing of any pod runs any more."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._api.follow("/api/v1/nodes", self._node_changed))
                group.create_task(
                    self._api.follow("/api/v1/pods", self._pod_changed, {"fieldSelector": "spec.nodeName!="})
                )
                group.create_task(self._renew_leases())
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def lose(self, node: str) -> None:
        """The node is off: no leases, no reports, its processes dead. Kubernetes notices after its grace period."""
        self.lost.add(node)
        for pod in self._on(node):
            pod.cut_power()

    async def restore(self, node: str) -> None:
        """The node is back and says so; what was to run on it and still is, is started again."""
        self.lost.discard(node)
        await self._renew(node)
        await self._report_ready(node)
        for pod in self._on(node):
            pod.restore_power()

    def logs(self, namespace: str, pod: str, container: str) -> list[Path]:
        """The logs of the container's attempts, oldest first, while the pod is there."""
        folder = self.pod(namespace, pod).log(container, 0).parent
        return sorted(folder.glob("*.log"), key=lambda log: int(log.stem))

    def pod(self, namespace: str, name: str) -> Pod:
        """Raises LookupError where no such pod is bound to a node."""
        for each in self.pods.values():
            metadata = each.document["metadata"]
            if (metadata["namespace"], metadata["name"]) == (namespace, name):
                return each
        raise LookupError(f"no pod {namespace}/{name} runs here")

    def _on(self, node: str) -> list[Pod]:
        return [pod for pod in self.pods.values() if pod.document["spec"]["nodeName"] == node]

    def _pod_changed(self, kind: str, document: Object) -> None:
        uid = document["metadata"]["uid"]
        pod = self.pods.get(uid)
        if kind == "DELETED":
            if pod is not None:
                pod.vanish()
            return
        if pod is None:
            if document.get("status", {}).get("phase") in ENDED and "deletionTimestamp" not in document["metadata"]:
                return
            pod = self.pods[uid] = self._new(document)
            task = asyncio.create_task(self._run(uid, pod))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        pod.update(document)

    def _new(self, document: Object) -> Pod:
        pod = Pod(document, next(self._addresses), self._around)
        if document["spec"]["nodeName"] in self.lost:
            pod.cut_power()
        return pod

    async def _run(self, uid: str, pod: Pod) -> None:
        try:
            await pod.run()
        finally:
            self.pods.pop(uid, None)

    def _node_changed(self, kind: str, node: Object) -> None:
        name = node["metadata"]["name"]
        if kind == "DELETED":
            self.nodes.pop(name, None)
            return
        new = name not in self.nodes
        self.nodes[name] = node
        if new and name not in self.lost:
            task = asyncio.create_task(self._welcome(name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _welcome(self, name: str) -> None:
        """A node that somebody made as an API object reports itself ready, with its address and versions."""
        with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):  # the next renewal tries again
            await self._renew(name)
            if condition(self.nodes[name], "Ready").get("status") != "True" or self.port:
                await self._report_ready(name)

    async def _report_ready(self, name: str) -> None:
        now = timestamp()
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "process kubelet"}
        status: Object = {
            "conditions": [ready | {"lastHeartbeatTime": now, "lastTransitionTime": now}],
            "addresses": [{"type": "InternalIP", "address": HOST_ADDRESS}, {"type": "Hostname", "address": name}],
            "nodeInfo": {"kubeletVersion": VERSION, "operatingSystem": "linux", "architecture": "amd64"},
        }
        if self.port:
            status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": self.port}}
        await self._api.patch(f"/api/v1/nodes/{name}/status", {"status": status})

    async def _renew_leases(self) -> None:
        """Spread over the period: no bursts. A node that Kubernetes gave up meanwhile reports itself ready again."""
        while True:
            names = sorted(self.nodes.keys() - self.lost)
            for name in names:
                await asyncio.sleep(self._renew_seconds / len(names))
                if name not in self.nodes or name in self.lost:
                    continue
                with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):
                    await self._renew(name)
                    if condition(self.nodes[name], "Ready").get("status") != "True":
                        await self._report_ready(name)
            if not names:
                await asyncio.sleep(0.5)

    async def _renew(self, node: str) -> None:
        renewal = {"renewTime": timestamp("microseconds")}
        try:
            await self._api.patch(f"{LEASES}/{node}", {"spec": renewal})
        except ApiError as error:
            if error.status != 404:
                raise
            spec = renewal | {"holderIdentity": node, "leaseDurationSeconds": 40}
            await self._api.create(LEASES, {"metadata": {"name": node}, "spec": spec})
