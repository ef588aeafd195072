"""Where everything that is built or fetched is kept: outside the repository, made once, never half made.

Standard library only: it runs before the project's own environment exists.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HARNESS = REPOSITORY / "tests" / "harness"


def root() -> Path:
    """``$XDG_CACHE_HOME/berthmaster``, by default ``~/.cache/berthmaster``; made if it is not there."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home).absolute() / "berthmaster"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def key(*parts: str | bytes) -> str:
    """16 hexadecimal digits that change when any of ``parts`` does."""
    raw = [part.encode() if isinstance(part, str) else part for part in parts]
    return hashlib.sha256(b"\0".join(raw)).hexdigest()[:16]


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The file or folder ``name`` in the cache, made by ``make(unfinished)`` if it is not there yet.

    ``make`` writes to a temporary path beside it, which is renamed when done: an interrupted build leaves nothing that
    looks finished. A second process that wants the same thing waits for the first one.
    """
    wanted = root() / name
    if wanted.exists():
        return wanted
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(wanted):
        if not wanted.exists():
            workplace = Path(tempfile.mkdtemp(prefix=f".{wanted.name}.", dir=wanted.parent))
            try:
                make(workplace / wanted.name)
                (workplace / wanted.name).rename(wanted)
            finally:
                shutil.rmtree(workplace, ignore_errors=True)
    return wanted


def made_in_place(name: str, stamp: str, make: Callable[[Path], None]) -> Path:
    """Like ``kept`` for folders that cannot be moved once made (a virtual environment holds its own path).

    Finished means that the file ``.stamp`` in it says ``stamp``; anything else is removed and made again.
    """
    wanted = root() / name
    if _stamp_of(wanted) == stamp:
        return wanted
    with _only_one(wanted):
        if _stamp_of(wanted) != stamp:
            shutil.rmtree(wanted, ignore_errors=True)
            make(wanted)
            (wanted / ".stamp").write_text(stamp)
    return wanted


def _stamp_of(folder: Path) -> str | None:
    try:
        return (folder / ".stamp").read_text()
    except OSError:
        return None


@contextlib.contextmanager
def _only_one(wanted: Path) -> Iterator[None]:
    """Hold the lock beside ``wanted``. Its file stays: removing it would let a third process in beside a second."""
    with open(wanted.parent / f".{wanted.name}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting: another process is making {wanted.name}", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
