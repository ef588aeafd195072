"""Settings: every default runs, what is misspelt or contradictory is refused by name."""

from pathlib import Path

import pytest
import yaml

from berth_operator.errors import InvalidSettings
from berth_operator.settings import Settings


def load(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    return Settings.load(file)


@pytest.mark.parametrize("text", ["", "{}", "# nothing\n"])
def test_an_empty_file_is_every_default(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == Settings.load(None) == Settings()


def test_keys_are_those_of_the_chart(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        """
        watchNamespaces: [vision]
        catalogues: {prices: /etc/berthmaster/prices.yaml}
        lease: {durationSeconds: 30, renewDeadlineSeconds: 20}
        platform: {drainSeconds: 4}
        policy: {memoryMarginPercent: 7}
        health: {port: 9090}
        """,
    )
    assert found.watch_namespaces == ("vision",)
    assert found.catalogues.prices == Path("/etc/berthmaster/prices.yaml")
    assert (found.lease.duration_seconds, found.platform.drain_seconds, found.health.port) == (30, 4, 9090)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("watchNamespace: [x]", "watchNamespace: is not a setting"),
        ("lease: {durationsSeconds: 3}", "lease.durationsSeconds: is not a setting"),
        ("lease: {durationSeconds: 5}", "lease: retrySeconds < renewDeadlineSeconds < durationSeconds must hold"),
        ("reconcile: {workers: 0}", "reconcile.workers: Input should be greater than or equal to 1"),
        ("reconcile: {workers: many}", "reconcile.workers: Input should be a valid integer"),
        ("log: {level: loud}", "log.level: Input should be 'debug'"),
        ("prometheus: {url: prometheus:9090}", "prometheus.url: String should match pattern"),
        ("prometheus: {url: 'http://user:secret@prometheus:9090'}", "prometheus.url: String should match pattern"),
        ("prometheus: {url: 'http://prometheus', tokenFile: /t}", "tokenFile needs a url that begins with https"),
        ("prometheus: {tenant: 'a b'}", "prometheus.tenant: String should match pattern"),
        ("prometheus: {matchers: {'a=b': c}}", "prometheus.matchers"),
        ("prometheus: {windowSeconds: 20}", "prometheus.windowSeconds must be at least twice"),
        (
            "{prometheus: {url: 'http://p'}, platform: {metricsIntervalSeconds: 40}}",
            "prometheus.staleSeconds must be at least twice platform.metricsIntervalSeconds (40)",
        ),
        ("- a list", "must be a mapping"),
        ("a: [", "while parsing"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_path(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
    assert "settings.yaml" in str(caught.value)


def test_every_wrong_field_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load(tmp_path, "wrong: 1\nhealth: {port: 99999}")
    assert len(str(caught.value).splitlines()) == 2


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"absent\.yaml"):
        Settings.load(tmp_path / "absent.yaml")


def test_a_catalogue_with_a_flaw_keeps_the_operator_from_starting(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("nonsense: true\n")
    found = load(tmp_path, yaml.safe_dump({"catalogues": {"prices": str(prices)}}))
    with pytest.raises(InvalidSettings, match=r"prices\.yaml"):
        found.catalogues.load()
    assert Settings().catalogues.load().gpus is not None


def test_every_setting_says_what_it_trades() -> None:
    import inspect

    from berth_operator import settings as module

    source = inspect.getsource(module)
    for model in (module.LeaseSettings, module.PlanningSettings, module.ReconcileSettings, module.HealthSettings):
        for field in model.model_fields:
            line = next(line for line in source.splitlines() if line.strip().startswith(f"{field}:"))
            after = source[source.index(line) + len(line) :].lstrip()
            assert after.startswith('"""'), field


def test_rates_are_taken_over_four_scrapes_unless_stated(tmp_path: Path) -> None:
    assert load(tmp_path, "").rate_window_seconds == 60
    assert load(tmp_path, "platform: {metricsIntervalSeconds: 5}").rate_window_seconds == 20
    assert load(tmp_path, "prometheus: {windowSeconds: 90}").rate_window_seconds == 90
