"""Questions to Prometheus, by the only module that speaks to it. Answers may be long, slow, wrong or not from it.

The client library retries by itself, follows redirects, reads bodies of any length for any time and hands on a part of
the answer only. So it is given a session that asks once, goes nowhere else, and reads so many bytes until a deadline.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import requests
from prometheus_api_client.exceptions import PrometheusApiClientException
from prometheus_api_client.prometheus_connect import PrometheusConnect
from requests.adapters import BaseAdapter
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from berth_operator.settings import PrometheusSettings

THREADS = 2
MOST_ABANDONED = 4
"""Times that threads are left to requests that outlived their deadline: who sends headers a byte at a time can hold no
more than these."""
_CHUNK_BYTES = 65_536
_LONGEST_TOKEN = 65_536
_SHOWN = 200
"""Characters of a server's own words in a message."""
_ABOUT_PROMQL = "PromQL "
"""Begins warnings on how a query is written; any other is about data that is missing from the answer."""


T = TypeVar("T")
Read: TypeAlias = Callable[[Sequence[Any]], T]
"""Makes something of the list of series in an answer; raises Unanswered where it cannot."""


class Unanswered(Exception):
    """Why a query has no answer, in words for a person."""


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """What was read out of each answer, by query name, and what went wrong with the others."""

    results: Mapping[str, T]
    failures: Mapping[str, str]


class Prometheus:
    """One server. Its threads are few and never waited for beyond a deadline."""

    def __init__(self, settings: PrometheusSettings) -> None:
        if settings.url is None:
            raise ValueError("prometheus.url is not set")
        self._settings = settings
        self._url = settings.url.rstrip("/")
        self._pool = ThreadPoolExecutor(THREADS, "prometheus")
        self._hanging: list[Sequence[Future[Any]]] = []
        self._own = threading.local()

    async def ask(
        self, queries: Iterable[tuple[str, str, Read[T]]], *, at_seconds: float | None, seconds: float
    ) -> Answers[T]:
        """``queries``: (name, PromQL, how to read the answer), evaluated at ``at_seconds`` or the server's now.

        Answers are read in the thread that got them, so that no more than two are in memory as they came. Ends within
        ``seconds``; raises nothing for what the other side does.
        """
        try:
            headers = self._headers()
            pool = self._usable_pool()
        except Unanswered as refusal:
            return Answers({}, {name: str(refusal) for name, *_ in queries})
        deadline = time.monotonic() + seconds
        asked = {
            name: pool.submit(
                lambda promql, read: read(self._query(promql, at_seconds, headers, deadline)), promql, read
            )
            for name, promql, read in queries
        }
        tasks = {name: asyncio.wrap_future(each) for name, each in asked.items()}
        _, late = await asyncio.wait(tasks.values(), timeout=seconds) if tasks else (set(), set())
        results: dict[str, T] = {}
        failures: dict[str, str] = {}
        for name, task in tasks.items():
            if task in late:
                task.cancel()
                task.add_done_callback(_forget)
                failures[name] = f"no answer within {seconds:g} s"
            elif (error := task.exception()) is not None:
                failures[name] = str(error) if isinstance(error, Unanswered) else f"{type(error).__name__}: {error}"
            else:
                results[name] = task.result()
        if late:
            self._abandon([each for each in asked.values() if not each.done()])
        return Answers(results, failures)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    # --- threads ---------------------------------------------------------------------------------------------------

    def _abandon(self, hanging: Sequence[Future[Any]]) -> None:
        """What hangs keeps its threads; later questions get others."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._hanging.append(hanging)
        self._pool = ThreadPoolExecutor(THREADS, "prometheus")

    def _usable_pool(self) -> ThreadPoolExecutor:
        self._hanging = [each for each in self._hanging if not all(future.done() for future in each)]
        if len(self._hanging) >= MOST_ABANDONED:
            raise Unanswered("earlier queries still hang: something between here and Prometheus holds connections open")
        return self._pool

    # --- one query, in a thread ------------------------------------------------------------------------------------

    def _query(self, promql: str, at_seconds: float | None, headers: Mapping[str, str], deadline: float) -> list[Any]:
        settings = self._settings
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unanswered("there was no time left to ask")
        seconds = min(settings.timeout_seconds, left)
        params = {"timeout": f"{max(1, round(seconds * 1e3))}ms"}
        if at_seconds is not None:
            params["time"] = f"{at_seconds:.3f}"
        client, session = self._client()
        session.headers, session.deadline = headers, time.monotonic() + seconds
        try:
            found = client.custom_query(promql, params=params, timeout=seconds)
        except (requests.RequestException, HTTPError) as error:
            raise Unanswered(_reason(self._url, error)) from error
        except PrometheusApiClientException as error:
            raise Unanswered(_shortened(str(error))) from error
        except (KeyError, TypeError, RecursionError) as error:
            raise Unanswered("the answer is not one of Prometheus' query API") from error
        if not isinstance(found, list):
            raise Unanswered("the answer holds no list of series")
        return found

    def _client(self) -> tuple[Any, "_Session"]:
        """Of this thread: connections, and the certificates that they are checked by, are kept."""
        if not hasattr(self._own, "client"):
            never = Retry(total=0, redirect=0, status=0, read=0, connect=0, raise_on_status=False)
            session: Any = _Session(self._settings)
            self._own.client, self._own.session = PrometheusConnect(self._url, retry=never, session=session), session
        return self._own.client, self._own.session

    def _headers(self) -> dict[str, str]:
        """The token is read anew each time: mounted ones expire and are replaced."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self._settings.tenant is not None:
            headers["X-Scope-OrgID"] = self._settings.tenant
        if self._settings.token_file is not None:
            headers["Authorization"] = f"Bearer {_token(self._settings.token_file)}"
        return headers


class _Answer:
    """As much of a ``requests.Response`` as the library reads."""

    def __init__(self, status_code: int, content: bytes) -> None:
        self.status_code = status_code
        self.content = content[:_SHOWN]
        self._body = content

    def json(self) -> Any:
        """The document; raises Unanswered for one that says that it is not the whole answer."""
        try:
            document = json.loads(self._body)
        except (ValueError, RecursionError) as error:
            raise Unanswered(f"the answer is no JSON: {self.content[:80]!r}") from error
        if not isinstance(document, dict) or document.get("status") != "success":
            raise Unanswered(f"the answer reports no success: {self.content!r}")
        warnings = document.get("warnings") or []
        parts = [str(each) for each in warnings if not str(each).startswith(_ABOUT_PROMQL)]
        if parts:
            raise Unanswered(_shortened(f"the answer is not complete: {parts[0]}"))
        return document


class _Session:
    """In place of a ``requests.Session``: one attempt, no redirect, no proxy or netrc of the environment."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self.headers: Mapping[str, str] = {}
        self.deadline = 0.0
        """Of the request under way, on the monotonic clock."""
        self._most_bytes = settings.maximum_bytes
        self.verify: bool | str = True if settings.ca_file is None else str(settings.ca_file)
        self.cert = None

    def mount(self, prefix: str, adapter: BaseAdapter) -> None:
        self._session.mount(prefix, adapter)

    def request(self, *, method: str, url: str, headers: None, **options: Any) -> _Answer:
        with self._session.request(
            method, url, headers=dict(self.headers), stream=True, allow_redirects=False, **options
        ) as response:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise Unanswered("the answer is compressed although that was not asked for")
            return _Answer(response.status_code, self._body(response))

    def _body(self, response: requests.Response) -> bytes:
        body = bytearray()
        while chunk := response.raw.read1(_CHUNK_BYTES):
            body += chunk
            if len(body) > self._most_bytes:
                raise Unanswered(
                    f"the answer is longer than {self._most_bytes} bytes: narrow prometheus.matchers, or raise"
                    " prometheus.maximumBytes"
                )
            if time.monotonic() > self.deadline:
                raise Unanswered("the answer came too slowly")
        return bytes(body)


def _forget(task: asyncio.Future[Any]) -> None:
    """Take note of the outcome, so that nobody warns that it was never looked at."""
    if not task.cancelled():
        task.exception()


def _token(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            token = opened.read(_LONGEST_TOKEN + 1).strip()
    except OSError as error:
        raise Unanswered(f"prometheus.tokenFile: {error}") from error
    if not token or len(token) > _LONGEST_TOKEN or any(not 0x21 <= byte <= 0x7E for byte in token):
        raise Unanswered(f"prometheus.tokenFile: {file} does not hold one token")
    return token.decode("ascii")


def _reason(url: str, error: Exception) -> str:
    """The innermost words: around them the libraries pack the whole request."""
    cause: BaseException = error
    while (inner := getattr(cause, "reason", None) or cause.__cause__ or _argument(cause)) is not None:
        if not isinstance(inner, BaseException):
            break
        cause = inner
    return _shortened(f"{url}: {cause or type(cause).__name__}")


def _argument(error: BaseException) -> BaseException | None:
    return error.args[0] if error.args and isinstance(error.args[0], BaseException) else None


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
