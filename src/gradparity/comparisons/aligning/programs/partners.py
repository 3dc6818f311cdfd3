"""Which values of two programs are the same numbers, in whatever order.

Two values are the same if their sorted elements are: no transposition, layout or reshape changes
these.  Most are told apart by their range and their sums, and found the same as they lie, so that
few are ever sorted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from ....core.arithmetic.arrays import NDArray

__all__ = ["HIDES", "Elements", "Known", "Partners", "sorted_elements"]

#: Where a mask has at most this, nothing is left of what it is added to.
HIDES = -1e4
#: How near the hidden elements are to each other, and how much larger than all others.
ALIKE, FAR = 1e-2, 1e2

#: Arrays of fewer elements are small; so many of them are kept.
SMALL, MANY = 1024, 4096
#: How many differences of summaries are looked at together.
TOGETHER = 1_000_000

#: How far rounding moves a sum of many elements, relative to the sum of the largest.
ROUNDING = 1e-11


def sorted_elements(a: NDArray) -> NDArray:
    """The elements in ascending order: what no rearrangement changes."""
    found: NDArray = np.sort(np.asarray(a, np.float64), axis=None)
    return found


class Elements:
    """The elements of an array, or of several joined, with what is known about their order.

    Parameters
    ----------
    parts : one, or those that are joined.
    """

    def __init__(self, *parts: NDArray | Elements) -> None:
        self.parts = parts
        self.size: int = sum(part.size for part in parts)

    def flat(self) -> NDArray:
        """The elements as they lie, in float64; those that a mask hides are -inf."""
        each = [p.flat() if isinstance(p, Elements) else _shown(np.ravel(p)) for p in self.parts]
        found: NDArray = np.asarray(each[0] if len(each) == 1 else np.concatenate(each), np.float64)
        return found

    @cached_property
    def ordered(self) -> NDArray:
        """The elements in ascending order."""
        return sorted_elements(self.flat())

    @cached_property
    def summary(self) -> NDArray:
        """Count, sum, root of the sum of squares, minimum and maximum of the finite elements."""
        if any(isinstance(part, Elements) for part in self.parts):
            return _joined(np.array([p.summary for p in self.parts if isinstance(p, Elements)]))
        a = self.flat()
        low, high = a.min(initial=np.inf), a.max(initial=-np.inf)
        if a.size and not (np.isfinite(low) and np.isfinite(high)):
            a = a[np.isfinite(a)]
            low, high = a.min(initial=np.inf), a.max(initial=-np.inf)
        if not a.size:
            low = high = 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            return np.array([a.size, a.sum(), np.sqrt(a @ a), low, high])

    @property
    def largest(self) -> float:
        """The largest magnitude of the finite elements."""
        return float(_largest(self.summary))

    def same(self, other: Elements, near: float) -> bool:
        """Whether both have the same elements within a tolerance, relative to the largest."""
        within = near * max(self.largest, other.largest)
        if _within(self.flat(), other.flat(), within):
            return True
        return _within(self.ordered, other.ordered, within)


def _shown(a: NDArray) -> NDArray:
    """An array with -inf where a mask hides elements; programs write any number there."""
    if a.dtype.kind != "f" or not a.size or not a.min() <= HIDES:
        return a
    hidden = (a <= HIDES) & np.isfinite(a)
    low, high = a[hidden].min(initial=0.0), a[hidden].max(initial=-np.inf)
    others = np.abs(a[~hidden & np.isfinite(a)])
    is_mask = others.size and high - low <= -ALIKE * low and others.max() <= -high / FAR
    return np.where(hidden, -np.inf, a) if is_mask else a


def _joined(each: NDArray) -> NDArray:
    """The summary of several arrays that are joined."""
    count, total, root = each[:, 0].sum(), each[:, 1].sum(), np.hypot.reduce(each[:, 2])
    some = each[each[:, 0] > 0]
    low, high = some[:, 3].min(initial=np.inf), some[:, 4].max(initial=-np.inf)
    return np.array([count, total, root, *((low, high) if len(some) else (0.0, 0.0))])


def _within(a: NDArray, b: NDArray, within: float) -> bool:
    """Whether two arrays are the same in their order, where they are not finite exactly."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b)
    most = apart.max(initial=0.0)
    if np.isfinite(most):
        return bool(most <= within)
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return False
    return bool(
        np.array_equal(a[~finite], b[~finite], equal_nan=True)
        and apart[finite].max(initial=0.0) <= within
    )


def _largest(summary: NDArray) -> NDArray:
    """The largest magnitude in each of some summaries."""
    return np.maximum(-summary[..., 3], summary[..., 4])


def _summaries(each: Sequence[Elements]) -> NDArray:
    """The summary of each of several of one size, of many small ones at once."""
    left = [
        e for e in each if "summary" not in vars(e) and len(e.parts) == 1 and 0 < e.size < SMALL
    ]
    arrays = [(e, e.parts[0]) for e in left if isinstance(e.parts[0], np.ndarray)]
    if len(arrays) > 1:
        rows = np.array([np.ravel(a) for _, a in arrays], np.float64)
        low, high = rows.min(axis=1), rows.max(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            root = np.sqrt(np.einsum("ij,ij->i", rows, rows))
            found = np.stack([np.full(len(rows), rows.shape[1]), rows.sum(1), root, low, high], 1)
        for (e, _), summary in zip(arrays, found, strict=True):
            if summary[3] > HIDES and np.isfinite(summary).all():  # nothing is hidden
                vars(e)["summary"] = summary
    return np.array([e.summary for e in each])


class Known:
    """The elements of arrays that are often asked for, summed and sorted once.

    Those given at the start, and the last small ones.
    """

    def __init__(self, *values: Mapping[str, NDArray]) -> None:
        self._kept = {id(a): a for value in values for a in value.values()}
        self._found: dict[int, Elements] = {}
        self._last: dict[int, Elements] = {}

    def of(self, a: NDArray | Elements) -> Elements:
        """The elements of an array."""
        if isinstance(a, Elements):
            return a
        if self._kept.get(id(a)) is a:
            return self._found.setdefault(id(a), Elements(a))
        if a.size >= SMALL:
            return Elements(a)
        found = self._last.get(id(a))
        if found is None or found.parts[0] is not a:
            if len(self._last) >= MANY:
                self._last.clear()
            found = self._last[id(a)] = Elements(a)
        return found


class Partners:
    """The values of one program, to find those of another among them."""

    def __init__(
        self, value: Mapping[str, NDArray | Elements], near: float, known: Known | None = None
    ) -> None:
        self.near, self.known = near, known or Known()
        self._by_size: dict[int, list[tuple[str, NDArray | Elements]]] = {}
        for name, array in value.items():
            self._by_size.setdefault(array.size, []).append((name, array))
        self._summed: dict[int, _Summed] = {}

    def of(self, array: NDArray | Elements) -> list[str]:
        """The names of the values that have the same elements."""
        return [*self._each(array)]

    def has(self, array: NDArray | Elements) -> bool:
        """Whether any value has the same elements."""
        return self.first(array) is not None

    def first(self, array: NDArray | Elements) -> str | None:
        """The name of the first value that has the same elements; None if there is none."""
        return next(self._each(array), None)

    def firsts(self, arrays: Mapping[str, NDArray]) -> dict[str, str | None]:
        """Return array name -> the name of the first equal value, or None; quick for many."""
        found: dict[str, str | None] = dict.fromkeys(arrays)
        by_size: dict[int, list[str]] = {}
        for name, array in arrays.items():
            by_size.setdefault(array.size, []).append(name)
        for size, names in by_size.items():
            if (summed := self._of_size(size)) is None:
                continue
            own = [self.known.of(arrays[name]) for name in names]
            for name, one, near in zip(names, own, summed.near_each(own, self.near), strict=True):
                found[name] = next((n for n, other in near if one.same(other, self.near)), None)
        return found

    def reaches(self, size: int, array: NDArray | Elements) -> bool:
        """Whether a value of so many elements has the largest of an array, as a part of it may."""
        summed, own = self._of_size(size), self.known.of(array).largest
        return summed is not None and bool(
            (np.abs(summed.largest - own) <= self.near * np.maximum(summed.largest, own)).any()
        )

    def _each(self, array: NDArray | Elements) -> Iterator[str]:
        summed = self._of_size(array.size)
        if summed is not None:
            own = self.known.of(array)
            near = summed.near(own, self.near)
            yield from (name for name, other in near if own.same(other, self.near))

    def _of_size(self, size: int) -> _Summed | None:
        if size in self._by_size and size not in self._summed:
            each = [(name, self.known.of(a)) for name, a in self._by_size[size]]
            self._summed[size] = _Summed(each)
        return self._summed.get(size)


class _Summed:
    """Values of one size with their summaries, in which two that are the same differ little."""

    def __init__(self, each: list[tuple[str, Elements]]) -> None:
        self.each = each
        self.summaries = _summaries([a for _, a in each])
        self.largest = _largest(self.summaries)

    def near(self, a: Elements, near: float) -> list[tuple[str, Elements]]:
        """The arrays whose summary is near that of `a`, in the order given."""
        return next(self.near_each([a], near))

    def near_each(
        self, asked: Sequence[Elements], near: float
    ) -> Iterator[list[tuple[str, Elements]]]:
        """`near` of each of several of this size."""
        summed, count = near + ROUNDING, float(self.each[0][1].size)
        limits = np.array([0.0, count * summed, count**0.5 * summed, near, near])
        own, step = _summaries(asked), max(1, TOGETHER // self.summaries.size)
        for some in (own[i : i + step, None] for i in range(0, len(own), step)):
            largest = np.maximum(self.largest, _largest(some))
            with np.errstate(over="ignore", invalid="ignore"):
                far = np.abs(self.summaries - some) > largest[..., None] * limits
            for row in ~far.any(axis=-1):
                yield [self.each[i] for i in np.flatnonzero(row)]
