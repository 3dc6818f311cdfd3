"""Arrays that are several of another program in one: split into parts that all have a partner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ....core.arithmetic.arrays import NDArray
from .partners import Partners

__all__ = ["partners_of_parts", "splits"]

#: The most arrays that are packed in one, and the most layers or experts that are stacked.
PACKED, STACKED = 4, 128


def partners_of_parts(array: NDArray, there: Mapping[str, NDArray], pool: Partners) -> list[str]:
    """The names of the arrays in `there` that one is packed or stacked from; none if it is not.

    What is zero but for rounding beside the rest, such as the gradient of a key's bias, has one
    that is as well for a partner.
    """
    silent = pool.near * np.abs(array).max(initial=0.0)
    for parts in _splits(array, pool):
        names: list[str] = []
        for part in parts:
            fitting = pool.of(part)
            if np.abs(part).max(initial=0.0) <= silent:
                fitting += [n for n, a in there.items() if _is_silent(a, part.size, silent)]
            new = next((name for name in fitting if name not in names), None)
            if new is None:
                break
            names.append(new)
        else:
            return names
    return []


def _is_silent(array: NDArray, size: int, silent: float) -> bool:
    return array.size == size and bool(np.abs(array).max(initial=0.0) <= silent)


def _splits(array: NDArray, pool: Partners) -> Iterator[Iterator[NDArray]]:
    """Yield the equal parts of an array along an axis: one behind the other, or by turns in blocks.

    By turns is how query, key and value of each head may follow each other.  Where no value
    has the largest element, nothing is split.
    """
    for axis, length in enumerate(array.shape):
        counts = [n for n in range(2, PACKED + 1) if length % n == 0]
        if PACKED < length <= STACKED and array.ndim > 1:
            counts.append(length)
        for count in (n for n in counts if pool.reaches(array.size // n, array)):
            for block in _divisors(length // count):
                turn = np.arange(length) // block % count
                yield _turns(array, axis, turn, count)


def splits(array: NDArray, count: int) -> Iterator[list[NDArray]]:
    """Yield an array in so many equal parts along each axis, in a row or by turns in blocks."""
    for axis, length in enumerate(array.shape):
        for block in _divisors(length // count) if length % count == 0 else []:
            yield [*_turns(array, axis, np.arange(length) // block % count, count)]


def _turns(array: NDArray, axis: int, turn: NDArray, count: int) -> Iterator[NDArray]:
    """Yield the parts of an array whose entries take turns along an axis."""
    return (np.compress(turn == i, array, axis) for i in range(count))


def _divisors(n: int) -> list[int]:
    """The divisors of a number, the largest first."""
    return [k for k in range(n, 0, -1) if n % k == 0]
