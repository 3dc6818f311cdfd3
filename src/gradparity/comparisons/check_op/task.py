"""The input of a check: two functions, and numbers to call them with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import wraps

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.precision import Precision
from ...core.arithmetic.rounding import Rounding
from ...core.network.quantity import Quantity
from ..findings.finding import Finding
from .calling import Outcome, Pair
from .points import SOME, Points
from .setting import Setting

__all__ = ["Check", "Task", "both", "by_name", "everywhere"]


@dataclass(frozen=True)
class Task:
    """The input of a check: the user's pair, and numbers in one precision.

    `allow` lists conventions that pass, such as "mean".
    """

    pair: Pair
    points: Points
    precision: Precision
    allow: Sequence[str] = ()

    def random(self, T: int = SOME, draw: int = 0) -> Setting:
        """Random points in the task's precision."""
        return self.points.random(T, draw).astype(self.precision)

    def at_kinks(self) -> Setting | None:
        """A few samples at kinks and ties; None if the op has none."""
        found = self.points.few_at_kinks()
        return None if found is None else found.astype(self.precision)

    @property
    def plain(self) -> Rounding:
        """The arithmetic of the algebraic checks: the worst case, sums in the dtype itself."""
        return Rounding.of(self.precision).in_storage


Check = Callable[[Task], Iterator[Finding]]


def by_name(*checks: Check) -> dict[str, Check]:
    """The checks by the names of their functions."""
    return {check.__name__: check for check in checks}


def everywhere(check: Callable[[Task, Setting], Iterator[Finding]]) -> Check:
    """Run a check at random points, and then at kinks and ties, which a note mentions."""

    @wraps(check)
    def checked(task: Task) -> Iterator[Finding]:
        yield from check(task, task.random())
        at_kinks = task.at_kinks()
        if at_kinks is None:
            return
        for found in check(task, at_kinks):
            said = f"; {at_kinks.where}" if found.note and found.parity is not True else ""
            yield replace(found, note=found.note + said)

    return checked


def both(first: Outcome, second: Outcome) -> Iterable[tuple[Quantity, NDArray, NDArray]]:
    """(quantity, first result, second result) for every quantity that both passes returned."""
    names = [name for name in first.results if name in second.results]
    return [(name, first.results[name], second.results[name]) for name in names]
