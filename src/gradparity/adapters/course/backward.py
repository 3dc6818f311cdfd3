"""The backward pass of a layer, in each of the forms that courses write it in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..base import AdapterError
from .parameters import Placed

__all__ = ["Backward"]

#: The forms that a layer may have.
FORMS = (
    "write backward(dLdA), which returns the gradient of the layer's input; or, for an elementwise "
    "layer, backward() or derivative(z), which returns the derivative at each element"
)


class Backward(NamedTuple):
    """The function that a layer's backward pass is computed by.

    Attributes
    ----------
    name : the function in a message: the layer, its node and the method.
    function : the layer's method.
    slope : whether it returns the derivative at each element, which dLdA is multiplied by.
    takes : what it is called with: "dLdA", "z" (the input of the layer), or "" for nothing.
    """

    name: str
    function: Callable[..., Any]
    slope: bool
    takes: str

    @classmethod
    def of(cls, one: Placed) -> Backward:
        """The backward pass of a layer; AdapterError where it has none that can be called."""
        method = "backward" if callable(getattr(one.layer, "backward", None)) else "derivative"
        function = getattr(one.layer, method, None)
        if not callable(function):
            raise AdapterError(f"{one} has no method 'backward' and no 'derivative'; {FORMS}")
        name = f"{one}, {method}"
        if _accepts(function, 1):
            takes = "dLdA" if method == "backward" else "z"
            return cls(name, function, method == "derivative", takes)
        if _accepts(function, 0):
            return cls(name, function, True, "")
        raise AdapterError(f"{name} takes {inspect.signature(function)}; {FORMS}")

    def chained(self, found: Any, dLdA: Any) -> Any:
        """The gradient of the layer's input, from what the function returned.

        Raises
        ------
        AdapterError : a derivative does not have one number for each element.
        """
        if not self.slope:
            return found
        if np.shape(found) != np.shape(dLdA) or not hasattr(found, "dtype"):
            said = f"returned an array of shape {np.shape(found)}"
            said = said if hasattr(found, "dtype") else f"returned a {type(found).__name__}"
            raise AdapterError(
                f"{self.name} {said}, and the layer's output has shape {np.shape(dLdA)}: it is "
                f"not the derivative at each element; {FORMS}"
            )
        return dLdA * found


def _accepts(function: Callable[..., Any], n: int) -> bool:
    """Whether a function can be called with n arguments, by place."""
    try:
        inspect.signature(function).bind(*range(n))
    except TypeError:
        return False
    except ValueError:  # built into a framework
        return n == 1
    return True
