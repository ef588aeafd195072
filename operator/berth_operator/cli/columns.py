"""Cells of tables: the short forms of GPUs, replicas, predictions and money."""

from collections.abc import Sequence
from decimal import Decimal

from berth_scheduler.decision import Decision, EnergyTotal
from berth_scheduler.savings.saving import Baseline
from berth_scheduler.savings.words import saving_of
from berth_scheduler.snapshot import Berth, CapacityType, Workload
from berth_scheduler.wording import dollars, duration_band, model_metric, number, unit_name

SHORT_METRICS = {
    "latencySeconds": "",
    "endToEndSeconds": "",
    "timeToFirstTokenSeconds": "TTFT ",
    "timePerOutputTokenSeconds": "TPOT ",
}
NOTHING = "–"


def gpu(berths: Sequence[Berth]) -> str:
    """``L4 Spot+OnDemand``, ``4×H100-SXM-80GB``; on demand alone goes without saying."""
    if not berths:
        return NOTHING
    first = berths[0]
    several = f"{first.tensor_parallel}×" if first.tensor_parallel > 1 else ""
    kinds = [kind for kind in CapacityType if any(berth.capacity_type is kind for berth in berths)]
    bought = "" if kinds == [CapacityType.ON_DEMAND] else " " + "+".join(reversed(kinds))
    return f"{several}{unit_name(first.gpu, first.mig_profile)}{bought}"


def precision(berths: Sequence[Berth]) -> str:
    return "+".join(dict.fromkeys(berth.precision for berth in berths)) or NOTHING


def replicas(berths: Sequence[Berth]) -> str:
    """``2+1``: by berth, in the order of :func:`gpu`'s capacity types."""
    order = list(CapacityType)
    ordered = sorted(berths, key=lambda berth: (-order.index(berth.capacity_type), berth.pool))
    return "+".join(str(berth.replicas) for berth in ordered) or NOTHING


def tightest(decision: Decision, workload: Workload) -> str:
    """The objective that is nearest to its limit on the pessimistic edge: ``TPOT p95 17.8 ms (9.42–34.2)``."""
    prediction = decision.prediction
    if prediction is None:
        return NOTHING
    shown, nearest = "", 0.0
    for ask in workload.latency:
        metric = model_metric(workload, ask.metric)
        points, bands = prediction.metrics.get(metric), prediction.band.get(metric)
        if isinstance(points, dict) and isinstance(bands, dict) and ask.statistic in points:
            low, high = bands[ask.statistic]
            if high / ask.limit_seconds >= nearest:
                nearest = high / ask.limit_seconds
                band = duration_band(points[ask.statistic], low, high)
                shown = f"{SHORT_METRICS[ask.metric]}{ask.statistic} {band}"
    return shown or utilisation(decision)


def utilisation(decision: Decision) -> str:
    used = decision.prediction.utilization if decision.prediction else None
    return f"{number(used * 100, 2)} % busy" if used is not None else NOTHING


def hourly(usd_per_hour: Decimal | None) -> str:
    return NOTHING if usd_per_hour is None else f"{dollars(usd_per_hour)}/h"


def difference(before: Decimal | None, after: Decimal | None) -> str:
    """``−$2.53/h``; nothing where nothing changed."""
    usd = (after or Decimal(0)) - (before or Decimal(0))
    return f"{'−' if usd < 0 else '+'}{dollars(abs(usd))}/h" if usd else ""


def energy(total: EnergyTotal) -> str:
    """``1,240 kWh a month (412 kg CO2e)``"""
    emitted = "" if total.kg_co2e_per_month is None else f" ({_amount(total.kg_co2e_per_month)} kg CO2e)"
    return f"{_amount(total.kwh_per_month)} kWh a month{emitted}"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else number(value)


def cost(decision: Decision) -> Decimal | None:
    return decision.cost.usd_per_hour if decision.cost else None


def saved(decision: Decision) -> str:
    """``64 %`` of what most people would pay, ``−12 %`` where it costs more; a dash where nobody knows."""
    saving = saving_of(decision.savings, Baseline.CONVENTIONAL)
    if saving is None or saving.saved_percent is None:
        return NOTHING
    percent = round(saving.saved_percent)
    return f"{'−' if percent < 0 else ''}{abs(percent)} %"


def change(before: Decimal, after: Decimal) -> str:
    """``−45 %``, ``+3.2 %``; nothing where nothing changed or there is nothing to compare with."""
    if not before or before == after:
        return ""
    percent = float((after - before) / before * 100)
    return f"{'+' if percent > 0 else '−'}{number(abs(percent), 2)} %"
