"""Slopes at the kinks that explain a gradient: a few numbers in [0, 1], found and then tested.

A gradient is affine in each of these multipliers, and in all of them together unless one kink lies
behind another of the same sample.  So: linearise, solve the bounded least squares problem,
repeat.  What is found proves itself, since the gradient is evaluated with it afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.rounding import SIGMAS
from ...core.network.backprop import Forward, backward_pass
from ...core.network.batch import samples_stay_apart
from ...core.network.case import Case
from ...core.network.nodes import DIV
from ...core.network.quantity import Quantity
from .branches import Branches, Chosen, Multiplier

__all__ = ["Solution", "box_least_squares", "solve"]

#: Gradients, or something of each of their elements.
Arrays = Mapping[Quantity, NDArray]

#: More multipliers than these, or than this share of the equations, explain anything.
MOST, SHARE = 64, 0.1
#: Equations of one quantity that take part: the ones furthest off, and some evenly spread.
EQUATIONS = 2000
#: Linearisations; two are exact where at most two kinks lie behind one another.
ROUNDS = 4
#: Sweeps of coordinate descent over at most MOST multipliers.
SWEEPS = 200


@dataclass(frozen=True)
class Solution:
    """The ops with the multipliers found, how many there are, and whether no others can do better.

    `settled` : the problem was affine, so its minimum is the only one.
    """

    ops: dict[str, Chosen]
    count: int
    settled: bool


def solve(
    case: Case,
    passed: Forward,
    branches: Sequence[Branches],
    ops: Mapping[str, Chosen],
    off: Arrays,
    bound: Arrays,
) -> Solution | None:
    """Multipliers that bring the gradients nearest to what was got, or None if there are too many.

    Parameters
    ----------
    case : what was asked for.
    passed : the reference's forward pass.
    branches, ops : the kinks, and the choice at them to start from.
    off : got minus expected, by "grad ...", for that choice.
    bound : how far each may be.
    """
    free: list[Multiplier] = []
    for b in branches:
        for line in b.multipliers():
            if line is None or len(free) == MOST:
                return None
            free.append(line)
    picked = {q: _picked(off[q] / bound[q]) for q in off if np.isfinite(off[q]).all()}
    equations = sum(len(i) for i in picked.values())
    if not free or len(free) > SHARE * equations:
        return None
    plain = _plain(passed)
    effects = _Effects(case, plain, picked, off)
    ops = dict(ops)
    start = _gradients(plain, ops, picked)
    target = {q: start[q] + off[q].ravel()[i] for q, i in picked.items()}
    s = np.array([_position(m, ops) for m in free])
    allowed = np.concatenate([bound[q].ravel()[i] for q, i in picked.items()])
    unit = SIGMAS * 2.0**-case.precision.digits
    reached = False
    for _ in range(ROUNDS):
        now = _gradients(plain, ops, picked)
        residual = np.concatenate([target[q] - now[q] for q in picked])
        A = np.stack([effects.of(m, ops) for m in free], axis=-1)
        # What a kink switches on is rounded too.
        weight = 1 / (allowed + unit * np.abs(A).sum(axis=-1))
        A *= weight[:, np.newaxis]
        s, reached = box_least_squares(A, weight * residual + A @ s, s)
        s = _snapped(s, A)
        for m, value in zip(free, s, strict=True):
            ops[m.name] = ops[m.name].with_slopes(m.slopes(ops[m.name].slopes, float(value)))
    return Solution(ops, len(free), reached and effects.affine(free))


def _snapped(s: NDArray, A: NDArray) -> NDArray:
    """Slopes that rounding cannot tell from an end of their range are that end."""
    uncertain = 1 / np.maximum(np.linalg.norm(A, axis=0), 1.0)
    return np.where(s <= uncertain, 0.0, np.where(s >= 1 - uncertain, 1.0, s))


def _picked(ratio: NDArray) -> NDArray:
    """Flat indices of the equations that take part."""
    if ratio.size <= EQUATIONS:
        return np.arange(ratio.size)
    half = EQUATIONS // 2
    worst = np.argpartition(np.abs(ratio.ravel()), -half)[-half:]
    return np.union1d(worst, np.linspace(0, ratio.size - 1, half).astype(int))


def _position(m: Multiplier, ops: Mapping[str, Chosen]) -> float:
    """The position of this multiplier under the slopes taken so far."""
    j = int(np.argmax(m.direction != 0))
    return float((ops[m.name].slopes[j] - m.at_zero[j]) / m.direction[j])


def _plain(passed: Forward) -> Forward:
    value = {n: v.value if hasattr(v, "value") else v for n, v in passed.value.items()}
    return Forward(passed.network, value)


def _gradients(
    plain: Forward, ops: Mapping[str, Chosen], picked: Arrays
) -> dict[Quantity, NDArray]:
    grad = backward_pass(plain, ops).grad
    return {q: grad[q.name].ravel()[i] for q, i in picked.items()}


class _Effects:
    """How the picked gradients change with a multiplier: those of one sample, where that is all."""

    def __init__(self, case: Case, plain: Forward, picked: Arrays, off: Arrays) -> None:
        self.case, self.plain, self.picked, self.off = case, plain, picked, off
        self.apart = case.network.divergence is not None and samples_stay_apart(case)
        self.dDiv = backward_pass(plain).grad[DIV] if self.apart else np.zeros(())
        self.step = {step.name: step for step in case.network.body}

    def sample(self, m: Multiplier) -> int:
        """The sample in which the multiplier is."""
        z = self.plain.value[self.step[m.name].outputs[0]]
        return int(m.group // (z.size // self.case.T))

    def affine(self, free: Sequence[Multiplier]) -> bool:
        """Whether no sample has kinks at two ops."""
        if not self.apart:
            return len({m.name for m in free}) == 1
        places = {(self.sample(m), m.name) for m in free}
        return len(places) == len({t for t, _ in places})

    def of(self, m: Multiplier, ops: Mapping[str, Chosen]) -> NDArray:
        """The change of the picked gradients from s = 0 to s = 1."""
        both = [{**ops, m.name: ops[m.name].with_slopes(m.slopes(ops[m.name].slopes, s))}
                for s in (0.0, 1.0)]  # fmt: skip
        if not self.apart:
            off, on = (_gradients(self.plain, each, self.picked) for each in both)
            return np.concatenate([on[q] - off[q] for q in self.picked])
        t, T = self.sample(m), self.case.T
        row = self._row(t)
        low, high = (
            backward_pass(
                row,
                {name: op.of_sample(t, T, self._sizes(name)) for name, op in each.items()},
                start={DIV: self.dDiv[t : t + 1]},
            ).grad
            for each in both
        )
        return np.concatenate([self._picked(q, i, high, low, t) for q, i in self.picked.items()])

    def _sizes(self, name: str) -> tuple[int, ...]:
        step = self.step[name]
        return tuple(self.plain.value[n].size for n in (step.outputs[0], *step.inputs))

    def _row(self, t: int) -> Forward:
        """The forward pass of one sample."""
        own = self.case.network.parameter_shapes
        value = {
            name: v if name in own or not np.ndim(v) or v.shape[0] != self.case.T else v[t : t + 1]
            for name, v in self.plain.value.items()
        }
        return Forward(self.plain.network, value)

    def _picked(self, q: Quantity, i: NDArray, high: Any, low: Any, t: int) -> NDArray:
        change: NDArray = high[q.name] - low[q.name]
        if q.name in self.case.params or change.size == self.off[q].size:
            return change.ravel()[i]
        width = self.off[q][0].size
        return np.where(i // width == t, change.ravel()[i % width], 0.0)


def box_least_squares(A: NDArray, r: NDArray, s: NDArray) -> tuple[NDArray, bool]:
    """The s in [0, 1] that minimises |A s - r|, and whether it was reached.

    Shapes A (m, n), r (m,), and s (n,), which is where to start.

    >>> s, reached = box_least_squares(np.eye(2), np.array([0.25, 7.0]), np.zeros(2))
    >>> s.tolist(), reached
    ([0.25, 1.0], True)
    """
    s = np.clip(np.where(np.isfinite(s), s, 0.5), 0.0, 1.0)
    if not (np.isfinite(A).all() and np.isfinite(r).all()):
        return s, False
    whole = np.linalg.lstsq(A, r, rcond=None)[0]
    if np.all((whole >= 0) & (whole <= 1)):
        return whole, True
    gram, right = A.T @ A, A.T @ r
    moving = np.flatnonzero(np.diag(gram) > 0)
    for _ in range(SWEEPS):
        before = s.copy()
        for k in moving:
            s[k] = np.clip(s[k] + (right[k] - gram[k] @ s) / gram[k, k], 0.0, 1.0)
        if np.array_equal(before, s):
            return s, True
    # What lies between its ends can be solved for at once, from here so as to stay nearby.
    between = (s > 0) & (s < 1)
    better = s.copy()
    better[between] += np.linalg.lstsq(A[:, between], r - A @ s, rcond=None)[0]
    if np.any((better < 0) | (better > 1)):
        return s, False
    uphill = gram @ better - right
    enough = np.sqrt(np.diag(gram))  # a change of the residual by one bound
    ends = np.where(better == 0, uphill, -uphill)[~between]
    return better, bool(np.all(ends >= -enough[~between]))
