"""What runs: which revision stays, which nodes its pods hold, and how its replicas follow the rate in place."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from berth_scheduler.allocation import Allocation, Demand, Shortage, allocate, settle
from berth_scheduler.capacity import Holding, Reach, Room, millicores_of
from berth_scheduler.crew import Crew, berthing_of, crew_of
from berth_scheduler.snapshot import CONFIGURATION, Berth, Running, RunningBerth, Workload
from berth_scheduler.supply import NO_SHAPE, Supply


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The running revision that a new decision is measured against.

    ``stays``: it was chosen for this very spec and no objective is measured as broken, so only lost capacity moves
    it. ``shape`` is None where its GPU is not known at present. ``offers`` has the supply's offer for each berth,
    None where the pool is gone or is another GPU now. Two berths may have one offer: a pool that was discovered and
    is stated by a user now has another name, and the same nodes.
    """

    running: Running
    stays: bool
    shape: int | None
    offers: tuple[int | None, ...]

    @property
    def berth(self) -> Berth:
        """Any of them: they differ in pool and replicas alone."""
        return self.running.berths[0].berth


def incumbent_of(workload: Workload, supply: Supply, whole: frozenset[str]) -> Incumbent | None:
    """The serving revision; or, while a switch to a revision chosen for the present spec is under way, that one.

    ``whole`` names the workload's revisions whose replicas all have their place: where the serving one lost some of
    its own, a switch to another that was chosen for this spec goes on, instead of to a third. So does a switch to where
    right-sizing moves the workload.
    """
    revisions = sorted(
        (one for one in workload.running if one.berths),
        key=lambda one: (not _is_moved_to(workload, one), not one.serving, one.revision),
    )
    chosen_for_this = [one for one in revisions if one.planned_for == workload.planning_hash]
    staying = [one for one in chosen_for_this if not (one.serving and workload.objective_broken)]
    running = next((one for one in staying if one.revision in whole), None) or next(iter(staying or revisions), None)
    if running is None or not _is_uniform(running):
        return None
    offers = tuple(offer_of(one, supply) for one in running.berths)
    shapes = [int(supply.shape[offer]) for offer in offers if offer is not None]
    known = next((shape for shape in shapes if shape != NO_SHAPE), None)
    return Incumbent(running, bool(staying), known, offers)


def _is_moved_to(workload: Workload, running: Running) -> bool:
    return workload.move is not None and workload.move.runs(running.berths[0].berth)


def configuration(berth: Berth) -> tuple[object, ...]:
    return tuple(getattr(berth, name) for name in CONFIGURATION)


def _is_uniform(running: Running) -> bool:
    return len({configuration(one.berth) for one in running.berths}) == 1


def offer_of(one: RunningBerth, supply: Supply) -> int | None:
    """The same slice of the same GPU bought the same way; a GPU that is not known at present is believed."""
    index = _offer_of_pool(one, supply)
    if index is None:
        return None
    pool, berth = supply.offers[index].pool, one.berth
    same_gpu = pool.gpu is None or pool.gpu.name == berth.gpu
    return index if same_gpu and pool.capacity_type is berth.capacity_type else None


def _offer_of_pool(one: RunningBerth, supply: Supply) -> int | None:
    """In the berth's pool; where no pool has that name any more, in the one that its pods' nodes belong to now."""
    index = supply.find(one.berth.pool, one.berth.mig_profile)
    if index is not None or not one.nodes or any(pool.name == one.berth.pool for pool in supply.pools):
        return index
    nodes = set(one.nodes)
    heirs = (pool.name for pool in supply.pools if nodes <= {node.name for node in pool.nodes})
    return next((supply.find(name, one.berth.mig_profile) for name in heirs), None)


def hold_running(workloads: Sequence[Workload], supply: Supply, room: Room) -> dict[str, frozenset[str]]:
    """Hold what runs for all workloads: first the pods on their nodes, then, where there is room, those that wait.

    A pod on a node that is gone counts as waiting. Returned by workload: the revisions that got room for every replica.
    """
    short: set[tuple[str, str]] = set()
    waiting: list[tuple[Workload, str, RunningBerth, int, int]] = []
    for workload in workloads:
        for running in workload.running:
            for one in running.berths:
                index = _offer_of_pool(one, supply)
                if index is None:
                    short.add((workload.key, running.revision))
                else:
                    held = _hold_pods(workload, running.revision, one, supply.offers[index].pool_index, room)
                    if held < one.berth.replicas:
                        waiting.append((workload, running.revision, one, index, one.berth.replicas - held))
    for workload, revision, one, index, count in waiting:
        demand = _demand(workload, one.berth, count, steady=0)
        found = allocate(demand, [index], supply, room)
        if isinstance(found, Shortage):
            short.add((workload.key, revision))
        if isinstance(found, Shortage) and found.replicas and not demand.reach.single_node:
            found = allocate(_demand(workload, one.berth, found.replicas, steady=0), [index], supply, room)
        if isinstance(found, Allocation):
            settle(workload.key, demand, found.pieces, supply, room, revision=revision)
    return {
        workload.key: frozenset(one.revision for one in workload.running if (workload.key, one.revision) not in short)
        for workload in workloads
    }


def _hold_pods(workload: Workload, revision: str, one: RunningBerth, pool_index: int, room: Room) -> int:
    need = _demand(workload, one.berth, 1, steady=0).need(one.berth.mig_profile)
    nodes = [room.pools[pool_index].node_index(name) for name in one.nodes]
    counts = Counter(index for index in nodes if index is not None)
    if counts:
        where = tuple(sorted(counts))
        held = tuple(counts[index] for index in where)
        room.hold(workload.key, Holding(pool_index, need, where, held, revision))
    return sum(counts.values())


def _demand(workload: Workload, berth: Berth, replicas: int, steady: int) -> Demand:
    access = next((one.access for one in workload.variants if one.precision == berth.precision), None)
    reach = Reach.of(access) if access else Reach()
    resources = workload.resources
    return Demand(millicores_of(resources), resources.memory_bytes, berth.tensor_parallel, reach, replicas, steady)


@dataclass(frozen=True, slots=True)
class Continuation:
    """What runs, with its replicas adjusted in place: replicas by offer, and what of them is new.

    The cost is None where a price is not known.
    """

    replicas: tuple[tuple[int, int], ...]
    usd_per_hour: Fraction | None
    growth: Allocation | None
    demand: Demand

    @property
    def offers(self) -> set[int]:
        return {offer for offer, _ in self.replicas}

    @property
    def new_nodes(self) -> int:
        return self.growth.new_nodes if self.growth else 0


def continue_in_place(
    workload: Workload, incumbent: Incumbent, crew: Crew, supply: Supply, room: Room
) -> Continuation | None:
    """Spread the replicas of a crew over the berths that run, moving as little as can be.

    Growth goes to the berths that there are, then to other pools of the same shape. Spot beyond its share goes
    first, then the dearest. None where there is no room: the capacity is gone.
    """
    counts = _held(workload, incumbent, supply, room)
    replicas, steady = crew.replicas, crew.steady
    _shrink(counts, replicas, steady, supply)
    steady_now = sum(count for offer, count in counts.items() if not supply.offers[offer].spot)
    missing = replicas - sum(counts.values())
    demand = _demand(workload, incumbent.berth, missing, max(0, min(steady - steady_now, missing)))
    growth = None
    if missing > 0:
        demand = _beside_the_others(workload, incumbent, demand, room)
        growth = _grow(_pools_to_grow_in(workload, incumbent, counts, supply), demand, supply, room)
        if growth is None:
            return None
        for piece in growth.pieces:
            counts[piece.offer] = counts.get(piece.offer, 0) + piece.replicas
    pieces = tuple(sorted((offer, count) for offer, count in counts.items() if count))
    return Continuation(pieces, _usd_per_hour(pieces, incumbent, supply), growth, demand)


def settle_in_place(
    workload: Workload, incumbent: Incumbent, continuation: Continuation, supply: Supply, room: Room
) -> None:
    """Hold what is new; what runs is held already, also where fewer replicas are planned than run."""
    if continuation.growth is not None:
        revision = incumbent.running.revision
        settle(workload.key, continuation.demand, continuation.growth.pieces, supply, room, revision=revision)


def _usd_per_hour(pieces: Sequence[tuple[int, int]], incumbent: Incumbent, supply: Supply) -> Fraction | None:
    if any(supply.offers[offer].usd_per_unit_hour is None for offer, _ in pieces):
        return None
    units = incumbent.berth.tensor_parallel
    return supply.usd_per_hour([(offer, count * units) for offer, count in pieces])


def _held(workload: Workload, incumbent: Incumbent, supply: Supply, room: Room) -> dict[int, int]:
    """Replicas of each berth that have their capacity: no more than its Deployment asks for."""
    asked: dict[int, int] = {}
    for offer, one in zip(incumbent.offers, incumbent.running.berths, strict=True):
        if offer is not None:
            asked[offer] = asked.get(offer, 0) + one.berth.replicas
    held: dict[int, int] = {}
    for holding in _holdings(workload, incumbent, room):
        held[holding.pool_index] = held.get(holding.pool_index, 0) + holding.replicas
    return {offer: min(held.get(supply.offers[offer].pool_index, 0), count) for offer, count in asked.items()}


def _holdings(workload: Workload, incumbent: Incumbent, room: Room) -> list[Holding]:
    held = room.holdings.get(workload.key, [])
    return [one for one in held if one.revision == incumbent.running.revision]


def _shrink(counts: dict[int, int], replicas: int, steady: int, supply: Supply) -> None:
    """Take replicas away: spot beyond its share first, then the dearest that the share leaves free."""

    def dearest_first(offer: int) -> tuple[float, int]:
        return (-float(supply.usd_per_unit_hour[offer]), offer)

    too_much_spot = sum(counts[offer] for offer in counts if supply.offers[offer].spot) - (replicas - steady)
    for offer in sorted((one for one in counts if supply.offers[one].spot), key=dearest_first):
        less = min(max(too_much_spot, 0), counts[offer])
        counts[offer] -= less
        too_much_spot -= less
    for offer in sorted(counts, key=dearest_first):
        excess = sum(counts.values()) - replicas
        less = min(max(excess, 0), counts[offer])
        if not supply.offers[offer].spot:
            steady_now = sum(count for one, count in counts.items() if not supply.offers[one].spot)
            less = min(less, max(steady_now - steady, 0))
        counts[offer] -= less


def _beside_the_others(workload: Workload, incumbent: Incumbent, demand: Demand, room: Room) -> Demand:
    """A volume that only one node can mount binds what is added to the node where the others run."""
    running = [one for one in _holdings(workload, incumbent, room) if one.replicas]
    if not (demand.reach.single_node and running):
        return demand
    node = room.pools[running[0].pool_index].names[running[0].nodes[0]]
    return replace(demand, reach=replace(demand.reach, node=node))


def crew_in_place(workload: Workload, incumbent: Incumbent, carrying: int, needed: int, supply: Supply) -> Crew:
    """The crew of at least ``needed`` replicas, of which ``carrying`` do, on what runs and on pools of its shape."""
    _, allowed = _pools_to_grow_in(workload, incumbent, {}, supply)
    held = [offer for offer in incumbent.offers if offer is not None]
    berthing = berthing_of(supply, sorted({*allowed, *held}), incumbent.berth.tensor_parallel)
    return crew_of(workload, carrying, needed, berthing)


def _pools_to_grow_in(
    workload: Workload, incumbent: Incumbent, counts: Mapping[int, int], supply: Supply
) -> tuple[list[int], list[int]]:
    """Offers of the shape that the workload may use: where it runs, and anywhere."""
    allowed = [
        index
        for index, offer in enumerate(supply.offers)
        if offer.unusable is None
        and offer.shape == incumbent.shape
        and offer.capacity_type in workload.placement.capacity_types
    ]
    return [index for index in allowed if index in counts], allowed


def _grow(choices: Sequence[list[int]], demand: Demand, supply: Supply, room: Room) -> Allocation | None:
    """In the first of the choices that has room for all."""
    for offers in choices:
        found = allocate(demand, offers, supply, room)
        if isinstance(found, Allocation):
            return found
    return None
