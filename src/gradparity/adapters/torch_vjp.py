"""PyTorch differentiates one function: tensors laid out as the NumPy arrays were, and copies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.precision import Precision
from .base import AdapterError, InPlaceError
from .natives import described, label

__all__ = ["to_numpy", "vjp"]


def vjp(
    function: Callable[..., Any], arguments: Sequence[Any], dz: Any, dtype: Any = None
) -> tuple[Any, tuple[Any, ...]]:
    """z = function(*arguments) and its gradients against the cotangent dz.

    Parameters
    ----------
    function : of tensors that require gradients; gives one tensor of dz's shape.
    arguments : float arrays; each becomes a copy with the same strides, as far as PyTorch has them.
    dz : the cotangent, an array of z's shape.
    dtype : a number format to compute in, such as "bfloat16", if not the arrays' own.

    Returns
    -------
    z, gradients : NumPy arrays (bfloat16 as float32); of what z does not depend on, zeros.

    Raises
    ------
    AdapterError : the function returned something else.
    InPlaceError : it wrote into an argument or the cotangent.

    >>> vjp(lambda a, b: a * b, (np.array([2.0]), np.array([3.0])), np.array([1.0]))
    (array([6.]), (array([3.]), array([2.])))
    """
    with torch.inference_mode(False), torch.enable_grad():
        native = None if dtype is None else getattr(torch, Precision.of(dtype).name)
        given = [_laid_out(np.asarray(array), native) for array in (*arguments, dz)]
        *inputs, cotangent = given
        for tensor in inputs:
            tensor.requires_grad_()
        names = [*(f"argument {i}" for i in range(1, len(inputs) + 1)), "the cotangent"]
        before = [tensor._version for tensor in given]
        z = function(*inputs)
        if not isinstance(z, Tensor) or z.shape != cotangent.shape:
            raise AdapterError(
                f"{label(function)} returned {described(z)}; return one tensor of shape "
                f"{tuple(cotangent.shape)}"
            )
        value, gradients = to_numpy(z), [None] * len(inputs)
        if z.requires_grad:
            gradients = torch.autograd.grad(z, inputs, cotangent.to(z.dtype), allow_unused=True)
        for name, tensor, version in zip(names, given, before, strict=True):
            if tensor._version != version:
                raise InPlaceError(f"{label(function)} wrote into {name}; work on a copy")
        found = (
            torch.zeros_like(tensor) if gradient is None else gradient
            for tensor, gradient in zip(inputs, gradients, strict=True)
        )
        return value, tuple(map(to_numpy, found))


def to_numpy(tensor: Tensor) -> Any:
    """A copy on the CPU; NumPy has no bfloat16, float32 holds every number of it."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy().copy()


def _laid_out(array: Any, dtype: torch.dtype | None) -> Tensor:
    """A copy with the array's strides; contiguous where PyTorch has no such strides."""
    contiguous = torch.tensor(np.array(array, order="C"), dtype=dtype)
    steps = [stride // array.itemsize for stride in array.strides]
    exact = all(stride % array.itemsize == 0 for stride in array.strides)
    if not exact or min(steps, default=0) < 0:
        return contiguous
    once = tuple(slice(0, 1) if step == 0 else slice(None) for step in steps)
    kept = contiguous[once]
    tensor = torch.empty_strided(kept.shape, steps, dtype=contiguous.dtype)
    try:
        tensor.copy_(kept)
    except RuntimeError:  # windows that overlap
        return contiguous
    return tensor.expand(array.shape)
