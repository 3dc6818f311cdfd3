"""Elementwise ops of two or three values."""

from __future__ import annotations

from ....core.vocabulary import pairs as ops
from .shaped import POSITIVE, Shaped

__all__ = ["CASES"]

#: A row and a column that are broadcast.
AB = {"a": (4, 3), "b": (1, 3)}

CASES: dict[str, Shaped] = {
    "arctan2": Shaped(ops.Arctan2(), AB, zeros=False),
    "divide": Shaped(ops.Divide(), {"a": (4, 3), "b": (4, 1)}, within=POSITIVE),
    # PyTorch has NaN for its gradient at (0, 0): a mismatch of its own.
    "hypot": Shaped(ops.Hypot(), AB, zeros=False),
    "lerp": Shaped(ops.Lerp(), {"a": (4, 3), "b": (1, 3), "w": (4, 1)}),
    "logaddexp": Shaped(ops.LogAddExp(), AB),
    "minimum": Shaped(ops.Minimum(), AB),
    "power": Shaped(ops.Power(), {"a": (4, 3), "b": (4, 1)}, within=POSITIVE),
    "subtract": Shaped(ops.Subtract(), {"a": (1, 3), "b": (4, 3)}),
    "where": Shaped(ops.Where(), {"ids": (4, 1), "a": (4, 3), "b": (1, 3)}),
}
