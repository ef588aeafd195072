"""Triton's command line, environment and probes.

Model control stays ``none``: hot loading turns a whole pod NotReady while it loads, and a revision is a Deployment.
Sources: docs/customization_guide/deploy.md and docs/user_guide/{metrics,model_management}.md of
triton-inference-server/server (2026-08); tests/cluster/test_render_triton.py holds it against a real server.
"""

from typing import Any

from berth_operator.render.model_config import has_histograms
from berth_operator.render.order import Order
from berth_operator.render.repository import ROOT
from berth_operator.render.startup import startup_seconds
from berth_operator.render.termination import Termination
from berth_scheduler.snapshot import Berth

PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}

RESTRICTED_APIS = ("model-repository", "shared-memory", "logging", "trace")
"""What a client needs for no inference, and could map memory, write files or swap models with."""

_PROBE_PERIOD_SECONDS = 10
_READINESS_PERIOD_SECONDS = 5


def arguments(order: Order, exit_timeout_seconds: int) -> list[str]:
    """The command line, with the program first: the image's own entry point sets up CUDA and executes it."""
    return [
        "tritonserver",
        f"--model-repository={ROOT}",
        "--model-control-mode=none",
        "--strict-readiness=true",
        "--exit-on-error=true",
        f"--exit-timeout-secs={exit_timeout_seconds}",
        "--metrics-config=summary_latencies=true",
        *(["--metrics-config=histogram_latencies=true"] if has_histograms(order) else []),
        f"--log-format={order.platform.log_format}",
        *(["--disable-auto-complete-config"] if declares_everything(order) else []),
        f"--grpc-max-connection-age={order.platform.grpc_connection_seconds * 1000}",
        *_restrictions(order.platform.restricted_api_header),
    ]


def declares_everything(order: Order) -> bool:
    """Inputs and outputs are stated, so the server need not ask the backend. Engines complete theirs themselves."""
    model = order.workload.spec.model
    return bool(model.inputs and model.outputs) and not order.is_engine


def _restrictions(header: str | None) -> list[str]:
    """The secret is the pod's uid: random, known to whoever may read pods, and nothing that anyone has to store."""
    if header is None:
        return []
    restricted = f"{','.join(RESTRICTED_APIS)}:{header}=$(POD_UID)"
    return [f"--http-restricted-api={restricted}", f"--grpc-restricted-protocol={restricted}"]


def environment(order: Order, berth: Berth) -> list[dict[str, Any]]:
    """Thread pools sized by the pod's CPU, a home that can be written; engines stay offline: weights are local."""
    threads = str(order.threads(berth))
    plain = {
        "HOME": "/tmp",  # noqa: S108 - the pod's own
        "MKL_NUM_THREADS": threads,
        "OMP_NUM_THREADS": threads,
        "USER": "triton-server",  # the image of a backend may have no user of this id, and torch asks for its name
    }
    if order.is_engine:
        plain |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if order.backend == "vllm":
        plain["VLLM_NO_USAGE_STATS"] = "1"
    uid = {"name": "POD_UID", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}}
    return [*({"name": name, "value": value} for name, value in sorted(plain.items())), uid]


def probes(order: Order, berth: Berth) -> dict[str, Any]:
    """Readiness asks for the model: the server itself is ready with a model missing whose configuration it skipped."""
    model = f"/v2/models/{order.model_name}/ready"
    return {
        "startupProbe": _probe(model, _PROBE_PERIOD_SECONDS, startup_seconds(order, berth) // _PROBE_PERIOD_SECONDS),
        "livenessProbe": _probe("/v2/health/live", _PROBE_PERIOD_SECONDS, 3),
        "readinessProbe": _probe(model, _READINESS_PERIOD_SECONDS, 3),
    }


def _probe(path: str, period_seconds: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
        "successThreshold": 1,
    }


def lifecycle(stop: Termination) -> dict[str, Any]:
    """The kubelet sleeps by itself: no shell and no ``sleep`` program is needed in the image."""
    return {"preStop": {"sleep": {"seconds": stop.drain}}}


def ports() -> list[dict[str, Any]]:
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in PORTS.items()]
