"""``berth`` as a person or a pipeline meets it: answers on stdout, the rest on stderr, and an exit code that says how
it ended."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from berth_operator.cli import schemas
from berth_operator.cli.application import app
from berth_scheduler.decision import Plan
from berth_scheduler.snapshot import Snapshot
from command_line import Berth
from kubernetes_objects import claim, node, pool, workload

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples"
AT = ("--at", "2026-11-02T12:00:00Z")


def roomy(name: str = "l4", usd: str = "1", **spec: Any) -> dict[str, Any]:
    """Twenty L4 nodes that could be provisioned."""
    return pool(
        name,
        maximumNodes=20,
        nodeSelector={"pool": name},
        nodeResources={"cpu": 8, "memory": "32Gi"},
        price={"usdPerNodeHour": usd},
        **spec,
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """``write(*objects, to="infra")``: a directory with one file of all the objects."""

    def to_directory(*objects: dict[str, Any], to: str = "infra") -> Path:
        directory = tmp_path / to
        directory.mkdir(exist_ok=True)
        (directory / "all.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")
        return directory

    return to_directory


# --- plan --------------------------------------------------------------------------------------------------------


def test_the_examples_are_planned_from_files_alone_and_the_one_that_cannot_be_placed_is_exit_code_2(
    berth: Berth,
) -> None:
    code, out, _ = berth("plan", "-f", EXAMPLES, *AT, "-o", "json")
    plan = Plan.model_validate_json(out)
    assert code == 2
    assert [one.workload for one in plan.decisions if not one.placed] == ["vision/huge"]


def test_the_json_of_a_plan_has_the_documented_keys(berth: Berth, write: Callable[..., Path]) -> None:
    code, out, _ = berth("plan", "-f", write(workload(), claim(), roomy()), *AT, "-o", "json")
    plan = json.loads(out)
    (decision,) = plan["decisions"]
    (chosen,) = decision["berths"]
    assert code == 0
    assert (plan["kind"], plan["time"], decision["workload"]) == ("Plan", "2026-11-02T12:00:00Z", "vision/resnet")
    assert set(chosen) == {
        "pool", "gpu", "sharing", "migProfile", "capacityType", "precision", "tensorParallel", "gpusPerReplica",
        "instancesPerGPU", "maximumBatchSize", "maximumQueueDelayMicroseconds", "replicas",
    }  # fmt: skip
    assert Decimal(decision["cost"]["usdPerHour"]) == chosen["replicas"]
    assert decision["cost"]["usdPerMillionTokens"] is None
    assert set(plan["totals"]) == {"usdPerHour", "idleUSDPerHour", "gpusByPool", "savings", "energy"}
    assert plan["totals"]["energy"]["kwhPerMonth"] == decision["footprint"]["kwhPerMonth"] > 0


def test_yaml_says_the_same_as_json(berth: Berth) -> None:
    _, as_json, _ = berth("plan", "-f", EXAMPLES, *AT, "-o", "json")
    _, as_yaml, _ = berth("plan", "-f", EXAMPLES, *AT, "-o", "yaml")
    assert yaml.safe_load(as_yaml) == json.loads(as_json)


def test_the_table_answers_in_its_first_line_and_is_at_most_a_hundred_columns_wide(berth: Berth) -> None:
    _, out, err = berth("plan", "-f", EXAMPLES, *AT)
    lines = out.split("\n")
    assert lines[0].startswith("7 workloads: 6 placed, 1 cannot be placed. $")
    assert all(len(line) <= 100 for line in lines)
    assert f"Why: berth explain vision/huge -f {EXAMPLES}" in " ".join(out.split())
    assert "\x1b" not in out + err


def test_equal_input_gives_equal_bytes_whatever_the_hash_seed() -> None:
    command = [sys.executable, "-m", "berth_operator.cli", "plan", "-f", str(EXAMPLES), *AT, "-o", "json"]
    plans = {
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=False).stdout
        for seed in ("1", "2")
    }
    assert len(plans) == 1 and json.loads(plans.pop())["kind"] == "Plan"


def test_to_writes_the_result_to_a_file_and_nothing_to_stdout(berth: Berth, tmp_path: Path) -> None:
    code, out, _ = berth("plan", "-f", EXAMPLES, *AT, "-o", "json", "--to", tmp_path / "plan.json")
    assert (code, out) == (2, "")
    assert Plan.model_validate_json((tmp_path / "plan.json").read_text(encoding="utf-8")).decisions


def test_a_shell_pattern_after_f_works_as_it_looks(berth: Berth) -> None:
    files = sorted(EXAMPLES.glob("*.yaml"))
    _, one_by_one, _ = berth("plan", "-f", *files, *AT, "-o", "json")
    assert one_by_one == berth("plan", "-f", EXAMPLES, *AT, "-o", "json")[1]


def test_nodes_among_the_files_are_planned_on(berth: Berth, write: Callable[..., Path]) -> None:
    code, out, _ = berth("plan", "-f", write(workload(), claim(), node(), node("n2")), *AT, "-o", "json")
    (chosen,) = json.loads(out)["decisions"][0]["berths"]
    assert (code, chosen["pool"]) == (0, "l4-ondemand-g6-xlarge-us-east-1a")


def test_one_namespace_is_shown_and_the_whole_fleet_planned(berth: Berth, write: Callable[..., Path]) -> None:
    files = write(workload(), workload("other", "chat"), claim(), claim(namespace="chat"), roomy())
    _, everything, _ = berth("plan", "-f", files, *AT, "-o", "json")
    _, shown, _ = berth("plan", "-f", files, *AT, "-o", "json", "-n", "chat")
    assert [one["workload"] for one in json.loads(shown)["decisions"]] == ["chat/other"]
    assert json.loads(shown)["totals"] == json.loads(everything)["totals"]


def test_a_workload_that_is_not_understood_leaves_the_others_planned(berth: Berth, write: Callable[..., Path]) -> None:
    wrong = workload("wrong", model={"preset": "resnet-50", "variants": workload()["spec"]["model"]["variants"]})
    code, out, _ = berth("plan", "-f", write(workload(), wrong, claim(), roomy()), *AT, "-o", "json")
    decisions = {one["workload"]: one for one in json.loads(out)["decisions"]}
    assert code == 2 and decisions["vision/resnet"]["placed"]
    assert decisions["vision/wrong"]["reason"] == "UnknownPreset"
    assert "nearest: resnet50" in decisions["vision/wrong"]["message"]


def test_a_missing_claim_keeps_its_workload_out_and_says_which(berth: Berth, write: Callable[..., Path]) -> None:
    files = write(workload(), workload("other", "chat"), claim(), roomy())
    code, out, _ = berth("plan", "-f", files, *AT, "-o", "json")
    decisions = {one["workload"]: one for one in json.loads(out)["decisions"]}
    assert code == 2 and decisions["vision/resnet"]["placed"]
    assert "PersistentVolumeClaim models is not in chat" in decisions["chat/other"]["message"]


def test_users_catalogues_come_with_the_operators_settings(
    berth: Berth, write: Callable[..., Path], tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "sources: {contract: {title: Contract, date: 2026-10-01}}\n"
        'prices: [{cloud: aws, region: us-east-1, instance_type: g6.xlarge, usd_per_hour: "0.625"}]\n',
        encoding="utf-8",
    )
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump({"catalogues": {"prices": str(prices)}}), encoding="utf-8")
    bought = roomy() | {"metadata": {"name": "l4"}}
    bought["spec"]["price"] = {"cloud": "aws", "region": "us-east-1", "instanceType": "g6.xlarge"}
    _, out, _ = berth("plan", "-f", write(workload(), claim(), bought), *AT, "-o", "json", "--settings", settings)
    decision = json.loads(out)["decisions"][0]
    assert decision["cost"]["priceSource"] == "Contract"


def test_workloads_that_the_operator_does_not_watch_are_left_out_with_a_note(
    berth: Berth, write: Callable[..., Path], tmp_path: Path
) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("watchNamespaces: [chat]\n", encoding="utf-8")
    files = write(workload(), workload("other", "chat"), claim(namespace="chat"), roomy())
    _, out, err = berth("plan", "-f", files, *AT, "-o", "json", "--settings", settings)
    assert [one["workload"] for one in json.loads(out)["decisions"]] == ["chat/other"]
    assert "note: 1 workloads are outside of watchNamespaces (chat) and are left out" in err


# --- plan --against ----------------------------------------------------------------------------------------------


def test_a_change_of_nothing_changes_nothing(berth: Berth, write: Callable[..., Path]) -> None:
    files = write(workload(), claim(), roomy())
    code, out, _ = berth("plan", "-f", files, "--against", files, *AT)
    assert code == 0 and out.startswith("1 workload: 1 unchanged. $")


def test_what_is_new_gone_and_changed_is_told_with_what_it_costs(berth: Berth, write: Callable[..., Path]) -> None:
    before = write(workload(), workload("gone"), claim(), roomy(), to="main")
    busier = workload(traffic={"requestsPerSecond": 6000})
    after = write(busier, workload("new"), claim(), roomy(), to="branch")
    code, out, _ = berth("plan", "-f", after, "--against", before, *AT, "-o", "json")
    found = json.loads(out)
    assert code == 0 and found["kind"] == "PlanComparison"
    assert {one["workload"]: one["change"] for one in found["workloads"]} == {
        "vision/gone": "Removed",
        "vision/new": "Added",
        "vision/resnet": "Changed",
    }
    assert Decimal(found["afterUSDPerHour"]) > Decimal(found["beforeUSDPerHour"]) == 2


def test_a_cheaper_pool_alone_moves_nothing_as_the_operator_would_move_nothing(
    berth: Berth, write: Callable[..., Path]
) -> None:
    before = write(workload(), claim(), roomy(), to="main")
    after = write(workload(), claim(), roomy(), roomy("cheap", "0.5"), to="branch")
    _, out, _ = berth("plan", "-f", after, "--against", before, *AT, "-o", "json")
    (change,) = json.loads(out)["workloads"]
    assert change["change"] == "Unchanged" and change["after"]["berths"][0]["pool"] == "l4"


@pytest.mark.parametrize(("percent", "code"), [(0, 2), (1_000_000, 0)])
def test_fail_above_ends_with_2_where_the_cost_grows_by_more(
    berth: Berth, write: Callable[..., Path], percent: int, code: int
) -> None:
    before = write(workload(), claim(), roomy(), to="main")
    after = write(workload(), workload("new"), claim(), roomy(), to="branch")
    ended, _, err = berth("plan", "-f", after, "--against", before, "--fail-above", percent, *AT)
    assert ended == code
    assert ("the cost grows by more than 0 % (--fail-above)" in err) == (code == 2)


def test_markdown_for_a_pull_request_is_one_bold_line_and_a_table(berth: Berth, write: Callable[..., Path]) -> None:
    before = write(workload(), claim(), roomy(), to="main")
    after = write(workload(), workload("new"), claim(), roomy(), to="branch")
    _, out, _ = berth("plan", "-f", after, "--against", before, *AT, "-o", "markdown")
    lines = out.splitlines()
    assert lines[0].startswith("**2 workloads: 1 unchanged, 1 new. $1.00/h → $2.00/h, +100 %.**")
    assert lines[2:4] == [
        "| workload | change | now | planned | difference | |",
        "|---|---|---:|---:|---:|---:|",
    ]
    assert lines[4].endswith("| +$1.00/h |  |")
    assert lines[5] == "| **total** |  | $1.00/h | $2.00/h | +$1.00/h | +100 % |"
    assert lines[7].startswith("$730.00 → $1,460 a month: costs $730.00 more. The GPUs draw ")


def test_against_a_snapshot_what_runs_there_stays(berth: Berth, write: Callable[..., Path], tmp_path: Path) -> None:
    _, out, _ = berth("snapshot", "-f", write(workload(), claim(), node(), to="live"), *AT)
    (tmp_path / "live.json").write_text(out, encoding="utf-8")
    code, out, _ = berth("plan", "-f", write(workload(), claim()), "--against", tmp_path / "live.json", *AT)
    assert code == 0 and out.startswith("1 workload: 1 unchanged. $0.80/h")


# --- snapshot and replay -----------------------------------------------------------------------------------------


def test_replaying_a_snapshot_gives_the_same_plan_bit_for_bit(berth: Berth, tmp_path: Path) -> None:
    _, planned, _ = berth("plan", "-f", EXAMPLES, *AT, "-o", "json")
    code, out, _ = berth("snapshot", "-f", EXAMPLES, *AT, "--to", tmp_path / "snapshot.json")
    assert (code, out) == (0, "")
    code, replayed, _ = berth("replay", tmp_path / "snapshot.json", "-o", "json")
    assert (code, replayed) == (2, planned)


def test_a_damaged_snapshot_is_refused_with_the_field(berth: Berth, tmp_path: Path) -> None:
    _, out, _ = berth("snapshot", "-f", EXAMPLES, *AT)
    damaged = json.loads(out)
    damaged["pools"][0]["gpusPerNode"] = "many"
    (tmp_path / "damaged.json").write_text(json.dumps(damaged), encoding="utf-8")
    code, _, err = berth("replay", tmp_path / "damaged.json")
    assert code == 1 and "damaged.json: pools[0].gpusPerNode: Input should be a valid integer" in err
    assert berth("replay", tmp_path / "nowhere.json")[0] == 1


def test_a_snapshot_as_a_table_shows_what_there_is(berth: Berth) -> None:
    code, out, _ = berth("snapshot", "-f", EXAMPLES, *AT, "-o", "table")
    assert code == 0 and out.startswith("7 workloads, 7 pools, 0 nodes, at 2026-11-02 12:00 UTC.")


# --- explain -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [("resnet",), ("vision/resnet",), ("-n", "vision", "resnet")])
def test_a_workload_is_explained_by_whatever_names_it(berth: Berth, name: tuple[str, ...]) -> None:
    code, out, _ = berth("explain", *name, "-f", EXAMPLES, *AT)
    assert code == 0 and out.startswith("vision/resnet is placed on ")
    assert "Objective" in out and "≤ 50 ms" in out and "Why not" in out


def test_what_cannot_be_placed_is_explained_with_exit_code_2(berth: Berth) -> None:
    code, out, _ = berth("explain", "huge", "-f", EXAMPLES, *AT)
    assert code == 2 and out.startswith("vision/huge cannot be placed: latency p99 ≤ 5 ms is out of reach.")


def test_all_shows_every_rejected_candidate(berth: Berth) -> None:
    _, few, _ = berth("explain", "bert-qa", "-f", EXAMPLES, *AT)
    _, everything, _ = berth("explain", "bert-qa", "-f", EXAMPLES, *AT, "--all")
    _, explanation, _ = berth("explain", "bert-qa", "-f", EXAMPLES, *AT, "-o", "json")
    assert "more: berth explain search/bert-qa" in few and "more: berth explain" not in everything
    shown = " ".join(everything.split())
    assert all(" ".join(reason.split()) in shown for reason in json.loads(explanation)["whyNot"])


def test_a_name_that_is_not_there_or_not_one_lists_what_there_is(berth: Berth, write: Callable[..., Path]) -> None:
    files = write(workload(), workload("resnet", "chat"), claim(), roomy())
    assert berth("explain", "bert", "-f", files)[2].endswith(
        "there is no workload bert; there is chat/resnet, vision/resnet\n"
    )
    code, _, err = berth("explain", "resnet", "-f", files)
    assert code == 1 and "the name of several workloads: chat/resnet, vision/resnet; say which with -n" in err


# --- render ------------------------------------------------------------------------------------------------------


def test_render_gives_manifests_with_replicas_and_namespaces(berth: Berth, write: Callable[..., Path]) -> None:
    code, out, _ = berth("render", "-f", write(workload(), claim(), roomy()), *AT)
    objects = list(yaml.safe_load_all(out))
    (deployment,) = [one for one in objects if one["kind"] == "Deployment"]
    assert code == 0 and deployment["spec"]["replicas"] == 1
    assert {one["metadata"]["namespace"] for one in objects} == {"vision"}
    assert not any(one["kind"] == "PodMonitor" for one in objects)
    _, with_monitors, _ = berth("render", "-f", write(workload(), claim(), roomy()), *AT, "--pod-monitors")
    assert any(one["kind"] == "PodMonitor" for one in yaml.safe_load_all(with_monitors))


def test_render_names_what_it_leaves_out_and_ends_with_2(berth: Berth) -> None:
    code, out, err = berth("render", "-f", EXAMPLES, *AT, "-o", "json")
    assert code == 2 and "vision/huge cannot be placed" in err
    assert json.loads(out)["kind"] == "List"


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["plan"], "nothing to read: give -f FILE_OR_DIR, or --cluster"),
        (["plan", "-f", "nowhere"], "error: nowhere: no such file or directory"),
        (["plan", "-f", str(EXAMPLES), "--at", "soon"], "'soon' is not a time such as 2026-11-02T12:00:00Z"),
        (["plan", "-f", str(EXAMPLES), "-o", "xml"], "'xml' is not one of"),
        (["plan", "-f", str(EXAMPLES), "--fail-above", "5"], "give --against DIR_OR_SNAPSHOT too"),
        (["plan", "-f", str(EXAMPLES), "--to", "/nowhere/plan"], "--to /nowhere/plan: cannot be written"),
        (["plan", "-f", str(EXAMPLES), "--settings", "nowhere"], "nowhere"),
        (["plan", "--bogus"], "No such option: --bogus"),
        (["plan", "--cluster", "--kubeconfig", "/nowhere"], "--cluster: no cluster to read in /nowhere"),
        (["explain"], "Missing argument 'NAME'"),
        (["dance"], "No such command 'dance'"),
    ],
)
def test_a_mistake_on_the_command_line_is_exit_code_1_and_says_what_to_do(
    berth: Berth, arguments: list[str], says: str
) -> None:
    code, out, err = berth(*arguments)
    assert (code, out) == (1, "")
    assert says in err


def test_every_flaw_of_the_files_is_an_error_line_with_file_and_line(berth: Berth, tmp_path: Path) -> None:
    file = tmp_path / "bert.yaml"
    text = yaml.safe_dump(workload(objectives={"latency": {"p101Milliseconds": 5}}, traffic={"requestsPerSecond": 0.5}))
    file.write_text(text, encoding="utf-8")
    code, _, err = berth("plan", "-f", file)
    lines = err.splitlines()
    assert code == 1 and len(lines) == 2
    assert all(line.startswith(f"error: {file}:") for line in lines)


def test_an_empty_directory_is_nothing_to_place(berth: Berth, tmp_path: Path) -> None:
    code, out, _ = berth("plan", "-f", tmp_path)
    assert code == 0 and out.startswith("0 workloads: nothing to place. $0.00/h")


# --- reference ---------------------------------------------------------------------------------------------------


def test_the_committed_schemas_are_those_of_the_types() -> None:
    directory = ROOT / "docs" / "reference"
    committed = {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*.schema.json")}
    assert committed == schemas.schemas(), "run: python -m berth_operator.cli.schemas --to docs/reference"


def test_the_reference_names_every_command_and_every_option() -> None:
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    every = {name: command.loaded for name, command in typer.main.get_command(app).commands.items()}
    for group in [name for name, command in every.items() if hasattr(command, "commands")]:
        every |= {f"{group} {name}": command for name, command in every.pop(group).commands.items()}
    deciding = {"plan", "explain", "render", "snapshot", "replay", "simulate"}
    pricing = {"prices list", "cost compare", "cost replay", "cost export"}
    assert deciding | pricing | {"predict", "validate", "measure", "probe"} <= set(every)
    for name, command in every.items():
        assert f"## berth {name}" in text
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        assert options and [option for option in sorted(options) if f"`{option}" not in text] == []


def test_help_says_of_each_command_what_its_own_help_begins_with() -> None:
    for name, command in typer.main.get_command(app).commands.items():
        own = " ".join(command.loaded.help.split())
        assert own.startswith(command.help.rstrip(".")), name


def test_help_imports_no_command() -> None:
    heavy = "'numpy', 'scipy', 'kubernetes', 'berth_scheduler', 'berth_operator.cli.commands'"
    code = f"import sys; from berth_operator.cli import run; run(['--help']); print({{{heavy}}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_snapshot_from_files_can_be_read_back(berth: Berth) -> None:
    _, out, _ = berth("snapshot", "-f", EXAMPLES, *AT)
    assert len(Snapshot.model_validate_json(out).workloads) == 7
