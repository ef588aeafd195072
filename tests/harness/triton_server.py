"""A real Triton server without a container: the CPU server of a wheel, in an environment of its own.

The server is 2.51 (24.10) with its python backend; ``backends/`` adds stand-ins of the same name for what the wheel
does not hold: ONNX Runtime runs real networks, the others read what was rendered for them and answer. Standard library
only.
"""

import dataclasses
import functools
import shutil
import subprocess
import sysconfig
from pathlib import Path

import cache
import debian
import interpreters

LOCK = interpreters.REQUIREMENTS / "triton.txt"
MINORS = (11, 12)
"""Python 3.x for the stub: newest and oldest are bounded by numpy 1.26, see ``requirements/triton.in``."""

STAND_INS = cache.HARNESS / "backends"
LINUX_GLIBC = "2.35"  # of the wheel: manylinux_2_35

RELEASE = "24.10"
PLATFORM = {
    "images": {
        "onnxruntime": {"reference": f"nvcr.io/nvidia/tritonserver:{RELEASE}-py3"},
        "tensorrt": {"reference": f"nvcr.io/nvidia/tritonserver:{RELEASE}-py3"},
        "pytorch": {"reference": f"nvcr.io/nvidia/tritonserver:{RELEASE}-py3"},
        "python": {"reference": f"nvcr.io/nvidia/tritonserver:{RELEASE}-py3"},
        "vllm": {"reference": f"nvcr.io/nvidia/tritonserver:{RELEASE}-vllm-python-py3"},
        "tensorrtllm": {"reference": f"nvcr.io/nvidia/tritonserver:{RELEASE}-trtllm-python-py3"},
    }
}
"""The operator's setting ``platform`` where this server runs: it refuses configuration fields of newer releases."""


class Unavailable(Exception):
    """Why no real Triton can run on this machine."""


@dataclasses.dataclass(frozen=True)
class TritonServer:
    """Where the parts of the server lie, all at paths that must stay as they are (they find each other relatively)."""

    environment: Path
    interpreter: Path
    """Prefix of the Python that the environment was made from."""
    libraries: tuple[Path, ...]
    """Folders with libpython, which the wheel leaves to the machine."""
    backends: Path

    @property
    def home(self) -> Path:
        """What an image has at ``/opt/tritonserver``."""
        return next(self.environment.glob("lib/python3.*/site-packages/pytriton/tritonserver"))

    @property
    def program(self) -> Path:
        return self.home / "bin" / "tritonserver"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Everything that a sandbox has to show, at its own path."""
        return (self.environment, self.interpreter, self.backends, STAND_INS, *self.libraries)


@functools.cache
def installed() -> TritonServer:
    """The server, fetched on first use (85 MB). Raises Unavailable with the reason where that is impossible."""
    interpreter = interpreters.find(MINORS)
    if interpreter is None:
        raise Unavailable("real Triton needs a Python " + " or ".join(f"3.{minor}" for minor in MINORS))
    prefix, minor = _facts(interpreter)
    try:
        environment = cache.made_in_place(
            f"triton-3.{minor}-{cache.key(str(prefix))}",
            cache.key(LOCK.read_bytes()),
            lambda folder: interpreters.create(folder, interpreter, LOCK, dependencies=False),
        )
        libraries = _libpython(prefix, minor)
    except subprocess.CalledProcessError as error:
        raise Unavailable(
            f"the Triton wheel does not install here (Linux x86_64, glibc ≥ {LINUX_GLIBC}): {error}"
        ) from error
    except debian.Unavailable as error:
        raise Unavailable(str(error)) from error
    return TritonServer(environment, prefix, libraries, _backends(environment, minor))


def _facts(interpreter: Path) -> tuple[Path, int]:
    command = "import sys; print(sys.base_prefix, sys.version_info[1])"
    answer = subprocess.run([interpreter, "-c", command], check=True, capture_output=True, text=True).stdout.split()
    return Path(answer[0]), int(answer[1])


def _libpython(prefix: Path, minor: int) -> tuple[Path, ...]:
    """Where ``libpython3.x.so.1.0`` is: with a shared-build Python, on the machine, or in Debian's package of it."""
    name = f"libpython3.{minor}.so.1.0"
    machine = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
    for folder in (prefix / "lib", Path("/usr/lib") / machine, Path("/usr/lib64"), Path("/usr/local/lib")):
        if (folder / name).exists():
            return (folder,)
    return tuple(debian.library_folders(debian.unpacked(f"libpython3.{minor}")))


def _backends(environment: Path, minor: int) -> Path:
    """A backend directory: the python backend with this Python's stub, and the stand-ins beside it.

    The stub is a link, because it finds its libraries relative to itself; a copy of it hangs. The library is a copy,
    because the server refuses one that leads out of its folder: ``backend library … escapes backend directory``.
    """
    home = next(environment.glob("lib/python3.*/site-packages/pytriton/tritonserver"))
    stand_ins = sorted(folder for folder in STAND_INS.glob("*") if (folder / "model.py").exists())
    stub = home / "python_backend_stubs" / f"3.{minor}" / "triton_python_backend_stub"
    parts = sorted((home / "backends" / "python").glob("*triton_python*.*"))

    def link(folder: Path) -> None:
        (folder / "python").mkdir(parents=True)
        for part in parts:
            shutil.copy(part, folder / "python")
        (folder / "python" / stub.name).symlink_to(stub)
        for stand_in in stand_ins:
            (folder / stand_in.name).symlink_to(stand_in)

    key = cache.key("copied", *(str(each) for each in [*parts, stub, *stand_ins]))
    return cache.kept(f"backends-{key}", link)


if __name__ == "__main__":
    print(installed().program)
