"""Activations with kinks and jumps."""

from __future__ import annotations

from ....core.vocabulary import kinked as ops
from .shaped import Shaped

__all__ = ["CASES"]

X = {"x": (4, 6)}

CASES: dict[str, Shaped] = {
    "hardshrink": Shaped(ops.Hardshrink(1.0), X),
    "hardsigmoid": Shaped(ops.Hardsigmoid(), X),
    "hardswish": Shaped(ops.Hardswish(), X),
    "prelu": Shaped(ops.PReLU(), X),
    "prelu-channels": Shaped(ops.PReLU(4), X),
    "softshrink": Shaped(ops.Softshrink(1.0), X),
    "threshold": Shaped(ops.Threshold(1.0, -1.0), X),
}
