"""Models: self-describing ONNX files of a streaming ACRNN, found, looked through and opened."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from stat import S_IFDIR, S_IFMT, S_IFREG
from threading import Thread

import numpy as np

from livesr.arrays import Float32
from livesr.errors import ModelError
from livesr.model.metadata import METADATA_KEY, ModelInfo
from livesr.model.onnxfile import Refused, look_through
from livesr.model.onnxsizes import follow
from livesr.model.runtime import open_session
from livesr.settings import EncoderSettings, FrontEndSettings

DEFAULT = "acrnn-whisper"
PAPER = "acrnn"  # the network at the paper's widths
ALIASES = {"whisper": "acrnn-whisper", "compact": "acrnn-compact"}
# Of one frame, as `FrontEnd` gives it without and with a pretrained encoder's input.
FRAME_SHAPES = (
    (FrontEndSettings().bands, 3),
    (3 * FrontEndSettings().bands + EncoderSettings().bands + 1,),
)
STEP_FRAMES = 2  # the network pools pairs of frames: a step is 20 ms
_LARGEST_BYTES = 256 * 2**20
_MOST_STEPS = 3000  # a minute
_MOST_MEMORY = 2**24  # numbers in the state of one stream


def models_directory() -> Path:
    """Where the bundled models lie: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "models"
    return packaged if packaged.is_dir() else package.parent / "models"


def bundled() -> dict[str, Path]:
    """Name -> file of every emotion model that came with livesr."""
    found = {path.stem: path for path in sorted(models_directory().glob("*.onnx"))}
    return {name: path for name, path in found.items() if not name.endswith("-vad")}


def models() -> dict[str, ModelInfo]:
    """Name -> metadata of every bundled model; the default first.

    Example:
        >>> models()["open"].licence
        'CC-BY-4.0'
    """
    names = sorted(bundled(), key=lambda name: (name != DEFAULT, name))
    return {name: load_model(name).info for name in names}


class Model:
    """A loaded model; every stream on it shares one onnxruntime session.

    Args:
        data: of its file.
        source: as the user named it, for messages.
        reference: what `load_model` takes for it in any folder: a bundled name or a whole path.
    """

    def __init__(self, data: bytes, source: str, reference: str) -> None:
        self.source, self.reference = source, reference
        try:
            self.session = open_session(data)
            text = self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
            self.outputs = [output.name for output in self.session.get_outputs()]
            shapes = {node.name: list(node.shape[1:]) for node in self.session.get_inputs()}
            told = {node.name: list(node.shape[1:]) for node in self.session.get_outputs()}
        except Exception as error:  # onnxruntime's own types are not public
            raise _no_model(source, str(error)) from None
        self.info = ModelInfo.from_metadata(source, text)
        self.identity = hashlib.sha256(data).hexdigest()
        self.memory_shapes = {name: dims for name, dims in shapes.items() if name != "features"}
        needed = {"probabilities", "logits", "attention", "context"}
        needed |= {f"new_{name}" for name in self.memory_shapes}
        sizes = [size for dims in self.memory_shapes.values() for size in dims]
        if not (
            {"features", "encodings", "valid"} <= set(shapes)
            and all(isinstance(size, int) and size > 0 for size in sizes)
            and len(self.memory_shapes["valid"]) == 1
            and needed <= set(self.outputs)
            and len(told["context"]) == 1
            and isinstance(told["context"][0], int)
        ):
            raise ModelError(
                f"{source} is not a streaming ACRNN: its inputs are {sorted(shapes)!s:.300} and "
                f"its outputs {sorted(self.outputs)!s:.300}. Export it with "
                "`python -m export.train`."
            )
        self.frame_shape = FRAME_SHAPES[self.info.encoder is not None]
        if shapes["features"][1:] != list(self.frame_shape):
            raise ModelError(
                f"{source} takes frames of the shape {shapes['features'][1:]!s:.80}, livesr gives "
                f"{list(self.frame_shape)}; export it again."
            )
        self.steps = int(self.memory_shapes["valid"][0])
        self.context_size = int(told["context"][0])  # of c, eq. (5)
        self.relative = "relative" in self.outputs  # logits for `livesr.stages.adaptation`
        self.distances = "distances" in self.outputs  # for `livesr.stages.evidence`
        if self.steps > _MOST_STEPS:
            raise ModelError(
                f"{source} looks back on {self.steps:,} steps, livesr on {_MOST_STEPS:,} at most; "
                "export it with a shorter window."
            )
        if sum(math.prod(dims) for dims in self.memory_shapes.values()) > _MOST_MEMORY:
            raise ModelError(
                f"{source} needs more memory for a stream than livesr allows; "
                "export it with a shorter window."
            )
        self._try()

    def _try(self) -> None:
        """Run the network once, to check its outputs and its state."""
        features = np.zeros((1, STEP_FRAMES, *self.frame_shape), np.float32)
        outputs = self.run(features, self.memory())
        for name, before in self.memory().items():
            after = outputs[f"new_{name}"]
            if (after.shape, after.dtype) != (before.shape, before.dtype):
                raise self._failed(f"{name} becomes {after.dtype} {after.shape}")

    def memory(self) -> dict[str, Float32]:
        """The network's state of a new stream, before its first frame."""
        return {
            name: np.zeros((1, *shape), np.float32) for name, shape in self.memory_shapes.items()
        }

    def run(self, features: Float32, memory: Mapping[str, Float32]) -> dict[str, Float32]:
        """A call for N streams: float32 [N, frames, *frame_shape] and their memory to all outputs.

        Raises:
            ModelError: if the graph fails, or its outputs are not probabilities.
        """
        try:
            found = self.session.run(self.outputs, {"features": features, **memory})
        except Exception as error:
            raise self._failed(str(error)) from None
        outputs: dict[str, Float32] = dict(zip(self.outputs, found, strict=True))
        sizes = {
            "probabilities": len(self.info.labels),
            "attention": self.steps,
            "context": self.context_size,
        }
        if self.relative:
            sizes["relative"] = len(self.info.labels)
        if self.distances:  # from any number of corpora
            sizes["distances"] = max(1, outputs["distances"].size // len(features))
        for name, size in sizes.items():
            values = outputs[name]
            if values.shape != (len(features), size) or values.dtype != np.float32:
                raise self._failed(f"{name} are {values.dtype} {values.shape}")
            if name in ("context", "relative", "distances"):
                if not np.isfinite(values).all():
                    raise self._failed(f"{name} is not finite")
                continue
            sums = values.sum(1)
            if not (values.min() >= 0 and sums.min() > 0 and sums.max() < np.inf):
                raise self._failed(f"{name} are not positive, or do not sum to a number")
        return outputs

    def _failed(self, why: str) -> ModelError:
        return ModelError(
            f"The network of {self.source} does not work ({_first_line(why)}); "
            "use another model, or export it again."
        )

    @property
    def window_seconds(self) -> float:
        """How far back a reading looks."""
        settings = self.info.front_end
        return self.steps * STEP_FRAMES * settings.shift_samples / settings.sample_rate


def load_model(model: str | Path | None = None) -> Model:
    """A bundled model by name, or any livesr model by path; None means the default.

    Raises:
        ModelError: if there is no such model, or livesr cannot run it.

    Example:
        >>> load_model().info.labels
        ('angry', 'happy', 'neutral', 'sad')
    """
    known = bundled()
    name = DEFAULT if model is None else str(model)
    if not name:  # which `Path` takes for the folder one is in
        raise ModelError("The model's name is empty; name a bundled one or a .onnx file.")
    name = ALIASES.get(name, name)
    path = known.get(name, Path(name))
    try:
        stat = path.stat()
        kind = S_IFMT(stat.st_mode)
    except (OSError, ValueError):  # also of names that no file can have
        kind = 0
    if kind != S_IFREG:
        state = "is a directory" if kind == S_IFDIR else "is neither a bundled model nor a file"
        raise ModelError(
            f"The model {name!r} {state}. Bundled: {', '.join(known) or 'none'}; "
            "or give the path of a .onnx file."
        )
    if stat.st_size > _LARGEST_BYTES:
        raise ModelError(f"{name} is {stat.st_size:,} bytes, too large for a livesr model.")
    return _load(path.resolve(), name, (stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=8)
def _load(path: Path, source: str, _version: tuple[int, int]) -> Model:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"The model {source!r} cannot be read: {error.strerror}.") from None
    if path.parent == models_directory():
        return Model(data, source, path.stem)
    foreign_model(data, source)
    return Model(data, source, str(path))


@contextmanager
def opening(model: str | Path | None = None) -> Iterator[None]:
    """A block that runs while the process's first model is opened in a thread.

    Opening takes a tenth of a second in which onnxruntime leaves Python's lock free, time to import
    something. Afterwards `load_model` gives the model, or says what is wrong with it.
    """
    if _load.cache_info().currsize:  # then all is imported, or opening takes no time
        yield
        return
    thread = Thread(target=_try_to_load, args=(model,), name="livesr-opening")
    with suppress(RuntimeError):  # where no thread is to be had, `load_model` does it all
        thread.start()
    try:
        yield
    finally:
        if thread.ident is not None:
            thread.join()


def _try_to_load(model: str | Path | None) -> None:
    with suppress(ModelError):  # for `load_model` to say
        load_model(model)


def foreign_model(data: bytes, source: str) -> None:
    """Check a file that did not come with livesr, before onnxruntime opens it.

    Raises:
        ModelError: if it asks for something that no livesr model needs.
    """
    try:
        follow(look_through(data), FRAME_SHAPES)
    except Refused as error:
        raise _no_model(source, f"it {error}") from None


def _no_model(source: str, why: str) -> ModelError:
    return ModelError(
        f"{source} is not an ONNX model that can be loaded ({_first_line(why)}). "
        "Give the name of a bundled model (see `livesr models`) or a livesr .onnx file."
    )


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")[:120]
