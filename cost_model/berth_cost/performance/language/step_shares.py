"""What a mean step of a replica is spent on: runs whose steps are spent alike are off alike."""

import numpy as np

from berth_cost.performance.case_table import CaseTable, Floats, LoadKind
from berth_cost.performance.engine_constants import Constants
from berth_cost.performance.replica import language_replicas, language_state
from berth_cost.performance.roofline import StepCoefficients, share_of_first_sharp, sharp_maximum

PARTS = 4
"""Computing matrix products, streaming weights, attention, and everything else: launches, sequences, links."""


def step_shares(table: CaseTable, constants: Constants) -> Floats:
    """Shares of the step's seconds, shape (n, PARTS), each row's sum 1; 0 where nothing is known. Every row is a
    language model."""
    shares = np.zeros((len(table), PARTS))
    for kind in LoadKind:
        chosen = np.flatnonzero(table.load_kind == kind)
        if not len(chosen):
            continue
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            replicas = language_replicas(table.rows(chosen), constants)
            state = language_state(replicas, kind, np.ones(len(chosen)))
            step = replicas.batching.step
            plain = _seconds(step, state.sequences, np.zeros_like(state.sequences))
            mixed = _seconds(step, state.sequences, state.mixed_tokens)
            mean = plain + state.mixed_share * (mixed - plain)
            shares[chosen] = np.nan_to_num((mean / mean.sum(axis=0)).T)
    return shares


def _seconds(step: StepCoefficients, sequences: Floats, prompt_tokens: Floats) -> Floats:
    """Shape (PARTS, n)."""
    compute, weights = step.compute(sequences, prompt_tokens), step.weights(sequences, prompt_tokens)
    products, computing = sharp_maximum(compute, weights), share_of_first_sharp(compute, weights)
    attention = step.attention(sequences, prompt_tokens)
    rest = step.seconds(sequences, prompt_tokens) - products - attention
    return np.stack([products * computing, products * (1 - computing), attention, rest])
