"""Reductions."""

from __future__ import annotations

from ....core.vocabulary import reductions as ops
from .shaped import Shaped

__all__ = ["CASES"]

X = {"x": (4, 3)}
#: More elements along an axis: they are hardly ever all equal.
LONG = {"x": (5, 4)}

CASES: dict[str, Shaped] = {
    "logsumexp": Shaped(ops.LogSumExp(), X),
    "logsumexp-axis": Shaped(ops.LogSumExp(1), X),
    "min": Shaped(ops.Min((2, 4)), {"x": (2, 6)}),
    "min-axis": Shaped(ops.Min(axis=1, ties="even"), X),
    "prod": Shaped(ops.Prod(), X),
    "prod-axis": Shaped(ops.Prod(1), X, zeros=False),
    "std": Shaped(ops.Std(1), LONG),
    "std-population": Shaped(ops.Std((1, 2), correction=0), X),
    "variance": Shaped(ops.Variance(1), X),
    "variance-population": Shaped(ops.Variance((1, 2), correction=0), X),
    "vector-norm-1": Shaped(ops.VectorNorm(1, order=1), X),
    # JAX has NaN for the gradient of the norm of a vector of zeros: a mismatch of its own.
    "vector-norm-2": Shaped(ops.VectorNorm(1), X, zeros=False),
    "vector-norm-3": Shaped(ops.VectorNorm(order=3), X, zeros=False),
}
