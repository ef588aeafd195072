"""Python interpreters of this machine, and virtual environments made from hashed lock files. Standard library only."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import cache
import debian
from progress import Step

REQUIREMENTS = cache.REPOSITORY / "requirements"
QUIETLY = ("--quiet", "--no-input", "--disable-pip-version-check", "--root-user-action=ignore")
LOCKED = ("install", *QUIETLY, "--require-hashes")


def find(minors: Iterable[int]) -> Path | None:
    """An interpreter of one of Python 3.``minors``, in that order of preference; None where there is none."""
    for minor in minors:
        candidates = [sys.executable, shutil.which(f"python3.{minor}"), shutil.which("python3")]
        for candidate in filter(None, candidates):
            if _minor(candidate) == minor:
                return Path(candidate)
    return None


def _minor(interpreter: str) -> int | None:
    """A name on PATH may be a shim of an interpreter that is not installed: only an answer counts."""
    command = [interpreter, "-c", "import sys; print(sys.version_info[1])"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(answer.stdout) if answer.returncode == 0 else None


def create(folder: Path, interpreter: Path, lock: Path, *, dependencies: bool = True) -> None:
    """A virtual environment in ``folder`` with exactly what ``lock`` names, every file checked against its hash."""
    subprocess.run([interpreter, "-m", "venv", "--without-pip", folder], check=True)
    with Step(f"installing {lock.relative_to(cache.REPOSITORY)} into {folder.name}"):
        only = [] if dependencies else ["--no-deps"]
        subprocess.run([*pip(folder / "bin" / "python", interpreter), *LOCKED, *only, "-r", lock], check=True)


def unpack(lock: Path, folder: Path) -> None:
    """The files of the packages that ``lock`` names, below ``folder``: for packages that are data or programs."""
    here = Path(sys.executable)
    subprocess.run([*pip(here, here), *LOCKED, "--no-deps", "--target", folder, "-r", lock], check=True)


def pip(into: Path, interpreter: Path) -> list[str | Path]:
    """The command that installs into the environment of ``into``: the machine's own pip, else Debian's pip wheel.

    Debian splits pip and ensurepip off its Python. ``--python`` lets any recent pip serve another environment, so none
    has to be installed anywhere; an environment without pip was made by an interpreter that may have one.
    """
    for candidate in (interpreter, _origin(interpreter)):
        has_pip = subprocess.run([candidate, "-m", "pip", "--version"], capture_output=True, check=False)
        if has_pip.returncode == 0:
            return [candidate, "-m", "pip", "--python", into]
    wheel = next(debian.unpacked("python3-pip-whl").glob("usr/share/python-wheels/pip-*.whl"))
    return [into, wheel / "pip"]


def _origin(interpreter: Path) -> Path:
    """The interpreter that the environment of ``interpreter`` was made by; itself outside an environment."""
    command = [str(interpreter), "-c", "import sys; print(sys._base_executable)"]
    return Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
