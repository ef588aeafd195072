"""What the chart makes of its values, rendered by the real Helm. ``UPDATE_GOLDEN=1`` writes the golden files anew."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import cache
import chart_stories
import chart_values
import helm
import triton_server
from berth_operator import __version__, kinds
from berth_operator.settings import Settings
from chart_stories import one, rendered
from helm import HelmError

ORDINARY: dict[str, Any] = {}


def settings_file(objects: list[dict[str, Any]], folder: Path) -> Settings:
    """The settings as the operator reads them from the chart's ConfigMap; raises what the operator would say."""
    file = folder / "settings.yaml"
    file.write_text(one(objects, "ConfigMap", "-settings")["data"]["settings.yaml"])
    return Settings.load(file)


def container(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


class TestWhatIsRendered:
    @pytest.mark.parametrize("name", chart_stories.NAMES)
    def test_is_what_was_agreed(self, name: str) -> None:
        text = chart_stories.dump(rendered(chart_stories.values(name)))
        golden = chart_stories.golden(name)
        if chart_stories.UPDATE:
            golden.write_text(text)
        assert text == golden.read_text()

    @pytest.mark.parametrize("name", chart_stories.NAMES)
    def test_has_nothing_for_helm_to_find_fault_with(self, name: str) -> None:
        assert helm.lint(chart_stories.values(name)) == []

    def test_uses_nothing_that_the_oldest_and_the_newest_kubernetes_do_not_have(self) -> None:
        assert helm.lint(kubernetes="v1.33.0") == helm.lint(kubernetes="v1.36.0") == []
        assert yaml.safe_load((helm.CHART / "Chart.yaml").read_text())["kubeVersion"] == ">=1.33.0-0"

    def test_contains_the_generated_crds_and_asks_helm_to_keep_them(self) -> None:
        crds = [each for each in rendered(ORDINARY, crds=True) if each["kind"] == "CustomResourceDefinition"]
        generated = [yaml.safe_load(file.read_text()) for file in sorted((cache.REPOSITORY / "crds").glob("*.yaml"))]
        assert sorted(crds, key=name_of) == sorted(generated, key=name_of)
        assert {each["metadata"]["annotations"]["helm.sh/resource-policy"] for each in crds} == {"keep"}

    def test_contains_no_crds_where_they_are_switched_off(self) -> None:
        kinds_made = {each["kind"] for each in rendered({"crds": {"enabled": False}}, crds=True)}
        assert "CustomResourceDefinition" not in kinds_made

    def test_is_of_the_version_of_the_operator(self) -> None:
        chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text())
        assert chart["version"] == chart["appVersion"] == __version__

    def test_states_replicas_resources_and_restrictions_of_every_container(self) -> None:
        pod = one(rendered(ORDINARY), "Deployment")["spec"]["template"]["spec"]
        operator = container(rendered(ORDINARY))
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert operator["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert set(operator["resources"]["requests"]) == {"cpu", "memory"}
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(operator)


def name_of(document: dict[str, Any]) -> str:
    return str(document["metadata"]["name"])


class TestImages:
    def test_the_tag_is_the_charts_own_version_unless_stated(self) -> None:
        assert container(rendered(ORDINARY))["image"].endswith(f"/berthmaster:{__version__}")
        assert container(rendered({"image": {"tag": "next"}}))["image"].endswith("/berthmaster:next")

    def test_a_digest_wins_over_the_tag(self) -> None:
        digest = "sha256:" + "0" * 64
        stated = {"image": {"repository": "registry.example.com/b", "tag": "next", "digest": digest}}
        assert container(rendered(stated))["image"] == f"registry.example.com/b@{digest}"

    def test_a_digest_that_is_none_is_refused(self) -> None:
        with pytest.raises(HelmError, match="/image/digest"):
            rendered({"image": {"digest": "latest"}})


class TestSettings:
    @pytest.mark.parametrize("name", chart_stories.NAMES)
    def test_the_operator_accepts_what_the_chart_writes(self, name: str, tmp_path: Path) -> None:
        stated = chart_stories.values(name)
        settings = settings_file(rendered(stated), tmp_path)
        assert list(settings.watch_namespaces) == stated.get("watchNamespaces", [])

    def test_what_is_stated_arrives(self, tmp_path: Path) -> None:
        stated = {
            "watchNamespaces": ["vision"],
            "settings": {
                "health": {"port": 9090},
                # Large numbers and nulls do not survive every template.
                "platform": {"scratchBytes": 21474836480, "loadBytesPerSecond": 2000000, "restrictedApiHeader": None},
                "policy": {"hoursPerMonth": "720.5"},
            },
        }
        settings = settings_file(rendered(stated), tmp_path)
        assert settings.watch_namespaces == ("vision",)
        assert settings.platform.scratch_bytes == 20 * 2**30
        assert settings.platform.load_bytes_per_second == 2_000_000
        assert settings.platform.restricted_api_header is None
        assert str(settings.policy.hours_per_month) == "720.5"

    def test_a_changed_setting_makes_new_pods_and_an_unchanged_one_does_not(self) -> None:
        def template(stated: dict[str, Any]) -> Any:
            return one(rendered(stated), "Deployment")["spec"]["template"]

        other = {"settings": {"log": {"level": "debug"}}}
        assert template(other) == template(other)
        assert template(ORDINARY)["metadata"]["annotations"] != template(other)["metadata"]["annotations"]

    def test_the_port_of_the_probes_is_the_one_that_the_settings_say(self, tmp_path: Path) -> None:
        objects = rendered({"settings": {"health": {"port": 9090}}})
        assert settings_file(objects, tmp_path).health.port == 9090
        operator = container(objects)
        assert operator["ports"] == [{"name": "health", "containerPort": 9090}]
        assert operator["livenessProbe"]["httpGet"]["port"] == "health"
        assert one(objects, "Service")["spec"]["ports"][0]["targetPort"] == "health"
        assert one(objects, "NetworkPolicy")["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": "health"}]

    def test_catalogues_are_files_that_the_settings_name(self, tmp_path: Path) -> None:
        objects = rendered({"catalogues": {"models": "models: {}\n"}})
        data = one(objects, "ConfigMap")["data"]
        mounted = container(objects)["volumeMounts"][0]["mountPath"]
        assert data["models.yaml"] == "models: {}\n"
        assert str(settings_file(objects, tmp_path).catalogues.models) == f"{mounted}/models.yaml"
        assert settings_file(objects, tmp_path).catalogues.gpus is None


class TestRights:
    def test_all_namespaces_are_one_cluster_role_and_some_are_a_role_in_each(self) -> None:
        def of(kind: str, stated: dict[str, Any]) -> dict[tuple[str, str], Any]:
            return {
                (each["metadata"].get("namespace", ""), each["metadata"]["name"]): each["rules"]
                for each in rendered(stated)
                if each["kind"] == kind
            }

        everywhere = of("ClusterRole", ORDINARY)["", "berthmaster"]
        only = {"watchNamespaces": ["chat", "vision"]}
        somewhere = of("ClusterRole", only)["", "berthmaster"]
        roles = of("Role", only)
        assert set(roles) == {
            ("chat", "berthmaster"), ("vision", "berthmaster"),
            ("default", "berthmaster-pool-events"), ("berthmaster-system", "berthmaster-leader"),
        }  # fmt: skip
        assert roles["chat", "berthmaster"] == roles["vision", "berthmaster"]
        assert somewhere + roles["chat", "berthmaster"] == everywhere
        assert not any("deployments" in rule["resources"] for rule in somewhere)

    @pytest.mark.parametrize("stated", [ORDINARY, {"watchNamespaces": ["vision"]}], ids=["everywhere", "somewhere"])
    def test_nothing_dangerous_is_granted(self, stated: dict[str, Any]) -> None:
        rules = [
            rule
            for each in rendered(stated)
            if each["kind"] in ("Role", "ClusterRole") and not each["metadata"]["name"].endswith(("-edit", "-view"))
            for rule in each["rules"]
        ]
        words = {word for rule in rules for field in ("apiGroups", "resources", "verbs") for word in rule[field]}
        assert not words & {
            "*", "secrets", "pods/exec", "pods/ephemeralcontainers", "serviceaccounts/token", "escalate", "bind",
            "impersonate", "roles", "clusterroles", "rolebindings", "clusterrolebindings", "deletecollection",
        }  # fmt: skip

    def test_the_lease_is_the_only_object_that_may_be_updated_and_is_named(self) -> None:
        stated = {"settings": {"lease": {"name": "fleet-a", "namespace": "leases"}}}
        leader = one(rendered(stated), "Role", "-leader")
        assert leader["metadata"]["namespace"] == "leases"
        (named,) = [rule for rule in leader["rules"] if "resourceNames" in rule]
        assert (named["resourceNames"], named["verbs"]) == (["fleet-a"], ["get", "update"])

    def test_the_kinds_of_children_are_those_of_the_operator(self) -> None:
        granted = {
            (group, resource)
            for rule in one(rendered({"rbac": {"aggregate": False}}), "ClusterRole")["rules"]
            if "delete" in rule["verbs"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        assert granted == {(kind.group, kind.plural) for kind in kinds.CHILDREN}


class TestValues:
    def test_the_schema_has_exactly_the_keys_of_the_values(self) -> None:
        assert chart_values.schema_keys() == set(chart_values.defaults())

    def test_the_readme_has_exactly_the_keys_of_the_values_and_their_defaults(self) -> None:
        shown = {key: value if isinstance(value, str) and value else json.dumps(value)
                 for key, value in chart_values.defaults().items()}  # fmt: skip
        assert chart_values.documented() == shown

    def test_the_schema_of_the_settings_is_the_operators(self) -> None:
        """Written anew by ``python tests/harness/chart_values.py``."""
        assert chart_values.schema()["properties"]["settings"] == chart_values.settings_schema()

    def test_every_value_is_tried_by_the_maximal_story(self) -> None:
        stated = chart_stories.values("maximal")
        for key, default in chart_values.defaults().items():
            if key in ("rbac.create", "networkPolicy.enabled", "admission.enabled"):
                continue  # off in the minimal story: much of the others depends on them
            found: Any = stated
            for step in key.split("."):
                found = found[step]
            assert found != default, key

    @pytest.mark.parametrize(
        ("stated", "named"),
        [
            ({"replica": 2}, "'replica'"),
            ({"image": {"pullPolice": "Always"}}, "'pullPolice'"),
            ({"settings": {"platfrom": {}}}, "'platfrom'"),
            ({"settings": {"platform": {"drainSecond": 5}}}, "'drainSecond'"),
            ({"settings": {"platform": {"drainSeconds": "5 s"}}}, "/settings/platform/drainSeconds"),
            ({"settings": {"watchNamespaces": ["a"]}}, "'watchNamespaces'"),
            ({"catalogues": {"gpu": ""}}, "'gpu'"),
            ({"admission": {"maximumReplica": 5}}, "'maximumReplica'"),
            ({"admission": {"artefactImagePrefixes": ["registry.example.com"]}}, "/admission/artefactImagePrefixes/0"),
            ({"networkPolicy": {"apiServerPorts": []}}, "/networkPolicy/apiServerPorts"),
            ({"watchNamespaces": ["Team A"]}, "/watchNamespaces/0"),
            ({"replicas": -1}, "/replicas"),
        ],
        ids=lambda each: each.strip("'/").replace("/", ".") if isinstance(each, str) else "",
    )
    def test_what_is_not_a_value_is_refused_by_its_name(self, stated: dict[str, Any], named: str) -> None:
        with pytest.raises(HelmError) as refused:
            rendered(stated)
        assert named in str(refused.value)

    def test_the_settings_of_the_local_cluster_are_values(self, tmp_path: Path) -> None:
        objects = rendered({"settings": {"platform": triton_server.PLATFORM}})
        assert settings_file(objects, tmp_path).platform.images.vllm.release == triton_server.RELEASE


class TestNotes:
    def test_say_how_to_see_that_it_works_and_what_uninstalling_keeps(self) -> None:
        notes = helm.template()["berthmaster/templates/NOTES.txt"]
        assert "kubectl -n berthmaster-system rollout status deployment/berthmaster" in notes
        assert "in every namespace" in notes
        assert "keeps the CRDs, every InferenceWorkload and every serving pod" in notes

    def test_say_which_namespaces_are_looked_after(self) -> None:
        notes = helm.template({"watchNamespaces": ["chat", "vision"]})["berthmaster/templates/NOTES.txt"]
        assert "in chat, vision" in notes


class TestTheProbe:
    def test_is_only_there_where_it_is_asked_for(self) -> None:
        assert not [each for each in rendered(ORDINARY) if each["metadata"]["name"].endswith("-probe")]
        with pytest.raises(HelmError, match="/probe"):
            rendered({"probe": {"enabled": True}})

    def test_runs_on_its_node_and_may_patch_that_node_alone(self) -> None:
        objects = rendered({"probe": {"enabled": True, "nodes": ["gpu-1", "gpu-2"]}})
        jobs = [each["spec"]["template"]["spec"] for each in objects if each["kind"] == "Job"]
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        terms = [job["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"] for job in jobs]
        assert [each[0]["matchFields"][0]["values"] for each in terms] == [["gpu-1"], ["gpu-2"]]
        assert [job["containers"][0]["command"][-2:] for job in jobs] == [["--node", "gpu-1"], ["--node", "gpu-2"]]
        assert one(objects, "ClusterRole", "-probe")["rules"] == [
            {"apiGroups": [""], "resources": ["nodes"], "resourceNames": ["gpu-1", "gpu-2"], "verbs": ["patch"]}
        ]
