"""A user's function at a node: how it is called, and what it must return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..core.formulas.op import Op, Shape
from .base import AdapterError, one_line

__all__ = [
    "Override",
    "described",
    "label",
]


def label(function: Any) -> str:
    """The name of a function: "MyReLU" for `MyReLU.apply`."""
    while isinstance(function, partial):
        function = function.func
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type):
        return owner.__name__
    return str(getattr(function, "__name__", type(function).__name__))


@dataclass(frozen=True)
class Override:
    """A user's function at a node; errors name the node and the function.

    `op` and `n`, the number of its inputs, determine what the function must return: one array, or a
    tuple with one array per output and state.  For a divergence `op` is None.
    """

    function: Callable[..., Any]
    who: str
    remedy: str = ""
    op: Op | None = None
    n: int = 1

    def __call__(self, *arguments: Any) -> Any:
        try:
            found = self.function(*arguments)
        except AdapterError:
            raise
        except Exception as error:
            said = f"{self.who} failed ({type(error).__name__}: {one_line(error)})"
            raise AdapterError("; ".join(filter(None, (said, self.remedy)))) from error
        expected = self._expected(arguments)
        if len(expected) == 1:
            values = (found,)
        elif isinstance(found, tuple | list) and len(found) == len(expected):
            values = tuple(found)
        else:
            raise AdapterError(f"{self.who} returned {described(found)}; {_wanted(expected)}")
        dtype = next((y.dtype for y in arguments if _is_floating(y.dtype)), None)
        for value, (name, shape) in zip(values, expected, strict=True):
            place = f" as {name}" if len(expected) > 1 else ""
            plain = isinstance(value, np.ndarray) and not isinstance(arguments[0], np.ndarray)
            if plain or not hasattr(value, "dtype") or tuple(value.shape) != shape:
                raise AdapterError(
                    f"{self.who} returned {described(value)}{place}; {_wanted(expected)}"
                )
            if dtype is not None and value.dtype != dtype:
                raise AdapterError(
                    f"{self.who} returned {value.dtype}{place}, and was given {dtype}; compute in "
                    "the dtype of its inputs"
                )
        return values if len(expected) > 1 else found

    def _expected(self, arguments: Sequence[Any]) -> list[tuple[str, Shape]]:
        """Name and shape of each value to return, in order: outputs, then states."""
        if self.op is None:
            return [("Div", tuple(arguments[0].shape[:-1]))]
        own = tuple(self.op.parameter_shapes().values())
        shapes = self.op.output_shape(*(tuple(y.shape) for y in arguments[: self.n]), *own)
        names = [name or "z" for name in (*self.op.outputs, *self.op.states)]
        shapes = shapes if len(names) > 1 else (shapes,)
        return [(name, tuple(shape)) for name, shape in zip(names, shapes, strict=True)]


def _wanted(expected: Sequence[tuple[str, Shape]]) -> str:
    """Describe the arrays that a function has to return.

    >>> _wanted([("h", (4, 3)), ("c", (4, 3))])
    'return a tuple of 2 arrays, h of shape (4, 3), c of shape (4, 3), in this order, of the ...'
    """
    if len(expected) == 1:
        what = f"one array of shape {expected[0][1]}"
    else:
        each = ", ".join(f"{name} of shape {shape}" for name, shape in expected)
        what = f"a tuple of {len(expected)} arrays, {each}, in this order"
    return f"return {what}, of the framework that it was given"


def _is_floating(dtype: Any) -> bool:
    """Whether a framework's dtype is floating; NumPy calls bfloat16's kind "V".

    >>> _is_floating(np.dtype("float16")), _is_floating(np.dtype("int64"))
    (True, False)
    """
    return bool(getattr(dtype, "is_floating_point", getattr(dtype, "kind", "f") not in "biu"))


def described(found: Any) -> str:
    """Describe the result of a function for a message.

    >>> described((1.0, None))
    'a tuple of 2 (float, NoneType)'
    """
    if isinstance(found, tuple | list):
        kinds = ", ".join(type(each).__name__ for each in found)
        return f"a {type(found).__name__} of {len(found)} ({kinds})"
    if hasattr(found, "shape"):
        return f"{type(found).__name__} of shape {tuple(found.shape)}"
    return type(found).__name__
