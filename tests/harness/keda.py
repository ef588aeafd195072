"""KEDA's ScaledObject, as far as a manifest is checked against it: names and types of its documentation (2.18)."""

import diagnosis
from kube_api import Api, ApiError

VERSION = "/apis/keda.sh/v1alpha1"
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "format": "int32"}
_SCHEMA = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["scaleTargetRef", "triggers"],
            "properties": {
                "scaleTargetRef": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"apiVersion": _TEXT, "kind": _TEXT, "name": _TEXT},
                },
                "minReplicaCount": _COUNT,
                "maxReplicaCount": _COUNT,
                "triggers": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["type", "metadata"],
                        "properties": {
                            "type": _TEXT,
                            "metricType": _TEXT,
                            "metadata": {"type": "object", "additionalProperties": _TEXT},
                        },
                    },
                },
            },
        }
    },
}


def install(api: Api) -> None:
    """The CRD, and wait until it is served."""
    names = {"kind": "ScaledObject", "listKind": "ScaledObjectList"}
    names |= {"plural": "scaledobjects", "singular": "scaledobject"}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": _SCHEMA}}
    api.apply_object(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "scaledobjects.keda.sh"},
            "spec": {"group": "keda.sh", "scope": "Namespaced", "names": names, "versions": [version]},
        }
    )
    diagnosis.wait_until(lambda: _served(api), api, what="the API of KEDA")


def _served(api: Api) -> bool:
    try:
        return api.exists(f"{VERSION}/namespaces/default/scaledobjects")
    except ApiError:  # 429 while its storage is being made
        return False
