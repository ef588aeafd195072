"""Prices and capacity may flap as they like: right-sizing does not oscillate."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from berth_scheduler.right_sizing.assessment import Assessment, Proposal, SizingReason
from berth_scheduler.right_sizing.course import MEMORY, Course, Pace, Phase, Sight, advance
from berth_scheduler.snapshot import Berth, CapacityType, Sharing, configuration_of

START = datetime(2026, 11, 2, tzinfo=UTC)
GPUS = ("A100-SXM-80GB", "H100-PCIe-80GB", "L4", "L40S")
STEP = timedelta(minutes=10)
DAYS = 10


def berth(gpu: str) -> Berth:
    return Berth(
        pool=gpu.lower(),
        gpu=gpu,
        sharing=Sharing.EXCLUSIVE,
        capacity_type=CapacityType.ON_DEMAND,
        precision="fp16",
        tensor_parallel=1,
        gpus_per_replica=1,
        instances_per_gpu=1,
        maximum_batch_size=8,
        maximum_queue_delay_microseconds=0,
        replicas=1,
    )


def assessment(serving: str, usd: dict[str, float], there: set[str]) -> Assessment:
    """What an assessment says of one replica of any GPU at these prices, of GPUs that have room."""
    now = usd[serving]
    cheaper = sorted((usd[gpu], gpu) for gpu in there if gpu != serving and usd[gpu] <= 0.9 * now)
    proposals = [
        Proposal(
            berths=(berth(gpu),),
            usd_per_hour=Decimal(f"{price:.4f}"),
            saving_usd_per_month=Decimal(f"{(now - price) * 730:.2f}"),
            saving_percent=(1 - price / now) * 100,
            change_over_usd=Decimal("0.1"),
            payback_hours=0.1,
            interruptions_per_day=0,
            same_revision=False,
        )
        for price, gpu in cheaper
    ]
    return Assessment(
        workload="w",
        mode="Auto",
        reason=SizingReason.CHEAPER_BERTH if proposals else SizingReason.RIGHT_SIZED,
        message="",
        basis="stated",
        requests_per_second=1,
        berths=(berth(serving),),
        usd_per_hour=Decimal(f"{now:.4f}"),
        proposal=proposals[0] if proposals else None,
        others=tuple(proposals[1:]),
    )


def run(seed: int, hold_steps: int, breaks: float) -> tuple[list[datetime], int]:
    """Ten days of prices and capacity drawn anew every ``hold_steps``; the moves, and the most steps that one took."""
    draw = Random(seed)
    usd, there = dict.fromkeys(GPUS, 1.0), set(GPUS)
    serving, course = GPUS[0], Course(planning_hash="a")
    moves: list[datetime] = []
    longest = under_way = 0
    for step in range(int(timedelta(days=DAYS) / STEP)):
        now = START + step * STEP
        if step % hold_steps == 0:
            usd = {gpu: draw.uniform(0.5, 5.0) for gpu in GPUS}
            there = {gpu for gpu in GPUS if draw.random() < 0.7}
        broken = course.phase is Phase.PROBATION and draw.random() < breaks
        sight = Sight(
            "a", "Auto", 10, configuration_of([berth(serving)]), not broken, assessment=assessment(serving, usd, there)
        )
        course = advance({"w": course}, {"w": sight}, now, Pace()).courses["w"]
        if course.destination is not None and course.destination.gpu in there:
            serving = course.destination.gpu
            moves.append(now)
        under_way = under_way + 1 if course.under_way else 0
        longest = max(longest, under_way)
    return moves, longest


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), hold_steps=st.integers(1, 144))
def test_flaps_of_prices_and_capacity_move_a_workload_only_so_often(seed: int, hold_steps: int) -> None:
    moves, longest = run(seed, hold_steps, breaks=0.0)
    # After a move 6 h, then 12, 24, 48, 96: the sixth within a week would be 186 hours after the first.
    for first in moves:
        assert sum(first <= one < first + MEMORY for one in moves) <= 5
    # An hour to arrive and half an hour of probation, each seen a step late.
    assert longest * STEP <= timedelta(minutes=60 + 30 + 30)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), hold_steps=st.integers(1, 144))
def test_objectives_that_break_send_it_back_once_a_week_at_most_for_every_place(seed: int, hold_steps: int) -> None:
    moves, _ = run(seed, hold_steps, breaks=1.0)
    for first in moves:
        # There and back. Where home is full when it would go back, it stays, and home is one more place to go to.
        assert sum(first <= one < first + MEMORY for one in moves) <= 2 * len(GPUS)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_flaps_faster_than_it_settles_moves_nothing(seed: int) -> None:
    """Room that is there for less than half an hour is not worth a move."""
    draw = Random(seed)
    usd = {"A100-SXM-80GB": 4.0, "L4": 1.0}
    course, step = Course(planning_hash="a"), 0
    while step < 500:
        for room, longest in ((True, 3), (False, 20)):
            for _ in range(draw.randint(1, longest)):
                now, there = START + step * STEP, {"L4"} if room else set()
                found = assessment("A100-SXM-80GB", usd, there)
                sight = Sight("a", "Auto", 10, configuration_of([berth("A100-SXM-80GB")]), assessment=found)
                course = advance({"w": course}, {"w": sight}, now, Pace()).courses["w"]
                assert course.phase is Phase.IDLE
                step += 1
