"""An ONNX file, looked through before onnxruntime opens it.

onnxruntime reads any file that a model names for its weights, and runs every operator it knows,
those that loop for ever among them. livesr's networks need neither, so a file that asks for more
than they do is refused. Protocol buffers are walked by hand: the `onnx` package would be the
largest dependency of all, for this alone.
"""

from __future__ import annotations

from collections.abc import Iterator

# What `export.graph` builds with, but for the timing model's made-up weights.
OPERATORS = (
    *("Add", "Concat", "Conv", "Div", "Gemm", "LSTM", "MatMul", "MaxPool", "Mul", "Relu"),
    *("Reshape", "Slice", "Softmax", "Squeeze", "Sub", "Transpose", "Unsqueeze"),
)
_DOMAINS = ("", "ai.onnx")
_LONGEST_VARINT = 10  # bytes


class Refused(ValueError):
    """A file that asks for what no model of livesr's does; says for what."""


def look_through(data: bytes) -> None:
    """See that a model is made of the usual operators and of nothing outside the file.

    Raises:
        Refused: if it is not, or is no ONNX file; the message is a few words that follow "it".
    """
    for number, value in _fields(memoryview(data)):
        if number == 7:
            _graph(value)
        elif number == 8:
            for part, name in _fields(value):
                if part == 1:
                    _known("operators of", name, _DOMAINS)
        elif number == 25:
            raise Refused("defines functions of its own")


def _graph(graph: memoryview) -> None:
    for number, value in _fields(graph):
        if number == 1:
            _node(value)
        elif number == 5:
            _tensor(value)
        elif number == 15:
            raise Refused("holds sparse weights")


def _node(node: memoryview) -> None:
    for number, value in _fields(node):
        if number == 4:
            _known("the operator", value, OPERATORS)
        elif number == 7:
            _known("operators of", value, _DOMAINS)
        elif number == 5:
            for part, attribute in _fields(value):
                if part in (5, 10):
                    _tensor(attribute)
                elif part in (6, 11, 22, 23):
                    raise Refused("holds a graph or sparse weights within an operator")


def _tensor(tensor: memoryview) -> None:
    if any(number in (13, 14) for number, value in _fields(tensor, varints=True) if value):
        raise Refused("keeps its weights in another file")


def _known(what: str, name: memoryview, known: tuple[str, ...]) -> None:
    text = bytes(name[:80]).decode(errors="replace")
    if text not in known:
        raise Refused(f"uses {what} {text!r}")


def _fields(message: memoryview, varints: bool = False) -> Iterator[tuple[int, memoryview]]:
    """Number and bytes of each field that has bytes; with `varints`, those that are not 0 too."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = (tag & 0xFFFFFFFF) >> 3, tag & 7
        begin = place
        if kind == 0:
            value, place = _varint(message, place)
            if varints and value:
                yield number, message[begin:place]
        elif kind == 2:
            size, begin = _varint(message, place)
            place = begin + size
            if place <= len(message):
                yield number, message[begin:place]
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise Refused("is no ONNX file")
        if place > len(message):
            raise Refused("is cut short")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[place : place + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, place + index + 1
    raise Refused("is no ONNX file, or is cut short")
