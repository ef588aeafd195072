"""What the platform team sets, in one YAML file given by ``--settings``. Every default is one to run with.

Unknown keys are refused with their path: a misspelt setting that is silently ignored is worse than a failed start.
"""

import math
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from berth_cost.document import DocumentError
from berth_cost.record import Record
from berth_operator.catalogues import Catalogues
from berth_operator.errors import InvalidSettings
from berth_operator.platform import Platform
from berth_scheduler.snapshot import Policy

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class CatalogueFiles(Record):
    """Users' own documents on top of the built-in catalogues; a later entry of the same name wins."""

    gpus: Path | None = None
    """GPU descriptions."""
    models: Path | None = None
    """Model presets."""
    prices: Path | None = None
    """Prices."""

    def load(self) -> Catalogues:
        """The built-in catalogues with these on top; raises InvalidSettings with every flaw of every file."""
        try:
            return Catalogues.built_in().with_files(
                gpus=[self.gpus] if self.gpus else (),
                models=[self.models] if self.models else (),
                prices=[self.prices] if self.prices else (),
            )
        except (DocumentError, OSError) as error:
            raise InvalidSettings(f"catalogues: {error}") from error


class LeaseSettings(Record):
    """Who leads. The defaults are those of Kubernetes' own controllers; all replicas must agree on them."""

    name: Annotated[str, Field(min_length=1, max_length=253)] = "berthmaster"
    """Two operators with different names do not know of each other and fight over every workload that both watch."""
    namespace: str | None = None
    """By default the operator's own, from the environment variable POD_NAMESPACE, else ``default``."""
    duration_seconds: Seconds = 15
    """Others wait so long after the last sign of a leader: shorter is a faster take-over, and one more reason to lose
    the Lease to a slow API server."""
    renew_deadline_seconds: Seconds = 10
    """The leader gives up, and its process ends, so long after its last renewal. The difference to the duration is the
    margin in which two leaders cannot both write."""
    retry_seconds: Seconds = 2
    """Between renewals; who waits for it reads twice as often. Each renewal is a write to etcd, the only one of an idle
    fleet."""

    @property
    def home(self) -> str:
        """The namespace of the Lease, and of what the leader keeps."""
        return self.namespace or os.environ.get("POD_NAMESPACE") or "default"

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.retry_seconds < self.renew_deadline_seconds < self.duration_seconds:
            raise ValueError("retrySeconds < renewDeadlineSeconds < durationSeconds must hold")
        return self


class PlanningSettings(Record):
    """When changes are planned."""

    idle_seconds: Annotated[float, Field(ge=0, le=600)] = 1
    """Changes are collected until nothing happened for this long. Shorter answers a single change sooner; longer plans
    a burst of them once."""
    longest_seconds: Seconds = 10
    """But never longer than this after the first of them, however restless the cluster is."""
    rest_factor: Annotated[float, Field(ge=0, le=100)] = 1
    """After a plan that took t seconds, rest t × this: 1 keeps planning below half a core in a restless cluster."""


class RightSizingSettings(Record):
    """How calmly right-sizing goes, for the whole fleet; what a workload allows stands in its spec."""

    review_seconds: Seconds = 300
    """All workloads are asked once in this time whether another berth would do for less: a second plan each time where
    traffic was observed."""
    least_observed_hours: Annotated[float, Field(ge=0.1, le=24)] = 24
    """Observed traffic counts from then on. Less than a day may have missed its peak."""
    settle_seconds: Annotated[float, Field(ge=0, le=86_400)] = 1800
    """How long a proposal must stand before it is recommended: a flap of prices or capacity is not worth a word."""
    move_seconds: Seconds = 3600
    """A move that has not arrived by then, for want of room or because its pods do not start, is given up."""
    probation_seconds: Seconds = 1800
    """After a move, an objective that breaks within this time takes the workload back. Nobody else moves meanwhile."""
    cool_down_seconds: Seconds = 21_600
    """A workload that moved stays for so long; twice as long with every further move within a week."""
    start_seconds: Seconds = 600
    """What a start is taken to last in the cost of a change, where neither a measurement nor the pool says."""


class ReconcileSettings(Record):
    """How work is done."""

    workers: Annotated[int, Field(ge=1, le=256)] = 16
    """Workloads looked at at the same time. More starts a large fleet faster and loads the API server more."""
    resync_seconds: Seconds = 600
    """Every workload is looked at once in this window although nothing happened, so that a lost signal heals. That
    costs reads and computation, and no writes where nothing drifted."""
    first_retry_seconds: Seconds = 1
    """Pause before a failed workload is tried again; it doubles with every further failure."""
    last_retry_seconds: Seconds = 300
    """The longest such pause: how long a repaired cause may go unnoticed where no event tells of it."""
    relist_seconds: Seconds = 480
    """Every kind is listed anew about this often, to repair what a broken watch did not tell."""
    connections: Annotated[int, Field(ge=1, le=1024)] = 32
    """To the API server at the same time, watch streams aside."""


class SpendingSettings(Record):
    """Budgets that no workload states for itself. What was spent is kept in the ConfigMap ``NAME-spending`` beside the
    Lease of that name; it is written when the first workload with a budget runs, then once an hour while one does."""

    namespace_budgets_usd_per_month: dict[
        Annotated[str, Field(min_length=1, max_length=63)],
        Annotated[Decimal, Field(gt=0, le=1_000_000_000, allow_inf_nan=False)],
    ] = {}
    """USD a month that all workloads of a namespace may cost together, by namespace. Above it, or where it is forecast,
    metrics and an Event about the Namespace say so; nothing is stopped."""


class PrometheusSettings(Record):
    """Where signals of the workloads come from. Without a URL nothing is measured, and replicas stay as planned."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s@?#]+$", max_length=2048)] | None = None
    """Of a server with Prometheus' HTTP API (Prometheus, Thanos, Mimir, VictoriaMetrics), with its path prefix."""
    tenant: Annotated[str, Field(pattern=r"^[!-~]{1,150}$")] | None = None
    """Sent as X-Scope-OrgID, which Mimir and Cortex ask for."""
    token_file: Path | None = None
    """Holds a bearer token; read anew for every reading. It is sent over https only."""
    ca_file: Path | None = None
    """Certificates, in PEM, that the server's is checked by, in place of the public ones."""
    matchers: Mapping[
        Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")], Annotated[str, Field(max_length=1024)]
    ] = {}
    """Label values that every series must have: where one server holds several clusters, ``cluster: production``.
    Without it, workloads of the same name in two clusters are added up."""
    window_seconds: Annotated[int, Field(ge=5, le=3600)] | None = None
    """Rates are means over it; by default four times ``platform.metricsIntervalSeconds``. Shorter notices a step sooner
    and takes chance for demand; less than twice the interval measures nothing."""
    stale_seconds: Annotated[float, Field(ge=5, le=3600)] = 60
    """A pod whose newest sample is older is not seen. Longer rides out a slow scrape and goes by what was."""
    grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 45
    """Fewer pods than ready ones may be seen for so long, because Prometheus finds a new pod only after a while; then
    what is measured counts as partial, and the replicas are held."""
    timeout_seconds: Annotated[float, Field(ge=0.1, le=120)] = 5
    """Of one query. Longer waits for a slow server, and delays the whole reading."""
    deadline_seconds: Annotated[float, Field(ge=0.1, le=300)] = 15
    """Of all queries of a reading, two at a time. What has no answer by then is missing."""
    maximum_bytes: Annotated[int, Field(ge=4096, le=2**30)] = 8 * 2**20
    """Of one answer: 1,000 workloads in two berths each need about 1 MB. More takes more memory."""
    maximum_series: Annotated[int, Field(ge=1, le=10_000_000)] = 50_000
    """Of one answer; one with more is not read."""

    @model_validator(mode="after")
    def _token_stays_secret(self) -> Self:
        if self.token_file is not None and self.url is not None and not self.url.startswith("https://"):
            raise ValueError("tokenFile needs a url that begins with https://: anybody on the way could read the token")
        return self


class AutoscalingSettings(Record):
    """How replicas follow demand, where ``prometheus.url`` says who measures it."""

    tick_seconds: Annotated[float, Field(ge=5, le=60)] = 10
    """Between two readings of the whole fleet. Shorter follows a step sooner, and asks Prometheus more often; than its
    scrape interval it is of no use."""


class HealthSettings(Record):
    """Where probes and Prometheus ask, and when the process should be started anew."""

    host: str | None = None
    """Address to listen on; by default every one that the pod has."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """The chart's probes and ServiceMonitor ask 8080; 0 takes a free one, which nobody but a test finds."""
    oldest_key_seconds: Seconds = 300
    """Not alive when a workload waited so long although the API server answers."""
    loop_lag_seconds: Seconds = 10
    """Not alive when the event loop was blocked for so long."""
    plan_seconds: Seconds = 300
    """Not alive when a plan is under way for so long."""
    silent_seconds: Seconds = 60
    """Not ready when the API server has not answered for so long."""


class LogSettings(Record):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """``info`` is one line per look at a workload; ``debug`` adds those that found nothing to do."""
    format: Literal["json", "console"] = "json"
    """``console`` is for reading along at a terminal."""


class Settings(Record):
    watch_namespaces: tuple[str, ...] = ()
    """Only workloads in these namespaces; empty: all of them. Nodes, volumes, pools and what other pods hold are read
    in the whole cluster either way, else free capacity would be a guess."""
    catalogues: CatalogueFiles = CatalogueFiles()
    platform: Platform = Platform()
    """What every rendered pod gets: images, times, security, network peers."""
    policy: Policy = Policy()
    """What every plan obeys."""
    planning: PlanningSettings = PlanningSettings()
    right_sizing: RightSizingSettings = RightSizingSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    autoscaling: AutoscalingSettings = AutoscalingSettings()
    lease: LeaseSettings = LeaseSettings()
    spending: SpendingSettings = SpendingSettings()
    prometheus: PrometheusSettings = PrometheusSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _times_fit_the_scrape_interval(self) -> Self:
        window, interval = self.prometheus.window_seconds, self.platform.metrics_interval_seconds
        if window is not None and window < 2 * interval:
            raise ValueError(
                f"prometheus.windowSeconds must be at least twice platform.metricsIntervalSeconds ({interval}):"
                " a rate needs two samples"
            )
        if self.prometheus.url is not None and self.prometheus.stale_seconds < 2 * interval:
            raise ValueError(
                f"prometheus.staleSeconds must be at least twice platform.metricsIntervalSeconds ({interval}):"
                " every sample would be stale before the next"
            )
        return self

    @property
    def rate_window_seconds(self) -> int:
        """Over which rates are taken."""
        return self.prometheus.window_seconds or math.ceil(4 * self.platform.metrics_interval_seconds)

    @classmethod
    def load(cls, file: Path | None) -> Self:
        """The settings in ``file``, all defaults without one; raises InvalidSettings that names each wrong field."""
        if file is None:
            return cls()
        try:
            stated = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InvalidSettings(f"{file}: {error}") from error
        if not isinstance(stated, dict | None):
            raise InvalidSettings(f"{file}: must be a mapping of settings, is a {type(stated).__name__}")
        return cls._of(stated or {}, file)

    @classmethod
    def _of(cls, stated: dict[str, Any], file: Path) -> Self:
        try:
            return cls.model_validate(stated)
        except ValidationError as error:
            flaws = [f"{file}: {_path(flaw['loc'])}: {_sentence(flaw)}" for flaw in error.errors()]
            raise InvalidSettings("\n".join(flaws)) from error


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")


def _sentence(flaw: Any) -> str:
    if flaw["type"] == "extra_forbidden":
        return "is not a setting: correct its name or remove it"
    return str(flaw["msg"]).removeprefix("Value error, ")
