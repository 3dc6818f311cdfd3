"""The arrangements of an array: its axes in any order, some of them mirrored."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations, permutations

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ..programs.values import are_near

__all__ = ["arrangements", "index_of", "lies"]


def arrangements(n: int) -> Iterator[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """(words, order of the axes, mirrored axes) of every layout, the plain ones first."""
    if n > 5:
        return
    subsets = chain.from_iterable(combinations(range(n), k) for k in range(n + 1 if n > 2 else 1))
    for mirrored in subsets:
        for axes in permutations(range(n)):
            plain = axes == tuple(range(n))
            said = "same" if plain else "transposed" if n == 2 else f"axes {axes}"
            said += f", mirrored along {mirrored}" if mirrored else ""
            yield said, axes, mirrored


def index_of(value: NDArray, other: NDArray, gradients: tuple[NDArray, NDArray], near: float
             ) -> NDArray | None:  # fmt: skip
    """The flat index in `value` of every element of `other`.

    None if that cannot be told, as of equal elements in no regular order.
    """
    for a, b, turned in ((value, other, False), (other, value, True)):
        index = np.arange(a.size).reshape(a.shape)
        first: NDArray | None = None
        for _, axes, mirrored in arrangements(a.ndim):
            if not lies(a, b, axes, mirrored, near):
                continue
            flipped = np.flip(index, mirrored) if mirrored else index
            found = np.transpose(flipped, axes).reshape(b.shape)
            if first is None:
                first = found
            if lies(*(gradients[::-1] if turned else gradients), axes, mirrored, near):
                first = found
                break
        if first is not None:
            return _inverse(first, other.shape) if turned else first
    mine, theirs = np.argsort(value, axis=None), np.argsort(other, axis=None)
    ascending = value.ravel()[mine]
    if not np.array_equal(ascending, other.ravel()[theirs]) or not (np.diff(ascending) > 0).all():
        return None
    order = np.empty(other.size, np.intp)
    order[theirs] = mine
    return order.reshape(other.shape)


def _inverse(index: NDArray, shape: tuple[int, ...]) -> NDArray:
    """The other way round: for every element of an array of this shape its place in `index`."""
    order = np.empty(index.size, np.intp)
    order[index.ravel()] = np.arange(index.size)
    return order.reshape(shape)


def lies(a: NDArray, b: NDArray, axes: tuple[int, ...], mirrored: tuple[int, ...], near: float
          ) -> bool:  # fmt: skip
    moved = np.transpose(np.flip(a, mirrored) if mirrored else a, axes).ravel()
    return are_near(moved, b.ravel(), near)
