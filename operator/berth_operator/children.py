"""The children of a workload: applied, scaled, looked for under foreign owners, deleted. Only what differs is sent."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from berth_operator import kinds
from berth_operator.errors import Conflict, FieldsOwned, NameConflict, Vanished
from berth_operator.field_ownership import intent_digest
from berth_operator.kinds import Kind, child_kind
from berth_operator.kube import Kube
from berth_operator.labels import DELETION_COST, RENDERED, REPLICAS_MANAGER, TEMPLATE_MANAGER
from berth_operator.mirror import Entry, Mirror

Manifest = dict[str, Any]


class Children:
    """Writes for one workload, for as long as one look at it lasts; counts them in ``writes``."""

    def __init__(
        self, kube: Kube, mirrors: Mapping[Kind, Mirror], owner: Entry, verified: dict[str, tuple[str, str]]
    ) -> None:
        self._kube = kube
        self._mirrors = mirrors
        self._owner = owner
        self._verified = verified
        self.writes = 0

    async def claim(self, manifests: Iterable[Manifest]) -> None:
        """Make sure that none of the names is somebody else's, before anything is made.

        Raises NameConflict; Conflict while the garbage collector still removes what an earlier workload of this name
        had.
        """
        unknown = []
        for manifest in manifests:
            kind, metadata = child_kind(manifest), manifest["metadata"]
            entry = self._find(kind, metadata["name"])
            if entry is None:
                unknown.append((kind, metadata["name"]))
            else:
                self._check_owner(kind, metadata["name"], entry.thing)
        # What is not labelled as ours is not mirrored: whether a name that looks free is free only the server knows.
        found = await asyncio.gather(*(self._kube.find(kind, name, self._owner.namespace) for kind, name in unknown))
        for (kind, name), thing in zip(unknown, found, strict=True):
            if thing is not None:
                self._check_owner(kind, name, thing)

    async def apply(self, manifest: Manifest) -> bool:
        """Apply with force what we intend, unless it is there untouched; True where something was sent."""
        kind, metadata = child_kind(manifest), manifest["metadata"]
        rendered = metadata["annotations"][RENDERED]
        entry = self._find(kind, metadata["name"])
        if entry is not None and (entry.deleting or self._is_untouched(entry, rendered, manifest)):
            return False
        body = manifest if entry is None else {**manifest, "metadata": {**metadata, "uid": entry.uid}}
        self._count_write()
        stored = await self._kube.apply(kind, body, manager=TEMPLATE_MANAGER, force=True)
        self._mirrors[kind].see(stored, quiet=True)
        entry = self._find(kind, metadata["name"])
        if entry is not None and entry.owned is not None:
            # The server may spell a value its own way: what it made of our intent is as good as the intent.
            self._verified[entry.uid] = (rendered, entry.owned)
        return True

    async def scale(self, name: str, replicas: int) -> bool:
        """Set the replicas of a Deployment unless somebody else does; True where that was accepted."""
        entry = self._find(kinds.DEPLOYMENT, name)
        if entry is None:
            return False
        metadata = {"name": name, "namespace": self._owner.namespace, "uid": entry.uid}
        body = {
            "apiVersion": kinds.DEPLOYMENT.api_version,
            "kind": kinds.DEPLOYMENT.name,
            "metadata": metadata,
            "spec": {"replicas": replicas},
        }
        self._count_write()
        try:
            stored = await self._kube.apply(kinds.DEPLOYMENT, body, manager=REPLICAS_MANAGER, force=False)
        except FieldsOwned:
            # Whoever it is keeps them; the watch tells us who, and the status says so.
            return False
        self._mirrors[kinds.DEPLOYMENT].see(stored, quiet=True)
        return True

    async def mark_leaver(self, pod: Entry, cost: int) -> None:
        """Say that a pod is to go before those without a mark, lower costs first; nothing happens where it went."""
        body = {
            "apiVersion": kinds.POD.api_version,
            "kind": kinds.POD.name,
            "metadata": {
                "name": pod.name,
                "namespace": pod.namespace,
                "uid": pod.uid,
                "annotations": {DELETION_COST: str(cost)},
            },
        }
        self._count_write()
        with contextlib.suppress(Conflict, Vanished):
            await self._kube.apply(kinds.POD, body, manager=REPLICAS_MANAGER, force=True)

    async def delete(self, kind: Kind, entry: Entry) -> None:
        """Delete a child of ours; nothing happens where it is gone, or where its name is another object's by now."""
        if not _owned_by(entry.thing, self._owner.uid) or entry.deleting:
            return
        self._count_write()
        await self._kube.delete(kind, entry.name, entry.namespace, uid=entry.uid)
        self._verified.pop(entry.uid, None)

    def _count_write(self) -> None:
        """Raises Vanished where the workload is gone or about to go: nothing of it may be made again."""
        owner = self._mirrors[kinds.WORKLOAD].find(self._owner.name, self._owner.namespace)
        if owner is None or owner.uid != self._owner.uid or owner.deleting:
            raise Vanished(f"InferenceWorkload {self._owner.namespace}/{self._owner.name} is gone")
        self.writes += 1

    def _find(self, kind: Kind, name: str) -> Entry | None:
        return self._mirrors[kind].find(name, self._owner.namespace)

    def _is_untouched(self, entry: Entry, rendered: str, manifest: Manifest) -> bool:
        if entry.rendered != rendered or entry.owned is None:
            return False
        return entry.owned == intent_digest(manifest) or self._verified.get(entry.uid) == (rendered, entry.owned)

    def _check_owner(self, kind: Kind, name: str, thing: Mapping[str, Any]) -> None:
        if _owned_by(thing, self._owner.uid):
            return
        references = (thing.get("metadata") or {}).get("ownerReferences") or ()
        if any((each.get("kind"), each.get("name")) == (kinds.WORKLOAD.name, self._owner.name) for each in references):
            raise Conflict(f"{kind.name} {name} belongs to an earlier workload of this name: it is being removed", 1.0)
        raise NameConflict(
            f"{kind.name} {name} exists and is not ours: rename the workload, or delete or rename that {kind.name}"
        )


def _owned_by(thing: Mapping[str, Any], uid: str) -> bool:
    references = (thing.get("metadata") or {}).get("ownerReferences") or ()
    return any(each.get("uid") == uid for each in references)
