"""Savings in a status: bounded, rounded to what matters, and silent where nothing changed."""

from datetime import date
from decimal import Decimal
from typing import Any

from berth_operator.saving_report import saving_statuses
from berth_scheduler.decision import Decision
from berth_scheduler.savings.saving import Baseline, Factor, Saving


def decision(*savings: Saving) -> Decision:
    return Decision(workload="a/b", placed=True, reason="Placed", message="", savings=savings, decision_hash="h")


def saving(baseline: Baseline, usd: str, saved: str, **parts: str) -> Saving:
    return Saving(
        baseline=baseline,
        what="3 × T4, fp16, on demand",
        usd_per_hour=Decimal(usd),
        saved_usd_per_hour=Decimal(saved),
        saved_percent=1.0,
        parts={Factor(name): Decimal(part) for name, part in parts.items()},
        price_date=date(2026, 11, 2),
    )


def shown(*savings: Saving) -> list[dict[str, Any]]:
    return [
        one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in saving_statuses(decision(*savings))
    ]


def test_a_saving_stands_with_its_parts_to_the_cent_and_they_add_up():
    found = shown(
        saving(Baseline.CONVENTIONAL, "2.104", "0.502987", GPU="-0.009556", CapacityType="0.787858", Price="-0.275315")
    )
    assert found == [
        {
            "against": "Conventional",
            "what": "3 × T4, fp16, on demand",
            "usdPerHour": "2.104",
            "savedUSDPerHour": "0.5",
            "parts": {"gpu": "-0.01", "capacityType": "0.79", "price": "-0.28"},
        }
    ]


def test_below_a_dollar_an_hour_more_digits_count():
    (found,) = shown(saving(Baseline.CONVENTIONAL, "0.526", "0.036123", GPU="0.036123"))
    assert (found["savedUSDPerHour"], found["parts"]) == ("0.0361", {"gpu": "0.0361"})


def test_what_runs_is_told_only_while_it_is_not_what_is_decided():
    assert shown(saving(Baseline.RUNNING, "1.00", "0")) == []
    assert shown(Saving(baseline=Baseline.RUNNING, unknown="nothing runs yet")) == []
    (found,) = shown(saving(Baseline.RUNNING, "4.00", "3.00", Replicas="3.00"))
    assert found == {"against": "Running", "usdPerHour": "4", "savedUSDPerHour": "3"}


def test_what_cannot_be_compared_says_why():
    (found,) = shown(Saving(baseline=Baseline.CONVENTIONAL, unknown="no price is known"))
    assert found == {"against": "Conventional", "unknown": "no price is known"}


def test_a_long_reason_is_cut_to_what_a_status_takes():
    (found,) = shown(Saving(baseline=Baseline.CONVENTIONAL, unknown="x " * 5000))
    assert 150 < len(found["unknown"]) <= 200
