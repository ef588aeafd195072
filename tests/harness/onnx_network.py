"""Tiny ONNX networks for tests, written as protobuf bytes: what they compute can be checked by hand.

Field numbers: onnx.proto of onnx/onnx 1.19 (IR version 8, operator set 17).
"""

from collections.abc import Sequence

FLOAT, INT64 = 1, 7
_VARINT, _BYTES = 0, 2


def sum_of_inputs(inputs: Sequence[str], outputs: Sequence[str], size: int, kind: int = FLOAT) -> bytes:
    """``inputs`` of ``kind`` and shape [batch, ``size``]; each output is their sum, as floats of the same shape."""
    nodes, total = [], inputs[0]
    for i, other in enumerate(inputs[1:]):
        nodes.append(_node("Add", [total, other], [f"sum{i}"]))
        total = f"sum{i}"
    nodes += [_node("Cast", [total], [name], _int_attribute("to", FLOAT)) for name in outputs]
    graph = b"".join(
        [
            *(_field(1, node) for node in nodes),
            _field(2, b"sum"),
            *(_field(11, _tensor(name, kind, size)) for name in inputs),
            *(_field(12, _tensor(name, FLOAT, size)) for name in outputs),
        ]
    )
    operator_set = _field(1, b"") + _number(2, 17)
    return _number(1, 8) + _field(7, graph) + _field(8, operator_set)


def _node(operation: str, inputs: Sequence[str], outputs: Sequence[str], attribute: bytes = b"") -> bytes:
    names = [_field(1, name.encode()) for name in inputs] + [_field(2, name.encode()) for name in outputs]
    return b"".join(names) + _field(4, operation.encode()) + (_field(5, attribute) if attribute else b"")


def _int_attribute(name: str, value: int) -> bytes:
    return _field(1, name.encode()) + _number(3, value) + _number(20, 2)


def _tensor(name: str, kind: int, size: int) -> bytes:
    shape = _field(1, _field(2, b"batch")) + _field(1, _number(1, size))
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, shape)))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
