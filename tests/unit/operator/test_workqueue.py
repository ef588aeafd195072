"""Work is proportional to keys, never doubled, never lost, and a failing key keeps nobody waiting."""

import asyncio

import pytest

from berth_operator.workqueue import Backoff, Cause, QueueClosed, WorkQueue, resync

pytestmark = pytest.mark.looptime


def steady() -> float:
    return 0.0


async def taken(queue: WorkQueue, within: float = 1) -> str | None:
    try:
        async with asyncio.timeout(within):
            return (await queue.take()).key
    except TimeoutError:
        return None


async def test_a_key_added_many_times_is_handed_out_once_with_all_its_causes() -> None:
    queue = WorkQueue()
    for cause in (Cause.CHANGE, Cause.PLAN, Cause.CHANGE):
        queue.add("a", cause)
    item = await queue.take()
    assert (item.key, item.causes, item.attempt) == ("a", {Cause.CHANGE, Cause.PLAN}, 1)
    assert await taken(queue) is None


async def test_a_key_added_while_it_is_worked_on_comes_once_more_afterwards_and_not_before() -> None:
    queue = WorkQueue()
    queue.add("a", Cause.CHANGE)
    await queue.take()
    queue.add("a", Cause.PLAN)
    queue.add("a", Cause.CHANGE)
    assert await taken(queue) is None
    queue.succeeded("a")
    item = await queue.take()
    assert item.causes == {Cause.PLAN, Cause.CHANGE}
    queue.succeeded("a")
    assert await taken(queue) is None


async def test_keys_come_in_the_order_in_which_they_were_added() -> None:
    queue = WorkQueue()
    for key in "cab":
        queue.add(key, Cause.CHANGE)
    assert [await taken(queue) for _ in range(3)] == ["c", "a", "b"]


async def test_failures_double_the_pause_up_to_five_minutes_and_a_success_resets_it() -> None:
    loop = asyncio.get_running_loop()
    queue = WorkQueue(Backoff(1, 300), draw=steady)
    queue.add("a", Cause.CHANGE)
    pauses = []
    for attempt in range(1, 12):
        item = await queue.take()
        assert item.attempt == attempt
        failed_at = loop.time()
        queue.failed("a")
        async with asyncio.timeout(1000):
            while queue.depth == 0:
                await asyncio.sleep(0.25)
        pauses.append(round(loop.time() - failed_at))
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    await queue.take()
    queue.succeeded("a")
    queue.add("a", Cause.CHANGE)
    assert (await queue.take()).attempt == 1


async def test_jitter_shortens_a_pause_by_at_most_a_half() -> None:
    assert [Backoff(1, 300).seconds(3, jitter) for jitter in (0, 0.5, 1)] == [4, 3, 2]


async def test_a_server_that_asks_for_more_patience_gets_it() -> None:
    queue = WorkQueue(Backoff(1, 300), draw=steady)
    queue.add("a", Cause.CHANGE)
    await queue.take()
    assert queue.failed("a", after_seconds=40) == 40
    assert await taken(queue, 39) is None
    assert await taken(queue, 2) == "a"


async def test_news_cuts_a_backoff_short_but_a_resync_does_not() -> None:
    queue = WorkQueue(Backoff(100, 300), draw=steady)
    queue.add("a", Cause.CHANGE)
    await queue.take()
    queue.failed("a")
    queue.add("a", Cause.RESYNC)
    assert await taken(queue) is None
    queue.add("a", Cause.CHANGE)
    assert await taken(queue) == "a"
    queue.succeeded("a")
    assert await taken(queue, 200) is None, "the timer of the backoff is gone"


async def test_a_failing_key_keeps_nobody_waiting() -> None:
    queue = WorkQueue(Backoff(100, 300), draw=steady)
    for key in ("bad", "good"):
        queue.add(key, Cause.CHANGE)
    await queue.take()
    queue.failed("bad")
    assert await taken(queue) == "good"


async def test_of_two_timers_the_earlier_counts() -> None:
    queue = WorkQueue()
    queue.add_after("a", 10)
    queue.add_after("a", 20)
    assert await taken(queue, 11) == "a"
    queue.succeeded("a")
    queue.add_after("a", 20)
    queue.add_after("a", 10)
    assert await taken(queue, 11) == "a"
    queue.succeeded("a")
    assert await taken(queue, 30) is None


async def test_the_oldest_age_counts_waiting_and_working_keys_but_no_backing_off_ones() -> None:
    queue = WorkQueue(Backoff(500, 500), draw=steady)
    assert queue.oldest_seconds() == 0
    queue.add("a", Cause.CHANGE)
    await asyncio.sleep(7)
    assert queue.oldest_seconds() == pytest.approx(7)
    await queue.take()
    await asyncio.sleep(3)
    assert queue.oldest_seconds() == pytest.approx(3)
    queue.failed("a")
    await asyncio.sleep(3)
    assert queue.oldest_seconds() == 0
    assert (queue.depth, queue.retrying) == (0, 1)


async def test_closing_wakes_every_worker_and_hands_out_nothing_more() -> None:
    queue = WorkQueue()
    waiting = [asyncio.create_task(queue.take()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.close()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in results] == [QueueClosed] * 3
    queue.add("a", Cause.CHANGE)
    with pytest.raises(QueueClosed):
        await queue.take()


async def test_a_resync_adds_every_key_once_in_a_window_and_spreads_them() -> None:
    queue = WorkQueue()
    keys = [f"key-{n}" for n in range(10)]
    task = asyncio.create_task(resync(queue, lambda: keys, 100, draw=lambda: 0.5))
    await asyncio.sleep(51)
    assert queue.depth == 5
    await asyncio.sleep(50)
    assert queue.depth == 10
    task.cancel()


async def test_no_key_is_ever_worked_on_twice_at_a_time_or_forgotten() -> None:
    queue = WorkQueue(Backoff(1, 8), draw=steady)
    working: set[str] = set()
    seen: dict[str, int] = {}

    async def work(number: int) -> None:
        while True:
            item = await queue.take()
            assert item.key not in working
            working.add(item.key)
            await asyncio.sleep(0.1 * number)
            working.discard(item.key)
            seen[item.key] = seen.get(item.key, 0) + 1
            if seen[item.key] % 3 == 1:
                queue.failed(item.key)
            else:
                queue.succeeded(item.key)

    tasks = [asyncio.create_task(work(number)) for number in (1, 2, 3)]
    for step in range(40):
        queue.add(f"key-{step * 7 % 11}", Cause.CHANGE)
        await asyncio.sleep(0.05)
    await asyncio.sleep(100)
    assert (queue.depth, queue.retrying, queue.oldest_seconds()) == (0, 0, 0)
    assert set(seen) == {f"key-{n}" for n in range(11)}
    for task in tasks:
        task.cancel()
