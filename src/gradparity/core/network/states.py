"""The state that a program leaves: running statistics, averages of parameters, counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..arithmetic.arrays import NDArray
from ..optimizers.update import Update

__all__ = ["State", "returned_states", "states_of_update"]

#: The names of the items of a tuple or dictionary, the outermost first.
Path = tuple[str, ...]
#: The most arguments of one shape that a returned array may be a new version of.
CANDIDATES = 8


@dataclass(frozen=True, eq=False)
class State:
    """An array that a program changed or returned.

    Attributes
    ----------
    after : its numbers at the end.
    before : those at the start; several candidates where names do not tell which argument an array
        that was returned is a new version of.
    is_known : whether `before` is certain.
    """

    after: NDArray
    before: tuple[NDArray, ...] = ()
    is_known: bool = False

    @property
    def is_changed(self) -> bool:
        """Whether the state differs from a known earlier value."""
        same = (np.array_equal(a, self.after, equal_nan=True) for a in self.before)
        return not (self.is_known and any(same))


def returned_states(
    returned: Mapping[Path, NDArray], given: Mapping[Path, NDArray]
) -> dict[str, State]:
    """The arrays that a function returned beside the loss, with what they were before.

    That is the argument of the same shape whose path ends alike.  The first name of the path of an
    argument is that of the argument itself, which does not count.

    >>> old, new = np.zeros(2), np.ones(2)
    >>> found = returned_states({("stats", "bn", "mean"): new}, {("arg1", "bn", "mean"): old})
    >>> [(name, state.is_known) for name, state in found.items()]
    [('stats.bn.mean', True)]
    """
    found = {}
    for path, array in returned.items():
        alike = {
            p: a for p, a in given.items() if a.shape == array.shape and a.dtype == array.dtype
        }
        shared = {p: _shared(path, p[1:]) for p in alike}
        most = max(shared.values(), default=0)
        nearest = [p for p in alike if shared[p] == most]
        if most:  # of "params.w" and "average.params.w", the one with fewer other names
            least = min(len(p) for p in nearest)
            nearest = [p for p in nearest if len(p) == least]
        before = [alike[p] for p in nearest]
        is_known = most > 0 and len(before) == 1
        before = before if len(before) <= CANDIDATES else []
        found[".".join(path) or "returned"] = State(array, tuple(before), is_known)
    return found


def _shared(one: Path, other: Path) -> int:
    """How many names two paths have in common at the end; none if all of them are numbers."""
    n = 0
    while n < min(len(one), len(other)) and one[-1 - n] == other[-1 - n]:
        n += 1
    return 0 if all(name.isdigit() for name in one[len(one) - n :]) else n


def states_of_update(update: Update) -> dict[str, State]:
    """The parameters after a step of an optimizer, and its own states, which begin with zeros."""
    found = {}
    for moved in update.parameters:
        found[moved.name] = State(moved.after, (moved.before,), True)
        for name, after in moved.new.items():
            start = moved.old.get(name, np.zeros_like(after) if update.step == 1 else None)
            before = () if start is None else (start,)
            found[f"{moved.name}.{name}"] = State(after, before, bool(before))
    return found
