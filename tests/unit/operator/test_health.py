"""Alive means that work gets done; ready means that the API server is heard."""

import asyncio
import time

import aiohttp
import pytest

from berth_operator.health import Limits, LoopLag, Vitals, serve, sickness, unreadiness
from berth_operator.metrics import Metrics

LIMITS = Limits()
WELL = Vitals(loop_lag_seconds=0, answered_seconds_ago=1)


def vitals(**more: object) -> Vitals:
    from dataclasses import replace

    return replace(WELL, **more)  # type: ignore[arg-type]


def test_an_idle_process_is_well() -> None:
    assert (list(sickness(WELL, LIMITS)), list(unreadiness(WELL, LIMITS))) == ([], [])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"oldest_key_seconds": 301}, "a key has waited"),
        ({"loop_lag_seconds": 11}, "event loop"),
        ({"plan_seconds": 301}, "a plan"),
        ({"watching": False}, "watches"),
    ],
)
def test_what_is_stuck_is_said(more: dict[str, object], said: str) -> None:
    (found,) = sickness(vitals(**more), LIMITS)
    assert said in found


def test_a_queue_that_waits_for_an_api_server_is_not_stuck_but_not_ready_either() -> None:
    found = vitals(oldest_key_seconds=9999, answered_seconds_ago=61)
    assert (list(sickness(found, LIMITS)), len(unreadiness(found, LIMITS))) == ([], 1)


async def test_the_port_answers_probes_and_prometheus() -> None:
    now, scraped, metrics = [WELL], [], Metrics()
    runner = await serve(
        ("127.0.0.1", 0), lambda: now[0], metrics.registry, limits=LIMITS, scrape=lambda: scraped.append(True)
    )
    (address,) = runner.addresses
    async with aiohttp.ClientSession(f"http://127.0.0.1:{address[1]}") as session:
        for path in ("/healthz", "/readyz"):
            async with session.get(path) as answer:
                assert (answer.status, await answer.text()) == (200, "ok\n")
        now[0] = vitals(watching=False)
        async with session.get("/healthz") as answer:
            assert (answer.status, "watches" in await answer.text()) == (500, True)
        metrics.observe_request("GET", "Pod", "200", 0.1)
        async with session.get("/metrics") as answer:
            assert 'berthmaster_api_requests_total{code="200",kind="Pod",verb="GET"} 1.0' in await answer.text()
    assert scraped == [True]
    await runner.cleanup()


async def test_a_blocked_event_loop_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("berth_operator.health.LAG_PERIOD_SECONDS", 0.05)
    lag, seen = LoopLag(), []
    task = asyncio.create_task(lag.run(seen.append))
    await asyncio.sleep(0.01)
    time.sleep(0.3)
    await asyncio.sleep(0.01)
    assert lag.seconds > 0.2
    task.cancel()
