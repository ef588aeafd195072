"""A real Prometheus on loopback (Debian's package, unpacked into the cache), and promtool beside it."""

import json
import os
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

import child_process
import debian
from controlplane import free_ports

PACKAGE = "prometheus"
READY_WITHIN_SECONDS = 30


def program(name: str) -> Path:
    """``prometheus`` or ``promtool``. Raises debian.Unavailable where the package cannot be had."""
    return debian.unpacked(PACKAGE) / "usr" / "bin" / name


def promtool(*arguments: str | Path, cwd: Path | None = None) -> tuple[int, str]:
    """Exit status, and what it said."""
    command = [program("promtool"), *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr


class PrometheusServer:
    """Context manager. ``scrape_configs`` as in prometheus.yml; ``rules``: groups of recording and alerting rules."""

    def __init__(
        self, folder: Path, scrape_configs: Sequence[Mapping[str, Any]] = (), *,
        interval_seconds: float = 1, rules: Sequence[Mapping[str, Any]] = (),
    ) -> None:  # fmt: skip
        self._folder = folder
        self._log = folder / "prometheus.log"
        (port,) = free_ports(1)
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        every = f"{interval_seconds:g}s" if interval_seconds >= 1 else f"{interval_seconds * 1000:.0f}ms"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rules.yml").write_text(json.dumps({"groups": list(rules)}))
        times = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
        stated = {"global": times, "rule_files": ["rules.yml"], "scrape_configs": list(scrape_configs)}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(stated, sort_keys=False))
        self.process: child_process.Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        command = [
            program("prometheus"), f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}", f"--web.listen-address={self.address}",
        ]  # fmt: skip
        self.process = child_process.started(command, self._log, environment={**os.environ, "GOMAXPROCS": "1"})
        child_process.wait_ready(
            self.process, f"{self.url}/-/ready", self._log, name="Prometheus", within_seconds=READY_WITHIN_SECONDS
        )

    def stop(self) -> None:
        """What it has stored stays, for another start."""
        if self.process is not None:
            child_process.end(self.process)
            self.process = None

    def get(self, path: str, **parameters: str) -> Any:
        """``data`` of an answer of the API, for example of ``/api/v1/query``."""
        url = f"{self.url}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, promql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/v1/query", query=promql)["result"]
        return found
