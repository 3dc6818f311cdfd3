"""The values that XLA may compute anew where they are read, fused with what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.network.calls import Operand
from .equations import Key, numbers
from .taps import Walk

__all__ = ["Remade"]

#: Primitives that are approximated, each by several codes.
FUNCTIONS_OF_ONE = {
    *("exp", "exp2", "log", "log1p", "expm1", "tanh", "logistic", "sin", "cos", "tan", "erf"),
    *("erfc", "erf_inv", "lgamma", "rsqrt", "cbrt", "pow", "atan2", "asin", "acos", "atan"),
    *("sinh", "cosh", "asinh", "acosh", "atanh", "digamma", "bessel_i0e", "bessel_i1e"),
}
#: Equations whose terms may be products that XLA multiplies and adds in one.
SUMS = {"add", "sub", "add_any"}


class Remade:
    """Bounds on how far inputs of equations may differ from what was recorded.

    Parameters
    ----------
    walk : of the program.
    """

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        order = {key: i for i, key in enumerate(walk.equations)}
        #: The terms of sums by equation, until the last equation that reads the sum.
        self._terms: dict[Key, Sequence[Any]] = {}
        self._until: dict[Key, list[Key]] = {}
        self._last: dict[Key, Key] = {}
        for name, uses in walk.uses.items():
            made = walk.arrivals.get(name, ())[:-2]
            readers = [use[:-2] for use, _ in uses if use[:-2] in order]
            if made in order and walk.equations[made].eqn.primitive.name in SUMS and readers:
                last = max(readers, key=order.__getitem__)
                self._last[made] = last
                self._until.setdefault(last, []).append(made)

    def keep(self, key: Key, ins: Sequence[Any]) -> None:
        """Keep the terms of an equation that something reads later."""
        if key in self._last:
            self._terms[key] = ins

    def forget(self, key: Key) -> None:
        """Let go of what only equations up to this one read."""
        for made in self._until.pop(key, ()):
            self._terms.pop(made, None)

    def of(self, o: Operand, step: tuple[int, ...]) -> NDArray | None:
        """The roundings that an input may be off by, times the sizes of what is rounded.

        None for what is not computed.  A sum is off by the roundings of its terms, which may be
        much larger than it is.
        """
        key = self.walk.arrivals.get(o.source, ())[:-2]
        equation = self.walk.equations.get(key)
        if equation is None:
            return None
        times = 8.0 if equation.eqn.primitive.name in FUNCTIONS_OF_ONE else 2.0
        sizes = np.abs(o.array)
        if key in self._terms:
            terms = [np.abs(numbers(x[step] if equation.lengths else x)) for x in self._terms[key]]
            with np.errstate(over="ignore"):
                added = sum(terms[1:], terms[0])
            sizes = added if added.shape == sizes.shape else sizes
        with np.errstate(over="ignore"):  # the lowest number, as of a mask
            found: NDArray = times * sizes
        return np.where(np.isfinite(found), found, 0.0)
