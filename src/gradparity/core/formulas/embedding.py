"""Embedding: rows of a matrix by integer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, moved_back
from .arguments import is_whole, positive, refused
from .op import Op, Shape

__all__ = ["Embedding"]


@dataclass(frozen=True)
class Embedding(Op):
    """z = E[ids];  dE[i] = the sum of dz over the places where ids is i.

    Parameters
    ----------
    n, d : rows and width of E; ids are integers in [0, n).
    padding_idx : a row that gets no gradient; None for none.

    >>> Embedding(10, 4).output_shape((5, 7), (10, 4))
    (5, 7, 4)
    """

    n: int
    d: int
    padding_idx: int | None = None
    integers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        positive(self, "n", "d")
        row = self.padding_idx
        if row is not None:
            if not is_whole(row, 0) or row >= self.n:
                raise refused(self, "padding_idx", row, f"an index from 0 to {self.n - 1}, or None")
            object.__setattr__(self, "padding_idx", int(row))

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"E": (self.n, self.d)}

    def output_shape(self, *shapes: Shape) -> Shape:
        return (*shapes[0], self.d)

    def sample_integers(self, rng: np.random.Generator, shape: Shape) -> NDArray:
        return rng.integers(0, self.n, shape)

    def check_integers(self, ids: NDArray) -> None:
        """Raises ValueError for an index that is not a row."""
        if ids.size and (ids.min() < 0 or ids.max() >= self.n):
            raise ValueError(
                f"{self!r}: its ids run from {ids.min()} to {ids.max()}, but E has {self.n} rows; "
                f"give ids from 0 to {self.n - 1}"
            )

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        met = np.isin(np.arange(self.n), y[0])
        if self.padding_idx is not None and not met[self.padding_idx]:
            return f"no id is padding_idx = {self.padding_idx}"
        unused = int((~met).sum())
        return f"{unused} of {self.n} rows are used by no id" if unused else ""

    def forward(self, *y: Array) -> Array:
        return y[1][y[0]]

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        ids = y[0]
        trained = np.ones(ids.shape, bool) if self.padding_idx is None else ids != self.padding_idx

        def back(a: NDArray) -> NDArray:
            out = np.zeros((self.n, self.d), a.dtype)
            np.add.at(out, ids[trained], a[trained])
            return out

        return None, moved_back(dz, back)
