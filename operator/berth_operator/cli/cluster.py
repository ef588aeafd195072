"""The live cluster, read once: every object that a plan depends on, as plain dicts."""

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from berth_operator.cli.outcome import InputError
from berth_operator.kinds import CLAIM, CONFIG_MAP, DEPLOYMENT, NODE, POD, POOL, SERVICE, VOLUME, WORKLOAD, Kind
from berth_operator.labels import MANAGED_BY, MANAGER
from berth_operator.measurements import referred_to
from berth_operator.world import Object, World

OURS = f"{MANAGED_BY}={MANAGER}"
READ: tuple[tuple[Kind, str | None], ...] = (
    (WORKLOAD, None),
    (POOL, None),
    (NODE, None),
    (POD, None),
    (DEPLOYMENT, OURS),
    (SERVICE, OURS),
    (CLAIM, None),
    (VOLUME, None),
)
"""Kinds, and the label selector that they are read with."""
PAGE = 500

# Every retry of urllib3 would be a line on stderr; what is left of them is told once, by InputError.
logging.getLogger("urllib3").setLevel(logging.ERROR)

CONNECT_SECONDS, READ_SECONDS = 10, 60


def cluster_world(kubeconfig: Path | None = None, context: str | None = None, also: Iterable[Object] = ()) -> World:
    """The world as the API server has it now. Raises :class:`InputError` that says what to do.

    Of ConfigMaps it has those that its workloads, or the workloads ``also``, refer to.
    """
    with _client(kubeconfig, context) as client:
        world = World.of(thing for kind, selector in READ for thing in _list(client, kind, selector))
        named = [
            thing
            for namespace, name in sorted(referred_to((*world.workloads, *also)))
            for thing in _list(client, CONFIG_MAP, None, namespace, f"metadata.name={name}")
        ]
        return replace(world, config_maps=tuple(named))


def annotate_node(
    name: str, annotations: dict[str, str], manager: str, kubeconfig: Path | None = None, context: str | None = None
) -> None:
    """Set annotations of a Node, and nothing else of it. Raises :class:`InputError` that says what to do."""
    with _client(kubeconfig, context) as client:
        request = client.param_serialize(
            method="PATCH",
            resource_path=NODE.path(name=name),
            query_params=[("fieldManager", manager)],
            header_params={"Accept": "application/json", "Content-Type": "application/merge-patch+json"},
            body={"metadata": {"annotations": annotations}},
            auth_settings=["BearerToken"],
        )
        response = _sent(client, request, "--node")
        if response.status == 404:
            raise InputError(f"--node: there is no Node {name}")
        if response.status >= 300:
            words = _message(response.data)
            raise InputError(f"--node {name}: the API server answered {response.status}: {words}")


def _client(kubeconfig: Path | None, context: str | None) -> ApiClient:
    """By the kubeconfig given, else as kubectl finds it, else by the pod's own service account."""
    try:
        client: ApiClient = config.new_client_from_config(  # type: ignore[no-untyped-call]
            str(kubeconfig) if kubeconfig else None, context, persist_config=False
        )
        return client
    except (config.ConfigException, OSError) as error:
        if kubeconfig is None and context is None and (inside := _in_cluster()) is not None:
            return inside
        where = str(kubeconfig) if kubeconfig else "KUBECONFIG or ~/.kube/config"
        raise InputError(
            f"--cluster: no cluster to read in {where}: {error}",
            "Give --kubeconfig FILE or --context NAME, or plan from files with -f.",
        ) from error


def _in_cluster() -> ApiClient | None:
    try:
        config.load_incluster_config()  # type: ignore[no-untyped-call]
    except config.ConfigException:
        return None
    return ApiClient()


def _list(
    client: ApiClient, kind: Kind, selector: str | None, namespace: str | None = None, fields: str | None = None
) -> Iterator[dict[str, Any]]:
    """All objects of a kind in all namespaces or one, page by page."""
    token = ""
    while True:
        query = [("limit", str(PAGE))]
        query += [("labelSelector", selector)] if selector else []
        query += [("fieldSelector", fields)] if fields else []
        query += [("continue", token)] if token else []
        page = _get(client, kind, query, namespace)
        for thing in page.get("items") or ():
            # Items of a list carry neither, because the list does.
            yield {"apiVersion": kind.api_version, "kind": kind.name, **thing}
        token = (page.get("metadata") or {}).get("continue") or ""
        if not token:
            return


def _get(client: ApiClient, kind: Kind, query: list[tuple[str, str]], namespace: str | None = None) -> dict[str, Any]:
    request = client.param_serialize(
        method="GET",
        resource_path=kind.path(namespace),
        query_params=query,
        header_params={"Accept": "application/json"},
        auth_settings=["BearerToken"],
    )
    try:
        response = _sent(client, request, "--cluster")
    except ApiException as error:
        raise _refused(client, kind, error.status, error.body) from error
    if response.status != 200:
        raise _refused(client, kind, response.status, response.data)
    found: dict[str, Any] = json.loads(response.data or b"{}")
    return found


def _sent(client: ApiClient, request: tuple[str, str, dict[str, str], str | None, list[str]], option: str) -> Any:
    """The answer, read; ``option`` begins the message where none comes."""
    try:
        response: Any = client.call_api(*request, _request_timeout=(CONNECT_SECONDS, READ_SECONDS))
        response.read()
    except (HTTPError, OSError) as error:
        raise InputError(
            f"{option}: the API server at {client.configuration.host} cannot be reached: {_cause(error)}",
            "Check that the cluster is up, and --kubeconfig and --context.",
        ) from error
    return response


def _cause(error: BaseException) -> str:
    """The innermost words: urllib3 wraps them in the story of its retries."""
    reason = getattr(error, "reason", None)
    return _cause(reason) if isinstance(reason, BaseException) else str(error)


def _refused(client: ApiClient, kind: Kind, status: int | None, body: str | bytes | None) -> InputError:
    host = client.configuration.host
    if status == 404 and kind in (WORKLOAD, POOL):
        return InputError(
            f"--cluster: the API server at {host} does not know {kind.name}: Berthmaster's CRDs are not installed",
            "Install the chart, or kubectl apply -f crds/.",
        )
    if status == 401:
        return InputError(f"--cluster: the API server at {host} does not accept the credentials: log in again")
    if status == 403:
        return InputError(
            f"--cluster: not allowed to list {kind.plural}: {_message(body)}",
            "A plan is about the whole cluster: ask for list on "
            + ", ".join(sorted({kind.plural, *(one.plural for one, _ in READ)}))
            + ", or let somebody run berth snapshot --cluster and plan with its file.",
        )
    return InputError(f"--cluster: the API server at {host} answered {status} to {kind.path()}: {_message(body)}")


def _message(body: str | bytes | None) -> str:
    """What the server says; a Status object has it as ``message``."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""
    try:
        said = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        said = text
    return " ".join(str(said).split())[:300] or "nothing"
