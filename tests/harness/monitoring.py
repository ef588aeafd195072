"""The kinds of the Prometheus operator (v1) that Berthmaster makes: their names, and the fields that it fills."""

import diagnosis
from kube_api import Api, ApiError, Object

GROUP = "monitoring.coreos.com"
VERSION = f"/apis/{GROUP}/v1"

_TEXT: Object = {"type": "string"}
_TEXTS: Object = {"type": "object", "additionalProperties": _TEXT}
_SELECTOR: Object = {"type": "object", "properties": {"matchLabels": _TEXTS}}
_ENDPOINTS: Object = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "port": _TEXT,
            "path": _TEXT,
            "interval": {"type": "string", "pattern": "^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?"
                         "(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$"},
            "honorLabels": {"type": "boolean"},
        },
    },
}  # fmt: skip

_RULE: Object = {
    "type": "object",
    "required": ["expr"],
    "properties": {
        "record": _TEXT, "alert": _TEXT, "expr": _TEXT, "for": _TEXT, "labels": _TEXTS, "annotations": _TEXTS,
    },
}  # fmt: skip
_GROUPS: Object = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {"name": _TEXT, "rules": {"type": "array", "items": _RULE}},
    },
}

FIELDS: dict[str, Object] = {
    "PodMonitor": {
        "selector": _SELECTOR,
        "podTargetLabels": {"type": "array", "items": _TEXT},
        "podMetricsEndpoints": _ENDPOINTS,
    },
    "ServiceMonitor": {"selector": _SELECTOR, "endpoints": _ENDPOINTS},
    "PrometheusRule": {"groups": _GROUPS},
}


def install(api: Api) -> None:
    """Define all of them and wait until they are served, which takes about two seconds."""
    for kind, fields in FIELDS.items():
        api.apply_object(_definition(kind, fields))
    diagnosis.wait_until(lambda: _served(api) >= set(FIELDS), api, what="the monitoring API")


def _served(api: Api) -> set[str]:
    try:
        return {each["kind"] for each in api.get(VERSION)["resources"]}
    except ApiError:
        return set()


def _definition(kind: str, fields: Object) -> Object:
    required = [name for name in ("selector",) if name in fields]
    spec: Object = {"type": "object", "properties": fields} | ({"required": required} if required else {})
    schema = {"type": "object", "required": ["spec"], "properties": {"spec": spec}}
    names = {"kind": kind, "listKind": f"{kind}List", "singular": kind.lower(), "plural": f"{kind.lower()}s"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.lower()}s.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }
