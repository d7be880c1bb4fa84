"""The networks by their sizes: the ACRNN's two, and what it is compared with."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

KERNEL_TIME = 5


@dataclass(frozen=True, slots=True)
class Widths:
    """Sizes of an ACRNN (Akalya Devi et al. 2022, section 2.3) or of one compared with it."""

    maps: tuple[int, ...]  # of each convolution; a max-pool over 2 frames follows the first
    linear: int
    cells: int  # of the LSTM, per direction; 0 for no LSTM
    dense: int = 64
    bands: int = 40
    labels: int = 4
    steps: int = 150  # of 20 ms: the 3-s window
    pools: tuple[int, ...] = (2, 1, 1)  # bands that a max-pool takes together, per convolution
    kernel_band: int = 2
    flat: bool = False  # convolve over time alone: bands are channels
    bidirectional: bool = True
    summary: Literal["attention", "mean", "last"] = "attention"  # of the steps
    half: bool = False  # large weights are stored in 16 bits, and computed with in 32

    @property
    def channels(self) -> tuple[int, ...]:
        """That each convolution takes."""
        return (3 * self.bands if self.flat else 3, *self.maps[:-1])

    def bins(self, convolutions: int) -> int:
        """Along the frequency axis after so many convolutions."""
        return 1 if self.flat else self.bands // math.prod(self.pools[:convolutions])

    @property
    def kernel(self) -> tuple[int, int]:
        """Frames and bins of a convolution's kernel."""
        return KERNEL_TIME, 1 if self.flat else self.kernel_band

    @property
    def encoded(self) -> int:
        """Values of a step after the last convolution."""
        return self.maps[-1] * self.bins(len(self.maps))

    @property
    def directions(self) -> int:
        return 1 + self.bidirectional

    @property
    def hidden(self) -> int:
        """Values of a step that the summary sees."""
        return self.directions * self.cells or self.linear

    def tails(self) -> list[tuple[int, int, int]]:
        """[channels, 4, bins] of the inputs that each convolution must remember."""
        return [(c, KERNEL_TIME - 1, self.bins(i)) for i, c in enumerate(self.channels)]


PAPER = Widths(maps=(128, 256, 256), linear=768, cells=128, half=True)
COMPACT = Widths(maps=(32, 64, 64), linear=128, cells=64)
NETWORKS = {
    "acrnn": PAPER,
    "acrnn-compact": COMPACT,
    # What the paper compares with, at the compact sizes: 1-D convolutions and the last output of
    # an LSTM; 2-D convolutions and the mean over time; the 3-D ACRNN of Chen et al. 2018, with
    # kernels of 5 x 3 and a pool of 2 x 4.
    "cnn1d-lstm": replace(COMPACT, flat=True, bidirectional=False, summary="last"),
    "cnn2d-temporal": replace(COMPACT, cells=0, summary="mean"),
    "acrnn-3d": replace(COMPACT, kernel_band=3, pools=(4, 1, 1)),
}


def weight_shapes(widths: Widths) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight the graph takes, batch norms already folded in."""
    shapes: dict[str, tuple[int, ...]] = {}
    for index, (channels, maps) in enumerate(zip(widths.channels, widths.maps, strict=True)):
        shapes[f"conv{index}.weight"] = (maps, channels, *widths.kernel)
        shapes[f"conv{index}.bias"] = (maps,)
    shapes |= {"linear.weight": (widths.encoded, widths.linear), "linear.bias": (widths.linear,)}
    if widths.cells:
        directions, gates = widths.directions, 4 * widths.cells
        shapes |= {
            # ONNX gate order: input, output, forget, cell
            "lstm.input": (directions, gates, widths.linear),
            "lstm.recurrent": (directions, gates, widths.cells),
            "lstm.bias": (directions, 2 * gates),
        }
    if widths.summary == "attention":
        shapes["attention.weight"] = (widths.hidden, 1)
    return shapes | {
        "dense.weight": (widths.hidden, widths.dense),
        "dense.bias": (widths.dense,),
        "output.weight": (widths.dense, widths.labels),
        "output.bias": (widths.labels,),
    }
