"""Joins the seeds of one recipe to one model whose outputs are their means.

    python -m export.ensemble runs/acrnn-compact-seed*/acrnn-compact.onnx --output all.onnx

Networks that differ only in their random seeds make different mistakes with new speakers (deep
ensembles, Lakshminarayanan et al. 2017). Logits and attention are the members' means; context and
state are those of all members, side by side. `export.calibrate` then fits the whole's temperature.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from export.networks.graph import GraphBuilder, set_metadata
from livesr.errors import LivesrError
from livesr.model.load import load_model
from livesr.model.metadata import ModelInfo

_SEEDS = "-seed"  # in a version, before the number
_SHARED = ("features", "temperature")
_MEANS = ("logits", "attention")
_LAST = ("cooled", "probabilities")  # of the whole, at its end


def ensemble(models: Sequence[onnx.ModelProto], info: ModelInfo) -> onnx.ModelProto:
    """The graphs of `export.networks.graph` side by side, and the means of their outputs.

    Args:
        models: two or more with the same inputs and outputs.
        info: the metadata of the joined file.
    """
    graph = GraphBuilder()
    inputs: dict[str, Any] = {}
    for number, model in enumerate(models):
        named = _namer(number, [part.name for part in model.graph.input])
        graph.join(model.graph, named, without=_LAST)
        inputs |= {named(part.name): _shape(part) for part in model.graph.input}
    graph.scalar("share", 1 / len(models))
    for what in _MEANS:
        total = f"0.{what}"
        for number in range(1, len(models)):
            total = graph.node("Add", [total, f"{number}.{what}"], f"{what}+{number}")
        graph.node("Mul", [total, "share"], what)
    graph.node("Softmax", [graph.node("Div", ["logits", "temperature"], "cooled")], "probabilities")
    graph.node("Concat", [f"{number}.context" for number in range(len(models))], "context", axis=1)
    told = {part.name: _shape(part) for part in models[0].graph.output}
    outputs = {name: told[name] for name in ("probabilities", *_MEANS)}
    outputs["context"] = ["N", len(models) * told["context"][1]]
    outputs |= {f"new_{name}": shape for name, shape in inputs.items() if name != "features"}
    merged = graph.model("acrnn", inputs, outputs)
    set_metadata(merged, info)
    return merged


def _namer(number: int, inputs: Sequence[str]) -> Callable[[str], str]:
    """New names within a member; the state of the first keeps its names, which livesr requires."""
    kept = {*_SHARED}
    if number == 0:
        kept |= {*inputs, *(f"new_{name}" for name in inputs)}

    def named(name: str) -> str:
        if not name or name in kept:
            return name
        new = name.startswith("new_") and name[4:] in inputs  # new_valid becomes new_1.valid
        return f"new_{number}.{name[4:]}" if new else f"{number}.{name}"

    return named


def _shape(part: onnx.ValueInfoProto) -> list[Any]:
    return [size.dim_param or size.dim_value for size in part.type.tensor_type.shape.dim]


def described(infos: Sequence[ModelInfo], name: str) -> ModelInfo:
    """The metadata of the joined model with this name.

    Raises:
        ValueError: if the members are not seeds of one recipe on the same data.
    """
    first = infos[0]
    for info in infos[1:]:
        same = replace(
            info,
            version=first.version,
            temperature=first.temperature,
            decision=first.decision,
        )
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
    options.output.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(ensemble([onnx.load(file) for file in options.models], info), options.output)
    print(f"wrote {options.output}, version {info.version}")


if __name__ == "__main__":
    main()
