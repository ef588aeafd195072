"""Continuous batching of language models: what a step carries, and how long requests take, at any load.

Everything follows one variable explicitly, x = requests admitted per step. In steady state B = x·(output − 1) sequences
decode. Prompts come in whole chunks: a step carries none with probability e^(−x·chunks), and else the chunks of those
that came. So the mean step T(x), the rate x / T(x) and every latency are known functions of x, all rising; there is no
fixed point to iterate. A load fixes x: a closed loop by the number of clients, an open one by its rate, saturation by
the seats or by the token budget of a step.
"""

from dataclasses import dataclass, replace

import numpy as np

from berth_cost.hardware.device import DeviceColumns
from berth_cost.performance.bracketing import Excess, last_true
from berth_cost.performance.case_table import CaseTable, Floats, Integers, LoadKind, rows_of
from berth_cost.performance.engine_constants import Constants
from berth_cost.performance.language.columns import LanguageColumns, language_columns
from berth_cost.performance.language.step import cache_factor, prefilled_tokens, step_coefficients
from berth_cost.performance.memory import LanguageMemory, language_memory
from berth_cost.performance.percentiles import Interruption, Jitter, Latency, LogNormal, Part, Residual, Wait
from berth_cost.performance.queueing import HIGHEST_UTILIZATION, mean_wait, waiting_probability
from berth_cost.performance.roofline import StepCoefficients
from berth_cost.performance.work import TransformerWork

SMALLEST_CHUNK_SHARE = 0.125
"""Of the token budget: what is left for prompts however many sequences decode."""
FEWEST_PROMPTS_AT_MEDIAN = 0.6
"""Chunks per step below which the median step carries none (a Poisson number's median is 0 up to a mean of log 2)."""
HIGHEST_COLLISION = 0.9
"""Prompts share steps, so the queue for prefill alone never diverges before the seats do."""


@dataclass(frozen=True, slots=True)
class LanguageState:
    """A replica at an operating point; shapes (n,). Times in seconds."""

    requests_per_second: Floats
    sequences: Floats
    mixed_share: Floats
    """Of steps, those that carry prompts too."""
    mixed_tokens: Floats
    """Prompt tokens of such a step."""
    step_seconds: Floats
    """Of a mean step."""
    prefill_seconds: Floats
    time_to_first_token: Latency
    time_per_output_token: Latency
    end_to_end: Latency
    queue_seconds: Floats


@dataclass(frozen=True, slots=True)
class _Steps:
    """The two kinds of steps at an operating point; shapes (n,)."""

    sequences: Floats
    chunks: Floats
    """Steps that a prompt takes."""
    share: Floats
    tokens: Floats
    plain_seconds: Floats
    mixed_seconds: Floats
    chunks_per_step: Floats

    @property
    def mean_seconds(self) -> Floats:
        return self.plain_seconds + self.share * (self.mixed_seconds - self.plain_seconds)

    @property
    def interruption(self) -> tuple[Floats, Floats]:
        """What prompts add to a step, on average and in the median."""
        longer = self.mixed_seconds - self.plain_seconds
        median = np.maximum(self.chunks_per_step - FEWEST_PROMPTS_AT_MEDIAN, 0.0)
        per_step = np.maximum(self.chunks_per_step, 1e-12)
        return self.share * longer, longer * median * self.share / per_step


@dataclass(frozen=True, slots=True)
class ContinuousBatching:
    """Replicas of language models by row; shapes (n,)."""

    step: StepCoefficients
    memory: LanguageMemory
    prompt: Floats
    """Prompt tokens that are not a cached prefix."""
    decode_steps: Floats
    chunk_steps: Floats
    """Steps that a prompt takes where nothing else runs."""
    token_budget: Floats
    seats: Floats
    largest_admission: Floats
    """The x at which seats or token budget are used up."""
    maximum_rate: Floats
    idle_step_seconds: Floats
    """Of a step that carries nothing."""
    prompt_seconds: Floats
    """What a chunk of a prompt adds to it."""
    request_overhead: Floats
    lookahead_steps: Floats
    tokens_per_step: Floats
    cohort_share: Floats
    prompt_sigma: Floats
    burstiness: Floats
    service_jitter: float
    first_token_jitter: float
    output_variation: float

    def rate(self, admission: Floats) -> Floats:
        """Requests per second at x = ``admission``."""
        return admission / self._steps(admission).mean_seconds

    def _steps(self, admission: Floats) -> "_Steps":
        sequences = admission * self.decode_steps
        room = np.maximum(self.token_budget - sequences, SMALLEST_CHUNK_SHARE * self.token_budget)
        chunk = np.minimum(self.prompt, room)
        chunks = self.prompt / chunk
        share = -np.expm1(-admission * chunks)
        tokens = np.minimum(admission * self.prompt / share, np.maximum(room, chunk))
        plain = self.step.seconds(sequences, np.zeros_like(sequences))
        mixed = self.step.seconds(sequences, tokens)
        return _Steps(sequences, chunks, share, tokens, plain, mixed, admission * chunks)

    def admission_at(self, rate: Floats) -> Floats:
        """The x of an open load; a rate beyond what can be served gives the largest x that has an answer."""

        def narrowed(rows: Integers) -> Excess:
            some, wanted = rows_of(self, rows), rate[rows]
            return lambda admission: some.rate(admission) - wanted

        return last_true(narrowed, self.smallest_admission(), self.fullest_admission())

    def smallest_admission(self) -> Floats:
        """x of a load so thin that its requests never meet."""
        return self.largest_admission * 1e-9

    def fullest_admission(self) -> Floats:
        """The x beyond which waits have no useful estimate."""
        return HIGHEST_UTILIZATION * self.largest_admission

    def open_state(self, admission: Floats, saturated: bool = False) -> LanguageState:
        """Arrivals at the rate that belongs to x: queueing for seats and behind other prompts included."""
        steps = self._steps(admission)
        step = steps.mean_seconds
        rate = admission / step
        prefill = steps.mixed_seconds * steps.chunks
        collision = np.minimum(rate * steps.chunks * self.prompt_seconds, HIGHEST_COLLISION)
        behind = self.burstiness * collision / (2 * (1 - collision)) * self.prompt_seconds * steps.chunks
        utilization = np.minimum(rate / self.maximum_rate, HIGHEST_UTILIZATION)
        residence = prefill + self.decode_steps * step
        varied = np.full_like(rate, self.output_variation)
        seat_wait = mean_wait(utilization, self.seats, residence, self.burstiness, varied)
        if saturated:
            seat_wait = np.zeros_like(rate)
        waits: list[Part] = [
            Wait(behind, collision),
            Wait(seat_wait, waiting_probability(utilization, self.seats)),
            Residual(step, np.ones_like(step)),
        ]
        ahead = self.lookahead_steps * step
        return self._state(steps, rate=rate, prefill=prefill, waits=waits, fixed=ahead, queue=seat_wait + behind)

    def closed_state(self, clients: Floats) -> LanguageState:
        """A fixed number of requests in the system; beyond the seats they wait. The first prompts come all at once."""
        cycle_steps = self.decode_steps + self.chunk_steps
        idle = self.step.seconds(np.minimum(clients, self.seats), np.zeros_like(clients))
        away = self.request_overhead / idle + self.lookahead_steps
        admission = np.minimum(clients / (cycle_steps + away), self.largest_admission)
        steps = self._steps(admission)
        step = steps.mean_seconds
        prefill = steps.mixed_seconds * steps.chunks
        running = np.minimum(clients, self.largest_admission * (cycle_steps + away))
        full = np.minimum(self.token_budget, np.maximum(running, 1.0) * self.prompt)
        everybody = np.maximum(running - 1.0, 0.0) * self.prompt / full * self.step.seconds(np.zeros_like(full), full)
        wave = self.cohort_share * everybody
        ahead = self.lookahead_steps * step
        residence = self.request_overhead + ahead + wave + prefill + self.decode_steps * step
        rate = running / residence
        waiting = np.maximum(clients - running, 0.0) / rate
        waits: list[Part] = [Residual(2 * wave, np.ones_like(wave))]
        return self._state(steps, rate=rate, prefill=prefill, waits=waits, fixed=waiting + ahead, queue=waiting + wave)

    def saturated_state(self) -> LanguageState:
        """As many requests as there are seats, always; latencies leave out the wait for a seat, which has no end."""
        return self.open_state(self.largest_admission, saturated=True)

    def batch_state(self, batch: Floats) -> LanguageState:
        """One static batch at a time: all prompts first, then all sequences step by step."""
        tokens = batch * self.prompt
        chunk = np.minimum(tokens, self.token_budget)
        zero = np.zeros_like(batch)
        prefill = self.step.seconds(zero, chunk) * tokens / chunk
        step = self.step.seconds(batch, zero)
        rate = batch / (self.request_overhead + prefill + self.decode_steps * step)
        steps = _Steps(batch, tokens / chunk, zero, zero, step, step, zero)
        return self._state(steps, rate=rate, prefill=prefill, waits=[], fixed=zero, queue=zero)

    def _state(
        self,
        steps: "_Steps",
        *,
        rate: Floats,
        prefill: Floats,
        waits: list[Part],
        fixed: Floats,
        queue: Floats,
    ) -> LanguageState:
        step = steps.mean_seconds
        # How many run fluctuates like a Poisson number, and the step time with it by its elasticity. The number is that
        # of a full replica: with few running the elasticity is small anyway, and the percentiles rise with the load.
        elasticity = np.maximum(1 - self.idle_step_seconds / step, 0.0)
        fluctuation = self.burstiness * elasticity * elasticity / self.seats
        variation = np.sqrt(self.service_jitter * self.service_jitter + fluctuation)
        decoding = self.decode_steps * step
        average, median = steps.interruption
        interruption = Interruption(average / self.tokens_per_step, median / self.tokens_per_step)
        first = [
            *waits,
            LogNormal(prefill, self.prompt_sigma),
            Jitter(self.first_token_jitter * (prefill + self.request_overhead)),
        ]
        return LanguageState(
            requests_per_second=rate,
            sequences=steps.sequences,
            mixed_share=steps.share,
            mixed_tokens=steps.tokens,
            step_seconds=step,
            prefill_seconds=prefill,
            time_to_first_token=Latency(fixed + self.request_overhead, first),
            time_per_output_token=Latency(
                steps.plain_seconds / self.tokens_per_step,
                [interruption, Jitter(variation * step / self.tokens_per_step)],
            ),
            end_to_end=Latency(fixed + self.request_overhead + decoding, [*first, Jitter(variation * decoding)]),
            queue_seconds=queue,
        )


def continuous_batching(
    table: CaseTable, work: TransformerWork, device: DeviceColumns, constants: Constants
) -> ContinuousBatching:
    """The replicas of ``table``; every row a transformer with known numbers. Rows whose memory does not fit have
    ``memory.seats`` below 1 and no meaning otherwise."""
    engine = language_columns(constants, table)
    table = _split_by_layers(table, engine)
    work = replace(work, cache_bytes=work.cache_bytes * cache_factor(table, engine))
    budget = np.where(
        np.isnan(table.maximum_batched_tokens), engine.maximum_batched_tokens, table.maximum_batched_tokens
    )
    prompt = prefilled_tokens(table, engine)
    memory = language_memory(table, work, device, engine, np.minimum(budget, 8192.0))
    limit = np.where(np.isnan(table.maximum_batch_size), engine.maximum_batch_size, table.maximum_batch_size)
    seats = np.maximum(np.minimum(limit, memory.seats), 1.0)
    decode_steps = np.maximum(table.output_tokens - 1.0, 0.0) / engine.tokens_per_step
    chunk_steps = np.maximum(prompt / budget, 1.0)
    by_seats = seats / (decode_steps + chunk_steps)
    by_budget = budget / (prompt + decode_steps)
    largest = np.minimum(by_seats, by_budget)
    step = step_coefficients(table, work, device, engine, constants)
    nothing = np.zeros_like(prompt)
    idle_step = step.seconds(nothing, nothing)
    batching = ContinuousBatching(
        step=step,
        memory=memory,
        prompt=prompt,
        decode_steps=decode_steps,
        chunk_steps=chunk_steps,
        token_budget=budget,
        seats=np.maximum(largest * (decode_steps + chunk_steps), 1.0),
        largest_admission=largest,
        maximum_rate=nothing,
        idle_step_seconds=idle_step,
        prompt_seconds=step.seconds(nothing, np.minimum(prompt, budget)) - idle_step,
        request_overhead=served_seconds(table, engine.request_overhead_seconds),
        lookahead_steps=served_seconds(table, engine.lookahead_steps),
        tokens_per_step=engine.tokens_per_step,
        cohort_share=engine.cohort_share,
        prompt_sigma=prompt_sigma(table.input_tokens, table.input_tokens_p95),
        burstiness=np.where(np.isnan(table.burstiness), 1.0, table.burstiness),
        service_jitter=constants.language.jitter.service,
        first_token_jitter=constants.language.jitter.first_token,
        output_variation=constants.language.jitter.output_length,
    )
    return replace(batching, maximum_rate=batching.rate(largest))


def _split_by_layers(table: CaseTable, engine: LanguageColumns) -> CaseTable:
    """The table with stages in place of a tensor split where the engine knows only stages."""
    if not engine.splits_layers.any():
        return table
    stages = engine.splits_layers > 0
    pipeline = np.where(stages, table.tensor * table.pipeline, table.pipeline)
    return replace(table, tensor=np.where(stages, 1, table.tensor), pipeline=pipeline)


def served_seconds(table: CaseTable, seconds: Floats) -> Floats:
    """What a server adds to a request; static batches and bare maximum throughput are the engine alone."""
    served = (table.load_kind == LoadKind.OPEN) | (table.load_kind == LoadKind.CLOSED)
    return np.where(served, seconds, 0.0)


def prompt_sigma(mean: Floats, p95: Floats) -> Floats:
    """σ of a log-normal length with this mean and 95th percentile; 0 where the percentile is nan or not above the mean.

    p95 / mean = e^(1.645·σ − σ²/2), the smaller root; a ratio above e^(1.645²/2) = 3.87 gets the largest σ, 1.645.
    """
    ratio = np.log(np.maximum(np.where(np.isnan(p95), mean, p95) / mean, 1.0))
    z = 1.6448536269514722
    return z - np.sqrt(np.maximum(z * z - 2 * ratio, 0.0))
