"""Activations beyond the lecture's."""

from __future__ import annotations

from .... import core
from ....core.vocabulary import activations as ops
from .shaped import Shaped

__all__ = ["CASES"]

X = {"x": (4, 6)}

CASES: dict[str, Shaped] = {
    "swish": Shaped(core.SiLU(1.702), X),
    "relu6": Shaped(core.Hardtanh(0.0, 6.0), X),
    "clamp": Shaped(core.Hardtanh(-1.0, 2.0), X),
    "celu": Shaped(ops.CELU(0.5), X),
    "glu": Shaped(ops.GLU(), X),
    "swiglu": Shaped(ops.GLU(core.SiLU()), X),
    "geglu": Shaped(ops.GLU(core.GELU("tanh"), axis=1), X),
    "log-sigmoid": Shaped(ops.LogSigmoid(), X),
    "mish": Shaped(ops.Mish(), X),
    "softsign": Shaped(ops.Softsign(), X),
    "sparse-plus": Shaped(ops.SparsePlus(), X),
    "squareplus": Shaped(ops.Squareplus(), X),
    "tanhshrink": Shaped(ops.Tanhshrink(), X),
}
