"""The states that two programs leave: running statistics, averages of parameters, counters.

States are paired by their numbers, by what explains the numbers, and by their names.  A running
average moves by a share of the way to a target, such as a batch's variance; the share and the
target of either program are found by fitting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.norms import BatchNorm
from ...core.network.quantity import Quantity
from ...core.network.states import State
from ..findings.finding import Finding, Verdict
from .programs.partners import Partners
from .programs.side import Side
from .programs.values import NEAR, Program, are_near

__all__ = ["findings_on_states"]

#: The fewest numbers of a state that a share of the way is fitted to.
FITTED = 3
#: How many times the tolerance a state has to move for a share to be fitted.
MOVED = 20
#: The tolerance for equal numbers of states in float32; with a larger one nothing is fitted.
NEAR_FLOAT32 = NEAR["float32"]
ALONE = "the other program leaves no such state, so it is not compared"


class Target(NamedTuple):
    """A target that a running average may move to.

    Attributes
    ----------
    of : how many numbers each of it is a statistic of; 1 if that is unknown.
    is_mean : whether it is a mean, which has no correction.
    is_sure : whether it is a batch's statistic or a parameter, and no number of times as large.
    """

    array: NDArray
    of: int = 1
    is_mean: bool = False
    is_sure: bool = False


class Rate(NamedTuple):
    """How a state has moved: by a share of the way to a target that is a factor as large.

    Attributes
    ----------
    target : its position in the targets of this size.
    error : how well the share is known.
    """

    target: int
    share: float
    error: float
    factor: float

    def shares(self, other: Rate) -> bool:
        """Whether another state has moved by the same share, as far as that is known."""
        return abs(self.share - other.share) <= self.error + other.error


def findings_on_states(one: Side, other: Side) -> Iterator[Finding]:
    """One for every state that `one` changed or returned, and whether the other leaves the same."""
    states = _States(one, other)
    notes = states.differences()
    for name, state in states.one.items():
        q = Quantity.state(name)
        found = Finding(q, name, "state", Verdict.ROUNDING, state.after.size)
        if name in notes:
            yield replace(found, verdict=Verdict.MISMATCH, note=notes[name])
        elif name in states.equal:
            yield found
        elif state.is_changed:
            yield replace(found, verdict=Verdict.VACUOUS, elements=0, note=ALONE)


class _States:
    """The states of two programs, paired.

    Attributes
    ----------
    one, other : those of either program by name.
    equal : the names of those of `one` with an equal one in the other program.
    """

    def __init__(self, one: Side, other: Side) -> None:
        self.one = one.program.recording.states
        self.other = other.program.recording.states
        every = (*self.one.values(), *self.other.values())
        low = any(s.after.dtype == np.float32 for s in every)
        self.near = max(one.near_recorded(other), NEAR_FLOAT32 if low else 0.0)
        self._programs = one.program, other.program
        self._targets: dict[int, list[Target]] = {}
        self._moves: dict[int, list[Rate]] = {}
        there = {n: s.after for n, s in self.other.items()}
        pool = Partners(there, self.near)
        partners = {n: pool.of(s.after) for n, s in self.one.items() if s.is_changed}
        for name in {*partners} & {*there}:
            if _says_little(self.one[name].after):
                partners[name] = [n for n in partners[name] if n == name]
        self.equal = {n for n, names in partners.items() if names}
        taken = {partner for names in partners.values() for partner in names}
        self._mine = {n: s for n, s in self.one.items() if n not in self.equal}
        self._theirs = {n: s for n, s in self.other.items() if n not in taken}

    def differences(self) -> dict[str, str]:
        """Name in `one` -> how the state of the other program that belongs to it differs."""
        notes: dict[str, str] = {}
        exact = self.near <= NEAR_FLOAT32  # with fewer digits anything fits
        for explain in (self._by_rates, self._by_ratio) if exact else ():
            for (a, mine), (b, theirs) in product(self._mine.items(), self._theirs.items()):
                if a in notes or b not in self._theirs or not _comparable(mine, theirs):
                    continue
                if said := explain(mine, theirs):
                    notes[a] = f"{said} ({b!r} of the other program)"
            used = {b for b in self._theirs for note in notes.values() if f"({b!r} of" in note}
            self._mine = {n: s for n, s in self._mine.items() if n not in notes}
            self._theirs = {n: s for n, s in self._theirs.items() if n not in used}
        return {**notes, **self._by_names()}

    def _by_rates(self, mine: State, theirs: State) -> str:
        """Why two states differ that move to the same target."""
        both = product(self._rates(mine), self._rates(theirs))
        pairs = [(a, b) for a, b in both if a.target == b.target]
        n = {a.target: self._of_size(mine.after.size)[a.target].of for a, _ in pairs}
        for a, b in pairs:
            more, less = max(a.factor, b.factor), min(a.factor, b.factor)
            count = n[a.target]
            if a.shares(b) and count > 1 and np.isclose(more / less, count / (count - 1), 1e-9, 0):
                return self._variances(a, b, count)
        apart = [(a, b) for a, b in pairs if a.factor == b.factor and not a.shares(b)]
        if apart:
            return self._kept(*apart[0])
        for a, b in pairs:
            if a.factor == b.factor and self._start_apart(mine, theirs):
                return "it starts from other numbers there, and moves alike"
        both_apart = [(a, b) for a, b in pairs if a.factor != b.factor and not a.shares(b)]
        if both_apart:
            a, b = both_apart[0]
            return f"{self._variances(a, b, n[a.target])}; {self._kept(a, b)}"
        return ""

    def _start_apart(self, mine: State, theirs: State) -> bool:
        """Whether two states are known to start from other numbers."""
        if not (mine.is_known and theirs.is_known):
            return False
        start, there = (np.sort(_flat(s.before[0])) for s in (mine, theirs))
        return not are_near(start, there, self.near)

    @staticmethod
    def _variances(a: Rate, b: Rate, count: int) -> str:
        kinds = ("unbiased", "biased") if a.factor > b.factor else ("biased", "unbiased")
        here, there = kinds
        return f"it takes the {here} variance of {count} numbers here, the {there} one there"

    @staticmethod
    def _kept(a: Rate, b: Rate) -> str:
        said = f"it keeps {1 - a.share:.4g} of what it was here and {1 - b.share:.4g} there"
        if abs(a.share + b.share - 1) <= a.error + b.error:
            said += ": momentum is the share of the new in PyTorch, of the old in JAX libraries"
        return said

    def _rates(self, state: State) -> list[Rate]:
        """The ways in which a state may have moved; none if it did not."""
        if id(state) in self._moves:
            return self._moves[id(state)]
        found = []
        after = _flat(state.after)
        for before in state.before:
            start = _flat(before)
            for i, target in enumerate(self._of_size(after.size)):
                if not (target.is_sure or start.any()):
                    continue  # from zero a share is another share of a multiple
                n = target.of
                corrections = () if target.is_mean or n < 2 else (n / (n - 1), (n - 1) / n)
                for factor in (1.0, *corrections):
                    fit = _share(start, after, target.array * factor, self.near)
                    if fit and (state.is_known or abs(fit[0] - 1) > fit[1]):
                        found.append(Rate(i, *fit, factor))
        self._moves[id(state)] = found
        return found

    def _of_size(self, size: int) -> list[Target]:
        """The targets of this size that are not the same numbers, of both programs."""
        if size not in self._targets:
            every = [t for program in self._programs for t in _targets(program, size)]
            distinct: list[Target] = []
            for target in sorted(every, key=lambda t: (not t.is_sure, -t.of)):
                if not any(are_near(t.array, target.array, self.near) for t in distinct):
                    distinct.append(target)
            self._targets[size] = distinct
        return self._targets[size]

    def _by_ratio(self, mine: State, theirs: State) -> str:
        """Whether one of two states that start alike moves a number of times as far."""
        if not (mine.is_known and theirs.is_known and mine.is_changed and theirs.is_changed):
            return ""
        if self._start_apart(mine, theirs):
            return ""
        a, b = (np.sort(_flat(s.after) - _flat(s.before[0])) for s in (mine, theirs))
        size = max(np.abs(_flat(s.before[0])).max(initial=0.0) for s in (mine, theirs))
        if min(np.abs(a).max(), np.abs(b).max()) <= MOVED * self.near * size:
            return ""
        i = int(np.abs(a).argmax())
        times = float(b[i] / a[i])
        if times <= 0 or not are_near(a * times, b, self.near) or np.isclose(times, 1.0):
            return ""
        return f"it moves {times:.6g} times as far there, as with another momentum or decay"

    def _by_names(self) -> dict[str, str]:
        """The differences between states of one name, if both programs have all names."""
        changed = [{n for n, s in each.items() if s.is_changed} for each in (self.one, self.other)]
        if not (changed[0] <= {*self.other} and changed[1] <= {*self.one}):
            return {}
        notes = {}
        for name in {*self._mine} & {*self._theirs}:
            a, b = self.one[name], self.other[name]
            sure = a.is_known and b.is_known and a.after.shape == b.after.shape
            if not sure or not (a.is_changed or b.is_changed):
                continue  # what else is returned, such as logits, may have any name
            if are_near(_flat(a.after), _flat(b.after), self.near):
                self.equal.add(name)
            elif a.is_changed != b.is_changed:
                where = "there" if a.is_changed else "here"
                notes[name] = f"it does not change {where}, as in evaluation"
            elif a.after.size == 1:
                here, there = a.after.item(), b.after.item()
                notes[name] = f"it is {here:.9g} here and {there:.9g} there after the step"
            else:
                most = np.abs(_flat(a.after) - _flat(b.after)).max(initial=0.0)
                notes[name] = f"it differs by up to {most:.3g} after the step"
        return notes


def _says_little(a: NDArray) -> bool:
    """Whether the numbers of a state are those of many others, such as a counter's."""
    return not a.size or bool((a == a.flat[0]).all())


def _flat(a: NDArray) -> NDArray:
    return np.asarray(a, np.float64).ravel()


def _comparable(a: State, b: State) -> bool:
    """Whether two states may belong together by their numbers."""
    floats = a.after.dtype.kind == "f" and b.after.dtype.kind == "f"
    return floats and a.after.size == b.after.size >= FITTED


def _targets(program: Program, size: int) -> Iterator[Target]:
    """Yield the targets that a running average of this size may move to."""
    for call in program.calls:
        x = call.inputs[0].array if call.inputs else np.zeros(0)
        of, rest = divmod(x.size, size)
        if isinstance(call.op, BatchNorm) and call.op.training and x.shape[1] == size:
            axes = tuple(i for i in range(x.ndim) if i != 1)
            rows = np.asarray(x, np.float64)
            yield Target(rows.mean(axes), of, is_mean=True, is_sure=True)
            yield Target(rows.var(axes), of, is_sure=True)
        for name in program.gives(call):
            if program.value[name].size == size:
                yield Target(_flat(program.value[name]), 1 if rest else of)
    for array in program.leaves.values():
        if array.size == size:
            yield Target(_flat(array), is_sure=True)


def _share(
    before: NDArray, after: NDArray, target: NDArray, near: float
) -> tuple[float, float] | None:
    """The share of the way to a target that a state has gone, and its error; None if it has not.

    The state has to move by more than its rounding.
    """
    way, moved = target - before, after - before
    size = max(np.abs(target).max(), np.abs(before).max())
    if not np.isfinite([*way, *moved]).all() or np.abs(moved).max() <= MOVED * near * size:
        return None
    share = float(way @ moved / (way @ way)) if way.any() else 0.0
    error = near * size / np.abs(way).max() if way.any() else 0.0
    if share <= 0 or share > 1 + error or not are_near(before + share * way, after, near):
        return None
    return share, error
