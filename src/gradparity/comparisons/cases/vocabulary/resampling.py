"""Resizing."""

from __future__ import annotations

from ....core.vocabulary import resampling as ops
from .shaped import Shaped

__all__ = ["CASES"]

IMAGE, ROW = {"x": (2, 4, 5)}, {"x": (2, 7)}

CASES: dict[str, Shaped] = {
    "resize-cubic": Shaped(ops.Resize((5, 7), "cubic"), IMAGE),
    "resize-cubic-corners": Shaped(ops.Resize((5, 3), "cubic", align_corners=True), IMAGE),
    "resize-linear": Shaped(ops.Resize((8, 7), "linear"), IMAGE),
    "resize-linear-1d": Shaped(ops.Resize((5,), "linear"), ROW),
    "resize-linear-3d": Shaped(
        ops.Resize((3, 2, 5), "linear", align_corners=True), {"x": (2, 2, 3, 4)}
    ),
    "resize-nearest": Shaped(ops.Resize((8, 10)), IMAGE),
    "resize-nearest-between": Shaped(ops.Resize((6, 3)), IMAGE),
    "resize-nearest-exact": Shaped(ops.Resize((2, 10), "nearest-exact"), IMAGE),
}
