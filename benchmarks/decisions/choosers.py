"""Choosing from a grid by what somebody says about it, and what the choice was really worth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from grids import Answers, Floats, Question

WANTED_MET, CHEAP = 0.95, 1.10
SHARES = tuple(round(0.1 * tenth, 1) for tenth in range(11))
"""Of the way (in logs) from the point to the pessimistic edge, as margins to choose between."""


@dataclass(frozen=True)
class Verdict:
    """``cost``: of the choice over that of the cheapest run that keeps the objective; nan where nothing was chosen, or
    what was chosen breaks the objective."""

    question: Question
    answered: bool
    met: bool
    cost: float


@dataclass(frozen=True)
class Score:
    questions: int
    answered: int
    met: float
    """Of the answered questions."""
    cheap: float
    """Share of all questions answered by a run that keeps the objective at 1.10 times the least cost, or below."""
    median_cost: float
    mean_cost: float
    """Of the choices that keep the objective."""


def choose(question: Question, judged: Floats, usd_per_token: Floats) -> int | None:
    """The cheapest row whose ``judged`` time keeps the objective; the faster of two at one price."""
    keeping = [int(row) for row in question.rows if judged[row] <= question.objective_seconds]
    return min(keeping, key=lambda row: (usd_per_token[row], judged[row], row), default=None)


def verdict(question: Question, judged: Floats, said: Answers, measured: Answers, usd: Floats) -> Verdict:
    """``judged``: times held against the objective; ``said``: its rates say what a token costs; ``usd``: an hour."""
    chosen = choose(question, judged, usd / said.tokens_per_second)
    if chosen is None:
        return Verdict(question, False, False, np.nan)
    if measured.seconds[chosen] > question.objective_seconds:
        return Verdict(question, True, False, np.nan)
    cost = usd / measured.tokens_per_second
    keeping = question.rows[measured.seconds[question.rows] <= question.objective_seconds]
    return Verdict(question, True, True, float(cost[chosen] / cost[keeping].min()))


def score(verdicts: Sequence[Verdict]) -> Score:
    answered = sum(one.answered for one in verdicts)
    costs = np.array([one.cost for one in verdicts if one.met])
    return Score(
        questions=len(verdicts),
        answered=answered,
        met=sum(one.met for one in verdicts) / answered if answered else np.nan,
        cheap=float((costs <= CHEAP).sum()) / len(verdicts),
        median_cost=float(np.median(costs)) if len(costs) else np.nan,
        mean_cost=float(costs.mean()) if len(costs) else np.nan,
    )


def towards(point: Answers, edge: Answers, share: float) -> Floats:
    """Times ``share`` of the way from the point to the edge, in logs."""
    return np.asarray(point.seconds * (edge.seconds / point.seconds) ** share, dtype=np.float64)


def learned_share(
    questions: Sequence[Question], point: Answers, edge: Answers, measured: Answers, usd: Floats
) -> float:
    """The smallest share at which ``questions`` are answered with the objective met as often as wanted; 1 if none."""
    for share in SHARES:
        judged = towards(point, edge, share)
        if score([verdict(one, judged, point, measured, usd) for one in questions]).met >= WANTED_MET:
            return share
    return SHARES[-1]
