"""Model presets by name: the architecture of well-known models, with the source of every number."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field

from berth_cost.cases.case import Dense, Experts, LatentAttention, Model, Transformer
from berth_cost.document import (
    Provenance,
    Source,
    known_keys_only,
    parse_yaml,
    read_built_in,
    read_entry,
    read_section,
    recalled_fields,
    refuse_derived,
    validate,
)
from berth_cost.record import Record, json_name
from berth_cost.spelling import nearest

Task = Literal[
    "llm",
    "vision",
    "detection",
    "segmentation",
    "nlp",
    "embedding",
    "reranking",
    "speech",
    "diffusion",
    "recommendation",
]
DataType = Literal[
    "BOOL", "BYTES", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "BF16", "FP32", "FP64",
]  # fmt: skip
"""As Triton's HTTP protocol writes them."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TensorSpecification(Record):
    """An input or output of a model file. A dimension of −1 is variable; the batch dimension is left out."""

    name: Annotated[str, Field(min_length=1)]
    data_type: DataType
    dimensions: tuple[Annotated[int, Field(ge=-1)], ...]


class TypicalTokens(Record):
    """Mean tokens of a request in a public benchmark: an example, never a default."""

    input: Positive | None = None
    output: Positive | None = None


class ModelPreset(Record):
    """A model that a workload can name. What is not known is absent."""

    name: str
    model: Model
    display_name: Annotated[str, Field(min_length=1)]
    task: Task
    maximum_context_tokens: Annotated[int, Field(ge=1)] | None = None
    item: str | None = None
    """What one item of a request is, where the model is not a language model."""
    notes: str | None = None
    typical_tokens: TypicalTokens | None = None
    inputs: tuple[TensorSpecification, ...] = ()
    outputs: tuple[TensorSpecification, ...] = ()
    """Tensors of the model's best-known file. They belong to that file: an artefact may name them otherwise."""
    recalled: tuple[str, ...] = ()
    """The fields that have no second source, dotted: ``transformer.layers``."""


class UnknownModel(Record):
    """No preset of that name. ``nearest`` are the names most like it."""

    name: str
    reason: Literal["Unknown"] = "Unknown"
    message: str
    nearest: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelCatalogue:
    """Presets by name. Frozen: :meth:`merged` gives a new one."""

    presets: Mapping[str, ModelPreset]
    provenances: Mapping[str, Mapping[str, Provenance]]

    @staticmethod
    def load_builtin() -> "ModelCatalogue":
        """The catalogue of this package, read and validated once a process."""
        return _built_in()

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self.presets))

    def get(self, name: str) -> ModelPreset | UnknownModel:
        """The preset of exactly that name, or the names most like it."""
        known = self.presets.get(name)
        if known is not None:
            return known
        by_folded = {preset.casefold(): preset for preset in self.presets}
        near = tuple(by_folded[folded] for folded in nearest(name.casefold(), tuple(by_folded), cutoff=0.5))
        hint = f"; nearest: {', '.join(near)}" if near else ""
        message = f"there is no model preset {name}{hint}; state spec.model.architecture, or add it to a model document"
        return UnknownModel(name=name, message=message, nearest=near)

    def provenance(self, name: str, field: str) -> Provenance | None:
        """Who says so: ``field`` as ``transformer.layers`` or ``maximum_context_tokens``; None where it is absent."""
        path = ".".join(json_name(part) for part in field.removeprefix("model.").split("."))
        return self.provenances.get(name, {}).get(path)

    def merged(self, user_document: Mapping[str, Any], file: str = "model document") -> "ModelCatalogue":
        """With a user's document on top: its presets replace those of the same name.

        Raises :class:`DocumentError`, naming ``file``, key and field of everything wrong.
        """
        known_keys_only(user_document, ("sources", "models"), file)
        read = read_section(user_document, "models", file, _read_preset)
        return ModelCatalogue(
            {**self.presets} | {name: preset for name, (preset, _) in read.items()},
            {**self.provenances} | {name: provenance for name, (_, provenance) in read.items()},
        )


def _read_preset(
    name: str, stated: object, sources: Mapping[str, Source], file: str
) -> tuple[ModelPreset, Mapping[str, Provenance]]:
    key = f"models.{name}"
    entry = read_entry(stated, sources, file, key)
    values = dict(entry.values)
    refuse_derived(values, ("name", "model", "recalled"), file, key)
    architecture: dict[str, Any] = {part: values.pop(part) for part in ("transformer", "dense") if part in values}
    model = validate(Model, architecture | {"name": name}, file, key)
    recalled = recalled_fields(entry, ModelPreset, Transformer, Dense, Experts, LatentAttention)
    preset = validate(ModelPreset, values | {"name": name, "model": model, "recalled": recalled}, file, key)
    return preset, entry.provenance


@cache
def _built_in() -> ModelCatalogue:
    return ModelCatalogue({}, {}).merged(parse_yaml(read_built_in("models.yaml"), "models.yaml"), "models.yaml")
