"""A trace: what one implementation computed for a case, as plain NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arithmetic.arrays import NDArray
from .network import Edge

__all__ = ["Trace"]


@dataclass
class Trace:
    """Values and gradients of every node, edge and parameter.

    Attributes
    ----------
    Err : the mean (or sum) of Div over instances.
    Div : per instance, shape (T,).
    value : node name -> its value, shape (T, D).
    grad : dErr/d(...) for every node, parameter, "x", and "Div" (shape (T,)).
    edge_grad : (source, target) -> gradient through that one use of the value, shape (T, D); a
        node's own gradient is the sum over its uses.
    adapter, versions : who computed it.
    precision : the name of the number format; by default that of Div's dtype.  bfloat16 is stored
        as float32.
    """

    Err: float
    Div: NDArray
    value: dict[str, NDArray]
    grad: dict[str, NDArray]
    edge_grad: Mapping[Edge | tuple[str, str], NDArray]
    adapter: str = "numpy"
    versions: dict[str, str] = field(default_factory=dict)
    precision: str = ""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its arrays."""
        return self.Div.dtype
