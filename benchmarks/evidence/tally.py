"""Counts of every checker's answers by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from .checkers import AGAINST, CHECKERS, UNDECIDED, WRONG
from .tables import markdown

__all__ = ["Tally"]


class Tally:
    """How often each checker gave each answer, by kind."""

    def __init__(self) -> None:
        self.count: Counter[tuple[str, str, str]] = Counter()

    def add(self, kind: str, checker: str, what: str) -> None:
        self.count[kind, checker, what] += 1

    def judged(self, checker: str, kind: str | None = None) -> int:
        return sum(n for (k, c, _), n in self.count.items() if c == checker and kind in (None, k))

    def of(self, checker: str, what: str, kind: str | None = None) -> int:
        return sum(
            n
            for (k, c, w), n in self.count.items()
            if (c, w) == (checker, what) and kind in (None, k)
        )

    def cell(self, checker: str, kind: str | None = None) -> str:
        """Format the number called wrong, the number judged, and the number left undecided."""
        if AGAINST.get(checker, True) is None:
            return "not installed"
        judged = self.judged(checker, kind)
        if not judged:
            return "-"
        undecided = self.of(checker, UNDECIDED, kind)
        more = f" ({undecided}?)" if undecided else ""
        return f"{self.of(checker, WRONG, kind)}/{judged}{more}"

    def table(
        self,
        first: str,
        kinds: Iterable[str],
        extra: Sequence[tuple[str, Callable[[str | None], object]]] = (),
    ) -> str:
        """Format one row per kind and one for all; `extra` columns are functions of the kind."""
        shown = [c for c in CHECKERS if self.judged(c) or AGAINST.get(c, True) is None]
        rows = [
            [kind or "**all**", *(f(kind) for _, f in extra), *(self.cell(c, kind) for c in shown)]
            for kind in (*kinds, None)
        ]
        return markdown([first, *(name for name, _ in extra), *shown], rows)
