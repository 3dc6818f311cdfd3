"""Detection power: the smallest fault that a passing comparison would have caught."""

from __future__ import annotations

import numpy as np

from ...core.arithmetic.arrays import Array
from ..findings.finding import Power
from .at_node import Reference
from .kinks import at_kink
from .levels import Measured

__all__ = ["power", "power_of", "worst_of"]


def power(e: Reference, measured: Measured) -> Power | None:
    """The smallest relative faults, of one element and of the whole tensor, beyond the bound.

    An element w that is off by e with bound B is outside once it is multiplied by 1 + f or by
    1 - f, whichever is seen later, with f > (B + |e|) / |w|.  A whole tensor multiplied by 1 + f
    is seen as soon as its first element is.  Elements that are zero have no relative fault, and at
    a kink another choice is none; None where nothing is left.  An element that is smaller than its
    own bound tells nothing, and is counted.

    >>> import numpy as np
    >>> from gradparity.core import Bounded, Rounding
    >>> want = Bounded(np.array([1.0, 4.0]), np.array([1e-3, 1e-3]), Rounding.of("float64"))
    >>> measured = Measured(np.zeros(2), want.error, np.False_)
    >>> power(Reference("grad W1", want.value, want), measured)
    Power(median=0.000625, worst=0.001, tensor=0.00025, untested=0)
    """
    decided = ~measured.undecidable
    decided = decided & ~at_kink(e)
    return power_of(np.asarray(e.got, np.float64), e.want.value, measured.bound, decided)


def power_of(got: Array, want: Array, bound: Array, decided: Array) -> Power | None:
    """The same of plain arrays; `decided` are the elements that have one right value."""
    tells = (want != 0.0) & np.isfinite(want) & np.isfinite(bound) & decided
    if not tells.any():
        return None
    size, bound = np.abs(want[tells]), bound[tells]
    signed = (got[tells] - want[tells]) * np.sign(want[tells])
    seen = bound + np.abs(signed) < size
    if not seen.any():
        return None
    size, bound, signed = size[seen], bound[seen], signed[seen]
    alone = (bound + np.abs(signed)) / size
    larger, smaller = (bound - signed) / size, (bound + signed) / size
    together = max(float(larger.min()), float(smaller.min()))
    untested = int((~seen).sum())
    return Power(float(np.median(alone)), float(alone.max()), together, untested)


def worst_of(powers: list[Power]) -> Power:
    """Combine many quantities: the median of the medians, and the worst of the rest."""
    found: Array = np.array([(p.median, p.worst, p.tensor) for p in powers])
    median, (_, worst, tensor) = float(np.median(found[:, 0])), found.max(axis=0)
    return Power(median, float(worst), float(tensor), sum(p.untested for p in powers))
