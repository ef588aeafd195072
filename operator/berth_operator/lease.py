"""Who leads: our own elector on a ``coordination.k8s.io/v1`` Lease.

The rules are those of client-go's leader election (Kubernetes 1.36): the holder renews every 2 s and gives up when it
could not for 10 s; others take over when they saw no change for 15 s. Only *observed change on our own clock* counts,
never the times written in the Lease, so that clocks may differ. The 5 s between giving up and being taken over are
the margin in which no write of the old leader can follow one of the new.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from berth_operator.errors import BerthmasterError, LostLeadership
from berth_operator.kinds import LEASE
from berth_operator.kube import Kube, Object


def elapsed_seconds() -> float:
    """A clock that nobody sets and that, on Linux, also counts the time in which the machine was suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True)
class Timings:
    """``duration_seconds`` must exceed ``renew_deadline_seconds``, which must exceed ``retry_seconds``."""

    duration_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0


class Elector:
    """Takes, renews and gives back one Lease. ``identity`` must be new in every process, also in a restarted pod."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str,
        name: str,
        identity: str,
        timings: Timings = Timings(),
        clock: Callable[[], float] = elapsed_seconds,
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._timings = timings
        self._clock = clock
        self._renewed_at = float("-inf")
        self._seen: tuple[object, ...] | None = None
        self._seen_at = 0.0
        self.heard_at = float("-inf")
        """When the Lease was last read or written, on the elector's clock: a standby that hears is healthy."""

    def still_held(self) -> bool:
        """Whether a write may be sent now: the Lease was renewed less than the renew deadline ago."""
        return self._clock() - self._renewed_at < self._timings.renew_deadline_seconds

    async def acquire(self, waiting: Callable[[str], None] = lambda holder: None) -> None:
        """Return when we lead; ``waiting`` is told each holder that keeps us from it. Errors are waited out."""
        told = ""
        while True:
            holder = await self._attempt()
            if holder == self.identity:
                return
            keeper = holder or "unknown: the API server does not answer"
            if keeper != told:
                waiting(keeper)
                told = keeper
            await asyncio.sleep(self._look_again_in())

    def _look_again_in(self) -> float:
        """Seconds until a standby reads again: twice as often as a leader writes, so that a renewal is seen soon after
        it was made and its end not counted from late; and at the very moment at which the Lease runs out."""
        often = self._timings.retry_seconds / 2
        left = self._seen_at + self._timings.duration_seconds - self._clock()
        return min(often, left) if left > 0 else often

    async def hold(self) -> None:
        """Renew for ever; raises LostLeadership when the renew deadline passed or somebody else holds the Lease."""
        while True:
            left = self._renewed_at + self._timings.renew_deadline_seconds - self._clock()
            if left <= 0:
                raise LostLeadership(f"the Lease was not renewed for {self._timings.renew_deadline_seconds:g} s")
            try:
                async with asyncio.timeout(min(left, self._timings.renew_deadline_seconds / 2)):
                    holder = await self._attempt()
            except TimeoutError:
                holder = None
            if holder not in (None, self.identity):
                self._renewed_at = float("-inf")
                raise LostLeadership(f"the Lease is held by {holder}")
            await asyncio.sleep(self._timings.retry_seconds)

    async def release(self) -> None:
        """Hand over at once: who waits need not wait for the Lease to run out."""
        if not self.still_held():
            return
        self._renewed_at = float("-inf")
        try:
            lease = await self._kube.get(LEASE, self._name, self._namespace)
            if lease is not None and _holder(lease) == self.identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                await self._kube.replace(LEASE, lease, fenced=False)
        except BerthmasterError:
            return  # it runs out by itself

    async def _attempt(self) -> str | None:
        """Take or renew the Lease if we may. Returns the holder's identity, ours if it worked; None on an error."""
        asked_at = self._clock()
        try:
            lease = await self._kube.get(LEASE, self._name, self._namespace)
            if lease is None:
                await self._kube.create(LEASE, self._fresh(), fenced=False)
            else:
                holder = self._observe(lease)
                if holder not in ("", self.identity) and not self._ran_out():
                    return holder
                await self._kube.replace(LEASE, self._taken(lease, holder), fenced=False)
        except BerthmasterError:
            return None  # who won, or that nobody answers, shows at the next attempt
        # Counted from before the request: whoever watches the Lease saw the change later than this.
        self._renewed_at = asked_at
        self.heard_at = self._clock()
        return self.identity

    def _observe(self, lease: Object) -> str:
        """Note when the record last changed on our clock; return its holder."""
        self.heard_at = self._clock()
        spec = lease.get("spec") or {}
        record = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if record != self._seen:
            self._seen, self._seen_at = record, self._clock()
        return _holder(lease)

    def _ran_out(self) -> bool:
        return self._clock() - self._seen_at >= self._timings.duration_seconds

    def _fresh(self) -> Object:
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.name,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._record(transitions=0) | {"acquireTime": _now()},
        }

    def _taken(self, lease: Object, holder: str) -> Object:
        spec = lease.get("spec") or {}
        transitions = int(spec.get("leaseTransitions") or 0)
        if holder == self.identity:
            lease["spec"] = spec | self._record(transitions)
        else:
            lease["spec"] = spec | self._record(transitions + 1) | {"acquireTime": _now()}
        return lease

    def _record(self, transitions: int) -> Object:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self._timings.duration_seconds),
            "renewTime": _now(),
            "leaseTransitions": transitions,
        }


def _holder(lease: Object) -> str:
    """Empty where nobody holds it."""
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def _now() -> str:
    """For people who look at the Lease; nobody decides by it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
