"""Copies of the arguments of a function in another number format."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import numpy as np

from ...core.arithmetic.received import received

__all__ = ["FORMATS", "converted", "in_format", "parse_format"]

#: The formats that a function may be recorded in, whatever its arguments have.
FORMATS = ("float32", "float64")


def parse_format(dtype: object) -> str | None:
    """The format that was asked for; None for that of the arguments.

    Raises
    ------
    ValueError : no format of `FORMATS`.
    """
    if dtype is None or (isinstance(dtype, str) and dtype in FORMATS):
        return dtype
    raise ValueError(
        f"record: dtype is {received(dtype)}; give one of {', '.join(map(repr, FORMATS))}, or None "
        "to use the arguments as they are"
    )


@contextmanager
def in_format(framework: str, dtype: str | None) -> Iterator[None]:
    """Let JAX use float64 where a function is recorded in it."""
    jax = sys.modules.get("jax")
    wide = framework == "jax" and dtype == "float64" and jax is not None
    with jax.enable_x64(True) if wide else nullcontext():  # type: ignore[union-attr]
        yield


def converted(framework: str, args: tuple[Any, ...], dtype: str | None) -> tuple[Any, ...]:
    """The arguments, or copies of them whose floats have a format; all else is as it was."""
    if dtype is None:
        return args
    return _of_jax(args, dtype) if framework == "jax" else tuple(_mapped(args, _torch(dtype)))


def _of_jax(args: tuple[Any, ...], dtype: str) -> tuple[Any, ...]:
    import jax
    import jax.numpy as jnp

    def convert(leaf: Any) -> Any:
        is_array = isinstance(leaf, jax.Array | np.ndarray | np.generic)
        if is_array and jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.asarray(leaf, dtype)
        return leaf

    made: tuple[Any, ...] = jax.tree.map(convert, args)
    return made


def _torch(dtype: str) -> Callable[[Any], Any]:
    import torch

    wanted = getattr(torch, dtype)
    known: dict[int, Any] = {}

    def convert(value: Any) -> Any:
        if isinstance(value, torch.nn.Module):
            return deepcopy(value, known).to(wanted)
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            if id(value) not in known:
                copy = value.detach().to(wanted, copy=True)
                known[id(value)] = copy.requires_grad_(value.requires_grad)
            return known[id(value)]
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            return value.astype(dtype)
        return value

    return convert


def _mapped(value: Any, convert: Callable[[Any], Any]) -> Any:
    """A value with everything in its lists, tuples and mappings converted."""
    if isinstance(value, Mapping):
        items = {key: _mapped(each, convert) for key, each in value.items()}
        return items if type(value) is dict else type(value)(items)  # type: ignore[call-arg]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(each, convert) for each in value))
    if isinstance(value, list | tuple):
        return type(value)(_mapped(each, convert) for each in value)
    return convert(value)
