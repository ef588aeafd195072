"""A pod's volumes as folders of this machine, laid out as a kubelet lays them out."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from async_api import AsyncApi
from container_environment import Missing, contents, field, quantity, resource
from kube_api import ApiError, Object
from sandbox import Mount

KIND_GPU = re.compile(rb"\bKIND_GPU\b")
DATA = "..data"
VERSION = "..2026_01_01_00_00_00.000000001"
"""What a kubelet names after the time of the last change; the files of a ConfigMap are links through ``..data``."""

DEFAULT_SHARED_MEMORY_BYTES = 64 * 2**20
"""/dev/shm of a container that mounts nothing there, in every common runtime."""


@dataclasses.dataclass(frozen=True)
class Volume:
    """A folder, or memory of its own for the one container that mounts it."""

    folder: Path | None
    read_only: bool = False
    memory_bytes: int | None = None


class Volumes:
    """Makes the volumes of pods. ``claims`` holds one folder per claim; ``images`` maps image references to folders."""

    def __init__(self, api: AsyncApi, claims: Path) -> None:
        self.api = api
        self.claims = claims
        self.images: dict[str, Path] = {}
        self._seen: set[str] = set()

    def claim_folder(self, namespace: str, claim: str) -> Path:
        """Where the files of a PersistentVolumeClaim lie; made if it is not there."""
        folder = self.claims / namespace / claim
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def prepared(self, pod: Object, folder: Path) -> dict[str, Volume]:
        """All volumes of ``pod`` by name, made below ``folder``. Raises Missing with what a kubelet would wait for."""
        made = {}
        for volume in pod["spec"].get("volumes", []):
            made[volume["name"]] = await self._made(volume, pod, folder / volume["name"])
        return made

    async def require(self, pod: Object) -> None:
        """For pods that are only played. Raises Missing where a ConfigMap or Secret that they mount is not there."""
        namespace = pod["metadata"]["namespace"]
        for plural, name in _references(pod):
            path = f"/api/v1/namespaces/{namespace}/{plural}/{name}"
            if path not in self._seen:
                if await self.read(namespace, plural, name) is None:
                    raise Missing(f'{plural[:-1]} "{name}" not found')
                self._seen.add(path)

    async def read(self, namespace: str, plural: str, name: str) -> Object | None:
        try:
            return await self.api.get(f"/api/v1/namespaces/{namespace}/{plural}/{name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def artefact(self, volume: Object, mount: Object, namespace: str) -> Path | None:
        """The folder behind one mount of a claim or an image volume, be it there or not; None for other volumes."""
        below: str = mount.get("subPath", "")
        if claim := volume.get("persistentVolumeClaim"):
            return self.claims / namespace / str(claim["claimName"]) / below
        if image := volume.get("image"):
            return self.images.get(str(image.get("reference")), Path("/nonexistent")) / below
        return None

    async def _made(self, volume: Object, pod: Object, folder: Path) -> Volume:
        namespace = pod["metadata"]["namespace"]
        if "emptyDir" in volume:
            return _empty(volume, pod, folder)
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]
            return Volume(self.claim_folder(namespace, claim["claimName"]), claim.get("readOnly", False))
        if "image" in volume:
            reference = volume["image"].get("reference", "")
            if reference not in self.images:
                raise Missing(f'image volume "{reference}": no folder is registered for it')
            return Volume(self.images[reference], read_only=True)
        sources = volume.get("projected", {}).get("sources") or [_source(volume)]
        files: dict[str, bytes] = {}
        for source in sources:
            files |= await self._files(source, pod)
        write_atomically(folder, files)
        return Volume(folder, read_only=True)

    async def _files(self, source: Object, pod: Object) -> dict[str, bytes]:
        namespace = pod["metadata"]["namespace"]
        for key, plural in (("configMap", "configmaps"), ("secret", "secrets")):
            if key in source:
                name = source[key].get("name") or source[key]["secretName"]
                found = await self.read(namespace, plural, name)
                if found is None and not source[key].get("optional"):
                    raise Missing(f'{plural[:-1]} "{name}" not found')
                return _chosen(contents(found or {}), source[key])
        if "serviceAccountToken" in source:
            wanted = source["serviceAccountToken"]
            return {wanted["path"]: (await self._token(wanted, pod)).encode()}
        if "downwardAPI" in source:
            return {item["path"]: _downward(item, pod).encode() for item in source["downwardAPI"]["items"]}
        raise Missing(f"a kind of volume that this kubelet does not know: {', '.join(sorted(source))}")

    async def _token(self, wanted: Object, pod: Object) -> str:
        metadata = pod["metadata"]
        account = pod["spec"].get("serviceAccountName", "default")
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        spec: Object = {"boundObjectRef": bound, "expirationSeconds": wanted.get("expirationSeconds", 3600)}
        spec["audiences"] = [wanted["audience"]] if wanted.get("audience") else []
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token"
        token: str = (await self.api.create(path, request))["status"]["token"]
        return token


def mounts(container: Object, volumes: Mapping[str, Volume]) -> list[Mount]:
    """What ``container`` mounts, and its /dev/shm. A sub-path that is not there is made as a folder."""
    found = [_mount(each, volumes[each["name"]]) for each in container.get("volumeMounts", [])]
    if not any(mount.target.rstrip("/") == "/dev/shm" for mount in found):
        found.append(Mount("/dev/shm", size_bytes=DEFAULT_SHARED_MEMORY_BYTES))
    return found


def _mount(stated: Object, volume: Volume) -> Mount:
    target = stated["mountPath"].rstrip("/")
    if volume.folder is None:
        return Mount(target, size_bytes=volume.memory_bytes)
    source = volume.folder / stated.get("subPath", "")
    if not source.exists():
        source.mkdir(parents=True)
    read_only = volume.read_only or stated.get("readOnly", False)
    return Mount(target, source.resolve() if stated.get("subPath") else source, read_only)


def write_atomically(folder: Path, files: Mapping[str, bytes]) -> None:
    """Files as a kubelet projects them: in a dated folder, reached through ``..data``, linked by their names."""
    for name, content in files.items():
        path = folder / VERSION / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(for_cpu(name, content))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / VERSION).mkdir(exist_ok=True)
    (folder / DATA).symlink_to(VERSION)
    for top in {name.split("/")[0] for name in files}:
        (folder / top).symlink_to(f"{DATA}/{top}")


def for_cpu(name: str, content: bytes) -> bytes:
    """The one change to what was rendered: a model configuration's KIND_GPU becomes KIND_CPU, there being no GPU."""
    return KIND_GPU.sub(b"KIND_CPU", content) if name.endswith(".pbtxt") else content


def _empty(volume: Object, pod: Object, folder: Path) -> Volume:
    limit = volume["emptyDir"].get("sizeLimit")
    users = [container for container in pod["spec"]["containers"] if volume["name"] in _mounted_names(container)]
    if volume["emptyDir"].get("medium") == "Memory" and len(users) <= 1:
        return Volume(None, memory_bytes=int(quantity(limit)) if limit else None)
    folder.mkdir(parents=True, exist_ok=True)
    return Volume(folder)


def _mounted_names(container: Object) -> set[str]:
    return {mount["name"] for mount in container.get("volumeMounts", [])}


def _source(volume: Object) -> Object:
    return {key: value for key, value in volume.items() if key != "name"}


def _chosen(files: Mapping[str, bytes], stated: Object) -> dict[str, bytes]:
    if "items" not in stated:
        return dict(files)
    missing = [item["key"] for item in stated["items"] if item["key"] not in files]
    if missing and not stated.get("optional"):
        raise Missing(f"references non-existent config key: {missing[0]}")
    return {item["path"]: files[item["key"]] for item in stated["items"] if item["key"] in files}


def _downward(item: Object, pod: Object) -> str:
    if "fieldRef" in item:
        return field(pod, item["fieldRef"]["fieldPath"])
    wanted = item["resourceFieldRef"]
    container = next(each for each in pod["spec"]["containers"] if each["name"] == wanted["containerName"])
    return resource(container, wanted)


def _references(pod: Object) -> Iterator[tuple[str, str]]:
    for volume in pod["spec"].get("volumes", []):
        for key, plural in (("configMap", "configmaps"), ("secret", "secrets")):
            stated = volume.get(key)
            if stated and not stated.get("optional"):
                yield plural, stated.get("name") or stated["secretName"]
