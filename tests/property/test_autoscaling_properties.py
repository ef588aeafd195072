"""What holds of the autoscaler in the operator, whatever is measured."""

import asyncio
import math
from typing import Any

import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_operator import kinds
from followed_fleet import FollowedFleet, ScriptedSource, cluster, workload

MOST = 6
NODES = 5

number = st.one_of(st.none(), st.floats(0, 5e3), st.sampled_from([math.nan, math.inf, -1.0, 1e300, 0.0]))
measured = st.fixed_dictionaries(
    {
        "requests_per_second": number,
        "utilization": st.one_of(st.none(), st.floats(0, 1), st.just(math.nan)),
        "pending_requests": number,
        "age_seconds": st.sampled_from([0.0, 20.0, 3600.0, math.inf]),
        "latency_seconds": st.dictionaries(
            st.sampled_from(["latency.p99", "latency.p50", "nonsense"]), st.floats(), max_size=2
        ),
    }
)
tick = st.one_of(st.none(), measured, measured, st.just("down"), st.just("restart"))


@given(st.lists(tick, min_size=1, max_size=8))
@settings(max_examples=12, deadline=None)
def test_never_above_the_maximum_nor_the_room_and_no_fall_within_the_window(script: list[Any]) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    asyncio.run(played(script))


async def played(script: list[Any]) -> None:
    kube, source = cluster(NODES), ScriptedSource()
    kube.put(kinds.WORKLOAD, workload(replicas={"maximum": MOST}))
    fleet = FollowedFleet(kube, source)
    await fleet.settle()
    before = fleet.replicas()
    for said in script:
        source.problem = "down" if said == "down" else ""
        source.signals.clear()
        if isinstance(said, dict):
            source.signals["vision", "resnet"] = said
        if said == "restart":
            fleet.start()
        await fleet.round()
        now = fleet.replicas()
        # Eight ticks are less than the stabilisation window: whatever was measured, nothing falls.
        assert before <= now <= min(MOST, NODES)
        before = now
    assert fleet.result.planned["vision/resnet"].decision.placed
