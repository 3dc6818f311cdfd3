"""One quantity against its reference, element by element: error, bound, and the finding of both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray
from ...core.arithmetic.precision import Precision
from ...core.network.quantity import Quantity
from ..findings.elements import furthest, in_units
from ..findings.finding import Finding, Power, Verdict

__all__ = ["SMALLEST", "Measured", "largest_of"]

#: Stands for a bound of zero in a quotient.
SMALLEST = 5e-324
#: Of more elements than `MANY`, the `FIRST` are asked before all are.
MANY, FIRST = 4096, 512
#: Elements that are worked on at once, so that their intermediate results stay in the cache.
BLOCK = 1 << 14
#: Of more elements a median is taken of so many.
SAMPLE = 1 << 16


def largest_of(a: NDArray) -> float:
    """The largest magnitude; NaN if there is one."""
    return float(max(a.max(initial=0.0), -a.min(initial=0.0)))


@dataclass(frozen=True, eq=False)
class Measured:
    """Errors and bounds of one quantity: arrays in float64, of its shape or broadcast to it.

    Attributes
    ----------
    got, want : the implementation's result, and the reference.
    error : how far off it is: from the reference or, at a kink, from the nearest valid value.
    bound : how far off a correct implementation may be.
    undecidable : elements for which this dtype allows no finite bound; often just False.
    average : how far the projection on the reference is off, in units of its own bound.
    """

    got: NDArray
    want: NDArray
    error: Array
    bound: Array
    undecidable: Array = np.False_
    average: float = 0.0

    @classmethod
    def of(
        cls, got: Array, want: NDArray, bound: Array, largest: float, *, masked: bool = True
    ) -> Measured:
        """Measure the distance from the reference; `largest` is the largest finite number.

        `masked` : an infinite reference with a bound of zero is given data, such as a mask, and is
        exact; so is a NaN, whatever `masked` is.  An infinite result is right where the bound
        reaches beyond the largest number, and where a mask goes beyond the lowest: where numbers
        overflow to -inf alone.
        """
        got, bound = np.asarray(got, dtype=np.float64), np.asarray(bound)
        undecidable: Array = np.False_
        with np.errstate(all="ignore"):
            error = np.abs(got - want)
            if not largest_of(want) + bound.max(initial=0.0) < largest:
                given = np.isinf(want) & (bound == 0.0) & masked
                moved = np.isnan(want) & np.isnan(got) & (bound == 0.0)  # a NaN that was given
                inside = (error <= bound) & np.isfinite(got)  # whatever the truth is, it is right
                size = np.abs(want)
                most = size + bound
                masked_out = want < -largest if want.max(initial=0.0) < largest else np.False_
                beyond = np.where(np.isfinite(bound), most > largest, masked_out)
                overflowed = beyond & np.isinf(got) & (got * want > 0.0) & np.isfinite(want)
                undecidable = ~(most < largest) & ~given & ~inside & ~moved & ~overflowed
                error = np.where((got == want) | moved | overflowed, 0.0, error)  # equal infinities
                error = np.where(given & np.isnan(error), np.inf, error)
        return cls(got, want, error, bound, undecidable)

    @cached_property
    def identical(self) -> bool:
        """Whether no element may be off, as where values are only moved, and none is."""
        return not (np.any(self.bound) or np.any(self.error) or np.any(self.undecidable))

    @cached_property
    def outside(self) -> Array:
        if self.identical:
            return np.broadcast_to(np.False_, np.shape(self.error))
        outside = ~(self.error <= self.bound)
        return outside & ~self.undecidable if np.any(self.undecidable) else outside

    @cached_property
    def ratio(self) -> Array:
        """error / bound, infinite for a NaN; 0 where nothing can be decided."""
        if self.identical:
            return np.broadcast_to(0.0, np.shape(self.error))
        with np.errstate(all="ignore"):
            ratio = self.error / np.maximum(self.bound, SMALLEST)
        if np.isnan(ratio.max(initial=0.0)) or np.any(self.undecidable):
            ratio = np.where(np.isnan(ratio), np.inf, ratio)
            return np.where(self.undecidable, 0.0, ratio)
        return ratio

    @property
    def furthest(self) -> float:
        """The largest error, in units of its bound."""
        return max(float(self.ratio.max(initial=0.0)), self.average)

    @property
    def off(self) -> bool:
        return bool(self.outside.any()) or self.average > 1.0

    @property
    def vacuous(self) -> bool:
        """Whether no element of the reference exceeds its bound."""
        return not any((np.abs(want) > bound).any() for want, bound in self._parts(self.bound))

    @property
    def largest(self) -> float:
        """The largest finite element of the reference."""
        largest = largest_of(self.want)
        return largest if math.isfinite(largest) else largest_of(self.want[np.isfinite(self.want)])

    def _parts(self, other: Array) -> Iterator[tuple[Array, Array]]:
        """The first elements of the reference and of another array, which mostly tell; then all."""
        if self.want.size > MANY and np.shape(other) == self.want.shape:
            yield self.want.ravel()[:FIRST], np.ravel(other)[:FIRST]
        yield self.want, other

    def verdict(self, precision: Precision, other_choice: bool = False) -> Verdict:
        """The verdict, before a mismatch is explained; `other_choice` was made at a kink."""
        if self.outside.any():
            return Verdict.MISMATCH
        if np.any(self.undecidable):
            return Verdict.INCONCLUSIVE
        if other_choice:
            return Verdict.SUBGRADIENT
        if self.vacuous:
            return Verdict.VACUOUS
        if self.identical:
            return Verdict.EXACT
        with np.errstate(all="ignore"):
            exact = all(np.array_equal(precision.round(w), got) for w, got in self._parts(self.got))
        return Verdict.EXACT if exact else Verdict.ROUNDING

    def power(self, free: Array = np.False_) -> Power | None:
        """The smallest relative faults, of one element and of the whole tensor, beyond the bound.

        An element w that is off by e with bound B is outside once it is multiplied by 1 + f or by
        1 - f, whichever is seen later, with f > (B + |e|) / |w|.  A whole tensor multiplied by
        1 + f is seen as soon as its first element is.  An element that is smaller than its own
        bound is untested.  Elements that are zero have no relative fault and are left out, as are
        those that are `free` to take several values, at a kink.  None where nothing is left.  Of
        more than `SAMPLE` elements, the median is that of as many, evenly spaced.

        >>> want = np.array([1.0, 4.0])
        >>> Measured(want, want, np.zeros(2), np.array([1e-3, 1e-3])).power()
        Power(median=0.000625, worst=0.001, tensor=0.00025, untested=0)
        """
        if self.identical and not np.any(free) and np.isfinite(self.largest):
            return Power(0.0, 0.0, 0.0, 0) if self.want.any() else None
        some_are_left_out = bool(np.any(free) or np.any(self.undecidable))
        untested, less, more = 0, math.inf, math.inf
        beyond: list[NDArray] = []
        arrays = (self.want, self.got, self.bound, self.undecidable, free)
        with np.errstate(all="ignore"):
            for want, got, bound, undecidable, is_free in _blocks(*arrays):
                bound = bound / np.abs(want)
                error = (got - want) / want
                alone = np.abs(error) + bound
                if some_are_left_out or not alone.max(initial=0.0) < 1.0:  # or there is a NaN
                    tells = (
                        np.isfinite(got) & np.isfinite(want) & np.isfinite(bound) & (want != 0.0)
                    )
                    tells &= ~(undecidable | is_free)
                    seen = (alone < 1.0) & tells
                    untested += int(np.count_nonzero(tells)) - int(np.count_nonzero(seen))
                    bound, error, alone = bound[seen], error[seen], alone[seen]
                less = min(less, float((bound - error).min(initial=math.inf)))
                more = min(more, float((bound + error).min(initial=math.inf)))
                beyond.append(alone)
        alone = np.concatenate(beyond) if beyond else np.zeros(0)
        if not alone.size:
            return None
        some = alone[:: max(alone.size // SAMPLE, 1)]
        return Power(float(np.median(some)), float(alone.max()), max(less, more), untested)

    def finding(
        self, q: Quantity, at: tuple[str, str], verdict: Verdict, unit: float, **more: Any
    ) -> Finding:
        """The finding, with the element nearest to (or furthest beyond) its bound.

        Of an undecided one it is the first element that cannot be decided.

        Parameters
        ----------
        q, at, verdict : the quantity, the node and op whose formula was tested, and the verdict.
        unit : the unit roundoff, relative; errors are in it times the largest element.
        more : other fields of `Finding`.
        """
        if not self.got.size:
            return Finding(q, *at, verdict, 0, note="it has no elements")
        undecided = verdict is Verdict.INCONCLUSIVE and bool(np.any(self.undecidable))
        told = np.broadcast_to(self.undecidable, self.got.shape) if undecided else self.ratio
        where = tuple(map(int, np.unravel_index(int(told.argmax()), self.got.shape)))
        error, bound = (_of_shape(a, self.got.shape) for a in (self.error, self.bound))
        u = unit * self.largest
        return Finding(
            q,
            *at,
            verdict,
            elements=self.got.size,
            outside=int(np.count_nonzero(self.outside)),
            index=where,
            got=float(self.got[where]),
            expected=float(self.want[where]),
            error=in_units(error[where], u),
            bound=in_units(bound[where], u),
            worst=furthest(self.got, self.want, error, bound, self.outside, u),
            **more,
        )


def _of_shape(a: Array, shape: tuple[int, ...]) -> NDArray:
    return a if isinstance(a, np.ndarray) and a.shape == shape else np.broadcast_to(a, shape)


def _blocks(*arrays: Array) -> Iterator[tuple[NDArray, ...]]:
    """Pieces of arrays that are broadcast to one shape, in one order."""
    flags: Any = ["external_loop", "buffered", "zerosize_ok"]
    read: Any = [["readonly"]] * len(arrays)
    with np.nditer(arrays, flags, read, buffersize=BLOCK) as pieces:
        yield from pieces
