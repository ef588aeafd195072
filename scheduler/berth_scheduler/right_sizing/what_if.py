"""The question of right-sizing: the same snapshot with the traffic that was observed instead of the one that is stated.

Everything stays where it runs in it, so that the plan of it says what each workload would cost as it stands, and among
its alternatives what else there is room for beside all others. Replicas are those that this traffic needs, whoever sets
them now; where they follow demand, with as much in hand as they are to have, there and here.
"""

import math
from collections.abc import Collection

from berth_cost.rounding import significant_number
from berth_scheduler.snapshot import Correction, Observed, Snapshot, TokenLengths, Traffic, Workload

DIGITS = 2
"""Of observed numbers: what wobbles by less than a tenth asks the same question, and equal questions are asked once."""
TRUST_SAMPLES = 30
"""Samples after which a correction counts half."""
WIDEST = 0.7
"""A correction is believed down to this factor; a capacity that looks lower has another cause than the model."""


def what_if(snapshot: Snapshot, tight: Collection[str] = ()) -> Snapshot:
    """``snapshot`` with the observed traffic of every workload that has some; the same where none has.

    ``tight``: keys of workloads that are to have nothing in hand.
    """
    if all(workload.observed is None and workload.scaling is None for workload in snapshot.workloads):
        return snapshot
    asked = tuple(_asked(each, 1.0 if each.key in tight else target_of(each)) for each in snapshot.workloads)
    return snapshot.model_copy(update={"workloads": asked})


def target_of(workload: Workload) -> float:
    """The share of what its replicas sustain that its rate is to use; 1 where they do not follow demand."""
    return (workload.scaling.target_utilization or 1.0) if workload.scaling is not None else 1.0


def _asked(workload: Workload, target: float) -> Workload:
    seen = workload.observed
    traffic = workload.traffic if seen is None else observed_traffic(workload, seen)
    points = seen.points if seen is not None and seen.evidence == "calibrated" else ()
    rate = significant_number(traffic.requests_per_second / target)
    return workload.model_copy(
        update={
            "traffic": traffic.model_copy(update={"requests_per_second": rate}),
            "measured": (*workload.measured, *points),
            "scaling": None,
        }
    )


def observed_traffic(workload: Workload, seen: Observed) -> Traffic:
    """The rate that the plan should hold, in units of the capacity that the model believes in; the lengths and the
    burstiness that were measured, as stated where they were not."""
    stated = workload.traffic
    rate = max(seen.requests_per_second, _LEAST_RATE) / trusted(seen.correction)
    lengths = stated.input_tokens is not None and seen.input_tokens is not None and seen.output_tokens is not None
    return stated.model_copy(
        update={
            "requests_per_second": rounded_up(rate),
            "burstiness": stated.burstiness if seen.burstiness is None else _rounded(seen.burstiness),
            "input_tokens": _lengths(seen.input_tokens, stated.input_tokens) if lengths else stated.input_tokens,
            "output_tokens": _lengths(seen.output_tokens, stated.output_tokens) if lengths else stated.output_tokens,
        }
    )


_LEAST_RATE = 0.01
"""Requests/s: nothing at all is no traffic to plan for."""


def trusted(correction: Correction) -> float:
    """How much of a correction counts for another berth: none of what makes the model look better than it is, for that
    was learned of what runs and need not hold elsewhere; of the rest more with the samples and less with their spread.
    """
    if correction.factor >= 1 or correction.samples <= 0:
        return 1.0
    weight = correction.samples / (correction.samples + TRUST_SAMPLES * (1 + correction.spread))
    return max(math.exp(weight * math.log(correction.factor)), WIDEST)


def rounded_up(value: float) -> float:
    """To :data:`DIGITS` significant digits, never below ``value``."""
    exponent = math.floor(math.log10(value)) - DIGITS + 1
    step = 10.0**exponent
    return significant_number(math.ceil(value / step - 1e-9) * step)


def _rounded(value: float) -> float:
    return significant_number(value, DIGITS)


def _lengths(seen: TokenLengths | None, stated: TokenLengths | None) -> TokenLengths | None:
    """The observed mean; where only that is measured, with the spread that is stated."""
    if seen is None:
        return None
    mean = max(_rounded(seen.mean), 1.0)
    if seen.p95 is not None:
        return TokenLengths(mean=mean, p95=max(_rounded(seen.p95), mean))
    spread = stated.p95 / stated.mean if stated is not None and stated.p95 is not None else None
    return TokenLengths(mean=mean, p95=None if spread is None else mean * spread)
