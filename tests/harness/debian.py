"""Debian packages without root: fetched with apt, unpacked into the cache. Nothing on the machine is changed.

Standard library only.
"""

import platform
import shutil
import subprocess
from pathlib import Path

import cache
from progress import Step

LIBRARY_FOLDERS = ("lib", "usr/lib")


class Unavailable(Exception):
    """Why a package cannot be had here; the message names it."""


def unpacked(package: str) -> Path:
    """The folder below which the files of ``package`` lie (without its dependencies).

    Raises Unavailable where there is no apt, or apt does not know the package.
    """
    release = cache.key(*_release())
    return cache.kept(f"debian-{release}/{package}", lambda folder: _fetch(package, folder))


def library_folders(root: Path) -> list[Path]:
    """Folders of shared libraries below an unpacked package, for LD_LIBRARY_PATH."""
    found = {library.parent for top in LIBRARY_FOLDERS for library in (root / top).rglob("*.so*")}
    return sorted(found)


def _fetch(package: str, folder: Path) -> None:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise Unavailable(f"{package}: this machine has no {tool}")
    folder.mkdir(parents=True)
    with Step(f"fetching the Debian package {package}"):
        lists = _lists_that_know(package)
        downloaded = subprocess.run(
            ["apt-get", *lists, "download", package], cwd=folder, capture_output=True, text=True, check=False
        )
        archives = list(folder.glob("*.deb"))
        if downloaded.returncode != 0 or not archives:
            raise Unavailable(f"{package}: {(downloaded.stderr or 'apt-get downloaded nothing').strip()}")
        subprocess.run(["dpkg", "-x", archives[0], folder], check=True)
        archives[0].unlink()


def _lists_that_know(package: str) -> list[str]:
    """apt options under which ``package`` has a candidate: none, or a private copy of the package lists."""
    if _candidate(package, []):
        return []
    private = cache.root() / "apt"
    for part in ("lists/partial", "archives/partial"):
        (private / part).mkdir(parents=True, exist_ok=True)
    options = [
        "-o", f"Dir::State::lists={private / 'lists'}",
        "-o", f"Dir::Cache={private}",
        "-o", "Debug::NoLocking=true",
    ]  # fmt: skip
    if not _candidate(package, options):
        updated = subprocess.run(["apt-get", *options, "update"], capture_output=True, text=True, check=False)
        if updated.returncode != 0:
            raise Unavailable(f"{package}: apt-get update: {updated.stderr.strip()}")
    return options


def _candidate(package: str, options: list[str]) -> bool:
    command = ["apt-get", *options, "download", "--print-uris", package]
    return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0


def _release() -> tuple[str, ...]:
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    return system.get("ID", platform.system()), system.get("VERSION_ID", ""), platform.machine()
