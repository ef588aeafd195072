"""Fresh namespaces, one a test: deleting one takes 5 s, making one 0.1 s."""

import itertools

import diagnosis
from kube_api import Api

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
_serial = itertools.count(1)


def fresh(api: Api, *, restricted: bool = False) -> str:
    """The name of a new namespace, once its default ServiceAccount is there.

    ``restricted``: it enforces the Pod Security Standard of that name.
    """
    name = f"test-{next(_serial)}"
    labels = RESTRICTED if restricted else {}
    api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    diagnosis.wait_until(lambda: api.exists(account), api, what=f"the default ServiceAccount of {name}")
    return name
