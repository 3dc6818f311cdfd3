"""PyTorch's special functions: Op -> (op, value) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ....core.vocabulary import special as ops

__all__ = ["FUNCTIONS"]

FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.Digamma: lambda op, z: torch.special.digamma(z),
    ops.Erfinv: lambda op, z: torch.special.erfinv(z),
    ops.I0e: lambda op, z: torch.special.i0e(z),
    ops.I1e: lambda op, z: torch.special.i1e(z),
    ops.Lgamma: lambda op, z: torch.special.gammaln(z),
    ops.LogNdtr: lambda op, z: torch.special.log_ndtr(z),
    ops.Sinc: lambda op, z: torch.special.sinc(z),
}
