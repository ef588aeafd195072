"""A storage class whose volumes are folders of this machine: every claim is bound as soon as it is made."""

import contextlib
from pathlib import Path

import aiohttp

from async_api import AsyncApi
from kube_api import ApiError, Object
from volumes import Volumes

CLASS = "local-folder"
PROVISIONER = "berthmaster.dev/local-folder"
ASKED = "volume.kubernetes.io/storage-provisioner"

STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "Immediate",
}


class Storage:
    """The default StorageClass and the provisioner behind it. Any access mode is granted: it is one machine."""

    def __init__(self, api: AsyncApi, volumes: Volumes) -> None:
        self._api, self._volumes = api, volumes

    async def run(self) -> None:
        with contextlib.suppress(ApiError):  # it is there already
            await self._api.create("/apis/storage.k8s.io/v1/storageclasses", STORAGE_CLASS)
        await self._api.follow("/api/v1/persistentvolumeclaims", self._claim_changed)

    async def _claim_changed(self, kind: str, claim: Object) -> None:
        asked = claim["metadata"].get("annotations", {}).get(ASKED)
        if kind == "DELETED" or asked != PROVISIONER or claim.get("status", {}).get("phase") != "Pending":
            return
        metadata = claim["metadata"]
        folder = self._volumes.claim_folder(metadata["namespace"], metadata["name"])
        with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):  # the next event tries again
            await self._api.create("/api/v1/persistentvolumes", _volume(claim, folder))


def _volume(claim: Object, folder: Path) -> Object:
    metadata = claim["metadata"]
    reference = {"kind": "PersistentVolumeClaim", "namespace": metadata["namespace"], "name": metadata["name"]}
    return {
        "metadata": {"name": f"folder-{metadata['uid']}"},
        "spec": {
            "storageClassName": CLASS,
            "capacity": claim["spec"]["resources"]["requests"],
            "accessModes": claim["spec"]["accessModes"],
            "claimRef": reference | {"uid": metadata["uid"]},
            "hostPath": {"path": str(folder)},
            "persistentVolumeReclaimPolicy": "Retain",
        },
    }
