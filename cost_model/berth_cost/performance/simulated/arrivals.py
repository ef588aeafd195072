"""When requests arrive, drawn from a seed."""

import numpy as np

from berth_cost.performance.case_table import Floats


def arrival_seconds(rate: Floats, burstiness: Floats, requests: int, seed: int) -> Floats:
    """Times of the first ``requests`` arrivals by row, shape (n, requests), rising; the first gap counts.

    Gaps are gamma distributed around 1 / ``rate`` with squared coefficient of variation ``burstiness`` (0 constant, 1
    exponential). Rows of one burstiness share their draws (common random numbers): a row does not depend on which
    others are asked with it, and rates compare smoothly.
    """
    gaps = np.empty((len(rate), requests))
    for variation in np.unique(burstiness):
        drawn = np.ones(requests)
        if variation > 0:
            drawn = np.random.default_rng(seed).gamma(1 / variation, variation, requests)
            # The few draws of a run have a mean of their own: the load is the one that was asked for.
            drawn = drawn / drawn.mean()
        gaps[burstiness == variation] = drawn
    return np.asarray(np.cumsum(gaps, axis=1) / rate[:, None], dtype=np.float64)
