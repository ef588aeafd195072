"""What the fleet spends, to Prometheus: exact where a status is rounded. Every name and label is stable."""

from collections.abc import Iterable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge

from berth_cost.spending.anomaly import Anomaly
from berth_cost.spending.budget import BURN_RULES
from berth_cost.spending.ledger import Rates
from berth_operator.spending.budget_judgement import Judged

_OWNER = ["namespace", "workload"]
WINDOWS_HOURS = sorted({hours for rule in BURN_RULES for hours in (rule.long_hours, rule.short_hours)})


class SpendingMetrics:
    """Of budgets of whole namespaces the label ``workload`` is empty."""

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, namespace="berthmaster", registry=registry)
        counter = partial(Counter, namespace="berthmaster", registry=registry)
        self.cost_usd = counter("cost_usd", "What ran cost, since this process leads.", [*_OWNER, "pool"])
        self.cost_rate = gauge("cost_usd_per_hour", "What runs now costs an hour, by its pods on nodes.", _OWNER)
        self.unpriced = gauge("cost_unpriced_pools", "Pools in which something runs that nobody ever knew a price of.")
        self.anomalies = counter(
            "cost_anomalies", "Alarms of unusual cost, by what moved: Rate, Use or Mix.", [*_OWNER, "cause"]
        )
        self.budget = gauge("budget_usd", "The monthly budget.", _OWNER)
        self.spent = gauge("budget_spent_usd", "Spent in this month (UTC) up to the last full hour.", _OWNER)
        self.forecast = gauge("budget_forecast_usd", "Spent at the end of this month, as forecast.", _OWNER)
        self.burn_rate = gauge(
            "budget_burn_rate", "Times the even spend of the budget, over the last hours.", [*_OWNER, "window"]
        )
        self.burning = gauge(
            "budget_burning", "1 while both windows of a burn rule are above it.", [*_OWNER, "severity"]
        )
        self._rates: dict[str, float] = {}
        """USD an hour that are shown, by workload."""
        self._shown: set[str] = set()
        """Budgets that are shown."""
        self.unsaved = gauge("spending_unsaved_hours", "Closed hours that the ConfigMap does not have yet.")

    def show_rates(self, rates: Mapping[str, Rates], unpriced: int) -> None:
        """What runs now."""
        now = {key: rate.usd_per_hour for key, rate in rates.items()}
        for key, usd in now.items():
            if self._rates.get(key) != usd:
                self.cost_rate.labels(*owner(key)).set(usd)
        for key in self._rates.keys() - now.keys():
            self.cost_rate.remove(*owner(key))
        self._rates = now
        self.unpriced.set(unpriced)

    def show_budget(self, one: Judged) -> None:
        labels = owner(one.key)
        self._shown.add(one.key)
        self.budget.labels(*labels).set(float(one.budget_usd))
        self.spent.labels(*labels).set(float(one.state.spent_usd))
        self.forecast.labels(*labels).set(float(one.state.forecast_usd))
        for hours in WINDOWS_HOURS:
            rate = one.spend.burn_rate(hours, one.budget_usd)
            if rate is not None:
                self.burn_rate.labels(*labels, f"{hours}h").set(float(rate))
        for rule in BURN_RULES:
            self.burning.labels(*labels, severity(rule.page)).set(rule in one.state.burning)

    def forget_budgets_but(self, keys: Iterable[str]) -> None:
        """Of what is gone nothing is shown."""
        there = set(keys)
        for key in sorted(self._shown - there):
            for shown in (self.budget, self.spent, self.forecast, self.burn_rate, self.burning):
                shown.remove_by_labels(dict(zip(_OWNER, owner(key), strict=True)))
        self._shown &= there

    def count(self, anomaly: Anomaly) -> None:
        self.anomalies.labels(*owner(anomaly.service), anomaly.cause.value).inc()


def owner(key: str) -> tuple[str, str]:
    """Namespace and name of a workload's key."""
    namespace, _, name = key.partition("/")
    return namespace, name


def severity(page: bool) -> str:
    return "page" if page else "ticket"
