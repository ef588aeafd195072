"""How a demonstration tells what it does: chapters, commands with their words, and what it waits for."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.rule import Rule

import cache
from progress import Step

console = Console(highlight=False, soft_wrap=True)


class DemoFailed(Exception):
    """Something did not come about; the message says what was waited for and what was seen instead."""


def chapter(title: str, subtitle: str) -> None:
    console.print()
    console.print(
        Rule(f"[bold]{title}[/]", align="left", characters="─"), width=min(100, shutil.get_terminal_size().columns)
    )
    console.print(f"[dim]{subtitle}[/]")
    sys.stdout.flush()


def show(*command: str, accept: Sequence[int] = (0,)) -> None:
    """Run it as a person would, with its words on the terminal."""
    console.print(f"\n[bold]$ {' '.join(map(readable, command))}[/]", markup=True)
    sys.stdout.flush()
    status = subprocess.run(command, check=False).returncode
    if status not in accept:
        raise DemoFailed(f"{command[0]} ended with status {status}")


def readable(word: str) -> str:
    """Paths as seen from the repository; words that a shell would split in quotes."""
    path = Path(word)
    if path.is_absolute() and path.is_relative_to(cache.REPOSITORY):
        return str(path.relative_to(cache.REPOSITORY))
    return f"'{word}'" if "{" in word else word


def asked(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wait_for(what: str, ask: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    with Step(f"waiting for {what}"):
        while not ask():
            if time.monotonic() > deadline:
                seen = asked("kubectl", "get", "inferenceworkloads", "-A", "-o", "wide")
                raise DemoFailed(f"Waited {seconds:.0f} s for {what}. Seen instead:\n{seen}")
            time.sleep(0.3)
