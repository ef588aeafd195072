"""``berth measure``: a bounded load against a live server, written as cases with what was observed."""

import asyncio
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from berth_cost.cases.answers import checked
from berth_cost.cases.case import Case, Load, Metrics
from berth_cost.cases.lines import CaseFlaw, read_case
from berth_cost.performance.model_catalogue import UnknownModel
from berth_operator.catalogues import Catalogues
from berth_operator.cli import options
from berth_operator.cli.outcome import InputError, Outcome
from berth_operator.cli.output import Column, Format, Output, Page, as_yaml, cell, note, progress
from berth_operator.cli.plan_view import markdown_row
from berth_operator.cli.sources import load_settings
from berth_operator.measure.load import Bounds, NothingMeasured, OfferedLoad, Run, TooManyErrors
from berth_operator.measure.perf_analyzer import UnreadableExport, exported_runs
from berth_scheduler.wording import duration, number

KEY_VARIABLE = "OPENAI_API_KEY"
HEADERS = ("CASE", "LOAD", "REQUESTS/S", "MEAN", "P95", "P99")


def _numbers(text: str | None, option: str) -> list[float]:
    try:
        found = [float(one) for one in (text or "").split(",") if one.strip()]
    except ValueError as error:
        raise InputError(f"{option} {text}: must be numbers, with commas between them") from error
    if not all(0 < one < math.inf for one in found):
        raise InputError(f"{option} {text}: must be above 0")
    return found


def measure(
    *,
    triton: Annotated[
        str | None, typer.Option("--triton", metavar="HOST:PORT", help="The gRPC address of a live Triton.")
    ] = None,
    openai: Annotated[
        str | None,
        typer.Option("--openai", metavar="URL", help=f"An OpenAI-compatible endpoint; its key in {KEY_VARIABLE}."),
    ] = None,
    from_perf_analyzer: Annotated[
        Path | None,
        typer.Option("--from-perf-analyzer", metavar="FILE", help="A CSV of perf_analyzer or Model Analyzer instead."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="As the server calls it.")] = None,
    like: Annotated[
        Path | None,
        typer.Option("--like", metavar="CASE.json", help="A case that says what runs there; its load is not read."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="NAME", help="What the model is, from the model catalogue.")
    ] = None,
    gpu: Annotated[str | None, typer.Option("--gpu", metavar="NAME", help="What it runs on.")] = None,
    precision: Annotated[str, typer.Option("--precision", help="Of the artefact that is served.")] = "fp16",
    concurrency: Annotated[
        str | None, typer.Option("--concurrency", metavar="N,…", help="Closed loops of so many clients, one a case.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="R,…", help="Open loops of so many requests/s, one a case.")
    ] = None,
    burstiness: Annotated[
        float, typer.Option("--burstiness", min=0, max=1000, help="Of --rate: 0 constant gaps, 1 Poisson.")
    ] = 1.0,
    items: Annotated[int, typer.Option("--items", min=1, max=65536, help="Items a request (Triton).")] = 1,
    given: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="JSON: the values of one item by input (Triton).")
    ] = None,
    input_tokens: Annotated[int, typer.Option("--input-tokens", min=1, help="Of a prompt (OpenAI).")] = 512,
    output_tokens: Annotated[int, typer.Option("--output-tokens", min=1, help="Of an answer (OpenAI).")] = 128,
    seconds: Annotated[float, typer.Option("--duration", min=0.1, max=3600, help="Seconds measured, each load.")] = 10,
    requests: Annotated[int, typer.Option("--requests", min=1, help="At most so many, each load.")] = 100_000,
    warm_up: Annotated[float, typer.Option("--warm-up", min=0, max=600, help="Seconds before that.")] = 2,
    timeout: Annotated[float, typer.Option("--timeout", min=0.01, help="Seconds of one request.")] = 60,
    errors: Annotated[float, typer.Option("--errors", min=0, max=100, help="Percent above which to give up.")] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Of arrivals and prompts.")] = 1,
    output: Annotated[Format, typer.Option("-o", "--output", help="json is one case a line.")] = Format.JSON,
    to: options.To = None,
    settings: options.SettingsFile = None,
) -> int:
    """Measure a live server under a bounded load, and write cases with `observed`: for berth validate, for `measured`
    of other cases, and for spec.model.measuredFrom.
    """
    named = [one for one in (triton, openai, from_perf_analyzer) if one is not None]
    if len(named) != 1:
        raise InputError("say what to measure: one of --triton, --openai and --from-perf-analyzer")
    _, catalogues = load_settings(settings)
    template = _template(
        like=like,
        preset=preset,
        gpu=gpu,
        precision=precision,
        model=model,
        language=openai is not None,
        catalogues=catalogues,
    )
    bounds = Bounds(seconds, requests, warm_up, timeout, errors / 100)
    if from_perf_analyzer is not None:
        cases = _exported(from_perf_analyzer, items, template)
    else:
        loads = [OfferedLoad(concurrency=math.ceil(one)) for one in _numbers(concurrency, "--concurrency")]
        loads += [
            OfferedLoad(requests_per_second=one, burstiness=burstiness, seed=seed) for one in _numbers(rate, "--rate")
        ]
        if not loads:
            raise InputError("say under which load: --concurrency N or --rate R")
        if triton is not None:
            work = _measured_triton(
                triton, model, items=items, given=given, template=template, loads=loads, bounds=bounds
            )
        else:
            work = _measured_openai(
                str(openai),
                model,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                seed=seed,
                template=template,
                loads=loads,
                bounds=bounds,
            )
        cases = asyncio.run(work)
    found = [_sound(one, catalogues) for one in cases]
    _write(found, output, to)
    return Outcome.DONE


# --- what runs there -----------------------------------------------------------------------------------------------


def _template(
    *,
    like: Path | None,
    preset: str | None,
    gpu: str | None,
    precision: str,
    model: str | None,
    language: bool,
    catalogues: Catalogues,
) -> dict[str, Any]:
    """A case without load, request and observation, as JSON."""
    stated: dict[str, Any] = _read(like) if like is not None else {}
    for left_out in ("load", "observed", "measured"):
        stated.pop(left_out, None)
    if preset is not None:
        found = catalogues.models.get(preset)
        if isinstance(found, UnknownModel):
            raise InputError(f"--preset: {found.message}")
        stated["model"] = found.model.model_dump(mode="json", by_alias=True, exclude_none=True)
    if gpu is not None:
        stated["hardware"] = {"gpu": gpu}
    stated.setdefault("precision", precision)
    if "hardware" not in stated:
        raise InputError("say what it runs on: --gpu NAME, or --like CASE.json")
    if "model" not in stated:
        if language:
            raise InputError("say what the model is: --preset NAME, or --like CASE.json")
        stated["model"] = {"name": model or "measured", "dense": {}}
    return stated


def _read(file: Path) -> dict[str, Any]:
    try:
        stated = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--like {file}: cannot be read as JSON: {error}") from error
    if not isinstance(stated, dict):
        raise InputError(f"--like {file}: must be one case, a JSON object")
    return stated


def _sound(stated: dict[str, Any], catalogues: Catalogues) -> Case:
    """Held to what berth predict holds a line to."""
    read = checked(read_case(1, json.dumps(stated).encode()), catalogues.gpus)
    if isinstance(read, CaseFlaw):
        raise InputError(f"what was measured is no case: {read.error}")
    return read.case


def _case(template: dict[str, Any], load: Load, observed: Metrics, **parts: Any) -> dict[str, Any]:
    """``parts`` replace members of the template that it does not state itself."""
    stated = {name: part for name, part in parts.items() if part is not None} | template
    stated["load"] = load.model_dump(mode="json", by_alias=True, exclude_none=True)
    stated["observed"] = observed.model_dump(mode="json", by_alias=True, exclude_none=True)
    stated["id"] = f"{template.get('id', stated['model']['name'])}/{_load_name(load)}"
    return stated


def _load_name(load: Load) -> str:
    return f"c{load.concurrency:g}" if load.concurrency is not None else f"r{load.requests_per_second:g}"


# --- live ----------------------------------------------------------------------------------------------------------


async def _measured_triton(
    address: str,
    model: str | None,
    *,
    items: int,
    given: Path | None,
    template: dict[str, Any],
    loads: Sequence[OfferedLoad],
    bounds: Bounds,
) -> list[dict[str, Any]]:
    from berth_operator.measure.observed import observed_classic  # noqa: PLC0415
    from berth_operator.measure.triton import UnusableTarget, triton_target  # noqa: PLC0415 — gRPC takes a second

    if model is None:
        raise InputError("--triton: say which model with --model NAME")
    try:
        target = await triton_target(address, model, items, given)
    except UnusableTarget as error:
        raise InputError(str(error)) from error
    cases = []
    try:
        for load in loads:
            run = await _run(target.send, load, bounds, model)
            parts = {
                "engine": _json(target.engine),
                "serving": _json(target.serving),
                "request": {"itemsPerRequest": target.items_per_request},
            }
            cases.append(_case(template, _load(load), observed_classic(run, items), **parts))
    finally:
        await target.close()
    return cases


async def _measured_openai(
    address: str,
    model: str | None,
    *,
    input_tokens: int,
    output_tokens: int,
    seed: int,
    template: dict[str, Any],
    loads: Sequence[OfferedLoad],
    bounds: Bounds,
) -> list[dict[str, Any]]:
    from berth_operator.measure.observed import mean_tokens, observed_language  # noqa: PLC0415
    from berth_operator.measure.openai import openai_target  # noqa: PLC0415
    from berth_operator.measure.triton import UnusableTarget  # noqa: PLC0415

    key = os.environ.get(KEY_VARIABLE)
    try:
        target = await openai_target(
            address, model, prompt_tokens=input_tokens, output_tokens=output_tokens, seed=seed, key=key
        )
    except UnusableTarget as error:
        raise InputError(str(error)) from error
    cases = []
    try:
        for load in loads:
            target.seen_prompt_tokens.clear()
            run = await _run(target.send, load, bounds, target.model)
            seen = target.seen_prompt_tokens
            request = {
                "inputTokens": round(sum(seen) / len(seen), 1) if seen else input_tokens,
                "outputTokens": mean_tokens(run) or output_tokens,
            }
            kept = {name: part for name, part in template.items() if name != "request"}
            cases.append(_case(kept, _load(load), observed_language(run), request=request))
    finally:
        await target.close()
    return cases


async def _run(send: Any, load: OfferedLoad, bounds: Bounds, what: str) -> Run:
    from berth_operator.measure.load import measure as measured  # noqa: PLC0415 — the command has the name

    try:
        with progress(f"measuring {what} under {_load_name(_load(load))} for {bounds.seconds:g} s"):
            run = await measured(send, load, bounds)
    except (TooManyErrors, NothingMeasured) as error:
        raise InputError(f"{what} under {_load_name(_load(load))}: {error}") from error
    if run.errors:
        note(f"{what} under {_load_name(_load(load))}: {len(run.errors)} requests failed, {len(run.samples)} did not")
    return run


def _load(load: OfferedLoad) -> Load:
    if load.concurrency is not None:
        return Load(kind="closed", concurrency=load.concurrency)
    return Load(kind="open", requests_per_second=load.requests_per_second, burstiness=load.burstiness)


def _json(record: Any) -> dict[str, Any]:
    stated: dict[str, Any] = record.model_dump(mode="json", by_alias=True, exclude_none=True)
    return stated


# --- exports and results -------------------------------------------------------------------------------------------


def _exported(file: Path, items: int, template: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        runs = exported_runs(file.read_text(encoding="utf-8-sig"), items)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error
    except UnreadableExport as error:
        raise InputError(f"{file}: {error}") from error
    cases = []
    for run in runs:
        serving = {"instances": run.instances, "maximumBatchSize": run.maximum_batch_size}
        stated = {name: value for name, value in serving.items() if value is not None}
        case = _case(template, run.load, run.observed, serving=stated or None)
        case["request"] = template.get("request", {}) | {"itemsPerRequest": run.items_per_request}
        case["id"] = f"{template.get('id', run.model or file.stem)}/{_load_name(run.load)}/{run.line}"
        cases.append(case)
    return cases


def _write(cases: Sequence[Case], output: Format, to: Path | None) -> None:
    documents = [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in cases]
    match output:
        case Format.JSON:
            text = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in documents)
        case Format.YAML:
            text = as_yaml(*documents)
        case Format.MARKDOWN:
            rows = [markdown_row(*_cells(one)) for one in cases]
            text = "\n".join([markdown_row(*HEADERS), "|---" * len(HEADERS) + "|", *rows]) + "\n"
        case Format.TABLE:
            page = Page(colour=False)
            columns = [Column(HEADERS[0], least=20), *(Column(header, right=True) for header in HEADERS[1:])]
            page.table(columns, [[cell(text) for text in _cells(one)] for one in cases])
            text = page.text()
    Output(output, to).write(text)


def _cells(case: Case) -> tuple[str, ...]:
    observed = case.observed or Metrics()
    whole = observed.latency_seconds or observed.end_to_end_seconds
    rate = observed.requests_per_second
    times = [getattr(whole, name, None) for name in ("mean", "p95", "p99")]
    return (
        case.id,
        _load_name(case.load),
        "–" if rate is None else number(rate),
        *("–" if value is None else duration(value) for value in times),
    )
