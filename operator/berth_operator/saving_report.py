"""What a status says of savings: no more than changes with the decision, so that an idle fleet is not written to."""

from decimal import Decimal

from berth_operator.api.v1alpha1 import SavingParts, SavingStatus
from berth_scheduler.decision import Decision
from berth_scheduler.savings.saving import Baseline, Factor, Saving
from berth_scheduler.wording import shortened

CENT = Decimal("0.01")
SMALL = Decimal(1)
FINE = Decimal("0.0001")
"""Of what costs less than a dollar an hour."""
LONGEST = 64
"""Characters of a baseline: a status has eight kilobytes for everything."""


def saving_statuses(decision: Decision) -> tuple[SavingStatus, ...]:
    """One a baseline, in their order; what runs is left out where it is what is decided, or not known."""
    return tuple(_status(one) for one in told_savings(decision))


def told_savings(decision: Decision) -> tuple[Saving, ...]:
    """Those that a status tells; the others come and go with the pods, and are not worth a look."""
    return tuple(one for one in decision.savings if one.baseline is not Baseline.RUNNING or one.saved_usd_per_hour)


def _status(saving: Saving) -> SavingStatus:
    if saving.usd_per_hour is None or saving.saved_usd_per_hour is None:
        return SavingStatus(against=saving.baseline.value, unknown=shortened(saving.unknown or ""))
    step = CENT if saving.usd_per_hour >= SMALL else FINE
    saved = saving.saved_usd_per_hour.quantize(step)
    parts = {factor: part.quantize(step) for factor, part in saving.parts.items()}
    if parts:
        largest = max(parts, key=lambda factor: abs(parts[factor]))
        parts[largest] += saved - sum(parts.values(), Decimal(0))
    told = {factor: part for factor, part in parts.items() if part}
    running = saving.baseline is Baseline.RUNNING  # what it is stands in the cluster, and its parts in berth explain
    return SavingStatus(
        against=saving.baseline.value,
        what=None if running else (saving.what or "")[:LONGEST],
        usd_per_hour=saving.usd_per_hour,
        saved_usd_per_hour=saved,
        parts=_parts(told) if told and not running else None,
    )


def _parts(parts: dict[Factor, Decimal]) -> SavingParts:
    return SavingParts(
        gpu=parts.get(Factor.GPU),
        precision=parts.get(Factor.PRECISION),
        gpu_and_precision=parts.get(Factor.GPU_AND_PRECISION),
        replicas=parts.get(Factor.REPLICAS),
        capacity_type=parts.get(Factor.CAPACITY_TYPE),
        price=parts.get(Factor.PRICE),
    )
