"""What a probe wrote on a node about its GPUs, which is preferred to the catalogue: the device was asked itself.

The annotation holds facts and no guesses: what it leaves out is the catalogue's. Several GPUs of a kind are planned as
the weakest of them, because a replica may land on any.
"""

from collections.abc import Iterable, Mapping

from pydantic import ValidationError

from berth_cost.hardware.gpu_catalogue import GPUCatalogue, GPUSpecification
from berth_operator.labels import GPU_SPECIFICATION
from berth_operator.supply.node_labels import Garbled

LONGEST = 16 * 1024
"""Of the annotation's text; all of a node's annotations together may be 256 KiB."""
SMALLER_IS_WEAKER = (
    "memory_bytes",
    "memory_bandwidth_bytes_per_second",
    "power_watts",
    "nvlink_bytes_per_second",
    "pcie_bytes_per_second",
    "multiprocessors",
)


def annotation_of(specification: GPUSpecification, facts: Iterable[str]) -> str:
    """The text of the annotation: the name, and of the specification the fields ``facts``."""
    return specification.model_dump_json(by_alias=True, include={"name", *facts}, exclude_none=True)


def annotated(annotations: Mapping[str, str]) -> GPUSpecification | None:
    """What the annotation says; None without one. Raises :class:`Garbled`."""
    text = annotations.get(GPU_SPECIFICATION)
    if text is None:
        return None
    if len(text) > LONGEST:
        raise Garbled(f"annotation {GPU_SPECIFICATION} is longer than {LONGEST} characters: probe the node again")
    try:
        return GPUSpecification.model_validate_json(text, by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        words = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise Garbled(f"annotation {GPU_SPECIFICATION}: {where}: {words}: probe the node again") from error


def preferred(said: GPUSpecification, by_labels: GPUSpecification | None, catalogue: GPUCatalogue) -> GPUSpecification:
    """The GPU of a node: what the annotation says, and the catalogue's numbers for the rest.

    Raises :class:`Garbled` where labels name another GPU.
    """
    if by_labels is not None and by_labels.name != said.name:
        raise Garbled(f"annotation {GPU_SPECIFICATION} says {said.name}, and its labels {by_labels.name}")
    known = by_labels or catalogue.specifications.get(said.name)
    if known is None:
        return said
    facts = {name: getattr(said, name) for name in said.model_fields_set if getattr(said, name) is not None}
    rates = known.peak_flops_per_second | said.peak_flops_per_second
    asked = set(facts) | {f"peak_flops_per_second.{rate}" for rate in said.peak_flops_per_second}
    recalled = tuple(name for name in known.recalled if name not in asked) + said.recalled
    merged = facts | {"peak_flops_per_second": rates, "recalled": tuple(sorted(set(recalled)))}
    return known.model_copy(update=merged)


def weakest(specifications: Iterable[GPUSpecification]) -> GPUSpecification:
    """One specification for GPUs of one name: of every number the smallest that any of them has."""
    first, *others = specifications
    changed: dict[str, object] = {}
    for name in SMALLER_IS_WEAKER:
        values = [value for one in (first, *others) if (value := getattr(one, name)) is not None]
        if values:
            changed[name] = min(values)
    rates = [one.peak_flops_per_second for one in (first, *others)]
    shared = sorted(set(rates[0]).intersection(*rates[1:]))
    changed["peak_flops_per_second"] = {rate: min(each[rate] for each in rates) for rate in shared}
    return first.model_copy(update=changed) if others else first
