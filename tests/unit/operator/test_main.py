"""The process: what it needs to start, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return subprocess.run(
        [sys.executable, "-P", "-m", "berth_operator", *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_says_its_version() -> None:
    found = run("--version")
    assert (found.returncode, found.stdout.startswith("berth-operator ")) == (0, True)


def test_settings_that_cannot_be_used_end_it_with_2_and_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("lease: {nam: x}\n")
    found = run("--settings", str(file))
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == f"{file}: lease.nam: is not a setting: correct its name or remove it\n"


def test_without_credentials_it_ends_with_2_and_says_what_to_give(tmp_path: Path) -> None:
    found = run("--kubeconfig", str(tmp_path / "absent"))
    assert found.returncode == 2
    assert "--kubeconfig" in found.stderr


@pytest.mark.parametrize("arguments", [["--setting", "x"], ["extra"]])
def test_arguments_that_it_does_not_know_end_it_with_2(arguments: list[str]) -> None:
    assert run(*arguments).returncode == 2


def test_a_standby_without_an_api_server_lives_logs_json_and_stops_on_a_signal(tmp_path: Path) -> None:
    config, settings = tmp_path / "config", tmp_path / "settings.yaml"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "users": [{"name": "c", "user": {"token": "t"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
            }
        )
    )
    settings.write_text("health: {host: 127.0.0.1, port: 0}\n")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "berth_operator", "--settings", str(settings), "--kubeconfig", str(config)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert (first["event"], first["level"]) == ("lease.waiting", "info")
        process.terminate()
        rest = process.communicate(timeout=30)[0]
    finally:
        process.kill()
    assert [json.loads(line)["event"] for line in rest.splitlines()] == ["operator.stopping"]
    assert process.returncode == 0
