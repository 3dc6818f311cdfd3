"""PyTorch's normalisations: Op -> (op, *inputs, *parameters) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)

from .... import core
from ....core.vocabulary import normalisation as ops

__all__ = ["FUNCTIONS"]

FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {
    ops.GroupNorm: lambda op, x, g, b: F.group_norm(x, op.groups, g, b, op.eps),
    ops.InstanceNorm: lambda op, x, g, b: F.instance_norm(x, weight=g, bias=b, eps=op.eps),
    ops.L2Normalise: lambda op, y: F.normalize(y, dim=op.axis, eps=op.eps),
    ops.RMSNorm: lambda op, x, g: F.rms_norm(x, (op.n,), g, op.eps),
    ops.WeightNorm: lambda op, v, g: torch._weight_norm(v, g, 0),
}
