"""The paper's network on log-mels and the one on a pretrained encoder, as one model.

    python -m export.beside runs/acrnn-whisper.onnx models/acrnn-compact.onnx \
        --share 0.3 --output runs/both.onnx

They are wrong about different voices: on corpora that neither heard, the mean of their logits is
better than either. `export.calibrate` then gives the whole its own temperature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from export.evaluation.options import command_parser, new_file, up_to_one
from export.networks.graph import GraphBuilder, set_metadata
from export.networks.pretrained_graph import PAPER_VALUES, cut
from livesr.errors import LivesrError
from livesr.model.load import load_model
from livesr.model.metadata import ModelInfo


def beside(
    pretrained: onnx.ModelProto,
    acrnn: onnx.ModelProto,
    share: float,
    info: ModelInfo,
) -> onnx.ModelProto:
    """The paper's network on log-mels beside the one on the encoder: the mean of what they say.

    Logits and attention are means of both, context is both side by side, and the relative logits
    and the distances are the first one's.

    Args:
        pretrained: a graph of `build_pretrained`.
        acrnn: a graph of `export.networks.graph.build`.
        share: of the second one's logits, between 0 and 1.
        info: what the file says of itself.
    """
    own, last = acrnn.graph, ("cooled", "probabilities")
    graph, told = GraphBuilder(), ("logits", "attention", "context")
    graph.join(pretrained.graph, _renamed("encoder.", told, ()), last)
    flat = cut(graph, "features", 0, PAPER_VALUES, 2, "paper.flat")
    graph.indices("paper.shape", [0, -1, PAPER_VALUES // 3, 3])
    graph.node("Reshape", [flat, "paper.shape"], "paper.features")
    states = [part.name for part in own.input if part.name != "features"]
    graph.join(own, _renamed("paper.", None, states), last)
    graph.scalar("paper.share", share)
    graph.scalar("encoder.share", 1 - share)
    for what, weights in (
        ("logits", ("encoder.share", "paper.share")),
        ("attention", ("half",) * 2),
    ):
        parts = []
        for name, weight in zip(("encoder", "paper"), weights, strict=True):
            node = graph.node("Mul", [f"{name}.{what}", weight], f"{name}.{what}.weighted")
            parts.append(node)
        graph.node("Add", parts, what)
    graph.node("Concat", ["paper.context", "encoder.context"], "context", axis=1)
    graph.node("Softmax", [graph.node("Div", ["logits", "temperature"], "cooled")], "probabilities")

    def shape(part: onnx.ValueInfoProto) -> list[str | int]:
        sizes = part.type.tensor_type.shape.dim
        return [size.dim_param or size.dim_value for size in sizes]

    inputs = {part.name: shape(part) for part in pretrained.graph.input}
    inputs |= {f"paper.{part.name}": shape(part) for part in own.input if part.name in states}
    outputs = {part.name: shape(part) for part in pretrained.graph.output}
    cells = sum(int(shape(p)[1]) for p in pretrained.graph.output if p.name == "context")
    (hidden,) = (c.dims[0] for c in own.initializer if c.name == "dense.weight")
    outputs["context"] = ["N", cells + hidden]
    outputs |= {f"new_{name}": size for name, size in inputs.items() if name != "features"}
    model = graph.model("acrnn", inputs, outputs)
    set_metadata(model, info)
    return model


def _renamed(
    prefix: str, only: tuple[str, ...] | None, states: Sequence[str]
) -> Callable[[str], str]:
    """New names: of `only` these, or of all; a state's new value becomes new_PREFIX.NAME."""

    def named(name: str) -> str:
        if name in ("", "temperature") or (only is not None and name not in only):
            return name
        if name.startswith("new_") and name[4:] in states:
            return f"new_{prefix}{name[4:]}"
        return prefix + name

    return named


def described(pretrained: ModelInfo, acrnn: ModelInfo, name: str) -> ModelInfo:
    """What the whole says of itself: the log-mels' standardisation is the paper's network's."""
    ours, theirs = pretrained.training_data, acrnn.training_data
    return replace(
        pretrained,
        name=name,
        mean=acrnn.mean,
        deviation=acrnn.deviation,
        temperature=1.0,
        training_data=f"{ours}; beside it {acrnn.name} {acrnn.version}: {theirs}",
        version=f"{pretrained.version}+{acrnn.version}",
    )


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("pretrained", type=Path, help="take this file of export.train_pretrained")
    parser.add_argument("acrnn", type=Path, help="put this file of export.train beside it")
    parser.add_argument(
        "--share",
        type=up_to_one,
        default=0.3,
        help="give the second's logits this weight, 0 to 1",
    )
    parser.add_argument("--output", type=new_file, required=True, help="write this .onnx file")
    options = parser.parse_args()
    try:
        first, second = (load_model(f).info for f in (options.pretrained, options.acrnn))
    except LivesrError as error:
        raise SystemExit(str(error)) from None
    if first.encoder is None or second.encoder is not None or first.labels != second.labels:
        raise SystemExit(
            f"{options.pretrained} must have a pretrained encoder and {options.acrnn} none, and "
            "their labels must be the same; give a model of export.train_pretrained, then one of "
            "export.train."
        )
    info = described(first, second, options.output.stem)
    own, other = onnx.load(options.pretrained), onnx.load(options.acrnn)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    whole = beside(own, other, options.share, info)
    onnx.save(whole, options.output)
    print(f"wrote {options.output}, version {info.version}")


if __name__ == "__main__":
    main()
