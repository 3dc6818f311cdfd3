"""The quantities of a case by name, and findings about what cannot be compared."""

from __future__ import annotations

from ...core.formulas.op import Shape
from ...core.network.case import Case
from ...core.network.nodes import DIV, ERR, Edge
from ...core.network.quantity import Quantity
from .finding import Finding, Verdict

__all__ = [
    "EVERYTHING",
    "GRADIENTS",
    "edges_of",
    "not_summed",
    "problem",
    "shapes_of_results",
]

#: The quantity of a finding about all that was returned, or was not.
EVERYTHING = Quantity("everything")
#: The quantity of a finding about all gradients.
GRADIENTS = Quantity("gradients")


def problem(case: Case, q: Quantity, said: str, verdict: Verdict = Verdict.INCONCLUSIVE) -> Finding:
    """The finding of something that cannot be compared, and why."""
    return Finding(q, "", "", verdict, 0, note=said, final=q.is_gradient_by(case.finals))


def shapes_of_results(case: Case) -> dict[Quantity, Shape]:
    """Every result there is, by name, with its shape."""
    network = case.network
    outputs = [name for step in network.body for name in step.outputs]
    states = [name for step in network.body for name in step.states]
    loss = [DIV] if network.divergence is not None else []
    ends = [name for name in network.ends if name != ERR]
    grads = [*loss, *network.trained, *case.differentiated, *outputs]
    found = [*map(Quantity.value, [ERR, *loss] if loss else [])]
    found += map(Quantity.grad, [*grads, *ends])
    found += map(Quantity.value, [*outputs, *states])
    found += [Quantity.through(*edge) for edge in edges_of(case)]
    return {q: q.shape(case) for q in found}


def not_summed(got: Shape, expected: Shape) -> str:
    """Name the axes over which a gradient was not summed to the shape of its operand.

    >>> not_summed((16, 5), (5,)), not_summed((7, 5), (7, 1)), not_summed((5, 7), (7, 5))
    ('; it was not summed over axis 0', '; it was not summed over axis 1', '')
    """
    lead = len(got) - len(expected)
    if lead < 0:
        return ""
    pairs = list(zip(got[lead:], expected, strict=True))
    if any(g != e and e != 1 for g, e in pairs):
        return ""
    axes = [*range(lead), *(lead + i for i, (g, e) in enumerate(pairs) if g != e)]
    listed = " and ".join(map(str, axes))
    return f"; it was not summed over {'axis' if len(axes) == 1 else 'the axes'} {listed}"


def edges_of(case: Case) -> tuple[Edge, ...]:
    """The uses of values whose gradient is a quantity of its own; those of integers have none."""
    without = {n for n, a in case.inputs.items() if a.dtype.kind != "f"}
    return tuple(edge for edge in case.network.edges if edge.source not in without)
