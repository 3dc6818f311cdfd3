"""Planting a fault in a trace, as an implementation with that fault would have computed it.

Only the planted quantity is wrong: what depends on it is computed from it by the right formulas,
and what does not stays what the implementation computed.  So whoever accuses another place accuses
the innocent, and whoever is accused at the planted place is accused of this fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ...core import Case, Trace
from ...core.arrays import NDArray, total
from ...core.backprop import risk
from ...core.network import INPUT, Edge, Step
from ...core.op import Slopes, Ties
from .faults import ARRAY, BACKWARD, DIVERGENCE, GRADIENTS, Place

__all__ = ["Spot", "mistaken", "mutants", "plant", "quantity", "replay", "spots"]


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


# The faults that apply at a spot ----------------------------------------------------------------


def mutants(case: Case, trace: Trace, spot: Spot) -> Iterator[tuple[str, NDArray | None]]:
    """(fault, the wrong array, or None where the fault changes nothing) for all that apply."""
    right = quantity(trace, spot)
    at = Place(case.T, _smooth(case, trace, spot))
    with np.errstate(all="ignore"):
        for name, array_fault in ARRAY.items():
            wrong = array_fault(right, at)
            if wrong is not None:
                yield name, _if_other(wrong, right)
        if spot.kind == "sum":
            uses = [trace.edge_grad[edge] for edge in case.network.consumers(spot.key)]
            if len(uses) > 1:
                yield "a use left out", _if_other(total(uses[:-1]), right)
        yield from mistaken(case, trace, spot)


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


def _smooth(case: Case, trace: Trace, spot: Spot) -> NDArray:
    """Where one value alone is right: not at a kink, and not where an op draws at random."""
    everywhere = np.ones(quantity(trace, spot).shape, bool)
    if spot.step is None or spot.kind not in ("edge", "value"):
        return everywhere
    y = _value(case, trace.value, spot.step.inputs[0])
    if spot.kind == "value":
        return np.asarray(y > 0) if spot.step.op.random else everywhere
    p = spot.step.own(case.params)
    valid = spot.step.op.subdifferential(p, y, float(np.finfo(case.dtype).tiny))
    if isinstance(valid, Slopes):
        return np.asarray(~valid.at)
    if isinstance(valid, Ties):
        tied = valid.winners.sum(-1, keepdims=True) > len(valid.sizes)
        return ~np.broadcast_to(tied, everywhere.shape)
    return everywhere


# An implementation with the fault ---------------------------------------------------------------


def plant(case: Case, trace: Trace, spot: Spot, fault: str) -> Trace | None:
    """The trace of an implementation with this fault; None where it changes or applies to nothing.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(2, 2), Tanh()], L2()), batch=2)
    >>> trace, spot = backprop(case), spots(case)[2]
    >>> spot.quantity
    'grad W1'
    >>> (plant(case, trace, spot, "doubled").grad["W1"] == 2 * trace.grad["W1"]).all()
    np.True_
    """
    wrong = dict(mutants(case, trace, spot)).get(fault)
    return None if wrong is None else replay(case, trace, spot, wrong)


def replay(case: Case, trace: Trace, spot: Spot, wrong: NDArray) -> Trace:
    """The trace with one quantity wrong, and what depends on it computed from that."""
    with np.errstate(all="ignore"):
        return _Replay(case, trace, spot, wrong).trace


class _Replay:
    """`backprop`, but keeping of a trace what does not depend on the planted quantity."""

    def __init__(self, case: Case, trace: Trace, spot: Spot, wrong: NDArray) -> None:
        self.case, self.kept, self.spot, self.wrong = case, trace, spot, wrong
        self.changed: set[str] = set()  # quantities, by name
        self.value: dict[str, NDArray] = {}
        self.grad: dict[str, NDArray] = dict(trace.grad)
        self.edge_grad: dict[Any, NDArray] = dict(trace.edge_grad)
        for step in case.network.steps:
            self._forward(step)
        Div, Err = self._risk()
        self.trace = replace(
            trace, Err=Err, Div=Div, value=self.value, grad=self.grad, edge_grad=self.edge_grad
        )
        self._divergence(Div)
        for step in reversed(case.network.steps):
            self._backward(step)
        self._sum(INPUT)

    def _settle(self, quantity: str, kept: NDArray, depends: set[str], compute: Any) -> NDArray:
        """The planted array, what was kept, or what follows from the changed ones."""
        if quantity == self.spot.quantity and quantity not in self.changed:
            self.changed.add(quantity)
            return self.wrong
        if not depends & self.changed:
            return kept
        self.changed.add(quantity)
        return np.asarray(compute(), kept.dtype)

    def _forward(self, step: Step) -> None:
        def z() -> NDArray:
            y = (_value(self.case, self.value, name) for name in step.inputs)
            found: NDArray = step.op.forward(step.own(self.case.params), *y)
            return found

        depends = {f"value {name}" for name in step.inputs}
        kept = self.kept.value[step.name]
        self.value[step.name] = self._settle(f"value {step.name}", kept, depends, z)

    def _risk(self) -> tuple[NDArray, float]:
        network, desired = self.case.network, self.case.desired
        y = self.value[network.output]
        forward = partial(network.divergence.forward, y, desired)
        Div = self._settle("Div", self.kept.Div, {f"value {network.output}"}, forward)
        kept = np.asarray(self.kept.Err, self.kept.dtype)
        Err = self._settle("Err", kept, {"Div"}, lambda: risk(Div, network))
        return Div, float(Err) if "Err" in self.changed else self.kept.Err

    def _divergence(self, Div: NDArray) -> None:
        network = self.case.network
        edge = Edge(network.output, "Div")
        dDiv = self._settle("grad Div", self.kept.grad["Div"], set(), None)
        given = dDiv, self.value[network.output], self.case.desired, Div
        self.grad["Div"] = dDiv
        self.edge_grad[edge] = self._settle(
            _grad(edge), self.kept.edge_grad[edge], {"grad Div", f"value {network.output}"},
            lambda: network.divergence.backward(*given),
        )  # fmt: skip

    def _sum(self, name: str) -> NDArray:
        edges = self.case.network.consumers(name)
        self.grad[name] = self._settle(
            f"grad {name}", self.kept.grad[name], {_grad(edge) for edge in edges},
            lambda: total([self.edge_grad[edge] for edge in edges]),
        )  # fmt: skip
        return self.grad[name]

    def _backward(self, step: Step) -> None:
        op, *given = _given(self.case, self.value, self._sum(step.name), step)
        depends = {f"grad {step.name}", *(f"value {name}" for name in (*step.inputs, step.name))}
        for slot, edge in enumerate(step.edges):
            self.edge_grad[edge] = self._settle(
                _grad(edge), self.kept.edge_grad[edge], depends,
                lambda slot=slot: op.backward(*given)[slot],
            )  # fmt: skip
        for letter, name in step.parameters.items():
            self.grad[name] = self._settle(
                f"grad {name}", self.kept.grad[name], depends,
                lambda letter=letter: op.gradients(*given)[letter],
            )  # fmt: skip
