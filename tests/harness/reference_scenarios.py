"""Random cost scenarios, and what a reference library and plain arithmetic say about them.

Written from the definitions (docs/reference/cost-scenarios.md), not from the code under test: flows are built month by
month, present values and rates of return come from numpy-financial, and whether there is a rate of return at all from
counting the roots of the flows' polynomial.
"""

import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy_financial


@dataclass(frozen=True)
class Reference:
    """None: not defined."""

    total_usd: float
    npv_usd: float
    irr_percent: float | None
    roi_percent: float | None
    payback_months: float | None
    break_even_hours: float | None
    break_even_utilization_percent: float | None


def scenario(seed: int) -> dict[str, Any]:
    """An owned and a rented option, as a scenario file states them."""
    draw = random.Random(seed)
    horizon = draw.choice([12, 24, 36, 48, 60])
    life = draw.choice([horizon, 24, 36, 48, 60, 72])
    gpus = draw.choice([1, 8, 16, 64, 100, 512])
    owned: dict[str, Any] = {"lifeMonths": life, "residualPercent": str(draw.choice([0, 0, 10, 20, 35]))}
    if draw.random() < 0.5:
        owned["capexUSD"] = f"{draw.uniform(5_000, 60_000) * gpus:.2f}"
    else:
        owned["perNode"] = {"usd": f"{draw.uniform(100_000, 450_000):.2f}", "gpus": 8}
        if draw.random() < 0.5:
            owned["network"] = {"shareOfCapexPercent": f"{draw.uniform(1, 15):.1f}"}
    if draw.random() < 0.7:
        owned["opexUSDPerMonth"] = f"{draw.uniform(50, 500) * gpus:.2f}"
    if draw.random() < 0.5:
        idle = draw.uniform(0.1, 0.4) * gpus
        owned["power"] = {
            "idleKW": f"{idle:.3f}",
            "busyKW": f"{idle * draw.uniform(1.5, 4):.3f}",
            "pue": f"{draw.uniform(1, 1.8):.2f}",
            "usdPerKWh": f"{draw.uniform(0.03, 0.3):.4f}",
        }
    if draw.random() < 0.4:
        owned["staff"] = {"fullTimeEquivalents": f"{draw.uniform(0.1, 3):.2f}", "usdPerYear": "180000"}
    if draw.random() < 0.4:
        owned["maintenancePercentPerYear"] = f"{draw.uniform(1, 5):.1f}"
    rented: dict[str, Any] = {
        "usdPerGPUHour": f"{draw.uniform(0.5, 12):.3f}",
        "billed": draw.choice(["used", "provisioned"]),
    }
    if draw.random() < 0.3:
        rented["supportPercent"] = str(draw.choice([3, 5, 10]))
    if draw.random() < 0.3:
        rented["monthlyUSD"] = {"storage": f"{draw.uniform(10, 5000):.2f}"}
    if draw.random() < 0.2:
        rented["oneTimeUSD"] = {"setup": f"{draw.uniform(1000, 200_000):.2f}"}
    return {
        "horizonMonths": horizon,
        "hoursPerMonth": draw.choice(["720", "730"]),
        "discountRatePercent": draw.choice(["0", "4", "8", "10", "12.5", "20"]),
        "compounding": draw.choice(["monthly", "yearly"]),
        "demand": {"gpus": gpus, "utilizationPercent": f"{draw.uniform(5, 100):.1f}"},
        "baseline": "rented",
        "options": [{"name": "owned", "owned": owned}, {"name": "rented", "rented": rented}],
    }


def reference(stated: dict[str, Any]) -> Reference:
    """The figures of the owned option against the rented one."""
    horizon, hours = stated["horizonMonths"], float(stated["hoursPerMonth"])
    gpus, used = stated["demand"]["gpus"], float(stated["demand"]["utilizationPercent"]) / 100
    owned, rented = stated["options"][0]["owned"], stated["options"][1]["rented"]
    own, invested = _owned_flows(owned, horizon, hours, gpus, used)
    billed_hours = gpus * hours * (used if rented["billed"] == "used" else 1.0)
    rent_a_month = billed_hours * float(rented["usdPerGPUHour"]) + _sum(rented.get("monthlyUSD"))
    rent_a_month *= 1 + float(rented.get("supportPercent", 0)) / 100
    rent = np.array([_sum(rented.get("oneTimeUSD")), *[rent_a_month] * horizon])
    gained = rent - own
    rate = float(stated["discountRatePercent"]) / 100
    periods = gained
    periodic = (1 + rate) ** (1 / 12) - 1
    if stated["compounding"] == "yearly":
        periods = np.array([gained[0], *gained[1:].reshape(-1, 12).sum(axis=1)])
        periodic = rate
    found = _irr(periods)
    investment = invested - rent[0]
    saving = rent_a_month - own_running(owned, hours, gpus, used)
    payback = investment / saving if investment > 0 and saving > 0 else None
    a_gpu_hour = rent.sum() / (billed_hours * horizon)
    annual = None if found is None else ((1 + found) ** (12 if stated["compounding"] == "monthly" else 1) - 1) * 100
    return Reference(
        total_usd=own.sum(),
        npv_usd=float(numpy_financial.npv(periodic, periods)),
        irr_percent=annual,
        roi_percent=(rent.sum() - own.sum()) / investment * 100 if investment > 0 else None,
        payback_months=payback,
        break_even_hours=None if payback is None else payback * hours,
        break_even_utilization_percent=own.sum() / (gpus * hours * horizon * a_gpu_hour) * 100,
    )


def _sum(items: dict[str, str] | None) -> float:
    return sum(map(float, (items or {}).values()))


def capex(owned: dict[str, Any], gpus: int) -> float:
    if "capexUSD" in owned:
        return float(owned["capexUSD"])
    nodes = -(-gpus // owned["perNode"]["gpus"]) * float(owned["perNode"]["usd"])
    share = float(owned.get("network", {}).get("shareOfCapexPercent", 0)) / 100
    return nodes / (1 - share)


def own_running(owned: dict[str, Any], hours: float, gpus: int, used: float) -> float:
    usd = float(owned.get("opexUSDPerMonth", 0))
    if power := {name: float(value) for name, value in owned.get("power", {}).items()}:
        kw = used * power["busyKW"] + (1 - used) * power["idleKW"]
        usd += kw * power["pue"] * hours * power["usdPerKWh"]
    if staff := owned.get("staff"):
        usd += float(staff["fullTimeEquivalents"]) * float(staff["usdPerYear"]) / 12
    return usd + capex(owned, gpus) * float(owned.get("maintenancePercentPerYear", 0)) / 100 / 12


def _owned_flows(owned: dict[str, Any], horizon: int, hours: float, gpus: int, used: float) -> tuple[np.ndarray, float]:
    price, life = capex(owned, gpus), owned["lifeMonths"]
    residual = price * float(owned["residualPercent"]) / 100
    flows = np.array([0.0, *[own_running(owned, hours, gpus, used)] * horizon])
    bought = 0
    for month in range(0, horizon, life):
        flows[month] += price - (residual if month else 0.0)
        bought = month
    flows[horizon] -= price - (price - residual) * (horizon - bought) / life
    return flows, price


def _irr(flows: np.ndarray) -> float | None:
    """The library's, where exactly one positive root of the polynomial in 1 / (1 + rate) exists."""
    roots = np.roots(flows[::-1])
    real = roots[(abs(roots.imag) < 1e-7 * abs(roots)) & (roots.real > 1e-12)].real
    if len(real) != 1:
        return None
    rate = float(numpy_financial.irr(flows))
    # A library that starts near 10 % may miss a root far away; then the root itself counts.
    return rate if np.isfinite(rate) else float(1 / real[0] - 1)


def same(value: float | Decimal | None, expected: float | None, tolerance: float = 1e-5) -> bool:
    """Equal to six significant digits, as results are rounded; or both undefined."""
    if value is None or expected is None:
        return value is None and expected is None
    return abs(float(value) - expected) <= tolerance * max(abs(expected), 1e-3)
