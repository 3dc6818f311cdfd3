"""The modules of a recorded program: a row each, with what was found in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from ..findings.finding import SUM, Finding, Verdict
from .records import Run, share

__all__ = ["ModuleRow", "module_of", "module_rows", "nodes_of"]

#: How many names of a path a row has, where there are more rows than fit on a screen.
DEPTHS, SCREEN = (9, 4, 3, 2, 1), 24
#: How many modules that hold something without parity keep a row of their own.
ALONE = 8


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
    """The modules in the order in which they ran, joined until they fit on a screen.

    Modules that hold something without parity are not joined with others, the first `ALONE` of
    many.
    """
    bad = dict.fromkeys(module_of(f) for f in run.findings if _telling(f))
    alone = {*list(bad)[:ALONE]}
    rows: list[ModuleRow] = []
    for depth in DEPTHS:
        rows = [*_rows(run.findings, depth, alone)]
        if len(rows) <= SCREEN:
            break
    return rows


def _telling(f: Finding) -> bool:
    return f.parity is False or f.verdict is Verdict.INCONCLUSIVE


def module_of(f: Finding) -> str:
    """The path of the module that a finding belongs to; that of a shared parameter is its owner."""
    owned = f.op == SUM and f.final and not f.module
    return f.quantity.name.rpartition(".")[0] if owned else f.module


def nodes_of(findings: Iterable[Finding]) -> set[str]:
    """The nodes of some findings; parameters and the steps of optimizers are none."""
    return {
        f.node for f in findings if f.node and f.op != SUM and not f.quantity.is_of_step(f.node)
    }


def _rows(findings: Sequence[Finding], depth: int, alone: Collection[str]) -> Iterator[ModuleRow]:
    found: dict[str, list[Finding]] = {}
    split = set()
    for f in findings:
        module = module_of(f)
        path = ".".join(module.split(".")[:depth])
        if module in alone and path != module:
            split.add(path)
            path = module
        found.setdefault(path, []).append(f)
    for path, those in found.items():
        worst = max(those, key=lambda f: (_rank(f.verdict), share(f)))
        name = f"{path}, the rest" if path in split else path
        yield ModuleRow(name, len(nodes_of(those)), len(those), worst, max(map(share, those)))


def _rank(verdict: Verdict) -> int:
    """Vacuous results do not make a module look worse than exact ones."""
    return -1 if verdict is Verdict.VACUOUS else verdict.badness
