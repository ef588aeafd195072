"""What a command plans: manifests, the live cluster, or a snapshot; and the settings that the operator would use."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from berth_cost.document import DocumentError
from berth_operator.catalogues import Catalogues
from berth_operator.cli.outcome import InputError
from berth_operator.cli.output import note, progress
from berth_operator.errors import InvalidSettings
from berth_operator.gather import gather
from berth_operator.manifests import InvalidManifests, Manifests, read_manifests
from berth_operator.settings import Settings
from berth_operator.world import World, key_of, namespace_of
from berth_scheduler.decision import Plan
from berth_scheduler.plan import plan
from berth_scheduler.snapshot import Snapshot
from berth_scheduler.wording import plural


@dataclass(frozen=True, slots=True)
class Sources:
    """What the command line names. With files and the cluster both, the files are laid over what the cluster has."""

    files: tuple[Path, ...] = ()
    cluster: bool = False
    kubeconfig: Path | None = None
    context: str | None = None
    settings: Path | None = None
    at: datetime | None = None

    @property
    def as_options(self) -> str:
        """As they would be typed again: for hints at the next command."""
        named = [f"-f {file}" for file in self.files]
        return " ".join([*named, *(["--cluster"] if self.cluster else [])])


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read, and the snapshot of it."""

    world: World
    snapshot: Snapshot
    settings: Settings
    catalogues: Catalogues

    def snapshot_of(self, world: World) -> Snapshot:
        """Of another world, at the same time, by the same settings and catalogues."""
        return take_snapshot(world, self.settings, self.catalogues, self.snapshot.time)


def see(sources: Sources) -> Seen:
    """Read everything that ``sources`` names. Raises :class:`InputError`."""
    if not sources.files and not sources.cluster:
        raise InputError("nothing to read: give -f FILE_OR_DIR, or --cluster for the live cluster")
    settings, catalogues = load_settings(sources.settings)
    world = watched(_world(sources), settings.watch_namespaces)
    snapshot = take_snapshot(world, settings, catalogues, sources.at or now())
    return Seen(world, snapshot, settings, catalogues)


def watched(world: World, namespaces: Sequence[str]) -> World:
    """``world`` with the workloads that the operator looks after: all, or those of ``watchNamespaces``."""
    if not namespaces:
        return world
    kept = tuple(thing for thing in world.workloads if namespace_of(thing) in namespaces)
    if left_out := len(world.workloads) - len(kept):
        note(f"{left_out} workloads are outside of watchNamespaces ({', '.join(namespaces)}) and are left out")
    return replace(world, workloads=kept)


def now() -> datetime:
    """The command line is the edge of the program: the one place in it that asks the clock."""
    return datetime.now(UTC).replace(microsecond=0)


def load_settings(file: Path | None) -> tuple[Settings, Catalogues]:
    try:
        settings = Settings.load(file)
        catalogues = settings.catalogues.load()
    except (InvalidSettings, DocumentError) as error:
        raise InputError(*str(error).splitlines()) from error
    if flagged := len(catalogues.prices.flagged):
        note(f"{plural(flagged, 'price')} of yours not used because it looks wrong: berth prices list --flagged")
    return settings, catalogues


def take_snapshot(world: World, settings: Settings, catalogues: Catalogues, time: datetime) -> Snapshot:
    """As the operator takes it."""
    return gather(world, catalogues, time=time, policy=settings.policy, tolerations=settings.platform.extra_tolerations)


def make_plan(snapshot: Snapshot) -> Plan:
    with planning(snapshot):
        return plan(snapshot)


def planning(snapshot: Snapshot) -> AbstractContextManager[None]:
    """Says so while it lasts."""
    return progress(f"planning {len(snapshot.workloads)} workloads on {len(snapshot.pools)} pools")


def manifests_in(paths: Sequence[Path]) -> Manifests:
    """The manifests in files and directories, with their notes told. Raises :class:`InputError` with every flaw."""
    try:
        found = read_manifests(paths)
    except InvalidManifests as error:
        raise InputError(*map(str, error.flaws)) from error
    for told in found.notes:
        note(told)
    return found


def _world(sources: Sources) -> World:
    stated = manifests_in(sources.files).world if sources.files else World()
    if not sources.cluster:
        return stated
    from berth_operator.cli.cluster import cluster_world  # noqa: PLC0415 — a second of imports that files do not need

    with progress("reading the cluster"):
        live = cluster_world(sources.kubeconfig, sources.context, stated.workloads)
    return overlaid(live, stated)


def overlaid(live: World, stated: World) -> World:
    """``live`` as it would be with ``stated`` applied: objects of the same kind and name are replaced.

    A replaced workload keeps its uid: it is the same object, and what runs for it stays its own.
    """
    changes: dict[str, Any] = {}
    for kind in fields(World):
        if kind.name == "scalings":
            continue  # not of objects: the statuses say it
        over = getattr(stated, kind.name)
        if over:
            under = {key_of(thing): thing for thing in getattr(live, kind.name) or ()}
            for thing in over:
                metadata = (under.get(key_of(thing)) or {}).get("metadata") or {}
                kept = {name: metadata[name] for name in ("uid", "creationTimestamp") if name in metadata}
                status = {"status": found["status"]} if "status" in (found := under.get(key_of(thing)) or {}) else {}
                under[key_of(thing)] = {**status, **thing, "metadata": {**kept, **thing["metadata"]}}
            changes[kind.name] = tuple(under.values())
    return replace(live, **changes)


def load_snapshot(file: Path) -> Snapshot:
    """A snapshot that ``berth snapshot`` wrote. Raises :class:`InputError` that names what is wrong in it."""
    try:
        return Snapshot.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
    except ValidationError as error:
        flaws = [f"{file}: {_path(flaw['loc'])}{flaw['msg']}" for flaw in error.errors(include_url=False)]
        more = len(flaws) - 5
        raise InputError(*flaws[:5], *([f"… and {more} more"] if more > 0 else [])) from error


def _path(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")
    return f"{path}: " if path else ""
