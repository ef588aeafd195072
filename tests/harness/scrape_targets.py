"""What Prometheus' discovery finds of ready pods, as a file that it follows: Debian's build knows no Kubernetes."""

import contextlib
import http.client
import json
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from addresses import of_pod
from kube_api import Api, ApiError, Object, condition

METRICS_PORT = 8002
EVERY_SECONDS = 0.5
LABELS = {
    "berthmaster.dev/workload": "berthmaster_dev_workload",
    "app.kubernetes.io/instance": "app_kubernetes_io_instance",
}
"""Of a pod, as the chart's PodMonitors copy them."""


class ScrapeTargets:
    """Context manager: keeps ``file`` up to date with the ready pods of Berthmaster's in a namespace."""

    def __init__(self, api: Api, namespace: str, file: Path) -> None:
        self._path = f"/api/v1/namespaces/{namespace}/pods?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dberthmaster"
        self._api = api
        self._file = file
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._write([])

    @property
    def scrape_configs(self) -> list[dict[str, Any]]:
        discovery = {"files": [str(self._file)], "refresh_interval": "1s"}
        return [{"job_name": "served", "file_sd_configs": [discovery]}]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            with contextlib.suppress(OSError, http.client.HTTPException, ApiError):
                pods = self._api.items(self._path)
                self._write([_target(pod) for pod in pods if condition(pod, "Ready").get("status") == "True"])

    def _write(self, targets: list[Object]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps(sorted(targets, key=str)))
        written.rename(self._file)


def _target(pod: Object) -> Object:
    metadata = pod["metadata"]
    labels = {name: metadata["labels"][label] for label, name in LABELS.items()}
    labels |= {"namespace": metadata["namespace"], "pod": metadata["name"]}
    return {"targets": [f"{of_pod(pod['status']['podIP'])}:{METRICS_PORT}"], "labels": labels}
