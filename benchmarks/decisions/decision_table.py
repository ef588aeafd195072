"""How good decisions are: the cheapest measured configuration that keeps an objective of 10 to 100 ms a token.

Run: ``python benchmarks/decisions/decision_table.py [--data FOLDER] [--splits model gpu engine]``. It fits the
constants anew without each model, GPU and engine in turn (some five minutes). Every grid is asked at ten objectives.
A chooser takes the run that costs least a token by what it says, of those that it says keep the objective. Then the
measured run says whether the objective was met, and what the choice cost beside the cheapest run that meets it (the
oracle). Prices: the median over clouds of each one's lowest price on demand, from the price book. Choosers:

- *edge*: the band's pessimistic edge against the objective, as the planner does; *median*: the point in its place;
- *learned*: a share of the way from the point to the edge, the least at which the questions about all other models were
  met in 95 %;
- *naive*: work over peak rate and bandwidth, times the factor that suits all other groups best;
- *two runs*: the same, told each deployment's runs of fewest and most clients; *α + β·batch*: a line through these.
  Most deployments of trtllm-docs have one run: there both know the answers.

Columns: questions; answered (somebody keeps the objective, the chooser may see none); objective met, of the answered;
met at no more than 1.10 times the oracle's cost, of all; median and mean cost over the oracle's where met.
Goals: met in 95 % and more, 1.10 times in 80 % and more.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import accuracy_folder  # noqa: F401  # makes the next imports possible
import numpy as np
from choosers import Score, Verdict, learned_share, score, towards, verdict
from grids import (
    SOURCES,
    Answers,
    Floats,
    Question,
    is_option,
    measured_answers,
    questions,
    usd_per_gpu_hour,
    usd_per_hour,
)
from held_out_answers import HeldOut, Splits, straight_lines, suited
from language_splits import group_of
from language_table import printed
from measured_cases import DEFAULT_DATA, read_cases

from berth_cost.cases.case import Case
from berth_cost.hardware.gpu_catalogue import GPUCatalogue
from berth_cost.prices.book import PriceBook

SPLITS = ("model", "gpu", "engine")
HEADERS = ("left out", "chooser", "slice", "n", "answered", "met", "met at ≤ 1.10 × oracle", "median cost", "mean cost")


class Grid:
    """The runs, what they measured, their prices and the questions about them."""

    def __init__(self, cases: Sequence[Case], book: PriceBook) -> None:
        self.cases = [case for case in cases if is_option(case)]
        self.measured = measured_answers(self.cases)
        self.prices = usd_per_gpu_hour(book, sorted({case.hardware.gpu for case in self.cases}))
        self.usd = usd_per_hour(self.cases, self.prices)
        self.questions = questions(self.cases, self.measured)

    def verdicts(self, judged: Floats, said: Answers) -> list[Verdict]:
        return [verdict(one, judged, said, self.measured, self.usd) for one in self.questions]

    def learned(self, point: Answers, edge: Answers) -> list[Verdict]:
        """Every question with the share that the questions about other models taught."""
        group = {case.model.name: group_of(case, "model") for case in self.cases}
        found: list[Verdict] = []
        shares: dict[object, float] = {}
        for one in self.questions:
            mine = group[one.model]
            if mine not in shares:
                others = [other for other in self.questions if group[other.model] != mine]
                shares[mine] = learned_share(others, point, edge, self.measured, self.usd)
            found.append(verdict(one, towards(point, edge, shares[mine]), point, self.measured, self.usd))
        return found

    def choosers(self, answers: HeldOut, split: str) -> dict[str, list[Verdict]]:
        groups = [group_of(case, split) for case in self.cases]
        naive, line = suited(answers.naive, self.measured, groups), straight_lines(self.cases)
        return {
            "edge": self.verdicts(answers.edge.seconds, answers.point),
            "median": self.verdicts(answers.point.seconds, answers.point),
            "learned": self.learned(answers.point, answers.edge),
            "naive": self.verdicts(naive.seconds, naive),
            "two runs, edge": self.verdicts(answers.runs_edge.seconds, answers.runs_point),
            "two runs, median": self.verdicts(answers.runs_point.seconds, answers.runs_point),
            "two runs, learned": self.learned(answers.runs_point, answers.runs_edge),
            "α + β·batch": self.verdicts(line.seconds, line),
        }


def cells(found: Score) -> tuple[str, ...]:
    return (
        str(found.questions),
        str(found.answered),
        "" if np.isnan(found.met) else f"{100 * found.met:.0f} %",
        f"{100 * found.cheap:.0f} %",
        "" if np.isnan(found.median_cost) else f"{found.median_cost:.2f}",
        "" if np.isnan(found.mean_cost) else f"{found.mean_cost:.2f}",
    )


def sliced(verdicts: Sequence[Verdict], of: Callable[[Question], str]) -> list[tuple[str, list[Verdict]]]:
    names = dict.fromkeys(of(one.question) for one in verdicts)
    return [(name, [one for one in verdicts if of(one.question) == name]) for name in names]


def source_rows(split: str, choosers: dict[str, list[Verdict]]) -> list[tuple[str, ...]]:
    rows = []
    for name, verdicts in choosers.items():
        for source in SOURCES:
            own = [one for one in verdicts if one.question.source == source]
            if own:
                rows.append((split, name, source, *cells(score(own))))
        rows.append((split, name, "all", *cells(score(verdicts))))
    return rows


def narrow_rows(split: str, choosers: dict[str, list[Verdict]]) -> list[tuple[str, ...]]:
    """By model and by objective, of the planner's rule and of the learned margin."""
    rows = []
    for name in ("edge", "learned"):
        for label, own in sliced(choosers[name], lambda one: one.model):
            rows.append((split, name, label, *cells(score(own))))
        by_objective = sliced(choosers[name], lambda one: f"{1000 * one.objective_seconds:.0f} ms")
        for label, own in sorted(by_objective, key=lambda pair: float(pair[0].split()[0])):
            rows.append((split, name, label, *cells(score(own))))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of <source>.jsonl.gz")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS, help="what is left out of the fit")
    arguments = parser.parse_args()
    cases = [case for own in read_cases(arguments.data).values() for case in own if case.model.transformer]
    if not cases:
        print(f"no measured cases in {arguments.data}: name a folder with --data", file=sys.stderr)
        return 1
    grid = Grid(cases, PriceBook.load_builtin())
    prices = ", ".join(f"{gpu} {usd:.2f}" for gpu, usd in sorted(grid.prices.items()))
    print(f"{len(grid.questions)} questions over {len(grid.cases)} runs; USD per GPU and hour: {prices}\n")
    splits = Splits(cases, GPUCatalogue.load_builtin().specifications)
    by_source, narrow = [], []
    for split in arguments.splits:
        choosers = grid.choosers(splits.answers(grid.cases, split), split)
        by_source += source_rows(split, choosers)
        narrow += narrow_rows(split, choosers)
    print(printed(HEADERS, by_source))
    print()
    print(printed(HEADERS, narrow))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
