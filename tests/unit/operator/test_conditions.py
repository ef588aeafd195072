import ast
import inspect
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_operator.api import conditions
from berth_operator.api.conditions import (
    NEEDS_A_PERSON,
    POOL_CONDITIONS,
    WORKLOAD_CONDITIONS,
    ConditionType,
    Finding,
    Reason,
    as_json,
    cut,
    merge,
    read_conditions,
    with_summary,
)
from berth_operator.api.status import Condition
from berth_scheduler.decision import Verdict

EARLIER = datetime(2026, 11, 2, 8, 0, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 2, 9, 30, 15, 250_000, tzinfo=UTC)
ACCEPTED = Finding(ConditionType.ACCEPTED, "True", Reason.SPEC_ACCEPTED)
PLACED = Finding(ConditionType.PLACED, "True", Reason.PLACED, "on 3 × L4")
READY = Finding(ConditionType.READY, "True", Reason.REVISION_AVAILABLE)


def condition(kind: ConditionType, status: str, reason: Reason, message: str = "", generation: int = 1) -> Condition:
    return Condition.model_validate(
        {
            "type": kind.value,
            "status": status,
            "reason": reason.value,
            "message": message,
            "observedGeneration": generation,
            "lastTransitionTime": EARLIER,
        }
    )


def by_type(found: tuple[Condition, ...]) -> dict[str, Condition]:
    return {each.type: each for each in found}


def test_all_conditions_are_there_from_the_first_visit_on() -> None:
    found = merge((), (ACCEPTED,), always=WORKLOAD_CONDITIONS, generation=1, now=NOW)
    assert [each.type for each in found] == [kind.value for kind in WORKLOAD_CONDITIONS]
    assert {(each.status, each.reason) for each in found if each.type != "Accepted"} == {("Unknown", "Pending")}


def test_pools_have_their_own() -> None:
    found = merge((), (), always=POOL_CONDITIONS, generation=1, now=NOW)
    assert [each.type for each in found] == ["Priced", "Matched"]


def test_the_transition_time_moves_when_the_status_flips() -> None:
    old = (condition(ConditionType.PLACED, "False", Reason.INSUFFICIENT_CAPACITY),)
    (placed,) = merge(old, (PLACED,), always=(), generation=2, now=NOW)
    assert placed.last_transition_time == NOW.replace(microsecond=0)


def test_the_transition_time_stays_while_only_the_words_change() -> None:
    old = (condition(ConditionType.PLACED, "True", Reason.KEPT, "on 2 × L4"),)
    (placed,) = merge(old, (PLACED,), always=(), generation=2, now=NOW)
    assert placed.last_transition_time == EARLIER
    assert (placed.reason, placed.message, placed.observed_generation) == ("Placed", "on 3 × L4", 2)


def test_nothing_new_gives_equal_conditions_so_that_nothing_is_written() -> None:
    findings = with_summary((ACCEPTED, PLACED), READY)
    first = merge((), findings, always=WORKLOAD_CONDITIONS, generation=1, now=EARLIER)
    assert merge(first, findings, always=WORKLOAD_CONDITIONS, generation=1, now=NOW) == first
    assert (
        merge(
            read_conditions({"conditions": as_json(first)}), findings, always=WORKLOAD_CONDITIONS, generation=1, now=NOW
        )
        == first
    )


def test_what_is_not_looked_at_now_stays_as_it_was() -> None:
    old = (condition(ConditionType.SLO_MET, "True", Reason.NOT_MEASURED, generation=1),)
    found = by_type(merge(old, (ACCEPTED,), always=WORKLOAD_CONDITIONS, generation=2, now=NOW))
    assert found["SLOMet"] == old[0]


@pytest.mark.parametrize("kind", [ConditionType.RECONCILING, ConditionType.STALLED])
def test_reconciling_and_stalled_are_there_only_while_true(kind: ConditionType) -> None:
    old = (condition(kind, "True", Reason.PODS_STARTING),)
    assert merge(old, (), always=(), generation=1, now=NOW) == ()
    assert merge(old, (Finding(kind, "False", Reason.PODS_STARTING),), always=(), generation=1, now=NOW) == ()
    assert len(merge(old, (Finding(kind, "True", Reason.PODS_STARTING),), always=(), generation=1, now=NOW)) == 1


def test_conditions_keep_one_order_whatever_order_they_are_found_in() -> None:
    findings = with_summary((ACCEPTED, PLACED), Finding(ConditionType.READY, "False", Reason.PODS_STARTING))
    one = merge((), findings, always=WORKLOAD_CONDITIONS, generation=1, now=NOW)
    other = merge((), tuple(reversed(findings)), always=WORKLOAD_CONDITIONS, generation=1, now=NOW)
    assert one == other


def test_times_are_written_in_utc_to_the_second() -> None:
    now = NOW.astimezone(timezone(timedelta(hours=2)))
    (written,) = as_json(merge((), (PLACED,), always=(), generation=1, now=now))
    assert written == {
        "type": "Placed",
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-02T09:30:15Z",
        "reason": "Placed",
        "message": "on 3 × L4",
    }


def summary(*findings: Finding, rollout: Finding) -> dict[str, tuple[str, str]]:
    wanted = {"Ready", "Reconciling", "Stalled"}
    return {f.type.value: (f.status, f.reason.value) for f in with_summary(findings, rollout) if f.type.value in wanted}


def test_ready_when_placed_and_fully_available() -> None:
    assert summary(ACCEPTED, PLACED, rollout=READY) == {"Ready": ("True", "RevisionAvailable")}


def test_pods_that_start_come_right_by_themselves() -> None:
    starting = Finding(ConditionType.READY, "False", Reason.PODS_STARTING, "2 of 3 ready")
    assert summary(ACCEPTED, PLACED, rollout=starting) == {
        "Ready": ("False", "PodsStarting"),
        "Reconciling": ("True", "PodsStarting"),
    }


def test_an_impossible_objective_needs_a_person_although_the_old_revision_serves_in_full() -> None:
    impossible = Finding(ConditionType.PLACED, "False", Reason.NO_FEASIBLE_CANDIDATE, "p99 ≤ 5 ms is out of reach")
    assert summary(ACCEPTED, impossible, rollout=READY) == {
        "Ready": ("False", "NoFeasibleCandidate"),
        "Stalled": ("True", "NoFeasibleCandidate"),
    }


def test_short_capacity_may_pass_by_itself() -> None:
    short = Finding(ConditionType.PLACED, "False", Reason.INSUFFICIENT_CAPACITY)
    assert summary(ACCEPTED, short, rollout=READY)["Reconciling"] == ("True", "InsufficientCapacity")


def test_the_first_obstacle_is_the_reason() -> None:
    unknown = Finding(ConditionType.ACCEPTED, "False", Reason.UNKNOWN_PRESET)
    conflict = Finding(ConditionType.READY, "False", Reason.NAME_CONFLICT)
    assert summary(unknown, rollout=conflict)["Stalled"] == ("True", "UnknownPreset")


def test_before_anything_is_known_it_is_being_worked_on() -> None:
    starting = Finding(ConditionType.READY, "False", Reason.PODS_STARTING)
    assert summary(rollout=starting) == {"Ready": ("Unknown", "Pending"), "Reconciling": ("True", "Pending")}


@given(
    accepted=st.sampled_from(["True", "False", "Unknown"]),
    placed=st.sampled_from(["True", "False", "Unknown"]),
    available=st.sampled_from(["True", "False", "Unknown"]),
    reason=st.sampled_from(list(Reason)),
)
def test_of_ready_reconciling_and_stalled_exactly_one_is_true(
    accepted: conditions.Status, placed: conditions.Status, available: conditions.Status, reason: Reason
) -> None:
    findings = with_summary(
        (Finding(ConditionType.ACCEPTED, accepted, reason), Finding(ConditionType.PLACED, placed, reason)),
        Finding(ConditionType.READY, available, reason),
    )
    true = [
        f.type.value for f in findings if f.status == "True" and f.type.value in ("Ready", "Reconciling", "Stalled")
    ]
    assert len(true) == 1
    assert (true == ["Ready"]) == (accepted == placed == available == "True")


def test_a_long_message_is_cut_at_a_word() -> None:
    message = "word " * 60
    assert cut(message) == "word " * 39 + "…"
    assert len(cut(message)) <= 200


def test_a_message_is_one_line_and_a_short_one_stays_as_it_is() -> None:
    assert cut("refused:\n  spec: no") == "refused: spec: no"
    assert cut("x" * 200) == "x" * 200


@given(st.text(max_size=600))
def test_no_message_is_longer_than_allowed(message: str) -> None:
    assert len(cut(message)) <= 200
    assert "\n" not in cut(message)


def test_what_is_no_condition_in_a_stored_status_is_as_if_it_had_never_been_written() -> None:
    kept = {
        "type": "Ready",
        "status": "True",
        "reason": "RevisionAvailable",
        "lastTransitionTime": "2026-11-02T08:00:00Z",
    }
    stored = {"conditions": [kept, {"type": "Ready"}, "nonsense", {**kept, "type": "Other"}, {**kept, "status": "yes"}]}
    assert [each.type for each in read_conditions(stored)] == ["Ready"]
    assert read_conditions(None) == read_conditions({"conditions": "none"}) == ()


def test_every_verdict_of_a_plan_is_a_reason() -> None:
    assert {verdict.value for verdict in Verdict} <= {reason.value for reason in Reason}


def test_every_reason_fits_the_api_and_says_what_it_means() -> None:
    for reason in Reason:
        Condition.model_validate(
            {"type": "Ready", "status": "True", "reason": reason.value, "lastTransitionTime": EARLIER}
        )
    assert set(Reason) >= NEEDS_A_PERSON
    body = next(
        node.body
        for node in ast.parse(inspect.getsource(conditions)).body
        if isinstance(node, ast.ClassDef) and node.name == "Reason"
    )
    for member, described in pairwise(body):
        if isinstance(member, ast.Assign):
            assert isinstance(described, ast.Expr), f"{ast.unparse(member)} has no line that says what it means"
