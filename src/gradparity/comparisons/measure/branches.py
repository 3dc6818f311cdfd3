"""Branches that an implementation may have taken at a kink, when only end results are known.

A unit within 10 sigma of a kink may take either slope: rounding decides.  One exactly at it may
take anything in the subdifferential.  `find` lists both, `rule` makes a choice, and `reach` says
how far any choice at all can move each gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray, moved_back
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.rounding import SIGMAS, Rounding
from ...core.formulas.op import Kinked, Op
from ...core.network.backprop import Forward, backward_pass
from ...core.network.nodes import Step

__all__ = ["NETWORK", "RULES", "Branches", "Chosen", "Multiplier", "find", "reach"]

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
    """An op whose slopes are given where it is near a kink: factors of dz, flat, one per slot.

    Attributes
    ----------
    op : the op.
    group, element, input : of each slot: flat indices, as in `Ties`.
    slopes : of each slot.
    """

    op: Op
    group: NDArray
    element: NDArray
    input: NDArray
    slopes: Any

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        at = np.zeros(dz.size, bool)
        at[self.group] = True
        fixed = self.op.vjp(np.where(at.reshape(dz.shape), 0, dz), y, z)
        shares = dz.reshape(-1)[self.group] * self.slopes
        return tuple(
            g if g is None else self._with_shares(g, shares, i) for i, g in enumerate(fixed)
        )

    def _with_shares(self, g: Array, shares: Array, i: int) -> Array:
        """The gradient of input i with what the slots send there."""
        mine = np.flatnonzero(self.input == i)
        if not len(mine):
            return g

        def back(a: NDArray) -> NDArray:
            out = np.zeros(g.size, a.dtype)
            np.add.at(out, self.element[mine], a)
            return out.reshape(g.shape)

        reached = back(np.ones(len(mine))) > 0
        return np.where(reached, g + moved_back(shares[mine], back), g)

    def with_slopes(self, slopes: Any) -> Chosen:
        return replace(self, slopes=slopes)

    def of_sample(self, t: int, T: int, sizes: tuple[int, ...]) -> Chosen:
        """The same for the sample t alone, of T; `sizes` are those of the output and the inputs."""
        out, *ins = (size // T for size in sizes)
        each = np.array(ins)[self.input]
        here = self.group // out == t
        return Chosen(
            self.op,
            self.group[here] - t * out,
            (self.element - t * each)[here],
            self.input[here],
            self.slopes[here],
        )


@dataclass(frozen=True)
class Multiplier:
    """A free choice at one op: slopes = at_zero + s direction, where either is not 0."""

    name: str
    group: int
    at_zero: NDArray
    direction: NDArray

    def slopes(self, slopes: NDArray, s: float) -> NDArray:
        """All slopes of its op with this multiplier set to s."""
        mine = (self.direction != 0) | (self.at_zero != 0)
        return np.where(mine, self.at_zero + s * self.direction, slopes)


@dataclass(frozen=True, eq=False)
class Branches:
    """The elements of one op near a kink: arrays with one entry per slot, groups in order.

    Attributes
    ----------
    group, element, input : as in `Ties`; of an elementwise op group and element are the same.
    exact : at a kink, by the implementation's own value where it gave it, else the reference's.
    known : decided by the implementation's own value.
    left, right : the two slopes; 0 and 1 for a maximum.
    side : the slope of what is not exact, as a position between left (0) and right (1).
    flips : how many are on another side than the reference.
    ties : whether the op is a maximum.
    """

    step: Step
    group: NDArray
    element: NDArray
    input: NDArray
    exact: NDArray
    known: NDArray
    left: NDArray
    right: NDArray
    side: NDArray
    flips: int
    ties: bool = False

    def rule(self, slope: str, ties: str) -> Chosen:
        """The op with this choice where it is exactly at a kink (names as in `RULES`)."""
        op: Any = self.step.op
        if self.ties:
            return self.chosen(self._winners(op.ties if ties == NETWORK else ties))
        at_kink = {
            "left": self.left,
            "right": self.right,
            "middle": 0.5 * (self.left + self.right),
            "lowest": np.minimum(self.left, self.right),
            "highest": np.maximum(self.left, self.right),
        }
        if slope == NETWORK:
            slope = str(op.subgradient)
        taken = at_kink[slope] if slope in at_kink else np.full(self.left.shape, float(slope))
        return self.chosen(np.where(self.exact, taken, self._on_side()))

    def chosen(self, slopes: Any) -> Chosen:
        return Chosen(self.step.op, self.group, self.element, self.input, slopes)

    def anything(self) -> Chosen:
        """Every valid choice at once, as the middle and how far from it one may be."""
        middle = 0.5 * (self.left + self.right)
        radius = 0.5 * np.abs(self.right - self.left)
        settled = self.known & ~self.exact
        slopes = np.where(settled, self._on_side(), middle)
        return self.chosen(Bounded(slopes, np.where(settled, 0.0, radius), EXACT))

    def _on_side(self) -> NDArray:
        slopes: NDArray = self.left + self.side * (self.right - self.left)
        return slopes

    def _winners(self, ties: str) -> NDArray:
        """The weights of the slots: `side` has the groups' winners, all of them one."""
        wins = self.side > 0
        _, group = np.unique(self.group, return_inverse=True)
        n = np.bincount(group, wins)[group]
        before: NDArray = np.cumsum(wins) - wins  # winners so far, in all groups
        first = np.searchsorted(group, group)
        place: NDArray = before - before[first]
        if ties == "even":
            return np.where(wins, 1.0 / np.maximum(n, 1), 0.0)
        taken: NDArray = wins & (place == (0 if ties == "first" else n - 1))
        return taken.astype(float)

    def multipliers(self) -> Iterator[Multiplier | None]:
        """Free choices; None stands for one that is not a line: three or more inputs tied."""
        free = ~(self.known & ~self.exact)
        slots = np.arange(len(self.group))
        for g in np.unique(self.group[free]):
            mine = slots[(self.group == g) & free]
            if not self.ties:
                at = slots == mine[0]
                yield self._line(g, at * self.left, at * (self.right - self.left))
            elif len(mine) == 2:
                one, other = ((slots == slot) * 1.0 for slot in mine)
                yield self._line(g, other, one - other)
            elif len(mine) > 2:
                yield None

    def _line(self, group: int, at_zero: NDArray, direction: NDArray) -> Multiplier:
        return Multiplier(self.step.name, int(group), at_zero, direction)


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
    for step in passed.network.body:
        n = len(step.inputs) - len(step.op.parameter_shapes())
        names = step.inputs[:n]
        y = [passed.value[name] for name in names]
        y = [np.asarray(a.value if hasattr(a, "value") else a) for a in y]
        width = [SIGMAS * sigma(name) for name in names]
        given = [got.get(name) for name in names]
        branches: Branches | None
        if isinstance(step.op, Kinked):
            branches = _slopes(step, y[0], width[0], given[0], tiny)
        else:
            branches = _ties(step, y, width, given, tiny)
        if branches is not None and len(branches.group):
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
    slots = np.flatnonzero(at)
    parts = [a.ravel()[slots] for a in (exact, known, left, right, side)]
    at_kink, decided, lower, upper, taken = parts
    zero = np.zeros_like(slots)
    return Branches(step, slots, slots, zero, at_kink, decided, lower, upper, taken, flips)


def _ties(
    step: Step,
    y: list[NDArray],
    width: list[NDArray],
    got: list[NDArray | None],
    tiny: float,
) -> Branches | None:
    routes = step.op.routes_of(tuple(y))
    if routes is None:
        return None
    order = np.lexsort((routes.element, routes.input, routes.group))
    group, element, source = (a[order] for a in (routes.group, routes.element, routes.input))

    def at_slots(arrays: list[NDArray]) -> NDArray:
        found = np.zeros(len(group))
        for i, a in enumerate(arrays):
            found[source == i] = np.asarray(a, np.float64).ravel()[element[source == i]]
        return found

    def largest(values: NDArray) -> NDArray:
        best = np.full(int(group.max()) + 1, -np.inf)
        np.maximum.at(best, group, values)
        return best[group]

    v, w = at_slots(y), at_slots(width)
    z = at_slots([a if g is None else g for a, g in zip(y, got, strict=True)])
    best = largest(v)
    width_of_best = largest(np.where(v == best, w, -np.inf))
    near = best - v <= np.maximum(np.hypot(w, width_of_best), tiny)
    several = np.bincount(group, near)[group] > 1
    keep = near & several
    own = np.where(near, z, -np.inf)
    wins = (own == largest(own)) & near
    exact = wins & several & (np.bincount(group, wins)[group] > 1)
    known = np.full(len(group), any(g is not None for g in got))
    flips = int((known & keep & (wins > (v == best))).sum())
    zeros, ones = np.zeros(int(keep.sum())), np.ones(int(keep.sum()))
    group, element, source, exact, known = (a[keep] for a in (group, element, source, exact, known))
    side = wins[keep].astype(float)
    return Branches(step, group, element, source, exact, known, zeros, ones, side, flips, True)


def reach(passed: Forward, branches: Sequence[Branches]) -> dict[str, Bounded]:
    """Every gradient as a middle and a radius that no valid choice at the kinks can leave.

    Interval arithmetic: sound, and too wide where a kink lies behind another.
    """

    def exactly(v: Any) -> Any:
        return Bounded(v.value, 0.0, EXACT) if hasattr(v, "value") else v

    bounded = Forward(passed.network, {name: exactly(v) for name, v in passed.value.items()})
    return backward_pass(bounded, {b.step.name: b.anything() for b in branches}).grad
