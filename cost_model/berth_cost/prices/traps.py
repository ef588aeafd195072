"""Prices that are possible and yet wrong: what real price feeds get wrong, and how it is told.

Every rule compares a stated price with what else is known: the same node's price on demand, the same type elsewhere,
the same GPU at other providers. A price that fails is *flagged*: listed with the reason, and not used until its row
accepts the flag. The rules were drawn from defects of published feeds, read in 2026; each names its example.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from statistics import median

from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.prices.rows import InstanceShape, PriceFlag, PriceKey
from berth_cost.spelling import slip_of

LARGE_CLOUDS = ("aws", "azure", "gcp")
"""Their prices are several times those of everybody else (of an H100 in 2026: $6.98–23.3 against $1.49–4.76), so
either group is compared within itself."""

SENTINELS = frozenset(map(Decimal, ("700", "999", "999.99", "9999", "9999.99", "99999", "999999")))
"""Skypilot's catalogue priced TPUs that it did not know at 700."""
MOST_USD_PER_GPU_HOUR = 100
"""The dearest GPU hour seen on a list is a GB200 at $54 (Azure, 2026-06)."""
LEAST_USD_PER_HOUR, MOST_USD_PER_HOUR = Decimal("0.001"), Decimal(10_000)
"""Of any node, whatever is in it: the cheapest GPU listed is a T4 at $0.058, the dearest node four GB200 at $216."""

NO_DISCOUNT = Fraction(5, 1000)
"""Spot within half a percent of on demand is on demand."""
FLOOR_SHARE, FLOOR_TOLERANCE = Fraction(1, 10), Fraction(1, 2000)

LEAST_OF_SAME_TYPE, MOST_OF_SAME_TYPE = Fraction(35, 100), Fraction(5, 2)
"""On demand, one type's dearest region costs 1.8 × its median, and the largest price cut known was 44 % (AWS P4 and
P5, 2025-06): what is further off is not the same thing."""
LEAST_COMMITTED = Fraction(12, 100)
"""The deepest published commitment is 67 % off (AWS, three years)."""
LEAST_OF_SAME_GPU, MOST_OF_SAME_GPU = Fraction(35, 100), Fraction(5, 2)
"""Of the cheapest and the dearest such GPU on other lists."""
LEAST_SPOT = Fraction(2, 100)
"""Of on demand: the deepest credible spot discount listed is 89 %."""
MULTIPLE_TOLERANCE = Fraction(12, 100)
NODE_SIZES = (2, 4, 8, 16)

USUAL_GPU_COUNTS = frozenset((*range(1, 9), 10, 16, 18, 32, 36, 64, 72))

MEMORY_TOLERANCE = 0.15
"""Nominal against reported memory of one GPU: 80 GB, 80 GiB and 79.6 GiB are the same; 80 MiB is not."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Why a price is not used."""

    flag: PriceFlag
    message: str


@dataclass(frozen=True)
class Reference:
    """What prices on demand are, elsewhere: the yardstick for a stated price. US dollars an hour."""

    by_key: Mapping[PriceKey, Fraction]
    by_type: Mapping[tuple[str, str], Fraction]
    """Median over regions, by (cloud, type)."""
    by_gpu: Mapping[tuple[bool, str], tuple[Fraction, Fraction]]
    """Cheapest and dearest of one whole GPU, by (of a large cloud, GPU)."""

    @classmethod
    def of(
        cls, usd_per_hour: Mapping[PriceKey, Decimal], shapes: Mapping[tuple[str, str], InstanceShape]
    ) -> "Reference":
        by_key = {key: Fraction(usd) for key, usd in usd_per_hour.items() if key.bought == "OnDemand"}
        types: dict[tuple[str, str], list[Fraction]] = {}
        gpus: dict[tuple[bool, str], list[Fraction]] = {}
        for key, usd in by_key.items():
            of = (key.cloud, key.instance_type)
            types.setdefault(of, []).append(usd)
            shape = shapes.get(of)
            if shape is not None and shape.gpu_count >= 1:
                gpus.setdefault((key.cloud in LARGE_CLOUDS, shape.gpu), []).append(usd / shape.gpu_count)
        return cls(
            by_key,
            {of: median(found) for of, found in types.items()},
            {of: (min(found), max(found)) for of, found in gpus.items()},
        )

    def of_gpu(self, cloud: str, gpu: str) -> tuple[Fraction, Fraction] | None:
        """Cheapest and dearest among providers of the same kind; where there is none, among all."""
        large = cloud in LARGE_CLOUDS
        return self.by_gpu.get((large, gpu)) or self.by_gpu.get((not large, gpu))


def suspicion(
    key: PriceKey, usd_per_hour: Decimal, shape: InstanceShape | None, on_demand: Decimal | None, reference: Reference
) -> Suspicion | None:
    """What is wrong with a price, or None. ``on_demand``: of the same node at the same place, where it is known."""
    usd = Fraction(usd_per_hour)
    placeholder = _placeholder(key, usd_per_hour, shape, reference)
    if placeholder is not None:
        return placeholder
    if key.capacity_type == "Spot":
        return _spot(usd, Fraction(on_demand)) if on_demand is not None else _against_gpu(key, usd, shape, reference)
    if key.term != "OnDemand":
        return _committed(key, usd, Fraction(on_demand) if on_demand is not None else None, shape, reference)
    same = reference.by_key.get(key) or reference.by_type.get((key.cloud, key.instance_type))
    return _against_type(usd, same, shape) if same is not None else _against_gpu(key, usd, shape, reference)


def _placeholder(
    key: PriceKey, usd_per_hour: Decimal, shape: InstanceShape | None, reference: Reference
) -> Suspicion | None:
    count = max(shape.gpu_count, Fraction(1)) if shape else Fraction(1)
    same = reference.by_type.get((key.cloud, key.instance_type))
    if usd_per_hour in SENTINELS and (same is None or not Fraction(1, 2) < Fraction(usd_per_hour) / same < 2):
        return Suspicion(PriceFlag.SENTINEL, f"${usd_per_hour} stands for a price that is not known")
    if shape is not None and Fraction(usd_per_hour) / count > MOST_USD_PER_GPU_HOUR:
        message = f"{_usd(Fraction(usd_per_hour) / count)} for one {shape.gpu} is more than any GPU costs"
        return Suspicion(PriceFlag.SENTINEL, message)
    if not LEAST_USD_PER_HOUR <= usd_per_hour <= MOST_USD_PER_HOUR:
        return Suspicion(PriceFlag.SENTINEL, "no node with a GPU costs that")
    return None


def _spot(usd: Fraction, on_demand: Fraction) -> Suspicion | None:
    share = usd / on_demand
    if abs(share - 1) <= NO_DISCOUNT:
        message = f"spot equals on demand ({_usd(on_demand)}): no discount means no capacity"
        return Suspicion(PriceFlag.SPOT_EQUALS_ON_DEMAND, message)
    if share > 1:
        message = f"spot is above on demand ({_usd(on_demand)})"
        return Suspicion(PriceFlag.SPOT_ABOVE_ON_DEMAND, message)
    if abs(share - FLOOR_SHARE) <= FLOOR_TOLERANCE:
        message = f"a tenth of on demand ({_usd(on_demand)}) is the floor that is listed where there is no capacity"
        return Suspicion(PriceFlag.FLOOR_PRICE, message)
    if share < LEAST_SPOT:
        return Suspicion(PriceFlag.FAR_FROM_OTHERS, f"less than 2 % of on demand ({_usd(on_demand)})")
    return None


def _committed(
    key: PriceKey, usd: Fraction, on_demand: Fraction | None, shape: InstanceShape | None, reference: Reference
) -> Suspicion | None:
    base = on_demand or reference.by_type.get((key.cloud, key.instance_type))
    if base is None:
        return _against_gpu(key, usd, shape, reference)
    if usd > base * (1 + NO_DISCOUNT):
        message = f"a commitment dearer than on demand ({_usd(base)})"
        return Suspicion(PriceFlag.COMMITMENT_ABOVE_ON_DEMAND, message)
    if usd < base * LEAST_COMMITTED:
        message = f"less than {float(LEAST_COMMITTED):.0%} of on demand ({_usd(base)}): of one GPU, or of one month?"
        return Suspicion(PriceFlag.FAR_FROM_OTHERS, message)
    return None


def _against_type(usd: Fraction, same: Fraction, shape: InstanceShape | None) -> Suspicion | None:
    """Against the same instance type, at this place or elsewhere."""
    ratio = usd / same
    if LEAST_OF_SAME_TYPE <= ratio <= MOST_OF_SAME_TYPE:
        return None
    count = shape.gpu_count if shape else Fraction(1)
    if ratio > 1:
        times = next((size for size in NODE_SIZES if abs(ratio / size - 1) <= MULTIPLE_TOLERANCE), None)
        if times:
            message = f"{times} × what it costs elsewhere ({_usd(same)}): is it the price of a node of {times} GPUs?"
            return Suspicion(PriceFlag.NODE_PRICE_AS_GPU_PRICE, message)
        return Suspicion(PriceFlag.FAR_FROM_OTHERS, f"{float(ratio):.2g} × what it costs elsewhere ({_usd(same)})")
    if count > 1 and abs(ratio * count - 1) <= MULTIPLE_TOLERANCE:
        message = f"1/{count} of what it costs elsewhere ({_usd(same)}): is it of one GPU? State usdPerGPUHour then"
        return Suspicion(PriceFlag.GPU_PRICE_AS_NODE_PRICE, message)
    message = f"{float(ratio):.2g} × what it costs elsewhere ({_usd(same)}): is it the machine without its GPU?"
    return Suspicion(PriceFlag.PRICED_WITHOUT_GPU, message)


def _against_gpu(key: PriceKey, usd: Fraction, shape: InstanceShape | None, reference: Reference) -> Suspicion | None:
    """Of a type that nobody else lists: against what such a GPU costs on other lists."""
    known = reference.of_gpu(key.cloud, shape.gpu) if shape else None
    if known is None or shape is None:
        return None
    (cheapest, dearest), count = known, shape.gpu_count
    listed = f"such GPUs are listed at {_usd(cheapest)}–{_usd(dearest).removeprefix('$')}"
    each = usd / count
    if each > dearest * MOST_OF_SAME_GPU:
        message = f"{_usd(each)} a GPU, and {listed}: is it the price of a whole node?"
        return Suspicion(PriceFlag.NODE_PRICE_AS_GPU_PRICE, message)
    least = cheapest * (LEAST_OF_SAME_GPU if key.bought == "OnDemand" else LEAST_COMMITTED)
    if each >= least:
        return None
    if count > 1 and cheapest <= usd <= dearest:
        message = f"{_usd(each)} a GPU, and {listed}: is it of one GPU? State usdPerGPUHour then"
        return Suspicion(PriceFlag.GPU_PRICE_AS_NODE_PRICE, message)
    return Suspicion(
        PriceFlag.PRICED_WITHOUT_GPU, f"{_usd(each)} a GPU, and {listed}: is it the machine without its GPU?"
    )


@dataclass(frozen=True)
class KnownNames:
    """Providers, and by provider its regions and types, of a book."""

    regions: Mapping[str, frozenset[str]]
    types: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, keys: Iterable[PriceKey]) -> "KnownNames":
        regions: dict[str, set[str]] = {}
        types: dict[str, set[str]] = {}
        for key in keys:
            regions.setdefault(key.cloud, set()).add(key.region)
            types.setdefault(key.cloud, set()).add(key.instance_type)
        return cls(
            {cloud: frozenset(names) for cloud, names in regions.items()},
            {cloud: frozenset(names) for cloud, names in types.items()},
        )

    def misspelt(self, key: PriceKey) -> Suspicion | None:
        meant = slip_of(key.cloud, self.regions)
        if meant is None and key.cloud in self.regions:
            meant = slip_of(key.region, self.regions[key.cloud])
            meant = meant or slip_of(key.instance_type, self.types[key.cloud], letters=False)
        if meant is None:
            return None
        return Suspicion(PriceFlag.MISSPELT, f"nobody else names {key}: is {meant} meant?")


def unlike_others(usd_per_node_hour: Decimal, gpu: str, gpus: int, reference: Reference) -> str | None:
    """Why somebody's own price of a node looks wrong beside what such GPUs cost on every list; None where it does not.

    A negotiated price or one of spot may be far below a list, so only what nobody gives away is told.
    """
    listed = [found for large in (True, False) if (found := reference.by_gpu.get((large, gpu))) is not None]
    if not listed:
        return None
    cheapest, dearest = min(low for low, _ in listed), max(high for _, high in listed)
    usd = Fraction(usd_per_node_hour)
    each = usd / gpus
    told = f"{_usd(each)} an hour for one {gpu}, and such GPUs are listed at {_usd(cheapest)} to {_usd(dearest)}"
    if each > dearest * MOST_OF_SAME_GPU:
        return f"{told}: is it of more GPUs, or of another time than an hour?"
    if each < cheapest * LEAST_COMMITTED:
        return f"{told}: is it of one GPU?" if gpus > 1 and cheapest * LEAST_COMMITTED <= usd <= dearest else told
    return None


def shape_flaw(shape: InstanceShape, known: InstanceShape | None) -> tuple[str, str] | None:
    """What is wrong with a described node, as (field, message); ``known`` is what the book says of the type."""
    return (_contradiction(shape, known) if known is not None else _unusual_count(shape)) or _wrong_memory(shape)


def _contradiction(shape: InstanceShape, known: InstanceShape) -> tuple[str, str] | None:
    if known.gpu != shape.gpu and PriceFlag.GPU_NAME not in shape.accept:
        return "gpu", f"is {shape.gpu}, but {known.instance_type} has {known.gpu}: correct it, or state `accept: [GPU]`"
    if known.gpu_count != shape.gpu_count and PriceFlag.GPU_COUNT not in shape.accept:
        has = f"{known.instance_type} has {known.gpu_count} × {known.gpu}"
        return "gpuCount", f"is {shape.gpu_count}, but {has}: correct it, or state `accept: [GPUCount]`"
    return None


def _unusual_count(shape: InstanceShape) -> tuple[str, str] | None:
    """A share of a GPU was judged when it was read."""
    usual = shape.gpu_count.denominator > 1 or shape.gpu_count in USUAL_GPU_COUNTS
    if usual or PriceFlag.GPU_COUNT in shape.accept:
        return None
    return "gpuCount", f"is {shape.gpu_count}, which nobody sells: correct it, or state `accept: [GPUCount]`"


def _wrong_memory(shape: InstanceShape) -> tuple[str, str] | None:
    if shape.gpu_memory_bytes is None:
        return None
    gpu = GPUCatalogue.load_builtin().specifications.get(shape.gpu)
    if gpu is None or gpu.memory_bytes is None:
        return None
    of_share = gpu.memory_bytes * min(float(shape.gpu_count), 1.0)
    if abs(shape.gpu_memory_bytes / of_share - 1) <= MEMORY_TOLERANCE:
        return None
    return "gpuMemoryBytes", (
        f"is {shape.gpu_memory_bytes} bytes, but a {shape.gpu} has {of_share:.3g}: is it MiB or GB, or another GPU?"
    )


def _usd(amount: Fraction) -> str:
    return f"${float(amount):.4g}"
