"""Capacity: what is free on which node, what is held there for whom, and how replicas are packed.

The one place of the planner with state: a :class:`Room` starts as the snapshot's free capacity, and replicas are
held in it one workload after the other. Everything is counted in whole units: GPUs or slices, millicores, bytes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray

from berth_scheduler.snapshot import ArtefactAccess, PodResources, Pool
from berth_scheduler.supply import Offer

Integers = NDArray[np.int64]

UNLIMITED = 2**53
"""CPU or memory of a node to come whose size nobody stated: the GPUs alone decide then."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one replica takes from one node. ``units`` are whole GPUs, or slices where ``mig_profile`` is set."""

    mig_profile: str | None
    units: int
    millicores: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Reach:
    """The nodes that a replica may use, by where its artefact can be mounted. None: anywhere."""

    zones: frozenset[str] | None = None
    node: str | None = None
    single_node: bool = False

    @classmethod
    def of(cls, access: ArtefactAccess) -> "Reach":
        zones = None if access.zones is None else frozenset(access.zones)
        return cls(zones=zones, node=access.node, single_node=access.single_node)


def need_of(resources: PodResources, mig_profile: str | None, units: int) -> Need:
    return Need(mig_profile, units, millicores_of(resources), resources.memory_bytes)


def millicores_of(resources: PodResources) -> int:
    """Rounded up, as the API server does."""
    return ceil(round(resources.cpu_cores * 1000, 6))


@dataclass(frozen=True, slots=True)
class Holding:
    """Replicas of one need on nodes of one pool: ``counts[i]`` on node ``nodes[i]``."""

    pool_index: int
    need: Need
    nodes: tuple[int, ...]
    counts: tuple[int, ...]
    revision: str | None = None
    """The running revision that the pods are of; None: planned."""

    @property
    def replicas(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Slots:
    """How many replicas of one need a pool takes: on started nodes, and on each of the nodes that may be added."""

    started: int
    new_per_node: int
    new_nodes: int

    @property
    def new(self) -> int:
        return self.new_per_node * self.new_nodes

    @property
    def total(self) -> int:
        return self.started + self.new


NO_SLOTS = Slots(0, 0, 0)


class PoolRoom:
    """The nodes of one pool: those that exist, by name, then those that the plan starts, in the order of starting."""

    def __init__(self, pool: Pool) -> None:
        nodes = sorted(pool.nodes, key=lambda node: node.name)
        self.pool = pool
        self.names = [node.name for node in nodes]
        self.zones = [node.zone for node in nodes]
        self.existing = len(nodes)
        self.new_nodes = max(0, (pool.maximum_nodes or 0) - len(nodes))
        self._usable = np.array([node.usable for node in nodes], dtype=np.bool_)
        self._millicores = np.array([round(node.free_cpu_cores * 1000) for node in nodes], dtype=np.int64)
        self._memory = np.array([node.free_memory_bytes for node in nodes], dtype=np.int64)
        self._units: dict[str | None, Integers] = {None: np.array([node.free_gpus for node in nodes], dtype=np.int64)}
        for profile in sorted(set(pool.mig_layout).union(*(node.free_slices for node in nodes))):
            free = [node.free_slices.get(profile, 0) for node in nodes]
            self._units[profile] = np.array(free, dtype=np.int64)
        self._remembered: dict[tuple[Need, Reach], Slots] = {}
        self._reachable: dict[Reach, NDArray[np.bool_]] = {}

    def free_units(self, mig_profile: str | None) -> Integers:
        """Free GPUs or slices by node, nodes that are not usable included."""
        return self._units.get(mig_profile, np.zeros(len(self.names), dtype=np.int64))

    def node_index(self, name: str) -> int | None:
        return self.names.index(name) if name in self.names else None

    def slots(self, need: Need, reach: Reach) -> Slots:
        """How many more replicas fit. With ``reach.single_node`` the counts are those of the best single node."""
        key = (need, reach)
        if key not in self._remembered:
            by_node = self.slots_by_node(need, reach)
            per_new_node = self.slots_of_new_node(need, reach)
            new_nodes = self.new_nodes if per_new_node else 0
            if reach.single_node:
                slots = Slots(int(by_node.max(initial=0)), per_new_node, min(new_nodes, 1))
            else:
                slots = Slots(int(by_node.sum()), per_new_node, new_nodes)
            self._remembered[key] = slots
        return self._remembered[key]

    def slots_by_node(self, need: Need, reach: Reach) -> Integers:
        """Replicas that still fit on each started node (n,)."""
        slots = self.free_units(need.mig_profile) // need.units
        if need.millicores:
            slots = np.minimum(slots, self._millicores // need.millicores)
        if need.memory_bytes:
            slots = np.minimum(slots, self._memory // need.memory_bytes)
        return np.where(self._allowed(reach), np.maximum(slots, 0), 0)

    def slots_of_new_node(self, need: Need, reach: Reach) -> int:
        """Replicas that fit on an empty node that does not exist yet; 0 where the artefact cannot reach it."""
        if reach.node is not None:
            return 0
        zones = self.pool.zones
        if reach.zones is not None and zones is not None and not reach.zones.intersection(zones):
            return 0
        units, millicores, memory = self._new_node(need.mig_profile)
        slots = units // need.units
        if need.millicores:
            slots = min(slots, millicores // need.millicores)
        if need.memory_bytes:
            slots = min(slots, memory // need.memory_bytes)
        return slots

    def largest_node(self, reach: Reach) -> tuple[int, int]:
        """Millicores and bytes of the roomiest node in reach, existing or to come, each by itself; 0 where none is."""
        allowed = self._allowed(reach)
        millicores, memory = 0, 0
        if allowed.any():
            millicores, memory = int(self._millicores[allowed].max()), int(self._memory[allowed].max())
        if self.new_nodes:
            _, new_millicores, new_memory = self._new_node(None)
            millicores, memory = max(millicores, new_millicores), max(memory, new_memory)
        return millicores, memory

    def in_reach(self, reach: Reach) -> bool:
        """Whether any node, existing or to come, can mount the artefact."""
        probe = Need(None, 1, 0, 0)
        return bool(self._allowed(reach).any()) or (self.new_nodes > 0 and self.slots_of_new_node(probe, reach) > 0)

    def pack(self, need: Need, reach: Reach, on_started: int, on_new: int) -> tuple[list[int], list[int]]:
        """Choose nodes for replicas that fit, fullest first, and start new ones. Returns node indices and counts."""
        nodes, counts = self._choose(need, reach, on_started)
        per_node = self.slots_of_new_node(need, reach) if on_new else 0
        while on_new > 0:
            nodes.append(self._start_node())
            counts.append(min(on_new, per_node))
            on_new -= per_node
        return nodes, counts

    def take(self, need: Need, nodes: Sequence[int], counts: Sequence[int]) -> None:
        """Subtract replicas from nodes; a negative count gives back."""
        where, how_many = np.asarray(nodes, dtype=np.int64), np.asarray(counts, dtype=np.int64)
        free = self._units.setdefault(need.mig_profile, np.zeros(len(self.names), dtype=np.int64))
        np.subtract.at(free, where, how_many * need.units)
        np.subtract.at(self._millicores, where, how_many * need.millicores)
        np.subtract.at(self._memory, where, how_many * need.memory_bytes)
        self._remembered.clear()

    def _choose(self, need: Need, reach: Reach, replicas: int) -> tuple[list[int], list[int]]:
        if replicas <= 0:
            return [], []
        by_node = self.slots_by_node(need, reach)
        if reach.single_node:
            by_node = np.where(by_node >= replicas, by_node, 0)
        order = np.argsort(by_node, kind="stable")
        order = order[by_node[order] > 0]
        before = np.cumsum(by_node[order]) - by_node[order]
        taken = np.clip(replicas - before, 0, by_node[order])
        return order[taken > 0].tolist(), taken[taken > 0].tolist()

    def _allowed(self, reach: Reach) -> NDArray[np.bool_]:
        if reach not in self._reachable:
            allowed = self._usable.copy()
            if reach.zones is not None:
                allowed &= np.array([zone in reach.zones for zone in self.zones], dtype=np.bool_)
            if reach.node is not None:
                allowed &= np.array([name == reach.node for name in self.names], dtype=np.bool_)
            self._reachable[reach] = allowed
        return self._reachable[reach]

    def _new_node(self, mig_profile: str | None) -> tuple[int, int, int]:
        """Units, millicores and bytes of an empty new node."""
        shape = self.pool.node_shape
        units = self.pool.gpus_per_node * (1 if mig_profile is None else self.pool.mig_layout.get(mig_profile, 0))
        if shape is None:
            return units, UNLIMITED, UNLIMITED
        return units, round(shape.cpu_cores * 1000), shape.memory_bytes

    def _start_node(self) -> int:
        index = len(self.names)
        self.names.append(f"(new node {index - self.existing + 1})")
        zones = self.pool.zones
        self.zones.append(zones[0] if zones and len(zones) == 1 else None)
        _, millicores, memory = self._new_node(None)
        self._usable = np.append(self._usable, True)
        self._millicores = np.append(self._millicores, millicores)
        self._memory = np.append(self._memory, memory)
        whole = not self.pool.mig_layout
        for profile in self._units:
            units = self.pool.gpus_per_node if whole else 0
            if profile is not None:
                units = self._new_node(profile)[0]
            self._units[profile] = np.append(self._units[profile], units)
        self.new_nodes -= 1
        self._reachable.clear()
        self._remembered.clear()
        return index


@dataclass(slots=True)
class Room:
    """All pools, in the supply's order, and what is held for each workload."""

    pools: list[PoolRoom]
    holdings: dict[str, list[Holding]] = field(default_factory=dict)
    units: list[dict[str, int]] = field(default_factory=list)
    """GPUs or slices held, by pool, then by workload."""

    @classmethod
    def of(cls, pools: Iterable[Pool]) -> "Room":
        rooms = [PoolRoom(pool) for pool in pools]
        return cls(rooms, units=[{} for _ in rooms])

    def slots(self, offer: Offer, need: Need, reach: Reach) -> Slots:
        return self.pools[offer.pool_index].slots(need, reach)

    def hold(self, workload: str, holding: Holding) -> None:
        self.pools[holding.pool_index].take(holding.need, holding.nodes, holding.counts)
        self.holdings.setdefault(workload, []).append(holding)
        units = self.units[holding.pool_index]
        units[workload] = units.get(workload, 0) + holding.need.units * holding.replicas

    def release(self, workload: str) -> list[Holding]:
        """Give back all that is held for a workload, and say what it was."""
        released = self.holdings.pop(workload, [])
        for holding in released:
            self.units[holding.pool_index].pop(workload, None)
            self.pools[holding.pool_index].take(holding.need, holding.nodes, [-count for count in holding.counts])
        return released

    def hold_rest(self, workload: str, earlier: Sequence[Holding]) -> None:
        """Hold also what of ``earlier`` goes beyond the present holding, node by node: the larger of both is held."""
        present: dict[tuple[int, int], list[int]] = {}
        for holding in self.holdings.get(workload, []):
            for node, count in zip(holding.nodes, holding.counts, strict=True):
                units = present.setdefault((holding.pool_index, node), [0, 0, 0])
                units[0] += holding.need.units * count
                units[1] += holding.need.millicores * count
                units[2] += holding.need.memory_bytes * count
        for holding in earlier:
            for node, count in zip(holding.nodes, holding.counts, strict=True):
                self._hold_beyond(workload, holding, node, count, present.get((holding.pool_index, node), [0, 0, 0]))

    def _hold_beyond(self, workload: str, holding: Holding, node: int, count: int, present: list[int]) -> None:
        beyond = []
        for position, amount in enumerate((holding.need.units, holding.need.millicores, holding.need.memory_bytes)):
            covered = min(present[position], amount * count)
            present[position] -= covered
            beyond.append(amount * count - covered)
        if any(beyond):
            need = Need(holding.need.mig_profile, *beyond)
            self.hold(workload, Holding(holding.pool_index, need, (node,), (1,)))

    def holders(self, pool_index: int) -> list[tuple[str, int]]:
        """Who holds how many GPUs or slices of a pool, most first, then by name."""
        held = ((key, units) for key, units in self.units[pool_index].items() if units)
        return sorted(held, key=lambda entry: (-entry[1], entry[0]))
