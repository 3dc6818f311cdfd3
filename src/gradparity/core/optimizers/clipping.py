"""Clipping of gradients: by the norm of all of them together, or element by element."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arithmetic.arrays import Array, total
from .rule import check_numbers

__all__ = ["Clip", "ClipByNorm", "ClipByValue"]


@dataclass(frozen=True)
class Clip:
    """A rule that makes gradients smaller before an optimizer takes them."""

    def clip(self, gradients: Sequence[Array]) -> list[Array]:
        """The clipped gradients of all parameters."""
        raise NotImplementedError(f"{type(self).__name__} has no formula clip; write clip(self, g)")


@dataclass(frozen=True)
class ClipByNorm(Clip):
    """g min(1, most / (norm + eps)), with the norm of all gradients as one vector.

    Parameters
    ----------
    most : the largest norm.
    eps : 1e-6 in PyTorch, and 0 in Optax.
    order : 2, 1 or inf.
    each : whether every tensor is clipped by its own norm.

    >>> ClipByNorm(1.0, eps=0.0).clip([np.array([3.0, 4.0])])
    [array([0.6, 0.8])]
    """

    most: float
    eps: float = 1e-6
    order: float = 2.0
    each: bool = False

    def __post_init__(self) -> None:
        check_numbers(self, most=(0.0, math.inf), eps=(0.0, math.inf))
        if self.order not in (1, 2, math.inf):
            raise ValueError(f"ClipByNorm: order is {self.order!r}; give 1, 2 or math.inf")

    def clip(self, gradients: Sequence[Array]) -> list[Array]:
        if self.each:
            return [self._scaled(g, self.norm([g])) for g in gradients]
        norm = self.norm(gradients)
        return [self._scaled(g, norm) for g in gradients]

    def norm(self, gradients: Sequence[Array]) -> Array:
        """The norm of several tensors together."""
        if self.order == math.inf:
            return np.max(np.stack([np.max(np.abs(g)) for g in gradients]))
        if self.order == 1:
            return total([np.sum(np.abs(g)) for g in gradients])
        return np.sqrt(total([np.sum(g * g) for g in gradients]))

    def _scaled(self, g: Array, norm: Array) -> Array:
        return g * np.minimum(self.most / (norm + self.eps), 1.0)


@dataclass(frozen=True)
class ClipByValue(Clip):
    """Every element into [-most, most].

    >>> ClipByValue(1.0).clip([np.array([3.0, -0.5])])
    [array([ 1. , -0.5])]
    """

    most: float

    def __post_init__(self) -> None:
        check_numbers(self, most=(0.0, math.inf))

    def clip(self, gradients: Sequence[Array]) -> list[Array]:
        return [np.clip(g, -self.most, self.most) for g in gradients]
