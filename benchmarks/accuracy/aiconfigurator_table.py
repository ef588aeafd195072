"""aiconfigurator beside this model on the same measured rows.

Run: ``python benchmarks/accuracy/aiconfigurator_table.py --interpreter PYTHON [--data FOLDER]``, where PYTHON is of an
environment with the package ``aiconfigurator`` (850 MB, no network needed once it is there); without it, the script
says how to get one, and does nothing. A row takes a second: ``--every 6`` asks every sixth of them.

Rows: language models served at a fixed number of clients whose architecture and GPU aiconfigurator has. It is asked for
the same model, GPU, split, lengths and clients, its tables of the engine's latest release in it, default settings.
Absolute percentage errors, median / mean, of the time per output token and to the first token:

- aiconfigurator; the constants as shipped (they saw the rows), and fitted without each model; the naive roofline with
  the one factor per row of the table that suits it best in hindsight; α + β·batch through a deployment's two end runs
  (asked about the others, so on fewer rows: the second n).

A row that aiconfigurator itself was built on (its own silicon sample) is not held out of it: nothing can be done there.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from error_table import naive_constants, pair
from language_levels import LanguageFit, fits
from language_splits import held_out
from language_table import FEWEST_RUNS, deployments, error, load_of, printed, time_per_token
from measured_cases import DEFAULT_DATA, read_cases
from numpy.typing import NDArray

from berth_cost.cases.case import Case
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.performance.engine_constants import built_in_constants
from berth_cost.performance.prediction import predict

Floats = NDArray[np.float64]

RUNNER = Path(__file__).resolve().parent / "aiconfigurator_runner.py"
SYSTEMS = {
    "A100-SXM-80GB": "a100_sxm",
    "B200-SXM": "b200_sxm",
    "H100-SXM-80GB": "h100_sxm",
    "H200-SXM-141GB": "h200_sxm",
}
BACKENDS = {"tensorrtllm": "trtllm", "vllm": "vllm"}
ARCHITECTURES = {
    "DeepSeek-R1": "deepseek-ai/DeepSeek-R1",
    "DeepSeek-R1-0528": "deepseek-ai/DeepSeek-R1",
    "DeepSeek-V3": "deepseek-ai/DeepSeek-V3",
    "DeepSeek-V3.1": "deepseek-ai/DeepSeek-V3",
    "Kimi-K2.5": "moonshotai/Kimi-K2.5",
    "Llama-3.1-405B-Instruct": "meta-llama/Meta-Llama-3.1-405B",
    "Llama-3.1-405B-Instruct-FP8": "meta-llama/Meta-Llama-3.1-405B",
    "Llama-3.1-8B-Instruct": "meta-llama/Meta-Llama-3.1-8B",
    "Llama-3.1-8B-Instruct-FP8": "meta-llama/Meta-Llama-3.1-8B",
    "Llama-3.3-70B-Instruct": "meta-llama/Meta-Llama-3.1-70B",
    "Llama-4-Maverick-17B-128E-Instruct-FP8": "meta-llama/Llama-4-Maverick-17B-128E-Instruct",
    "Llama-4-Scout-17B-16E-Instruct": "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    "Qwen3-235B-A22B-FP8": "Qwen/Qwen3-235B-A22B-FP8",
    "Qwen3-235B-A22B-Instruct-2507": "Qwen/Qwen3-235B-A22B",
    "Qwen3-235B-A22B-Instruct-2507-FP8": "Qwen/Qwen3-235B-A22B-FP8",
    "Qwen3-235B-A22B-Thinking-2507": "Qwen/Qwen3-235B-A22B",
    "Qwen3-235B-A22B-Thinking-2507-FP8": "Qwen/Qwen3-235B-A22B-FP8",
    "Qwen3-30B-A3B-Instruct-2507": "Qwen/Qwen3-30B-A3B",
    "Qwen3-30B-A3B-Thinking-2507": "Qwen/Qwen3-30B-A3B",
    "Qwen3-8B": "Qwen/Qwen3-8B",
}
"""The architecture in aiconfigurator with the dimensions of each measured model."""
FP8_PLAIN = ("meta-llama/Meta-Llama-3.1-405B", "meta-llama/Meta-Llama-3.1-8B", "meta-llama/Llama-4-Maverick")
"""Their checkpoints in aiconfigurator are of 16 bits: FP8 is asked for by its settings."""


def arguments_for(case: Case) -> dict[str, object] | None:
    """What aiconfigurator is asked, None where it has no such model, GPU or engine."""
    shape, split, request = case.model.transformer, case.parallelism, case.request
    known = (SYSTEMS.get(case.hardware.gpu), BACKENDS.get(case.engine.name or ""), ARCHITECTURES.get(case.model.name))
    if case.load.kind != "closed" or None in known or shape is None or (request.output_tokens or 0) < 2:
        return None
    system, backend, architecture = known
    copies = case.hardware.gpu_count // (split.tensor * split.pipeline)
    asked: dict[str, object] = {
        "model_path": architecture,
        "system_name": system,
        "backend_name": backend,
        "isl": round(request.input_tokens or 0),
        "osl": round(request.output_tokens or 0),
        "batch_size": max(round((case.load.concurrency or 1) / copies), 1),
        "tp_size": split.tensor,
        "pp_size": split.pipeline,
        "attention_dp_size": copies,
    }
    if shape.experts is not None:
        asked["moe_ep_size"] = split.expert
        asked["moe_tp_size"] = split.tensor * copies // split.expert
    if case.precision == "fp8" and str(architecture).startswith(FP8_PLAIN):
        asked["gemm_quant_mode"] = "fp8"
        if shape.experts is not None:
            asked["moe_quant_mode"] = "fp8"
    return asked


def asked_of(interpreter: str, cases: Sequence[Case], every: int) -> list[Mapping[str, float | str]]:
    """Its answer to every case, or ``{"error": why}``; ``every``: to the first, and so on, of those that it knows."""
    questions = [arguments_for(case) for case in cases]
    known: Counter[str] = Counter()
    for row, case in enumerate(cases):
        if questions[row] is not None:
            source = case.id.split("/")[0]
            questions[row] = questions[row] if known[source] % every == 0 else None
            known[source] += 1
    lines = "".join(json.dumps(one) + "\n" for one in questions if one is not None)
    command = [interpreter, str(RUNNER)]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ModuleNotFoundError(done.stderr.strip().splitlines()[-1])
    answers = iter([json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")])
    return [{"error": "not asked, or not one of its models"} if one is None else next(answers) for one in questions]


def observed_seconds(case: Case, metric: str) -> float:
    if metric == "tpot":
        return time_per_token(case) or np.nan
    times = case.observed and case.observed.time_to_first_token_seconds
    return np.nan if not times else times.mean or np.nan


def straight_lines(cases: Sequence[Case]) -> Floats:
    """log(line / observed) of the time per token by row; nan at the ends that fix the line, and without three runs."""
    ratio = np.full(len(cases), np.nan)
    for ordered in deployments(cases):
        known = [(load_of(cases[row]), seconds, row) for row in ordered if (seconds := time_per_token(cases[row]))]
        if len(known) < FEWEST_RUNS or known[0][0] == known[-1][0]:
            continue
        (low, first, _), (high, last, _) = known[0], known[-1]
        for load, seconds, row in known[1:-1]:
            ratio[row] = np.log((first + (last - first) * (load - low) / (high - low)) / seconds)
    return ratio


def compared(cases: Sequence[Case], theirs: Sequence[Mapping[str, float | str]]) -> list[tuple[str, ...]]:
    """Rows of the table, over the cases that aiconfigurator answers."""
    gpus, constants = GPUCatalogue.load_builtin().specifications, built_in_constants()
    asked = [case for case, one in zip(cases, theirs, strict=True) if "error" not in one]
    answers = [one for one in theirs if "error" not in one]
    table = case_table(asked, gpus)
    shipped, naive = predict(table), predict(table, naive_constants(constants))
    unseen = unseen_ratios(cases)
    line = straight_lines(asked)
    source = np.array([case.id.split("/")[0] for case in asked])
    kind = np.array(["moe" if case.model.transformer and case.model.transformer.experts else "dense" for case in asked])
    rows = []
    for metric, name in (("tpot", "timePerOutputTokenSeconds"), ("ttft", "timeToFirstTokenSeconds")):
        observed = np.array([observed_seconds(case, metric) for case in asked])
        stated = np.array([float(one[metric]) for one in answers]) / 1000
        statistic = np.array(["p50" if source_ == "mlenergy" else "mean" for source_ in source])
        own = np.where(statistic == "p50", shipped.point[name]["p50"], shipped.point[name]["mean"])
        plain = np.where(statistic == "p50", naive.point[name]["p50"], naive.point[name]["mean"])
        held = np.array(
            [unseen.get((case.id, f"{name}.{s}"), np.nan) for case, s in zip(asked, statistic, strict=True)]
        )
        for one, experts in sorted(set(zip(source.tolist(), kind.tolist(), strict=True))):
            mine = (source == one) & (kind == experts) & np.isfinite(observed)
            if not mine.any():
                continue
            log = {
                key: np.log(value[mine] / observed[mine])
                for key, value in (("theirs", stated), ("own", own), ("naive", plain))
            }
            lines = line[mine] if metric == "tpot" else np.full(int(mine.sum()), np.nan)
            rows.append(
                (
                    one,
                    experts,
                    name,
                    str(int(mine.sum())),
                    pair(error(-log["theirs"])),
                    pair(error(held[mine])),
                    pair(error(-log["own"])),
                    pair(error(-(log["naive"] - np.nanmedian(log["naive"])))),
                    str(int(np.isfinite(lines).sum())),
                    pair(error(-lines)),
                )
            )
    return rows


def unseen_ratios(cases: Sequence[Case]) -> dict[tuple[str, str], float]:
    """log(observed / predicted) by case and metric, every model predicted by constants fitted without it."""
    gpus = GPUCatalogue.load_builtin().specifications
    whole = LanguageFit(fits(cases, gpus), gpus).without_strangers().solved()
    found = held_out(cases, "model", whole, gpus)
    return dict(zip(zip(found.case.tolist(), found.metric.tolist(), strict=True), found.ratio.tolist(), strict=True))


HEADERS = (
    "source",
    "models",
    "metric",
    "n",
    "aiconfigurator",
    "unseen model",
    "fitted",
    "naive",
    "n",
    "α + β·batch",
)
MISSING = """{interpreter} has no package aiconfigurator ({why}): make an environment (python -m venv FOLDER; \
FOLDER/bin/pip install aiconfigurator) and name its interpreter with --interpreter FOLDER/bin/python"""


def refusals(theirs: Sequence[Mapping[str, float | str]]) -> list[str]:
    counts = Counter(str(one["error"])[:110] for one in theirs if "error" in one)
    return [f"not answered by aiconfigurator: {number} rows: {why}" for why, number in sorted(counts.items())]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of <source>.jsonl.gz")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th row of each source")
    parser.add_argument("--interpreter", default=None, help="Python of an environment with aiconfigurator")
    arguments = parser.parse_args()
    cases = [case for own in read_cases(arguments.data).values() for case in own if case.model.transformer]
    if not cases:
        print(f"no measured cases in {arguments.data}: name a folder with --data", file=sys.stderr)
        return 1
    try:
        theirs = asked_of(arguments.interpreter or sys.executable, cases, arguments.every)
    except (ModuleNotFoundError, FileNotFoundError) as missing:
        print(MISSING.format(interpreter=arguments.interpreter or sys.executable, why=missing), file=sys.stderr)
        # Where nobody named one, there is nothing to compare with.
        return 0 if arguments.interpreter is None else 2
    print(printed(HEADERS, compared(cases, theirs)))
    print("\n".join(refusals(theirs)), file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
