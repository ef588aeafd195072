"""One leader at a time: timings on a virtual clock, freezes, losses and clocks that differ."""

import asyncio
from collections.abc import Callable

import pytest

from berth_operator import kinds
from berth_operator.errors import Conflict, LostLeadership, Unavailable
from berth_operator.lease import Elector, Timings
from fake_kube import FakeKube

pytestmark = pytest.mark.looptime


def elector(kube: FakeKube, identity: str, clock: Callable[[], float] | None = None) -> Elector:
    return Elector(
        kube,
        namespace="system",
        name="berthmaster",
        identity=identity,
        clock=clock or asyncio.get_running_loop().time,
    )


def holder(kube: FakeKube) -> str:
    return str(kube.only(kinds.LEASE)["spec"]["holderIdentity"])


async def test_the_first_takes_a_lease_that_nobody_has_at_once() -> None:
    kube = FakeKube()
    one = elector(kube, "one")
    assert not one.still_held()
    await one.acquire()
    assert one.still_held()
    assert holder(kube) == "one"


async def test_a_second_waits_as_long_as_the_first_renews() -> None:
    kube, told = FakeKube(), []
    one, two = elector(kube, "one"), elector(kube, "two")
    await one.acquire()
    holding = asyncio.create_task(one.hold())
    waiting = asyncio.create_task(two.acquire(told.append))
    await asyncio.sleep(120)
    assert one.still_held()
    assert not waiting.done()
    assert not two.still_held()
    assert told == ["one"]
    for task in (holding, waiting):
        task.cancel()


@pytest.mark.parametrize("lived_seconds", [60.3, 61.0, 61.9])
@pytest.mark.parametrize("behind_seconds", [0.0, 0.7, 1.3])
async def test_a_dead_leader_is_replaced_once_its_lease_ran_out_and_a_second_later_at_most(
    lived_seconds: float, behind_seconds: float
) -> None:
    """15 s from its last renewal, which was up to 2 s before its end, and is seen up to 1 s after it was made."""
    kube = FakeKube()
    one, two = elector(kube, "one"), elector(kube, "two")
    await one.acquire()
    holding = asyncio.create_task(one.hold())
    await asyncio.sleep(behind_seconds)
    waiting = asyncio.create_task(two.acquire())
    await asyncio.sleep(lived_seconds - behind_seconds)
    holding.cancel()
    died_at = asyncio.get_running_loop().time()
    await waiting
    taken_after = asyncio.get_running_loop().time() - died_at
    assert 13 <= taken_after <= 16.1
    assert kube.only(kinds.LEASE)["spec"]["leaseTransitions"] == 1
    assert not one.still_held()


async def test_a_leader_that_cannot_renew_may_not_write_after_10_seconds_and_gives_up() -> None:
    kube = FakeKube()
    one = elector(kube, "one")
    await one.acquire()
    kube.fail(Unavailable("gone"), times=1000)
    holding = asyncio.create_task(one.hold())
    await asyncio.sleep(9.9)
    assert one.still_held()
    await asyncio.sleep(0.2)
    assert not one.still_held()
    with pytest.raises(LostLeadership):
        async with asyncio.timeout(3):
            await holding


async def test_there_is_never_a_moment_in_which_two_may_write() -> None:
    kube = FakeKube()
    one, two = elector(kube, "one"), elector(kube, "two")
    await one.acquire()
    await asyncio.sleep(1.5)  # the leader is cut off right after its first renewal
    waiting = asyncio.create_task(two.acquire())
    for _ in range(400):
        await asyncio.sleep(0.1)
        assert not (one.still_held() and two.still_held())
    assert waiting.done()
    assert two.still_held() or not one.still_held()


async def test_a_leader_that_was_frozen_and_thaws_does_not_write_and_does_not_take_the_lease_back() -> None:
    kube, frozen_seconds = FakeKube(), 0.0
    loop = asyncio.get_running_loop()
    one = elector(kube, "one", clock=lambda: loop.time() + frozen_seconds)
    two = elector(kube, "two")
    await one.acquire()
    await two_takes_over(two)
    frozen_seconds = 20.0  # its own clock runs on while it is stopped
    assert not one.still_held()
    with pytest.raises(LostLeadership):
        await one.hold()
    assert holder(kube) == "two"


async def two_takes_over(two: Elector) -> None:
    async with asyncio.timeout(20):
        await two.acquire()


async def test_who_finds_the_lease_taken_by_another_gives_up_at_once() -> None:
    kube = FakeKube()
    one = elector(kube, "one")
    await one.acquire()
    kube.change(kinds.LEASE, "berthmaster", "system", lambda each: each["spec"].update(holderIdentity="two"))
    with pytest.raises(LostLeadership, match="two"):
        await one.hold()
    assert not one.still_held()


async def test_a_clock_that_is_an_hour_off_in_the_lease_changes_nothing() -> None:
    kube = FakeKube()
    one, two = elector(kube, "one"), elector(kube, "two")
    await one.acquire()
    kube.change(
        kinds.LEASE, "berthmaster", "system", lambda each: each["spec"].update(renewTime="1999-01-01T00:00:00.000000Z")
    )
    waiting = asyncio.create_task(two.acquire())
    await asyncio.sleep(14)
    assert not waiting.done(), "an old time written in it does not make a lease run out"
    await asyncio.sleep(4)
    assert waiting.done()


async def test_releasing_hands_over_at_once() -> None:
    kube = FakeKube()
    one, two = elector(kube, "one"), elector(kube, "two")
    await one.acquire()
    waiting = asyncio.create_task(two.acquire())
    await asyncio.sleep(3)
    await one.release()
    assert not one.still_held()
    await asyncio.sleep(Timings().retry_seconds + 0.1)
    assert waiting.done()
    assert holder(kube) == "two"


async def test_two_that_ask_at_the_same_time_do_not_both_get_it() -> None:
    kube = FakeKube()
    one, two = elector(kube, "one"), elector(kube, "two")
    await one.acquire()
    await one.release()
    kube.fail(Conflict("raced"), verb="UPDATE")
    tasks = [asyncio.create_task(each.acquire()) for each in (one, two)]
    await asyncio.sleep(1)
    assert one.still_held() + two.still_held() <= 1
    for task in tasks:
        task.cancel()
