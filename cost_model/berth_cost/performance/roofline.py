"""Time of one step from its work: compute and memory under a soft maximum, plus what adds to them.

The roofline (Williams, Waterman, Patterson, CACM 2009) takes the larger of compute and memory time; measured steps lie
above both where the two are close, because they overlap only in part. The p-norm with p = 1.5 lies between the sum
(p = 1) and the maximum (p = ∞); within the matrix products of a language model p = 4 fits.
"""

from dataclasses import dataclass

import numpy as np

from berth_cost.performance.case_table import Floats


def soft_maximum(first: Floats, second: Floats) -> Floats:
    """(a^1.5 + b^1.5)^(2/3), of non-negative arrays; square and cube roots cost a third of general powers."""
    root = np.cbrt(first * np.sqrt(first) + second * np.sqrt(second))
    return np.asarray(root * root, dtype=np.float64)


def share_of_first(first: Floats, second: Floats) -> Floats:
    """How much of the soft maximum is due to ``first``: its share of the sum under the root, 0 where both are 0."""
    a, b = first * np.sqrt(first), second * np.sqrt(second)
    return np.divide(a, a + b, out=np.zeros_like(a), where=a + b > 0)


def sharp_maximum(first: Floats, second: Floats) -> Floats:
    """(a^4 + b^4)^(1/4): within one kernel, streaming and computing overlap nearly completely."""
    first, second = first * first, second * second
    return np.asarray(np.sqrt(np.sqrt(first * first + second * second)), dtype=np.float64)


def share_of_first_sharp(first: Floats, second: Floats) -> Floats:
    """As :func:`share_of_first`, of the sharp maximum."""
    a, b = first**4, second**4
    return np.divide(a, a + b, out=np.zeros_like(a), where=a + b > 0)


def overlapped(first: Floats, second: Floats, overlap: Floats) -> Floats:
    """Two times of which the share ``overlap`` runs beside each other: between their sum (0) and, nearly, the larger
    of them (1: the p-norm with p = 4)."""
    squares = first * first, second * second
    beside = np.sqrt(np.sqrt(squares[0] * squares[0] + squares[1] * squares[1]))
    return np.asarray((1 - overlap) * (first + second) + overlap * beside, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class StepCoefficients:
    """A step of a language model as a function of its decoding sequences B and prompt tokens P; shapes (n,), seconds.

    Matrix products: the sharp maximum of compute = c₀ + c_B·B + c_P·P (affine because efficiency saturates with the
    step's size as tokens / (tokens + ramp)) and of streaming weights = w₀ + w_T·(B + P) + experts·(1 − e^(−draw·(B +
    P))). Attention runs between them, kernel after kernel, and adds: a_B·B + a_P·P. So do overheads and communication.
    """

    compute_fixed: Floats
    compute_sequence: Floats
    compute_prompt_token: Floats
    weight_fixed: Floats
    weight_token: Floats
    expert_seconds: Floats
    expert_rate: Floats
    attention_sequence: Floats
    attention_prompt_token: Floats
    attention_compute_share: Floats
    """Of a decoding sequence's attention, how much computing it is."""
    overhead_fixed: Floats
    overhead_sequence: Floats
    overhead_prompt: Floats
    """Of a step that carries any prompt."""
    link_fixed: Floats
    link_token: Floats

    def compute(self, sequences: Floats, prompt_tokens: Floats) -> Floats:
        return self.compute_fixed + self.compute_sequence * sequences + self.compute_prompt_token * prompt_tokens

    def weights(self, sequences: Floats, prompt_tokens: Floats) -> Floats:
        tokens = sequences + prompt_tokens
        streamed = self.weight_fixed + self.weight_token * tokens
        if self.expert_rate.any():
            streamed = streamed - self.expert_seconds * np.expm1(-self.expert_rate * tokens)
        return streamed

    def attention(self, sequences: Floats, prompt_tokens: Floats) -> Floats:
        return self.attention_sequence * sequences + self.attention_prompt_token * prompt_tokens

    def overhead(self, sequences: Floats, prompt_tokens: Floats) -> Floats:
        return self.overhead_fixed + self.overhead_sequence * sequences + self.overhead_prompt * (prompt_tokens > 0)

    def communication(self, sequences: Floats, prompt_tokens: Floats) -> Floats:
        return self.link_fixed + self.link_token * (sequences + prompt_tokens)

    def seconds(self, sequences: Floats, prompt_tokens: Floats) -> Floats:
        return (
            sharp_maximum(self.compute(sequences, prompt_tokens), self.weights(sequences, prompt_tokens))
            + self.attention(sequences, prompt_tokens)
            + self.overhead(sequences, prompt_tokens)
            + self.communication(sequences, prompt_tokens)
        )

    def split(self, sequences: Floats, prompt_tokens: Floats) -> dict[str, Floats]:
        """The seconds of a step by what they are spent on."""
        compute, weights = self.compute(sequences, prompt_tokens), self.weights(sequences, prompt_tokens)
        products, share = sharp_maximum(compute, weights), share_of_first_sharp(compute, weights)
        computed = self.attention_sequence * sequences * self.attention_compute_share
        computed = computed + self.attention_prompt_token * prompt_tokens
        attention = self.attention(sequences, prompt_tokens)
        return {
            "compute_seconds": products * share + computed,
            "memory_seconds": products * (1 - share) + attention - computed,
            "overhead_seconds": self.overhead(sequences, prompt_tokens),
            "communication_seconds": self.communication(sequences, prompt_tokens),
        }
