"""Curves: the digits that a function loses, by intervals of the number or parameter, as data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as shortened
from typing import Any

import numpy as np

from ....adapters.smooth import NativeSmooth
from ...findings.layout import grouped
from .formulas.vectors import VECTORS
from .points import FORMATS

__all__ = ["BINS", "ENDS", "QUANTITIES", "Curve", "bins", "curves_of", "joined"]

QUANTITIES = ("value", "derivative")
#: Ends of the intervals of numbers on either side of 0; those beyond the last belong to the last.
ENDS = (
    1e-20, 1e-6, 1e-2, 10**-1.5, *(10 ** (k / 4) for k in range(-4, 13)), 1e4
)  # fmt: skip
#: What a curve is over -> how many intervals it has.  Vectors have one for each parameter.
BINS = {"x": 2 * len(ENDS) + 2, "mean": 33, "spread": 41}
#: Half decades: the first parameter of each kind of vector.
FIRST = {"mean": 0, "spread": -20}
NONE = "-"


@dataclass(frozen=True)
class Curve:
    """The digits that one function loses, in every format.

    Attributes
    ----------
    adapter, spelling : as those of a region.
    over : "x", the number; or for vectors "mean" (in deviations) or "spread".
    lost : quantity and format, such as "value float32" -> the most that is lost in each interval,
        in ascending order: tenths of a digit; "inf" where a result is not finite and should be, or
        the reverse; "-" where nothing was asked.
    """

    adapter: str
    spelling: str
    over: str
    lost: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.over not in BINS:
            raise ValueError(
                f"a curve is over {shortened(self.over)}; valid names: {', '.join(BINS)}"
            )
        for name, text in self.lost.items():
            quantity, _, dtype = name.partition(" ")
            if quantity not in QUANTITIES or dtype not in FORMATS:
                raise ValueError(f"a curve is of {shortened(name)}, not such as 'value float32'")
            if len(text.split()) != BINS[self.over] or not all(map(_valid, text.split())):
                count = BINS[self.over]
                raise ValueError(f"the curve of {name} is {shortened(text)}, not {count} numbers")

    def digits(self, quantity: str, dtype: str) -> list[float | None] | None:
        """The digits lost in each interval, None where nothing was asked; None if not measured."""
        text = self.lost.get(f"{quantity} {dtype}")
        if text is None:
            return None
        return [None if word == NONE else float(word) / 10 for word in text.split()]


def _valid(word: str) -> bool:
    return word in (NONE, "inf") or (word.isascii() and word.isdecimal() and len(word) < 4)


def bins(kind: str, x: Any) -> Any:
    """The interval of each number or parameter.

    >>> bins("x", np.array([-1e300, -0.0, 0.0, 0.5, 1e4])).tolist()
    [0, 22, 23, 30, 45]
    """
    if kind != "x":
        return np.rint(2 * np.log10(x)).astype(int) - FIRST[kind]
    side = np.searchsorted(ENDS, np.abs(x), side="right")
    return np.where(np.signbit(x), len(ENDS) - side, len(ENDS) + 1 + side)


def curves_of(
    adapter: str, one: NativeSmooth, dtype: str, lost: Sequence[tuple[str, Any, Any]]
) -> tuple[Curve, ...]:
    """The curve of a function in one format; none where nothing was measured.

    lost : quantity, numbers or parameters, and digits lost, of each mode; NaN is nothing asked.
    """
    kind = "x" if one.name not in VECTORS else "mean" if VECTORS[one.name].shifted else "spread"
    worst = dict[str, Any]()
    for quantity, x, each in lost:
        mine = worst.setdefault(f"{quantity} {dtype}", np.full(BINS[kind], -1.0))
        np.maximum.at(mine, bins(kind, x), np.where(np.isnan(each), -1.0, each))
    written = {name: " ".join(map(_word, mine)) for name, mine in worst.items()}
    return (Curve(adapter, one.spelling, kind, written),) if written else ()


def _word(lost: float) -> str:
    return NONE if lost < 0 else "inf" if math.isinf(lost) else f"{10 * lost:.0f}"


def joined(curves: Iterable[Curve]) -> tuple[Curve, ...]:
    """One curve for each function, of those of single formats."""
    by_function = grouped(((c.adapter, c.spelling, c.over), c) for c in curves)
    return tuple(
        Curve(*key, {name: text for one in mine for name, text in one.lost.items()})
        for key, mine in by_function.items()
    )
