"""Our own copy of every watched kind: fed by events, listed anew every few minutes and pruned by uid.

Events alone are not enough: a watch that was cut while an object was deleted never says so. A copy that is listed
anew heals whatever was missed, and says how much that was. Own writes enter at once, so that the next look at a
workload sees them; what is older than what is known never replaces it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from berth_operator import kinds
from berth_operator.field_ownership import owned_digest, owners
from berth_operator.kinds import Kind
from berth_operator.kube import Kube
from berth_operator.labels import MANAGED_BY, MANAGER, RENDERED, WORKLOAD
from berth_operator.projection import Object, project

_TOMBSTONES = 10_000
"""Uids of deleted objects that are remembered, so that a late answer to an earlier write does not revive them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as it was last seen."""

    thing: Object
    """Its projection: the fields that somebody reads, in their Kubernetes shape."""
    version: int
    owned: str | None = None
    """Of a child: the digest of what we own of it; see :mod:`berth_operator.field_ownership`."""
    replica_owners: tuple[str, ...] = ()
    """Of a Deployment: the field managers that own ``spec.replicas``."""

    @property
    def uid(self) -> str:
        return str(self.thing["metadata"].get("uid", ""))

    @property
    def name(self) -> str:
        return str(self.thing["metadata"]["name"])

    @property
    def namespace(self) -> str | None:
        """None of a cluster-scoped object."""
        found: str | None = self.thing["metadata"].get("namespace")
        return found

    @property
    def rendered(self) -> str | None:
        """The annotation RENDERED: the hash of what was applied last."""
        found = self.thing["metadata"].get("annotations") or {}
        return found.get(RENDERED)

    @property
    def deleting(self) -> bool:
        return "deletionTimestamp" in self.thing["metadata"]

    def says_the_same(self, other: "Entry | None") -> bool:
        """Whether nothing that matters differs; resource versions do not matter."""
        return other is not None and (self.thing, self.owned, self.replica_owners) == (
            other.thing,
            other.owned,
            other.replica_owners,
        )


def entry_of(kind: Kind, raw: Mapping[str, Any]) -> Entry | None:
    """The entry of an object as the server sent it; None where nobody ever asks for it."""
    thing = project(kind, raw)
    if thing is None:
        return None
    version = str((raw.get("metadata") or {}).get("resourceVersion", ""))
    return Entry(
        thing,
        int(version) if version.isdigit() else 0,
        owned_digest(raw) if kind in kinds.CHILDREN else None,
        owners(raw, "spec", "replicas") if kind is kinds.DEPLOYMENT else (),
    )


def workload_key(entry: Entry) -> str | None:
    """``namespace/name`` of the workload that a child or a pod says it belongs to; None where it says none."""
    name = (entry.thing["metadata"].get("labels") or {}).get(WORKLOAD)
    return f"{entry.namespace}/{name}" if name and entry.namespace else None


@dataclass(frozen=True, slots=True)
class Change:
    """``before`` None: new; ``after`` None: gone."""

    kind: Kind
    before: Entry | None
    after: Entry | None

    @property
    def entry(self) -> Entry:
        found = self.after or self.before
        if found is None:
            raise ValueError("a change is of something")
        return found


class Mirror:
    """The copy of one kind. ``namespaces`` empty is all of them; ``told`` hears every change that matters."""

    def __init__(
        self,
        kind: Kind,
        told: Callable[[Change], None] = lambda change: None,
        *,
        namespaces: tuple[str, ...] = (),
    ) -> None:
        self.kind = kind
        self._told = told
        self._namespaces = namespaces if kind.namespaced else ()
        self._by_uid: dict[str, Entry] = {}
        self._by_name: dict[tuple[str | None, str], str] = {}
        self._by_workload: dict[str, set[str]] = {}
        self._dead: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_uid)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._by_uid.values())

    def find(self, name: str, namespace: str | None = None) -> Entry | None:
        uid = self._by_name.get((namespace, name))
        return None if uid is None else self._by_uid[uid]

    def of_workload(self, key: str) -> list[Entry]:
        """The children or pods that say they belong to the workload ``key``, by name."""
        found = (self._by_uid[uid] for uid in self._by_workload.get(key, ()))
        return sorted(found, key=lambda entry: entry.name)

    def things(self) -> tuple[Object, ...]:
        """All projections, by namespace and name; never changed in place, so that a plan may read them in a thread."""
        entries = sorted(self._by_uid.values(), key=lambda entry: (entry.namespace or "", entry.name))
        return tuple(entry.thing for entry in entries)

    def see(self, raw: Mapping[str, Any], *, quiet: bool = False) -> bool:
        """Take in an object as the server sent it; True where that changed something that matters.

        ``quiet``: it is the answer to an own write, and no news to anybody.
        """
        entry = entry_of(self.kind, raw)
        uid = str((raw.get("metadata") or {}).get("uid", ""))
        return self.gone(uid, bury=False) if entry is None else self.take(entry, quiet=quiet)

    def take(self, entry: Entry, *, quiet: bool = False) -> bool:
        """As :meth:`see`, of an entry that was made elsewhere."""
        before = self._by_uid.get(entry.uid)
        if entry.uid in self._dead or (before is not None and entry.version < before.version):
            return False
        namesake = self.find(entry.name, entry.namespace)
        if namesake is not None and namesake.uid != entry.uid:
            if namesake.version > entry.version:
                return False
            self.gone(namesake.uid)
        self._insert(entry)
        if entry.says_the_same(before):
            return False
        if not quiet:
            self._told(Change(self.kind, before, entry))
        return True

    def gone(self, uid: str, *, bury: bool = True) -> bool:
        """Forget an object; ``bury`` False where it exists but nobody asks for it any more."""
        if bury and uid:
            self._dead[uid] = None
            while len(self._dead) > _TOMBSTONES:
                self._dead.popitem(last=False)
        entry = self._by_uid.pop(uid, None)
        if entry is None:
            return False
        self._by_name.pop((entry.namespace, entry.name), None)
        self._unlist(entry)
        self._told(Change(self.kind, entry, None))
        return True

    async def relist(self, kube: Kube) -> int:
        """List everything anew and prune what is not there any more; returns how many entries that repaired.

        A handful is normal (a list may run ahead of the watch); many mean that a watch is silent. Raises as
        :meth:`Kube.pages` does; what was read until then stays.
        """
        seen: set[str] = set()
        repaired, oldest = 0, None
        for namespace in self._namespaces or (None,):
            async for page in kube.pages(self.kind, namespace, labels=selector(self.kind), fields=fields(self.kind)):
                version = int(page.version) if page.version.isdigit() else 0
                oldest = version if oldest is None else min(oldest, version)
                for item in page.items:
                    seen.add(str(item["metadata"]["uid"]))
                    repaired += self.see(item)
        # What is newer than the list was created while it was read: it is not missing, it is not in it yet.
        lost = [uid for uid, entry in self._by_uid.items() if uid not in seen and entry.version <= (oldest or 0)]
        return repaired + sum(self.gone(uid) for uid in lost)

    def _insert(self, entry: Entry) -> None:
        before = self._by_uid.get(entry.uid)
        if before is not None:
            self._unlist(before)
        self._by_uid[entry.uid] = entry
        self._by_name[entry.namespace, entry.name] = entry.uid
        key = workload_key(entry)
        if key is not None:
            self._by_workload.setdefault(key, set()).add(entry.uid)

    def _unlist(self, entry: Entry) -> None:
        key = workload_key(entry)
        if key is not None:
            members = self._by_workload.get(key, set())
            members.discard(entry.uid)
            if not members:
                self._by_workload.pop(key, None)


def selector(kind: Kind) -> str | None:
    """The label selector of the server-side filter: of the kinds of our children, only those that are ours."""
    return f"{MANAGED_BY}={MANAGER}" if kind in kinds.CHILDREN else None


def fields(kind: Kind) -> str | None:
    """The field selector of the server-side filter: finished pods hold nothing."""
    return "status.phase!=Succeeded,status.phase!=Failed" if kind is kinds.POD else None
