"""Power that a GPU draws while it serves."""

import numpy as np

from berth_cost.hardware.device import DeviceColumns
from berth_cost.performance.case_table import Floats
from berth_cost.performance.fitted_constants import PowerConstants


def power_watts(
    constants: PowerConstants, device: DeviceColumns, busy: Floats, compute_share: Floats, memory_share: Floats
) -> Floats:
    """Mean power per GPU (W), shape (n,): idle, plus what running at all, computing and streaming add while busy.

    ``busy``: share of the time in which anything runs; ``compute_share`` (of a language model: its root) and
    ``memory_share``: of that time, at the full rate. nan where the power limit is not known.
    """
    idle = np.where(
        np.isnan(device.idle_power_watts), constants.idle_share * device.power_watts, device.idle_power_watts
    )
    activity = constants.base + constants.compute * compute_share + constants.memory * memory_share
    return idle + (device.power_watts - idle) * busy * np.minimum(activity, 1.0)
