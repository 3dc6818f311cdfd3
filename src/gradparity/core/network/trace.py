"""A trace: what one implementation computed for a case, as plain NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arithmetic.arrays import NDArray
from .nodes import DIV, ERR, Edge

__all__ = ["Trace"]


@dataclass
class Trace:
    """Values and gradients of every node, use of a value, and parameter.

    Attributes
    ----------
    Err : the mean (or sum) of Div over samples; None for a network that ends elsewhere.
    Div : per sample.
    value : name -> value, of every node; states and draws may be left out.
    grad : the gradient by every node, parameter, float input, and "Div".
    edge_grad : (source, target) -> gradient through that one use of the value; a value's own
        gradient is the sum over its uses.
    adapter, versions : who computed it.
    precision : the name of the number format; by default that of Div's dtype.  bfloat16 is stored
        as float32.
    added : for gradients that several uses were added up to, the sum of their sizes: a compiler may
        add them up anew, with other roundings, for each reader.
    """

    Err: float
    Div: NDArray
    value: dict[str, NDArray]
    grad: dict[str, NDArray]
    edge_grad: Mapping[Edge | tuple[str, str], NDArray]
    adapter: str = "numpy"
    versions: dict[str, str] = field(default_factory=dict)
    precision: str = ""
    added: Mapping[str, NDArray] = field(default_factory=dict)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of its arrays."""
        there = (self.Div, *self.value.values(), *self.grad.values(), *self.edge_grad.values())
        return next((a.dtype for a in there if a is not None), np.dtype(np.float64))

    def get(self, name: str) -> Any:
        """A value by name, Div and Err among them; None where there is none."""
        if name == ERR:
            return None if self.Err is None else np.asarray(self.Err, self.dtype)
        return self.Div if name == DIV else self.value.get(name)

    def values(self) -> dict[str, Any]:
        """Every value that is there by name, Div and Err among them."""
        loss = {name: self.get(name) for name in (DIV, ERR)}
        return {**self.value, **{name: a for name, a in loss.items() if a is not None}}
