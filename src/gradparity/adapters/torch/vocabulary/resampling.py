"""PyTorch's interpolation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

from .... import core
from ....core.vocabulary import resampling as ops

__all__ = ["FUNCTIONS"]

#: What PyTorch calls a mode on one, two and three axes.
MODES = {
    "linear": ("linear", "bilinear", "trilinear"),
    "cubic": ("bicubic", "bicubic"),
}


def _resize(op: ops.Resize, y: Tensor) -> Tensor:
    n = len(op.size)
    lead, spatial, size = y.shape[: y.ndim - n], y.shape[y.ndim - n :], op.size
    if op.mode not in MODES and any(m % k and k % m for m, k in zip(size, spatial, strict=True)):
        return _by_index(op, y)
    if op.mode == "cubic" and n == 1:  # PyTorch has it on two axes only
        spatial, size = torch.Size((1, *spatial)), (1, *size)
    mode = MODES[op.mode][n - 1] if op.mode in MODES else op.mode
    corners = op.align_corners if op.mode in MODES else None
    images = y.reshape(1, -1, *spatial)
    return F.interpolate(images, size, mode=mode, align_corners=corners).reshape(*lead, *op.size)


def _by_index(op: ops.Resize, y: Tensor) -> Tensor:
    """The nearest elements, where neither size divides the other.

    There `F.interpolate` may take another element, because it rounds positions to float32; in
    float64 its gradient alone does: for 14 elements resized to 46, say.
    """
    for axis, m in enumerate(op.size, y.ndim - len(op.size)):
        n, i = y.shape[axis], torch.arange(m, device=y.device)
        at = i * n // m if op.mode == "nearest" else (2 * i + 1) * n // (2 * m)
        y = y.index_select(axis, at)
    return y


FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {ops.Resize: _resize}
