"""A Prometheus that answers as scripted: the query API over HTTP, with every fault that a test wants."""

import contextlib
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from berth_operator.settings import Settings
from berth_operator.signals import expressions
from berth_operator.signals.expressions import Scope
from berth_operator.signals.queries import CLOCK, UNLABELLED, queries

Series = tuple[Mapping[str, str], float | str]
"""Labels and value; a text is sent as it is."""


@dataclass(frozen=True)
class Reply:
    """``chunk_pause_seconds``: between chunks of 64 bytes; ``pause_seconds``: before anything is sent."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_seconds: float = 0.0
    chunk_pause_seconds: float = 0.0
    slow_headers: int = 0
    """So many headers before the others, a tenth of a second apart."""


def vector(series: Sequence[Series], at_seconds: float, **more: Any) -> Reply:
    """A success of the query API."""
    result = [{"metric": dict(labels), "value": [at_seconds, str(value)]} for labels, value in series]
    document = {"status": "success", "data": {"resultType": "vector", "result": result}, **more}
    return Reply(json.dumps(document).encode(), headers={"Content-Type": "application/json"})


def of_workload(namespace: str, name: str, **more: str) -> dict[str, str]:
    return {expressions.NAMESPACE: namespace, expressions.WORKLOAD: name, **more}


def of_berth(namespace: str, name: str, berth: str, **more: str) -> dict[str, str]:
    return of_workload(namespace, name, **{expressions.BERTH: berth}, **more)


class FakePrometheus:
    """Context manager. ``series``: by the name of the signal; ``reply(name)`` may answer in their place."""

    def __init__(self, series: Mapping[str, Sequence[Series]] | None = None) -> None:
        self.series = dict(series or {})
        self.reply: Callable[[str], Reply | None] = lambda name: None
        self.clock: Callable[[], float] = time.time
        self.asked: list[tuple[str, str | None, Mapping[str, str]]] = []
        """Name of the signal, the time that was asked for, and the headers."""
        self._names: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def settings(self, **prometheus: Any) -> Settings:
        """Of an operator that asks this server."""
        settings = Settings.model_validate({"prometheus": {"url": self.url, **prometheus}})
        own = settings.prometheus
        scope = Scope(f"{settings.rate_window_seconds}s", own.stale_seconds, dict(own.matchers))
        self._names = {each.promql: each.name for each in queries(scope)} | {CLOCK: "clock", UNLABELLED: "unlabelled"}
        return settings

    def answer(self, name: str, at_seconds: float) -> Reply:
        scripted = self.reply(name)
        if scripted is not None:
            return scripted
        if name == "clock":
            return vector([({}, at_seconds)], at_seconds)
        return vector(self.series.get(name, ()), at_seconds)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                parts = urllib.parse.urlsplit(self.path)
                asked = urllib.parse.parse_qs(parts.query)
                promql, at = asked.get("query", [""])[0], asked.get("time", [None])[0]
                name = fake._names.get(promql, parts.path)
                fake.asked.append((name, at, dict(self.headers)))
                with contextlib.suppress(OSError):
                    self._send(fake.answer(name, float(at) if at else fake.clock()))

            def _send(self, reply: Reply) -> None:
                time.sleep(reply.pause_seconds)
                self.send_response(reply.status)
                for number in range(reply.slow_headers):
                    self.send_header(f"X-Slow-{number}", "1")
                    self.flush_headers()
                    time.sleep(0.1)
                for header, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(header, value)
                self.end_headers()
                if not reply.chunk_pause_seconds:
                    self.wfile.write(reply.body)
                    return
                for start in range(0, len(reply.body), 64):
                    self.wfile.write(reply.body[start : start + 64])
                    self.wfile.flush()
                    time.sleep(reply.chunk_pause_seconds)

        return Handler
