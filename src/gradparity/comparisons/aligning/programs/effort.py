"""How much a search for causes has computed, in units that no clock has, and when it ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import sqrt

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.layers import Affine
from ....core.formulas.op import Op
from ....core.formulas.windows import Conv
from ....core.vocabulary.contractions import ConvTranspose, Einsum, MatMul

__all__ = ["Effort"]

#: What a search may cost: about half a minute.
LIMIT = 1e10
#: What an op costs beside its elements.
CALL = 4e4
#: Ops of which each element is a sum of products, and how many of these cost as much as an element.
PRODUCTS, AT_ONCE = (Affine, Conv, ConvTranspose, Einsum, MatMul), 8


class Effort:
    """Budget of the work that an answer may cost.

    One op costs as much in every run, so that a search ends at the same change on any machine.

    Attributes
    ----------
    left : how much is left of it.
    failed : why a part of the search ended before, if that is an error of ours.
    """

    def __init__(self, left: float = LIMIT) -> None:
        self.left, self.failed = left, ""
        self._kept = 0.0

    @contextmanager
    def part(self, share: float) -> Iterator[None]:
        """Let what is done inside cost at most so much of the whole."""
        before = self._kept
        self._kept = max(before, self.left - share * LIMIT)
        try:
            yield
        finally:
            self._kept = before

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left, so that the search ends."""
        return self.left <= self._kept

    def spend(self, op: Op, y: Sequence[NDArray], z: Sequence[NDArray]) -> None:
        """Count an op with its inputs and results.

        A product of matrices takes the root of the product of the three sizes.
        """
        sizes = [a.size for a in (*y, *z)]
        products = sqrt(float(y[0].size) * y[1].size * z[0].size) if _multiplies(op, y, z) else 0.0
        self.left -= CALL + sum(sizes) + products / AT_ONCE


def _multiplies(op: Op, y: Sequence[NDArray], z: Sequence[NDArray]) -> bool:
    return isinstance(op, PRODUCTS) and len(y) > 1 and bool(z)
