"""How every budget stands at the end of an hour: worked out for the whole fleet at once. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from berth_cost.spending.budget import BURN_RULES, BudgetState, Spend, budget_state, expected_spend, total
from berth_cost.spending.ledger import Ledger, Rates

RECENT_HOURS = max(rule.long_hours for rule in BURN_RULES)
_NOTHING = Rates()


@dataclass(frozen=True, slots=True)
class Judged:
    """One budget. ``key``: ``namespace/name``, or ``namespace/`` of the budget of a whole namespace."""

    key: str
    budget_usd: Decimal
    spend: Spend
    state: BudgetState


@dataclass(frozen=True, slots=True)
class Budgets:
    """All that there are, by workload and by namespace."""

    workloads: Mapping[str, Decimal] = field(default_factory=dict)
    namespaces: Mapping[str, Decimal] = field(default_factory=dict)

    def covers(self, key: str) -> bool:
        """Whether a workload has one: its own, or its namespace's."""
        return key in self.workloads or namespace_of(key) in self.namespaces


def namespace_of(key: str) -> str:
    return key.partition("/")[0]


def spends(
    ledger: Ledger, keys: Sequence[str], rates: Mapping[str, Rates], *, gone: frozenset[str] = frozenset()
) -> dict[str, Spend]:
    """Of the workloads ``keys``, which have accounts. What is ``gone`` will spend nothing more."""
    accounts = [ledger.accounts[key] for key in keys]
    hourly = [account.hours.usd() for account in accounts]
    now = [0.0 if key in gone else round(rates.get(key, _NOTHING).usd_per_hour, 6) for key in keys]
    known = [[] if key in gone else each for key, each in zip(keys, hourly, strict=True)]
    expected = expected_spend(known, ledger.hours_left, now)
    return {
        key: Spend(account.month_usd, tuple(map(_money, each[-RECENT_HOURS:])), usd)
        for key, account, each, usd in zip(keys, accounts, hourly, expected, strict=True)
    }


def judged(found: Mapping[str, Spend], budgets: Budgets) -> list[Judged]:
    """Every budget, those of namespaces last; workloads that spent nothing yet are not judged."""
    members: dict[str, list[Spend]] = {namespace: [] for namespace in budgets.namespaces}
    for key, spend in found.items():
        if namespace_of(key) in members:
            members[namespace_of(key)].append(spend)
    own = [_judged(key, budget, found[key]) for key, budget in budgets.workloads.items() if key in found]
    return [*own, *(_judged(f"{name}/", budget, total(members[name])) for name, budget in budgets.namespaces.items())]


def _judged(key: str, budget_usd: Decimal, spend: Spend) -> Judged:
    return Judged(key, budget_usd, spend, budget_state(spend, budget_usd))


def _money(usd: float) -> Decimal:
    """Of a sum of numbers of six digits, without what adding floats leaves behind."""
    return Decimal(f"{usd:.12g}")
