"""PyTorch's unfold and fold: Op -> (op, value) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

from ....core.vocabulary import unfolding as ops

__all__ = ["FUNCTIONS"]


def _in_two_axes(op: Any) -> dict[str, Any]:
    """The arguments of windows in two axes, the first of length 1 where there is only one."""
    lead = (1,) * (2 - len(op.kernel))
    return {
        "kernel_size": (*lead, *op.kernel),
        "stride": (*lead, *op.stride),
        "dilation": (*lead, *op.dilation),
    }


def _unfold(op: ops.Unfold, y: Tensor) -> Tensor:
    pads = op.windows.pads(tuple(y.shape[2:]))
    y = F.pad(y, [n for pair in reversed(pads) for n in pair])
    y = y if y.ndim == 4 else y.unsqueeze(2)
    return F.unfold(y, **_in_two_axes(op))


def _fold(op: ops.Fold, y: Tensor) -> Tensor:
    pads = op.windows.pads(op.size)
    larger = [n + low + high for n, (low, high) in zip(op.size, pads, strict=True)]
    z = F.fold(y, (*[1] * (2 - len(larger)), *larger), **_in_two_axes(op))
    z = z if len(larger) == 2 else z.squeeze(2)
    return z[(..., *(slice(low, low + n) for n, (low, _) in zip(op.size, pads, strict=True)))]


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {ops.Fold: _fold, ops.Unfold: _unfold}
