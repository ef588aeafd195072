"""Constants of engines that run classic networks batch by batch: ``data/classic_constants.yaml``."""

from typing import Annotated

from pydantic import Field

from berth_cost.performance.fitted_constants import FittedConstants, GPUConstants, Seconds, Share
from berth_cost.record import Record


class ClassicConstants(Record):
    """Of a Triton backend (or framework) that runs classic networks batch by batch."""

    compute_efficiency: Share
    memory_efficiency: Share
    ramp_flops: Annotated[float, Field(ge=0)]
    """FLOPs of a pass at which matrix products run at half of the efficiency, per 1e14 FLOP/s of peak rate."""
    pass_overhead_seconds: Seconds
    """Launches of a pass of a typical network."""
    size_exponent: Annotated[float, Field(ge=0, le=1)]
    """How launches grow with the network's FLOPs, relative to 4 GFLOP."""
    layer_exponent: Annotated[float, Field(ge=0, le=2)] = 0.5
    """How launches grow with the layers of a network that is named after them, relative to 50."""
    width_exponent: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """How the efficiency of computing and of streaming grows with the parameters, relative to 25 million."""
    launch_overlap: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the launches that the processor makes while the GPU works: 1 where they are asynchronous throughout."""
    copy_seconds_per_byte: Annotated[float, Field(ge=0)] = 0.0
    """Of an item's input, copied between passes where no server does it beside them."""
    request_seconds: Seconds
    """Server and network, once a request."""
    host_bytes_per_second: Annotated[float, Field(gt=0)]
    """Copies of inputs and outputs between client, server and GPU."""
    host_overlap: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of these copies that runs while the GPU works on other requests."""
    reserved_memory_bytes: Annotated[float, Field(ge=0)]


class ClassicJitter(Record):
    """Coefficients of variation of times that no engine has of its own."""

    network_pass: Share
    """Of a pass of a classic network."""
    host: Share
    """Of what the server adds to a request."""
    loop: Share
    """Of the latencies of several clients in a closed loop whose batches several instances serve: as measured, because
    no queue makes it."""
    held_loop: Share
    """The same where a request is held back for company (``maximumQueueDelayMicroseconds`` above 0)."""


Deviation = Annotated[float, Field(ge=0)]


class FactorDeviations(Record):
    """Standard deviations, in logs, of a factor on what the constants say, by what it is common to."""

    network: Deviation
    """Common to the network, wherever it runs."""
    gpu: Deviation
    """The network's own on one type of GPU; and so on."""
    slice: Deviation
    engine: Deviation
    version: Deviation
    precision: Deviation


class AssumedDeviations(Record):
    """The same of a typical network that stands for one of unknown size; ``gpu`` of each factor on one type of GPU."""

    fixed: Deviation
    item: Deviation
    host: Deviation
    speed: Deviation
    gpu: Deviation


class CalibrationPrior(Record):
    """What is expected of measured runs before they are seen (``classic_calibration``); deviations in logs."""

    fixed: FactorDeviations
    """Of what a pass takes whatever its batch."""
    item: FactorDeviations
    """Of what every further item takes."""
    host: FactorDeviations
    """Of what the server adds."""
    speed: FactorDeviations
    """Of all of these together."""
    assumed: AssumedDeviations
    """In place of ``network`` where nobody knows the network's size."""
    residual: Deviation
    """Of the time of a batch beside these factors, shared by batches of similar size."""
    residual_under_load: Deviation
    """The same of latencies under open and closed loads."""
    reach: Annotated[float, Field(gt=0)]
    """e-folds of load over which that similarity falls to 1/e."""
    noise: Deviation
    """Of a measurement repeated."""
    spread: Deviation
    """Of the factor on the coefficients of variation."""
    spread_of_network: Annotated[float, Field(ge=0, le=1)]
    """How much of its variance is common to all deployments of the network."""
    spread_noise: Deviation
    quantile: Annotated[float, Field(gt=0)]
    """Deviations from the point to either edge of the 90 % band."""
    tail: Deviation
    """Deviation of a high percentile beside that of the mean."""


class ClassicGPUConstants(GPUConstants):
    launches: Annotated[float, Field(gt=0)] = 1.0
    """Multiplies the time of launches beside that GPU: published machines of one GPU have alike processors."""


class ClassicPrecisionConstants(Record):
    """Multiplies the engine's efficiencies, which are stated for 16 bits: without tensor cores a network comes much
    closer to the peak rate, and Winograd's convolutions need fewer operations than are counted."""

    compute: Annotated[float, Field(gt=0, le=4)]
    memory: Annotated[float, Field(gt=0, le=4)]


class FamilyConstants(Record):
    """Multiplies times of networks of one family."""

    launches: Annotated[float, Field(gt=0)] = 1.0
    device: Annotated[float, Field(gt=0)] = 1.0
    """Of computing and streaming."""


class ClassicSet(FittedConstants):
    """The whole file."""

    engines: dict[str, ClassicConstants]
    precisions: dict[str, ClassicPrecisionConstants]  # type: ignore[assignment]  # has a wider range
    gpus: dict[str, ClassicGPUConstants]  # type: ignore[assignment]  # adds a constant to the common ones
    families: dict[str, FamilyConstants]
    """One that is not here has 1."""
    transformers_like: dict[str, str] = {}
    """By engine: the family whose launches stand for those of all transformers, because it fuses them alike."""
    jitter: ClassicJitter
    client_share: Annotated[float, Field(ge=0, lt=1)]
    """Of the time between two requests of a client of a closed load: what it does besides waiting for the answer."""
    calibration: CalibrationPrior
