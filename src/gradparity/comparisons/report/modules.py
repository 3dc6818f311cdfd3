"""The modules of a recorded program: a row each, with what was found in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..findings.finding import SUM, Finding, Verdict
from .records import Run, share

__all__ = ["ModuleRow", "module_of", "module_rows", "nodes_of"]

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


def module_of(f: Finding) -> str:
    """The path of the module that a finding belongs to; that of a shared parameter is its owner."""
    owned = f.op == SUM and f.final and not f.module
    return f.quantity.name.rpartition(".")[0] if owned else f.module


def nodes_of(findings: Iterable[Finding]) -> set[str]:
    """The nodes of some findings; a parameter with several uses is none."""
    return {f.node for f in findings if f.node and (f.op != SUM or not f.final)}


def _rows(findings: Sequence[Finding], depth: int) -> Iterator[ModuleRow]:
    found: dict[str, list[Finding]] = {}
    for f in findings:
        found.setdefault(".".join(module_of(f).split(".")[:depth]), []).append(f)
    for path, those in found.items():
        worst = max(those, key=lambda f: (_rank(f.verdict), share(f)))
        yield ModuleRow(path, len(nodes_of(those)), len(those), worst, max(map(share, those)))


def _rank(verdict: Verdict) -> int:
    """Vacuous results do not make a module look worse than exact ones."""
    return -1 if verdict is Verdict.VACUOUS else verdict.badness
