"""What the observer keeps of a workload over a restart, as a short text in the workload's status. Pure.

Kept are a day of demand, by means of half an hour, and what was learned of a replica's capacity and latencies. The
numbers are rounded to what right-sizing asks with, and the text is renewed only where it asks something else by then.
"""

import base64
import binascii
import json
import math
import zlib
from typing import Annotated

from pydantic import Field, ValidationError

from berth_cost.record import Record
from berth_cost.rounding import significant_number
from berth_scheduler.control.learning import FEWEST_SAMPLES, LearnedLoad, Residual
from berth_scheduler.right_sizing.observed_day import BIN_SECONDS, BINS, CALIBRATED_SAMPLES, ObservedDay

DIGITS = 3
LONGEST_TEXT = 2048
"""Characters; latencies are left out where that would not do."""
_MOST_BYTES = 65_536
"""Decompressed: nothing of ours comes near it."""
HALF_HOUR = 6
"""Means of five minutes."""
REST_SECONDS = 6 * 3600.0
"""Between two texts of a workload; what its replicas carry is told sooner."""
NOTICEABLE_SHARE = 0.1
NOTICEABLE_FACTOR = 0.03
MOST_LOG_FACTOR = 5.0
"""A replica that carries a hundredth or a hundred times of what the model says was not measured."""

Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Memory(Record):
    """``rates``: requests/s, means of half an hour, the newest last."""

    rates: Annotated[tuple[Number, ...], Field(max_length=BINS // HALF_HOUR)] = ()
    requests: Number = 0.0
    prompt_tokens: Number = 0.0
    output_tokens: Number = 0.0
    residual: Residual | None = None

    def day(self, at_seconds: float) -> ObservedDay:
        """As if it had been seen until just before ``at_seconds``."""
        return ObservedDay(
            rates=tuple(rate for rate in self.rates for _ in range(HALF_HOUR)),
            position=int(at_seconds // BIN_SECONDS),
            requests=self.requests,
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens,
            at_seconds=at_seconds - 1,
        )


def memory_of(day: ObservedDay, residual: Residual | None) -> Memory:
    """Whole half hours, counted from the newest; a residual of a few samples is none yet."""
    halves = [day.rates[max(end - HALF_HOUR, 0) : end] for end in range(len(day.rates), HALF_HOUR - 1, -HALF_HOUR)]
    return Memory(
        rates=tuple(_rounded(math.fsum(each) / len(each)) for each in reversed(halves)),
        requests=_rounded(day.requests),
        prompt_tokens=_rounded(day.prompt_tokens),
        output_tokens=_rounded(day.output_tokens),
        residual=None if residual is None or residual.samples < FEWEST_SAMPLES else _shortened(residual),
    )


def _shortened(residual: Residual) -> Residual:
    def load(one: LearnedLoad) -> LearnedLoad:
        latency = {name: _rounded(value) for name, value in sorted(one.latency_seconds.items())}
        return one.model_copy(
            update={"requests_per_second": _rounded(one.requests_per_second), "latency_seconds": latency}
        )

    return residual.model_copy(
        update={
            "log_factor": significant_number(residual.log_factor, DIGITS),
            "spread": _rounded(residual.spread),
            "at_seconds": float(int(residual.at_seconds)),
            "loads": tuple(load(one) for one in residual.loads),
        }
    )


def _rounded(value: float) -> float:
    return significant_number(value, DIGITS)


# --- as a text ---------------------------------------------------------------------------------------------------


def packed(memory: Memory) -> str:
    """At most :data:`LONGEST_TEXT` characters."""
    text = _packed(memory)
    if len(text) > LONGEST_TEXT and memory.residual is not None:
        text = _packed(memory.model_copy(update={"residual": memory.residual.model_copy(update={"loads": ()})}))
    return text


def _packed(memory: Memory) -> str:
    document = memory.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return base64.b64encode(zlib.compress(content, 9)).decode()


def unpacked(text: str) -> Memory | None:
    """None of what is garbled, or was written by a release that packed it another way."""
    try:
        reader = zlib.decompressobj()
        content = reader.decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
        found = Memory.model_validate_json(content)
    except (ValueError, binascii.Error, zlib.error, ValidationError):
        return None
    return found if _is_sound(found.residual) else None


def _is_sound(residual: Residual | None) -> bool:
    """Whether what was learned can be reckoned with."""
    if residual is None:
        return True
    numbers = [value for one in residual.loads for value in (one.requests_per_second, *one.latency_seconds.values())]
    counts = [residual.samples, *(one.samples for one in residual.loads)]
    return (
        all(math.isfinite(number) and number > 0 for number in numbers)
        and all(count >= 0 for count in counts)
        and abs(residual.log_factor) <= MOST_LOG_FACTOR
        and 0 <= residual.spread <= MOST_LOG_FACTOR
    )


def is_worth_keeping(now: Memory, kept: Memory, seconds_since: float) -> bool:
    """Whether right-sizing would ask something else with ``now`` than with what is kept."""
    learned, before = now.residual, kept.residual
    if learned is not None and (before is None or before.revision != learned.revision):
        return True
    if learned is not None and before is not None:
        if abs(learned.log_factor - before.log_factor) >= NOTICEABLE_FACTOR:
            return True
        if (learned.samples >= CALIBRATED_SAMPLES) != (before.samples >= CALIBRATED_SAMPLES):
            return True
    if seconds_since < REST_SECONDS:
        return False
    if len(now.rates) > len(kept.rates) or abs(_held(now) - _held(kept)) > NOTICEABLE_SHARE * _held(kept):
        return True
    bands = [None if each is None else [load.band for load in each.loads] for each in (learned, before)]
    return bands[0] != bands[1] or _differs(now.prompt_tokens, kept.prompt_tokens)


def _held(memory: Memory) -> float:
    """About the rate that a plan should hold."""
    ordered = sorted(memory.rates)
    return ordered[math.ceil(len(ordered) * 0.95) - 1] if ordered else 0.0


def _differs(one: float, other: float) -> bool:
    return abs(one - other) > NOTICEABLE_SHARE * max(one, other)
