"""PyTorch's mathematical functions: Op -> (op, value) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ....core.vocabulary import pointwise as ops

__all__ = ["FUNCTIONS"]

LOGARITHMS = {"e": torch.log, "2": torch.log2, "10": torch.log10}

STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "nearest": torch.round,
    "step": lambda z: torch.where(z > 0, 1.0, 0.0).to(z.dtype) + 0 * z,  # `heaviside` has none
}


def _step(op: ops.Step, z: Tensor) -> Tensor:
    y = STEPS[op.to](z)
    return z + (y - z).detach() if op.straight_through else y


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.Abs: lambda op, z: z.abs(),
    ops.Arctan: lambda op, z: torch.atan(z),
    ops.Cos: lambda op, z: torch.cos(z),
    ops.Erf: lambda op, z: torch.erf(z),
    ops.Erfc: lambda op, z: torch.erfc(z),
    ops.Exp: lambda op, z: torch.exp(z),
    ops.Expm1: lambda op, z: torch.expm1(z),
    ops.IntegerPower: lambda op, z: torch.pow(z, op.n),
    ops.Log: lambda op, z: LOGARITHMS[op.base](z),
    ops.Log1p: lambda op, z: torch.log1p(z),
    ops.Reciprocal: lambda op, z: torch.reciprocal(z),
    ops.Rsqrt: lambda op, z: torch.rsqrt(z),
    ops.Scale: lambda op, z: op.a * z + op.b if op.b else op.a * z,
    ops.Sin: lambda op, z: torch.sin(z),
    ops.Sqrt: lambda op, z: torch.sqrt(z),
    ops.Square: lambda op, z: torch.square(z),
    ops.Step: _step,
}
