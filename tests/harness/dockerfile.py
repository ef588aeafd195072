"""The Dockerfile as stages of instructions, and what of the repository its builder sees: read without Docker."""

import dataclasses
import fnmatch
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import cache

FILE = cache.REPOSITORY / "Dockerfile"
IGNORED = cache.REPOSITORY / ".dockerignore"


@dataclasses.dataclass(frozen=True)
class Instruction:
    """``words`` are those of the shell form; ``text`` is all that follows the name."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    @property
    def listed(self) -> list[str]:
        """Of the exec form; raises JSONDecodeError for the shell form."""
        found: list[str] = json.loads(self.text)
        return found

    @property
    def origin(self) -> str:
        """The stage that a COPY takes from; empty for the repository."""
        return next((word.removeprefix("--from=") for word in self.words if word.startswith("--from=")), "")

    @property
    def copied(self) -> tuple[list[str], str]:
        """Sources and destination of a COPY."""
        *sources, destination = (word for word in self.words if not word.startswith("--"))
        return sources, destination


@dataclasses.dataclass(frozen=True)
class Stage:
    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def all(self, name: str) -> list[Instruction]:
        return [each for each in self.instructions if each.name == name]

    def last(self, name: str) -> Instruction:
        """Raises IndexError where there is none."""
        return self.all(name)[-1]


def stages(file: Path = FILE) -> list[Stage]:
    """In their order, with build arguments replaced by their defaults."""
    found: list[Stage] = []
    arguments: dict[str, str] = {}
    for name, text in _lines(file.read_text()):
        if name == "ARG" and not found:
            argument, _, default = text.partition("=")
            arguments[argument] = default
        elif name == "FROM":
            base, *named = re.sub(r"\$\{(\w+)\}", lambda each: arguments[each[1]], text).split()
            found.append(Stage(named[-1] if named else "", base, ()))
        else:
            last = found[-1]
            found[-1] = dataclasses.replace(last, instructions=(*last.instructions, Instruction(name, text)))
    return found


def _lines(text: str) -> Iterator[tuple[str, str]]:
    without_comments = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    for line in without_comments.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name.upper(), " ".join(rest.split())


def sees(path: str) -> bool:
    """Whether the builder gets this file of the repository: the last line of .dockerignore that fits it decides."""
    seen = True
    for line in IGNORED.read_text().splitlines():
        pattern = line.strip().removeprefix("!")
        if pattern and not pattern.startswith("#") and _fits(Path(path), pattern):
            seen = line.startswith("!")
    return seen


def _fits(path: Path, pattern: str) -> bool:
    """The pattern names the file or a folder around it; ``**/`` is any depth."""
    around = [str(path), *(str(parent) for parent in path.parents if str(parent) != ".")]
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatchcase(Path(each).name, pattern[3:]) for each in around)
    return any(each.count("/") == pattern.count("/") and fnmatch.fnmatchcase(each, pattern) for each in around)
