"""A model on a live Triton as a target: its inputs made from its metadata, its batching read from its configuration."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc.aio as triton
from google.protobuf.json_format import MessageToDict
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from berth_cost.cases.case import Engine, Serving

STATED_SIZE = 1
"""Of a dimension that the model leaves open, where no input is given."""


class UnusableTarget(Exception):
    """Raised where the server or the model cannot be measured; the message says what to do."""


@dataclass(frozen=True, slots=True)
class TritonTarget:
    """A connected client and the inputs that every request carries."""

    client: triton.InferenceServerClient
    model: str
    inputs: list[triton.InferInput]
    engine: Engine
    serving: Serving
    items_per_request: int
    input_bytes: int

    async def send(self, _: int) -> tuple[float, ...]:
        await self.client.infer(self.model, self.inputs)
        return ()

    async def close(self) -> None:
        await self.client.close()


async def triton_target(address: str, model: str, items: int, given: Path | None) -> TritonTarget:
    """``items``: the batch of a request. ``given``: a JSON file of values by input. Raises :class:`UnusableTarget`."""
    client = triton.InferenceServerClient(address)
    try:
        metadata = await client.get_model_metadata(model, client_timeout=10)
        answer = await client.get_model_config(model, client_timeout=10)
        server = await client.get_server_metadata(client_timeout=10)
    except InferenceServerException as error:
        await client.close()
        raise UnusableTarget(f"Triton at {address}, model {model}: {error}") from error
    if metadata is None or answer is None or server is None:
        await client.close()
        raise UnusableTarget(f"Triton at {address}, model {model}: an empty answer")
    configuration = MessageToDict(answer.config, preserving_proto_field_name=True)
    largest = int(configuration.get("max_batch_size", 0))
    if items > max(largest, 1):
        await client.close()
        raise UnusableTarget(f"--items {items}: {model} takes batches of at most {max(largest, 1)}")
    try:
        inputs = [_input(one, items, largest > 0, values) for one, values in _with_values(metadata.inputs, given)]
    except UnusableTarget:
        await client.close()
        raise
    return TritonTarget(
        client=client,
        model=model,
        inputs=[made for made, _ in inputs],
        engine=Engine(name=_engine(configuration), version=f"triton {server.version}"),
        serving=_serving(configuration, largest),
        items_per_request=items,
        input_bytes=sum(size for _, size in inputs) // items,
    )


def _engine(configuration: dict[str, Any]) -> str:
    """As workloads name their backends."""
    return str(configuration.get("backend") or configuration.get("platform") or "python")


def _serving(configuration: dict[str, Any], largest: int) -> Serving:
    batching = configuration.get("dynamic_batching")
    groups = configuration.get("instance_group") or [{}]
    return Serving(
        maximum_batch_size=max(largest, 1),
        instances=max(sum(int(group.get("count", 1)) for group in groups), 1),
        dynamic_batching=batching is not None,
        maximum_queue_delay_microseconds=int((batching or {}).get("max_queue_delay_microseconds", 0)),
    )


def _with_values(inputs: Any, given: Path | None) -> list[tuple[Any, Any]]:
    """Each input with the values that the file has for it, None where it has none."""
    if given is None:
        return [(one, None) for one in inputs]
    try:
        values = json.loads(given.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnusableTarget(f"--input {given}: cannot be read as JSON: {error}") from error
    names = {one.name for one in inputs}
    if not isinstance(values, dict) or set(values) - names:
        raise UnusableTarget(f"--input {given}: must be an object of values by input: {', '.join(sorted(names))}")
    return [(one, values.get(one.name)) for one in inputs]


def _input(tensor: Any, items: int, batched: bool, values: Any) -> tuple[triton.InferInput, int]:
    """One input with its bytes; where no values are given, numbers that any network takes."""
    shape = [STATED_SIZE if size < 0 else int(size) for size in tensor.shape]
    if batched:
        shape[0] = items
    if tensor.datatype == "BYTES":
        array = np.full(shape, b"text" if values is None else str(values).encode(), dtype=np.object_)
    else:
        kind = triton_to_np_dtype(tensor.datatype)
        if kind is None:
            raise UnusableTarget(f"input {tensor.name} is {tensor.datatype}, which nothing here can make")
        array = np.ones(shape, dtype=kind) if values is None else _given(tensor, values, kind, items, batched)
    made = triton.InferInput(tensor.name, list(array.shape), tensor.datatype)
    made.set_data_from_numpy(array)
    return made, array.nbytes


def _given(tensor: Any, values: Any, kind: Any, items: int, batched: bool) -> Any:
    """The values of one item, repeated over the batch."""
    try:
        array = np.asarray(values, dtype=kind)
    except (TypeError, ValueError) as error:
        raise UnusableTarget(f"--input: {tensor.name}: is no array of {tensor.datatype}: {error}") from error
    wanted = [int(size) for size in tensor.shape][1 if batched else 0 :]
    if len(array.shape) != len(wanted) or any(
        size not in (-1, own) for size, own in zip(wanted, array.shape, strict=True)
    ):
        raise UnusableTarget(f"--input: {tensor.name}: has shape {list(array.shape)}, the model wants {wanted} an item")
    return np.repeat(array[None], items, axis=0) if batched else array
