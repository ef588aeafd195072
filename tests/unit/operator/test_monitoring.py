"""What the chart ships for monitoring: rules, alerts with their runbooks, a dashboard; judged by promtool."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

import cache
import debian
import prometheus_server
import render_stories
from berth_cost.cases.case import Prediction
from berth_operator import kinds
from berth_operator.metrics import Metrics
from berth_operator.mirror import Mirror
from berth_operator.planner import Planned, Result
from berth_operator.signals import expressions, recording_rules
from berth_operator.signals.expected import ExpectedBerth
from berth_operator.signals.fleet_expectation import FleetExpectation
from berth_scheduler.decision import Cost
from chart_stories import one, rendered
from helm import CHART

RULES = CHART / "files" / "rules"
DASHBOARD = CHART / "files" / "dashboards" / "berthmaster.json"
RUNBOOKS = cache.REPOSITORY / "docs" / "runbooks" / "alerts"
CASES = cache.REPOSITORY / "tests" / "promtool"
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((RULES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
NAME = re.compile(r"\bberthmaster[_:][a-z_:]+")
ENABLED = {"prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}}


@pytest.fixture(scope="module", autouse=True)
def promtool() -> None:
    try:
        prometheus_server.program("promtool")
    except debian.Unavailable as reason:
        pytest.skip(f"no promtool on this machine: {reason}")


def shipped(**settings: Any) -> list[dict[str, Any]]:
    """Groups of the chart's PrometheusRule."""
    found: list[dict[str, Any]] = one(rendered({**ENABLED, "settings": settings}), "PrometheusRule")["spec"]["groups"]
    return found


def panels() -> Iterator[tuple[str, str]]:
    """Title and PromQL of each query of the dashboard, with its variables as Grafana puts them in."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$namespace", ".*").replace("$workload", ".*")


def kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def test_recording_rules_are_the_expressions_that_the_operator_asks() -> None:
    """Written anew by ``python -m berth_operator.signals.recording_rules --to FILE``, as ``make crds`` does."""
    assert (RULES / "recording.yaml").read_text() == recording_rules.dumped()


def test_what_the_chart_ships_are_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": shipped()}))
    status, said = prometheus_server.promtool("check", "rules", tmp_path / "rules.yml")
    assert status == 0, said
    assert f"{len(ALERTS) + len(list(recording_rules.recording_rules()[0]['rules']))} rules found" in said


def test_rules_and_alerts_say_what_their_cases_expect(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": shipped()}))
    cases = sorted(CASES.glob("*.yaml"))
    assert cases
    for case in cases:
        (tmp_path / case.name).write_text(case.read_text())
    status, said = prometheus_server.promtool("test", "rules", *(case.name for case in cases), cwd=tmp_path)
    assert status == 0, said


def test_every_alert_fires_in_some_case() -> None:
    fired = {
        test["alertname"]
        for case in CASES.glob("*.yaml")
        for each in yaml.safe_load(case.read_text())["tests"]
        for test in each.get("alert_rule_test", ())
        if test.get("exp_alerts")
    }
    assert fired == {alert["alert"] for alert in ALERTS}


def test_the_window_of_the_rules_is_that_of_the_operator() -> None:
    def windows(**settings: Any) -> set[str]:
        return {window for rule in shipped(**settings)[0]["rules"] for window in re.findall(r"\[(\w+)\]", rule["expr"])}

    assert windows() == {"60s"}
    assert windows(platform={"metricsIntervalSeconds": 5}) == {"20s"}
    assert windows(prometheus={"windowSeconds": 90}) == {"90s"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_has_severity_summary_and_a_runbook(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert {"summary", "description"} <= set(alert["annotations"])
    page = RUNBOOKS / f"{kebab(alert['alert'])}.md"
    text = page.read_text()
    assert text.startswith(f"# {alert['alert']}\n")
    parts = [text.index(f"**{part}.**") for part in ("Symptom", "Meaning", "Commands", "Cure")]
    assert parts == sorted(parts)
    (made,) = [rule for group in shipped() for rule in group["rules"] if rule.get("alert") == alert["alert"]]
    assert made["annotations"]["runbook_url"].endswith(f"/runbooks/alerts/{page.name}")


def test_there_is_no_runbook_without_its_alert() -> None:
    assert {page.name for page in RUNBOOKS.glob("*.md")} == {f"{kebab(alert['alert'])}.md" for alert in ALERTS}


def test_rules_and_dashboard_name_only_what_is_exported_or_recorded() -> None:
    exported = set()
    for metric in Metrics().registry.collect():
        exported.add(metric.name + ("_total" if metric.type == "counter" else ""))
    recorded = {rule["record"] for group in recording_rules.recording_rules() for rule in group["rules"]}
    for text in [*(rule["expr"] for group in shipped() for rule in group["rules"]), *(expr for _, expr in panels())]:
        # Names of labels look like names of metrics but for what follows.
        named = {name for name in NAME.findall(text) if not name.startswith("berthmaster_dev_")}
        assert named <= exported | recorded, named - exported - recorded


def test_every_query_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": expr} for number, (_, expr) in enumerate(panels())]
    assert len(rules) > 20
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    status, said = prometheus_server.promtool("check", "rules", tmp_path / "panels.yml")
    assert status == 0, said


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    board = json.loads(DASHBOARD.read_text())
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert board["uid"] == "berthmaster"
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not taken & cells, f"{panel['title']} lies on another panel"
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    shipped_board = one(rendered(ENABLED), "ConfigMap", "-dashboard")
    assert shipped_board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(shipped_board["data"]["berthmaster.json"]) == board


def test_nothing_of_it_is_there_unless_asked_for() -> None:
    kinds = {each["kind"] for each in rendered({})}
    assert "PrometheusRule" not in kinds
    assert not [each for each in rendered({}) if each["metadata"]["name"].endswith("-dashboard")]
    only = one(rendered({"prometheusRule": {"enabled": True, "alerts": False}}), "PrometheusRule")["spec"]["groups"]
    assert [group["name"] for group in only] == [recording_rules.GROUP]


@pytest.mark.parametrize(
    ("url", "ports"),
    [
        ("http://prometheus.monitoring:9090", [9090]),
        ("https://thanos.example.com/prefix", [443]),
        ("http://prometheus.monitoring", [80]),
    ],
)
def test_the_operator_may_reach_prometheus_where_its_url_says(url: str, ports: list[int]) -> None:
    def egress(**network: Any) -> Any:
        stated = {"settings": {"prometheus": {"url": url}}, "networkPolicy": network}
        return one(rendered(stated), "NetworkPolicy")["spec"]["egress"]

    assert egress()[-1] == {"ports": [{"protocol": "TCP", "port": port} for port in ports]}
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    stated = egress(prometheusPeers=peers, prometheusPorts=[10902])
    assert stated[-1] == {"ports": [{"protocol": "TCP", "port": 10902}], "to": peers}
    assert len(one(rendered({}), "NetworkPolicy")["spec"]["egress"]) == 2


def test_pod_monitors_and_pods_carry_the_labels_that_signals_are_read_by() -> None:
    made = render_stories.story("vision-resnet").render()
    (monitor,) = [each for each in made.objects if each["kind"] == "PodMonitor"]
    kept = {expressions.label_name(key) for key in monitor["spec"]["podTargetLabels"]}
    assert {expressions.WORKLOAD, expressions.BERTH} <= kept
    for deployment in made.deployments:
        pod = deployment["spec"]["template"]["metadata"]["labels"]
        assert set(monitor["spec"]["podTargetLabels"]) <= set(pod)
        assert pod["app.kubernetes.io/instance"] == deployment["metadata"]["name"]


def test_what_a_plan_decided_of_a_workload_is_exported_and_goes_with_it() -> None:
    story = render_stories.story("vision-resnet")
    planned = story.planned.model_copy(update={"budget_usd_per_month": Decimal(2000)})
    cost = Cost(usd_per_hour=Decimal("1.38"), usd_per_month=Decimal("1007.4"))
    predicted = Prediction(
        id="x", feasible=True, evidence="estimated", model_version="1", utilization=0.7,
        metrics={"latencySeconds": {"p99": 0.031, "mean": 0.012}},
    )  # fmt: skip
    decision = story.decision.model_copy(update={"cost": cost, "prediction": predicted, "placed": True})
    metrics = Metrics()

    def shown() -> set[str]:
        lines = generate_latest(metrics.registry).decode().splitlines()
        return {line for line in lines if 'workload="resnet"' in line}

    metrics.show(Result({"vision/resnet": Planned(decision, planned)}, {}))
    own = 'workload="resnet",workload_namespace="vision"'
    assert {
        f"berthmaster_workload_usd_per_month{{{own}}} 1007.4",
        f"berthmaster_workload_budget_usd_per_month{{{own}}} 2000.0",
        f"berthmaster_workload_predicted_utilization_ratio{{{own}}} 0.7",
    } <= shown()
    (asked,) = [each for each in planned.latency if each.statistic == "p99"]
    limit = f'berthmaster_workload_objective_seconds{{objective="latency.p99",{own}}} {asked.limit_seconds}'
    assert limit in shown()
    assert f'berthmaster_workload_predicted_seconds{{objective="latency.p99",{own}}} 0.031' in shown()
    replicas = [float(line.rpartition(" ")[2]) for line in shown() if line.startswith("berthmaster_berth_replicas")]
    assert sum(replicas) == sum(berth.replicas for berth in decision.berths)
    metrics.show(Result({}, {}))
    assert shown() == set()


def test_the_fleet_is_expected_to_be_what_its_deployments_say() -> None:
    (first, *_) = render_stories.story("chat-llama8b").render().deployments
    mirror = Mirror(kinds.DEPLOYMENT)
    seen = {**first, "metadata": {**first["metadata"], "uid": "u1", "resourceVersion": "1"}}
    mirror.see({**seen, "status": {"readyReplicas": 2}})
    expectation = FleetExpectation({kinds.DEPLOYMENT: mirror}, {"chat/llama8b": "vllm"}.get)
    berth = render_stories.story("chat-llama8b").decision.berths[0]
    sequences = berth.maximum_batch_size * berth.instances_per_gpu
    assert expectation(("chat", "llama8b")) == {first["metadata"]["name"]: ExpectedBerth(2, 1, sequences)}
    assert expectation(("chat", "other")) == {}
