"""Steps from what runs to what is decided: never without what serves, and always on to the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_operator.rollout import Observed, Phase, Running, Step, Wanted, advance
from berth_scheduler.decision import Transition

DRAIN = 10.0


def up(name: str, replicas: int = 2, ready: int | None = None, **more: object) -> Running:
    return Running(name, name.partition("-")[0], replicas, replicas if ready is None else ready, **more)  # type: ignore[arg-type]


def wanted(transition: Transition = Transition.SWITCH, *, recreate: bool = False, **replicas: int) -> Wanted:
    """``wanted(new_l4=2)`` wants Deployment ``new-l4`` of revision ``new`` with two replicas."""
    names = {name.replace("_", "-"): count for name, count in replicas.items()}
    revision = next(iter(names)).partition("-")[0]
    return Wanted(revision, names, transition, recreate)


def step(want: Wanted, *deployments: Running, serving: str | None, seconds: float = 0, **more: object) -> Step:
    observed = Observed(deployments, serving, seconds, **more)  # type: ignore[arg-type]
    return advance(want, observed, drain_seconds=DRAIN)


def test_where_nothing_runs_everything_is_made_and_served_from_the_start() -> None:
    assert step(wanted(new_l4=2), serving=None) == Step(
        Phase.STARTING, "new", apply=("new-l4",), scale=(("new-l4", 2),)
    )


def test_what_runs_as_decided_is_settled_and_asks_for_nothing() -> None:
    found = step(wanted(new_l4=2), up("new-l4"), serving="new", seconds=99)
    assert (found.phase, found.scale, found.delete) == (Phase.SETTLED, (), ())


def test_a_new_revision_starts_beside_the_one_that_serves() -> None:
    found = step(wanted(new_l4=2), up("old-t4"), serving="old")
    assert found == Step(Phase.SWITCHING, "old", apply=("new-l4",), scale=(("new-l4", 2),))


def test_the_service_stays_until_every_replica_of_every_berth_is_ready() -> None:
    want = wanted(new_l4=2, new_spot=1)
    for new in (
        [up("new-l4", 2, 1), up("new-spot", 1)],
        [up("new-l4", 2)],
        [up("new-l4", 2), up("new-spot", 1, seen=False)],
        [up("new-l4", 2), up("new-spot", 1, updated=False)],
    ):
        assert step(want, up("old-t4"), *new, serving="old").serving == "old"
    found = step(want, up("old-t4"), up("new-l4", 2), up("new-spot", 1), serving="old")
    assert (found.serving, found.delete) == ("new", ()), "it moves, and nothing is taken away yet"


def test_the_service_never_moves_to_a_revision_without_a_ready_replica() -> None:
    found = step(wanted(new_l4=2), up("old-t4"), up("new-l4", 0, 0, other_owner="kubectl", owned=False), serving="old")
    assert found.serving == "old"


def test_the_old_revision_goes_after_clients_had_the_time_to_notice() -> None:
    running = (up("old-t4"), up("new-l4"))
    early = step(wanted(new_l4=2), *running, serving="new", seconds=4)
    assert (early.phase, early.delete, early.look_again_seconds) == (Phase.DRAINING, (), 6)
    late = step(wanted(new_l4=2), *running, serving="new", seconds=10)
    assert (late.phase, late.delete) == (Phase.DRAINING, ("old-t4",))


def test_without_room_for_both_the_new_revision_is_not_started() -> None:
    found = step(wanted(Transition.WAIT, new_l4=2), up("old-t4"), serving="old")
    assert found == Step(Phase.WAITING, "old")


def test_who_waits_behind_a_revision_that_has_been_dead_for_long_need_not_wait() -> None:
    found = step(wanted(Transition.WAIT, new_l4=2), up("old-t4", 2, 0, dead=True), serving="old")
    assert (found.phase, found.delete) == (Phase.STOPPING, ("old-t4",))


def test_recreate_stops_the_old_revision_first_and_waits_for_its_pods() -> None:
    want = wanted(Transition.RECREATE, recreate=True, new_l4=2)
    first = step(want, up("old-t4"), serving="old", pods_of=frozenset({"old"}))
    assert first == Step(Phase.STOPPING, "old", delete=("old-t4",))
    planned_anew = wanted(Transition.NONE, recreate=True, new_l4=2)
    second = step(planned_anew, serving="old", pods_of=frozenset({"old"}))
    assert (second.phase, second.apply) == (Phase.STOPPING, ())
    third = step(planned_anew, serving="old")
    assert (third.phase, third.serving, third.apply) == (Phase.STARTING, "new", ("new-l4",))


def test_who_opted_in_to_recreate_does_not_wait_for_pods_that_find_no_node() -> None:
    running = (up("old-t4"), up("new-l4", 2, 0))
    stuck = {"unschedulable": frozenset({"new"})}
    assert step(wanted(new_l4=2), *running, serving="old", **stuck).delete == ()
    assert step(wanted(recreate=True, new_l4=2), *running, serving="old", **stuck).delete == ("old-t4",)


def test_a_revision_that_was_started_and_is_not_wanted_any_more_goes_at_once() -> None:
    found = step(wanted(newest_l4=2), up("old-t4"), up("new-l4", 2, 0), serving="old")
    assert (found.delete, found.apply, found.serving) == (("new-l4",), ("newest-l4",), "old")


def test_going_back_to_the_revision_that_still_runs_moves_the_service_back_at_once() -> None:
    found = step(wanted(old_t4=2), up("old-t4"), up("new-l4"), serving="new")
    assert (found.serving, found.delete) == ("old", ())


def test_berths_of_one_revision_are_added_before_others_are_removed() -> None:
    want = wanted(Transition.NONE, new_spot=3)
    assert step(want, up("new-l4", 3), serving="new", seconds=99) == Step(
        Phase.RESIZING, "new", apply=("new-spot",), scale=(("new-spot", 3),)
    )
    partly = step(want, up("new-l4", 3), up("new-spot", 3, 2), serving="new", seconds=99)
    assert partly.delete == ()
    done = step(want, up("new-l4", 3), up("new-spot", 3), serving="new", seconds=99)
    assert done.delete == ("new-l4",)


def test_a_berth_shrinks_only_when_what_is_added_elsewhere_is_ready() -> None:
    want = wanted(Transition.NONE, new_l4=1, new_spot=3)
    early = step(want, up("new-l4", 4), up("new-spot", 3, 0), serving="new", seconds=99)
    assert early.scale == ()
    late = step(want, up("new-l4", 4), up("new-spot", 3), serving="new", seconds=99)
    assert late.scale == (("new-l4", 1),)


def test_berths_trade_places_one_replica_at_a_time_where_there_is_no_room_for_both() -> None:
    want = wanted(new_stated=2)
    found = step(want, up("new-stated", 2, 1), up("new-found", 2), serving="new", seconds=99)
    assert (found.phase, found.scale, found.delete) == (Phase.RESIZING, (("new-found", 1),), ())
    found = step(want, up("new-stated", 2, 0), up("new-found", 2), serving="new", seconds=99)
    assert found.scale == (), "nothing can be spared yet"
    found = step(want, up("new-stated", 2, 1), up("new-found", 2, seen=False), serving="new", seconds=99)
    assert found.scale == (), "the counts may be older than what was asked for last"


def test_a_berth_alone_shrinks_at_once() -> None:
    assert step(wanted(Transition.NONE, new_l4=1), up("new-l4", 4), serving="new", seconds=99).scale == (("new-l4", 1),)


def test_replicas_that_somebody_else_set_are_left_alone_and_count_as_they_are() -> None:
    taken = up("new-l4", 5, other_owner="kubectl", owned=False)
    found = step(wanted(Transition.NONE, new_l4=2), taken, serving="new", seconds=99)
    assert (found.phase, found.scale) == (Phase.SETTLED, ())


def test_replicas_that_were_handed_back_are_ours_again() -> None:
    handed_back = up("new-l4", 2, other_owner="kubectl", owned=True)
    assert not handed_back.taken(2)
    assert handed_back.taken(3), "but what somebody else owns too is not overwritten"


def test_replicas_that_nobody_owns_are_owned_although_the_number_is_right() -> None:
    found = step(wanted(Transition.NONE, new_l4=2), up("new-l4", 2, owned=False), serving="new", seconds=99)
    assert found.scale == (("new-l4", 2),)


def test_without_a_service_the_revision_with_ready_replicas_is_the_one_to_serve() -> None:
    assert step(wanted(new_l4=2), up("old-t4"), up("new-l4", 2, 0), serving=None).serving == "old"
    assert step(wanted(new_l4=2), up("old-t4", 2, 0), up("new-l4", 2, 0), serving=None).serving == "new"


# --- a cluster that does what it is told, late -----------------------------------------------------------------------


@dataclass
class Cluster:
    """Deployments, a Service and pods that become ready or go a step after they were asked to."""

    replicas: dict[str, int] = field(default_factory=dict)
    ready: dict[str, int] = field(default_factory=dict)
    serving: str | None = None
    since: float = 0
    now: float = 0
    leaving: set[str] = field(default_factory=set)

    def observe(self) -> Observed:
        deployments = tuple(
            Running(name, name.partition("-")[0], count, min(count, self.ready.get(name, 0)))
            for name, count in sorted(self.replicas.items())
        )
        pods = {name.partition("-")[0] for name in (*self.replicas, *self.leaving)}
        return Observed(deployments, self.serving, self.now - self.since, frozenset(pods))

    def carry_out(self, found: Step, writes: int) -> int:
        """The first ``writes`` writes of a step; returns how many of them it had."""
        acts = [("apply", name) for name in found.apply if name not in self.replicas]
        acts += [("scale", name) for name, _ in found.scale]
        acts += [("serve", found.serving)] if found.serving != self.serving else []
        acts += [("delete", name) for name in found.delete if name in self.replicas]
        for action, name in acts[:writes]:
            if action == "apply":
                self.replicas[name] = 1
            elif action == "scale" and name in self.replicas:
                self.replicas[name] = dict(found.scale)[name]
            elif action == "serve":
                self.serving, self.since = name, self.now
            elif action == "delete":
                del self.replicas[name]
                self.ready.pop(name, None)
                self.leaving.add(name)
        return len(acts)

    def pass_time(self) -> None:
        self.now += 3
        self.leaving.clear()
        for name, count in self.replicas.items():
            self.ready[name] = min(count, self.ready.get(name, 0) + 1)

    def behind_service(self) -> int:
        return sum(
            min(count, self.ready.get(name, 0))
            for name, count in self.replicas.items()
            if name.partition("-")[0] == self.serving
        )


BERTHS = st.dictionaries(st.sampled_from(["t4", "l4", "spot"]), st.integers(1, 3), min_size=1)
GOALS = st.lists(st.tuples(st.sampled_from(["red", "green", "blue"]), BERTHS), min_size=1, max_size=4)


def goal(revision: str, berths: Mapping[str, int], transition: Transition) -> Wanted:
    return Wanted(revision, {f"{revision}-{name}": count for name, count in berths.items()}, transition)


@settings(max_examples=300)
@given(GOALS, st.lists(st.integers(0, 4), max_size=30), st.data())
def test_whatever_is_decided_and_whenever_the_operator_dies_it_gets_there_and_something_always_serves(
    goals: list[tuple[str, dict[str, int]]], writes: list[int], data: st.DataObject
) -> None:
    cluster, serves = Cluster(), False
    for number, (revision, berths) in enumerate(goals):
        want = goal(revision, berths, data.draw(st.sampled_from([Transition.SWITCH, Transition.NONE])))
        patience = 200 if number == len(goals) - 1 else data.draw(st.integers(0, 12))
        for _ in range(patience):
            found = advance(want, cluster.observe(), drain_seconds=DRAIN)
            allowed = writes.pop() if writes else 99
            survived = cluster.carry_out(found, allowed) <= allowed
            if serves:
                assert cluster.behind_service() > 0
            cluster.pass_time()
            serves = serves or cluster.behind_service() > 0
            if found.phase is Phase.SETTLED and survived and patience == 200:
                break
    assert found.phase is Phase.SETTLED
    assert cluster.replicas == dict(want.replicas)
    assert cluster.serving == want.revision


@given(BERTHS, BERTHS)
def test_a_change_of_berths_alone_never_goes_below_what_both_need(
    before: dict[str, int], after: dict[str, int]
) -> None:
    cluster = Cluster()
    for berths in (before, after):
        want, least = goal("red", berths, Transition.NONE), min(sum(before.values()), sum(after.values()))
        for _ in range(60):
            found = advance(want, cluster.observe(), drain_seconds=DRAIN)
            cluster.carry_out(found, 99)
            if berths is after:
                assert cluster.behind_service() >= least
            cluster.pass_time()
        assert found.phase is Phase.SETTLED


@pytest.mark.parametrize("transition", list(Transition))
def test_a_settled_workload_stays_settled_whatever_the_transition_is_called(transition: Transition) -> None:
    found = step(replace(wanted(new_l4=2), transition=transition), up("new-l4"), serving="new", seconds=99)
    assert (found.scale, found.delete) == ((), ())
