"""How a pod stops without losing requests, and within which grace period.

On SIGTERM Triton closes its listeners at once and finishes what is in flight for ``--exit-timeout-secs``. So a preStop
sleep comes first, while load balancers and clients stop sending; then the exit timeout; then unloading.
"""

from dataclasses import dataclass
from math import ceil

from berth_operator.render.order import Order
from berth_scheduler.snapshot import CapacityType

_STEP_SECONDS = 30
"""Answers that are expected a little longer must not start a rollout."""


@dataclass(frozen=True)
class Termination:
    """Seconds; ``grace`` = ``drain`` + ``exit_timeout`` + ``unload``."""

    drain: int
    exit_timeout: int
    unload: int

    @property
    def grace(self) -> int:
        return self.drain + self.exit_timeout + self.unload


def termination(order: Order, capacity_type: CapacityType) -> Termination:
    """What the platform allows, cut to what the capacity type leaves (:attr:`Platform.grace_cap_seconds`)."""
    platform = order.platform
    drain, unload = platform.drain_seconds, platform.unload_seconds
    exit_timeout = _exit_timeout_seconds(order)
    cap = platform.grace_cap_seconds.get(capacity_type)
    if cap is None or drain + exit_timeout + unload <= cap:
        return Termination(drain, exit_timeout, unload)
    unload = min(unload, cap // 5)
    left = cap - unload
    drain = max(1, left * drain // (drain + platform.exit_timeout_seconds))
    return Termination(drain, left - drain, unload)


def _exit_timeout_seconds(order: Order) -> int:
    """Of a language model: as long as its objectives allow a long answer to take, within the platform's bounds."""
    least, most = order.platform.exit_timeout_seconds, order.platform.maximum_exit_timeout_seconds
    longest = order.longest_answer_seconds()
    if longest is None:
        return least
    return max(least, min(most, ceil(longest / _STEP_SECONDS) * _STEP_SECONDS))
