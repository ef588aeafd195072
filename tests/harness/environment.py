"""The project's own environment: ``python environment.py`` prints the folder of its programs, made on the first call.

It holds what ``requirements/dev.txt`` names and the project itself, installed editable. Standard library only.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import cache
import interpreters
from progress import Step

OLDEST = (3, 11)
LOCK = interpreters.REQUIREMENTS / "dev.txt"
PROJECT = cache.REPOSITORY / "pyproject.toml"


def programs() -> Path:
    """``bin`` of an environment for this checkout, this Python and this lock file."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    key = cache.key(str(cache.REPOSITORY), version, sys.executable)
    project = tomllib.loads(PROJECT.read_text())
    installed = [project["build-system"], project["project"], project["tool"]["hatch"]]  # not how linters are set
    stamp = cache.key(LOCK.read_bytes(), json.dumps(installed, sort_keys=True))
    return cache.made_in_place(f"environment-{key}", stamp, _make) / "bin"


def _make(folder: Path) -> None:
    interpreter = Path(sys.executable)
    interpreters.create(folder, interpreter, LOCK)
    with Step("installing the project, editable"):
        pip = interpreters.pip(folder / "bin" / "python", interpreter)
        flags = [*interpreters.QUIETLY, "--no-deps", "--no-build-isolation"]
        subprocess.run([*pip, "install", *flags, "--editable", cache.REPOSITORY], check=True)


def main() -> int:
    if sys.version_info[:2] < OLDEST:
        print(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, {sys.executable} is {sys.version}", file=sys.stderr)
        return 1
    try:
        print(programs())
    except subprocess.CalledProcessError as error:
        print(f"the environment could not be made: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
