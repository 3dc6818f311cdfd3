"""Progress of a long piece of work: the share of its time, learnt as it goes.

Steps differ in cost by orders of magnitude, for a framework that compiles and for one that does
not.  So what a step of each kind took is measured, and what is left is counted in the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from time import perf_counter

from ...core.arithmetic.received import received

__all__ = ["COMPILED", "Progress", "Steps", "silent"]

#: Is told what is being done and which part of the whole is done: from 0 to 1, never falling.
Progress = Callable[[str, float], object]
#: What a step costs where it is compiled first, in steps that are not; until it has been measured.
COMPILED = 20.0


def silent(message: str, done: float) -> None:
    """Default progress callback: does nothing."""


@dataclass
class _Kind:
    cost: float
    left: int
    done: int = 0
    seconds: float = 0.0


class Steps:
    """The steps of a piece of work, by kind; those of one kind cost about the same.

    >>> told = []
    >>> seconds = iter([0.0, 1.0, 2.0, 6.0, 10.0])
    >>> steps = Steps(lambda message, done: told.append((message, done)), lambda: next(seconds))
    >>> steps.plan("small", 2)
    >>> steps.plan("large", 2)
    >>> for kind in ("small", "small", "large", "large"):
    ...     steps.did(kind, kind)
    >>> for message, done in told:  # one second each; then four, as is found out
    ...     print(message, done)
    small 0.25
    small 0.5
    large 0.6
    large 1.0
    """

    def __init__(
        self, progress: Progress | None, clock: Callable[[], float] = perf_counter
    ) -> None:
        progress = silent if progress is None else progress
        if not callable(progress):
            raise TypeError(
                f"progress is {received(progress)}; give a function of a message and a "
                "number, or None"
            )
        self.progress, self.clock = progress, clock
        self.kinds: dict[Hashable, _Kind] = {}
        self.fraction, self.since = 0.0, clock()

    def plan(self, kind: Hashable, n: int, cost: float = 1.0) -> None:
        """Add n steps of this kind; `cost` is a guess at the time of one, until one is done."""
        self.kinds.setdefault(kind, _Kind(cost, 0)).left += n

    def left(self, kind: Hashable, n: int, cost: float = 1.0) -> None:
        """Set the number of steps of this kind that are left."""
        self.kinds.setdefault(kind, _Kind(cost, 0)).left = n

    def say(self, message: str) -> None:
        """The current step."""
        self.progress(message, self.fraction)

    def did(self, kind: Hashable, message: str, n: int = 1) -> None:
        """n steps of this kind are done, since the last time."""
        mine, now = self.kinds[kind], self.clock()
        mine.seconds += now - self.since
        mine.done += n
        mine.left = max(0, mine.left - n)
        self.since = now
        self.fraction = max(self.fraction, self._share())
        self.say(message)

    def end(self) -> None:
        """Nothing is left, whatever was planned."""
        self.fraction = 1.0
        self.say("done")

    def _share(self) -> float:
        """The share of the seconds spent in all seconds, spent and expected."""
        known = [kind for kind in self.kinds.values() if kind.done]
        spent = sum(kind.seconds for kind in known)
        if not spent:
            return 0.0
        a_unit = spent / sum(kind.cost * kind.done for kind in known)
        expected = sum(
            kind.left * (kind.seconds / kind.done if kind.done else kind.cost * a_unit)
            for kind in self.kinds.values()
        )
        return spent / (spent + expected)
