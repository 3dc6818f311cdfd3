"""How the states of two programs move, and how near two of them are that are the same."""

from __future__ import annotations

import numpy as np

from ...core.network.states import State
from .averages import Rate, Target, flat, goes_to, most, share_of, targets_of
from .programs.side import Side
from .programs.values import NEAR, are_near

__all__ = ["Moves"]

#: The tolerance for equal numbers of states in float32; with a larger one nothing is fitted.
NEAR_FLOAT32 = NEAR["float32"]
#: Roundings of a state in one update: of both products, of the sum, and of the share itself.
UPDATE = 8.0
#: The unit roundoff of float32: a state that is compared more loosely than one in float64 has it.
UNIT = 2.0**-24


class Moves:
    """The moves of the states of two programs.

    Attributes
    ----------
    exact : whether anything can be fitted; with fewer digits than those of float32 anything fits.

    Parameters
    ----------
    sides : the two programs.
    recorded : the tolerance for equal recorded numbers, where nothing tells a smaller one.
    """

    def __init__(self, sides: tuple[Side, Side], recorded: float) -> None:
        self._sides, self.recorded = sides, recorded
        self.exact = recorded <= NEAR_FLOAT32
        self._found: dict[int, list[Target]] = {}
        self._targets: dict[int, list[Target]] = {}
        self._rates: dict[int, list[Rate]] = {}
        self._rooms: dict[int, tuple[float, float]] = {}

    def same(self, a: State, b: State) -> bool:
        """Whether two states are the same after the step, in any order."""
        if a.after.size != b.after.size:
            return False
        here, there = flat(a.after), flat(b.after)
        near = self.room(a, b)
        return are_near(here, there, near) or are_near(np.sort(here), np.sort(there), near)

    def start_alike(self, a: State, b: State) -> bool:
        """Whether two states may start from the same numbers."""
        return any(
            are_near(np.sort(flat(x)), np.sort(flat(y)), self.recorded)
            for x in a.before
            for y in b.before
        )

    def room(self, *states: State) -> float:
        """The tolerance for equal numbers of states, relative to the largest."""
        rooms = [self._room(state) for state in states]
        room = sum(own for own, _ in rooms) + max(between for _, between in rooms)
        return min(self.recorded, max(NEAR["float64"], room))

    def _room(self, state: State) -> tuple[float, float]:
        """Return the bounds on a state: to its value in float64, and from this to the other's."""
        if id(state) not in self._rooms:
            self._rooms[id(state)] = self._room_by_targets(state)
        return self._rooms[id(state)]

    def _room_by_targets(self, state: State) -> tuple[float, float]:
        after = flat(state.after)
        size = most(after)
        if not self.exact or self.recorded <= NEAR["float64"] or not size:
            return self.recorded, 0.0
        own: list[float] = []
        between: dict[bool, list[float]] = {True: [], False: []}
        for before in map(flat, state.before):
            for target in self._every(after.size):
                part = goes_to(before, after, target.array, self.recorded)
                if part is not None:
                    terms = (size, most(before), abs(part) * most(target.array))
                    own.append(abs(part) * target.drift + UPDATE * UNIT * max(terms))
                    between[target.is_sure].append(abs(part) * target.between)
        if not own:
            return self.recorded, 0.0
        return max(own) / size, max(between[True], default=min(between[False], default=0.0)) / size

    def rates(self, state: State) -> list[Rate]:
        """The ways in which a state may have moved; none if it did not."""
        if id(state) not in self._rates:
            self._rates[id(state)] = self._rates_of(state) if self.exact else []
        return self._rates[id(state)]

    def _rates_of(self, state: State) -> list[Rate]:
        found = []
        after, near = flat(state.after), self.room(state)
        for start in map(flat, state.before):
            for i, target in enumerate(self.targets(after.size)):
                if not (target.is_sure or start.any()):
                    continue  # from zero a share is another share of a multiple
                n = target.of
                corrections = () if target.is_mean or n < 2 else (n / (n - 1), (n - 1) / n)
                for factor in (1.0, *corrections):
                    fit = share_of(start, after, target.array * factor, near)
                    if fit and (state.is_known or abs(fit[0] - 1) > fit[1]):
                        found.append(Rate(i, *fit, factor))
        return found

    def targets(self, size: int) -> list[Target]:
        """The targets of this size that are not the same numbers, of both programs."""
        if size not in self._targets:
            distinct: list[Target] = []
            for target in sorted(self._every(size), key=lambda t: (not t.is_sure, -t.of)):
                if not any(are_near(t.array, target.array, NEAR["float64"]) for t in distinct):
                    distinct.append(target)
            self._targets[size] = distinct
        return self._targets[size]

    def _every(self, size: int) -> list[Target]:
        if size not in self._found:
            one, other = self._sides
            each = (targets_of(*sides, size) for sides in ((one, other), (other, one)))
            self._found[size] = [target for targets in each for target in targets]
        return self._found[size]
