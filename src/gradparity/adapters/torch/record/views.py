"""Writing into a view: the node of autograd is then that of the whole base."""

from __future__ import annotations

import numpy as np
import torch

from ....core.arithmetic.arrays import NDArray

__all__ = ["index_of_view", "is_written_view"]


def is_written_view(tensor: torch.Tensor) -> bool:
    """Whether this tensor, which an op has just written into, is a view of a base with history."""
    base = tensor._base
    return base is not None and base.grad_fn is not None and base.grad_fn.name().endswith(
        "CopySlices"
    )  # fmt: skip


def _offsets(tensor: torch.Tensor) -> NDArray:
    """The place in memory of every element."""
    at = np.full((1,) * tensor.dim(), tensor.storage_offset(), np.int64)
    for axis, (n, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        shape = [1] * tensor.dim()
        shape[axis] = n
        at = at + (np.arange(n) * stride).reshape(shape)
    return np.broadcast_to(at, tuple(tensor.shape))


def index_of_view(view: torch.Tensor, base: torch.Tensor) -> NDArray:
    """The position in the flattened base of every element of a view."""
    places = _offsets(base).ravel()
    order = np.argsort(places)
    found: NDArray = order[np.searchsorted(places, _offsets(view), sorter=order)]
    return found
