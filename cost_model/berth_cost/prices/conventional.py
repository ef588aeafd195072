"""The GPU that most people would take: a ladder for classic networks and one for language models, with their sources.

It is what a plan is compared with, so it may depend on nothing that the plan decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Annotated, Any

from pydantic import Field

from berth_cost.document import DocumentError, Flaw, Source, parse_yaml, read_built_in, read_sources, validate
from berth_cost.record import Record

_FILE = "conventional_gpus.yaml"
LADDERS = ("classic", "language")


class _Rung(Record):
    gpu: Annotated[str, Field(min_length=1)]
    most_gpus: Annotated[int, Field(ge=1)]
    source: str


@dataclass(frozen=True, slots=True)
class ConventionalGPU:
    """One rung: a GPU of the catalogue, how many of them a replica may span, and who says that people take it."""

    gpu: str
    most_gpus: int
    source: str
    date: date


@dataclass(frozen=True, slots=True)
class ConventionalGPUs:
    """In the order in which they are tried: the first that carries the workload."""

    classic: tuple[ConventionalGPU, ...]
    language: tuple[ConventionalGPU, ...]

    @staticmethod
    def load_builtin() -> "ConventionalGPUs":
        """Of this package, read and validated once a process."""
        return _built_in()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({rung.gpu for rung in (*self.classic, *self.language)}))


@cache
def _built_in() -> ConventionalGPUs:
    document = parse_yaml(read_built_in(_FILE), _FILE)
    sources = read_sources(document, _FILE)
    return ConventionalGPUs(*(_ladder(document, name, sources) for name in LADDERS))


def _ladder(document: Mapping[str, Any], name: str, sources: Mapping[str, Source]) -> tuple[ConventionalGPU, ...]:
    rungs = [validate(_Rung, stated, _FILE, f"{name}[{index}]") for index, stated in enumerate(document[name])]
    unknown = [index for index, rung in enumerate(rungs) if rung.source not in sources]
    if unknown:
        raise DocumentError(Flaw(_FILE, f"{name}[{index}].source", "is not under `sources`") for index in unknown)
    return tuple(
        ConventionalGPU(rung.gpu, rung.most_gpus, sources[rung.source].title, sources[rung.source].date)
        for rung in rungs
    )
