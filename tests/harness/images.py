"""What runs for which image: the two that this kubelet knows, and scripted behaviour for all others."""

import dataclasses
import fnmatch
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import cache
import sandbox
import triton_server
from kube_api import Object
from sandbox import Mount
from simulation import Behaviour
from volumes import Volumes

TRITON_IMAGES = ("nvcr.io/nvidia/tritonserver",)
OPERATOR_IMAGES = ("ghcr.io/berthmaster/berthmaster",)
POD_SITE = cache.HARNESS / "pod_site"
LLM_API = "/app/all_models/llmapi/tensorrt_llm/1"
"""Where TensorRT-LLM's image keeps Triton's adapter for it, which pods copy into their repository."""
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
SOURCE_ROOTS = ("operator", "scheduler", "cost_model")

Script = Callable[[Object, Object], Behaviour | None]
"""``script(pod, container)``: how to play it, or None for the next script."""


@dataclasses.dataclass(frozen=True)
class Program:
    """How a known image is run: what its root file system adds to the machine's, and its entry point."""

    entrypoint: Sequence[str]
    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    links: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Images:
    """Decides, container by container. At most ``real_triton`` Triton pods are real: each costs some processes."""

    def __init__(self, volumes: Volumes, *, real_triton: int = 4, only: Sequence[str] = ("*",)) -> None:
        self.volumes = volumes
        self.real_triton = real_triton
        self.only = list(only)
        """Patterns of ``NAMESPACE/POD`` whose Triton is real; the others are played."""
        self.triton_behaviour = Behaviour(pull_seconds=0.2, ready_seconds=0.5)
        self._scripts: list[Script] = []
        self._running: set[str] = set()

    def play(self, script: Script) -> None:
        """Ask ``script`` before all earlier ones how to play a container; it may turn a real one into a played one."""
        self._scripts.insert(0, script)

    def clear_scripts(self) -> None:
        self._scripts.clear()

    def chosen(self, pod: Object, container: Object, address: str, workplace: Path) -> Program | Behaviour:
        """``workplace`` is a folder of the pod's for what the program needs on disk."""
        for script in self._scripts:
            if behaviour := script(pod, container):
                return behaviour
        image = container["image"]
        if image.startswith(OPERATOR_IMAGES):
            return self._operator(address)
        if image.startswith(TRITON_IMAGES):
            return self._triton(pod, container, address, workplace)
        return Behaviour()

    def ended(self, pod: Object) -> None:
        """The pod is gone: its place among the real ones is free."""
        self._running.discard(pod["metadata"]["uid"])

    def _operator(self, address: str) -> Program | Behaviour:
        try:
            sandbox.bubblewrap()
        except sandbox.Unavailable as reason:
            return Behaviour(why=str(reason))
        environment = Path(sys.prefix)
        folders = [environment, Path(sys.base_prefix), POD_SITE, *(cache.REPOSITORY / root for root in SOURCE_ROOTS)]
        return Program(
            entrypoint=("python", "-P", "-m", "berth_operator"),  # the Dockerfile's
            environment={
                "PATH": f"{environment / 'bin'}:{SYSTEM_PATH}",
                "HOME": "/",  # as container runtimes set it for a user that /etc/passwd does not know
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONUNBUFFERED": "1",
                "PYTHONPATH": str(POD_SITE),
                "POD_LOOPBACK": address,
            },
            mounts=_at_their_own_paths(folders),
        )

    def _triton(self, pod: Object, container: Object, address: str, workplace: Path) -> Program | Behaviour:
        try:
            self._admit(pod, container)
            sandbox.bubblewrap()
            server = triton_server.installed()
        except (sandbox.Unavailable, triton_server.Unavailable) as reason:
            return dataclasses.replace(self.triton_behaviour, why=str(reason))
        self._running.add(pod["metadata"]["uid"])
        return triton_program(server, address, workplace)

    def _admit(self, pod: Object, container: Object) -> None:
        """Raises Unavailable with the reason why this one is played."""
        metadata = pod["metadata"]
        name = f"{metadata['namespace']}/{metadata['name']}"
        if not any(fnmatch.fnmatch(name, pattern) for pattern in self.only):
            raise triton_server.Unavailable("the pod is not among those chosen to be real")
        if empty := self._empty_artefact(pod, container):
            raise triton_server.Unavailable(f"nothing is there to serve: {empty} has no files")
        if metadata["uid"] not in self._running and len(self._running) >= self.real_triton:
            raise triton_server.Unavailable(f"{self.real_triton} real Triton servers run already")

    def _empty_artefact(self, pod: Object, container: Object) -> str | None:
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        for mount in container.get("volumeMounts", []):
            volume = volumes[mount["name"]]
            folder = self.volumes.artefact(volume, mount, pod["metadata"]["namespace"])
            if folder is not None and not any(path.is_file() for path in folder.rglob("*")):
                stated = volume.get("persistentVolumeClaim", {}).get("claimName") or volume["image"]["reference"]
                return "/".join(filter(None, [stated, mount.get("subPath")]))
        return None


def triton_program(server: triton_server.TritonServer, address: str, workplace: Path) -> Program:
    """The server at ``/opt/tritonserver``, listening on the pod's own address.

    A small script in the server's place adds what the manifest cannot know and replaces itself by the server, so that
    the server is the container's first process, as in the image.
    """
    added = [f"--{service}-address={address}" for service in ("http", "grpc", "metrics")]
    caches = server.home / "caches"
    added += [f"--backend-directory={server.backends}", f"--cache-directory={caches}"]
    launcher = workplace / "tritonserver"
    workplace.mkdir(parents=True, exist_ok=True)
    launcher.write_text(f'#!/bin/sh\nexec {server.program} "$@" {" ".join(added)}\n')
    launcher.chmod(0o755)
    return Program(
        entrypoint=(),  # the image's own ends in exec "$@"
        environment={
            "PATH": f"/opt/tritonserver/bin:{server.environment / 'bin'}:{SYSTEM_PATH}",
            "LD_LIBRARY_PATH": ":".join(str(folder) for folder in server.libraries),
            "HOME": "/tmp",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        mounts=[
            *_at_their_own_paths(server.folders),
            Mount("/opt/tritonserver/bin/tritonserver", launcher, read_only=True),
            Mount(LLM_API, triton_server.STAND_INS / "tensorrtllm", read_only=True),
        ],
        links={
            "/opt/tritonserver/backends": str(server.backends),
            "/opt/tritonserver/caches": str(caches),
        },
    )


def _at_their_own_paths(folders: Iterable[Path]) -> list[Mount]:
    """Read-only, where the sandbox does not show them anyway as part of the machine."""
    return [
        Mount(str(folder), folder, read_only=True)
        for folder in dict.fromkeys(folders)
        if folder.exists() and not sandbox.is_machines_own(folder)
    ]


def substitutions() -> list[str]:
    """Everything in which this local cluster differs from a real one, one sentence each."""
    return [
        "GPU nodes are API objects; no GPU is there, so KIND_GPU in a mounted config.pbtxt becomes KIND_CPU.",
        "Triton is the real server, release 2.51 on CPU, in place of the image that the pod names.",
        "Backends that are not in that server are stand-ins of the same name; ONNX Runtime runs real networks.",
        "A Triton pod whose model files are not here is simulated, as is every image but Triton's and the operator's.",
        "The operator runs from this checkout in place of its image, with its pod's settings, token and rights.",
        "Containers are sandboxed processes (bubblewrap); CPU, memory and disk limits are not enforced.",
        "What reports 10.a.b.c, a pod or the cluster IP of a Service, listens on 127.a.b.c; a pod's POD_IP says so.",
        "NetworkPolicies are not enforced; there is no cluster DNS; mounted ConfigMaps do not follow later changes.",
        "kubectl logs works on nodes; exec, attach, cp and port-forward do not.",
        "PersistentVolumeClaims are folders of this machine, without a size limit.",
    ]
