"""Constants of engines that run classic networks batch by batch: ``data/classic_constants.yaml``."""

from typing import Annotated

from pydantic import Field

from berth_cost.fitted_constants import FittedConstants, Seconds, Share
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
    item_overhead_seconds: Seconds
    request_seconds: Seconds
    """Server and network, once a request."""
    host_bytes_per_second: Annotated[float, Field(gt=0)]
    """Copies of inputs and outputs between client, server and GPU."""
    reserved_memory_bytes: Annotated[float, Field(ge=0)]


class ClassicJitter(Record):
    """Coefficients of variation of times that do not come from queueing."""

    network_pass: Share
    """Of a pass of a classic network."""
    host: Share
    """Of what a server adds, and of a closed loop's queue before it."""


class ClassicSet(FittedConstants):
    """The whole file."""

    engines: dict[str, ClassicConstants]
    families: dict[str, Annotated[float, Field(gt=0)]]
    """Multiplies the time of a pass of a classic network of that family; one that is not here has 1."""
    jitter: ClassicJitter
