"""Which way an implementation may have gone at a kink that only its end results are known of.

A unit within 10 sigma of a kink may take either slope: rounding decides.  One exactly at it may
take anything in the subdifferential.  `find` lists both, `Branches.rule` makes a choice, and
`reach` says how far any choice at all can move each gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.rounding import SIGMAS, Rounding
from ...core.formulas.maxima import Max
from ...core.formulas.op import Kinked, Op, Params
from ...core.network.backprop import Forward, backward_pass
from ...core.network.network import Step

__all__ = ["NETWORK", "RULES", "Branches", "Chosen", "find", "reach"]

#: What the network's own ops take.
NETWORK = "network"
#: The named conventions: a slope at a kink and the winners of a tie.
RULES = tuple(
    (slope, ties)
    for slope in ("left", "right", "middle", "lowest", "highest")
    for ties in ("first", "last", "even")
)
#: Arithmetic without rounding: what is left of a bound is how far a choice reaches.
EXACT = Rounding(unit=0.0, u=0.0, u_sum=0.0, tiny=0.0, largest=np.inf)


@dataclass(frozen=True, eq=False)
class Chosen(Op):
    """An op whose slopes are given at some elements: dy = slopes dz where `at`, else its own."""

    op: Op
    at: NDArray
    slopes: Any
    sizes: tuple[int, ...] | None

    def backward(self, dz: Array, p: Params, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        (own,) = self.op.backward(dz, p, y, z)
        arrives = dz if self.sizes is None else np.repeat(dz, self.sizes, axis=-1)
        return (np.where(self.at, self.slopes * arrives, own),)

    def of(self, t: int, slopes: NDArray | None = None) -> Chosen:
        """The same for the instance t alone."""
        here = slice(t, t + 1)
        return Chosen(self.op, self.at[here], (self.slopes if slopes is None else slopes)[here],
                      self.sizes)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Branches:
    """Where one op is near a kink; all arrays have the shape (T, D) of its input.

    Attributes
    ----------
    at : within 10 sigma of a kink, or tied for the maximum within 10 sigma.
    exact : at a kink, by the implementation's own value where it gave it, else the reference's.
    known : decided by the implementation's own value.
    left, right : the two slopes; 0 and 1 for a maximum.
    side : the slope of what is not exact, as a position between left (0) and right (1).
    flips : how many are on another side than the reference.
    sizes : the groups of a maximum.
    """

    step: Step
    at: NDArray
    exact: NDArray
    known: NDArray
    left: NDArray
    right: NDArray
    side: NDArray
    flips: int
    sizes: tuple[int, ...] | None = None

    def rule(self, slope: str, ties: str) -> Chosen:
        """The op with this choice where it is exactly at a kink (names as in `RULES`)."""
        op = self.step.op
        if self.sizes is not None:
            assert isinstance(op, Max)
            return self.chosen(self._winners(op.ties if ties == NETWORK else ties))
        at_kink = {
            "left": self.left,
            "right": self.right,
            "middle": 0.5 * (self.left + self.right),
            "lowest": np.minimum(self.left, self.right),
            "highest": np.maximum(self.left, self.right),
        }
        if slope == NETWORK:
            assert isinstance(op, Kinked)
            slope = str(op.subgradient)
        taken = at_kink[slope] if slope in at_kink else np.full(self.at.shape, float(slope))
        side = self.left + self.side * (self.right - self.left)
        return self.chosen(np.where(self.exact, taken, side))

    def chosen(self, slopes: Any) -> Chosen:
        return Chosen(self.step.op, self.at, slopes, self.sizes)

    def anything(self) -> Chosen:
        """Every valid choice at once, as the middle and how far from it one may be."""
        middle = 0.5 * (self.left + self.right)
        radius = 0.5 * np.abs(self.right - self.left)
        settled = self.known & ~self.exact
        side = self.left + self.side * (self.right - self.left)
        slopes = np.where(settled, side, middle)
        return self.chosen(Bounded(slopes, np.where(settled, 0.0, radius), EXACT))

    def _winners(self, ties: str) -> NDArray:
        """The weights of the tied inputs: `side` has the groups' winners, all of them one."""
        weights = np.zeros(self.side.shape)
        for group in groups(self.sizes):
            tied = self.side[:, group] > 0
            order = tied[:, ::-1] if ties == "last" else tied
            if ties != "even":
                order = order & (np.cumsum(order, axis=-1) == 1)
            picked = order[:, ::-1] if ties == "last" else order
            weights[:, group] = picked / np.maximum(picked.sum(axis=-1, keepdims=True), 1)
        return weights

    def multipliers(self) -> Iterator[tuple[int, NDArray, NDArray] | None]:
        """Free choices: (instance, direction of the slopes (D,), slopes at zero (D,)).

        None stands for one that is not a line: three or more inputs tied.
        """
        free = self.at & ~(self.known & ~self.exact)
        if self.sizes is None:
            for t, j in np.argwhere(free):
                unit = np.arange(self.at.shape[1]) == j
                yield int(t), unit * (self.right - self.left)[t], unit * self.left[t]
            return
        for group in groups(self.sizes):
            for t in np.flatnonzero(free[:, group].sum(axis=-1) > 1):
                members = np.flatnonzero(free[t, group]) + group.start
                if len(members) != 2:
                    yield None
                    continue
                columns = np.arange(self.at.shape[1])
                one, other = (columns == members[0]) * 1.0, (columns == members[1]) * 1.0
                yield int(t), one - other, other


def groups(sizes: Sequence[int] | None) -> list[slice]:
    """The columns of each group."""
    cuts = np.cumsum((0, *(sizes or ())))
    return [slice(int(a), int(b)) for a, b in pairwise(cuts)]


def find(
    passed: Forward, sigma: Callable[[str], NDArray], got: Mapping[str, NDArray], tiny: float
) -> list[Branches]:
    """Every op that is near a kink somewhere.

    Parameters
    ----------
    passed : the reference's forward pass.
    sigma : the standard deviation of a node's value, by its name.
    got : values of the implementation, by node, where it gave any.
    tiny : the smallest normal number; what is below counts as zero.
    """
    found = []
    for step in passed.network.steps:
        if not isinstance(step.op, Kinked | Max):
            continue
        name = step.inputs[0]
        y = passed.value[name].value
        near = _ties if isinstance(step.op, Max) else _slopes
        branches = near(step, y, SIGMAS * sigma(name), got.get(name), tiny)
        if branches.at.any():
            found.append(branches)
    return found


def _slopes(step: Step, y: NDArray, width: NDArray, got: NDArray | None, tiny: float) -> Branches:
    assert isinstance(step.op, Kinked)
    at, exact = np.zeros(y.shape, bool), np.zeros(y.shape, bool)
    left, right, side, theirs = (np.zeros(y.shape) for _ in range(4))
    z = y if got is None else got
    for kink in step.op.kinks:
        here = np.abs(y - kink.at) <= np.maximum(width, tiny)
        here &= np.isfinite(z)
        at |= here
        left, right = np.where(here, kink.left, left), np.where(here, kink.right, right)
        met = np.abs(z - kink.at) < tiny if kink.at == 0.0 else z == kink.at
        exact |= here & met
        side = np.where(here, z > kink.at, side)
        theirs = np.where(here, y > kink.at, theirs)
    known = at & (got is not None)
    flips = int((known & ~exact & (side != theirs)).sum())
    return Branches(step, at, exact, known, left, right, side, flips)


def _ties(step: Step, y: NDArray, width: NDArray, got: NDArray | None, tiny: float) -> Branches:
    assert isinstance(step.op, Max)
    sizes = step.op.sizes or (y.shape[-1],)
    z = y if got is None else got
    at, exact = np.zeros(y.shape, bool), np.zeros(y.shape, bool)
    side, theirs = np.zeros(y.shape), np.zeros(y.shape)
    for group in groups(sizes):
        v, w = y[:, group], width[:, group]
        best = np.argmax(v, axis=-1)[:, np.newaxis]
        room = np.hypot(w, np.take_along_axis(w, best, axis=-1))
        near = np.take_along_axis(v, best, axis=-1) - v <= np.maximum(room, tiny)
        several = near.sum(axis=-1, keepdims=True) > 1
        at[:, group] = near & several
        own = np.where(near, z[:, group], -np.inf)
        wins = (own == own.max(axis=-1, keepdims=True)) & near
        side[:, group] = wins
        theirs[:, group] = v == np.take_along_axis(v, best, axis=-1)
        exact[:, group] = wins & several & (wins.sum(axis=-1, keepdims=True) > 1)
    known = at & (got is not None)
    flips = int((known & (side > theirs)).sum())
    zeros, ones = np.zeros(y.shape), np.ones(y.shape)
    return Branches(step, at, exact, known, zeros, ones, side, flips, sizes)


def reach(passed: Forward, branches: Sequence[Branches]) -> dict[str, Bounded]:
    """Every gradient as a middle and a radius that no valid choice at the kinks can leave.

    Interval arithmetic: sound, and too wide where a kink lies behind another.
    """
    bounded = passed.map(lambda v: Bounded(v.value, 0.0, EXACT))
    return backward_pass(bounded, {b.step.name: b.anything() for b in branches}).grad
