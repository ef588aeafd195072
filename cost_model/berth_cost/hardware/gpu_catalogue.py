"""GPUs by name: memory, bandwidth, peak rates, power, links, MIG profiles, and the spellings others use for them."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator

from berth_cost.document import (
    DocumentError,
    Flaw,
    Provenance,
    Source,
    known_keys_only,
    parse_yaml,
    read_built_in,
    read_entry,
    read_section,
    recalled_fields,
    refuse_derived,
    section,
    strings,
    validate,
)
from berth_cost.record import Record, json_name
from berth_cost.spelling import nearest

RATES = ("fp32", "tf32", "fp16", "bf16", "fp8", "fp4", "int8", "int4")
"""The keys of ``peak_flops_per_second``."""

MEMORY_TOLERANCE = 0.10
"""How far a stated memory may lie from the catalogue's: drivers, ECC and price lists differ by up to 8.5 % (a T4 is
15109 to 16384 MiB), different GPUs of one name by 17 % or more (80 and 94 GB)."""

Positive = Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, le=1e30, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**15)]


class MIGProfile(Record):
    """One slice of a partitioned GPU, as a share of its compute and memory slices."""

    name: str
    maximum_instances: Count
    compute_slices: Count
    compute_slices_total: Count
    memory_slices: Count
    memory_slices_total: Count
    memory_bytes: Count


class GPUSpecification(Record):
    """What one GPU is. A number that is not known is absent, and what depends on it refuses with that reason.

    ``memory_bytes`` is what the driver reports as total, not the nominal size.
    ``peak_flops_per_second`` is dense (not sparse) by precision: fp32, tf32, fp16, bf16, fp8, fp4, int8, int4.
    ``recalled`` names the fields whose value has no second source, a rate as ``peak_flops_per_second.int8``: they
    widen the error band.
    """

    name: str
    memory_bytes: Count | None = None
    memory_bandwidth_bytes_per_second: Positive | None = None
    peak_flops_per_second: dict[str, Positive] = {}
    power_watts: Positive | None = None
    idle_power_watts: NotNegative | None = None
    nvlink_bytes_per_second: NotNegative | None = None
    """Both directions together; 0 where the GPU has none."""
    pcie_bytes_per_second: Positive | None = None
    """One direction."""
    multiprocessors: Count | None = None
    l2_cache_bytes: Count | None = None
    compute_capability: tuple[int, int] | None = None
    mig_profiles: tuple[MIGProfile, ...] = ()
    recalled: tuple[str, ...] = ()

    @field_validator("peak_flops_per_second")
    @classmethod
    def known_rates(cls, rates: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(rates) - set(RATES))
        if unknown:
            raise ValueError(f"knows {', '.join(RATES)}, not {', '.join(unknown)}")
        return rates

    def mig_profile(self, name: str) -> MIGProfile | None:
        """The profile of that name; None where this GPU has none. ``1g.10gb.me`` and ``+gfx`` are the slice 1g.10gb."""
        slice_name = _MIG_SLICE.match(name)
        return next((one for one in self.mig_profiles if slice_name and one.name == slice_name[0]), None)


class UnknownGPU(Record):
    """Why a spelling names no GPU.

    ``Unknown``: no such spelling, ``candidates`` are the nearest names. ``Ambiguous``: several GPUs go by it, and the
    facts given do not say which. ``Contradictory``: it names a GPU, but another fact says otherwise. ``NotDescribed``:
    a known product that the catalogue has no specification of.
    """

    spelling: str
    reason: Literal["Unknown", "Ambiguous", "Contradictory", "NotDescribed"]
    message: str
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProductLabel:
    """The parts of a node's ``nvidia.com/gpu.product``: ``NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED``."""

    product: str
    mig_profile: str | None = None
    shared: bool = False

    @classmethod
    def parse(cls, label: str) -> Self:
        """Cut the suffixes off that GPU feature discovery adds under MIG strategy ``single`` and under sharing."""
        found = _PRODUCT_LABEL.fullmatch(label.strip())
        if found is None:
            return cls(label.strip())
        return cls(found["product"], found["profile"], found["shared"] is not None)


_MIG_SLICE = re.compile(r"[0-9]+g\.[0-9]+gb")
_PRODUCT_LABEL = re.compile(r"(?P<product>.+?)(-MIG-(?P<profile>[\w.+-]+?))?(?P<shared>-SHARED)?", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s_/-]+")
_BRANDS = ("nvidia-", "tesla-", "geforce-")


def spelling_key(spelling: str) -> str:
    """What spellings of one name have in common: no case, no brand, one kind of separator."""
    key = _SEPARATORS.sub("-", spelling.casefold()).strip("-")
    while key.startswith(_BRANDS):
        key = key.split("-", 1)[1]
    return key


def form_factor_of(name: str) -> str | None:
    """``SXM``, ``PCIe`` or ``NVL`` where the name of a GPU says so."""
    return next((part for part in name.split("-") if part in ("SXM", "PCIe", "NVL")), None)


@dataclass(frozen=True)
class GPUCatalogue:
    """Specifications by name, and the names behind spellings. Frozen: :meth:`merged` gives a new one."""

    specifications: Mapping[str, GPUSpecification]
    provenances: Mapping[str, Mapping[str, Provenance]]
    spellings: Mapping[str, tuple[str, ...]]
    """By :func:`spelling_key`: the names that go by it; several where it is ambiguous."""
    exact_spellings: Mapping[str, tuple[str, ...]]
    """By the spelling to the letter: vocabularies in which a name means less than it seems (GKE's
    ``nvidia-tesla-a100`` is the 40 GB one)."""
    undescribed: Mapping[str, str]
    """By :func:`spelling_key`: why a product that exists has no specification here."""

    @staticmethod
    def load_builtin() -> "GPUCatalogue":
        """The catalogue of this package, read and validated once a process."""
        return _built_in()

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self.specifications))

    def get(self, name: str) -> GPUSpecification | UnknownGPU:
        """The GPU of exactly that name; for any other spelling a refusal that says what it might be called here."""
        known = self.specifications.get(name)
        if known is not None:
            return known
        meant = self._names_of(name)
        if meant:
            wording = f"{name} is not a name of the catalogue; it calls it {_either(meant)}"
            reason: Literal["Unknown", "Ambiguous"] = "Unknown" if len(meant) == 1 else "Ambiguous"
            return UnknownGPU(spelling=name, reason=reason, message=wording, candidates=meant)
        return self._refused(name)

    def resolve(
        self,
        spelling: str,
        memory_mib: float | None = None,
        form_factor: str | None = None,
        instance_gpu: str | None = None,
    ) -> GPUSpecification | UnknownGPU:
        """The GPU that a node label, price list or benchmark calls ``spelling``, or why that cannot be said.

        ``memory_mib``: of the whole GPU, or of the slice where the spelling carries ``-MIG-…``. ``form_factor``: SXM,
        PCIe or NVL. ``instance_gpu``: the catalogue name that the price book gives for the node's instance type.
        What is given decides between the GPUs of an ambiguous spelling, and refuses a GPU that it contradicts.
        """
        label = ProductLabel.parse(spelling)
        remaining = self._names_of(label.product)
        if not remaining:
            return self._refused(label.product)
        for fact, holds in self._facts(label, memory_mib, form_factor, instance_gpu):
            fitting = tuple(name for name in remaining if holds(self.specifications[name]))
            if not fitting:
                wording = f"{spelling} is {_either(remaining)}, which contradicts {fact}: check the labels of the node"
                return UnknownGPU(spelling=spelling, reason="Contradictory", message=wording, candidates=remaining)
            remaining = fitting
        first, *others = remaining
        if others:
            wording = f"{spelling} may be {_either(remaining)}: memory, form factor or instance type must say which"
            return UnknownGPU(spelling=spelling, reason="Ambiguous", message=wording, candidates=remaining)
        return self.specifications[first]

    @staticmethod
    def _facts(
        label: ProductLabel, memory_mib: float | None, form_factor: str | None, instance_gpu: str | None
    ) -> Iterator[tuple[str, Callable[[GPUSpecification], bool]]]:
        """What is known beside the spelling: in words, and as a test of a GPU."""
        if label.mig_profile is not None:
            yield f"MIG profile {label.mig_profile}", lambda gpu: gpu.mig_profile(label.mig_profile or "") is not None
        if memory_mib is not None:
            yield f"{memory_mib:g} MiB of memory", lambda gpu: _has_memory(gpu, memory_mib, label.mig_profile)
        if form_factor is not None:
            yield f"form factor {form_factor}", lambda gpu: form_factor_of(gpu.name) == form_factor
        if instance_gpu is not None:
            yield f"an instance type with {instance_gpu}", lambda gpu: gpu.name == instance_gpu

    def provenance(self, name: str, field: str) -> Provenance | None:
        """Who says so: ``field`` as ``memory_bytes`` or ``peak_flops_per_second.fp16``; None where it is absent."""
        path = ".".join(json_name(part) for part in field.split("."))
        return self.provenances.get(name, {}).get(path)

    def merged(self, user_document: Mapping[str, Any], file: str = "GPU document") -> "GPUCatalogue":
        """With a user's document on top: its GPUs replace those of the same name, its spellings those of the same key.

        Raises :class:`DocumentError`, naming ``file``, key and field of everything wrong.
        """
        known_keys_only(user_document, _KEYS, file)
        added = _read_gpus(user_document, file)
        names = self.specifications.keys() | added.keys()
        own = {spelling_key(name): (name,) for name in added}
        return GPUCatalogue(
            specifications={**self.specifications} | {name: gpu for name, (gpu, _) in added.items()},
            provenances={**self.provenances} | {name: provenance for name, (_, provenance) in added.items()},
            spellings={**self.spellings} | own | _read_spellings(user_document, names, file),
            exact_spellings={**self.exact_spellings} | _read_exact_spellings(user_document, names, file),
            undescribed={**self.undescribed} | _read_undescribed(user_document, file),
        )

    def _names_of(self, spelling: str) -> tuple[str, ...]:
        exact = self.exact_spellings.get(spelling.strip())
        return exact if exact is not None else self.spellings.get(spelling_key(spelling), ())

    def _refused(self, spelling: str) -> UnknownGPU:
        key = spelling_key(spelling)
        if not key:
            return UnknownGPU(spelling=spelling, reason="Unknown", message="no GPU is named")
        if key in self.undescribed:
            wording = f"{spelling} is not in the catalogue: {self.undescribed[key]}"
            return UnknownGPU(spelling=spelling, reason="NotDescribed", message=wording)
        near = nearest(key, tuple(self.spellings), most=6)
        candidates = tuple(dict.fromkeys(name for spelled in near for name in self.spellings[spelled]))[:4]
        hint = f"; nearest: {', '.join(candidates)}" if candidates else ""
        wording = f"{spelling} is no known GPU{hint}; describe it in a GPU document if it is right"
        return UnknownGPU(spelling=spelling, reason="Unknown", message=wording, candidates=candidates)


def _has_memory(gpu: GPUSpecification, memory_mib: float, mig_profile: str | None) -> bool:
    """Whether ``memory_mib`` can be that of ``gpu``, or of its slice; True where the catalogue knows no memory."""
    whole_or_slice = gpu.mig_profile(mig_profile) if mig_profile is not None else gpu
    expected = whole_or_slice.memory_bytes if whole_or_slice is not None else None
    return expected is None or abs(memory_mib * 2**20 - expected) <= MEMORY_TOLERANCE * expected


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(names)


@cache
def _built_in() -> GPUCatalogue:
    catalogue = GPUCatalogue({}, {}, {}, {}, {})
    for file in ("gpus.yaml", "gpu_spellings.yaml"):
        catalogue = catalogue.merged(parse_yaml(read_built_in(file), file), file)
    return catalogue


_KEYS = ("sources", "gpus", "spellings", "exactSpellings", "ambiguousSpellings", "undescribed")


def _read_gpus(document: Mapping[str, Any], file: str) -> dict[str, tuple[GPUSpecification, Mapping[str, Provenance]]]:
    """``gpus``: specifications by name, each fact with its provenance."""
    return read_section(document, "gpus", file, _read_gpu)


def _read_gpu(
    name: str, stated: object, sources: Mapping[str, Source], file: str
) -> tuple[GPUSpecification, Mapping[str, Provenance]]:
    key = f"gpus.{name}"
    entry = read_entry(stated, sources, file, key)
    refuse_derived(entry.values, ("name", "recalled"), file, key)
    recalled = recalled_fields(entry, GPUSpecification)
    specification = validate(GPUSpecification, {**entry.values, "name": name, "recalled": recalled}, file, key)
    return specification, entry.provenance


def _read_spellings(document: Mapping[str, Any], names: Collection[str], file: str) -> dict[str, tuple[str, ...]]:
    """``spellings`` (name → spellings) and ``ambiguousSpellings`` (spelling → names), by key."""
    by_key: dict[str, tuple[str, ...]] = {}
    flaws = []
    for name, spelled in section(document, "spellings", file).items():
        for spelling in strings(spelled, file, f"spellings.{name}"):
            taken = by_key.setdefault(spelling_key(spelling), (name,))
            if taken != (name,):
                message = f"{spelling!r} stands under {taken[0]} too: name it under ambiguousSpellings instead"
                flaws.append(Flaw(file, f"spellings.{name}", message))
    for spelling, candidates in section(document, "ambiguousSpellings", file).items():
        by_key[spelling_key(spelling)] = strings(candidates, file, f"ambiguousSpellings.{spelling}")
    flaws += [
        Flaw(file, f"spellings.{key}", f"{name} is not a GPU of the catalogue or of this document")
        for key, candidates in by_key.items()
        for name in candidates
        if name not in names
    ]
    if flaws:
        raise DocumentError(flaws)
    return by_key


def _read_exact_spellings(document: Mapping[str, Any], names: Collection[str], file: str) -> dict[str, tuple[str, ...]]:
    """``exactSpellings`` (spelling → name), to the letter."""
    stated = section(document, "exactSpellings", file)
    unknown = [
        Flaw(file, f"exactSpellings.{spelling}", f"{name} is not a GPU of the catalogue or of this document")
        for spelling, name in stated.items()
        if name not in names
    ]
    if unknown:
        raise DocumentError(unknown)
    return {spelling: (name,) for spelling, name in stated.items()}


def _read_undescribed(document: Mapping[str, Any], file: str) -> dict[str, str]:
    """``undescribed`` (reason → spellings), by key."""
    return {
        spelling_key(spelling): reason
        for reason, spelled in section(document, "undescribed", file).items()
        for spelling in strings(spelled, file, f"undescribed.{reason}")
    }
