"""What the autoscaler is made of: what it keeps, shows, smoothes, times and marks."""

import math
from dataclasses import replace
from typing import Any

import pytest

from berth_operator import kinds
from berth_operator.api.conditions import ConditionType, Finding, Reason
from berth_operator.autoscaling.control_memory import is_worth_keeping, packed, unpacked
from berth_operator.autoscaling.leavers import leaving_first
from berth_operator.autoscaling.objectives import Patient
from berth_operator.autoscaling.smoothing import is_noticeable, observed, smoothed
from berth_operator.autoscaling.start_times import StartTimes
from berth_operator.mirror import Entry, entry_of
from berth_operator.signals.source import WorkloadSignals
from berth_scheduler.control.lead_forecast import BINS, DayProfile, Forecast
from berth_scheduler.control.replica_control import ControlState


def pod(name: str, node: str | None = "a", *, ready: str | None = None, made: str = "2026-11-21T12:00:00Z") -> Entry:
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": ready or made}
    gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    labels = {"app.kubernetes.io/managed-by": "berthmaster"}
    found = entry_of(
        kinds.POD,
        {
            "metadata": {"name": name, "namespace": "n", "uid": name, "creationTimestamp": made, "labels": labels},
            "spec": {"containers": [gpu], **({"nodeName": node} if node else {})},
            "status": {"phase": "Running", "conditions": [condition]},
        },
    )
    assert found is not None
    return found


def signals(at_seconds: float, rate: float | None, **more: Any) -> WorkloadSignals:
    return WorkloadSignals(at_seconds=at_seconds, age_seconds=1.0, requests_per_second=rate, **more)


SOUND = packed(ControlState())


class TestMemory:
    def test_what_was_learned_comes_back_and_the_recent_past_does_not(self) -> None:
        bins = tuple(None if place % 7 == 0 else place / 10 for place in range(BINS))
        forecast = Forecast(
            at_seconds=5.0, edge=9.0, samples=(1.0, 2.0), error=0.08, long_error=0.12, z=4.5, profile=DayProfile(bins)
        )
        state = ControlState(total=7, forecast=forecast, wanted=((1.0, 7),), trusted_since=0.0, correction=0.83)
        text = packed(state)
        kept = unpacked(text)
        assert len(text) <= 900
        assert kept is not None
        assert kept.correction == pytest.approx(0.83)
        assert (kept.forecast.error, kept.forecast.z) == (pytest.approx(0.08), pytest.approx(4.5))
        assert kept.forecast.profile.bins[0] is None
        assert kept.forecast.profile.bins[100] == pytest.approx(10.0, rel=1e-3)
        assert (kept.total, kept.wanted, kept.trusted_since, kept.forecast.samples) == (None, (), None, ())
        assert packed(replace(kept, total=7)) == text

    @pytest.mark.parametrize(
        "text", ["", "%%%", "AAAA", packed(ControlState())[:-8], "AA" + packed(ControlState())[2:]]
    )
    def test_garbage_is_as_if_nothing_had_been_kept(self, text: str) -> None:
        assert unpacked(text) is None

    def test_numbers_that_are_none_are_not_taken_over(self) -> None:
        assert unpacked(packed(ControlState(correction=math.nan))) is None
        assert unpacked(packed(ControlState(correction=40.0))) is None

    def test_a_moved_correction_is_kept_soon_and_noise_never(self) -> None:
        kept = ControlState(correction=0.9)
        assert is_worth_keeping(ControlState(correction=0.86), kept, 1.0)
        assert not is_worth_keeping(ControlState(correction=0.91), kept, 1e9)

    def test_a_changed_profile_is_kept_some_times_a_day(self) -> None:
        busy = ControlState(forecast=Forecast(profile=DayProfile((4.0,) * BINS)))
        assert not is_worth_keeping(busy, ControlState(), 3600.0)
        assert is_worth_keeping(busy, ControlState(), 7 * 3600.0)
        noisy = ControlState(forecast=Forecast(profile=DayProfile((4.3,) * BINS)))
        assert not is_worth_keeping(noisy, busy, 7 * 3600.0)


class TestSmoothing:
    def test_a_step_is_taken_in_over_five_minutes(self) -> None:
        mean = signals(0.0, 100.0)
        for tick in range(1, 31):
            mean = smoothed(mean, signals(tick * 10.0, 200.0))
        assert mean.requests_per_second == pytest.approx(200 - 100 * math.exp(-1))

    def test_what_is_not_measured_now_is_absent(self) -> None:
        assert smoothed(signals(0.0, 1.0, utilization=0.5), signals(10.0, None)).utilization is None

    def test_after_a_long_silence_it_begins_anew(self) -> None:
        assert smoothed(signals(0.0, 100.0), signals(1000.0, 200.0)).requests_per_second == 200.0

    def test_numbers_are_shown_to_two_digits_and_renewed_when_they_are_off(self) -> None:
        shown = observed(signals(0.0, 123.4, utilization=0.456, latency_seconds={"ttft.p95": 0.1234}), 98, 41)
        assert (shown.requests_per_second, shown.utilization_percent) == (120, 46)
        assert shown.time_to_first_token is not None
        assert shown.time_to_first_token.p95_milliseconds == 120
        before = observed(signals(0.0, 120.0, utilization=0.45), 98, 41)
        assert not is_noticeable(observed(signals(0.0, 130.0, utilization=0.5), 98, 41), before)
        assert is_noticeable(observed(signals(0.0, 150.0, utilization=0.45), 98, 41), before)
        assert is_noticeable(observed(signals(0.0, None, utilization=0.45), 98, 41), before)


class TestStartTimes:
    def test_pods_that_are_seen_to_start_are_timed(self) -> None:
        times = StartTimes()
        times.look([pod("one"), pod("two")])
        assert times.seconds is None
        times.look([pod("one", ready="2026-11-21T12:00:40Z"), pod("two", ready="2026-11-21T12:01:00Z")])
        assert times.seconds == 50.0

    def test_a_probe_that_failed_once_is_no_start(self) -> None:
        times = StartTimes(30.0)
        times.look([pod("old", ready="2026-11-21T18:00:00Z")])
        assert times.seconds == 30.0


class TestLeavers:
    def test_who_does_not_serve_goes_first_then_whose_node_comes_free_then_the_youngest(self) -> None:
        ready = "2026-11-21T12:00:10Z"
        shared = [pod("old", "a", ready=ready), pod("young", "a", ready=ready, made="2026-11-21T13:00:00Z")]
        alone = pod("alone", "b", ready=ready, made="2026-11-20T12:00:00Z")
        starting, waiting = pod("starting", "a"), pod("waiting", None)
        every = [*shared, alone, starting, waiting]
        assert [each.name for each in leaving_first(every, every)] == ["waiting", "starting", "alone", "young", "old"]


class TestPatience:
    def test_what_flickers_is_not_said(self) -> None:
        good = Finding(ConditionType.SLO_MET, "True", Reason.OBJECTIVES_MET, "fine")
        bad = Finding(ConditionType.SLO_MET, "False", Reason.OBJECTIVE_BROKEN, "p99 is 61 ms")
        patient = Patient(good)
        assert patient.hear(bad, 0.0, 60.0) is good
        assert patient.hear(good, 30.0, 60.0) is good
        assert patient.hear(bad, 60.0, 60.0) is good
        assert patient.hear(bad, 119.0, 60.0) is good
        assert patient.hear(bad, 120.0, 60.0) is bad

    def test_of_one_reason_the_first_message_stands(self) -> None:
        first = Finding(ConditionType.SLO_MET, "False", Reason.OBJECTIVE_BROKEN, "p99 is 61 ms")
        patient = Patient(first)
        assert patient.hear(replace(first, message="p99 is 62 ms"), 1e6, 0.0) is first
