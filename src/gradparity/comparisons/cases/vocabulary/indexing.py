"""Gather, scatter and masked fill."""

from __future__ import annotations

from ....core.vocabulary import indexing as ops
from .shaped import Shaped

__all__ = ["CASES"]

X, IDS = {"y": (4, 6)}, {"ids": (4, 3)}

CASES: dict[str, Shaped] = {
    "dropout": Shaped(ops.Dropout(0.3), {"ids": (4, 6), **X}),
    "gather": Shaped(ops.Gather(6), {**IDS, **X}),
    "gather-axis": Shaped(ops.Gather(4, axis=1), {"ids": (5, 6), **X}),
    "masked-fill": Shaped(ops.MaskedFill(0.5), {"ids": (4, 6), **X}),
    "scatter": Shaped(ops.Scatter(6), {**IDS, **X, "x": (4, 3)}),
    "scatter-add": Shaped(ops.Scatter(6, accumulate=True), {**IDS, **X, "x": (4, 3)}),
}
