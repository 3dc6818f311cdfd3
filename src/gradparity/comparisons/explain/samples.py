"""Gradients of parameters that weigh the samples otherwise, such as by one that was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.backprop import arriving, backprop
from ...core.network.batch import sample_rows, samples_stay_apart
from ...core.network.case import Case
from ...core.network.contract import FormulaError, gradients_of
from ...core.network.nodes import Step
from ...core.network.quantity import Quantity
from ...core.network.trace import Trace
from ..measure.measured import Measured
from .derivations import values_of
from .fault_sites import completed, inputs_at
from .hints import SEVERAL, ranges

__all__ = ["weights_at_node", "weights_of_samples"]

#: Maximum number of samples; each takes a backward pass.
MOST = 256
#: Elements for each unknown weight.
ENOUGH = 1.5
#: How many bounds may be left, and how many roundings of the largest element.
ROOM, FEW = 4.0, 64.0
#: Maximum number of elements times samples at a node.
LARGEST = 1_000_000


def weights_of_samples(case: Case, measured: Mapping[Quantity, Measured]) -> str:
    """The weights of the samples in the gradients of the parameters; "" if that is not it.

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
    return _fitted(
        columns, got, ROOM * bound + FEW * case.precision.unit * np.abs(columns).max(axis=1)
    )


def _fitted(columns: NDArray, got: NDArray, room: NDArray) -> str:
    """The weights of all samples by least squares; "" if none fit."""
    weights, _, rank, _ = np.linalg.lstsq(columns, got, rcond=None)
    if rank < columns.shape[1] or not np.all(np.abs(columns @ weights - got) <= room):
        return ""
    rounded = [float(f"{w:.3g}") if abs(w) > 1e-3 else 0.0 for w in weights]
    if len(set(rounded)) == 1 or len(set(rounded)) > SEVERAL:
        return ""
    return ", and ".join(
        _said(factor, [t for t, w in enumerate(rounded) if w == factor])
        for factor in dict.fromkeys(rounded)
    )


def weights_at_node(
    step: Step, q: Quantity, case: Case, trace: Trace, got: NDArray, bound: NDArray
) -> str:
    """As `weights_of_samples`, in one gradient of a parameter at its node.

    A run of samples that is left out or counts twice is found in a few elements too.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2)], L2()), batch=8)
    >>> trace, step = backprop(case), case.network.steps[0]
    >>> got = trace.grad["b1"] - trace.grad["z1"][5]
    >>> weights_at_node(step, Quantity.grad("b1"), case, trace, got, np.full(2, 1e-14))
    'sample 5 is left out, and every other sample counts once'
    """
    known = {*trace.values(), *case.given}
    arrived = any(name in trace.grad for name in step.outputs)
    if not arrived or not known.issuperset((*step.inputs, *step.outputs)):
        return ""
    y, z = inputs_at(case, trace.values(), step)
    dz = arriving(step, trace.grad, completed(case, trace.values()))
    parts = dz if isinstance(dz, tuple) else (dz,)
    T = len(parts[0]) if parts[0].ndim else 0
    if not 2 <= T <= MOST or any(len(part) != T for part in parts) or T * np.size(got) > LARGEST:
        return ""
    slot = [edge and Quantity.use(case.network, edge) for edge in step.edges].index(q)
    shares = _shares(step, slot, dz, y, z)
    if shares is None:
        return ""
    columns, target = np.asarray(shares, np.float64), np.ravel(np.asarray(got, np.float64))
    all_of = columns.sum(axis=1)
    if not (np.isfinite(columns).all() and np.isfinite(target).all()):
        return ""
    room = ROOM * np.ravel(np.broadcast_to(bound, np.shape(got)))
    few = room + FEW * case.precision.unit * np.abs(columns).max(axis=1)
    run = _run(columns, target - all_of, few)
    if run is not None:
        (first, last), times = run
        others = "every other sample counts once" if last - first < T - 2 else "the other once"
        return f"{_said(times, [*range(first, last + 1)])}, and {others}"
    return _fitted(columns, target, few) if target.size >= ENOUGH * T else ""


def _shares(step: Step, slot: int, dz: Any, y: tuple[Any, ...], z: Any) -> NDArray | None:
    """The share of each sample in a gradient, as columns; None where it would take too long.

    A gradient is linear in dz, so a sample's share is that of its dz alone.  Where samples stay
    apart it takes no more than the sample's own numbers: their sum shows whether they do.
    """
    T = len(dz[0] if isinstance(dz, tuple) else dz)
    whole = np.ravel(step.op.vjp(dz, y, z)[slot])
    n = values_of(step.op, y)

    def of(a: Any, t: int) -> Any:
        if isinstance(a, tuple):
            return tuple(of(part, t) for part in a)
        return a[t : t + 1] if np.ndim(a) and len(a) == T else a

    def apart(t: int) -> Any:
        own = tuple(of(a, t) if i < n or (len(y) - 1 == i and step.draw) else a
                    for i, a in enumerate(y))  # fmt: skip
        return gradients_of(step, step.op, of(dz, t), own, of(z, t))[slot]

    def alone(t: int) -> Any:
        parts = dz if isinstance(dz, tuple) else (dz,)
        only = tuple(np.where(_only(t, part), part, part.dtype.type(0)) for part in parts)
        return step.op.vjp(only if isinstance(dz, tuple) else only[0], y, z)[slot]

    try:
        columns = np.stack([np.ravel(apart(t)) for t in range(T)], axis=1)
        off = np.abs(columns.sum(axis=1) - whole)
        if np.all(off <= 1e-9 * np.abs(columns).sum(axis=1)):
            return columns
    except (FormulaError, ValueError):  # the op does not go by samples
        pass
    if T * sum(np.size(a) for a in y) > LARGEST:
        return None
    return np.stack([np.ravel(alone(t)) for t in range(T)], axis=1)


def _only(t: int, part: NDArray) -> NDArray:
    """A mask of one sample."""
    mask: NDArray = (np.arange(len(part)) == t).reshape(-1, *[1] * (part.ndim - 1))
    return mask


def _run(
    columns: NDArray, residual: NDArray, room: NDArray
) -> tuple[tuple[int, int], float] | None:
    """The shortest run of samples, first and last, and how often it counts; None if unclear."""
    T = columns.shape[1]
    for n in range(1, T):
        sums = np.stack([columns[:, t : t + n].sum(axis=1) for t in range(T - n + 1)], axis=1)
        found = [
            (t, times)
            for times in (0.0, 2.0)
            for t in np.flatnonzero(
                (np.abs(sums * (times - 1.0) - residual[:, None]) <= room[:, None]).all(axis=0)
            ).tolist()
        ]
        if found:
            (t, times), *others = found
            return None if others else ((t, t + n - 1), times)
    return None


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
