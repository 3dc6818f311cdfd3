"""The modules of a recorded program: a row each, with what was found in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..findings.finding import Finding, Verdict
from .records import Run, share

__all__ = ["ModuleRow", "module_rows"]

#: How many names of a path a row has, where there are more rows than fit on a screen.
DEPTHS, SCREEN = (9, 4, 3, 2, 1), 24


class ModuleRow(NamedTuple):
    """A module with all that is inside of it.

    Attributes
    ----------
    path : such as "encoder.layers.1"; "" for what lies in no module.
    nodes, results : how many of each.
    worst : the finding with the worst verdict.
    nearest : the largest share of a bound that any result used.
    """

    path: str
    nodes: int
    results: int
    worst: Finding
    nearest: float


def module_rows(run: Run) -> list[ModuleRow]:
    """The modules in the order in which they ran, joined until they fit on a screen."""
    rows: list[ModuleRow] = []
    for depth in DEPTHS:
        rows = [*_rows(run.findings, depth)]
        if len(rows) <= SCREEN:
            break
    return rows


def _rows(findings: Sequence[Finding], depth: int) -> Iterator[ModuleRow]:
    found: dict[str, list[Finding]] = {}
    for f in findings:
        found.setdefault(".".join(f.module.split(".")[:depth]), []).append(f)
    for path, those in found.items():
        nodes = {f.node for f in those if f.node}
        worst = max(those, key=lambda f: (_rank(f.verdict), share(f)))
        yield ModuleRow(path, len(nodes), len(those), worst, max(map(share, those)))


def _rank(verdict: Verdict) -> int:
    """Vacuous results do not make a module look worse than exact ones."""
    return -1 if verdict is Verdict.VACUOUS else verdict.badness
