"""A bounded load and what is made of it, against targets that answer as they are told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from berth_cost.cases.case import Case
from berth_operator.cli import run
from berth_operator.measure.load import Bounds, NothingMeasured, OfferedLoad, Run, Sample, TooManyErrors, gaps, measure
from berth_operator.measure.observed import mean_tokens, observed_classic, observed_language, percentiles
from berth_operator.measure.openai import OpenAITarget, openai_target
from berth_operator.measure.perf_analyzer import UnreadableExport, exported_runs
from berth_operator.measure.triton import UnusableTarget

QUICK = Bounds(seconds=2, warm_up_seconds=0.5)


class Server:
    """Answers each request after ``seconds``, one after the other where ``alone``; fails where ``fails`` says so."""

    def __init__(self, seconds: float, *, alone: bool = False, fails: Callable[[int], bool] = lambda _: False) -> None:
        self.seconds = seconds
        self.fails = fails
        self.turn = asyncio.Semaphore(1 if alone else 10_000)
        self.under_way = self.most = self.asked = 0

    async def send(self, number: int) -> tuple[float, ...]:
        self.asked += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            async with self.turn:
                await asyncio.sleep(self.seconds)
                if self.fails(number):
                    raise RuntimeError("out of memory")
        finally:
            self.under_way -= 1
        return ()


# --- the load, on a clock that costs no time -----------------------------------------------------------------------


@pytest.mark.looptime
async def test_a_closed_loop_keeps_so_many_requests_under_way() -> None:
    server = Server(0.1)
    found = await measure(server.send, OfferedLoad(concurrency=4), QUICK)
    assert server.most == 4
    assert len(found.samples) / found.seconds == pytest.approx(40, rel=0.1)
    assert all(one.done_seconds - one.due_seconds == pytest.approx(0.1) for one in found.samples)


@pytest.mark.looptime
async def test_an_open_loop_offers_its_rate_whatever_the_server_does() -> None:
    found = await measure(Server(0.3).send, OfferedLoad(requests_per_second=50, burstiness=0), QUICK)
    assert len(found.samples) == pytest.approx(100, abs=2)


@pytest.mark.looptime
async def test_what_waits_in_the_client_counts_as_waiting() -> None:
    """A server that takes 20 a second is offered 40: the latency grows as the queue does."""
    server = Server(0.05, alone=True)
    found = await measure(server.send, OfferedLoad(requests_per_second=40, burstiness=0), QUICK)
    waits = [one.done_seconds - one.due_seconds for one in found.samples]
    assert waits == sorted(waits) and waits[-1] > 1


@pytest.mark.looptime
async def test_the_warm_up_is_in_no_sample() -> None:
    server = Server(0.01)
    found = await measure(server.send, OfferedLoad(concurrency=1), QUICK)
    assert all(one.due_seconds >= 0 for one in found.samples)
    assert server.asked > len(found.samples)


@pytest.mark.looptime
async def test_a_run_ends_at_its_number_of_requests_too() -> None:
    server = Server(0.01)
    found = await measure(server.send, OfferedLoad(concurrency=2), Bounds(seconds=3600, requests=50, warm_up_seconds=0))
    assert 50 <= len(found.samples) <= 52


@pytest.mark.looptime
async def test_a_server_that_fails_is_given_up_soon_and_a_rare_error_is_counted() -> None:
    server = Server(0.01, fails=lambda number: number % 3 == 0)
    with pytest.raises(TooManyErrors, match="requests failed, most often: RuntimeError: out of memory"):
        await measure(server.send, OfferedLoad(concurrency=1), QUICK)
    assert server.asked < 30
    found = await measure(Server(0.01, fails=lambda number: number % 50 == 49).send, OfferedLoad(concurrency=1), QUICK)
    assert found.errors and found.samples


@pytest.mark.looptime
async def test_a_request_that_never_ends_is_an_error_after_its_time() -> None:
    bounds = Bounds(seconds=1, warm_up_seconds=0, timeout_seconds=0.2)
    with pytest.raises(TooManyErrors, match=r"no answer within 0\.2 s"):
        await measure(Server(1e9).send, OfferedLoad(concurrency=1), bounds)


@pytest.mark.looptime
async def test_a_run_without_a_single_answer_says_what_to_do() -> None:
    with pytest.raises(NothingMeasured, match="--duration"):
        await measure(Server(0.5).send, OfferedLoad(concurrency=1), Bounds(seconds=0.1, warm_up_seconds=0.2))


def test_arrivals_have_the_rate_and_the_burstiness_and_are_the_same_for_the_same_seed() -> None:
    for burstiness in (0.0, 0.5, 1.0, 4.0):
        found = gaps(OfferedLoad(requests_per_second=20, burstiness=burstiness), 50_000)
        assert found.mean() == pytest.approx(0.05, rel=0.03)
        assert found.var() / found.mean() ** 2 == pytest.approx(burstiness, abs=0.05 + 0.05 * burstiness)
    load = OfferedLoad(requests_per_second=20, seed=7)
    assert np.array_equal(gaps(load, 10), gaps(load, 10))
    assert not np.array_equal(gaps(load, 10), gaps(OfferedLoad(requests_per_second=20, seed=8), 10))


# --- samples -------------------------------------------------------------------------------------------------------


def test_few_samples_make_no_percentile() -> None:
    few, many = percentiles([0.1] * 15), percentiles([0.001 * n for n in range(1, 201)])
    assert few is not None and (few.p50, few.p90, few.p95, few.p99) == (0.1, 0.1, None, None)
    assert many is not None and many.mean == pytest.approx(0.1005) and many.p99 == pytest.approx(0.198, rel=0.01)
    assert percentiles([]) is None


def test_a_classic_request_counts_its_items() -> None:
    found = observed_classic(Run([Sample(0.0, 0.02), Sample(0.1, 0.12)], seconds=0.5), items_per_request=8)
    assert found.latency_seconds is not None and found.latency_seconds.mean == pytest.approx(0.02)
    assert (found.requests_per_second, found.items_per_second) == (4, 32)


def test_tokens_are_timed_from_when_the_request_was_due() -> None:
    sample = Sample(1.0, 1.65, tokens_at=(1.25, 1.35, 1.45, 1.55, 1.65))
    found = observed_language(Run([sample], seconds=1))
    assert found.time_to_first_token_seconds is not None and found.time_per_output_token_seconds is not None
    assert found.time_to_first_token_seconds.mean == pytest.approx(0.25)
    assert found.time_per_output_token_seconds.mean == pytest.approx(0.1)
    assert found.output_tokens_per_second == 5 and mean_tokens(Run([sample])) == 5


# --- exports -------------------------------------------------------------------------------------------------------

PERF_ANALYZER = """\
Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,Server Compute \
Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency
1,100,50,900,30,40,8900,5,0,9500,10100,10300,11000
4,320,60,950,2400,45,9000,6,0,12000,14000,15000,18000
"""
MODEL_ANALYZER = """\
Model,GPU ID,Batch,Concurrency,Model Config Path,Instance Group,Satisfies Constraints,GPU Memory Usage (MB)
net,0,8,2,net_config_1,2:GPU,Yes,1099.0

Model,Batch,Concurrency,Model Config Path,Instance Group,Max Batch Size,Satisfies Constraints,Throughput \
(infer/sec),p99 Latency (ms)
net,8,2,net_config_1,2:GPU,16,Yes,400.0,60.5

Model,GPU ID,GPU Memory Usage (MB),GPU Utilization (%),GPU Power Usage (W)
triton-server,0,277.0,0.0,56.5
"""


def test_perf_analyzer_writes_microseconds_and_its_mean_follows_from_littles_law() -> None:
    first, second = exported_runs(PERF_ANALYZER)
    assert first.observed.latency_seconds is not None and second.observed.latency_seconds is not None
    assert first.observed.latency_seconds.mean == pytest.approx(0.01)  # 1 / 100
    assert second.observed.latency_seconds.mean == pytest.approx(0.0125)  # 4 / 320
    assert second.observed.latency_seconds.p99 == pytest.approx(0.018)
    assert (second.load.kind, second.load.concurrency, second.observed.requests_per_second) == ("closed", 4, 320)


def test_inferences_are_requests_times_the_batch() -> None:
    found = exported_runs(PERF_ANALYZER, items_per_request=4)[1]
    assert (found.observed.requests_per_second, found.observed.items_per_second) == (80, 320)
    assert found.observed.latency_seconds is not None and found.observed.latency_seconds.mean == pytest.approx(0.05)


def test_a_request_rate_is_an_open_load_of_constant_gaps() -> None:
    (found,) = exported_runs("Request Rate,Inferences/Second,p99 latency,Avg latency\n50,49.5,20000,9000\n")
    assert (found.load.kind, found.load.requests_per_second, found.load.burstiness) == ("open", 50, 0)
    assert found.observed.latency_seconds is not None and found.observed.latency_seconds.mean == pytest.approx(0.009)


def test_model_analyzer_writes_milliseconds_and_what_ran() -> None:
    (found,) = exported_runs(MODEL_ANALYZER)
    assert (found.model, found.items_per_request, found.instances, found.maximum_batch_size) == ("net", 8, 2, 16)
    assert found.observed.requests_per_second == 50
    assert found.observed.latency_seconds is not None and found.observed.latency_seconds.p99 == pytest.approx(0.0605)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no table"),
        ("a,b\n1,2\n", "has no table"),
        (PERF_ANALYZER.replace("320", "many"), "line 3: Inferences/Second is 'many'"),
        (PERF_ANALYZER.replace("320", "0"), "line 3: Inferences/Second is '0'"),
        (PERF_ANALYZER.replace("320", "nan"), "line 3"),
        (PERF_ANALYZER + "1,2\n", "line 4: has 2 cells"),
    ],
)
def test_what_is_no_export_is_refused_by_line(text: str, words: str) -> None:
    with pytest.raises(UnreadableExport) as refused:
        exported_runs(text)
    assert words in str(refused.value)


def test_an_export_becomes_cases_that_can_be_validated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "perf.csv").write_text(PERF_ANALYZER, encoding="utf-8")
    asked = ["measure", "--from-perf-analyzer", str(tmp_path / "perf.csv"), "--gpu", "L4", "--preset", "resnet50"]
    assert run([*asked, "--to", str(tmp_path / "cases.jsonl")]) == 0
    cases = [Case.model_validate_json(line) for line in (tmp_path / "cases.jsonl").read_text("utf-8").splitlines()]
    assert [one.load.concurrency for one in cases] == [1, 4] and cases[0].model.dense is not None
    assert run(["validate", str(tmp_path / "cases.jsonl"), "-o", "json"]) == 0
    assert {one["metric"] for one in json.loads(capsys.readouterr().out)["totals"]} >= {"latencySeconds"}


# --- an endpoint that streams as OpenAI's does: a stand-in for a language model, not one ---------------------------


class Stub:
    """Streams ``tokens`` chunks, the first after ``first`` seconds, the others ``gap`` seconds apart."""

    def __init__(self, *, tokens: int = 8, first: float = 0.03, gap: float = 0.01, per_chunk: int = 1) -> None:
        self.tokens, self.first, self.gap, self.per_chunk = tokens, first, gap, per_chunk
        self.bodies: list[dict[str, Any]] = []
        self.status = 200

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "tiny"}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        if self.status != 200:
            return web.json_response({"error": "no room"}, status=self.status)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(self.first)
        await self.say(response, {"choices": [{"delta": {"role": "assistant"}}]})
        for number in range(self.tokens):
            if number:
                await asyncio.sleep(self.gap)
            await self.say(response, {"choices": [{"delta": {"content": "x " * self.per_chunk}}]})
        prompt = len(body["messages"][0]["content"].split()) + 3
        usage = {"prompt_tokens": prompt, "completion_tokens": self.tokens * self.per_chunk}
        await self.say(response, {"choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")
        return response

    @staticmethod
    async def say(response: web.StreamResponse, event: dict[str, Any]) -> None:
        await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
async def endpoint(stub: Stub) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_get("/v1/models", stub.models)
    application.router.add_post("/v1/chat/completions", stub.chat)
    async with TestServer(application) as server:
        yield str(server.make_url("/"))


async def target(endpoint: str, **changed: Any) -> OpenAITarget:
    asked: dict[str, Any] = {"prompt_tokens": 20, "output_tokens": 8, "seed": 1, "key": None} | changed
    return await openai_target(endpoint, asked.pop("model", None), **asked)


async def test_tokens_of_a_streamed_answer_are_timed_one_by_one(endpoint: str, stub: Stub) -> None:
    found = await target(endpoint)
    run_of_it = await measure(
        found.send, OfferedLoad(concurrency=2), Bounds(seconds=20, requests=10, warm_up_seconds=0)
    )
    await found.close()
    observed = observed_language(run_of_it)
    assert all(len(one.tokens_at) == 8 for one in run_of_it.samples)
    assert observed.time_to_first_token_seconds is not None and observed.time_to_first_token_seconds.mean is not None
    assert observed.time_per_output_token_seconds is not None
    assert observed.time_per_output_token_seconds.mean is not None
    assert observed.time_to_first_token_seconds.mean >= 0.03
    assert 0.01 <= observed.time_per_output_token_seconds.mean < 0.1
    prompts = {body["messages"][0]["content"] for body in stub.bodies}
    assert len(prompts) == len(stub.bodies), "no prompt is sent twice: a cache would answer it"
    assert set(found.seen_prompt_tokens) == {23}


async def test_several_tokens_in_a_chunk_are_counted_by_the_usage(endpoint: str, stub: Stub) -> None:
    stub.per_chunk = 4
    found = await target(endpoint)
    times = await found.send(0)
    await found.close()
    assert len(times) == 32 and list(times) == sorted(times)


async def test_an_endpoint_that_refuses_is_given_up_with_its_words(endpoint: str, stub: Stub) -> None:
    stub.status = 503
    found = await target(endpoint)
    with pytest.raises(TooManyErrors, match=r"503: .*no room"):
        await measure(found.send, OfferedLoad(concurrency=2), Bounds(seconds=5, warm_up_seconds=0))
    await found.close()


async def test_what_is_no_endpoint_is_said_at_once() -> None:
    with pytest.raises(UnusableTarget, match="does not answer as an OpenAI-compatible endpoint"):
        await target("http://127.0.0.1:9")


async def test_the_command_writes_a_case_of_the_endpoint(
    endpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["measure", "--openai", endpoint, "--preset", "llama3.1-8b", "--gpu", "H100-SXM-80GB"]
    asked += ["--precision", "bf16", "--concurrency", "2", "--duration", "1", "--warm-up", "0", "--requests", "6"]
    code = await asyncio.to_thread(run, [*asked, "--input-tokens", "20", "--output-tokens", "8"])
    said = capsys.readouterr()
    assert code == 0, said.err
    case = Case.model_validate_json(said.out)
    assert (case.request.input_tokens, case.request.output_tokens) == (23, 8)
    assert case.observed is not None and case.observed.time_to_first_token_seconds is not None
    assert (case.load.kind, case.load.concurrency, case.precision) == ("closed", 2, "bf16")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "one of --triton, --openai and --from-perf-analyzer"),
        (["--triton", "a:1", "--openai", "b"], "one of --triton"),
        (["--triton", "a:1", "--concurrency", "1"], "say what it runs on"),
        (["--triton", "127.0.0.1:9", "--gpu", "L4", "--concurrency", "1"], "say which model with --model"),
        (["--triton", "127.0.0.1:9", "--gpu", "L4", "--model", "m"], "--concurrency N or --rate R"),
        (["--openai", "http://127.0.0.1:9", "--gpu", "L4", "--rate", "1"], "say what the model is"),
        (["--triton", "127.0.0.1:9", "--gpu", "L4", "--model", "m", "--rate", "-3"], "must be above 0"),
        (["--triton", "127.0.0.1:9", "--gpu", "L4", "--model", "m", "--preset", "resnet-5"], "--preset: "),
    ],
)
def test_what_is_missing_is_asked_for(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["measure", *arguments]) == 1
    assert words in capsys.readouterr().err
