"""Fault sites: the quantities in which a fault can be planted, and what it makes of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...core import Case, Trace
from ...core.arithmetic.arrays import NDArray
from ...core.network.backprop import arriving
from ...core.network.contract import value_of
from ...core.network.nodes import DIV, ERR, Edge, Step
from ...core.network.quantity import Quantity
from ..findings.quantities import edges_of
from .derivations import BACKWARD, GRADIENTS, values_of

__all__ = [
    "FaultSite",
    "completed",
    "fault_sites",
    "if_other",
    "inputs_at",
    "mistaken",
    "quantity",
    "right_at",
]


class FaultSite(NamedTuple):
    """A quantity in which a fault can be planted, under the name the judge gives it.

    Attributes
    ----------
    node : where the judge tests it.
    kind : "value", "edge", "parameter", "sum" or "Div": the loss, and the gradient by it.
    step : the node's step; None for the sum over the uses of an input.
    key : the name of the value, or the edge.
    slot : of an edge or a parameter, which input of the node it is.
    """

    quantity: Quantity
    node: str
    kind: str
    step: Step | None
    key: Any
    slot: int = 0


def fault_sites(case: Case) -> list[FaultSite]:
    """Every quantity of a trace that the judge has a verdict on."""
    network, found = case.network, []
    edges = set(edges_of(case))
    for step in network.steps:
        for name in step.values if step not in network.loss else (step.name,):
            kind = "Div" if name in (DIV, ERR) else "value"
            found.append(FaultSite(Quantity.value(name), step.name, kind, step, name))
        n = values_of(step.op, step.inputs)
        for slot, edge in enumerate(step.edges):
            own = edge is not None and network.has_own_uses(edge.source)
            if edge is None or (own and edge not in edges):
                continue
            kind = "Div" if step.name == ERR else "edge" if slot < n else "parameter"
            quantity = Quantity.use(network, edge)
            found.append(FaultSite(quantity, step.name, kind, step, edge, slot))
        found += [
            FaultSite(Quantity.grad(name), step.name, "sum", step, name)
            for name in step.outputs
            if step not in network.loss
        ]
    shared = [name for name in network.trained if network.has_own_uses(name)]
    for name in (*case.differentiated, *shared):
        found.append(FaultSite(Quantity.grad(name), name, "sum", None, name))
    return found


def quantity(trace: Trace, site: FaultSite) -> NDArray:
    """The array of the trace that stands there; Err as one without axes."""
    if isinstance(site.key, Edge):
        through = trace.edge_grad.get(site.key)
        return trace.grad[site.key.source] if through is None else through
    if site.kind == "sum":
        return trace.grad[site.key]
    found: NDArray = trace.values()[site.key]
    return found


def mistaken(case: Case, trace: Trace, site: FaultSite) -> Iterator[tuple[str, NDArray | None]]:
    """The same for the faults of a formula alone: derivations that are easily got wrong."""
    if not isinstance(site.key, Edge) or site.step is None or site.node == ERR:
        return
    dz, y, z = _arrived(case, trace, site.step)
    right = site.step.op.vjp(dz, y, z)[site.slot]
    for name, fault in (GRADIENTS if site.kind == "parameter" else BACKWARD).items():
        wrong = fault(site.step.op, dz, y, z)
        if wrong is not None and wrong[site.slot] is not None:
            yield name, if_other(wrong[site.slot], right)


def right_at(case: Case, trace: Trace, site: FaultSite) -> Any:
    """The gradient that the formula gives there, on the numbers the implementation had."""
    assert site.step is not None
    dz, y, z = _arrived(case, trace, site.step)
    return site.step.op.vjp(dz, y, z)[site.slot]


def _arrived(case: Case, trace: Trace, step: Step) -> tuple[Any, tuple[Any, ...], Any]:
    y, z = inputs_at(case, trace.values(), step)
    return arriving(step, trace.grad, completed(case, trace.values())), y, z


def if_other(wrong: Any, right: Any) -> NDArray | None:
    """None for a mutant that is bitwise the original, signs of zero apart."""
    wrong = np.array(wrong, dtype=right.dtype)
    return None if np.array_equal(wrong, right, equal_nan=True) else wrong


def completed(case: Case, value: Mapping[str, Any]) -> dict[str, Any]:
    """The values with all inputs, and the weights that a loss passes on, which no trace has."""
    known = {**value, **case.given}
    for step in case.network.loss:
        if {*step.values} - {*known} and {*step.inputs} <= {*known}:
            known = value_of(step, step.op, tuple(known[name] for name in step.inputs)) | known
    return known


def inputs_at(case: Case, value: Mapping[str, Any], step: Step) -> tuple[tuple[Any, ...], Any]:
    """(y, z) as they were at a node; of a random op, with the draw that was used."""
    known = completed(case, value)
    y = tuple(known[name] for name in step.inputs if name != step.draw)
    if {*step.states} - {*known} and not step.op.random:  # which few implementations return
        known = value_of(step, step.op, y) | known
    z = step.joined(known)
    if step.op.random:
        y = (*y, step.op.draw(y, z))
    return y, z
