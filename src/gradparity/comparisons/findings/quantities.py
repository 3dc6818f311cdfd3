"""The quantities of a case by name, and findings about what cannot be compared."""

from __future__ import annotations

from ...core.network.case import Case
from ...core.network.network import INPUT
from .finding import Finding, Verdict, is_final

__all__ = ["EVERYTHING", "problem", "shapes_of_results"]

#: The quantity of a finding about all that was returned, or was not.
EVERYTHING = "everything"


def problem(case: Case, name: str, said: str, verdict: Verdict = Verdict.INCONCLUSIVE) -> Finding:
    """The finding of something that cannot be compared, and why."""
    return Finding(name, "", "", verdict, 0, note=said, final=is_final(case.network, name))


def shapes_of_results(case: Case) -> dict[str, tuple[int, ...]]:
    """Every result there is, by name, with its shape."""
    T = case.T
    nodes = {node.name: (T, case.widths[node.name]) for node in case.network.nodes}
    grads = {"Div": (T,), **case.network.parameter_shapes, INPUT: case.x.shape, **nodes}
    edges = {f"{e.source} -> {e.target}": (T, case.widths[e.source]) for e in case.network.edges}
    return {
        "Err": (),
        "Div": (T,),
        **{f"grad {name}": tuple(shape) for name, shape in grads.items()},
        **{f"value {name}": shape for name, shape in nodes.items()},
        **{f"grad {edge}": shape for edge, shape in edges.items()},
    }
