"""A Prometheus that answers wrongly, and the autoscaler behind it: it holds the count, says why, and recovers."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from berth_operator import kinds
from berth_operator.signals.fleet_expectation import FleetExpectation
from berth_operator.signals.prometheus_source import PrometheusSource
from fake_prometheus import FakePrometheus, Reply, Series, of_berth, of_workload, vector
from followed_fleet import START, FollowedFleet, ScriptedSource, cluster, workload

KEY = ("vision", "resnet")
REPLICAS = 6
"""4.5 at a target of 75 %."""
TICK_SECONDS = 60.0
Scripted = Callable[[str], Reply | None]


@dataclass
class Stage:
    """A fleet of one workload with 6 replicas, measured by a server whose answers are scripted."""

    fleet: FollowedFleet
    server: FakePrometheus
    runner: asyncio.Runner
    rate: float

    @property
    def now(self) -> float:
        return START.timestamp() + self.fleet.seconds

    @property
    def berth(self) -> str:
        return self.fleet.kube.names(kinds.DEPLOYMENT)[0]

    def series(self) -> dict[str, list[Series]]:
        mine, count = of_berth(*KEY, self.berth), self.fleet.replicas()
        return {
            "replicas_seen": [(mine, count)],
            "newest_sample": [(mine, self.now - 4)],
            "requests_per_second": [({**mine, "of": "server"}, self.rate)],
            "busy_instances": [(mine, self.fleet.serve(self.rate)()["utilization"] * count)],
            "pending_requests": [({**mine, "of": "server"}, 1)],
            "server_latency": [({**of_workload(*KEY), "of": "p99"}, 0.02)],
        }

    def ticks(self, count: int) -> None:
        async def several() -> None:
            for _ in range(count):
                self.server.series = self.series()
                await self.fleet.round(TICK_SECONDS)

        self.runner.run(several())

    def said(self, kind: str) -> str:
        return next(str(each["message"]) for each in self.fleet.status()["conditions"] if each["type"] == kind)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    kube = cluster(20)
    kube.put(kinds.WORKLOAD, workload())
    fleet = FollowedFleet(kube, ScriptedSource())
    with FakePrometheus() as server, asyncio.Runner() as runner:
        runner.run(fleet.settle())
        settings = server.settings(timeoutSeconds=1, deadlineSeconds=2)
        source = PrometheusSource(settings, FleetExpectation(fleet.mirrors, lambda key: "onnxruntime"))
        fleet.follow(source)
        found = Stage(fleet, server, runner, 4.5 * fleet.sustained())
        server.clock = lambda: found.now
        found.ticks(8)
        assert fleet.replicas() == REPLICAS
        yield found
        source.close()


def every(reply: Reply) -> Callable[[Stage], Scripted]:
    return lambda stage: lambda name: reply


def rate(*values: float | str, **labels: str) -> Callable[[Stage], Scripted]:
    """In place of the arrival rate, a series for each value."""

    def script(stage: Stage) -> Scripted:
        series = [({**of_berth(*KEY, stage.berth, of="server"), **labels}, value) for value in values]
        return lambda name: vector(series, stage.now) if name == "requests_per_second" else None

    return script


def answer(document: object) -> Callable[[Stage], Scripted]:
    """In place of the arrival rate, any JSON."""
    body = json.dumps(document).encode()
    return lambda stage: lambda name: Reply(body) if name == "requests_per_second" else None


def stale(stage: Stage) -> Scripted:
    old = [(of_berth(*KEY, stage.berth), stage.now - 300)]
    return lambda name: vector(old, stage.now) if name == "newest_sample" else None


def old_answers(stage: Stage) -> Scripted:
    return lambda name: None if name == "clock" else vector(stage.server.series.get(name, ()), stage.now - 900)


def partial(stage: Stage) -> Scripted:
    series = [({**of_berth(*KEY, stage.berth), "of": "server"}, 1.0)]
    warnings = ["store 10.0.0.7:10901 did not answer"]
    return lambda name: vector(series, stage.now, warnings=warnings) if name == "requests_per_second" else None


def samples(*of: object) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": "vector", "result": list(of)}}


METRIC = of_berth(*KEY, "x", of="server")
HOSTILE: dict[str, Callable[[Stage], Scripted]] = {
    "absent": rate(),
    "NaN": rate("NaN"),
    "+Inf": rate("+Inf"),
    "-Inf": rate("-Inf"),
    "negative": rate(-5),
    "absurd": rate(1e30),
    "duplicated": rate(1.0, 900.0),
    "duplicated alike": rate(1.0, 1.0),
    "idle but busy": rate(0.0),
    "stale": stale,
    "old answers": old_answers,
    "partial": partial,
    "another berth": rate(1.0, app_kubernetes_io_instance="resnet-0000-00000"),
    "another workload": rate(1.0, berthmaster_dev_workload='resnet"} or vector(1) #'),
    "a label that is long": rate(1.0, app_kubernetes_io_instance="x" * 100_000),
    "a label that controls": rate(1.0, app_kubernetes_io_instance="resnet\x00\n\x1b[2J"),
    "labels of a wrong type": answer(samples({"metric": [1, 2], "value": [0, "1"]})),
    "a value of a wrong type": answer(samples({"metric": METRIC, "value": [0, {"much": 1}]})),
    "a value without time": answer(samples({"metric": METRIC, "value": ["now"]})),
    "no series but words": answer(samples("all", "is", "well")),
    "a matrix": answer({"status": "success", "data": {"resultType": "matrix", "result": {"metric": {}}}}),
    "an error": every(Reply(b'{"status":"error","error":"overloaded"}', status=503)),
    "HTML": every(Reply(b"<html><body>Sign in</body></html>", headers={"Content-Type": "text/html"})),
    "a redirect": every(Reply(b"", status=302, headers={"Location": "http://169.254.169.254/latest/meta-data"})),
    "a huge body": every(Reply(b'{"status":"success","data":"' + b"x" * 10_000_000)),
    "a deep body": every(Reply(b"[" * 200_000)),
    "a slow drip": every(Reply(b"x" * 6400, chunk_pause_seconds=0.1)),
    "cut short": every(Reply(b'{"status":"succ', headers={"Content-Length": "4000"})),
    "not a word": every(Reply(b"", pause_seconds=1.2)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_count_is_held_and_it_is_said_why(stage: Stage, name: str) -> None:
    recover(stage)
    before = len(stage.fleet.kube.writes)
    stage.server.reply = HOSTILE[name](stage)
    stage.ticks(2)
    status, reason = stage.fleet.condition("Autoscaling")
    assert (status, reason) in {("False", word) for word in ("SignalsMissing", "SignalsStale", "SignalsContradict")}
    assert stage.fleet.condition("SLOMet") == ("Unknown", "NotMeasured")
    assert stage.said("SLOMet").startswith("not known since ")
    assert stage.said("Autoscaling").isprintable()
    assert stage.fleet.replicas() == REPLICAS
    assert stage.fleet.kube.writes[before:] == [("APPLY", "InferenceWorkload", "resnet")]


def recover(stage: Stage) -> None:
    """Two ticks are enough, but for a machine that is too busy to answer within a second."""
    stage.server.reply = lambda name: None
    for _ in range(10):
        stage.ticks(1)
        if stage.fleet.condition("SLOMet")[0] == "True":
            break
    assert stage.fleet.condition("SLOMet")[0] == "True"
    assert stage.fleet.condition("Autoscaling") == ("True", "Managed")
