"""Tensors of a program as plain arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from .....core.arithmetic.arrays import NDArray

__all__ = ["format_of", "is_plain", "numbers", "tensors_in"]

#: Number formats of results, the finest first.
FORMATS = {
    torch.float64: "float64",
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}


def numbers(tensor: torch.Tensor) -> NDArray:
    """The numbers of a tensor; bfloat16 as float32."""
    tensor = tensor.detach()
    if tensor._is_zerotensor():  # it has no memory
        return np.zeros(tuple(tensor.shape), np.float64 if tensor.dtype == torch.float64 else "f4")
    if tensor.layout is torch.sparse_coo:
        tensor = tensor.to_dense()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    found: NDArray = tensor.cpu().numpy()
    return found


def format_of(*tensors: torch.Tensor | None) -> str:
    """The coarsest number format among the floats."""
    found = [t.dtype for t in tensors if t is not None and t.dtype in FORMATS]
    order = list(FORMATS)
    return FORMATS[max(found, key=order.index, default=torch.float64)]


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether it is a dense array of real numbers, integers or booleans."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_complex():
        return False
    return tensor.dtype in FORMATS or not tensor.is_floating_point()


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in an argument or a result: itself, or those of a list."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for each in value:
            yield from tensors_in(each)
