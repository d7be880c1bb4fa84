"""Computes how large a network's arrays become, before onnxruntime allocates any of them.

A few hundred bytes of ordinary operators can ask for any amount of memory: constants joined with
themselves thirty times, or the product of two long vectors. So the shapes are followed from
operator to operator. Each is an upper bound: a Slice counts as large as its input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from livesr.model.onnxfile import MOST_AXES, Graph, Node, Refused, Shape

_MOST_NUMBERS = 2**26  # of one stream's call, all arrays together; the paper's widths need 2**24
_FRAMES = 302  # of the longest hop, and two that waited for it


def follow(graph: Graph, frames: Sequence[Shape]) -> int:
    """Check that no array becomes larger than a livesr model may need.

    Args:
        graph: what `look_through` found.
        frames: shapes that a frame of features may have.

    Returns:
        An upper bound of the numbers in all arrays of one stream's call.

    Raises:
        Refused: if they are too many, or no bound can be given.
    """
    shapes = {name: (1, *dims[1:]) for name, dims in graph.inputs.items()}
    frame = shapes.get("features", ())[2:]
    if frame not in frames:
        raise Refused(f"takes frames of the shape {list(frame)!s:.80}, which livesr does not give")
    shapes = {**shapes, "features": (1, _FRAMES, *frame), **graph.constants}
    total = 0
    for node in graph.nodes:
        try:
            made, beside = _made(node, [shapes[name] for name in node.inputs], graph.indices)
            (output,) = node.outputs
            if output in shapes or min(made, default=0) < 0 or len(made) > MOST_AXES:
                raise ValueError(output)
        except (IndexError, KeyError, ValueError):
            kind = node.operator
            raise Refused(f"uses the operator {kind!r} as no network of livesr's does") from None
        shapes[output] = made
        total += math.prod(made) + beside
        if total > _MOST_NUMBERS:
            raise Refused(f"would fill arrays of more than {_MOST_NUMBERS:,} numbers")
    return total


def _made(node: Node, shapes: list[Shape], indices: Mapping[str, Shape]) -> tuple[Shape, int]:
    """The shape of an operator's output, and how many numbers it needs besides.

    Raises:
        IndexError, KeyError, ValueError: if it cannot be told.
    """
    first, beside = shapes[0], 0
    match node.operator:
        case "Relu" | "Softmax" | "Slice" | "LayerNormalization" | "Erf" | "Sqrt" | "Cast":
            made = first
        case "Shape":
            made = (len(first),)
        case "Add" | "Sub" | "Mul" | "Div":
            made = _broadcast(first, shapes[1])
        case "MatMul":
            (*some, rows, _), (*others, _, columns) = first, shapes[1]
            made = (*_broadcast(tuple(some), tuple(others)), rows, columns)
        case "Gemm":
            (rows, inner), (other, columns) = first, shapes[1]
            rows = inner if node.number.get("transA") else rows
            made = (rows, other if node.number.get("transB") else columns)
        case "Conv":
            maps, *kernel = shapes[1]
            made = (first[0], maps, *_places(node, first[2:], tuple(kernel[1:])))
            beside = math.prod(kernel) * math.prod(made[2:])  # the input, laid out for a product
        case "MaxPool":
            made = (*first[:2], *_places(node, first[2:], node.numbers["kernel_shape"]))
        case "LSTM":
            (steps, streams, _), (directions, _, cells) = first, shapes[2]
            made = (steps, directions, streams, cells)
            beside = 4 * math.prod(made)  # gates
            if node.number.get("layout"):
                raise ValueError("layout")
        case _:
            made = _arranged(node, shapes, indices)
    return made, beside


def _arranged(node: Node, shapes: list[Shape], indices: Mapping[str, Shape]) -> Shape:
    """The output's shape of operators that only move or join numbers."""
    first = shapes[0]
    axes = range(len(first))
    match node.operator:
        case "Concat":
            along = axes[node.number["axis"]]
            made = list(map(max, zip(*shapes, strict=True)))
            made[along] = sum(shape[along] for shape in shapes)
            return tuple(made)
        case "Transpose":
            order = node.numbers["perm"]
            if sorted(order) != [*axes]:
                raise ValueError("perm")
            return tuple(first[axis] for axis in order)
        case "Reshape":
            return _reshaped(first, indices[node.inputs[1]])
        case "Squeeze":
            gone = {axes[axis] for axis in indices[node.inputs[1]]}
            return tuple(first[axis] for axis in axes if axis not in gone)
        case "Unsqueeze":
            axes = range(len(first) + len(indices[node.inputs[1]]))
            new = {axes[axis] for axis in indices[node.inputs[1]]}
            rest = iter(first)
            return tuple(1 if axis in new else next(rest) for axis in axes)
    raise ValueError(node.operator)


def _broadcast(one: Shape, other: Shape) -> Shape:
    longest = max(len(one), len(other))
    padded = ((1,) * (longest - len(shape)) + shape for shape in (one, other))
    return tuple(map(max, zip(*padded, strict=True)))


def _reshaped(shape: Shape, wanted: Shape) -> Shape:
    """0 stands for the size as it was, -1 for what is left."""
    made = [shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    if -1 in wanted:
        rest = math.prod(size for size in made if size != -1)
        made[made.index(-1)] = -(-math.prod(shape) // max(1, rest))
    return tuple(made)


def _places(node: Node, sizes: Shape, kernel: Shape) -> Shape:
    """How many positions a kernel has along each axis; dilations could only reduce them."""
    if "auto_pad" in node.numbers:
        raise ValueError("auto_pad")
    count = len(sizes)
    pads = node.numbers.get("pads") or (0,) * 2 * count
    strides = node.numbers.get("strides") or (1,) * count
    around = [before + after for before, after in zip(pads[:count], pads[count:], strict=True)]
    return tuple(
        max(0, -(-(size + pad - width) // max(1, stride)) + 1)
        for size, pad, width, stride in zip(sizes, around, kernel, strides, strict=True)
    )
