"""Where results go: stdout or a file, as a table for people or as JSON, YAML or Markdown. Everything else is stderr."""

import io
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from berth_operator.cli.outcome import InputError

WIDTH = 100
"""Columns. A narrower terminal gets what it has."""
NO_BREAK = "\u00a0"
GAP = 2
"""Between the columns of a table."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"


@dataclass(frozen=True, slots=True)
class Output:
    """What ``-o`` and ``--to`` ask for."""

    format: Format
    to: Path | None = None

    def write_record(self, record: BaseModel, page: Callable[["Page"], None], markdown: Callable[[], str]) -> None:
        """A result in the format asked for; ``page`` lays it out as a table."""
        match self.format:
            case Format.TABLE:
                layout = Page(colour=self.to is None and _is_terminal(sys.stdout))
                page(layout)
                self.write(layout.text())
            case Format.MARKDOWN:
                self.write(markdown())
            case Format.JSON:
                self.write(record.model_dump_json(by_alias=True, indent=2) + "\n")
            case Format.YAML:
                self.write(as_yaml(json.loads(record.model_dump_json(by_alias=True))))

    def write(self, text: str) -> None:
        if self.to is None:
            sys.stdout.write(text)
            return
        try:
            self.to.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"--to {self.to}: cannot be written: {error.strerror}") from error


class BlockDumper(yaml.SafeDumper):
    """Several lines of text as a block, as a person would write them."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


BlockDumper.add_representer(str, _text)


def as_yaml(*documents: Any) -> str:
    dumped: str = yaml.dump_all(
        documents,
        Dumper=BlockDumper,
        sort_keys=False,
        allow_unicode=True,
        width=WIDTH,
        explicit_start=len(documents) > 1,
    )
    return dumped


@dataclass(frozen=True, slots=True)
class Column:
    """``least`` is the width that it may be cut to; None: never cut."""

    header: str
    right: bool = False
    least: int | None = None


class Page:
    """A text of at most :data:`WIDTH` columns: sentences folded at words, tables cut where they must be."""

    def __init__(self, *, colour: bool) -> None:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns if colour else WIDTH
        self._width = max(40, min(WIDTH, columns))
        self._console = Console(
            file=io.StringIO(),
            width=self._width,
            force_terminal=colour,
            color_system="auto" if colour else None,
            highlight=False,
            emoji=False,
            markup=False,
        )

    def sentence(self, text: str, style: str = "", *, indent: str = "", first: str | None = None) -> None:
        """``text`` folded, never at a no-break space; its lines start with ``indent``, the first one with ``first``."""
        lines = textwrap.wrap(
            printable(text),
            self._width,
            initial_indent=indent if first is None else first,
            subsequent_indent=indent,
            break_long_words=True,
            break_on_hyphens=False,
        )
        for line in lines or [""]:
            self._console.print(Text(line.replace(NO_BREAK, " "), style=style), soft_wrap=True)

    def gap(self) -> None:
        self._console.print()

    def table(self, columns: Sequence["Column"], rows: Sequence[Sequence[Text]]) -> None:
        """A table without lines; where it is too wide, columns that may be cut are, the first of them first."""
        widths = [
            max(cell_len(text) for text in (column.header, *(row[index].plain for row in rows)))
            for index, column in enumerate(columns)
        ]
        excess = sum(widths) + GAP * (len(widths) - 1) - self._width
        for index in range(len(columns)):
            least = columns[index].least
            cut = 0 if least is None else min(max(excess, 0), max(widths[index] - least, 0))
            widths[index] -= cut
            excess -= cut
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
        table.show_header = any(column.header for column in columns)
        for column, width in zip(columns, widths, strict=True):
            side: Literal["left", "right"] = "right" if column.right else "left"
            table.add_column(column.header, justify=side, width=width, no_wrap=True, overflow="ellipsis")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)

    def text(self) -> str:
        written = self._console.file
        assert isinstance(written, io.StringIO)
        return "\n".join(line.rstrip() for line in written.getvalue().split("\n"))


def cell(text: str, style: str = "") -> Text:
    """A cell that is taken to the letter: no markup, no control characters."""
    return Text(printable(text), style=style)


def printable(text: str) -> str:
    """``text`` without control characters, which could rewrite a terminal."""
    return "".join(character if character.isprintable() or character == NO_BREAK else " " for character in text)


def unbroken(text: str) -> str:
    """``text`` as one word, where sentences are folded."""
    return text.replace(" ", NO_BREAK)


def note(text: str) -> None:
    """A remark on stderr, for the person and not for the pipe."""
    sys.stderr.write(f"note: {printable(text)}\n")


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Says on stderr what is being done, while it lasts; only on a terminal."""
    if not _is_terminal(sys.stderr):
        yield
        return
    with Console(stderr=True).status(what):
        yield


def _is_terminal(stream: Any) -> bool:
    return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"
