"""Differentiate one function with PyTorch, on tensors with the strides of the NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.arithmetic.precision import Precision
from ..base import AdapterError, InPlaceError
from ..user_function import described, label

__all__ = ["call", "to_numpy", "vjp"]


def call(function: Callable[..., Any], arguments: Sequence[Any], dtype: Any = None) -> Any:
    """z = function(*arguments) under `no_grad`, as a NumPy array; otherwise as `vjp`.

    >>> call(lambda a, b: a * b, (np.array([2.0]), np.array([3.0])))
    array([6.])
    """
    with torch.inference_mode(False), torch.no_grad():
        given = _tensors(arguments, dtype)
        before = [tensor.clone() for tensor in given]
        z = function(*given)
        if not _all_tensors(_listed(z)):
            raise AdapterError(
                f"{label(function)} returned {described(z)}; return one tensor, or a tuple of "
                "several for an op of several outputs"
            )
        value = _as_numpy(z)
        _unchanged(function, _names(len(given)), given, before)
        return value


def vjp(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    dz: Any,
    dtype: Any = None,
    frozen: Sequence[int] = (),
) -> tuple[Any, tuple[Any, ...]]:
    """z = function(*arguments) and its gradients against the cotangent dz.

    Parameters
    ----------
    function : takes tensors, of which those of floats require gradients, and returns one tensor
        of dz's shape, or a tuple of several.
    arguments : arrays; each becomes a copy, with the same strides if PyTorch supports them.
    dz : the cotangent, an array of z's shape; a tuple where the function returns several tensors.
    dtype : number format to compute in, such as "bfloat16"; by default the arrays' own.
    frozen : indices of arguments that require no gradient; zeros are returned for them.

    Returns
    -------
    z, gradients : NumPy arrays (bfloat16 as float32), z a tuple where dz is one; zeros where z does
        not depend on an argument, None for integers.

    Raises
    ------
    AdapterError : the function did not return one tensor of dz's shape, or as many as dz.
    InPlaceError : the function wrote into an argument or the cotangent.

    >>> vjp(lambda a, b: a * b, (np.array([2.0]), np.array([3.0])), np.array([1.0]))
    (array([6.]), (array([3.]), array([2.])))
    """
    with torch.inference_mode(False), torch.enable_grad():
        cotangents = _listed(dz)
        given = _tensors((*arguments, *cotangents), dtype)
        n = len(arguments)
        inputs, cotangents = given[:n], given[n:]
        names = [*_names(n), *["the cotangent"] * len(cotangents)]
        before, versions = ([f(tensor) for tensor in given] for f in (Tensor.clone, _version))
        floats = [i for i in range(n) if inputs[i].is_floating_point()]
        free = [i for i in floats if i not in frozen]
        for i in free:
            inputs[i].requires_grad_()
        z = function(*inputs)
        values, shapes = _listed(z), [tuple(c.shape) for c in cotangents]
        if not _all_tensors(values) or [tuple(v.shape) for v in values] != shapes:
            wanted = shapes[0] if len(shapes) == 1 else f"each of {', '.join(map(str, shapes))}"
            raise AdapterError(
                f"{label(function)} returned {described(z)}; return one tensor of shape {wanted}"
            )
        value, gradients = _as_numpy(z), {}
        pairs = [(v, c.to(v.dtype)) for v, c in zip(values, cotangents, strict=True)]
        if pairs := [pair for pair in pairs if pair[0].requires_grad]:
            leaves = [inputs[i] for i in free]
            ends, seeds = zip(*pairs, strict=True)
            got = torch.autograd.grad(ends, leaves, seeds, allow_unused=True)
            gradients = dict(zip(free, got, strict=True))
        found = {i: gradients.get(i) for i in floats}
        arrays = {
            i: to_numpy(torch.zeros_like(inputs[i]) if gradient is None else gradient)
            for i, gradient in found.items()
        }
        given_back = tuple(arrays.get(i) for i in range(n))
        _unchanged(function, names, given, before, versions)
        return value, given_back


def _listed(found: Any) -> list[Any]:
    """The results of a function that may return one or several."""
    return list(found) if isinstance(found, tuple | list) else [found]


def _all_tensors(found: Sequence[Any]) -> bool:
    return bool(found) and all(isinstance(each, Tensor) for each in found)


def _as_numpy(z: Any) -> Any:
    """A NumPy copy of a tensor, or a tuple of them."""
    return tuple(map(to_numpy, z)) if isinstance(z, tuple | list) else to_numpy(z)


def _tensors(arrays: Sequence[Any], dtype: Any) -> list[Tensor]:
    native = None if dtype is None else getattr(torch, Precision.of(dtype).name)
    given = [np.asarray(array) for array in arrays]
    return [_laid_out(a, native if a.dtype.kind == "f" else None) for a in given]


def _names(n: int) -> list[str]:
    return [f"argument {i}" for i in range(1, n + 1)]


def _version(tensor: Tensor) -> int:
    return int(tensor._version)


def _unchanged(
    function: Callable[..., Any],
    names: Sequence[str],
    given: Sequence[Tensor],
    before: Sequence[Tensor],
    versions: Sequence[int] | None = None,
) -> None:
    """Raise InPlaceError for a changed tensor; writes by `.data` or `.numpy()` count no version."""
    for i, (name, tensor) in enumerate(zip(names, given, strict=True)):
        now = tensor.detach()
        same = (now == before[i]) | ((now != now) & (before[i] != before[i]))
        counted = versions is not None and tensor._version != versions[i]
        if counted or not bool(same.all()):
            raise InPlaceError(f"{label(function)} wrote into {name}; work on a copy")


def to_numpy(tensor: Tensor) -> Any:
    """A NumPy copy; bfloat16, which NumPy lacks, becomes float32 exactly."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy().copy()


def _laid_out(array: Any, dtype: torch.dtype | None) -> Tensor:
    """A copy with the array's strides; contiguous where PyTorch does not support them."""
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
