"""One reading of a whole fleet out of Prometheus: CPU, memory and queries, with a scripted server beside it.

Goals: 1,000 workloads in two berths each, at most 1 s of CPU and 20 queries; 5,000 are shown beside them. The server
runs in a process of its own, so that only the operator's own work is counted.

    python benchmarks/control/prometheus_reading.py [--workloads 1000 5000] [--repeat 5]
"""

import argparse
import asyncio
import itertools
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "harness"))

import structlog

from berth_operator.settings import Settings
from berth_operator.signals.expected import ExpectedBerth
from berth_operator.signals.prometheus_source import PrometheusSource
from berth_operator.signals.source import WorkloadKey
from fake_prometheus import FakePrometheus, Reply, Series, of_berth, of_workload, vector

MOST_CPU_SECONDS, MOST_QUERIES = 1.0, 20
BERTHS = 2


def key_of(number: int) -> WorkloadKey:
    return f"team-{number % 40:02}", f"workload-{number:05}"


def berth_of(key: WorkloadKey, berth: int) -> str:
    return f"{key[1]}-0a1b2c3d-{berth:05}"


@dataclass(frozen=True)
class Served:
    """A workload in some berths of equal size, each with its rate and busy instances (or requests under way)."""

    key: WorkloadKey
    berths: tuple[str, ...]
    engine: bool
    replicas: int = 3
    requests_per_second: float = 12.345678
    busy: float = 1.5
    concurrency: float = 3.2


def fleet(workloads: int) -> list[Served]:
    """Half classic, half vLLM by itself."""
    keys = map(key_of, range(workloads))
    return [
        Served(key, tuple(berth_of(key, berth) for berth in range(BERTHS)), engine=bool(number % 2))
        for number, key in enumerate(keys)
    ]


def series_of(served: Sequence[Served]) -> dict[str, list[Series]]:
    """Every signal there."""
    now = time.time()
    series: dict[str, list[Series]] = {}

    def add(name: str, labels: dict[str, str], value: float) -> None:
        series.setdefault(name, []).append((labels, value))

    for one in served:
        key, of = one.key, "engine" if one.engine else "server"
        for berth in one.berths:
            own = of_berth(*key, berth)
            add("replicas_seen", own, one.replicas)
            add("newest_sample", own, now - 3)
            add("busy_instances", own, one.busy)
            add("requests_per_second", {**own, "of": of}, one.requests_per_second)
            add("concurrency", {**own, "of": of}, one.concurrency)
            add("pending_requests", {**own, "of": of}, 1)
        whole = of_workload(*key)
        for name in (
            "mean_batch",
            "kv_cache_share",
            "gpu_utilization",
            "power_watts",
            "prompt_tokens",
            "output_tokens",
        ):
            add(name, whole, 0.87654321)
        add("queue_seconds", {**whole, "of": of}, 0.0123)
        for name in ("server_latency", "engine_latency", "ttft", "tpot"):
            for place, percentile in enumerate(("mean", "p50", "p90", "p95", "p99")):
                add(name, {**whole, "of": percentile}, 0.01 * (place + 1))
        for place, percentile in enumerate(("p50", "p90", "p95", "p99")):
            add("slowest_replica_latency", {**whole, "of": percentile}, 0.01 * (place + 1))
    return series


def serve(served: Sequence[Served], pipe: Connection) -> None:
    """The server's process: answers are made once, so that only sending them takes its time."""
    with FakePrometheus() as server:
        series, now = series_of(served), time.time()
        replies: dict[str, Reply] = {name: vector(each, now) for name, each in series.items()}
        server.settings(maximumBytes=2**28)
        server.reply = replies.get
        steps = itertools.count()
        server.clock = lambda: now + next(steps) / 100  # answers are of ``now``: a clock that stands still is noticed
        pipe.send((server.url, max(len(reply.body) for reply in replies.values())))
        pipe.recv()


@contextmanager
def served_by_another_process(served: Sequence[Served]) -> Iterator[tuple[str, int]]:
    """URL, and the bytes of the largest answer."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(served, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join(10)


def measure(workloads: int, repeat: int) -> tuple[float, float, int, float, float]:
    """CPU seconds (median), wall seconds (median), queries, largest answer in MB, resident memory in MB."""
    with served_by_another_process(fleet(workloads)) as (url, largest):
        return *_read(url, workloads, repeat), largest / 1e6, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _read(url: str, workloads: int, repeat: int) -> tuple[float, float, int]:
    settings = Settings.model_validate({"prometheus": {"url": url}})
    keys = [key_of(number) for number in range(workloads)]
    expected = {
        key: {berth_of(key, berth): ExpectedBerth(3, sequences=64 if number % 2 else None) for berth in range(BERTHS)}
        for number, key in enumerate(keys)
    }
    source = PrometheusSource(settings, expected.__getitem__)
    cpu, wall, queries = [], [], 0
    for _ in range(repeat + 1):
        began, began_cpu = time.perf_counter(), time.process_time()
        reading = asyncio.run(source.read(keys, time.time()))
        cpu.append(time.process_time() - began_cpu)
        wall.append(time.perf_counter() - began)
        queries = reading.queries
        if reading.problem or any(each.requests_per_second is None for each in reading.workloads.values()):
            raise SystemExit(
                f"the fleet was not read: {reading.problem or next(iter(reading.workloads.values())).missing}"
            )
    return statistics.median(cpu[1:]), statistics.median(wall[1:]), queries


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args(arguments)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    print(f"{'workloads':>9}  {'CPU s':>6}  {'wall s':>6}  {'queries':>7}  {'largest MB':>10}  {'resident MB':>11}")
    missed = False
    for workloads in options.workloads:
        cpu, wall, queries, largest, memory = measure(workloads, options.repeat)
        print(f"{workloads:>9}  {cpu:>6.3f}  {wall:>6.3f}  {queries:>7}  {largest:>10.2f}  {memory:>11.0f}")
        missed |= queries > MOST_QUERIES or (workloads <= 1000 and cpu > MOST_CPU_SECONDS)
    print(f"goal: 1,000 workloads in at most {MOST_CPU_SECONDS:g} s of CPU and {MOST_QUERIES} queries: ", end="")
    print("missed" if missed else "met")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
