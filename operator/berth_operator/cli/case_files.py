"""Files of cases (JSON lines): read line by line however long they are, answered in the order of the lines."""

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from berth_cost.cases.answers import SEED, Answer, answers
from berth_cost.cases.lines import MOST_LINE_BYTES, CaseFlaw, NumberedCase
from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_operator.cli.outcome import InputError
from berth_operator.cli.output import note, printable

STDIN = Path("-")
MOST_NOTED = 3
MOST_TOLD = 20
"""Flaws that are told on stderr; the result has all of them."""


def answered(
    file: Path, catalogue: GPUCatalogue, seed: int | None = SEED
) -> Iterator[tuple[NumberedCase | CaseFlaw, Answer]]:
    """Each line of ``file`` (- is stdin, .gz is unpacked) with its answer, ``seed`` as in
    :func:`berth_cost.cases.answers.answers`. Raises :class:`InputError` for a file that cannot be read or has no case
    in it."""
    told, twice, seen = 0, 0, False
    lines_of_id: dict[str, int] = {}
    with _opened(file) as stream:
        for read, answer in answers(_lines(stream, file), catalogue, seed):
            seen = True
            if isinstance(answer, CaseFlaw):
                told += 1
                if told <= MOST_TOLD:
                    sys.stderr.write(f"error: {_name(file)}:{answer.line}: {printable(answer.error)}\n")
            elif isinstance(read, NumberedCase):
                first = lines_of_id.setdefault(read.case.id, read.line)
                twice += first != read.line
                if first != read.line and twice <= MOST_NOTED:
                    note(f"{_name(file)}:{read.line}: the id {read.case.id!r} was on line {first} already")
            yield read, answer
    if told > MOST_TOLD:
        sys.stderr.write(f"error: … and {told - MOST_TOLD} more lines\n")
    if twice > MOST_NOTED:
        note(f"{twice - MOST_NOTED} more lines have an id that another line has")
    if not seen:
        raise InputError(f"{_name(file)}: has no case in it: it must hold one JSON object a line")


def _name(file: Path) -> str:
    return "<stdin>" if file == STDIN else str(file)


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    try:
        if file == STDIN:
            yield sys.stdin.buffer
        elif file.suffix == ".gz":
            with gzip.open(file) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            with file.open("rb") as stream:
                yield stream
    except OSError as error:
        raise InputError(f"{_name(file)}: cannot be read: {error.strerror or error}") from error


def _lines(stream: IO[bytes], file: Path) -> Iterator[bytes]:
    """The lines; of one that is too long only so much as shows it."""
    try:
        while line := stream.readline(MOST_LINE_BYTES + 2):
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = stream.readline(MOST_LINE_BYTES)
            yield line
    except (EOFError, zlib.error) as error:
        raise InputError(f"{_name(file)}: is cut off or no gzip file: {error}") from error
