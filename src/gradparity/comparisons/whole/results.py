"""The results an implementation returned are checked by name, shape and dtype before judging."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.arrays import NDArray
from ...core.case import Case
from ...core.network import INPUT

__all__ = ["checked_results"]


def checked_results(case: Case, results: Mapping[str, Any]) -> dict[str, NDArray]:
    """The results as arrays of the case's dtype.

    Raises
    ------
    TypeError : no dict, no NumPy arrays, or another dtype than the case's.
    ValueError : nothing, an unknown name, or another shape.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2)], L2()), batch=4)
    >>> checked_results(case, {"grad W": np.zeros((3, 2))})
    Traceback (most recent call last):
    ...
    ValueError: unknown result 'grad W'; there are 'Err', 'Div', 'grad Div', 'grad W1', ...
    """
    if not isinstance(results, Mapping):
        said = type(results).__name__
        raise TypeError(f'results are a {said}; give a dict such as {{"grad W1": dW1}}')
    shapes = _shapes(case)
    if not results:
        raise ValueError(f"no result was returned; give any of {', '.join(map(repr, shapes))}")
    got = {}
    for name, result in results.items():
        if name not in shapes:
            there = ", ".join(map(repr, shapes))
            raise ValueError(f"unknown result {name!r}; there are {there}")
        got[name] = _checked(case, name, result, shapes[name])
    return got


def _shapes(case: Case) -> dict[str, tuple[int, ...]]:
    T = case.T
    nodes = {node.name: (T, case.widths[node.name]) for node in case.network.nodes}
    grads = {"Div": (T,), **case.network.parameter_shapes, INPUT: case.x.shape, **nodes}
    return {
        "Err": (),
        "Div": (T,),
        **{f"grad {name}": tuple(shape) for name, shape in grads.items()},
        **{f"value {name}": shape for name, shape in nodes.items()},
    }


def _checked(case: Case, name: str, result: Any, shape: tuple[int, ...]) -> NDArray:
    if name == "Err" and isinstance(result, float):  # such as loss.item()
        return np.asarray(result, dtype=np.float64)
    array = _array(name, result)
    if array.dtype.name == case.precision.name == "bfloat16":  # JAX's, in NumPy
        array = array.astype(np.float32)
    if array.dtype != case.dtype:
        raise TypeError(
            f"{name!r} has dtype {array.dtype}, the case {case.precision.name} is stored as "
            f"{case.dtype}; compute in the case's dtype, which x and the parameters have"
        )
    if array.shape != shape:
        raise ValueError(f"{name!r} has shape {array.shape}, expected {shape}")
    return array


def _array(name: str, result: Any) -> NDArray:
    """A NumPy array of a NumPy, JAX or PyTorch one."""
    if hasattr(result, "detach"):
        result = result.detach().cpu()
        if str(result.dtype) == "torch.bfloat16":  # NumPy has none; float32 holds all its numbers
            result = result.float()
        return np.asarray(result)
    if not hasattr(result, "__array__"):
        said = type(result).__name__
        raise TypeError(f"{name!r} is a {said}; give an array, such as np.asarray(...)")
    return np.asarray(result)
