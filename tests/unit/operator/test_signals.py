"""Signals: what is read from answers of Prometheus, what is held against them, and that nothing of it ever raises."""

import asyncio
import dataclasses
import json
import math
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from berth_operator.metrics import Metrics
from berth_operator.settings import Settings
from berth_operator.signals import expressions, self_check
from berth_operator.signals.expected import ExpectedBerth, expected_berths
from berth_operator.signals.expressions import Scope, label_name
from berth_operator.signals.prometheus_source import PrometheusSource
from berth_operator.signals.queries import queries
from berth_operator.signals.reading import Answered, read_workload
from berth_operator.signals.self_check import SelfCheck, kinds_of, sentence
from berth_operator.signals.source import Reading, WorkloadSignals
from berth_operator.signals.table import table
from berth_scheduler.snapshot import Berth, CapacityType, Sharing
from fake_prometheus import FakePrometheus, Reply, Series, of_berth, of_workload, vector

NOW = 1_800_000_000.0
KEY = ("search", "bert")
BERTH = "bert-0a1b2c3d-4e5f6"
CLASSIC = {BERTH: ExpectedBerth(ready_replicas=3, instances=2)}
ENGINE = {BERTH: ExpectedBerth(ready_replicas=2, sequences=64)}


def classic(**changes: list[Series]) -> dict[str, list[Series]]:
    """A classic workload of 3 replicas with 2 instances each, half busy at 120 requests a second."""
    mine, of_all = of_berth(*KEY, BERTH), of_workload(*KEY)
    return {
        "replicas_seen": [(mine, 3)],
        "newest_sample": [(mine, NOW - 4)],
        "requests_per_second": [({**mine, "of": "server"}, 120.0)],
        "busy_instances": [(mine, 3.0)],
        "concurrency": [({**mine, "of": "server"}, 4.5)],
        "pending_requests": [({**mine, "of": "server"}, 2)],
        "queue_seconds": [({**of_all, "of": "server"}, 0.003)],
        "mean_batch": [(of_all, 2.5)],
        "server_latency": [({**of_all, "of": "mean"}, 0.02), ({**of_all, "of": "p50"}, 0.018),
                           ({**of_all, "of": "p99"}, 0.05)],
    } | changes  # fmt: skip


def engine(**changes: list[Series]) -> dict[str, list[Series]]:
    """vLLM by itself: 2 replicas of 64 sequences, 32 of the 128 in use."""
    mine, of_all = of_berth(*KEY, BERTH), of_workload(*KEY)
    return {
        "replicas_seen": [(mine, 2)],
        "newest_sample": [(mine, NOW - 1)],
        "requests_per_second": [({**mine, "of": "engine"}, 8.0)],
        "concurrency": [({**mine, "of": "engine"}, 32.0)],
        "pending_requests": [({**mine, "of": "engine"}, 1)],
        "queue_seconds": [({**of_all, "of": "engine"}, 0.2)],
        "kv_cache_share": [(of_all, 0.4)],
        "prompt_tokens": [(of_all, 500.0)],
        "output_tokens": [(of_all, 200.0)],
        "engine_latency": [({**of_all, "of": "p99"}, 6.0)],
        "ttft": [({**of_all, "of": "p50"}, 0.2), ({**of_all, "of": "p99"}, 0.6)],
        "tpot": [({**of_all, "of": "p99"}, 0.03)],
    } | changes


def answered(series: Mapping[str, Iterable[Series]], **failures: str) -> Answered:
    tables = {}
    for query in queries(Scope()):
        if query.name not in failures:
            raw = [{"metric": dict(labels), "value": [NOW, str(value)]} for labels, value in series.get(query.name, ())]
            tables[query.name] = table(raw, query.labels, {KEY}, NOW)
    return Answered(NOW, tables, failures)


def read(
    series: Mapping[str, Iterable[Series]],
    expected: Mapping[str, ExpectedBerth] = CLASSIC,
    short: Mapping[str, float] | None = None,
    **failures: str,
) -> WorkloadSignals:
    return read_workload(KEY, answered(series, **failures), expected, at_seconds=NOW, short=short)


class TestAClassicWorkload:
    def test_has_every_signal(self) -> None:
        found = read(classic())
        assert (found.requests_per_second, found.pending_requests, found.mean_batch) == (120.0, 2.0, 2.5)
        assert found.utilization == 0.5, "3 busy instances of 3 × 2"
        assert (found.queue_seconds, found.concurrency, found.age_seconds) == (0.003, 4.5, 4.0)
        assert found.latency_seconds == {"latency.mean": 0.02, "latency.p50": 0.018, "latency.p99": 0.05}
        assert found.missing == {}
        assert found.berths[BERTH].replicas_seen == 3

    def test_takes_the_slowest_replicas_percentiles_where_there_is_no_histogram(self) -> None:
        mean = [({**of_workload(*KEY), "of": "mean"}, 0.02)]
        slowest = [({**of_workload(*KEY), "of": name}, value) for name, value in (("p50", 0.01), ("p99", 0.07))]
        found = read(classic(server_latency=mean, slowest_replica_latency=slowest))
        assert found.latency_seconds == {"latency.mean": 0.02, "latency.p50": 0.01, "latency.p99": 0.07}
        assert found.missing == {}

    def test_that_is_idle_lacks_its_means_and_misses_nothing(self) -> None:
        mine, of_all = of_berth(*KEY, BERTH), of_workload(*KEY)
        found = read(
            classic(
                requests_per_second=[({**mine, "of": "server"}, 0)],
                busy_instances=[(mine, 0)],
                queue_seconds=[({**of_all, "of": "server"}, "NaN")],
                mean_batch=[(of_all, "NaN")],
                server_latency=[({**of_all, "of": "p99"}, "NaN")],
            )
        )
        assert (found.requests_per_second, found.utilization, found.missing) == (0.0, 0.0, {})
        assert (found.queue_seconds, found.mean_batch, found.latency_seconds) == (None, None, {})

    def test_sums_its_berths_and_weighs_their_utilisation_by_replicas(self) -> None:
        other = "bert-0a1b2c3d-99999"
        series = classic()
        more = {
            "replicas_seen": 1, "newest_sample": NOW - 9, "busy_instances": 2.0,
        }  # fmt: skip
        for name, value in more.items():
            series[name] = [*series[name], (of_berth(*KEY, other), value)]
        for name, value in (("requests_per_second", 40.0), ("pending_requests", 1), ("concurrency", 2)):
            series[name] = [*series[name], (of_berth(*KEY, other, of="server"), value)]
        found = read(series, CLASSIC | {other: ExpectedBerth(1, 2)})
        assert (found.requests_per_second, found.pending_requests, found.age_seconds) == (160.0, 3.0, 4.0)
        assert found.utilization == pytest.approx((0.5 * 3 + 1.0 * 1) / 4)
        assert found.berths[other].utilization == 1.0


class TestAnEngine:
    def test_has_every_signal_by_itself(self) -> None:
        found = read(engine(), ENGINE)
        assert found.counts_sequences
        assert found.utilization == 0.25, "32 sequences of 2 × 64"
        assert (found.requests_per_second, found.pending_requests, found.kv_cache_share) == (8.0, 1.0, 0.4)
        assert (found.prompt_tokens, found.output_tokens, found.queue_seconds) == (500.0, 200.0, 0.2)
        assert found.latency_seconds == {"latency.p99": 6.0, "ttft.p50": 0.2, "ttft.p99": 0.6, "tpot.p99": 0.03}
        assert found.missing == {}

    def test_behind_triton_is_not_judged_by_tritons_queue_and_durations(self) -> None:
        mine, of_all = of_berth(*KEY, BERTH), of_workload(*KEY)
        found = read(
            engine(
                requests_per_second=[({**mine, "of": "server"}, 8.0)],
                pending_requests=[({**mine, "of": "server"}, 0)],
                queue_seconds=[({**of_all, "of": "server"}, 0.0)],
                concurrency=[({**mine, "of": "server"}, 0.01)],
                kv_cache_share=[],
            ),
            ENGINE,
        )
        assert found.requests_per_second == 8.0
        assert (found.pending_requests, found.queue_seconds, found.utilization) == (None, None, None)
        assert set(found.missing) == {
            "pending_requests",
            "queue_seconds",
            "concurrency",
            "utilization",
            "kv_cache_share",
        }
        assert "engine" in found.missing["pending_requests"]

    def test_without_metrics_of_its_own_has_the_servers_first_response_as_first_token(self) -> None:
        of_all = of_workload(*KEY)
        latency = [({**of_all, "of": "mean"}, 3.0), ({**of_all, "of": "p99"}, 0.9)]
        found = read(engine(engine_latency=[], ttft=[], tpot=[], server_latency=latency), ENGINE)
        assert found.latency_seconds == {"ttft.p99": 0.9}
        assert {"latency", "tpot"} <= set(found.missing)


class TestWhatIsNotTrusted:
    @pytest.mark.parametrize(
        ("series", "said"),
        [
            ([], "no series"),
            ([({**of_berth(*KEY, BERTH), "of": "server"}, "NaN")], "no request ended"),
            ([({**of_berth(*KEY, BERTH), "of": "server"}, "+Inf")], "is inf"),
            ([({**of_berth(*KEY, BERTH), "of": "server"}, -3)], "is -3"),
            ([({**of_berth(*KEY, BERTH), "of": "server"}, value) for value in (100, 130)], "the same labels"),
            ([({**of_berth(*KEY, BERTH), "of": "server"}, 1e30)], "no demand"),
            ([({**of_berth(*KEY, BERTH), "of": "server"}, "0x10")], "no series"),
            ([({**of_berth(*KEY, BERTH), "of": "server"}, "1" * 5000)], "no series"),
            ([({**of_berth(*KEY, "stranger"), "of": "server"}, 10.0)], "no series"),
            ([({**of_berth("other", "bert", BERTH), "of": "server"}, 10.0)], "no series"),
        ],
    )
    def test_a_rate_that_is_none_is_missing_and_says_why(self, series: list[Series], said: str) -> None:
        found = read(classic(requests_per_second=series))
        assert found.requests_per_second is None
        assert said in found.missing["requests_per_second"]
        assert found.utilization == 0.5, "what else was measured stays"

    def test_stale_samples_are_no_samples(self) -> None:
        mine = of_berth(*KEY, BERTH)
        found = read(classic(replicas_seen=[], newest_sample=[(mine, NOW - 130)]))
        assert (found.requests_per_second, found.utilization, found.pending_requests) == (None, None, None)
        assert found.age_seconds == 130
        assert "130 s old" in found.missing["requests_per_second"]

    def test_fewer_pods_than_ready_ones_count_for_a_while_only(self) -> None:
        series = classic(replicas_seen=[(of_berth(*KEY, BERTH), 2)])
        assert read(series).requests_per_second == 120.0
        found = read(series, short={BERTH: 50.0})
        assert found.requests_per_second is found.utilization is found.pending_requests is None
        assert found.missing["requests_per_second"] == f"2 of 3 ready pods of {BERTH} are scraped, for 50 s now"

    def test_one_berth_that_is_not_seen_leaves_no_sum(self) -> None:
        found = read(classic(), CLASSIC | {"bert-0a1b2c3d-zzzzz": ExpectedBerth(1)})
        assert found.requests_per_second is found.utilization is None
        assert "none of 1 ready pods of bert-0a1b2c3d-zzzzz" in found.missing["requests_per_second"]
        assert found.berths[BERTH].requests_per_second == 120.0

    def test_a_berth_without_ready_pods_is_not_waited_for(self) -> None:
        assert read(classic(), CLASSIC | {"bert-0a1b2c3d-zzzzz": ExpectedBerth(0)}).requests_per_second == 120.0

    def test_pods_under_another_name_are_pointed_at(self) -> None:
        nameless = {
            name: [(of_workload(*KEY), value)] for name, value in (("replicas_seen", 3), ("newest_sample", NOW))
        }
        assert "pods of '' are" in read(classic(**nameless)).missing["requests_per_second"]

    def test_samples_from_the_future_are_not_believed(self) -> None:
        found = read(classic(newest_sample=[(of_berth(*KEY, BERTH), NOW + 600)]))
        assert found.requests_per_second is None
        assert "ahead of Prometheus' own clock" in found.missing["requests_per_second"]

    def test_more_busy_instances_than_there_are_contradict(self) -> None:
        found = read(classic(busy_instances=[(of_berth(*KEY, BERTH), 9.0)]))
        assert found.utilization is None
        assert "9.00 instances are busy and only 6 are there" in found.missing["utilization"]

    def test_an_answer_for_another_time_is_stale(self) -> None:
        labels = {**of_berth(*KEY, BERTH), "of": "server"}
        whole = answered(classic())
        old = table([{"metric": labels, "value": [NOW - 600, "120"]}], (expressions.BERTH, "of"), {KEY}, NOW)
        mixed = Answered(NOW, {**whole.tables, "requests_per_second": old})
        found = read_workload(KEY, mixed, CLASSIC, at_seconds=NOW)
        assert found.requests_per_second is None
        assert "for another time" in found.missing["requests_per_second"]

    @pytest.mark.parametrize("newest", [[], [(of_berth(*KEY, BERTH), "NaN")], [(of_berth(*KEY, BERTH), NOW - 900)]])
    def test_pods_are_not_seen_whose_samples_are_old_or_of_an_unknown_age(self, newest: list[Series]) -> None:
        found = read(classic(newest_sample=newest))
        assert found.requests_per_second is None
        assert f"the newest sample of {BERTH} is " in found.missing["requests_per_second"]

    def test_a_little_more_is_the_rates_extrapolation(self) -> None:
        assert read(classic(busy_instances=[(of_berth(*KEY, BERTH), 6.3)])).utilization == 1.0

    def test_percentiles_that_fall_contradict(self) -> None:
        of_all = of_workload(*KEY)
        found = read(classic(server_latency=[({**of_all, "of": "p50"}, 0.2), ({**of_all, "of": "p99"}, 0.1)]))
        assert found.latency_seconds == {}
        assert found.missing["latency"] == "its percentiles contradict each other"

    def test_a_share_above_one_is_none(self) -> None:
        found = read(engine(kv_cache_share=[(of_workload(*KEY), 40.0)]), ENGINE)
        assert found.kv_cache_share is None
        assert "at most 1" in found.missing["kv_cache_share"]

    def test_a_query_that_failed_says_so(self) -> None:
        found = read(classic(), requests_per_second="HTTP 500")
        assert "the query failed: HTTP 500" in found.missing["requests_per_second"]
        assert read(classic(), replicas_seen="HTTP 500").requests_per_second is None

    def test_nothing_is_ready(self) -> None:
        found = read({}, {BERTH: ExpectedBerth(0)})
        assert found.missing["requests_per_second"] == "no replica is ready"
        assert found.age_seconds == math.inf

    values = st.one_of(
        st.floats(), st.integers(), st.none(), st.lists(st.integers(), max_size=2),
        st.text(max_size=8), st.sampled_from(["NaN", "+Inf", "-Inf", "1e309"]),
    )  # fmt: skip
    metric = st.dictionaries(
        st.sampled_from([expressions.NAMESPACE, expressions.WORKLOAD, expressions.BERTH, "of", "quantile"]),
        st.one_of(st.sampled_from([*KEY, BERTH, "engine", "server", "p50", "p99", "0.5"]), values),
    )
    raw = st.lists(
        st.one_of(values, st.fixed_dictionaries({}, optional={"metric": metric, "value": values})), max_size=6
    )

    @given(st.dictionaries(st.sampled_from([query.name for query in queries(Scope())]), raw), st.booleans())
    @settings(max_examples=300, deadline=None)
    def test_nothing_that_comes_raises_and_every_number_is_one(self, answers: dict[str, list[Any]], llm: bool) -> None:
        labels = {query.name: query.labels for query in queries(Scope())}
        tables = {name: table(series, labels[name], {KEY}, NOW) for name, series in answers.items()}
        found = read_workload(KEY, Answered(NOW, tables), ENGINE if llm else CLASSIC, at_seconds=NOW)
        for name in ("requests_per_second", "utilization", "pending_requests", "queue_seconds", "kv_cache_share"):
            value = getattr(found, name)
            assert value is None or (math.isfinite(value) and value >= 0)
        assert all(math.isfinite(value) and value >= 0 for value in found.latency_seconds.values())
        assert found.requests_per_second is not None or "requests_per_second" in found.missing


class TestQueries:
    def test_are_fewer_than_twenty_with_the_clock(self) -> None:
        assert len(queries(Scope())) + 2 <= 20

    def test_fit_into_a_url(self) -> None:
        scope = Scope("3600s", 60, {"cluster": "production-europe-west4"})
        assert max(len(urllib.parse.quote(query.promql)) for query in queries(scope)) < 7000

    def test_every_matcher_is_in_every_selector_and_stays_inside_its_quotes(self) -> None:
        hostile = 'a"} or vector(1) #\\\n'
        for query in queries(Scope(matchers={"cluster": hostile})):
            assert query.promql.count(json.dumps(hostile)) >= 1
            assert '"} or vector(1)' not in query.promql.replace(json.dumps(hostile), "")

    def test_use_the_labels_as_prometheus_writes_them(self) -> None:
        assert label_name("berthmaster.dev/workload") == "berthmaster_dev_workload" == expressions.WORKLOAD
        assert expressions.BERTH == "app_kubernetes_io_instance"


def test_a_berth_is_expected_to_hold_what_its_annotation_says() -> None:
    berth = Berth(
        pool="l4", gpu="L4", sharing=Sharing.EXCLUSIVE, capacity_type=CapacityType.SPOT, precision="fp16",
        tensor_parallel=1, gpus_per_replica=1.0, instances_per_gpu=2, maximum_batch_size=8,
        maximum_queue_delay_microseconds=0, replicas=3,
    ).model_dump(mode="json", by_alias=True)  # fmt: skip
    annotated = {"name": "a", "annotations": {"berthmaster.dev/berth": json.dumps(berth)}}
    deployments = [
        {"metadata": annotated, "status": {"readyReplicas": 3}},
        {"metadata": {**annotated, "name": "b"}},
        {"metadata": {"name": "c", "annotations": {"berthmaster.dev/berth": "[]"}}},
    ]
    assert expected_berths(deployments, engine=False) == {"a": ExpectedBerth(3, 2), "b": ExpectedBerth(0, 2)}
    assert expected_berths(deployments, engine=True)["a"] == ExpectedBerth(3, 1, 16)


@pytest.fixture
def fake() -> Iterator[FakePrometheus]:
    series = classic()
    with FakePrometheus(series) as server:
        server.clock = lambda: NOW
        yield server


def ask(fake: FakePrometheus, settings: Settings | None = None, **stated: Any) -> Reading:
    source = PrometheusSource(settings or fake.settings(**stated), lambda key: CLASSIC if key == KEY else {})
    try:
        return asyncio.run(source.read([KEY], time.time()))
    finally:
        source.close()


class TestPrometheus:
    def test_is_asked_a_fixed_number_of_queries_at_its_own_time(self, fake: FakePrometheus) -> None:
        found = ask(fake)
        assert found.problem == ""
        assert found.workloads[KEY].requests_per_second == 120.0
        assert found.queries == len(fake.asked) == 19
        assert [at for _, at, _ in fake.asked] == [None] + [f"{NOW:.3f}"] * 18

    def test_is_not_asked_for_nobody(self, fake: FakePrometheus) -> None:
        source = PrometheusSource(fake.settings(), lambda key: {})
        assert asyncio.run(source.read([], 5.0)) == Reading(5.0)
        assert fake.asked == []

    def test_is_told_tenant_and_nothing_of_the_environment(
        self, fake: FakePrometheus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        ask(fake, tenant="team-a")
        assert {headers["X-Scope-OrgID"] for _, _, headers in fake.asked} == {"team-a"}
        assert {headers["Accept-Encoding"] for _, _, headers in fake.asked} == {"identity"}

    @pytest.mark.parametrize(
        ("reply", "said"),
        [
            (Reply(b"", status=500), "500"),
            (Reply(b"<html>Sign in</html>"), "no JSON"),
            (Reply(b'{"status":"error","error":"too much"}'), "reports no success"),
            (Reply(b'{"status":"success","data":{"result":{}}}'), "no list of series"),
            (Reply(b'{"status":"success"}'), "not one of Prometheus'"),
            (Reply(b'{"status":"success","data":7}'), "not one of Prometheus'"),
            (Reply(b"[" * 100_000), "no JSON"),
            (Reply(b"", status=302, headers={"Location": "http://169.254.169.254/latest"}), "302"),
            (Reply(b"{}", headers={"Content-Encoding": "gzip"}), "compressed"),
            (Reply(b'"' + b"x" * 9_000_000), "longer than"),
            (Reply(b"x" * 6400, chunk_pause_seconds=0.05), "too slowly"),
            (Reply(b"", pause_seconds=2), "timed out"),
            (vector([], NOW, warnings=["store 10.0.0.7:10901 did not answer"]), "not complete: store"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_that_answers_wrongly_costs_one_signal(self, fake: FakePrometheus, reply: Reply, said: str) -> None:
        fake.reply = lambda name: reply if name == "requests_per_second" else None
        found = ask(fake, timeoutSeconds=1)
        assert found.problem == ""
        assert found.workloads[KEY].requests_per_second is None
        assert said in found.workloads[KEY].missing["requests_per_second"]
        assert found.workloads[KEY].utilization == 0.5

    @pytest.mark.parametrize("reply", [Reply(b"", status=503), Reply(b"<html>"), Reply(b"", pause_seconds=2)])
    def test_that_never_answers_rightly_is_a_problem_at_once(self, fake: FakePrometheus, reply: Reply) -> None:
        fake.reply = lambda name: reply
        began = time.monotonic()
        found = ask(fake, timeoutSeconds=0.5)
        assert found.problem.startswith("prometheus.url: ")
        assert (found.workloads, found.queries) == ({}, 1)
        assert time.monotonic() - began < 1.5

    def test_warnings_on_how_queries_are_written_are_no_missing_data(self, fake: FakePrometheus) -> None:
        warning = "PromQL info: metric might not be a counter"
        fake.reply = lambda name: vector(classic().get(name, []), NOW, warnings=[warning]) if name != "clock" else None
        assert ask(fake).workloads[KEY].missing == {}

    def test_that_cannot_be_reached_says_so_and_is_found_again(self) -> None:
        with FakePrometheus(classic()) as gone:
            settings = gone.settings()
        found = ask(gone, settings)
        assert "Connection refused" in found.problem

    def test_whose_time_stands_still_answers_out_of_a_cache(self, fake: FakePrometheus) -> None:
        source = PrometheusSource(fake.settings(), lambda key: CLASSIC)
        readings = [asyncio.run(source.read([KEY], at)) for at in (100.0, 110.0)]
        fake.clock = lambda: NOW + 20
        readings.append(asyncio.run(source.read([KEY], 120.0)))
        assert [bool(reading.problem) for reading in readings] == [False, True, False]
        assert "stands still" in readings[1].problem

    def test_recovers_by_itself(self, fake: FakePrometheus) -> None:
        source = PrometheusSource(fake.settings(), lambda key: CLASSIC)
        fake.reply = lambda name: Reply(b"", status=503)
        assert asyncio.run(source.read([KEY], 1.0)).problem
        fake.reply = lambda name: None
        assert asyncio.run(source.read([KEY], 2.0)).workloads[KEY].requests_per_second == 120.0

    def test_that_hangs_holds_few_threads_and_no_reading(self, fake: FakePrometheus) -> None:
        """A header now and then keeps a request alive beyond every time-out of a socket."""
        slow = Reply(b"{}", slow_headers=40)
        fake.reply = lambda name: slow if name != "clock" else None
        source = PrometheusSource(fake.settings(timeoutSeconds=4, deadlineSeconds=0.3), lambda key: CLASSIC)

        async def several() -> list[Reading]:
            return [await source.read([KEY], float(turn)) for turn in range(8)]

        began = time.monotonic()
        found = asyncio.run(several())
        assert time.monotonic() - began < 4
        assert all(reading.problem for reading in found)
        assert "earlier queries still hang" in found[-1].problem

    def test_with_more_series_than_allowed_is_not_read(self, fake: FakePrometheus) -> None:
        fake.series["requests_per_second"] = [(of_berth("x", str(number), "y", of="server"), 1) for number in range(60)]
        found = ask(fake, maximumSeries=50).workloads[KEY]
        assert "60 series, and prometheus.maximumSeries allows 50" in found.missing["requests_per_second"]

    def test_that_has_the_metrics_under_no_labels_is_told_apart_from_one_without(self, fake: FakePrometheus) -> None:
        fake.series = {"unlabelled": [({}, 7)]}
        assert "metrics of 7 models, but none with the labels" in ask(fake).problem
        fake.series = {}
        assert "scrapes none of 3 ready pods" in ask(fake).problem

    def test_missing_pods_are_forgiven_for_the_grace_and_then_no_more(self, fake: FakePrometheus) -> None:
        fake.series = classic(replicas_seen=[(of_berth(*KEY, BERTH), 2)])
        source = PrometheusSource(fake.settings(graceSeconds=30), lambda key: CLASSIC)

        def rate(at_seconds: float) -> float | None:
            fake.clock = lambda: NOW + at_seconds - 100
            return asyncio.run(source.read([KEY], at_seconds)).workloads[KEY].requests_per_second

        assert [rate(at) for at in (100.0, 130.0, 131.0)] == [120.0, 120.0, None]
        fake.series = classic()
        assert rate(140.0) == 120.0
        fake.series = classic(replicas_seen=[(of_berth(*KEY, BERTH), 2)])
        assert rate(150.0) == 120.0, "the grace begins anew"

    def test_a_token_is_read_anew_and_never_sent_in_the_clear(self, fake: FakePrometheus, tmp_path: Any) -> None:
        with pytest.raises(ValueError, match="tokenFile needs a url that begins with https"):
            fake.settings(tokenFile=str(tmp_path / "token"))
        settings = fake.settings()
        own = settings.prometheus.model_copy(update={"token_file": tmp_path / "token"})
        settings = settings.model_copy(update={"prometheus": own})
        assert "prometheus.tokenFile" in ask(fake, settings).problem
        for token in ("first", "second"):
            (tmp_path / "token").write_text(f"{token}\n")
            ask(fake, settings)
            assert fake.asked[-1][2]["Authorization"] == f"Bearer {token}"
        (tmp_path / "token").write_text("evil\r\nX-Scope-OrgID: other")
        assert "does not hold one token" in ask(fake, settings).problem


@pytest.fixture
def unconfigured_logs() -> Iterator[None]:
    """As if no operator had run in this process."""
    before = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**before)


class TestTheSelfCheck:
    def test_tells_what_is_there_from_what_is_missing_and_what_nobody_expects(self) -> None:
        found = kinds_of(read(engine(kv_cache_share=[]), ENGINE))
        assert found.missing == ("kv_cache_share",)
        assert {"requests_per_second", "ttft", "tpot", "latency", "prompt_tokens"} <= set(found.present)
        assert "mean_batch" not in found.present

    def test_names_the_arrival_rate_first_and_keeps_to_a_conditions_length(self) -> None:
        assert sentence(read(classic())) == ""
        said = sentence(read({}))
        assert said.startswith("requests_per_second is missing: none of 3 ready pods")
        assert said.endswith("more are missing")
        assert len(sentence(read(classic(), requests_per_second="x" * 500))) == 200

    @pytest.mark.usefixtures("unconfigured_logs")
    def test_says_a_change_once_and_not_every_moment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # A logger that was used under an earlier configuration would not be heard.
        monkeypatch.setattr(self_check, "log", structlog.get_logger())
        check = SelfCheck()
        whole, part = read(classic()), read(classic(mean_batch=[]))
        with capture_logs() as said:
            for at, signals in (
                (0.0, whole),
                (10.0, whole),
                (70.0, whole),
                (80.0, part),
                (150.0, part),
                (130.0, whole),
            ):
                check.look(Reading(at, {KEY: signals}))
            check.look(Reading(300.0, problem="prometheus.url: refused"))
        assert [line["log_level"] for line in said] == ["info", "info", "warning"]
        assert said[1]["missing"] == {"mean_batch": "Prometheus has no series of it"}
        assert (said[1]["workloads"], said[1]["example"]) == (1, "search/bert")

    def test_is_counted_in_the_operators_metrics(self, fake: FakePrometheus) -> None:
        fake.series["mean_batch"] = []
        metrics = Metrics()
        source = PrometheusSource(fake.settings(), lambda key: CLASSIC, observe=metrics.observe_reading)
        asyncio.run(source.read([KEY], 1.0))
        shown = generate_latest(metrics.registry).decode()
        assert "berthmaster_prometheus_up 1.0" in shown
        assert 'berthmaster_signals{signal="utilization",state="present"} 1.0' in shown
        assert 'berthmaster_signals{signal="mean_batch",state="missing"} 1.0' in shown
        fake.reply = lambda name: Reply(b"", status=503)
        asyncio.run(source.read([KEY], 2.0))
        shown = generate_latest(metrics.registry).decode()
        assert "berthmaster_prometheus_up 0.0" in shown
        assert 'berthmaster_signals{signal="utilization",state="present"} 0.0' in shown


def test_signals_are_plain_data() -> None:
    assert dataclasses.asdict(read(classic()))["requests_per_second"] == 120.0
