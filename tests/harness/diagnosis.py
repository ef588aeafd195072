"""What a person would look at when a cluster does not do what a test waits for: conditions, events, last log lines."""

import http.client
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from kube_api import Api, ApiError, Object

T = TypeVar("T")

LOOKED_AT = (
    "/apis/berthmaster.dev/v1alpha1/inferenceworkloads",
    "/apis/berthmaster.dev/v1alpha1/gpupools",
    "/apis/apps/v1/deployments",
    "/api/v1/pods",
)
LAST_EVENTS = 25
LAST_LINES = 15


class WaitFailed(AssertionError):
    """What was waited for did not come; the message holds the state of the cluster."""


def wait_until(
    ask: Callable[[], T],
    api: Api | None = None,
    logs: Iterable[Path] = (),
    *,
    timeout_seconds: float = 30,
    every_seconds: float = 0.05,
    what: str = "",
) -> T:
    """The first true answer of ``ask``; a refusal by the API server (not there yet) counts as a false one.

    Raises WaitFailed with conditions, events and the ends of the logs once ``timeout_seconds`` are over.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        answer: object
        try:
            answer = found = ask()
            if found:
                return found
        except (ApiError, OSError, http.client.HTTPException) as refusal:
            answer = refusal
        if time.monotonic() > deadline:
            described = what or getattr(ask, "__name__", "the condition")
            state = "\n".join([*(cluster_state(api) if api else []), *log_tails(logs)])
            raise WaitFailed(f"{described}: still {answer!r} after {timeout_seconds:g} s\n{state}")
        time.sleep(every_seconds)


def cluster_state(api: Api) -> list[str]:
    """Lines: every object of interest with its conditions, then the newest events."""
    lines: list[str] = []
    try:
        for path in LOOKED_AT:
            lines += [_line(path, each) for each in _items(api, path)]
        lines.append("events:")
        events = sorted(_items(api, "/api/v1/events"), key=lambda event: event["metadata"]["creationTimestamp"])
        lines += [_event(event) for event in events[-LAST_EVENTS:]]
    except (OSError, http.client.HTTPException) as error:
        lines.append(f"the API server does not answer: {error}")
    return lines


def log_tails(logs: Iterable[Path]) -> list[str]:
    lines: list[str] = []
    for log in logs:
        text = log.read_text(errors="replace").splitlines() if log.exists() else ["(no log)"]
        lines += [f"{log}:", *(f"  {line}" for line in text[-LAST_LINES:])]
    return lines


def _items(api: Api, path: str) -> list[Object]:
    try:
        return api.items(path)
    except ApiError:  # a kind that this cluster does not know
        return []


def _line(path: str, document: Object) -> str:
    metadata = document["metadata"]
    name = "/".join(filter(None, [metadata.get("namespace"), metadata["name"]]))
    status = document.get("status", {})
    said = "; ".join(_condition(each) for each in status.get("conditions", []))
    return f"{path.rsplit('/', 1)[1]} {name} {status.get('phase', '')}: {said}"


def _condition(each: Object) -> str:
    why = f" ({each['reason']}: {each.get('message', '')})" if "reason" in each else ""
    return f"{each['type']}={each['status']}{why}"


def _event(event: Object) -> str:
    about = event.get("involvedObject", {})
    return f"  {about.get('kind')} {about.get('name')}: {event.get('reason')}: {event.get('message')}"
