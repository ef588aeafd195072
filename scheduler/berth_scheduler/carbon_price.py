"""What emissions count when candidates are ranked: the policy's price of carbon on what a replica emits in an hour.

It orders what may be chosen and is in no cost: nobody is billed for it. Grams are those of
:mod:`berth_scheduler.footprint`: predicted GPU energy at the planned rate × PUE × intensity of the grid. A grid that
nobody knows counts as the dirtiest of the table, and a draw that nobody knows as the most of the workload's candidates:
what is not known must not win by that.
"""

from decimal import Decimal
from functools import cache

import numpy as np
from numpy.typing import NDArray

from berth_cost.performance.prediction_table import SCALAR
from berth_cost.rounding import significant
from berth_cost.spending.carbon import CarbonTable
from berth_scheduler.footprint import JOULES_PER_KWH, grams_per_joule
from berth_scheduler.groups import Groups, Matter, rows_that_batch
from berth_scheduler.snapshot import Policy

Floats = NDArray[np.float64]

GRAMS_PER_TONNE = 1e6
SECONDS_PER_HOUR = 3600.0


def carbon_usd_per_replica_hour(matter: Matter, groups: Groups, policy: Policy) -> Floats:
    """(lots,) of those that passed, when all replicas of their group share the rate; 0 for the others, and for all
    where the policy has no price."""
    lots = matter.lots
    usd = np.zeros(len(lots))
    price = float(policy.carbon_usd_per_tonne or Decimal(0))
    asked = np.flatnonzero(groups.counts & (matter.cell >= 0))
    if not price or not len(asked):
        return usd
    workload, group = lots.workload[asked], groups.of_lot[asked]
    rate = np.array([one.traffic.requests_per_second for one in lots.workloads])[workload] / groups.replicas[group]
    rows = rows_that_batch(workload, matter.cell[asked], groups.needed[group], lots, matter.sizing)
    joules = matter.sizing.predict(rows, rate).point["joulesPerRequest"][SCALAR]
    grams = _known(joules * rate * SECONDS_PER_HOUR, workload) * _grams_per_joule(matter)[lots.offer[asked]]
    usd[asked] = significant(grams / GRAMS_PER_TONNE * price)
    return usd


def _known(joules: Floats, workload: NDArray[np.int64]) -> Floats:
    """nan as the most of the same workload; 0 where nothing is known of any of its candidates."""
    most = np.zeros(int(workload.max()) + 1)
    np.maximum.at(most, workload, np.nan_to_num(joules))
    return np.where(np.isnan(joules), most[workload], joules)


def _grams_per_joule(matter: Matter) -> Floats:
    """By offer."""
    known = np.array([grams_per_joule(offer.pool.site) for offer in matter.lots.supply.offers])
    return np.where(np.isnan(known), _dirtiest_grams_per_joule(), known)


@cache
def _dirtiest_grams_per_joule() -> float:
    table = CarbonTable.load_builtin()
    grams = max(one.grams_per_kwh for one in (*table.regions.values(), *table.countries.values()))
    pue = max(value for value, _ in table.fleet_pue.values())
    return grams * pue / JOULES_PER_KWH
