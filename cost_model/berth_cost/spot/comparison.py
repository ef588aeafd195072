"""All spot policies on one trace, beside the bounds: what ``berth cost replay`` shows."""

from collections.abc import Mapping, Sequence

import numpy as np

from berth_cost.rounding import significant_number
from berth_cost.spot.hazard import HazardFit, HazardSample, built_in_fit, fit_hazard
from berth_cost.spot.learned import LearnedPolicy
from berth_cost.spot.policy import FIXED_POLICIES, clairvoyant
from berth_cost.spot.replay import (
    SECONDS_PER_DAY,
    Policy,
    PolicyReplay,
    Replay,
    ReplayRules,
    TickLog,
    day_of,
    replay,
)
from berth_cost.spot.trace import SpotTrace

AIMS = ("99", "99.5", "99.9")
"""Percentages of ready ticks that the learned policies come for."""
BOUNDS = (99.0, 99.9)
POLICY_NAMES: tuple[str, ...] = (
    *(policy.name for policy in FIXED_POLICIES),
    *(f"learned-{aim}" for aim in AIMS),
    *(f"clairvoyant-{bound:g}" for bound in BOUNDS),
)
FEWEST_DAYS = 3
"""To learn each day of a trace from the others."""


def replay_policies(
    trace: SpotTrace, rules: ReplayRules, names: Sequence[str], fits: Sequence[HazardFit]
) -> tuple[Replay, Mapping[str, Sequence[TickLog]]]:
    """The policies of those names in the order of POLICY_NAMES, and their ticks. ``fits``: one, or one a day."""
    policies: dict[str, Policy] = {policy.name: policy for policy in FIXED_POLICIES}
    policies |= {f"learned-{aim}": LearnedPolicy(tuple(fits), aim) for aim in AIMS}
    results: list[PolicyReplay] = []
    logs: dict[str, Sequence[TickLog]] = {}
    for name in POLICY_NAMES:
        if name not in names:
            continue
        if name in policies:
            replayed = replay(policies[name], trace, rules)
            results.append(replayed.result)
            logs[name] = replayed.log
        else:
            results.append(clairvoyant(trace, rules, float(name.removeprefix("clairvoyant-"))))
    days = trace.ticks * rules.tick_seconds / SECONDS_PER_DAY
    return (
        Replay(
            want=rules.want,
            rules=rules,
            zones=trace.zones,
            regions=trace.regions,
            ticks=trace.ticks,
            days=significant_number(days),
            fit=fits[0].source if len(fits) == 1 else f"each day from the other {len(fits) - 1} days of the trace",
            policies=tuple(results),
        ),
        logs,
    )


def other_days_fit(trace: SpotTrace, rules: ReplayRules) -> tuple[HazardFit, ...]:
    """For each day of the trace, a fit to all of its other days; the emphasis is that of the built-in fit.

    A day is 86,400 s from the start of the trace. Raises ValueError with fewer than three days, or days without losses.
    """
    sample = HazardSample.of(trace)
    day = day_of(sample.tick, rules)
    count = int(day_of(np.array([trace.ticks - 1]), rules)[0]) + 1
    if count < FEWEST_DAYS:
        raise ValueError(f"the trace has {count} days; at least {FEWEST_DAYS} are needed to learn one from the others")
    emphasis = built_in_fit().emphasis
    return tuple(
        fit_hazard(
            sample.where(day != left_out), trace.regions, rules.tick_seconds, f"all days but {left_out + 1}"
        ).model_copy(update={"emphasis": emphasis})
        for left_out in range(count)
    )
