"""``/healthz``, ``/readyz`` and ``/metrics`` on one port. Liveness means that work is done, not that a port answers."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

LAG_PERIOD_SECONDS = 1.0

Runner: TypeAlias = web.AppRunner


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond these the process is stuck and better started anew."""

    oldest_key_seconds: float = 300.0
    """While the API server answers; while it does not, waiting is all that can be done."""
    loop_lag_seconds: float = 10.0
    """The event loop was blocked for so long: the Lease was in danger."""
    plan_seconds: float = 300.0
    """A plan takes seconds; one that takes minutes does not end."""
    silent_seconds: float = 60.0
    """A standby, or leader, that has not heard from the API server for so long is not ready."""


class LoopLag:
    """How late the event loop wakes up: how long something blocked it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def run(self, observe: Callable[[float], None]) -> None:
        """Measure; never returns."""
        loop = asyncio.get_running_loop()
        while True:
            asked = loop.time()
            await asyncio.sleep(LAG_PERIOD_SECONDS)
            self.seconds = max(0.0, loop.time() - asked - LAG_PERIOD_SECONDS)
            observe(self.seconds)


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the probes judge; None where a part has not started yet."""

    loop_lag_seconds: float
    answered_seconds_ago: float
    """Since the API server last answered."""
    oldest_key_seconds: float = 0.0
    plan_seconds: float | None = None
    """How long the plan under way takes already."""
    watching: bool = True
    """The watch streams' thread lives."""


def sickness(vitals: Vitals, limits: Limits) -> Sequence[str]:
    """Why the process should be started anew; empty while it is alive."""
    found = []
    reachable = vitals.answered_seconds_ago < limits.silent_seconds
    if reachable and vitals.oldest_key_seconds > limits.oldest_key_seconds:
        found.append(f"a key has waited for {vitals.oldest_key_seconds:.0f} s although the API server answers")
    if vitals.loop_lag_seconds > limits.loop_lag_seconds:
        found.append(f"the event loop was blocked for {vitals.loop_lag_seconds:.0f} s")
    if vitals.plan_seconds is not None and vitals.plan_seconds > limits.plan_seconds:
        found.append(f"a plan has been under way for {vitals.plan_seconds:.0f} s")
    if not vitals.watching:
        found.append("nothing watches the cluster any more")
    return found


def unreadiness(vitals: Vitals, limits: Limits) -> Sequence[str]:
    """Why this replica could neither lead nor take over now; empty while it could."""
    if vitals.answered_seconds_ago > limits.silent_seconds:
        return ("the API server does not answer",)
    return ()


async def serve(
    address: tuple[str | None, int],
    vitals: Callable[[], Vitals],
    registry: CollectorRegistry,
    *,
    limits: Limits,
    scrape: Callable[[], None],
) -> Runner:
    """Answer on ``address`` (host None: every one) until the returned runner is cleaned up.

    ``scrape`` is called before metrics are shown, to bring gauges up to date.
    """

    def answer(problems: Sequence[str]) -> web.Response:
        return web.Response(status=500 if problems else 200, text="\n".join(problems or ("ok",)) + "\n")

    async def healthz(_: web.Request) -> web.Response:
        return answer(sickness(vitals(), limits))

    async def readyz(_: web.Request) -> web.Response:
        return answer(unreadiness(vitals(), limits))

    async def metrics(_: web.Request) -> web.Response:
        scrape()
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, *address).start()
    return runner
