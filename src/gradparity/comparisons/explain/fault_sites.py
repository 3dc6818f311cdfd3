"""Fault sites: the quantities in which a fault can be planted, and what it makes of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ...core import Case, Trace
from ...core.arithmetic.arrays import NDArray
from ...core.network.network import INPUT, Edge, Step
from .faults import BACKWARD, DIVERGENCE, GRADIENTS

__all__ = ["Spot", "mistaken", "quantity", "spots"]


class Spot(NamedTuple):
    """A quantity in which a fault can be planted, under the name the judge gives it."""

    quantity: str
    node: str
    kind: str  # "value", "edge", "parameter", "sum", "Div"
    step: Step | None = None
    key: Any = None  # the edge, the letter of the parameter, or the name of the value


def spots(case: Case) -> list[Spot]:
    """Every quantity of a trace that the judge has a verdict on."""
    network, found = case.network, []
    for step in network.steps:
        found.append(Spot(f"value {step.name}", step.name, "value", step, step.name))
        found += [Spot(_grad(edge), step.name, "edge", step, edge) for edge in step.edges]
        for letter, name in step.parameters.items():
            found.append(Spot(f"grad {name}", step.name, "parameter", step, letter))
        found.append(Spot(f"grad {step.name}", step.name, "sum", step, step.name))
    output = Edge(network.output, "Div")
    found += [Spot(name, "Div", "Div", None, name) for name in ("Div", "Err", "grad Div")]
    found.append(Spot(_grad(output), "Div", "edge", None, output))
    found.append(Spot(f"grad {INPUT}", INPUT, "sum", None, INPUT))
    return found


def _grad(edge: Edge) -> str:
    return f"grad {edge.source} -> {edge.target}"


def quantity(trace: Trace, spot: Spot) -> NDArray:
    """The array of the trace that stands there; Err as one without axes."""
    if spot.kind == "edge":
        return trace.edge_grad[spot.key]
    if spot.kind == "value":
        return trace.value[spot.key]
    if spot.quantity == "Err":
        return np.asarray(trace.Err, trace.dtype)
    return trace.Div if spot.quantity == "Div" else trace.grad[spot.quantity.removeprefix("grad ")]


def mistaken(case: Case, trace: Trace, spot: Spot) -> Iterator[tuple[str, NDArray | None]]:
    """The same for the faults of a formula alone: derivations that are easily got wrong."""
    if spot.kind == "edge" and spot.step is None:
        yield from _of_divergence(case, trace, spot)
    elif spot.kind in ("edge", "parameter"):
        yield from _of_formula(case, trace, spot)


def _if_other(wrong: Any, right: NDArray) -> NDArray | None:
    """None for a mutant that is bitwise the original, signs of zero apart."""
    wrong = np.array(wrong, dtype=right.dtype)
    return None if np.array_equal(wrong, right, equal_nan=True) else wrong


def _of_divergence(case: Case, trace: Trace, spot: Spot) -> Iterator[tuple[str, NDArray | None]]:
    given = trace.grad["Div"], trace.value[spot.key.source], case.desired, trace.Div
    right = case.network.divergence.backward(*given)
    for name, fault in DIVERGENCE.items():
        wrong = fault(case.network.divergence, *given)
        if wrong is not None:
            yield name, _if_other(wrong, right)


def _of_formula(case: Case, trace: Trace, spot: Spot) -> Iterator[tuple[str, NDArray | None]]:
    step = spot.step
    assert step is not None
    given = _given(case, trace.value, trace.grad[step.name], step)
    if spot.kind == "edge":
        slot = step.edges.index(spot.key)
        right = given[0].backward(*given[1:])[slot]
        for name, fault in BACKWARD.items():
            wrong = fault(*given)
            if wrong is not None:
                yield name, _if_other(wrong[slot], right)
    else:
        right = given[0].gradients(*given[1:])[spot.key]
        for name, fault in GRADIENTS.items():
            wrong = fault(*given).get(spot.key)
            if wrong is not None:
                yield name, _if_other(wrong, right)


def _given(case: Case, value: dict[str, NDArray], dz: NDArray, step: Step) -> tuple[Any, ...]:
    """(op, dz, p, y, z) as they were at a node; of a random op, the slopes that were drawn."""
    y = tuple(_value(case, value, name) for name in step.inputs)
    p, z = step.own(case.params), value[step.name]
    return step.op.observed(y[0], z), dz, p, y, z


def _value(case: Case, value: dict[str, NDArray], name: str) -> NDArray:
    return case.x if name == INPUT else value[name]
