"""Savings as people read them."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from berth_scheduler.savings.saving import Baseline, Factor, Saving, SavingTotal
from berth_scheduler.wording import dollars, number

BASELINES = {
    Baseline.RUNNING: "what runs now",
    Baseline.CONVENTIONAL: "on demand, fp16, static peak on the GPU that most people take",
}
FACTORS = {
    Factor.GPU: "GPU",
    Factor.PRECISION: "precision",
    Factor.GPU_AND_PRECISION: "GPU with precision",
    Factor.REPLICAS: "replicas",
    Factor.CAPACITY_TYPE: "how it is bought",
    Factor.PRICE: "region and price",
}


def signed_dollars(usd: Decimal) -> str:
    """``$1.05``, ``−$0.28``"""
    return f"−{dollars(-usd)}" if usd < 0 else dollars(usd)


def change_phrase(usd: Decimal, percent: float | None) -> str:
    """``saves $2.55/h (63 %)``, ``costs $0.30/h more (12 %)``, ``costs the same``"""
    if not usd:
        return "costs the same"
    share = f" ({number(abs(percent), 2)} %)" if percent is not None else ""
    return f"saves {dollars(usd)}/h{share}" if usd > 0 else f"costs {dollars(-usd)}/h more{share}"


def parts_phrase(parts: Mapping[Factor, Decimal]) -> str:
    """``GPU with precision $2.55, region and price −$0.28``; empty where there is nothing to tell."""
    return ", ".join(f"{FACTORS[factor]} {signed_dollars(usd)}" for factor, usd in _told(parts))


def _told(parts: Mapping[Factor, Decimal]) -> Iterator[tuple[Factor, Decimal]]:
    """Those worth a word: at least a fiftieth of the largest."""
    least = max((abs(part) for part in parts.values()), default=Decimal(0)) / 50
    return ((factor, parts[factor]) for factor in Factor if factor in parts and abs(parts[factor]) >= least)


def saving_phrase(saving: Saving) -> str:
    """``4 × A10G, fp16, on demand: $4.02/h; saves $2.55/h (63 %): GPU with precision $2.55``"""
    if saving.usd_per_hour is None or saving.saved_usd_per_hour is None:
        return f"not known: {saving.unknown}"
    change = change_phrase(saving.saved_usd_per_hour, saving.saved_percent)
    parts = parts_phrase(saving.parts)
    return f"{saving.what}: {dollars(saving.usd_per_hour)}/h; {change}{f': {parts}' if parts else ''}"


def total_phrase(total: SavingTotal) -> str:
    """``Against what runs now ($36.98/h) the plan saves $2.53/h (6.8 %): GPU $2.53.``"""
    of = f", {total.workloads} of {total.workloads + total.left_out} workloads" if total.left_out else ""
    change = change_phrase(total.saved_usd_per_hour, total.saved_percent)
    parts = parts_phrase(total.parts)
    baseline = f"{BASELINES[total.baseline]} ({dollars(total.usd_per_hour)}/h{of})"
    return f"Against {baseline} the plan {change}{f': {parts}' if parts else ''}."


def saving_of(savings: Sequence[Saving], baseline: Baseline) -> Saving | None:
    return next((one for one in savings if one.baseline is baseline), None)
