"""Windows as columns, and columns added up."""

from __future__ import annotations

from ....core.vocabulary import unfolding as ops
from .shaped import Shaped

__all__ = ["CASES"]

CASES: dict[str, Shaped] = {
    "fold": Shaped(ops.Fold((5, 4), (3, 2), stride=2, padding=1), {"x": (12, 9)}),
    "fold-1d": Shaped(ops.Fold((6,), (3,), padding=((2, 0),)), {"x": (6, 6)}),
    "unfold": Shaped(ops.Unfold((3, 2), stride=2, padding=1), {"x": (2, 5, 4)}),
    "unfold-1d": Shaped(ops.Unfold((3,), padding="same", dilation=2), {"x": (2, 6)}),
}
