"""The causes of what is wrong in a report: findings that say the same are one, the earliest first.

Forward values come in the order of computation, then gradients from the loss back: what is wrong
first is what a user should look at first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import NamedTuple

from ...core.network.nodes import ERR
from ...core.network.quantity import Quantity
from ..findings.finding import SUM, Finding, Verdict
from .graph import Graph
from .records import Run
from .report import Report

__all__ = ["Cause", "causes"]


class Cause(NamedTuple):
    """All findings that are wrong for one reason.

    Attributes
    ----------
    run, finding : the earliest finding.
    too : other findings of the same fault: of other quantities, cases or dtypes.
    following : findings that only follow from it, or that may.
    """

    run: Run
    finding: Finding
    too: list[tuple[Run, Finding]]
    following: list[tuple[Run, Finding]]


def causes(report: Report) -> list[Cause]:
    """List each cause once: the findings without parity first, in the order of computation."""
    order = _order(report)
    wrong = sorted(_wrong(report), key=lambda found: order(*found))
    found: dict[Hashable, Cause] = {}
    listed: list[Cause] = []
    of: dict[tuple[int, str], Cause] = {}
    following = [(run, f) for run, f in wrong if f.follows]
    values: dict[tuple[int, str], Cause] = {}
    for run, f in (each for each in wrong if not each[1].follows):
        here = id(run), f.node
        if here in values and f.quantity.is_gradient and not f.convention and not f.note:
            cause = values[here]  # a wrong value of the same node, whose gradient it is
            cause.following.append((run, f))
        else:
            cause = _listed(run, f, found, listed)
            if f.node and not f.quantity.is_gradient:
                values.setdefault(here, cause)
        of[id(run), f.quantity] = cause
    for run, f in following:
        before = of.get((id(run), f.follows))
        if before is None:
            before = _listed(run, f, found, listed)
        else:
            before.following.append((run, f))
        of[id(run), f.quantity] = before
    return sorted(listed, key=lambda cause: order(cause.run, cause.finding))


def _wrong(report: Report) -> Iterator[tuple[Run, Finding]]:
    """The findings without parity; the gradient of a value with one use is told at its use."""
    for run, f in report.findings():
        use = Quantity(f.follows)
        same = use.target is not None and use.name == f.quantity.name
        if f.parity is False or (f.verdict is Verdict.INCONCLUSIVE and not same):
            yield run, f


def _listed(run: Run, f: Finding, found: dict[Hashable, Cause], listed: list[Cause]) -> Cause:
    """Add a finding to the cause that it shares with an earlier one, or as a cause of its own."""
    who = run.adapter, f.verdict, f.convention
    case = "" if f.op else run.case  # without an op it may differ from case to case
    keys: list[Hashable] = [(*who, f.quantity, f.node, f.op, case)]
    # The same complaint about another quantity; without a reason, of the same op elsewhere.
    kind = "gradient" if f.quantity.is_gradient else "value"
    keys.append((*who, f.note) if f.note else (*who, f.op, kind, f.quantity.target is None))
    cause = next((found[key] for key in keys if key in found), None)
    if cause is None:
        cause = Cause(run, f, [], [])
        listed.append(cause)
    else:
        cause.too.append((run, f))
    for key in keys:
        found.setdefault(key, cause)
    return cause


def _order(report: Report) -> Callable[[Run, Finding], tuple[bool | int, ...]]:
    """Sort what is wrong before what is undecided, then by implementation and by computation."""
    adapters = list(dict.fromkeys(each.adapter for each in report.runs))
    places = {case: _places(graph) for case, graph in report.graphs.items()}

    def order(run: Run, f: Finding) -> tuple[bool | int, ...]:
        found = places.get(run.case)
        place = found.get(f.node or f.quantity.name, found[""]) if found else 0
        backward = f.quantity.is_gradient
        return (
            f.parity is None,
            adapters.index(run.adapter),
            bool(f.follows),
            not f.elements,  # what could not be compared at all
            backward,
            -place if backward else place,
            f.op == SUM,
        )

    return order


def _places(graph: Graph) -> dict[str, int]:
    """The position of each name in the order of computation; that of other names is at ""."""
    names = {node.name: i for i, node in enumerate(graph.nodes)}
    owned: dict[str, int] = {}
    for i, node in enumerate(graph.nodes):
        for name in node.parameters:
            owned.setdefault(name, i)
    inputs = dict.fromkeys(graph.inputs, -1)
    return {"": len(names)} | inputs | owned | names | {ERR: len(names) + 1}
