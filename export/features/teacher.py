"""The teacher of the distillation: a layer of a larger network. `make teacher` installs it.

Smart Turn 3.2 (Daily 2026, BSD-2-Clause) is the encoder of Whisper tiny (Radford et al. 2022,
MIT), trained further to detect the ends of turns in 23 languages. Its 8 million parameters were
trained on thousands of voices, while the emotional corpora have dozens. Its second layer separates
the emotions of held-out speakers better than a network trained from scratch on four hours. Only
training needs it; nothing of it is in the exported network.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution

import numpy as np
import onnx

from export.corpora.clips import RATE, CorpusError
from livesr.arrays import Float32
from livesr.model.runtime import Session, open_session

VALUES = 384  # of a step
STEP = 320  # samples: 20 ms, like the ACRNN's
_WHOLE, _SHIFT = 8 * RATE, 6 * RATE  # samples of one run, and from one run to the next
_RELEASE = "1.14.0"  # of the package: elsewhere the graph may be another
_FOLDER = "pipecat/audio/turn/smart_turn/"
_LAYER = 4  # the layer norm that follows the second layer; each layer has two


def taught(samples: Float32) -> np.ndarray:
    """The output of the teacher's second layer for a sound, float16 [n // 320, 384].

    Raises:
        CorpusError: if the teacher is not installed, or of another release.
    """
    count = len(samples) // STEP * STEP
    found = np.zeros((count // STEP, VALUES), np.float16)
    end = min(count, _WHOLE)
    while count:
        # The teacher was trained on sound that ends at the end of its 8 s.
        piece = samples[max(0, end - _WHOLE) : end]
        values = _listen(np.pad(piece, (_WHOLE - len(piece), 0)).astype(np.float32))
        # The first seconds of a later run are known already, from a run with more before them.
        new = min(end, _WHOLE if end <= _WHOLE else _SHIFT) // STEP
        found[end // STEP - new : end // STEP] = values[len(values) - new :]
        if end == count:
            break
        end = min(count, end + _SHIFT)
    return found


def smart_turn() -> Distribution:
    """The package that holds the teacher, whose layers are also where the encoder begins.

    Raises:
        CorpusError: if it is not installed, or of another release.
    """
    try:
        package = distribution("pipecat-ai")
    except PackageNotFoundError:
        raise CorpusError(
            "Smart Turn is not installed: run `make teacher`, or for a network without a teacher "
            "set teach and unlabelled to 0 in the config."
        ) from None
    if package.version != _RELEASE:
        raise CorpusError(
            f"pipecat-ai {package.version} is installed, Smart Turn is read from {_RELEASE}: "
            "run `make teacher`."
        )
    return package


def _listen(samples: Float32) -> np.ndarray:
    session, log_mels = _teacher()
    return session.run(None, {"input_features": log_mels(samples, do_normalize=True)[None]})[0][0]


@cache
def _teacher() -> tuple[Session, Callable[..., Float32]]:
    package = smart_turn()
    # Loaded from its file: importing the package would need everything that its agents need.
    file = str(package.locate_file(_FOLDER + "_whisper_features.py"))
    spec = importlib.util.spec_from_file_location("whisper_features", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    graph = onnx.load(str(package.locate_file(_FOLDER + "data/smart-turn-v3.2-cpu.onnx")))
    layer = [node for node in graph.graph.node if node.op_type == "LayerNormalization"][_LAYER]
    del graph.graph.output[:]
    graph.graph.output.append(
        onnx.helper.make_tensor_value_info(layer.input[0], onnx.TensorProto.FLOAT, None)
    )
    session = open_session(graph.SerializeToString())
    return session, module.compute_whisper_log_mel_features
