"""Planting a fault in a trace, as an implementation with that fault would have computed it.

Only the planted quantity is wrong: what depends on it is computed from it by the right formulas,
and what does not stays what the implementation computed.  So whoever accuses another place accuses
the innocent, and whoever is accused at the planted place is accused of this fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...core import Case, Trace
from ...core.arithmetic.arrays import NDArray, total
from ...core.formulas.op import Slopes, Ties
from ...core.network.backprop import risk
from ...core.network.network import INPUT, Edge, Step
from ..explain.fault_sites import Spot, _given, _grad, _if_other, _value, mistaken, quantity
from ..explain.faults import ARRAY, Place

__all__ = ["mutants", "plant", "replay"]


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

    >>> from gradparity.comparisons.explain.fault_sites import spots
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
