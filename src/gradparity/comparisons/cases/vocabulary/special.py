"""Special functions, elementwise."""

from __future__ import annotations

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.vocabulary import special as ops
from .shaped import POSITIVE, Shaped

__all__ = ["CASES"]

X = {"x": (4, 6)}


def within_one(a: NDArray) -> NDArray:
    """Numbers between -1 and 1, not near the ends."""
    return 0.9 * np.sin(a)


CASES: dict[str, Shaped] = {
    "digamma": Shaped(ops.Digamma(), X, within=POSITIVE),
    "erfinv": Shaped(ops.Erfinv(), X, within=within_one),
    "i0e": Shaped(ops.I0e(), X),
    "i1e": Shaped(ops.I1e(), X),
    "lgamma": Shaped(ops.Lgamma(), X, within=POSITIVE),
    "log-ndtr": Shaped(ops.LogNdtr(), X),
    "sinc": Shaped(ops.Sinc(), X),
}
