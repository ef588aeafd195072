"""Classic networks behind a dynamic batcher: a bulk-service queue whose batches grow with the load.

As in :mod:`berth_cost.performance.batching`, one variable drives everything explicitly: m = requests that arrive while
a batch is served. A batch takes what arrived, at least one request and at most the limit; the rate is m / cycle.
"""

from dataclasses import dataclass, replace

import numpy as np

from berth_cost.hardware.device import DeviceColumns
from berth_cost.performance.bracketing import Excess, last_true
from berth_cost.performance.case_table import CaseTable, Floats, Integers, LoadKind, NetworkCalibration, rows_of
from berth_cost.performance.classic.columns import (
    ClassicColumns,
    classic_columns,
    family_columns,
    launch_factor,
    precision_and_gpu,
)
from berth_cost.performance.engine_constants import Constants, behind_server
from berth_cost.performance.percentiles import Jitter, Latency, Part, Residual, Wait
from berth_cost.performance.queueing import HIGHEST_UTILIZATION, natural_batch, overflow_wait, waiting_probability
from berth_cost.performance.roofline import overlapped, soft_maximum
from berth_cost.performance.work import DenseWork

REFERENCE_FLOPS = 4e9
"""Of the typical network that ``pass_overhead_seconds`` is stated for (ResNet-50 is 8.2e9)."""
REFERENCE_PARAMETERS, REFERENCE_LAYERS = 25e6, 50.0
"""Of the same; and how many layers a network is taken to have whose name does not say."""
RAMP_REFERENCE_FLOPS_PER_SECOND = 1e14
WIDEST = np.log(6.0)
"""Networks with more than six times the reference's parameters, or less than a sixth, are as those."""
UNEVEN_BATCHES = 0.4
"""Squared coefficient of variation of batches that many busy instances take: whoever is idle first takes all that
waits, and leaves little to the next. As simulated (``simulated.dynamic_batching``: 2 and 4 instances, 8 to 64 requests
a batch)."""
HIGHEST_EFFICIENCY = 0.8
"""Of the peak rate: large matrix products reach 77 to 87 % of it (public measurements on A100, H100, B200)."""


@dataclass(frozen=True, slots=True)
class PassCoefficients:
    """A forward pass over b items, seconds: the GPU's work is the soft maximum of two lines; launches run beside it in
    part; every item's copy comes on top."""

    compute_fixed: Floats
    compute_item: Floats
    memory_fixed: Floats
    memory_item: Floats
    launches: Floats
    overlap: Floats
    """Share of the launches that the processor makes while the GPU works."""
    copy_item: Floats

    def seconds(self, items: Floats, instances: Floats | float = 1.0) -> Floats:
        """Between two completions where ``instances`` are at work: they share the GPU, and nothing else."""
        beside = overlapped(self.device_seconds(items), self.launches / instances, self.overlap)
        return beside + self.copy_item * items / instances

    def scaled(self, fixed: Floats, item: Floats, copy: Floats) -> "PassCoefficients":
        """What a pass takes whatever its batch, what an item adds and what its copy adds, times a factor each."""
        return replace(
            self,
            compute_fixed=self.compute_fixed * fixed,
            memory_fixed=self.memory_fixed * fixed,
            launches=self.launches * fixed,
            compute_item=self.compute_item * item,
            memory_item=self.memory_item * item,
            copy_item=self.copy_item * copy,
        )

    def device_seconds(self, items: Floats) -> Floats:
        return soft_maximum(self.compute(items), self.memory(items))

    def compute(self, items: Floats) -> Floats:
        return self.compute_fixed + self.compute_item * items

    def memory(self, items: Floats) -> Floats:
        return self.memory_fixed + self.memory_item * items

    def overhead(self, items: Floats) -> Floats:
        return self.launches + self.copy_item * items


@dataclass(frozen=True, slots=True)
class ClassicState:
    """A replica at an operating point; shapes (n,)."""

    requests_per_second: Floats
    items_per_pass: Floats
    busy: Floats
    """Share of the time in which the GPU runs something."""
    service_seconds: Floats
    """Of a pass, stretched by the other instances."""
    host_seconds: Floats
    queue_seconds: Floats
    latency: Latency


@dataclass(frozen=True, slots=True)
class BatchService:
    """Replicas of classic networks by row; shapes (n,)."""

    work: PassCoefficients
    items: Floats
    """Per request."""
    largest_batch: Floats
    """Requests per pass, at least 1."""
    instances: Floats
    delay: Floats
    """Longest time a request is held back for company."""
    host: Floats
    """Per request, through a server."""
    host_serial: Floats
    """Its copies, which requests take one after another."""
    host_overlap: Floats
    """Share of the copies that runs while the GPU works."""
    host_jitter: Floats
    """Coefficients of variation of what the server adds, of a pass, and of latencies in a closed loop of several
    instances."""
    pass_jitter: Floats
    loop_jitter: Floats
    burstiness: Floats
    client_share: float
    """Of a closed load's round trips: what is not waiting for the answer."""
    maximum_rate: Floats

    def pass_seconds(self, requests: Floats) -> Floats:
        return self.work.seconds(requests * self.items)

    def device_cycle_seconds(self, requests: Floats) -> Floats:
        """Between two completions where all instances are busy."""
        return self.work.seconds(requests * self.items, self.instances)

    def cycle_seconds(self, requests: Floats) -> Floats:
        """The same, with the copies through the host: they overlap in part with what the GPU does."""
        return self.cycle_seconds_of(requests, self.instances)

    def cycle_seconds_of(self, requests: Floats, busy: Floats) -> Floats:
        """The same where only ``busy`` of the instances are at work."""
        device = self.work.seconds(requests * self.items, busy)
        return overlapped(device, requests * self.host_serial, self.host_overlap)

    def calibrated(self, runs: NetworkCalibration) -> "BatchService":
        """As measured runs of the deployment, or of ones like it, have corrected it."""
        host, spread = np.exp(runs.log_host), np.exp(runs.log_spread)
        service = replace(
            self,
            work=self.work.scaled(np.exp(runs.log_fixed), np.exp(runs.log_item), host),
            host=self.host * host,
            host_serial=self.host_serial * host,
            host_jitter=self.host_jitter * spread,
            pass_jitter=self.pass_jitter * spread,
            loop_jitter=self.loop_jitter * spread,
        )
        return replace(service, maximum_rate=service.largest_batch / service.cycle_seconds(service.largest_batch))

    def rate(self, arrivals: Floats) -> Floats:
        """Requests per second at m = ``arrivals``."""
        return arrivals / self.cycle_seconds(np.minimum(natural_batch(arrivals), self.largest_batch))

    def arrivals_at(self, rate: Floats) -> Floats:
        """The m of an open load; a rate beyond what can be served gives the largest m that has an answer."""

        def narrowed(rows: Integers) -> Excess:
            some, wanted = rows_of(self, rows), rate[rows]
            return lambda arrivals: some.rate(arrivals) - wanted

        return last_true(narrowed, self.smallest_arrivals(), self.fullest_arrivals())

    def smallest_arrivals(self) -> Floats:
        """m of a load so thin that its requests never meet."""
        return self.largest_batch * 1e-9

    def fullest_arrivals(self) -> Floats:
        """The m beyond which waits have no useful estimate."""
        return HIGHEST_UTILIZATION * self.largest_batch

    def open_state(self, arrivals: Floats) -> ClassicState:
        rate = self.rate(arrivals)
        batch = np.clip(np.maximum(natural_batch(arrivals), 1 + rate * self.delay), 1.0, self.largest_batch)
        cycle = self.cycle_seconds(batch)
        busy = np.minimum(rate * cycle / batch, 1.0)
        # A batch is copied before it starts; what the server adds to a request has the copy of one.
        alone = self.cycle_seconds_of(batch, np.ones_like(batch)) - self.host_serial
        shared = self.instances * cycle - self.host_serial
        # Who asks is likelier in a large batch than in a small one.
        uneven = UNEVEN_BATCHES * (1 - 1 / self.instances) * (1 - 1 / batch) * busy
        service = (1 + uneven) * (alone + busy * np.maximum(shared - alone, 0.0))
        all_busy = waiting_probability(busy, self.instances)
        utilization = np.minimum(rate / self.maximum_rate, HIGHEST_UTILIZATION)
        overflow, overflow_probability = overflow_wait(
            utilization, self.largest_batch, self.cycle_seconds(self.largest_batch), self.burstiness
        )
        residual = Residual(np.maximum(cycle - self.delay, 0.0), all_busy)
        waits: list[Part] = [residual, Wait(overflow, overflow_probability), Jitter(np.sqrt(uneven) * service)]
        queue = self.delay + residual.mean() + overflow
        return self._state(
            rate=rate, batch=batch, busy=busy, service=service, queue=queue, waiting=Latency(self.delay, waits)
        )

    def closed_state(self, clients: Floats) -> ClassicState:
        """A fixed number of requests in the system: batches of what the others left, latency by Little's law."""
        batch = np.clip(clients / (self.instances + 1), 1.0, self.largest_batch)
        alone = self.pass_seconds(batch)
        unhindered = self.host + alone
        # The first request to come back finds an idle instance and is served alone, unless full batches wait anyway.
        waiting = np.clip(self.instances + 1 - clients / self.largest_batch, 0.0, 1.0) * (1 - 1 / batch)
        lone = np.where(self.instances > 1, waiting, 0.0) * self.cycle_seconds(np.ones_like(batch))
        longest = clients * self.cycle_seconds(batch) / batch + lone
        latency = np.maximum(unhindered, longest)
        rate = (1 - self.client_share) * clients / latency
        busy = np.minimum(rate * self.cycle_seconds(batch) / batch, 1.0)
        queue = latency - unhindered
        # One instance takes clients in turns of equal length; of several, who goes with whom changes all the time.
        uneven = np.where((self.instances > 1) & (clients > 1), self.loop_jitter, 0.0)
        return self._state(
            rate=rate,
            batch=batch,
            busy=busy,
            service=alone,
            queue=queue,
            waiting=Latency(queue, [Jitter(uneven * latency)]),
        )

    def batch_state(self, requests: Floats) -> ClassicState:
        """One batch at a time, sent as one request."""
        seconds = self.pass_seconds(requests)
        host = self.host * requests
        zero = np.zeros_like(seconds)
        rate = requests / (host + seconds)
        return self._state(
            rate=rate,
            batch=requests,
            busy=seconds / (host + seconds),
            service=seconds,
            queue=zero,
            waiting=Latency(host - self.host, []),
        )

    def saturated_state(self) -> ClassicState:
        """Full batches in every instance, always."""
        batch = self.largest_batch
        cycle = self.cycle_seconds(batch)
        zero, one = np.zeros_like(cycle), np.ones_like(cycle)
        return self._state(
            rate=batch / cycle,
            batch=batch,
            busy=one,
            service=self.instances * self.device_cycle_seconds(batch),
            queue=zero,
            waiting=Latency(zero, []),
        )

    def _state(
        self, *, rate: Floats, batch: Floats, busy: Floats, service: Floats, queue: Floats, waiting: Latency
    ) -> ClassicState:
        jitters = [Jitter(self.pass_jitter * service), Jitter(self.host_jitter * self.host)]
        return ClassicState(
            requests_per_second=rate,
            items_per_pass=batch * self.items,
            busy=busy,
            service_seconds=service,
            host_seconds=self.host,
            queue_seconds=queue,
            latency=Latency(waiting.fixed + self.host + service, [*waiting.parts, *jitters]),
        )


def batch_service(table: CaseTable, work: DenseWork, device: DeviceColumns, constants: Constants) -> BatchService:
    """The replicas of ``table``; every row a classic network with known numbers."""
    engine = classic_columns(constants, table)
    items = np.maximum(np.nan_to_num(table.items_per_request, nan=1.0), 1.0)
    stated = np.where(np.isnan(table.maximum_batch_size), items, table.maximum_batch_size)
    batching = table.dynamic_batching | (table.load_kind == LoadKind.SATURATED)
    largest = np.where(batching, np.maximum(np.floor(stated / items), 1.0), 1.0)
    moved = items * (work.input_bytes + work.output_bytes)
    copies = through_server(table, moved / engine.host_bytes_per_second)
    delay = np.where(largest > 1, np.nan_to_num(table.maximum_queue_delay_seconds), 0.0)
    service = BatchService(
        work=pass_coefficients(table, work, device, engine, constants),
        items=items,
        largest_batch=largest,
        instances=table.instances.astype(np.float64),
        delay=delay,
        host=through_server(table, engine.request_seconds) + copies,
        host_serial=copies,
        host_overlap=engine.host_overlap,
        host_jitter=np.full(len(table), constants.classic.jitter.host),
        pass_jitter=np.full(len(table), constants.classic.jitter.network_pass),
        loop_jitter=np.where(delay > 0, constants.classic.jitter.held_loop, constants.classic.jitter.loop),
        burstiness=np.where(np.isnan(table.burstiness), 1.0, table.burstiness),
        client_share=constants.classic.client_share,
        maximum_rate=np.ones_like(largest),
    )
    service = replace(service, maximum_rate=largest / service.cycle_seconds(largest))
    if table.calibration is None or table.calibration.network is None:
        return service
    return service.calibrated(table.calibration.network)


def state_under(service: BatchService, table: CaseTable, kind: LoadKind, stretch: Floats) -> ClassicState:
    """At the load of the table, all of ``kind``, where every time is ``stretch`` times as long, on the service's own
    clock: see :func:`berth_cost.performance.replica.language_state`."""
    if kind is LoadKind.OPEN:
        return service.open_state(service.arrivals_at(table.requests_per_second * stretch))
    if kind is LoadKind.CLOSED:
        return service.closed_state(table.concurrency)
    if kind is LoadKind.BATCH:
        return service.batch_state(table.batch_size)
    return service.saturated_state()


def through_server(table: CaseTable, seconds: Floats) -> Floats:
    """``seconds`` where requests come through a server, else 0. A load of whole batches, or of none but the maximum, is
    the engine alone unless the engine's name says that Triton stands before it."""
    named = np.array([behind_server(one) for one in table.engines])[table.engine_index]
    requests = (table.load_kind == LoadKind.OPEN) | (table.load_kind == LoadKind.CLOSED)
    return np.where(named | requests, seconds, 0.0)


def pass_coefficients(
    table: CaseTable, work: DenseWork, device: DeviceColumns, engine: ClassicColumns, constants: Constants
) -> PassCoefficients:
    compute_factor, memory_factor = precision_and_gpu(constants, table, device)
    family = family_columns(constants, table)
    flops = device.peak_flops_per_second * engine.compute_efficiency * compute_factor
    bandwidth = device.bandwidth_bytes_per_second * engine.memory_efficiency * memory_factor
    size = np.log(np.maximum(work.flops, 1.0) / REFERENCE_FLOPS)
    parameters = np.log(np.nan_to_num(work.parameters, nan=REFERENCE_PARAMETERS) / REFERENCE_PARAMETERS)
    # Wide layers fill the GPU better than thin ones of the same FLOPs, up to a point.
    wide = np.exp(engine.width_exponent * np.clip(parameters, -WIDEST, WIDEST))
    layers = np.log(np.nan_to_num(work.layers, nan=REFERENCE_LAYERS) / REFERENCE_LAYERS)
    slower = family.device / wide
    launches = family.launches * np.exp(engine.size_exponent * size + engine.layer_exponent * layers)
    copies = engine.copy_seconds_per_byte * work.input_bytes
    # Without tensor cores Winograd's convolutions take fewer operations than are counted; with them nothing does.
    fastest = np.where(compute_factor > 1.5, 0.0, 1 / (HIGHEST_EFFICIENCY * device.peak_flops_per_second))
    fill = engine.ramp_flops * device.peak_flops_per_second / RAMP_REFERENCE_FLOPS_PER_SECOND
    return PassCoefficients(
        compute_fixed=slower * fill / flops,
        compute_item=np.maximum(slower / flops, fastest) * work.flops,
        memory_fixed=slower * work.streamed_weight_bytes / bandwidth,
        # Written by one operation, read by the next.
        memory_item=slower * 2 * work.activation_bytes / bandwidth,
        launches=engine.pass_overhead_seconds * launches * launch_factor(constants, table) * work.passes,
        # A server hands batch after batch over, and waits for each.
        overlap=engine.launch_overlap - through_server(table, engine.launch_overlap),
        # A server copies by itself; a framework's own loop does it between its passes.
        copy_item=copies - through_server(table, copies),
    )
