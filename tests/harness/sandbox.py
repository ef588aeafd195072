"""A container's own file tree, processes and user for a plain process: bubblewrap, without root.

Volumes, ConfigMap files and tokens appear at the very paths of the manifest; the host's network is shared.
"""

import asyncio
import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import debian

SYSTEM_FILES = (
    "alternatives", "ca-certificates", "group", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
    "nsswitch.conf", "passwd", "pki", "protocols", "resolv.conf", "services", "ssl",
)  # fmt: skip
"""What of the machine's /etc a container sees. Entry by entry, so that a manifest can mount beside them."""

MERGED_FOLDERS = ("bin", "lib", "lib64", "sbin")
"""Links into /usr on every current distribution."""

START_SECONDS = 10.0


class Unavailable(Exception):
    """Why no process can be sandboxed on this machine."""


@dataclasses.dataclass(frozen=True)
class Mount:
    """Something at ``target``: the file or folder ``source``, or a new tmpfs of ``size_bytes`` (None: no limit)."""

    target: str
    source: Path | None = None
    read_only: bool = False
    size_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class Confinement:
    """What one container may see and be."""

    mounts: Sequence[Mount]
    environment: Mapping[str, str]
    links: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Path in the sandbox → what the symbolic link there says."""
    user: int = 0
    group: int = 0
    working_directory: str = "/"
    read_only_root: bool = False
    shared_processes: bool = False
    """``shareProcessNamespace``: the container is not process 1, so a SIGTERM works before it handles it."""


@functools.cache
def bubblewrap() -> tuple[str, Mapping[str, str]]:
    """The program and the environment it needs. Raises Unavailable where it, or user namespaces, cannot be had."""
    program = shutil.which("bwrap")
    environment: Mapping[str, str] = os.environ
    if program is None:
        try:
            program, environment = _unpacked()
        except (debian.Unavailable, subprocess.CalledProcessError) as error:
            raise Unavailable(f"bubblewrap cannot be had: {error}") from error
    trial = [
        program,
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "true",
    ]
    answer = subprocess.run(trial, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise Unavailable(f"bubblewrap may not make namespaces here: {answer.stderr.strip()}")
    return program, environment


def _unpacked() -> tuple[str, Mapping[str, str]]:
    """Debian's bubblewrap, with its libraries where the machine has them not."""
    root = debian.unpacked("bubblewrap")
    program = str(root / "usr/bin/bwrap")
    linked = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    libraries = {"libcap.so.2": "libcap2", "libselinux.so.1": "libselinux1", "libpcre2-8.so.0": "libpcre2-8-0"}
    folders: list[str] = []
    if "not found" in linked:
        for library, package in libraries.items():
            if f"{library} => /" not in linked:
                folders += [str(folder) for folder in debian.library_folders(debian.unpacked(package))]
    return program, os.environ | ({"LD_LIBRARY_PATH": ":".join(folders)} if folders else {})


def arguments(confinement: Confinement, command: Sequence[str], info: int) -> list[str]:
    """bubblewrap's arguments; it writes the process id of its child as JSON to the file descriptor ``info``."""
    program, _ = bubblewrap()
    flags = [program, "--unshare-user", "--uid", str(confinement.user), "--gid", str(confinement.group)]
    flags += ["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--die-with-parent", "--new-session", "--clearenv"]
    flags += [] if confinement.shared_processes else ["--as-pid-1"]
    flags += ["--info-fd", str(info), "--chdir", confinement.working_directory]
    for name, value in confinement.environment.items():
        flags += ["--setenv", name, value]
    flags += _machine()
    for mount in sorted(confinement.mounts, key=lambda mount: mount.target.count("/")):  # a parent before what is in it
        flags += _mounted(mount)
    for path, says in confinement.links.items():
        flags += ["--symlink", says, path]
    flags += ["--remount-ro", "/"] if confinement.read_only_root else []
    return [*flags, "--", *command]


def is_machines_own(path: Path) -> bool:
    """Whether it lies in what every sandbox shows of the machine, read-only."""
    return path.parts[1:2] != () and path.parts[1] in {"usr", "proc", *MERGED_FOLDERS}


def refuse_machine_paths(target: str) -> None:
    """Raises OSError for a mount into what is the machine's own, read-only: no mount point can be made there."""
    parts = Path(target).parts
    if is_machines_own(Path(target)):
        raise OSError(f"{target}: below /{parts[1]} nothing can be mounted in a sandbox")
    if parts[1:2] == ("etc",) and parts[2:3] and parts[2] in SYSTEM_FILES and Path("/etc", parts[2]).exists():
        raise OSError(f"{target}: /etc/{parts[2]} is the machine's own")


def start_error(log: Path) -> str | None:
    """What bubblewrap said when it could not run the command, if that is how the process ended."""
    last = "".join(log.read_text(errors="replace").splitlines()[-1:])
    return last.removeprefix("bwrap: ") if last.startswith("bwrap: ") else None


def _machine() -> list[str]:
    """The machine's programs and libraries, read-only, in place of an image's."""
    flags = ["--proc", "/proc", "--dev", "/dev", "--ro-bind", "/usr", "/usr", "--dir", "/tmp", "--dir", "/var/run"]
    for name in MERGED_FOLDERS:
        folder = Path("/", name)
        if folder.is_symlink():
            flags += ["--symlink", os.readlink(folder), str(folder)]
        elif folder.exists():
            flags += ["--ro-bind", str(folder), str(folder)]
    for name in SYSTEM_FILES:
        if (entry := Path("/etc", name)).exists():
            flags += ["--ro-bind", str(entry.resolve()), str(entry)]
    return [*flags, "--symlink", "/var/run", "/run"]


def _mounted(mount: Mount) -> list[str]:
    if mount.source is None:
        size = [] if mount.size_bytes is None else ["--size", str(mount.size_bytes)]
        return [*size, "--tmpfs", mount.target]
    return ["--ro-bind" if mount.read_only else "--bind", str(mount.source), mount.target]


class SandboxedProcess:
    """A running container: signals go to its own first process, not to bubblewrap."""

    def __init__(self, process: asyncio.subprocess.Process, child: int, shared_processes: bool) -> None:
        self._process = process
        self._child = child
        self._shared_processes = shared_processes

    @classmethod
    async def start(cls, confinement: Confinement, command: Sequence[str], log: Path) -> "SandboxedProcess":
        """Raises OSError where a mount is impossible. A command that is not there ends at once, as StartError says."""
        for mount in confinement.mounts:
            refuse_machine_paths(mount.target)
        _, environment = bubblewrap()
        reader, writer = os.pipe()
        try:
            with open(log, "ab") as output:
                process = await asyncio.create_subprocess_exec(
                    *arguments(confinement, command, writer),
                    env=environment, pass_fds=(writer,),
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                )  # fmt: skip
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        said = await asyncio.wait_for(asyncio.to_thread(_read_all, reader), START_SECONDS)
        if not said:
            await process.wait()
            raise OSError("".join(log.read_text(errors="replace").splitlines()[-1:]) or "bubblewrap did not start")
        sandboxed = cls(process, json.loads(said)["child-pid"], confinement.shared_processes)
        while not sandboxed._first_processes() and process.returncode is None:
            await asyncio.sleep(0.005)
        return sandboxed

    async def wait(self) -> int:
        """The exit status as a container reports it: 128 + the signal's number for a process killed by one."""
        status = await self._process.wait()
        return 128 - status if status < 0 else status

    def signal(self, number: signal.Signals) -> None:
        for process in self._first_processes():
            try:
                os.kill(process, number)
            except ProcessLookupError:  # gone meanwhile
                continue

    def kill(self) -> None:
        """SIGKILL to everything in the sandbox: the kernel ends it all with its first process."""
        for process in (self._child, self._process.pid):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue

    async def execute(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run ``command`` beside the container's own processes, in its file tree; its exit status."""
        enter = ["nsenter", f"--target={self._child}", "--user", "--mount", "--pid", "--ipc", "--preserve-credentials"]
        if shutil.which(enter[0]) is None:
            raise OSError("commands in containers need nsenter (util-linux), which this machine does not have")
        entered = await asyncio.create_subprocess_exec(
            *enter, "--", *command, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return await entered.wait()

    def _first_processes(self) -> list[int]:
        if not self._shared_processes:
            return [self._child]
        children = Path(f"/proc/{self._child}/task/{self._child}/children")
        try:
            return [int(process) for process in children.read_text().split()]
        except OSError:
            return []


def _read_all(descriptor: int) -> bytes:
    with open(descriptor, "rb") as pipe:
        return pipe.read()
