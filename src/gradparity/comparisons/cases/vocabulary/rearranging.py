"""Movements beyond the lecture's."""

from __future__ import annotations

from ....core.vocabulary import rearranging as ops
from .shaped import Shaped

__all__ = ["CASES"]

X, IMAGE = {"x": (4, 6)}, {"x": (2, 4, 5)}
AROUND = ((1, 2), (2, 0))

CASES: dict[str, Shaped] = {
    "diagonal": Shaped(ops.Diagonal(1), X),
    "flip": Shaped(ops.Flip(1), X),
    "pad": Shaped(ops.Pad(AROUND, fill=0.5), IMAGE),
    "pad-circular": Shaped(ops.Pad(AROUND, "circular"), IMAGE),
    "pad-reflect": Shaped(ops.Pad(AROUND, "reflect"), IMAGE),
    "pad-replicate": Shaped(ops.Pad(AROUND, "replicate"), IMAGE),
    "pixel-shuffle": Shaped(ops.PixelShuffle(2), {"x": (8, 2, 3)}),
    "repeat": Shaped(ops.Repeat(3), X),
    "roll": Shaped(ops.Roll(2), X),
    "slice": Shaped(ops.Slice(1, None, 2), X),
    "slice-backwards": Shaped(ops.Slice(-2, None, -1), X),
    "split": Shaped(ops.Split((1, 3, 2)), X),
    "stack": Shaped(ops.Stack(2), {"a": (4, 6), "b": (4, 6), "c": (4, 6)}),
    "tile": Shaped(ops.Tile(3), X),
    "tril": Shaped(ops.Triangle(), X),
    "triu": Shaped(ops.Triangle(upper=True, offset=1), X),
}
