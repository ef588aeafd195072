"""Cases predicted by constants that had not seen their model, GPU, engine or precision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from language_levels import LanguageFit, source_of
from measured_cases import observations
from numpy.typing import NDArray

from berth_cost.cases.case import Case
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUSpecification
from berth_cost.performance.engine_constants import Constants, engine_names
from berth_cost.performance.language.columns import release
from berth_cost.performance.prediction import predict
from berth_cost.performance.prediction_table import PredictionTable

Floats = NDArray[np.float64]
Labels = NDArray[np.str_]

SPLITS = ("model", "gpu", "engine", "precision", "version")
ROUNDS = 5
"""Of a fit that starts where the fit of all cases ended."""


@dataclass(frozen=True)
class Residuals:
    """log(observed / predicted) of many observations, with what tells slices apart; shapes (n,)."""

    source: Labels
    engine: Labels
    load: Labels
    experts: Labels
    """``dense`` or ``moe``."""
    gpu: Labels
    precision: Labels
    metric: Labels
    """``timeToFirstTokenSeconds.mean``; scalars by their name alone."""
    ratio: Floats
    inside: NDArray[np.bool_]
    """Whether the observation lies in the band of the constants that predicted it."""
    case: Labels
    version: Labels
    """The engine with its release."""

    def where(self, chosen: NDArray[np.bool_]) -> "Residuals":
        return Residuals(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def fits_without(
    cases: Sequence[Case], split: str, whole: LanguageFit, gpus: Mapping[str, GPUSpecification]
) -> list[tuple[list[Case], LanguageFit]]:
    """The cases of each group, and the fit to all others."""
    groups: dict[object, list[Case]] = {}
    for case in cases:
        groups.setdefault(group_of(case, split), []).append(case)
    parts = []
    for group, own in groups.items():
        seen = [case for case in whole.cases if group_of(case, split) != group]
        fit = (
            whole
            if len(seen) == len(whole.cases)
            else LanguageFit(seen, gpus, whole.deviations).after(whole.prior).solved(ROUNDS)
        )
        parts.append((own, fit))
    return parts


def held_out(cases: Sequence[Case], split: str, whole: LanguageFit, gpus: Mapping[str, GPUSpecification]) -> Residuals:
    """All observations, each predicted by constants fitted without the cases of its group."""
    return judged(fits_without(cases, split, whole, gpus), gpus)


def judged(fits: Sequence[tuple[list[Case], LanguageFit]], gpus: Mapping[str, GPUSpecification]) -> Residuals:
    """Of every group, predicted by the fit to the others."""
    return joined(
        [residuals_of(own, Constants.model_validate(fit.document(fit.deviations)), gpus) for own, fit in fits]
    )


def group_of(case: Case, split: str) -> object:
    """Models of the same shape are one: DeepSeek-R1 and V3, or releases of one Qwen."""
    shape = case.model.transformer
    assert shape is not None
    groups: dict[str, object] = {
        "model": (shape.layers, shape.hidden_size, shape.intermediate_size, shape.attention_heads),
        "gpu": case.hardware.gpu,
        "engine": case.engine.name,
        "precision": case.precision,
        "version": release(case.engine),
    }
    return groups[split]


def residuals_of(cases: Sequence[Case], constants: Constants, gpus: Mapping[str, GPUSpecification]) -> Residuals:
    table = case_table(cases, gpus)
    return residuals_at(cases, predict(table, constants), np.array(engine_names(constants, table))[table.engine_index])


def residuals_at(cases: Sequence[Case], answers: PredictionTable, engine: Labels) -> Residuals:
    parts = []
    for one in observations(cases):
        ratio = -one.log_ratio(answers)
        said = np.isfinite(ratio)
        rows = one.rows[said]
        own = [cases[row] for row in rows]
        label = one.metric if one.statistic == "value" else f"{one.metric}.{one.statistic}"
        moe = [case.model.transformer is not None and case.model.transformer.experts is not None for case in own]
        parts.append(
            Residuals(
                source=np.array([source_of(case) for case in own]),
                engine=engine[rows],
                load=np.array([case.load.kind for case in own]),
                experts=np.where(np.array(moe, dtype=np.bool_), "moe", "dense"),
                gpu=np.array([case.hardware.gpu for case in own]),
                precision=np.array([case.precision for case in own]),
                metric=np.full(len(own), label),
                ratio=ratio[said],
                inside=one.inside(answers)[said],
                case=np.array([case.id for case in own]),
                version=np.array([release(case.engine) for case in own]),
            )
        )
    return joined(parts)


def joined(parts: Sequence[Residuals]) -> Residuals:
    filled = [part for part in parts if len(part.ratio)]
    return Residuals(
        *(np.concatenate([getattr(part, name) for part in filled]) for name in Residuals.__dataclass_fields__)
    )
