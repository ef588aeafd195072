"""What the model cannot count: efficiencies and overheads by engine, read from three data files.

``language_constants.yaml`` and ``classic_constants.yaml`` are written by ``benchmarks/accuracy/fit_language.py`` and
``fit_classic.py``, which regularise every constant towards a physically plausible prior; each names the data seen, the
date, and the error reached per slice. ``engine_constants.yaml`` holds what is not fitted.
"""

from functools import cache
from importlib.resources import files

import numpy as np
import yaml

from berth_cost.cases.case import Engine
from berth_cost.performance.case_table import CaseTable, Floats
from berth_cost.performance.classic.constants import ClassicSet
from berth_cost.performance.fitted_constants import GENERAL, FittedConstants, GPUConstants, PrecisionConstants
from berth_cost.performance.language.constants import LanguageSet
from berth_cost.record import Record


class Constants(Record):
    """All files together."""

    model_version: str
    aliases: dict[str, str]
    """Spellings of engines, lower case, that mean an engine with constants of its own."""
    language: LanguageSet
    classic: ClassicSet


@cache
def built_in_constants() -> Constants:
    """The constants that come with the package."""
    shared = _document("engine_constants.yaml")
    kinds = {kind: _document(f"{kind}_constants.yaml") for kind in ("language", "classic")}
    return Constants.model_validate({**shared, **kinds})


def _document(name: str) -> dict[str, object]:
    text = files("berth_cost").joinpath(f"data/{name}").read_text(encoding="utf-8")
    document: dict[str, object] = yaml.safe_load(text)
    return document


def engine_name(constants: Constants, engine: Engine) -> str:
    """The canonical name of an engine; an engine without constants keeps its own (lower case), None is ``general``."""
    if engine.name is None:
        return GENERAL
    name = engine.name.lower()
    return constants.aliases.get(name, name)


def behind_server(engine: Engine) -> bool:
    """Whether the engine's name says that requests come through Triton even where nobody states a request load."""
    return engine.name is not None and engine.name.lower().startswith("triton-")


def engine_names(constants: Constants, table: CaseTable) -> list[str]:
    """:func:`engine_name` of the table's engines."""
    return [engine_name(constants, engine) for engine in table.engines]


def efficiency_factors(constants: FittedConstants, table: CaseTable) -> tuple[Floats, Floats]:
    """Factors of each row's precision and GPU on compute and memory efficiency, shapes (n,)."""
    neutral = PrecisionConstants(compute=1.0, memory=1.0)
    precisions = [constants.precisions.get(precision, neutral) for precision in table.precisions]
    gpus = [constants.gpus.get(gpu.name, GPUConstants()) for gpu in table.gpus]
    compute = np.array([one.compute for one in precisions])[table.precision_index]
    memory = np.array([one.memory for one in precisions])[table.precision_index]
    return (
        compute * np.array([one.compute for one in gpus])[table.gpu_index],
        memory * np.array([one.memory for one in gpus])[table.gpu_index],
    )
