"""PyTorch's elementwise ops of two or three values: Op -> (op, *inputs) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .... import core
from ....core.vocabulary import pairs as ops

__all__ = ["FUNCTIONS"]

FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {
    ops.Arctan2: lambda op, a, b: torch.atan2(a, b),
    ops.Divide: lambda op, a, b: a / b,
    ops.Hypot: lambda op, a, b: torch.hypot(a, b),
    ops.Lerp: lambda op, a, b, w: torch.lerp(a, b, w),
    ops.LogAddExp: lambda op, a, b: torch.logaddexp(a, b),
    ops.Minimum: lambda op, a, b: torch.minimum(a, b),
    ops.Power: lambda op, a, b: torch.pow(a, b),
    ops.Subtract: lambda op, a, b: a - b,
    ops.Where: lambda op, mask, a, b: torch.where(mask != 0, a, b),
}
