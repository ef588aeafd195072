"""Pods of a cluster as targets with the labels of Prometheus' own discovery: Debian's build of it goes without.

One target for each container port of each pod, ``__meta_kubernetes_pod_…`` as in *kubernetes_sd_config*, role *pod*
(Prometheus 2.42); so relabelling is tried as a user writes it. Addresses are those at which pods listen here.
"""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from addresses import of_pod
from kube_api import Api, ApiError, Object

LOOK_SECONDS = 1.0


class PodDiscovery:
    """Context manager around a thread that keeps ``file`` current: for *file_sd_configs*."""

    def __init__(self, kubeconfig: Path, file: Path) -> None:
        self._api = Api(kubeconfig)
        self.file = file
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    @property
    def config(self) -> dict[str, Any]:
        """In place of ``kubernetes_sd_configs`` in a scrape job."""
        return {"file_sd_configs": [{"files": [str(self.file)], "refresh_interval": "1s"}]}

    def __enter__(self) -> Self:
        self._write("[]")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _follow(self) -> None:
        said = ""
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                pods = self._api.items("/api/v1/pods")
            except (ApiError, OSError):
                continue  # as a real discovery: what was there, stays
            found = json.dumps([target for pod in pods for target in targets(pod)])
            if found != said:
                self._write(found)
                said = found

    def _write(self, text: str) -> None:
        """At once: half a file would be no targets."""
        unfinished = self.file.with_suffix(".unfinished")
        unfinished.write_text(text)
        unfinished.rename(self.file)


def targets(pod: Object) -> Iterator[Object]:
    """None before the pod has an address."""
    address, metadata = pod.get("status", {}).get("podIP"), pod["metadata"]
    if not address:
        return
    own = {"namespace": metadata["namespace"], "pod_name": metadata["name"], "pod_ip": address}
    own |= {"pod_phase": pod["status"].get("phase", "Unknown"), "pod_node_name": pod["spec"].get("nodeName", "")}
    for key, value in metadata.get("labels", {}).items():
        name = re.sub(r"[^a-zA-Z0-9_]", "_", key)
        own |= {f"pod_label_{name}": value, f"pod_labelpresent_{name}": "true"}
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", ()):
            more = {"pod_container_name": container["name"], "pod_container_port_name": port.get("name", "")}
            more["pod_container_port_number"] = str(port["containerPort"])
            labels = {f"__meta_kubernetes_{name}": value for name, value in {**own, **more}.items()}
            yield {"targets": [f"{of_pod(address)}:{port['containerPort']}"], "labels": labels}
