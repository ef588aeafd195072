"""How long a pod may take until its model is ready: what the startup probe and the progress deadline wait for.

Nothing answers on Triton's ports until every model has loaded, so a liveness probe without a startup probe in front
kills each pod that loads slowly.
"""

from math import ceil

from berth_operator.render.model_config import builds_tensorrt
from berth_operator.render.order import Order
from berth_operator.replica_resources import weight_bytes
from berth_scheduler.snapshot import Berth

_STEP_SECONDS = 60
PULL_SECONDS = 1200
"""Beyond loading, for the progress deadline: a node to be provisioned and 10 to 16 GB of image to be pulled."""


def startup_seconds(order: Order, berth: Berth) -> int:
    """The budget in seconds, a multiple of a minute: a slightly different parameter count must not start a rollout."""
    platform = order.platform
    weights = weight_bytes(order.planned.model, (berth.precision,))
    if weights is None:
        loading = float(platform.startup_seconds_of_unknown_weights)
    else:
        loading = platform.startup_base_seconds + weights / platform.load_bytes_per_second
    if builds_tensorrt(order, berth):
        loading += platform.tensorrt_build_seconds
    return ceil(loading / _STEP_SECONDS) * _STEP_SECONDS


def progress_deadline_seconds(order: Order, berth: Berth) -> int:
    return startup_seconds(order, berth) + PULL_SECONDS
