"""Embeddings whose gradient is another one by definition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arithmetic.arrays import Array, like
from ..formulas.embedding import Embedding

__all__ = ["MeanEmbedding"]


@dataclass(frozen=True)
class MeanEmbedding(Embedding):
    """z = E[ids];  dE[i] = the mean of dz, and not the sum, over the places where ids is i.

    It is what PyTorch gives with ``scale_grad_by_freq=True``.

    >>> op, ids, dz = MeanEmbedding(2, 1), np.array([1, 1]), np.array([[2.0], [4.0]])
    >>> op.vjp(dz, (ids, np.zeros((2, 1))), dz)[1].tolist()
    [[0.0], [3.0]]
    """

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        count = np.maximum(np.bincount(np.ravel(y[0]), minlength=self.n), 1)
        # PyTorch scales each term before it adds them.
        return super().vjp(dz / like(count[y[0]][..., np.newaxis] * 1.0, dz), y, z)
