"""Errors and bounds of a quantity under one arithmetic after another, the sharpest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray
from ...core.arithmetic.precision import Precision
from ...core.arithmetic.rounding import SIGMAS, Forms, Rounding
from ...core.network.quantity import Quantity
from .at_node import Reference
from .kinks import distance_from_valid
from .measured import Measured, largest_of

__all__ = [
    "MINIMUM_SAMPLE",
    "NAN",
    "Levels",
    "SharedBias",
    "coarser",
    "has_outlier",
    "measure",
    "no_bound",
    "roundings",
    "shared_bias",
]

#: Minimum number of elements for the outlier test.
MINIMUM_SAMPLE = 8
#: The median of |N(0, 1)|: what turns a median error into a standard deviation.
MEDIAN = 0.6745
#: Minimum number of different elements for the test of a bias that they share.
MINIMUM_SHARED = 64
#: Width of that test in standard deviations, of which the bound of an element has SIGMAS.
AVERAGE = 15.0
#: What all elements may share beyond that, in u: roundings of common factors and constants.
SHARED = 2.0
#: What is taken off by cancellation inside a function, in u of the tensor's largest element.
CANCELLED = 16.0
#: The note of a quantity whose reference is NaN.
NAN = "the formula gives NaN here: from 0/0, inf - inf, or a NaN among its own inputs"
#: Of a quantity that the number format cannot hold.
OVERFLOWS = "any implementation at this dtype overflows here"


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
        found[f"summing in {precision.name}"] = own.in_storage
    if precision.dtype == np.float32 and precision.digits == 24:
        if precision.name == "float32":
            found["matrix products in TF32"] = Rounding.of("tf32")
        bfloat16 = replace(Rounding.of("tf32"), factors=8)
        found["matrix products in bfloat16"] = bfloat16
    if precision.digits > 11:
        found["a result stored in float16"] = Rounding.of("float16")
    if precision.digits > 8:
        found["a result stored in bfloat16"] = Rounding.of("bfloat16")
    return found if precision.name != "float64" else {"float32 arithmetic": Rounding.of("float32")}


#: The formats that a result may have been rounded to, and their unit roundoffs.
FORMATS = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24}


def is_stored_in(a: NDArray, name: str) -> bool:
    """Whether every number is one of this format.

    >>> is_stored_in(np.array([1.0078125]), "bfloat16"), is_stored_in(np.array([1.001]), "float16")
    (True, False)
    """
    with np.errstate(all="ignore"):
        single = a.astype(np.float32)
        if name == "bfloat16":
            cut = single.view(np.uint32) & np.uint32(0xFFFF) == 0
            return bool(np.all(cut & (single == a)))
        return bool(np.all((single if name == "float32" else a.astype(np.float16)) == a))


def _is_of_bfloat16_alone(a: NDArray) -> bool:
    return is_stored_in(a, "bfloat16") and not is_stored_in(a, "float16")


def measure(e: Reference, rounding: Rounding) -> Measured:
    """Measure the distance of each element of a quantity from the nearest valid one."""
    bound = e.want.full_error()
    m = Measured.of(e.got, e.want.value, bound, rounding.largest, masked=e.masked)
    with np.errstate(all="ignore"):
        unknown = m.undecidable | e.lost
        if e.valid is None and unknown is m.undecidable:
            return m
        if e.valid is None:
            return replace(m, undecidable=unknown)
        valid = distance_from_valid(e, m.error, m.bound, rounding)
        unknown = unknown | valid.undecided
        return replace(m, error=valid.error, bound=valid.bound, undecidable=unknown)


def no_bound(want: Array, largest: float) -> str:
    """Explain a missing bound: NaN, overflow, or a result that rounding alone decides."""
    if np.any(np.isnan(want)):
        return NAN
    if np.all(np.abs(want) < largest):
        return "rounding decides the result at this dtype here, so it has no finite bound"
    return OVERFLOWS


class Levels:
    """The references at one place, under each rounding that was asked for.

    Parameters
    ----------
    sums : whether there are any in it; without them the worst case is that of one rounding.
    """

    def __init__(
        self,
        references: Callable[[Rounding], list[Reference]],
        precision: Precision,
        sums: bool = True,
    ) -> None:
        self.references, self.precision, self.sums = references, precision, sums
        self.roundings = roundings(precision)
        self._asked: dict[Rounding, dict[Quantity, Reference]] = {}
        self._measured: dict[tuple[Quantity, Rounding], Measured] = {}
        self._forms: dict[tuple[tuple[str, ...], bool, bool], Forms] = {}

    def quantities(self) -> list[Quantity]:
        return list(self.at(self.roundings[0]))

    def at(self, rounding: Rounding) -> dict[Quantity, Reference]:
        rounding = self._known(rounding)
        if rounding not in self._asked:
            self._asked[rounding] = {e.quantity: e for e in self.references(rounding)}
        return self._asked[rounding]

    def measured(self, quantity: Quantity, rounding: Rounding) -> tuple[Reference, Measured]:
        rounding = self._known(rounding)
        e, key = self.at(rounding)[quantity], (quantity, rounding)
        if key not in self._measured:
            self._measured[key] = measure(e, rounding)
        return e, self._measured[key]

    def _known(self, rounding: Rounding) -> Rounding:
        """The rounding itself or, without sums, one for all that differ in these alone."""
        return rounding if self.sums else replace(rounding, statistical=False)

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

    def in_forms(self, quantity: Quantity, forms: Forms, sharp: bool = False) -> Measured:
        """Measure a quantity by these usual forms, in the worst case or sharply."""
        rounding = replace(self.roundings[0 if sharp else -1], forms=forms)
        if forms.at is None:
            return self.measured(quantity, rounding)[1]
        found = next(e for e in self.references(rounding) if e.quantity == quantity)
        few = measure(found, rounding)
        if np.shape(found.got) == forms.at.shape:  # the op is not known to be elementwise
            return few
        full = self.measured(quantity, replace(rounding, forms=None))[1]
        error, bound = (np.broadcast_to(a, full.got.shape).copy() for a in (full.error, full.bound))
        error[forms.at], bound[forms.at] = few.error, few.bound
        return replace(full, error=error, bound=bound)

    def forms(
        self,
        chosen: tuple[str, ...] = (),
        own_output: bool = False,
        every: bool = False,
        at: NDArray | None = None,
    ) -> Forms:
        """The request for these forms: one object for all quantities here, which share the pass.

        Parameters
        ----------
        at : the elements of an elementwise op that it is about, which are of one quantity.
        """
        if at is not None:
            return Forms(chosen, own_output, every, at)
        key = chosen, own_output, every
        return self._forms.setdefault(key, Forms(*key))

    def explanations(self, quantity: Quantity) -> Iterator[str]:
        """Names of less precise arithmetics that give errors as large, and scattered alike."""
        for what, rounding in coarser(self.precision).items():
            e, measured = self.measured(quantity, rounding)
            if what.endswith(" float16") and _is_of_bfloat16_alone(np.asarray(e.got)):
                continue
            if _scattered(measured):
                yield what
        measured = self.worst_case(quantity)
        room = measured.bound + CANCELLED * self.roundings[-1].u * measured.largest
        if _scattered(replace(measured, bound=room)):
            yield f"cancellation in {self.precision.name}"


def has_outlier(m: Measured) -> bool | None:
    """Whether the largest error is beyond what the others scatter; None for too small a sample.

    Bounds are 10 sigma, so if the model is right, the median of the others is MEDIAN / 10.
    """
    inside = m.ratio[~m.outside]
    if m.ratio.size < MINIMUM_SAMPLE or 2 * inside.size <= m.ratio.size:
        return None
    return float(m.ratio.max()) > max(1.0, float(np.median(inside)) * 10 / MEDIAN)


class SharedBias(NamedTuple):
    """The projection of the error on the reference: a bias that all elements share.

    error : of this tensor.
    room : what independent roundings can give, and common constants.
    size : the projection of the reference on itself.
    """

    error: float
    room: float
    size: float

    @property
    def ratio(self) -> float:
        """The bias in units of its bound."""
        return self.error / self.room

    @property
    def power(self) -> float:
        """The smallest relative bias that is beyond its bound whatever its sign."""
        return (self.room + self.error) / self.size


def shared_bias(m: Measured, u: float) -> SharedBias | None:
    """The bias that all elements share; None for a small sample.

    If the errors of elements are independent, the standard deviation of their projection is that of
    one element divided by the root of their number.

    >>> want = np.linspace(1.0, 2.0, 100)
    >>> bound = 10 * 2.0**-24 * want
    >>> rounding = np.random.default_rng(0).uniform(-1, 1, 100) * 2.0**-24
    >>> for got in (want * (1 + rounding), want * (1 + 5e-7)):
    ...     print(shared_bias(Measured(got, want, abs(got - want), bound), 2.0**-24).ratio > 1)
    False
    True
    """
    want, bound = m.want, np.broadcast_to(m.bound, m.want.shape)
    if not _differ(want) or np.any(m.undecidable):
        return None
    with np.errstate(all="ignore"):
        direction = want / largest_of(want)
        error, size = np.abs(np.vdot(m.got - want, direction)), np.vdot(want, direction)
        width = AVERAGE / SIGMAS * np.linalg.norm(bound * direction)
        bias = SharedBias(float(error), float(width + SHARED * u * size), float(size))
    return bias if np.isfinite(bias).all() else None


def _differ(numbers: NDArray) -> bool:
    """Whether there are enough different numbers; mostly the first ones tell."""
    some = numbers.ravel()[: 16 * MINIMUM_SHARED]
    return np.unique(some).size >= MINIMUM_SHARED or np.unique(numbers).size >= MINIMUM_SHARED


def _scattered(m: Measured) -> bool:
    """Inside, and no element stands out: lack of precision is never in one element alone."""
    if m.outside.any():
        return False
    own = float(np.median(m.ratio)) * 10 / MEDIAN
    return m.ratio.size < MINIMUM_SAMPLE or float(m.ratio.max()) <= own
