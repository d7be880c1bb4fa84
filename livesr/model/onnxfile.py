"""Checks an ONNX file before onnxruntime opens it.

onnxruntime reads any file that a model names for its weights, and runs every operator it knows,
including loops without an end. livesr's networks need neither, so a file that asks for more than
they do is refused. Protocol buffers are parsed here by hand, because the `onnx` package would be
the largest dependency of all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

# The operators that `export.networks.graph` and `export.networks.pretrained_graph` use.
OPERATORS = (
    *("Add", "Concat", "Conv", "Div", "Gemm", "LSTM", "MatMul", "MaxPool", "Mul", "Relu"),
    *("Reshape", "Slice", "Softmax", "Squeeze", "Sub", "Transpose", "Unsqueeze"),
    # of a pretrained encoder, and of weights that are stored in 16 bits
    *("Cast", "Erf", "LayerNormalization", "Shape", "Sqrt"),
)
MOST_AXES = 8
_DOMAINS = ("", "ai.onnx")
_LONGEST_VARINT = 10  # bytes
_MOST_BESIDE = 2**16  # bytes besides weights: two of them can become a Python object of a thousand
_INT64, _MOST_INDICES = 7, 16

Shape = tuple[int, ...]


class Refused(ValueError):
    """A file that asks for something that no livesr model needs; the message names it."""


@dataclass(slots=True)
class Node:
    """An operator, with those of its attributes that are integers or lists of integers."""

    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    number: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, Shape] = field(default_factory=dict)


@dataclass(slots=True)
class Graph:
    """What decides the sizes of a network's arrays; see `livesr.model.onnxsizes`."""

    nodes: list[Node] = field(default_factory=list)
    inputs: dict[str, Shape] = field(default_factory=dict)  # 1 where a size is left open
    constants: dict[str, Shape] = field(default_factory=dict)
    indices: dict[str, Shape] = field(default_factory=dict)  # values of the short int64 constants


def look_through(data: bytes) -> Graph:
    """Check that a model uses only the usual operators and nothing outside the file.

    Raises:
        Refused: if it does not, or if it is not an ONNX file; the message continues "it ...".
    """
    walk = _Walk()
    for number, value in walk.parts(memoryview(data), (7, 8)):
        if number == 7:
            walk.graph(value)
        elif number == 8:
            for part, name in walk.parts(value):
                if part == 1:
                    _known("operators of", name, _DOMAINS)
        elif number == 25:
            raise Refused("defines functions")
    return walk.found


class _Walk:
    def __init__(self) -> None:
        self.found = Graph()
        self._beside = 0  # bytes so far

    def graph(self, graph: memoryview) -> None:
        for number, value in self.parts(graph, (1, 5, 11)):
            if number == 1:
                self.found.nodes.append(self._node(value))
            elif number == 5:
                self._constant(value)
            elif number == 11:
                self._input(value)
            elif number == 15:
                raise Refused("holds sparse weights")

    def _node(self, message: memoryview) -> Node:
        node = Node()
        for number, value in self.parts(message, (5,)):
            if number in (1, 2):
                (node.inputs if number == 1 else node.outputs).append(_text(value))
            elif number == 4:
                node.operator = _known("the operator", value, OPERATORS)
            elif number == 7:
                _known("operators of", value, _DOMAINS)
            elif number == 5:
                self._attribute(value, node)
        return node

    def _attribute(self, message: memoryview, node: Node) -> None:
        name, single, several = "", 0, []
        for number, value in self.fields(message, (5, 10)):
            if number in (3, 8):
                numbers = _numbers(value)
                single = numbers[-1] if number == 3 and numbers else single
                several += numbers if number == 8 else []
            elif isinstance(value, int):
                continue
            elif number == 1:
                name = _text(value)
            elif number in (5, 10):
                self._tensor(value)
            elif number in (6, 11, 22, 23):
                raise Refused("holds a graph or sparse weights within an operator")
        if name in node.number:
            raise Refused(f"holds two attributes named {name[:80]!r}")
        node.number[name], node.numbers[name] = single, tuple(several)

    def _constant(self, message: memoryview) -> None:
        name, kind, dims, raw = self._tensor(message)
        if name in self.found.constants:
            raise Refused(f"holds two constants named {name[:80]!r}")
        self.found.constants[name] = dims
        if kind == _INT64 and len(raw) <= 8 * _MOST_INDICES:
            self.found.indices[name] = tuple(
                int.from_bytes(raw[i : i + 8], "little", signed=True) for i in range(0, len(raw), 8)
            )

    def _tensor(self, message: memoryview) -> tuple[str, int, Shape, memoryview]:
        name, kind, dims, raw = "", 0, [], message[:0]
        for number, value in self.fields(message, (9,)):
            if number in (13, 14) and value:
                raise Refused("keeps its weights in another file")
            if number == 1:
                dims += _numbers(value)
            elif number == 2 and isinstance(value, int):
                kind = value
            elif number == 8 and not isinstance(value, int):
                name = _text(value)
            elif number == 9 and not isinstance(value, int):
                raw = value
        shape = _shape(dims)
        if math.prod(shape) > len(message):
            raise Refused(f"says that {name[:80]!r} are more weights than it holds")
        return name, kind, shape, raw

    def _input(self, message: memoryview) -> None:
        name, dims = "", []
        for number, value in self.parts(message, (2,)):
            name = _text(value) if number == 1 else name
            for dim in self._within(value, (1, 2, 1)) if number == 2 else ():
                sizes = [size for n, size in self.fields(dim) if n == 1 and isinstance(size, int)]
                dims.append(max(1, _signed(sizes[-1])) if sizes else 1)
        self.found.inputs[name] = _shape(dims)

    def _within(self, message: memoryview, path: tuple[int, ...]) -> Iterator[memoryview]:
        if not path:
            yield message
            return
        for number, value in self.parts(message, path[:1]):
            if number == path[0]:
                yield from self._within(value, path[1:])

    def parts(
        self, message: memoryview, walked: tuple[int, ...] = ()
    ) -> Iterator[tuple[int, memoryview]]:
        """Those of `fields` that have bytes."""
        for number, value in self.fields(message, walked):
            if not isinstance(value, int):
                yield number, value

    def fields(
        self, message: memoryview, walked: tuple[int, ...] = ()
    ) -> Iterator[tuple[int, int | memoryview]]:
        """Each field's number, with its bytes or its integer value.

        The bytes of the fields in `walked` do not count as "beside the weights": they are weights,
        or the caller parses them in turn.
        """
        place = 0
        while place < len(message):
            start = place
            tag, place = _varint(message, place)
            number, kind = (tag & 0xFFFFFFFF) >> 3, tag & 7
            value: int | memoryview | None = None
            size = 0
            if kind == 0:
                value, place = _varint(message, place)
            elif kind == 2:
                size, place = _varint(message, place)
                value = message[place : place + size]
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise Refused("is no ONNX file")
            self._beside += place - start + (0 if number in walked else size)
            place += size
            if place > len(message):
                raise Refused("is cut short")
            if self._beside > _MOST_BESIDE:
                raise Refused(f"holds more than {_MOST_BESIDE:,} bytes beside its weights")
            if value is not None:
                yield number, value


def _known(what: str, name: memoryview, known: tuple[str, ...]) -> str:
    text = _text(name[:80])
    if text not in known:
        raise Refused(f"uses {what} {text!r}")
    return text


def _text(value: memoryview) -> str:
    return bytes(value).decode(errors="surrogateescape")  # different bytes stay different names


def _shape(dims: list[int]) -> Shape:
    if len(dims) > MOST_AXES or min(dims, default=0) < 0:
        raise Refused("holds an array of a shape that cannot be")
    return tuple(dims)


def _numbers(value: int | memoryview) -> list[int]:
    """The integers of a repeated field, which may be packed."""
    if isinstance(value, int):
        return [_signed(value)]
    found, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        found.append(_signed(number))
    return found


def _signed(value: int) -> int:
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[place : place + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, place + index + 1
    raise Refused("is no ONNX file, or is cut short")
