"""The states that two programs leave: running statistics, averages of parameters, counters.

States are paired by their numbers, by what explains the numbers, and by their names and where they
start.  A running average moves by a share of the way to a target, such as a batch's variance; the
share and the target of either program are found by fitting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.quantity import Quantity
from ...core.network.states import State
from ..findings.finding import Finding, Verdict
from .averages import MOVED, Rate, flat, most
from .digits import apart_in_words, times_in_words
from .moves import NEAR_FLOAT32, Moves
from .parameters.agreement import Leaf, agree, orders_of
from .programs.partners import Partners
from .programs.side import Side
from .programs.values import NEAR, are_near
from .stepped import moved_alone
from .updates import cause_of_step, is_stepped

__all__ = ["findings_on_states"]

#: The fewest numbers of a state that a share of the way is fitted to.
FITTED = 3
ALONE = "the other program leaves no such state, so it is not compared"
UNKNOWN = "it is not the same as {} of the other program, and it is unknown whether that is it"
DISORDERED = "it has the same numbers there after the step, in another order"
STILL = "it does not change {}, as in evaluation"
#: What the names of states say they are, wherever it stands in them.
KINDS = ("mean", "var")


def findings_on_states(one: Side, other: Side) -> Iterator[Finding]:
    """One for every state that `one` changed or returned, and whether the other leaves the same."""
    states = _States(one, other)
    notes = states.differences()
    doubts = states.doubts()
    alone = moved_alone(one, other, states.left[0])
    for name, state in states.one.items():
        q = Quantity.state(name)
        found = Finding(q, name, "state", Verdict.ROUNDING, state.after.size)
        if name in notes:
            yield replace(found, verdict=Verdict.MISMATCH, note=notes[name])
        elif name in states.equal:
            yield found
        elif name in doubts:
            yield replace(found, verdict=Verdict.INCONCLUSIVE, note=doubts[name])
        elif name in alone:
            verdict, note = alone[name]
            size = found.elements if verdict is Verdict.MISMATCH else 0
            yield replace(found, verdict=verdict, elements=size, note=note)
        elif state.is_changed:
            yield replace(found, verdict=Verdict.VACUOUS, elements=0, note=ALONE)
    for name, (verdict, note) in moved_alone(other, one, states.left[1]).items():
        if doubts and verdict is Verdict.INCONCLUSIVE:
            continue  # it may be one of those
        size = other.program.recording.states[name].after.size
        size = size if verdict is Verdict.MISMATCH else 0
        note = f"of the other program: {note.replace('there', 'here').replace('other', 'first')}"
        yield Finding(Quantity.state(name), name, "state", verdict, size, note=note)


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
        self._recordings = one.program.recording, other.program.recording
        low = any(s.after.dtype == np.float32 for s in every)
        near = max(one.near_recorded(other), NEAR_FLOAT32 if low else 0.0)
        self.moves = Moves((one, other), near)
        there = {n: s.after for n, s in self.other.items()}
        pool = Partners(there, near)
        changed = {n: s for n, s in self.one.items() if s.is_changed}
        self._disordered: set[str] = set()
        partners = {
            n: [p for p in pool.of(s.after) if self.moves.same(s, self.other[p])]
            for n, s in changed.items()
        }
        for name in {*partners} & {*there}:
            if _says_little(self.one[name].after):
                partners[name] = [n for n in partners[name] if n == name]
        self._orders = orders_of(
            (
                (a, other.program.leaves[n])
                for n, a in one.program.leaves.items()
                if n in other.program.leaves
            ),
            near,
        )
        for name in {*partners} & {*there}:
            if name in partners[name] and not self._in_order(name):
                partners[name] = []
                self._disordered.add(name)
        self.equal = {n for n, names in partners.items() if names}
        taken = {partner for names in partners.values() for partner in names}
        self._mine = {n: s for n, s in self.one.items() if n not in self.equal}
        self._theirs = {n: s for n, s in self.other.items() if n not in taken}

    def differences(self) -> dict[str, str]:
        """Name in `one` -> how the state of the other program that belongs to it differs."""
        notes = dict.fromkeys(self._disordered, DISORDERED)
        self._forget(notes, notes)
        went_on = {n for n in self._mine if n in self._theirs and self._goes_on(n)}
        self.equal |= went_on
        self._forget(went_on, went_on)
        self._by_steps(notes)
        for explain in (self._by_rates, self._by_ratio) if self.moves.exact else ():
            used: dict[str, str] = {}
            for (a, mine), (b, theirs) in product(self._mine.items(), self._theirs.items()):
                if a in used or b in used.values() or not _comparable(mine, theirs):
                    continue
                if said := explain(mine, theirs):
                    notes[a], used[a] = _of_other(said, b), b
            self._forget(used, used.values())
        for found in (self._by_names(), self._by_start()):
            notes.update(found)
        return notes

    def _goes_on(self, name: str) -> bool:
        """Whether one program starts a state where the other one left it, and moves it alike.

        So it is if both ran the same model, one after the other.
        """
        mine, theirs = self.one[name], self.other[name]
        one_after_other = any(
            np.array_equal(start, end.after)
            for state, end in ((mine, theirs), (theirs, mine))
            for start in state.before
        )
        if not (mine.is_known and theirs.is_known and one_after_other):
            return False
        if mine.after.dtype.kind in "iu":
            here, there = (state.after - state.before[0] for state in (mine, theirs))
            return np.array_equal(here, there)
        return any(
            a.target == b.target and a.factor == b.factor and a.shares(b)
            for a, b in product(self.moves.rates(mine), self.moves.rates(theirs))
        )

    def _in_order(self, name: str) -> bool:
        """Whether the states of one name are equal in the layout in which they start alike."""
        mine, theirs = self.one[name], self.other[name]
        known = mine.is_known and theirs.is_known and mine.after.shape == theirs.after.shape
        if not known or not self.moves.start_alike(mine, theirs):
            return True
        near = self.moves.recorded
        return any(
            agree(Leaf(a, mine.after), Leaf(b, theirs.after), near, orders=self._orders)
            for a, b in product(mine.before, theirs.before)
        )

    def _forget(self, mine: Iterable[str], theirs: Iterable[str]) -> None:
        """Remove states from those that are still to be paired."""
        here, there = {*mine}, {*theirs}
        self._mine = {n: s for n, s in self._mine.items() if n not in here}
        self._theirs = {n: s for n, s in self._theirs.items() if n not in there}

    def _by_steps(self, notes: dict[str, str]) -> None:
        """Tell parameters apart that start alike and are others after a step of an optimizer.

        In fewer digits than those of float64 that is left open: Adam makes a step of the rounding
        of a gradient that is nearly zero.
        """
        here, there = self._recordings
        for (a, mine), (b, theirs) in product([*self._mine.items()], [*self._theirs.items()]):
            stepped = is_stepped(here, a), is_stepped(there, b)
            gone = a not in self._mine or b not in self._theirs
            if gone or not any(stepped) or not self._is_version(mine, theirs):
                continue
            said = _apart(mine, theirs)
            if mine.is_changed and theirs.is_changed:
                cause = cause_of_step(here, a, theirs) if stepped[0] else ""
                said += f": there {cause}" if cause else ""
                cause = cause_of_step(there, b, mine) if stepped[1] and not cause else ""
                said += f": here {cause}" if cause else ""
            notes[a] = _of_other(said.replace(", as in evaluation", ""), b)
            self._forget([a], [b])

    def _is_open(self, mine: str, theirs: str) -> bool:
        """Whether rounding may have made a step another one: it is too coarse to tell."""
        here, there = self._recordings
        stepped = is_stepped(here, mine) or is_stepped(there, theirs)
        return stepped and self.moves.recorded > NEAR["float64"]

    def _is_version(self, mine: State, theirs: State) -> bool:
        """Whether two arrays are certainly those of one parameter, before and after a step."""
        told = mine.after.size > 1 and not _says_little(mine.before[0]) if mine.before else False
        known = mine.is_known and theirs.is_known and _comparable(mine, theirs, 2)
        digits = self.moves.recorded <= NEAR["float64"]
        return told and known and digits and self.moves.start_alike(mine, theirs)

    def _by_rates(self, mine: State, theirs: State) -> str:
        """Why two states differ that move to the same target."""
        both = product(self.moves.rates(mine), self.moves.rates(theirs))
        pairs = [(a, b) for a, b in both if a.target == b.target]
        targets = self.moves.targets(mine.after.size)
        said: set[str] = set()
        for a, b in pairs:
            more, less = max(a.factor, b.factor), min(a.factor, b.factor)
            count = targets[a.target].of
            if a.shares(b) and count > 1 and np.isclose(more / less, count / (count - 1), 1e-9, 0):
                said.add(self._variances(a, b, count))
        if len(said) == 1:  # two that say the opposite are both within rounding
            return said.pop()
        apart = [(a, b) for a, b in pairs if a.factor == b.factor and not a.shares(b)]
        if apart:
            return self._kept(*apart[0])
        for a, b in pairs:
            if a.factor == b.factor and self._start_apart(mine, theirs):
                return "it starts from other numbers there, and moves alike"
        both_apart = [(a, b) for a, b in pairs if a.factor != b.factor and not a.shares(b)]
        if both_apart:
            a, b = both_apart[0]
            return f"{self._variances(a, b, targets[a.target].of)}; {self._kept(a, b)}"
        return ""

    def _start_apart(self, mine: State, theirs: State) -> bool:
        """Whether two states are known to start from other numbers."""
        known = mine.is_known and theirs.is_known
        return known and not self.moves.start_alike(mine, theirs)

    @staticmethod
    def _variances(a: Rate, b: Rate, count: int) -> str:
        kinds = ("unbiased", "biased") if a.factor > b.factor else ("biased", "unbiased")
        here, there = kinds
        return f"it takes the {here} variance of {count} numbers here, the {there} one there"

    @staticmethod
    def _kept(a: Rate, b: Rate) -> str:
        here, there = apart_in_words(1 - a.share, 1 - b.share)
        said = f"it keeps {here} of what it was here and {there} there"
        if abs(a.share + b.share - 1) <= a.error + b.error:
            said += ": momentum is the share of the new in PyTorch, of the old in JAX libraries"
        return said

    def _by_ratio(self, mine: State, theirs: State) -> str:
        """Whether one of two states that start alike is or moves a number of times as far."""
        if not (mine.is_known and theirs.is_known and mine.is_changed and theirs.is_changed):
            return ""
        if self._start_apart(mine, theirs):
            return ""
        near = self.moves.room(mine, theirs)
        a, b = (np.sort(flat(s.after) - flat(s.before[0])) for s in (mine, theirs))
        size = max(np.abs(flat(s.before[0])).max(initial=0.0) for s in (mine, theirs))
        if min(np.abs(a).max(), np.abs(b).max()) > MOVED * near * size:
            times = float(b[np.abs(a).argmax()] / a[np.abs(a).argmax()])
            if times > 0 and times != 1.0 and are_near(a * times, b, near):
                said = f"it moves {times_in_words(times)} times as far there"
                return f"{said}, as with another momentum or decay"
        a, b = np.sort(flat(mine.after)), np.sort(flat(theirs.after))
        times = float(b[np.abs(a).argmax()] / np.abs(a).max(initial=0.0))
        if times > 0 and times != 1.0 and are_near(a * times, b, near):
            return f"it is {times_in_words(times)} times as large there"
        for root, square, where in ((b, a, "there"), (a, b, "here")):
            if (square >= 0).all() and are_near(root, np.sqrt(square), near):
                return f"it is its root {where}, as a standard deviation in place of a variance"
        return ""

    def _by_names(self) -> dict[str, str]:
        """The differences between states of one name, if both programs have all names."""
        changed = [{n for n, s in each.items() if s.is_changed} for each in (self.one, self.other)]
        if not (changed[0] <= {*self.other} and changed[1] <= {*self.one}):
            return {}
        notes = {}
        for name in [n for n in self._mine if n in self._theirs]:
            a, b = self.one[name], self.other[name]
            sure = a.is_known and b.is_known and a.after.shape == b.after.shape
            if not sure or self._is_open(name, name) or not (a.is_changed or b.is_changed):
                continue  # what else is returned, such as logits, may have any name
            if self.moves.same(a, b):
                self.equal.add(name)
            else:
                notes[name] = _apart(a, b)
        self._forget({*notes} | self.equal, {*notes} | self.equal)
        return notes

    def _by_start(self) -> dict[str, str]:
        """The differences between states that are named and start alike, and end otherwise."""
        for name in [n for n, s in self._mine.items() if not s.is_changed]:  # those left alone
            still = [b for b in self._alike(name) if not self._theirs[b].is_changed]
            if still:
                self._forget({name}, {name if name in still else still[0]})
        notes: dict[str, str] = {}
        used: set[str] = set()
        for name in sorted(self._mine, key=lambda n: not self._mine[n].is_changed):
            mine, there = self._mine[name], self._alike(name)
            if mine.is_changed:
                there.sort(key=lambda b: not self._theirs[b].is_changed)
            else:
                there = [b for b in there if b not in used and self._theirs[b].is_changed][:1]
            if there and (self.moves.exact or mine.is_changed != self._theirs[there[0]].is_changed):
                notes[name] = _of_other(_apart(mine, self._theirs[there[0]]), *there)
                used.update(there)
        self._forget(notes, used)
        return notes

    def _alike(self, name: str) -> list[str]:
        """The states left of the other program that are named as this one and start alike."""
        mine = self._mine[name]
        return [
            b
            for b, theirs in self._theirs.items()
            if mine.is_known
            and theirs.is_known
            and theirs.after.size == mine.after.size > 1
            and _kind(b) == _kind(name)
            and not self._is_open(name, b)
            and self.moves.start_alike(mine, theirs)
        ]

    @property
    def left(self) -> tuple[list[str], list[str]]:
        """The names of the states of either program that have no partner."""
        return [*self._mine], [*self._theirs]

    def doubts(self) -> dict[str, str]:
        """Name in `one` -> which of the states left of the other program may belong to it."""
        notes = {}
        for name, mine in self._mine.items():
            there = [b for b, t in self._theirs.items() if self._may_be(name, mine, b, t)]
            if there and mine.is_changed:
                notes[name] = UNKNOWN.format(" or ".join(map(repr, there)))
        return notes

    def _may_be(self, name: str, mine: State, there: str, theirs: State) -> bool:
        if not _comparable(mine, theirs, 2):
            return False
        alike = _kind(name) == _kind(there)
        if not theirs.is_changed:
            return alike or self.moves.start_alike(mine, theirs)
        return mine.is_known or theirs.is_known or (alike and not _kind(name).isdigit())


def _of_other(said: str, *names: str) -> str:
    return f"{said} ({' or '.join(map(repr, names))} of the other program)"


def _apart(a: State, b: State) -> str:
    """How a state differs from its partner."""
    if a.is_changed != b.is_changed:
        return STILL.format("there" if a.is_changed else "here")
    if a.after.size == 1:
        said = apart_in_words(a.after.item(), b.after.item(), 9)
        return "it is {} here and {} there after the step".format(*said)
    here, there = flat(a.after), flat(b.after)
    if a.after.shape != b.after.shape:
        here, there = np.sort(here), np.sort(there)
    return f"it differs by up to {most(here - there):.3g} after the step"


def _kind(name: str) -> str:
    """Return the kind of a state by its name: a mean, a variance, or its last word."""
    words = re.findall(r"[a-z]+|\d+", name.lower())
    kinds = [kind for word in words for kind in KINDS if word.startswith(kind)]
    return kinds[-1] if kinds else (words or [""])[-1]


def _says_little(a: NDArray) -> bool:
    """Whether the numbers of a state are those of many others, such as a counter's."""
    return not a.size or bool((a == a.flat[0]).all())


def _comparable(a: State, b: State, least: int = FITTED) -> bool:
    """Whether two states may belong together by their numbers."""
    floats = a.after.dtype.kind == "f" and b.after.dtype.kind == "f"
    return floats and a.after.size == b.after.size >= least
