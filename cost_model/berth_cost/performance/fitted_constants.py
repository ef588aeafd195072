"""Records that the constants of language models and of classic networks have in common."""

from typing import Annotated

from pydantic import Field

from berth_cost.record import Record

Share = Annotated[float, Field(gt=0, le=1.2)]
Seconds = Annotated[float, Field(ge=0)]

GENERAL = "general"
"""The prior for engines that no constants exist for."""


class PrecisionConstants(Record):
    """Multiplies the engine's efficiencies."""

    compute: Share
    memory: Share


class GPUConstants(Record):
    """Of one GPU type, beside its peak rates: sustained clocks under its power limit, bandwidth that is reached.

    Boards that no measurement exists for, but that their power limit holds far below the peak rate (A30, L4, L40S),
    carry an assumption in the same direction as measured boards of that kind (T4, A10).
    """

    compute: Annotated[float, Field(gt=0, le=2)] = 1.0
    memory: Annotated[float, Field(gt=0, le=2)] = 1.0


class PowerConstants(Record):
    """Power = idle + (limit − idle) · (base + compute · compute share + memory · memory share), at most the limit."""

    idle_share: Share
    """Of the power limit, where the catalogue has no idle power."""
    base: Annotated[float, Field(ge=0, le=1)]
    compute: Annotated[float, Field(ge=0, le=1)]
    memory: Annotated[float, Field(ge=0, le=1)]


class BandEdges(Record):
    """Observed over predicted: the 5th and 95th percentile of the residuals, as factors."""

    low: Annotated[float, Field(gt=0, le=1)]
    high: Annotated[float, Field(ge=1)]
    cases: Annotated[int, Field(ge=0)] = 0
    """How many residuals the edges rest on; 0: assumed."""


class FitError(Record):
    """Absolute percentage error of a slice, and how many of its observations lie inside the 90 % band."""

    left_out: str = "model"
    """What the constants had not seen: the model, the gpu, the engine or the precision of each case."""
    source: str
    metric: str
    cases: int
    median_percent: float
    mean_percent: float
    band_coverage_percent: float | None = None
    """None where the band is composed of those of other metrics (energy: power over rate)."""


class Unseen(Record):
    """What is less sure where a measurement of the kind is missing."""

    measured: tuple[str, ...]
    """GPUs, precisions, or engines with their release (``vllm@0.12``), that measurements exist of."""
    widening: dict[str, Annotated[float, Field(ge=0)]]
    """By metric: added to both edges of the band of any other, in logs. Of measured ones that the constants had not
    seen, some 90 % lay within."""


class FittedConstants(Record):
    """What a fit writes for one kind of model, beside the constants of its engines."""

    date: str
    data: tuple[str, ...]
    """Sources that the constants were fitted on."""
    precisions: dict[str, PrecisionConstants]
    gpus: dict[str, GPUConstants]
    """Multiplies the engine's efficiencies on that GPU; one that is not here has 1."""
    power: PowerConstants
    bands: dict[str, dict[str, BandEdges]]
    """By metric, then slice: ``engine/load/dense`` (or ``moe``), ``engine/load``, ``engine`` or ``general``."""
    unseen: dict[str, Unseen] = {}
    """By ``gpu``, ``precision``, ``engine`` and ``version``."""
    errors: tuple[FitError, ...] = ()
