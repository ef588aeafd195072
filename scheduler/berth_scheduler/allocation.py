"""Allocation: which pools hold the replicas of one configuration, cheapest first, as far as there is room."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from berth_cost.rounding import significant_number
from berth_scheduler.capacity import Holding, Need, Reach, Room
from berth_scheduler.supply import Supply


@dataclass(frozen=True, slots=True)
class Demand:
    """Replicas of one configuration: what each takes, where it may go, and how many must not be on spot."""

    millicores: int
    memory_bytes: int
    units: int
    reach: Reach
    replicas: int
    steady: int
    surcharges: tuple[tuple[int, float], ...] = ()
    """By offer: USD an hour of a replica that count in the order of offers, and in no cost."""

    def need(self, mig_profile: str | None) -> Need:
        return Need(mig_profile, self.units, self.millicores, self.memory_bytes)


@dataclass(frozen=True, slots=True)
class Piece:
    """Replicas in one offer: on nodes that are started, and on nodes that the plan starts."""

    offer: int
    started: int
    new: int

    @property
    def replicas(self) -> int:
        return self.started + self.new


@dataclass(frozen=True, slots=True)
class Allocation:
    """Pieces by offer, and how many nodes they start. The cost is exact."""

    pieces: tuple[Piece, ...]
    usd_per_hour: Fraction
    new_nodes: int


@dataclass(frozen=True, slots=True)
class Shortage:
    """How many replicas would have fitted."""

    replicas: int


@dataclass(slots=True)
class _Source:
    """One kind of supply in one offer, in the order in which it is drawn on."""

    usd_per_unit_hour: float
    """With the offer's surcharge."""
    new: bool
    steadiness: int
    offer: int
    slots: int
    spot: bool
    per_node: int

    def order(self) -> tuple[float, bool, int, int]:
        return (self.usd_per_unit_hour, self.new, self.steadiness, self.offer)


def allocate(demand: Demand, offers: Sequence[int], supply: Supply, room: Room) -> Allocation | Shortage:
    """Cheapest offers first: of equal price those with room on started nodes, then the steadier, then by pool name.

    The replicas that must be steady are placed first, on supply that is not spot; the others go wherever it is
    cheapest. For costs that add up this order is the cheapest that the shares allow.
    """
    sources = _sources(demand, offers, supply, room)
    if demand.reach.single_node:
        return _on_one_node(demand, sources, supply)
    taken = [0] * len(sources)
    steady_left = _draw(sources, taken, demand.steady, steady_only=True)
    left = _draw(sources, taken, demand.replicas - demand.steady, steady_only=False)
    if steady_left or left:
        return Shortage(demand.replicas - steady_left - left)
    return _allocation(demand, sources, taken, supply)


def _sources(demand: Demand, offers: Sequence[int], supply: Supply, room: Room) -> list[_Source]:
    sources = []
    surcharges = dict(demand.surcharges)
    for index in offers:
        offer = supply.offers[index]
        slots = room.slots(offer, demand.need(offer.mig_profile), demand.reach)
        usd, steadiness = offer.comparable_usd_per_unit_hour, offer.steadiness
        if surcharges:
            usd = significant_number(usd + surcharges.get(index, 0.0) / demand.units)
        for new, count in ((False, slots.started), (True, slots.new)):
            if count > 0:
                sources.append(_Source(usd, new, steadiness, index, count, offer.spot, slots.new_per_node))
    return sorted(sources, key=_Source.order)


def _draw(sources: list[_Source], taken: list[int], wanted: int, *, steady_only: bool) -> int:
    """Take from the sources in their order; returns how many are still wanted."""
    for position, source in enumerate(sources):
        if wanted <= 0:
            break
        if not (steady_only and source.spot):
            count = min(wanted, source.slots - taken[position])
            taken[position] += count
            wanted -= count
    return max(wanted, 0)


def _on_one_node(demand: Demand, sources: list[_Source], supply: Supply) -> Allocation | Shortage:
    """All replicas on the cheapest single node; a spot node only where none needs to be steady."""
    allowed = [source for source in sources if not source.spot or demand.steady == 0]
    rooms = [min(source.slots, source.per_node) if source.new else source.slots for source in allowed]
    for source, slots in zip(allowed, rooms, strict=True):
        if slots >= demand.replicas:
            return _allocation(demand, [source], [demand.replicas], supply)
    return Shortage(max(rooms, default=0))


def _allocation(demand: Demand, sources: list[_Source], taken: list[int], supply: Supply) -> Allocation:
    by_offer: dict[int, list[int]] = {}
    new_nodes = 0
    for source, count in zip(sources, taken, strict=True):
        if count:
            by_offer.setdefault(source.offer, [0, 0])[source.new] += count
            if source.new:
                new_nodes += -(-count // source.per_node)
    pieces = tuple(Piece(offer, started, new) for offer, (started, new) in sorted(by_offer.items()))
    usd = supply.usd_per_hour([(piece.offer, piece.replicas * demand.units) for piece in pieces])
    return Allocation(pieces, usd, new_nodes)


def settle(
    workload: str, demand: Demand, pieces: Sequence[Piece], supply: Supply, room: Room, *, revision: str | None = None
) -> None:
    """Hold an allocation for a workload."""
    for piece in pieces:
        offer = supply.offers[piece.offer]
        need = demand.need(offer.mig_profile)
        nodes, counts = room.pools[offer.pool_index].pack(need, demand.reach, piece.started, piece.new)
        room.hold(workload, Holding(offer.pool_index, need, tuple(nodes), tuple(counts), revision))
