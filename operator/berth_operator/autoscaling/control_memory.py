"""What the replica controller keeps over a restart, as a short text in the workload's status. Pure.

Kept is what takes hours to learn: the correction of the capacity, the errors and margins of the forecast and the
profile of the day. Left out is the recent past: without it nothing is scaled down for a whole stabilisation window.
"""

import base64
import binascii
import math
import struct

from berth_scheduler.control.lead_forecast import BINS, EXPERTS, LEAST_DEMAND, MOST_Z, DayProfile, Forecast
from berth_scheduler.control.replica_control import LEAST_CORRECTION, MOST_CORRECTION, ControlState

_FORMAT = struct.Struct(f"<B4f{EXPERTS}f{BINS}e")
_VERSION = 1
_MOST_DEMAND = 65_000.0
"""The largest number of the profile's two bytes, nearly."""
CORRECTION_STEP = 0.03
PROFILE_STEP = 0.2
REST_SECONDS = 6 * 3600.0
"""A changed correction is kept soon; what else was learned, this often at most."""


def packed(state: ControlState) -> str:
    """At most 900 characters, whatever was learned."""
    forecast = state.forecast
    profile = (math.nan if level is None else min(level, _MOST_DEMAND) for level in forecast.profile.bins)
    margins = (state.correction, forecast.error, forecast.long_error, forecast.z)
    return base64.b64encode(_FORMAT.pack(_VERSION, *margins, *forecast.errors, *profile)).decode()


def unpacked(text: str) -> ControlState | None:
    """None of what is garbled, or was written by a release that packed it another way."""
    try:
        content = base64.b64decode(text, validate=True)
        version, *numbers = _FORMAT.unpack(content)
    except (ValueError, binascii.Error, struct.error):
        return None
    margins, errors, levels = numbers[:4], numbers[4 : 4 + EXPERTS], numbers[4 + EXPERTS :]
    correction, error, long_error, z = margins
    sound = all(math.isfinite(number) and number >= 0 for number in (*margins, *errors))
    if version != _VERSION or not sound or not LEAST_CORRECTION - 0.01 <= correction <= MOST_CORRECTION + 0.01:
        return None
    bins = tuple(level if math.isfinite(level) and level >= 0 else None for level in levels)
    forecast = Forecast(
        errors=tuple(max(each, 1e-6) for each in errors),
        error=error,
        long_error=long_error,
        z=min(z, MOST_Z),
        profile=DayProfile(bins),
    )
    correction = min(max(correction, LEAST_CORRECTION), MOST_CORRECTION)
    return ControlState(forecast=forecast, correction=correction)


def in_other_replicas(forecast: Forecast, factor: float) -> Forecast:
    """What was learned of a demand, in replicas of another configuration: ``factor`` of them carry what one did before.
    Without the recent past; without the profile of the day where no factor is known (0)."""
    bins = tuple(None if level is None or not factor else level * factor for level in forecast.profile.bins)
    return Forecast(
        errors=forecast.errors,
        error=forecast.error,
        long_error=forecast.long_error,
        z=forecast.z,
        profile=DayProfile(bins),
    )


def is_worth_keeping(state: ControlState, kept: ControlState, seconds_since: float) -> bool:
    """Whether ``state`` differs from what is kept by more than noise does."""
    if abs(state.correction - kept.correction) >= CORRECTION_STEP:
        return True
    if seconds_since < REST_SECONDS:
        return False
    now, before = state.forecast, kept.forecast
    margins = ((now.error, before.error), (now.long_error, before.long_error))
    if any(_differ(one, other, 0.01, 0.5) for one, other in margins) or abs(now.z - before.z) > 1:
        return True
    levels = zip(now.profile.bins, before.profile.bins, strict=True)
    return any(_differ(one or 0.0, other or 0.0, LEAST_DEMAND, PROFILE_STEP) for one, other in levels)


def _differ(one: float, other: float, least: float, share: float) -> bool:
    """By more than a share of the larger, where that is more than next to nothing."""
    return abs(one - other) > max(share * max(one, other), least)
