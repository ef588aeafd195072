"""Answers to lines of cases: every line gets a prediction or a record of why not, and none stops the others."""

import math
from collections.abc import Iterable, Iterator, Sequence

from berth_cost.cases.case import Case, Hardware, Prediction
from berth_cost.cases.lines import CaseFlaw, NumberedCase, flaw_of, read_cases
from berth_cost.cases.measured_runs import completed, contradictions, impossible, numbers_of
from berth_cost.cases.records import predict_cases
from berth_cost.hardware.gpu_catalogue import GPUCatalogue, UnknownGPU

CHUNK_CASES = 8192
"""Cases answered together: one table, and a bound on what is in memory."""

SEED = 0
"""Of simulated percentiles, where nobody names another."""

Answer = Prediction | CaseFlaw


def answers(
    lines: Iterable[bytes], catalogue: GPUCatalogue, seed: int | None = SEED
) -> Iterator[tuple[NumberedCase | CaseFlaw, Answer]]:
    """What each line holds, and its answer, in the order of the lines. ``seed``: of what is simulated under load, None:
    closed forms throughout, as in a plan."""
    chunk: list[NumberedCase | CaseFlaw] = []
    for read in read_cases(lines):
        chunk.append(checked(read, catalogue))
        if len(chunk) >= CHUNK_CASES:
            yield from _answered(chunk, catalogue, seed)
            chunk = []
    yield from _answered(chunk, catalogue, seed)


def checked(read: NumberedCase | CaseFlaw, catalogue: GPUCatalogue) -> NumberedCase | CaseFlaw:
    """The case, or what is wrong with what it names: GPUs, MIG profiles, runs that contradict each other."""
    if isinstance(read, CaseFlaw):
        return read
    for key, hardware in _hardware(read.case):
        words = _unknown(hardware, catalogue)
        if words is not None:
            return flaw_of(read, f"{key}.{words[0]}", words[1])
    for index, point in enumerate(read.case.measured):
        if not list(numbers_of(point.metrics)):
            return flaw_of(read, f"measured[{index}].metrics", "states nothing: say what was measured")
    runs = [completed(point, read.case) for point in read.case.measured]
    for index, run in enumerate(runs):
        why = impossible(run)
        if why is not None:
            return flaw_of(read, f"measured[{index}].metrics", why)
    for first, second, words_of_both in contradictions(runs):
        message = f"the same configuration as measured[{first}], and {words_of_both}: remove the wrong one"
        return flaw_of(read, f"measured[{second}]", message)
    return read


def _hardware(case: Case) -> Iterator[tuple[str, Hardware]]:
    yield "hardware", case.hardware
    for index, point in enumerate(case.measured):
        if point.hardware is not None:
            yield f"measured[{index}].hardware", point.hardware


def _unknown(hardware: Hardware, catalogue: GPUCatalogue) -> tuple[str, str] | None:
    """(key, words) where the GPU or its slice is not known."""
    gpu = hardware.gpu_specification or catalogue.get(hardware.gpu)
    if isinstance(gpu, UnknownGPU):
        return "gpu", f"{gpu.message}, or here as gpuSpecification" if gpu.reason == "Unknown" else gpu.message
    if hardware.mig_profile is not None and gpu.mig_profile(hardware.mig_profile) is None:
        known = ", ".join(profile.name for profile in gpu.mig_profiles) or "none"
        return "migProfile", f"{hardware.mig_profile} is no profile of {gpu.name} (known: {known})"
    return None


def _answered(
    chunk: Sequence[NumberedCase | CaseFlaw], catalogue: GPUCatalogue, seed: int | None
) -> Iterator[tuple[NumberedCase | CaseFlaw, Answer]]:
    cases = [one for one in chunk if isinstance(one, NumberedCase)]
    found = iter(_predicted(cases, catalogue, seed))
    for one in chunk:
        yield one, one if isinstance(one, CaseFlaw) else next(found)


def _predicted(cases: Sequence[NumberedCase], catalogue: GPUCatalogue, seed: int | None) -> list[Answer]:
    """One answer a case. Where a case is beyond the arithmetic, halving finds which one it is."""
    if not cases:
        return []
    try:
        predictions = predict_cases([one.case for one in cases], catalogue.specifications, seed=seed)
    except Exception as error:  # whatever it is, the other lines are still answered
        if len(cases) > 1:
            half = len(cases) // 2
            return [*_predicted(cases[:half], catalogue, seed), *_predicted(cases[half:], catalogue, seed)]
        message = f"the model has no answer: {type(error).__name__}: {error}"
        return [CaseFlaw(line=cases[0].line, id=cases[0].case.id, error=message)]
    return [_finite(one, prediction) for one, prediction in zip(cases, predictions, strict=True)]


def _finite(case: NumberedCase, prediction: Prediction) -> Answer:
    """An answer that is no number is none."""
    if all(math.isfinite(number) for number in _numbers(prediction.model_dump())):
        return prediction
    message = "its numbers are out of reach of the model: check sizes, lengths and loads"
    return CaseFlaw(line=case.line, id=case.case.id, error=message)


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _numbers(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _numbers(one)
