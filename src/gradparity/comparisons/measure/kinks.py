"""At a kink any element of the subdifferential is valid: how far outside it, and what was taken.

Ties and balls are lists of slots: group `g` of the output may send its gradient to an element of
an input.  What is no choice, the gradient with dz zero at those groups, is taken off before the
rest is judged.  Groups that share no element are judged in closed form, others by a flow (`flows`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.rounding import Rounding
from ...core.formulas.choices import Ball, Slopes, Ties
from ..findings.finding import KinkSummary
from .at_node import Kinked, Reference
from .flows import feasible

__all__ = ["Kinks", "Valid", "at_kink", "distance_from_valid", "summary_of_kinks"]

#: The rules that choose among tied inputs: name -> weight of each, from its place and their number.
RULES: dict[str, Callable[[NDArray, NDArray], Any]] = {
    "first": lambda place, n: (place == 0).astype(float),
    "last": lambda place, n: (place == n - 1).astype(float),
    "even": lambda place, n: 1.0 / n,
}


@dataclass(frozen=True)
class Kinks:
    """A kink summary, and whether anything but the network's own choice was taken."""

    summary: KinkSummary
    other: bool


@dataclass(frozen=True)
class Valid:
    """Elementwise: the distance from the nearest valid gradient, its bound, what is undecided."""

    error: Array
    bound: Array
    undecided: Array = np.False_


def at_kink(e: Reference) -> Array:
    """The elements where more than one gradient is valid; False where none is."""
    if e.valid is None:
        return np.False_
    choice = e.valid.choice
    if isinstance(choice, Slopes):
        return choice.at
    at = np.zeros(e.got.size, bool)
    at[choice.element[choice.input == e.valid.input]] = True
    return at.reshape(e.got.shape)


def distance_from_valid(e: Reference, error: Array, bound: Array, rounding: Rounding) -> Valid:
    """Error and bound with the elements at a kink measured from the nearest valid gradient."""
    assert e.valid is not None
    if isinstance(e.valid.choice, Slopes):
        return _in_intervals(e, e.valid.choice, error, bound, rounding)
    if np.all(error <= bound):  # the op's own choice, which is a valid one
        return Valid(error, bound)
    slots = _Slots(e.valid, rounding)
    away, allowed, undecided = slots.judged()
    mine = slots.input == e.valid.input
    at = slots.element[mine]
    error, bound = error.ravel().copy(), np.broadcast_to(bound, error.shape).ravel().copy()
    unknown = np.zeros(error.shape, bool)
    error[at], bound[at], unknown[at] = 0.0, 0.0, False
    np.maximum.at(error, at, away[mine])
    np.maximum.at(bound, at, allowed[mine])
    unknown[at[undecided[mine]]] = True
    error[np.isnan(np.asarray(e.got, np.float64)).ravel() & _mask(at, error.size)] = np.nan
    shape = e.got.shape
    return Valid(error.reshape(shape), bound.reshape(shape), unknown.reshape(shape))


def _mask(at: NDArray, size: int) -> NDArray:
    mask = np.zeros(size, bool)
    mask[at] = True
    return mask


def _in_intervals(
    e: Reference, valid: Slopes, error: Array, bound: Array, rounding: Rounding
) -> Valid:
    """Slopes between low and high."""
    assert e.valid is not None
    got, arrives = np.asarray(e.got, dtype=np.float64), e.valid.dz  # with its error, as of a sum
    one, other = (Bounded.rounded(slope, rounding) * arrives for slope in (valid.low, valid.high))
    low, high = np.minimum(one.value, other.value), np.maximum(one.value, other.value)
    away = np.maximum(np.maximum(low - got, got - high), 0.0)
    away = np.where(np.isnan(got), np.nan, away)
    allowed = np.maximum(one.full_error(), other.full_error())
    return Valid(np.where(valid.at, away, error), np.where(valid.at, allowed, bound))


class _Slots:
    """The slots of a choice with what arrives, what was got beyond what is no choice, and slack."""

    def __init__(self, valid: Kinked, rounding: Rounding) -> None:
        choice = valid.choice
        assert not isinstance(choice, Slopes)
        self.choice, self.rounding, u = choice, rounding, rounding.u
        order = np.lexsort((choice.element, choice.input, choice.group))
        self.element, self.input = choice.element[order], choice.input[order]
        _, self.group, self.sizes = np.unique(
            choice.group[order], return_inverse=True, return_counts=True
        )
        self.dz = valid.dz.value.ravel()[choice.group[order]]
        self.place = np.arange(len(self.group)) - np.searchsorted(self.group, self.group)
        self.asked = np.array([g is not None for g in valid.got])[self.input]
        self.sign: NDArray | None = None
        self.rest, self.slack = np.zeros(len(self.dz)), np.zeros(len(self.dz))
        for i, (got, fixed) in enumerate(zip(valid.got, valid.fixed, strict=True)):
            here = self.input == i
            if got is None or fixed is None or not here.any():
                continue
            at = self.element[here]
            value, error = fixed.value.ravel()[at], fixed.full_error().ravel()[at]
            total = np.bincount(at, np.abs(self.dz[here]))[at]
            n = np.bincount(at)[at]
            self.rest[here] = np.asarray(got, np.float64).ravel()[at] - value
            self.slack[here] = error + (n + 2) * u * (total + np.abs(value)) + rounding.tiny
        self.at_zero = np.zeros(len(self.dz), bool)
        if isinstance(choice, Ties) and choice.sign is not None:
            self.sign = choice.sign[order]
            self.at_zero = self._over_groups(self.sign == 0) > 0
        self.rest = self.upright(self.rest)

    def upright(self, rest: NDArray) -> NDArray:
        """Gradients as weights times dz: without the signs of the inputs, where those count."""
        if self.sign is None:
            return rest
        found: NDArray = np.where(self.at_zero, np.sign(self.dz) * np.abs(rest), self.sign * rest)
        return found

    def judged(self) -> tuple[NDArray, NDArray, NDArray]:
        """The error of every slot, its bound, and whether it is undecided."""
        if isinstance(self.choice, Ball):
            return self._ball(self.choice.order)
        return self._ties()

    def _over_groups(self, values: NDArray) -> NDArray:
        """The sum over its group, at every slot."""
        found: NDArray = np.bincount(self.group, values, len(self.sizes))[self.group]
        return found

    def _ties(self) -> tuple[NDArray, NDArray, NDArray]:
        """Weights >= 0 that sum to one; a sum that is off is charged to every tied input."""
        low, high = np.minimum(self.dz, 0.0), np.maximum(self.dz, 0.0)
        away = np.maximum(np.maximum(low - self.rest, self.rest - high), 0.0)
        total = self._over_groups(self.rest)
        # At zero, or where nobody asked for one of the gradients, the sum is at most dz.
        free = self.at_zero | (self._over_groups(~self.asked) > 0)
        excess = np.where(
            free, np.maximum(np.maximum(low - total, total - high), 0.0), np.abs(total - self.dz)
        )
        n = self.sizes[self.group]
        allowed = self._over_groups(self.slack) + self.rounding.u * (
            n * self._over_groups(np.abs(self.rest)) + np.abs(self.dz)
        )
        away = np.maximum(away, np.where(excess > allowed, excess, 0.0))
        undecided = np.zeros(len(away), bool)
        place = np.stack([self.input, self.element])
        _, place, count = np.unique(place, axis=1, return_inverse=True, return_counts=True)
        place = place.ravel()
        shared = self._over_groups(count[place] > 1) > 0
        by_rule = [~self._off_rule(rule, place, self.rest) for rule in RULES.values()]
        slack = np.where(self.asked, self.slack, np.inf)
        for at in _components(self.group, place, np.flatnonzero(shared)):
            valid = feasible(self.group[at], place[at], self.dz[at], self.rest[at], slack[at])
            if valid is None and any(fits[at].all() for fits in by_rule):
                valid = True
            off = float(np.abs(self.rest[at]).max() + np.abs(self.dz[at]).max())
            away[at] = 0.0 if valid is not False else off
            allowed[at], undecided[at] = self.slack[at], valid is None
        return away, allowed, undecided

    def _ball(self, order: float) -> tuple[NDArray, NDArray, NDArray]:
        """A vector whose norm is at most |dz|."""
        norm, slack = (self._norm(np.abs(a), order) for a in (self.rest, self.slack))
        excess = np.maximum(norm - np.abs(self.dz), 0.0)
        allowed = slack + 4 * self.rounding.u * (norm + np.abs(self.dz))
        return excess, allowed, np.zeros(len(norm), bool)

    def _norm(self, a: NDArray, order: float) -> NDArray:
        if np.isinf(order):
            largest = np.zeros(len(self.sizes))
            np.maximum.at(largest, self.group, a)
            return largest[self.group]
        found: NDArray = self._over_groups(a**order) ** (1.0 / order)
        return found

    def taken(self, rest: NDArray) -> NDArray:
        """The name of the rule by which every group chooses."""
        named = np.full(len(self.sizes), "mixed", dtype=object)
        _, place = np.unique(np.stack([self.input, self.element]), axis=1, return_inverse=True)
        for name, rule in reversed(RULES.items()):
            off = self._off_rule(rule, place.ravel(), rest)
            named[np.bincount(self.group, off, len(self.sizes)) == 0] = name
        return named

    def _off_rule(self, rule: Callable[..., Any], place: NDArray, rest: NDArray) -> NDArray:
        """The slots whose place did not get what it would if every group chose by this rule."""
        share = rule(self.place, self.sizes[self.group]) * self.dz
        wanted = np.bincount(place, share)[place]
        room = 4 * self.rounding.u * np.bincount(place, np.abs(self.dz))[place] + self.slack
        off: NDArray = ~(np.abs(rest - wanted) <= room) & self.asked
        return off


def _components(group: NDArray, place: NDArray, slots: NDArray) -> list[NDArray]:
    """Slots by connected component of groups and the elements they share."""
    parent: dict[tuple[str, int], tuple[str, int]] = {}

    def root(a: tuple[str, int]) -> tuple[str, int]:
        while parent.setdefault(a, a) != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        return a

    for s in slots:
        parent[root(("group", int(group[s])))] = root(("element", int(place[s])))
    found: dict[tuple[str, int], list[int]] = {}
    for s in slots:
        found.setdefault(root(("group", int(group[s]))), []).append(int(s))
    return [np.array(at) for at in found.values()]


def summary_of_kinks(e: Reference, rounding: Rounding) -> Kinks | None:
    """Compare the implementation's choices at the kinks of one op with the network's."""
    assert e.valid is not None
    if isinstance(e.valid.choice, Slopes):
        return _summary_of_slopes(e, e.valid.choice, rounding)
    if not at_kink(e).any():
        return None
    return _summary_of_slots(e, rounding)


def _summary_of_slopes(e: Reference, valid: Slopes, rounding: Rounding) -> Kinks:
    assert e.valid is not None
    got, dz = np.asarray(e.got, dtype=np.float64), e.valid.dz.value
    arrives = valid.at & (np.abs(dz) >= rounding.tiny) & np.isfinite(dz)
    ours = e.want.value[arrives] / dz[arrives]
    theirs = got[arrives] / dz[arrives]
    low, high = valid.low[valid.at], valid.high[valid.at]
    different = np.abs(got - e.want.value)[arrives] > (
        e.want.full_error()[arrives] + rounding.u * np.abs(dz[arrives])
    )
    return Kinks(
        KinkSummary(
            count=int(valid.at.sum()),
            taken=_counts(_slope(s) for s in theirs),
            reference=" or ".join(_counts(_slope(s) for s in ours)) or "any",
            valid=" or ".join(
                sorted({f"[{_slope(a)}, {_slope(b)}]" for a, b in zip(low, high, strict=True)})
            ),
            undetermined=int((valid.at & ~arrives).sum()),
        ),
        bool(different.any()),
    )


def _summary_of_slots(e: Reference, rounding: Rounding) -> Kinks:
    assert e.valid is not None
    slots = _Slots(e.valid, rounding)
    i, at = e.valid.input, slots.element
    fixed = e.valid.fixed[i]
    assert fixed is not None
    ours = slots.rest.copy()
    mine = slots.input == i
    ours[mine] = e.want.value.ravel()[at[mine]] - fixed.value.ravel()[at[mine]]
    ours[mine] = slots.upright(ours)[mine]
    first = np.searchsorted(slots.group, np.arange(len(slots.sizes)))
    size = np.abs(slots.dz[first])
    told = (size >= rounding.tiny) & (size <= rounding.largest)
    if isinstance(e.valid.choice, Ball):
        room = slots.slack + rounding.u * np.abs(slots.dz)
        different = ~(np.abs(ours - slots.rest) <= room)  # NaN is another choice too
        other = bool(np.any(different & told[slots.group]))
        taken = np.where(np.bincount(slots.group, different) > 0, "another", "zero")[told]
        words = KinkSummary(len(first), _counts(taken), "zero", _ball_in_words(e.valid.choice),
                       int((~told).sum()))  # fmt: skip
        return Kinks(words, other)
    taken, named = slots.taken(slots.rest)[told], slots.taken(ours)[told]
    return Kinks(
        KinkSummary(
            count=len(first),
            taken=_counts(taken),
            reference=" or ".join(_counts(named)) or "any",
            valid="weights >= 0 that sum to 1",
            undetermined=int((~told).sum()),
        ),
        bool(np.any(taken != named)),
    )


def _ball_in_words(ball: Ball) -> str:
    return f"any vector of norm {ball.order:g} up to 1"


def _slope(s: float) -> str:
    return f"{float(s):.4g}".replace("-0", "0") if s == 0 else f"{float(s):.4g}"


def _counts(names: object) -> dict[str, int]:
    counted = Counter(names)  # type: ignore[call-overload]
    return dict(sorted(counted.items(), key=lambda item: -item[1]))
