"""Time of one step from its work: compute and memory under a soft maximum, plus what adds to them.

The roofline (Williams, Waterman, Patterson, CACM 2009) takes the larger of compute and memory time; measured steps lie
above both where the two are close, because they overlap only in part. The p-norm with p = 1.5 lies between the sum
(p = 1) and the maximum (p = ∞).
"""

from dataclasses import dataclass

import numpy as np

from berth_cost.case_table import Floats

OVERLAP_EXPONENT = 1.5


def soft_maximum(first: Floats, second: Floats) -> Floats:
    """(a^1.5 + b^1.5)^(2/3), of non-negative arrays; square and cube roots cost a third of general powers."""
    root = np.cbrt(first * np.sqrt(first) + second * np.sqrt(second))
    return np.asarray(root * root, dtype=np.float64)


def share_of_first(first: Floats, second: Floats) -> Floats:
    """How much of the soft maximum is due to ``first``: its share of the sum under the root, 0 where both are 0."""
    a, b = first * np.sqrt(first), second * np.sqrt(second)
    return np.divide(a, a + b, out=np.zeros_like(a), where=a + b > 0)


@dataclass(frozen=True, slots=True)
class StepCoefficients:
    """A step of a language model as a function of its decoding sequences B and prompt tokens P; shapes (n,), seconds.

    compute = c₀ + c_B·B + c_P·P: affine because efficiency saturates with the step's size as tokens / (tokens + ramp).
    memory = m₀ + m_B·B + m_T·(B + P) + experts·(1 − e^(−draw·(B + P))). Every part is affine or concave with a
    non-negative value at 0, so time per request falls as a step carries more of them: load(x) = x / T(x) rises with x.
    """

    compute_fixed: Floats
    compute_sequence: Floats
    compute_prompt_token: Floats
    memory_fixed: Floats
    memory_sequence: Floats
    memory_token: Floats
    expert_seconds: Floats
    expert_rate: Floats
    overhead_fixed: Floats
    overhead_sequence: Floats
    link_fixed: Floats
    link_token: Floats

    def compute(self, sequences: Floats, prompt_tokens: Floats) -> Floats:
        return self.compute_fixed + self.compute_sequence * sequences + self.compute_prompt_token * prompt_tokens

    def memory(self, sequences: Floats, prompt_tokens: Floats) -> Floats:
        tokens = sequences + prompt_tokens
        streamed = self.memory_fixed + self.memory_sequence * sequences + self.memory_token * tokens
        if self.expert_rate.any():
            streamed = streamed - self.expert_seconds * np.expm1(-self.expert_rate * tokens)
        return streamed

    def overhead(self, sequences: Floats) -> Floats:
        return self.overhead_fixed + self.overhead_sequence * sequences

    def communication(self, sequences: Floats, prompt_tokens: Floats) -> Floats:
        return self.link_fixed + self.link_token * (sequences + prompt_tokens)

    def seconds(self, sequences: Floats, prompt_tokens: Floats) -> Floats:
        return (
            soft_maximum(self.compute(sequences, prompt_tokens), self.memory(sequences, prompt_tokens))
            + self.overhead(sequences)
            + self.communication(sequences, prompt_tokens)
        )
