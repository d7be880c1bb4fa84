"""Seeds of one recipe as one model, which says what they say on average.

    python -m export.ensemble runs/acrnn-compact-seed*/acrnn-compact.onnx --output all.onnx

Networks that differ by their random numbers alone are wrong about different strangers (deep
ensembles, Lakshminarayanan et al. 2017). Logits and attention are means of theirs; the memory is
all of theirs. `export.calibrate` then gives the whole its own temperature.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.graph import tell
from livesr.errors import LivesrError
from livesr.metadata import ModelInfo
from livesr.model import load_model

_SEEDS = "-seed"  # in a version, before the number
_SHARED = ("features", "temperature")
_MEANS = ("logits", "attention")


def ensemble(models: Sequence[onnx.ModelProto], info: ModelInfo) -> onnx.ModelProto:
    """The graphs of `export.graph` side by side, and the means of what they say.

    Args:
        models: two or more with the same inputs and outputs.
        info: what the file says of itself.
    """
    merged = onnx.ModelProto()
    merged.CopyFrom(models[0])
    graph = merged.graph
    for part in (graph.node, graph.input, graph.output, graph.initializer):
        del part[:]
    outputs = {}
    for number, model in enumerate(models):
        member = _renamed(model.graph, _namer(number, [node.name for node in model.graph.input]))
        made = ("probabilities", "cooled")  # of the whole, at its end
        graph.node.extend(n for n in member.node if n.output[0] not in _prefixed(number, made))
        known = {part.name for part in (*graph.input, *graph.initializer)}
        graph.initializer.extend(c for c in member.initializer if c.name not in known)
        graph.input.extend(i for i in member.input if i.name not in known)
        outputs |= {part.name.removeprefix("0."): part for part in member.output}
    count = np.array(1 / len(models), np.float32)
    graph.initializer.append(numpy_helper.from_array(count, "share"))
    for what in _MEANS:
        total = f"0.{what}"
        for number in range(1, len(models)):
            graph.node.append(_node("Add", [total, f"{number}.{what}"], f"{what}+{number}"))
            total = f"{what}+{number}"
        graph.node.append(_node("Mul", [total, "share"], what))
    graph.node.append(_node("Div", ["logits", "temperature"], "cooled"))
    graph.node.append(_node("Softmax", ["cooled"], "probabilities"))
    for name in ("probabilities", *_MEANS):
        outputs[name].name = name
    wanted = ("probabilities", *_MEANS, *(f"new_{i.name}" for i in graph.input[1:]))
    graph.output.extend(outputs[name] for name in wanted)
    tell(merged, info)
    onnx.checker.check_model(merged, full_check=True)
    return merged


def _namer(number: int, inputs: Sequence[str]) -> Callable[[str], str]:
    """New names within a member; the first's memory, which a model must have, keeps its own."""
    kept = {*_SHARED}
    if number == 0:
        kept |= {*inputs, *(f"new_{name}" for name in inputs)}

    def named(name: str) -> str:
        if not name or name in kept:
            return name
        new = name.startswith("new_") and name[4:] in inputs  # new_1.valid becomes 1.valid
        return f"new_{number}.{name[4:]}" if new else f"{number}.{name}"

    return named


def _prefixed(number: int, names: Sequence[str]) -> set[str]:
    return {f"{number}.{name}" for name in names}


def _renamed(graph: onnx.GraphProto, named: Callable[[str], str]) -> onnx.GraphProto:
    new = onnx.GraphProto()
    new.CopyFrom(graph)
    for node in new.node:
        node.name = named(node.name)
        node.input[:] = map(named, node.input)
        node.output[:] = map(named, node.output)
    for part in (*new.input, *new.output, *new.initializer):
        part.name = named(part.name)
    return new


def _node(kind: str, inputs: Sequence[str], output: str) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=output)


def described(infos: Sequence[ModelInfo], name: str) -> ModelInfo:
    """What the whole, of this name, says of itself.

    Raises:
        ValueError: if they are not seeds of one recipe on the same data.
    """
    first = infos[0]
    for info in infos[1:]:
        same = replace(info, version=first.version, temperature=first.temperature)
        same = replace(same, decision=first.decision)
        if json.dumps(same.to_metadata()) != json.dumps(first.to_metadata()):
            raise ValueError(f"{first.version} and {info.version} are not seeds of one recipe.")
    recipes, _, seeds = zip(*(info.version.rpartition(_SEEDS) for info in infos), strict=True)
    return replace(
        first,
        name=name,
        version=recipes[0] + _SEEDS + "+".join(seeds),
        temperature=float(np.mean([info.temperature for info in infos])),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path, help="livesr .onnx files of one recipe")
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file to write")
    options = parser.parse_args()
    try:
        infos = [load_model(file).info for file in options.models]
        info = described(infos, options.output.stem)
    except (LivesrError, ValueError) as error:
        raise SystemExit(str(error)) from None
    onnx.save(ensemble([onnx.load(file) for file in options.models], info), options.output)
    print(f"wrote {options.output}, version {info.version}")


if __name__ == "__main__":
    main()
