"""``make demo``: the whole line on real parts, told as it happens. ``DEMO_KEEP=0`` stops the cluster at the end.

A cluster that is already up is used as it is; the examples are applied to it again. ``DEMO=autoscaling`` tells another
story, on a cluster of its own.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import artefacts
import background
import cache
import cluster
import demo_autoscaling
import down
import images
import up
from addresses import of_service
from steady_load import SteadyLoad, classified
from story import DemoFailed, asked, chapter, console, show, wait_for

EXAMPLES = cache.REPOSITORY / "examples"
STORIES = 7
SERVED = ("vision", "tiny")
MODEL = "magika"
FILES = ("LICENSE", "Makefile", "pyproject.toml", "Dockerfile", "examples/tiny.yaml", "tests/harness/demo.py")
TIGHTER_MILLISECONDS = 500
READY_SECONDS = 90.0
SWITCH_SECONDS = 90.0


def main() -> int:
    started, named_story = time.monotonic(), os.environ.get("DEMO", "")
    if named_story not in ("", "autoscaling"):
        console.print(f"DEMO={named_story}: there is no such story; leave DEMO away, or state autoscaling")
        return 1
    if named_story == "autoscaling":
        return demo_autoscaling.main()
    try:
        tell_story()
    except DemoFailed as failure:
        console.print(f"[bold red]The demo stops here.[/] {failure}")
        return 1
    finally:
        if os.environ.get("DEMO_KEEP") == "0":
            down.main()
    console.print(f"\nThat took {time.monotonic() - started:.0f} s.")
    if os.environ.get("DEMO_KEEP") != "0":
        console.print("The cluster stays up. To look around:\n")
        for line in background.export_lines():
            console.print(f"  {line}")
        console.print("\nStop it with: make down")
    return 0


def tell_story() -> None:
    chapter("A cluster", "etcd, API server, controller manager, scheduler; GPU nodes; the chart, installed by Helm")
    if up.main() != 0:
        raise DemoFailed("the local cluster did not come up; what it said stands above")
    use(background.export_lines())
    for sentence in images.substitutions():
        console.print(f"  [dim]· {sentence}[/]")
    show("kubectl", "get", "pods", "-n", cluster.SYSTEM_NAMESPACE)

    chapter("Supply and workloads", "seven pools and seven stories, applied by kubectl")
    lay_out_models()
    supply = [EXAMPLES / name for name in ("namespaces.yaml", "pools.yaml")]
    show("kubectl", "apply", *named(supply))
    wait_for("every pool to have its price", priced, READY_SECONDS)
    show("kubectl", "get", "gpupools")
    show("kubectl", "apply", *named(path for path in sorted(EXAMPLES.glob("*.yaml")) if path not in supply))
    wait_for("every workload to be decided and, where it can be, ready", settled, READY_SECONDS)

    chapter("What was decided", "GPU or slice, precision, replicas and price of each; one cannot be had and says so")
    show("kubectl", "get", "inferenceworkloads", "-A")
    show("kubectl", "get", "pods", "-A", "-l", "app.kubernetes.io/managed-by=berthmaster")

    chapter("Answers", "a real network (Magika, 3 MB of ONNX) in real Triton, in a pod that the operator rendered")
    address = service_address()
    for path, (label, probability) in classified(address, MODEL, [cache.REPOSITORY / name for name in FILES]).items():
        console.print(f"  {path.name:<20} {label:<10} {probability:.1%}")

    chapter("A tighter objective", f"p99 ≤ {TIGHTER_MILLISECONDS} ms: a new revision, while requests go on")
    switch_under_load(address)

    chapter("Why", "the same decision, and one that could not be made, explained")
    show("kubectl", "berth", "explain", "-n", SERVED[0], SERVED[1])
    show("kubectl", "berth", "explain", "-n", "vision", "huge", accept=(0, 2))


def switch_under_load(address: str) -> None:
    before = field(*SERVED, "{.status.revision}")
    with SteadyLoad(address, MODEL) as load:
        time.sleep(2)
        show(
            "kubectl", "patch", "inferenceworkload", "-n", *SERVED, "--type=merge", "-p",
            json.dumps({"spec": {"objectives": {"latency": {"p99Milliseconds": TIGHTER_MILLISECONDS}}}}),
        )  # fmt: skip
        wait_for("the new revision to serve", lambda: moved(before), SWITCH_SECONDS)
        wait_for("the old revision to be gone", lambda: alone(before), SWITCH_SECONDS)
        time.sleep(2)
    show("kubectl", "get", "inferenceworkload", "-n", *SERVED)
    console.print(f"  {load.answered} requests answered during the switch, [bold]{len(load.failures)} failed[/]")
    if load.failures:
        raise DemoFailed(f"requests failed during the switch, the first with: {load.failures[0]}")


# --- the cluster, through its own tools --------------------------------------------------------------------------


def use(exports: Sequence[str]) -> None:
    """Take over what a person would paste."""
    for line in exports:
        name, value = line.removeprefix("export ").split("=", 1)
        os.environ[name] = value.replace("$PATH", os.environ["PATH"])


def lay_out_models() -> None:
    """The claim's files: the real network where its workload looks for it."""
    artefacts.put(background.CLAIMS / "vision" / "models" / "magika" / "fp32")


def field(namespace: str, workload: str, path: str) -> str:
    return asked("kubectl", "get", "inferenceworkload", "-n", namespace, workload, "-o", f"jsonpath={path}")


def named(files: Iterable[Path]) -> list[str]:
    return [word for path in files for word in ("-f", str(path))]


def service_address() -> str:
    namespace, service = SERVED
    return of_service(asked("kubectl", "get", "service", "-n", namespace, service, "-o", "jsonpath={.spec.clusterIP}"))


def priced() -> bool:
    pools = json.loads(asked("kubectl", "get", "gpupools", "-o", "json"))["items"]
    return bool(pools) and all(holds(pool, "Priced") for pool in pools)


def settled() -> bool:
    """Every story is Ready, or a person is needed."""
    workloads = json.loads(asked("kubectl", "get", "inferenceworkloads", "-A", "-o", "json"))["items"]
    return len(workloads) >= STORIES and all(
        holds(workload, "Ready") or holds(workload, "Stalled") for workload in workloads
    )


def holds(workload: dict, kind: str) -> bool:
    conditions = workload.get("status", {}).get("conditions", [])
    current = workload.get("status", {}).get("observedGeneration") == workload["metadata"]["generation"]
    return current and any(each["type"] == kind and each["status"] == "True" for each in conditions)


def moved(before: str) -> bool:
    selector = asked(
        "kubectl", "get", "service", "-n", *SERVED, "-o", r"jsonpath={.spec.selector.berthmaster\.dev/revision}"
    )
    return selector != before


def alone(before: str) -> bool:
    selector = f"berthmaster.dev/workload={SERVED[1]},berthmaster.dev/revision={before}"
    return not asked("kubectl", "get", "pods", "-n", SERVED[0], "-l", selector, "-o", "name").strip()


if __name__ == "__main__":
    sys.exit(main())
