"""What is handed out: the wheel, installed where nothing of this checkout can be seen, and the Dockerfile around it."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest
import yaml

import cache
import chart_stories
import dockerfile
import interpreters
from berth_operator import __version__
from dockerfile import Stage

PACKAGES = ("operator/berth_operator", "scheduler/berth_scheduler", "cost_model/berth_cost")
BUILDER, IMAGE = dockerfile.stages()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as the Dockerfile does."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=cache.REPOSITORY, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; it borrows this one's libraries, and not this checkout.

    Lines of a ``.pth`` file become entries of the path, whose own ``.pth`` files (an editable install) are not read.
    """
    folder = tmp_path_factory.mktemp("installed") / "environment"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = interpreters.pip(python, Path(sys.executable))
    subprocess.run([*pip, "install", *interpreters.QUIETLY, "--no-index", "--no-deps", wheel], check=True)
    own = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    (Path(own) / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A working directory with a folder in it that kills any interpreter which imports it."""
    trap = tmp_path / "operator"
    trap.mkdir()
    (trap / "__init__.py").write_text("raise SystemExit('the standard library is shadowed')\n")
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    """Its words on stdout, in an environment without this one's settings."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestTheWheel:
    def test_holds_every_file_of_the_three_packages_and_nothing_else(self, wheel: Path) -> None:
        there = {
            f"{Path(package).name}/{file.relative_to(cache.REPOSITORY / package).as_posix()}"
            for package in PACKAGES
            for file in (cache.REPOSITORY / package).rglob("*")
            if file.is_file() and not set(file.parts) & {"__pycache__", ".mypy_cache"}
        }
        with zipfile.ZipFile(wheel) as packed:
            names = {name for name in packed.namelist() if ".dist-info/" not in name}
        assert names == there

    def test_holds_the_catalogues_and_says_that_it_is_typed(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as packed:
            names = set(packed.namelist())
        assert {"berth_cost/data/gpus.yaml", "berth_cost/data/models.yaml", "berth_cost/data/prices.csv"} <= names
        assert {f"{Path(package).name}/py.typed" for package in PACKAGES} <= names
        assert not [name for name in names if "test" in name.lower()]

    def test_says_what_it_is(self, wheel: Path, installed: Path) -> None:
        found = distribution(installed)
        assert found.version == __version__
        assert found.metadata["License-Expression"] == "Apache-2.0"
        assert found.metadata["Requires-Python"] == ">=3.11"
        assert {each.name for each in found.entry_points} == {"berth", "berth-operator", "kubectl-berth"}

    def test_starts_the_operator_as_the_image_does(self, installed: Path, elsewhere: Path) -> None:
        python, *rest = IMAGE.last("ENTRYPOINT").listed
        said = run([str(installed / "bin" / python), *rest, "--help"], elsewhere)
        assert "--settings FILE" in said

    def test_has_programs_that_start(self, installed: Path, elsewhere: Path) -> None:
        assert __version__ in run([str(installed / "bin" / "berth-operator"), "--version"], elsewhere)
        for program in ("berth", "kubectl-berth"):
            assert "explain" in run([str(installed / "bin" / program), "--help"], elsewhere)

    def test_plans_with_its_own_catalogues(self, installed: Path, elsewhere: Path) -> None:
        examples = cache.REPOSITORY / "examples"
        files = [word for name in ("pools", "resnet") for word in ("-f", str(examples / f"{name}.yaml"))]
        said = run([str(installed / "bin" / "berth"), "plan", *files, "-o", "json"], elsewhere)
        assert [each["workload"] for each in json.loads(said)["decisions"]] == ["vision/resnet"]
        imported = "import berth_cost, berth_operator, berth_scheduler as s; print(berth_cost.__file__, s.__file__)"
        for file in run([str(installed / "bin" / "python"), "-P", "-c", imported], elsewhere).split():
            assert Path(file).is_relative_to(installed)


def distribution(environment: Path) -> Distribution:
    (folder,) = environment.glob("lib/python*/site-packages/berthmaster-*.dist-info")
    return PathDistribution(folder)


class TestTheDockerfile:
    def test_builds_in_one_stage_and_ships_another(self) -> None:
        assert (BUILDER.name, IMAGE.name) == ("build", "")
        assert BUILDER.base == IMAGE.base
        assert IMAGE.all("RUN") == []

    @pytest.mark.parametrize("stage", [BUILDER, IMAGE], ids=["build", "image"])
    def test_copies_only_what_is_there(self, stage: Stage) -> None:
        for copy in stage.all("COPY"):
            sources, _ = copy.copied
            if copy.origin:
                assert copy.origin == BUILDER.name
                continue
            for source in sources:
                path = cache.REPOSITORY / source
                files = [path] if path.is_file() else list(path.rglob("*.py"))
                assert files, source
                for file in files:
                    assert dockerfile.sees(str(file.relative_to(cache.REPOSITORY))), file

    def test_copies_everything_that_the_wheel_is_made_of(self) -> None:
        copied = {source for copy in BUILDER.all("COPY") for source in copy.copied[0]}
        assert {Path(package).parts[0] for package in PACKAGES} <= copied
        assert {"pyproject.toml", "README.md", "LICENSE"} <= copied

    @pytest.mark.parametrize(
        "path", [".git/config", "tests/unit/conftest.py", "operator/berth_operator/__pycache__/a.pyc"]
    )
    def test_sends_the_builder_nothing_else(self, path: str) -> None:
        assert not dockerfile.sees(path)

    def test_installs_only_what_has_a_hash_or_was_built_here(self) -> None:
        installs = [each for run in BUILDER.all("RUN") for each in re.findall(r"pip install ([^&]*)", run.text)]
        copied = {source for copy in BUILDER.all("COPY") for source in copy.copied[0]}
        assert len(installs) == 3
        for install in installs:
            if "--require-hashes" in install:
                assert install.split()[-1] in copied
                assert "--only-binary=:all:" in install
            else:
                assert "--no-index --no-deps" in install

    def test_ships_the_environment_at_the_path_at_which_it_was_made(self) -> None:
        (copy,) = IMAGE.all("COPY")
        sources, destination = copy.copied
        assert sources == [destination]
        assert f"python -m venv {destination} " in BUILDER.all("RUN")[0].text
        assert IMAGE.last("ENV").words[0] == f"PATH={destination}/bin:$PATH"

    def test_runs_as_the_user_that_the_chart_states_and_not_as_root(self) -> None:
        pod = chart_stories.one(chart_stories.rendered({}), "Deployment")["spec"]["template"]["spec"]["securityContext"]
        assert IMAGE.last("USER").text == f"{pod['runAsUser']}:{pod['runAsGroup']}"
        assert pod["runAsUser"] > 0

    def test_gives_its_nameless_user_a_home_that_can_be_written_to(self) -> None:
        """Where the root file system is read-only, as in the chart, that is /tmp."""
        pod = chart_stories.one(chart_stories.rendered({}), "Deployment")["spec"]["template"]["spec"]
        mounted = [each["mountPath"] for each in pod["containers"][0]["volumeMounts"] if not each.get("readOnly")]
        assert mounted == [IMAGE.last("WORKDIR").text] == ["/tmp"]
        assert "HOME=/tmp" in IMAGE.last("ENV").words

    def test_keeps_the_working_directory_off_the_path(self) -> None:
        python, *flags, module = IMAGE.last("ENTRYPOINT").listed
        assert (python, flags) == ("python", ["-P", "-m"])
        assert (cache.REPOSITORY / "operator" / module / "__main__.py").exists()

    def test_uses_a_python_that_the_project_and_its_locked_wheels_are_for(self) -> None:
        minor = re.fullmatch(r"python:3\.(\d+)-slim", IMAGE.base)
        assert minor is not None
        assert int(minor[1]) >= 11

    def test_is_what_the_chart_installs(self) -> None:
        values = yaml.safe_load((cache.REPOSITORY / "helm" / "berthmaster" / "values.yaml").read_text())
        assert values["image"]["repository"].endswith("/berthmaster")
        pod = chart_stories.one(chart_stories.rendered({}), "Deployment")["spec"]["template"]["spec"]
        (operator,) = pod["containers"]
        assert "command" not in operator
        assert operator["args"][0] == "--settings"
