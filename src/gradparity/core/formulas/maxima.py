"""Max and its relatives (lecture, sections 2 and 7): over all inputs, over subsets, over pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from ..arithmetic.arrays import Array, scatter_add
from .arguments import fits, index_rows, indices, one_of, positive
from .layers import Affine
from .op import Activation, Compound, Op, Params, Ties

__all__ = ["Max", "MaxSubsets", "Maxout", "Take"]


@dataclass(frozen=True)
class Max(Activation):
    """y = max_j z_j over each group of inputs;  dz_j = w_j dy, w_j = 1 for the largest, else 0.

    At a tie any weights >= 0 that sum to one over the tied inputs are valid.

    Parameters
    ----------
    sizes : widths of the groups, which are consecutive inputs; None for one group of them all.
    ties : which element this op takes at a tie: "first", "last", or "even" (equal weights).
    spelling : which function of a framework is meant, for they differ at ties: "max"
        (``max(dim)``) or "amax".

    >>> op = Max(sizes=(2, 1))
    >>> op.f(np.array([[1.0, 3.0, 2.0]]))
    array([[3., 2.]])
    """

    sizes: tuple[int, ...] | None = None
    ties: str = field(default="first", kw_only=True)
    spelling: str = field(default="max", kw_only=True)

    def __post_init__(self) -> None:
        if self.sizes is not None:
            sizes = indices(self, "sizes", self.sizes)
            if min(sizes) < 1:
                raise ValueError(f"Max(sizes={sizes}): give sizes >= 1, or None for one group")
            object.__setattr__(self, "sizes", sizes)
        one_of(self, "ties", ("first", "last", "even"))
        one_of(self, "spelling", ("max", "amax"))

    def width(self, *widths: int) -> int:
        fits(self, widths[0], sum(self.sizes) if self.sizes else widths[0])
        return len(self.sizes) if self.sizes else 1

    def groups(self, z: Array) -> list[Array]:
        """The groups of z, as slices of its columns."""
        cuts = np.cumsum((0, *(self.sizes or (z.shape[-1],))))
        return [z[..., lo:hi] for lo, hi in pairwise(cuts)]

    def f(self, z: Array) -> Array:
        return np.concatenate([g.max(axis=-1, keepdims=True) for g in self.groups(z)], axis=-1)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        share = []
        for i, g in enumerate(self.groups(z)):
            wins = self._wins(g == g.max(axis=-1, keepdims=True))
            dyi = dy[..., i : i + 1]
            if self.ties == "even":
                dyi = dyi / wins.sum(axis=-1, keepdims=True).astype(dy.dtype)
            share.append(np.where(wins, dyi, 0))
        return np.concatenate(share, axis=-1)

    def _wins(self, tied: Array) -> Array:
        if self.ties == "even":
            return tied
        if self.ties == "last":
            return self._first(tied[..., ::-1])[..., ::-1]
        return self._first(tied)

    @staticmethod
    def _first(tied: Array) -> Array:
        return tied & (np.cumsum(tied, axis=-1) == 1)

    def subdifferential(self, p: Params, y: Array, tiny: float) -> Ties | None:
        flushed = np.where(np.abs(y) < tiny, 0.0, y)
        pairs = zip(self.groups(y), self.groups(flushed), strict=True)
        winners = [
            (g == g.max(axis=-1, keepdims=True)) | (f == f.max(axis=-1, keepdims=True))
            for g, f in pairs
        ]
        if not any((w.sum(axis=-1) > 1).any() for w in winners):
            return None
        return Ties(np.concatenate(winners, axis=-1), tuple(w.shape[-1] for w in winners))


@dataclass(frozen=True)
class Take(Activation):
    """y_k = z_{indices[k]};  dz_l = sum over {k : indices[k] = l} of dy_k."""

    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "indices", indices(self, "indices", self.indices))

    def width(self, *widths: int) -> int:
        if max(self.indices) >= widths[0]:
            raise ValueError(
                f"Take: index {max(self.indices)} of a value of width {widths[0]}; "
                f"indices go from 0 to {widths[0] - 1}"
            )
        return len(self.indices)

    def f(self, z: Array) -> Array:
        return np.take(z, self.indices, axis=-1)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return scatter_add(dy, self.indices, z.shape[-1])


@dataclass(frozen=True)
class MaxSubsets(Compound):
    """Max over subsets: y_i = max over l in S_i of z_l; subsets may overlap (max pooling).

    Expanded into `Take` (an input in several subsets sums its contributions) and `Max` over the
    groups, so that the weights at overlapping ties can be told apart.

    Parameters
    ----------
    subsets : the S_i; none empty, no index twice in one.
    ties, spelling : as in `Max`.
    """

    subsets: Sequence[Sequence[int]]
    ties: str = field(default="first", kw_only=True)
    spelling: str = field(default="max", kw_only=True)

    def __post_init__(self) -> None:
        subsets = index_rows(self, "subsets")
        object.__setattr__(self, "subsets", subsets)
        for i, subset in enumerate(self.subsets):
            if not len(subset) or len(set(subset)) != len(subset):
                raise ValueError(
                    f"MaxSubsets: subset {i} is {list(subset)}; give each index once, none empty"
                )
        self.chain()

    def chain(self) -> tuple[tuple[str, Op], ...]:
        taken = Take(tuple(i for subset in self.subsets for i in subset))
        sizes = tuple(len(subset) for subset in self.subsets)
        return ("_subsets", taken), ("", Max(sizes, ties=self.ties, spelling=self.spelling))


@dataclass(frozen=True)
class Maxout(Compound):
    """Maxout: y_i = max over k pieces of an affine map; an `Affine` and a `Max` over its pieces.

    Parameters
    ----------
    n_in, n_out : widths; W has shape (n_in, n_out k), the pieces of one output side by side.
    pieces : k.
    ties, spelling : as in `Max`.
    """

    n_in: int
    n_out: int
    pieces: int = 2
    ties: str = field(default="first", kw_only=True)
    spelling: str = field(default="max", kw_only=True)

    def __post_init__(self) -> None:
        for name in ("n_in", "n_out", "pieces"):
            positive(self, name)
        self.chain()

    def chain(self) -> tuple[tuple[str, Op], ...]:
        pieces = Affine(self.n_in, self.n_out * self.pieces)
        best = Max((self.pieces,) * self.n_out, ties=self.ties, spelling=self.spelling)
        return ("_pieces", pieces), ("", best)
