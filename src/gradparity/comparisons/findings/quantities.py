"""The quantities of a case by name, and findings about what cannot be compared."""

from __future__ import annotations

from ...core.network.case import Case
from ...core.network.nodes import DIV, ERR, Edge
from .finding import Finding, Verdict, is_final

__all__ = ["EVERYTHING", "edges_of", "problem", "shapes_of_results"]

#: The quantity of a finding about all that was returned, or was not.
EVERYTHING = "everything"


def problem(case: Case, name: str, said: str, verdict: Verdict = Verdict.INCONCLUSIVE) -> Finding:
    """The finding of something that cannot be compared, and why."""
    return Finding(name, "", "", verdict, 0, note=said, final=is_final(case, name))


def shapes_of_results(case: Case) -> dict[str, tuple[int, ...]]:
    """Every result there is, by name, with its shape."""
    network, shapes = case.network, {**case.shapes, **case.network.parameter_shapes}
    outputs = [name for step in network.body for name in step.outputs]
    states = [name for step in network.body for name in step.states]
    loss = [DIV] if network.divergence is not None else []
    ends = [name for name in network.ends if name != ERR]
    grads = [*loss, *network.trained, *case.differentiated, *outputs]
    found = {name: shapes[name] for name in ([ERR, *loss] if loss else [])}
    found |= {f"grad {name}": shapes[name] for name in dict.fromkeys([*grads, *ends])}
    found |= {f"value {name}": shapes[name] for name in (*outputs, *states)}
    found |= {f"grad {e.source} -> {e.target}": shapes[e.source] for e in edges_of(case)}
    return found


def edges_of(case: Case) -> tuple[Edge, ...]:
    """The uses of values whose gradient is a quantity of its own; those of integers have none."""
    without = {n for n, a in case.inputs.items() if a.dtype.kind != "f"}
    return tuple(edge for edge in case.network.edges if edge.source not in without)
