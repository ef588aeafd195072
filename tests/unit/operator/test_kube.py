"""What every answer of an API server means to us, against a scripted one on a socket."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from berth_operator import kinds
from berth_operator.credentials import Credentials
from berth_operator.errors import (
    BerthmasterError,
    Conflict,
    Expired,
    FieldsOwned,
    Forbidden,
    InvalidSettings,
    LostLeadership,
    Refused,
    Throttled,
    Unauthenticated,
    Unavailable,
    Vanished,
)
from berth_operator.kube import Kube

BODY = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n", "uid": "u"}}


class Script:
    """An API server that answers what it was told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.asked: list[tuple[str, str, dict[str, str], Any, str | None]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        body = json.loads(text) if text else None
        header = request.headers.get("Authorization")
        self.asked.append((request.method, request.path, dict(request.query), body, header))
        return self.answers.pop(0) if self.answers else web.json_response({"kind": "Service", "metadata": {}})

    def say(self, status: int, body: Any = None, **headers: str) -> None:
        self.answers.append(web.json_response(body or {}, status=status, headers=headers))


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    yield Script()


@pytest.fixture
async def server(script: Script) -> AsyncIterator[TestServer]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", script.handle)
    async with TestServer(application) as server:
        yield server


def kubeconfig(path: Path, server: str, token: str) -> str:
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "c", "user": {"token": token}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
            }
        )
    )
    return str(path)


@pytest.fixture
async def credentials(server: TestServer, tmp_path: Path) -> Credentials:
    credentials = Credentials(kubeconfig(tmp_path / "config", str(server.make_url("")), "first"))
    await credentials.load()
    return credentials


@pytest.fixture
async def kube(credentials: Credentials) -> AsyncIterator[Kube]:
    async with credentials.session(connections=4) as session:
        yield Kube(session, fence=lambda: True)


def status(reason: str = "", message: str = "said", causes: list[dict[str, str]] | None = None) -> dict[str, Any]:
    return {"kind": "Status", "reason": reason, "message": message, "details": {"causes": causes or []}}


@pytest.mark.parametrize(
    ("code", "body", "error"),
    [
        (400, status(), Refused),
        (401, status(), Unauthenticated),
        (403, status(), Forbidden),
        (403, status(causes=[{"reason": "NamespaceTerminating"}]), Vanished),
        (404, status(), Vanished),
        (409, status(), Conflict),
        (410, status(), Expired),
        (422, status(), Refused),
        (422, status(causes=[{"field": "metadata.uid"}]), Conflict),
        (429, status(), Throttled),
        (500, status(), Unavailable),
        (503, status(), Unavailable),
        (418, status(), Unavailable),
    ],
)
async def test_every_status_has_one_meaning(
    kube: Kube, script: Script, code: int, body: Any, error: type[BerthmasterError]
) -> None:
    script.say(code, body)
    script.say(code, body)  # a 401 is asked again with new credentials
    with pytest.raises(error, match="said") as caught:
        await kube.apply(kinds.SERVICE, BODY, manager="m", force=True)
    assert type(caught.value) is error


async def test_a_conflict_of_fields_names_who_holds_them(kube: Kube, script: Script) -> None:
    said = 'conflict with "kubectl" with subresource "scale" using apps/v1'
    script.say(409, status(causes=[{"reason": "FieldManagerConflict", "message": said, "field": ".spec.replicas"}]))
    with pytest.raises(FieldsOwned) as caught:
        await kube.apply(kinds.SERVICE, BODY, manager="m", force=False)
    assert caught.value.owners == ("kubectl",)


async def test_a_server_that_sheds_load_says_for_how_long(kube: Kube, script: Script) -> None:
    script.say(429, status(), **{"Retry-After": "7"})
    with pytest.raises(Throttled) as caught:
        await kube.get(kinds.SERVICE, "s", "n")
    assert caught.value.after_seconds == 7


async def test_an_apply_is_strict_and_says_in_whose_name(kube: Kube, script: Script) -> None:
    await kube.apply(kinds.WORKLOAD, BODY, manager="berthmaster", force=True, subresource="status")
    method, path, query, body, _ = script.asked[0]
    assert (method, path) == ("PATCH", "/apis/berthmaster.dev/v1alpha1/namespaces/n/inferenceworkloads/s/status")
    assert query == {"fieldManager": "berthmaster", "force": "true", "fieldValidation": "Strict"}
    assert body == BODY


async def test_a_delete_names_the_uid_and_takes_gone_for_done(kube: Kube, script: Script) -> None:
    assert await kube.delete(kinds.SERVICE, "s", "n", uid="u")
    assert script.asked[0][3]["preconditions"] == {"uid": "u"}
    for code in (404, 409):
        script.say(code, status())
        assert not await kube.delete(kinds.SERVICE, "s", "n", uid="u")


async def test_lists_come_in_pages(kube: Kube, script: Script) -> None:
    script.say(200, {"items": [{"a": 1}], "metadata": {"resourceVersion": "5", "continue": "more"}})
    script.say(200, {"items": [{"a": 2}], "metadata": {"resourceVersion": "5"}})
    pages = [page async for page in kube.pages(kinds.NODE, labels="x=y")]
    assert [(page.items, page.version) for page in pages] == [([{"a": 1}], "5"), ([{"a": 2}], "5")]
    assert script.asked[1][2] == {"limit": "500", "labelSelector": "x=y", "continue": "more"}


async def test_what_is_not_there_is_none(kube: Kube, script: Script) -> None:
    script.say(404, status())
    assert await kube.get(kinds.NODE, "n") is None
    script.say(200, {"items": [], "metadata": {}})
    assert await kube.find(kinds.SERVICE, "s", "n") is None
    script.say(404, status())
    assert not await kube.serves(kinds.POD_MONITOR)


async def test_a_refused_token_is_read_again_and_the_request_repeated(
    kube: Kube, script: Script, server: TestServer, tmp_path: Path
) -> None:
    kubeconfig(tmp_path / "config", str(server.make_url("")), "second")
    script.say(401, status())
    await kube.apply(kinds.SERVICE, BODY, manager="m", force=True)
    assert [(asked[4], asked[3]) for asked in script.asked] == [("Bearer first", BODY), ("Bearer second", BODY)]


async def test_without_the_lease_no_write_leaves_but_reads_do(credentials: Credentials, script: Script) -> None:
    async with credentials.session(connections=1) as session:
        kube = Kube(session, fence=lambda: False)
        for write in (
            kube.apply(kinds.SERVICE, BODY, manager="m", force=True),
            kube.delete(kinds.SERVICE, "s", "n"),
            kube.create(kinds.EVENT, BODY),
        ):
            with pytest.raises(LostLeadership):
                await write
        assert script.asked == []
        await kube.get(kinds.SERVICE, "s", "n")
        await kube.create(kinds.LEASE, BODY, fenced=False)
        assert len(script.asked) == 2


async def test_a_server_that_is_not_there_or_talks_nonsense_is_unavailable(
    kube: Kube, script: Script, server: TestServer
) -> None:
    script.answers.append(web.Response(text="<html>a proxy's page</html>"))
    with pytest.raises(Unavailable, match="not a JSON object"):
        await kube.get(kinds.SERVICE, "s", "n")
    await server.close()
    with pytest.raises(Unavailable):
        await kube.get(kinds.SERVICE, "s", "n")


async def test_requests_are_counted_by_verb_kind_and_code(credentials: Credentials, script: Script) -> None:
    seen = []
    async with credentials.session(connections=1) as session:
        kube = Kube(
            session, fence=lambda: True, observe=lambda verb, kind, code, seconds: seen.append((verb, kind, code))
        )
        await kube.get(kinds.SERVICE, "s", "n")
        script.say(503, status())
        with pytest.raises(Unavailable):
            await kube.apply(kinds.SERVICE, BODY, manager="m", force=True)
    assert seen == [("GET", "Service", "200"), ("APPLY", "Service", "503")]


async def test_credentials_that_are_not_there_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="--kubeconfig"):
        await Credentials(str(tmp_path / "absent")).load()


async def test_the_service_account_of_a_pod_is_used_and_its_token_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kubernetes.aio.config import incluster_config

    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("one")
    authority.write_text("certificate")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    credentials = Credentials()
    await credentials.load()
    assert credentials.server == "https://10.0.0.1:443"
    assert await credentials.headers() == {"Authorization": "bearer one"}
    token.write_text("two")
    monkeypatch.setattr("berth_operator.credentials.TOKEN_LIFE_SECONDS", 0)
    assert await credentials.headers() == {"Authorization": "bearer two"}
