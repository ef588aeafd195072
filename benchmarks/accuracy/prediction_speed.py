"""How long predictions take: a file of mixed cases through ``berth predict``, and the closed forms inside a plan.

    python benchmarks/accuracy/prediction_speed.py [--data FOLDER] [--cases 5000]

Two questions, on one core, in processor time:

- published cases, as many of language models as there are up to half of 5,000, the rest classic networks; every third
  is put under an open load at 60 % of the most that a replica carries, so that percentiles of language models are
  simulated: from the command's start to its end. Goal: 20 s.
- the plan of ``plan_scale.py`` (1,000 workloads, 1,000 nodes, 12 pools): candidates, which are one workload's choice of
  pool, precision, parallelism, batch and instances, by the time that their performance takes. Equal questions are asked
  once and what cannot run is pruned, so the rows that reach the closed forms are fewer. Goal: 1,000,000 a second.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measured_cases import DEFAULT_DATA, read_cases
from rich.console import Console
from rich.table import Table

from berth_cost.cases.case import Case, Load
from berth_cost.cases.records import case_table
from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.performance.prediction import predict
from berth_scheduler import sizing, survey
from berth_scheduler.candidates import BATCH_SIZES, INSTANCES, SEQUENCE_LIMITS
from berth_scheduler.snapshot import Snapshot
from berth_scheduler.supply import supply_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import plan_scale

GOAL_SECONDS = 20.0
GOAL_CANDIDATES_PER_SECOND = 1e6
EVERY_OPEN = 3
OPEN_UTILISATION = 0.6
ROUNDS = 5


def mixed(cases: Sequence[Case], count: int) -> list[Case]:
    """``count`` of the cases without what was observed; every third under an open load where it can run."""
    language = thinned([case for case in cases if case.model.transformer], count // 2)
    classic = thinned([case for case in cases if case.model.dense], count - len(language))
    chosen = [case.model_copy(update={"observed": None}) for case in (*language, *classic)]
    most = predict(case_table(chosen, GPUCatalogue.load_builtin().specifications)).maximum_rate.tolist()
    for index in range(0, len(chosen), EVERY_OPEN):
        if most[index] > 0:
            load = Load(kind="open", requests_per_second=OPEN_UTILISATION * most[index])
            chosen[index] = chosen[index].model_copy(update={"load": load})
    return chosen


def thinned(cases: Sequence[Case], count: int) -> list[Case]:
    """At most ``count``, evenly from the first to the last."""
    return [cases[index] for index in np.linspace(0, len(cases) - 1, min(count, len(cases))).astype(int)]


def command_seconds(cases: Sequence[Case]) -> float:
    """Processor time of ``berth predict``, interpreter and imports included."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cases.jsonl"
        file.write_text("".join(case.model_dump_json(by_alias=True, exclude_none=True) + "\n" for case in cases))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "berth_operator.cli", "predict", str(file), "--to", f"{folder}/answers.jsonl"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        answered = (Path(folder) / "answers.jsonl").read_text().count("\n")
    if answered != len(cases):
        raise SystemExit(f"{answered} of {len(cases)} lines were answered:\n{done.stderr.decode()[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Sized(NamedTuple):
    """The questions of one plan: ``candidates`` of all workloads, ``rows`` that the model was asked about."""

    candidates: int
    rows: int
    seconds: float


def sized(snapshot: Snapshot) -> Sized:
    """The median of ROUNDS."""
    found = survey.survey(snapshot.workloads, supply_of(snapshot.pools), snapshot.policy)
    continuous = np.array([problem.continuous for problem in found.lots.problems])[found.lots.problem]
    candidates = np.where(continuous, len(SEQUENCE_LIMITS), len(BATCH_SIZES) * len(INSTANCES)).sum()
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        sizing.size(found.sizing.questions, found.sizing.rows)
        seconds.append(time.process_time() - start)
    return Sized(int(candidates), len(found.sizing.rows), float(np.median(seconds)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of <source>.jsonl.gz")
    parser.add_argument("--cases", type=int, default=5000)
    arguments = parser.parse_args()
    cases = [case for own in read_cases(arguments.data).values() for case in own]
    if not cases:
        print(f"no measured cases in {arguments.data}: name a folder with --data", file=sys.stderr)
        return 1
    asked = mixed(cases, arguments.cases)
    took = command_seconds(asked)
    plan = sized(plan_scale.fleet_of(1000, 1000, 240))
    rate = plan.candidates / plan.seconds
    table = Table("what", "n", "seconds of CPU", "goal", "", title="Speed of predictions, one core")
    mark = {True: "reached", False: "missed"}
    opened = sum(case.load.kind == "open" and case.model.transformer is not None for case in asked)
    table.add_row(
        f"berth predict, {opened:,} simulated", f"{len(asked):,} cases", f"{took:.1f}",
        f"≤ {GOAL_SECONDS:g} s", mark[took <= GOAL_SECONDS],
    )  # fmt: skip
    table.add_row(
        f"closed forms in a plan: {plan.rows:,} distinct rows", f"{plan.candidates:,} candidates",
        f"{plan.seconds:.3f} ({rate:,.0f}/s)", f"≥ {GOAL_CANDIDATES_PER_SECOND:,.0f}/s",
        mark[rate >= GOAL_CANDIDATES_PER_SECOND],
    )  # fmt: skip
    Console().print(table)
    return int(took > GOAL_SECONDS or rate < GOAL_CANDIDATES_PER_SECOND)


if __name__ == "__main__":
    raise SystemExit(main())
