"""Errors and bounds of a quantity under one arithmetic after another, the sharpest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...core.arithmetic.arrays import Array
from ...core.arithmetic.precision import Precision
from ...core.arithmetic.rounding import Rounding
from ...core.network.quantity import Quantity
from .at_node import Reference
from .kinks import distance_from_valid

__all__ = ["Levels", "Measured", "coarser", "measure", "no_bound", "roundings", "stands_out"]

#: Stands for a bound of zero in a quotient.
SMALLEST = 5e-324
#: A second opinion on one tensor needs company: fewer elements say nothing about each other.
COMPANY = 8
#: The median of |N(0, 1)|: what turns a median error into a standard deviation.
MEDIAN = 0.6745
#: What is taken off by cancellation inside a function, in u of the tensor's largest element.
CANCELLED = 16.0


def roundings(precision: Precision) -> tuple[Rounding, ...]:
    """The roundings from the sharpest bound to the widest; each is asked if the one before fails.

    float64 is judged by the worst case alone, which is sharp enough there; so is low precision,
    where storing a result is coarser than summing it.  TF32 hardware rounds operands to nearest or
    drops their last bits, and some has none: each is done exactly before any is admitted.
    """
    of = Rounding.of
    if precision.name == "float32":
        return of(precision, statistical=True), of(precision)
    if precision.name == "tf32":
        modes = ("nearest", "none", "toward zero")
        return (*(of(precision, statistical=True, mode=mode) for mode in modes), of(precision))
    return (of(precision),)


def coarser(precision: Precision) -> dict[str, Rounding]:
    """Arithmetic less precise than was asked for: what an error may be explained by."""
    own = Rounding.of(precision)
    found = {}
    if precision.sums > precision.digits:
        found[f"summing in {precision.name}"] = own.summing_in_storage()
    if precision.dtype == np.float32 and precision.digits == 24:
        if precision.name == "float32":
            found["matrix products in TF32"] = Rounding.of("tf32")
        bfloat16 = replace(Rounding.of("tf32"), factors=8)
        found["matrix products of operands rounded to bfloat16"] = bfloat16
    if precision.digits > 11:
        found["a result stored in float16"] = Rounding.of("float16")
    if precision.digits > 8:
        found["a result stored in bfloat16"] = Rounding.of("bfloat16")
    return found if precision.name != "float64" else {"float32 arithmetic": Rounding.of("float32")}


@dataclass(frozen=True)
class Measured:
    """Elementwise, in float64: how far from what is valid, and how far one may be."""

    error: Array
    bound: Array
    undecidable: Array  # nothing finite can be expected of this dtype here; often just False

    @cached_property
    def outside(self) -> Array:
        return ~(self.error <= self.bound) & ~self.undecidable

    @cached_property
    def ratio(self) -> Array:
        """error / bound, infinite for a NaN; 0 where nothing can be decided."""
        with np.errstate(all="ignore"):
            ratio = self.error / np.maximum(self.bound, SMALLEST)
        if np.isnan(ratio.max()) or np.any(self.undecidable):
            ratio = np.where(np.isnan(ratio), np.inf, ratio)
            return np.where(self.undecidable, 0.0, ratio)
        return ratio


def measure(e: Reference, rounding: Rounding) -> Measured:
    """Measure the distance of each element of a quantity from the nearest valid one."""
    got, want = np.asarray(e.got, dtype=np.float64), e.want.value
    bound = np.asarray(e.want.full_error())
    with np.errstate(all="ignore"):
        error = np.abs(got - want)
        undecidable: Array = np.False_
        if not np.abs(want).max() + bound.max() < rounding.largest:
            given = np.isinf(want) & (bound == 0.0) & e.masked  # a mask's infinity, which is exact
            undecidable = ~(np.abs(want) + bound < rounding.largest) & ~given
            error = np.where(got == want, 0.0, error)  # equal infinities
            error = np.where(given & np.isnan(error), np.inf, error)
        undecidable = undecidable | e.lost
        if e.valid is not None:
            valid = distance_from_valid(e, error, bound, rounding)
            error, bound = valid.error, valid.bound
            undecidable = undecidable | valid.undecided
    return Measured(error, bound, undecidable)


def no_bound(want: Array, largest: float) -> str:
    """Explain an infinite bound: the result overflows, or rounding alone decides it."""
    if np.all(np.abs(want) < largest):
        return "rounding decides the result at this dtype here, so it has no finite bound"
    return "any implementation at this dtype overflows here"


class Levels:
    """The references at one place, under each rounding that was asked for."""

    def __init__(
        self, expected: Callable[[Rounding], list[Reference]], precision: Precision
    ) -> None:
        self.expected, self.precision = expected, precision
        self.roundings = roundings(precision)
        self._asked: dict[Rounding, dict[Quantity, Reference]] = {}

    def quantities(self) -> list[Quantity]:
        return list(self.at(self.roundings[0]))

    def at(self, rounding: Rounding) -> dict[Quantity, Reference]:
        if rounding not in self._asked:
            self._asked[rounding] = {e.quantity: e for e in self.expected(rounding)}
        return self._asked[rounding]

    def measured(self, quantity: Quantity, rounding: Rounding) -> tuple[Reference, Measured]:
        e = self.at(rounding)[quantity]
        return e, measure(e, rounding)

    def sharpest(self, quantity: Quantity) -> tuple[Reference, Measured]:
        """Under the first rounding that explains all, else the sharp one that comes nearest."""
        tried: list[tuple[Reference, Measured]] = []
        for rounding in self.roundings[: max(1, len(self.roundings) - 1)]:
            tried.append(self.measured(quantity, rounding))
            if not tried[-1][1].outside.any():
                return tried[-1]
        return min(tried, key=lambda found: float(found[1].ratio.max()))

    def worst_case(self, quantity: Quantity) -> Measured:
        return self.measured(quantity, self.roundings[-1])[1]

    def explanations(self, quantity: Quantity) -> Iterator[str]:
        """Names of less precise arithmetics that give errors as large, and scattered alike."""
        for what, rounding in coarser(self.precision).items():
            if _scattered(self.measured(quantity, rounding)[1]):
                yield what
        e, measured = self.measured(quantity, self.roundings[-1])
        magnitude = np.abs(e.want.value)
        largest = float(magnitude[np.isfinite(magnitude)].max(initial=0.0))
        room = measured.bound + CANCELLED * self.roundings[-1].u * largest
        if _scattered(replace(measured, bound=room)):
            yield f"cancellation in {self.precision.name}"


def stands_out(m: Measured) -> bool | None:
    """Whether the largest is beyond what the others scatter; None without enough company.

    Bounds are 10 sigma, so if the model is right, the median of the others is MEDIAN / 10.
    """
    inside = m.ratio[~m.outside]
    if m.ratio.size < COMPANY or 2 * inside.size <= m.ratio.size:
        return None
    return float(m.ratio.max()) > max(1.0, float(np.median(inside)) * 10 / MEDIAN)


def _scattered(m: Measured) -> bool:
    """Inside, and no element stands out: lack of precision is never in one element alone."""
    if m.outside.any():
        return False
    own = float(np.median(m.ratio)) * 10 / MEDIAN
    return m.ratio.size < COMPANY or float(m.ratio.max()) <= own
