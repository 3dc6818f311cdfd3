"""Final gradients that weigh the samples otherwise, such as by a micro-batch that was lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.backprop import backprop
from ...core.network.batch import sample_rows, samples_stay_apart
from ...core.network.case import Case
from ...core.network.quantity import Quantity
from ..measure.measured import Measured
from .hints import SEVERAL, ranges

__all__ = ["weights_of_samples"]

#: Maximum number of samples; each takes a backward pass.
MOST = 256
#: Elements for each unknown weight.
ENOUGH = 1.5
#: How many bounds may be left, and how many roundings of the largest element.
ROOM, FEW = 4.0, 64.0


def weights_of_samples(case: Case, measured: Mapping[Quantity, Measured]) -> str:
    """How often each sample counts in the gradients of the parameters; "" if that is not it.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(6, 4)], L2()), batch=8)
    >>> part = Case(case.network, case.params, case.x[:4], case.d[:4])
    >>> got, want = backprop(part).grad["W1"], backprop(case).grad["W1"]
    >>> m = Measured(got, want, abs(got - want), np.full(want.shape, 1e-14))
    >>> weights_of_samples(case, {Quantity.grad("W1"): m})
    'samples 0 to 3 count 2 times, and samples 4 to 7 are left out'
    """
    told = {q: m for q, m in measured.items() if q.is_gradient_by(case.network.trained)}
    T = case.T
    if not told or not 2 <= T <= MOST or case.network.weights or not samples_stay_apart(case):
        return ""
    if sum(m.got.size for m in told.values()) < ENOUGH * T:
        return ""
    columns = np.stack([_flat(g) for g in _of_each(case, told)], axis=1)
    got = _flat({q: m.got for q, m in told.items()})
    bound = _flat({q: np.broadcast_to(m.bound, m.got.shape) for q, m in told.items()})
    if not (np.isfinite(columns).all() and np.isfinite(got).all()):
        return ""
    weights, _, rank, _ = np.linalg.lstsq(columns, got, rcond=None)
    room = ROOM * bound + FEW * case.precision.unit * np.abs(columns).max(axis=1)
    if rank < T or not np.all(np.abs(columns @ weights - got) <= room):
        return ""
    rounded = [float(f"{w:.3g}") if abs(w) > 1e-3 else 0.0 for w in weights]
    if len(set(rounded)) == 1 or len(set(rounded)) > SEVERAL:
        return ""
    return ", and ".join(
        _said(factor, [t for t, w in enumerate(rounded) if w == factor])
        for factor in dict.fromkeys(rounded)
    )


def _said(times: float, samples: list[int]) -> str:
    which, one = ranges(samples, "sample", "samples"), len(samples) == 1
    if times == 0.0:
        return f"{which} {'is' if one else 'are'} left out"
    return f"{which} {'counts' if one else 'count'} {times:.3g} times"


def _of_each(case: Case, names: Mapping[Quantity, Any]) -> list[dict[Quantity, NDArray]]:
    """The gradients of each sample alone, in its share of the loss, in float64."""
    wide = case if case.precision.name == "float64" else case.astype("float64")
    rows, share = sample_rows(wide), 1.0 / case.T if case.network.reduction == "mean" else 1.0
    found = []
    for t in range(case.T):
        one = np.array([t])
        alone = Case(wide.network, wide.params, rows(one), wide.d[one], precision=wide.precision)
        grad = backprop(alone).grad
        found.append({q: share * grad[q.name] for q in names})
    return found


def _flat(arrays: Mapping[Quantity, NDArray]) -> NDArray:
    return np.concatenate([np.asarray(a, np.float64).ravel() for a in arrays.values()])
