"""Plant a fault in a trace, as an implementation with that fault would have computed it.

Only the planted quantity is wrong: whatever depends on it is recomputed by the right formulas, and
everything else keeps the implementation's values.
A failure at another place is thus a false positive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...core import Case, Trace
from ...core.arithmetic.arrays import NDArray, total
from ...core.formulas.choices import Slopes
from ...core.network.backprop import arriving
from ...core.network.nodes import DIV, ERR, Step
from ...core.network.quantity import Quantity
from .fault_sites import FaultSite, completed, if_other, inputs_at, mistaken, quantity
from .faults import ARRAY, Place

__all__ = ["mutants", "plant", "replay"]


# The faults that apply at a site ----------------------------------------------------------------


def mutants(case: Case, trace: Trace, site: FaultSite) -> Iterator[tuple[str, NDArray | None]]:
    """(fault, wrong array) for all faults that apply; the array is None if nothing changes."""
    right = quantity(trace, site)
    inside = site.step.op.ops_inside if site.step is not None and site.kind != "sum" else 1
    at = Place(case.T, _smooth(case, trace, site), inside)
    with np.errstate(all="ignore"):
        for name, array_fault in ARRAY.items():
            wrong = array_fault(right, at)
            if wrong is not None:
                yield name, if_other(wrong, right)
        if site.kind == "sum":
            edges = case.network.consumers(site.key)
            uses = [trace.edge_grad[e] for e in edges if e in trace.edge_grad]
            if len(uses) > 1:
                yield "a use left out", if_other(total(uses[:-1]), right)
        yield from mistaken(case, trace, site)


def _smooth(case: Case, trace: Trace, site: FaultSite) -> NDArray:
    """Mask of elements with a single right value: not at a kink, not drawn at random."""
    everywhere = np.ones(quantity(trace, site).shape, bool)
    if site.step is None or site.kind not in ("edge", "value"):
        return everywhere
    y, _ = inputs_at(case, trace.values(), site.step)
    if site.kind == "value":
        return np.asarray(y[0] > 0) if site.step.op.random else everywhere
    valid = site.step.op.subdifferential(y, float(np.finfo(case.dtype).tiny))
    if valid is None:
        return everywhere
    if isinstance(valid, Slopes):
        return np.asarray(~valid.at) if site.slot == valid.input else everywhere
    everywhere.reshape(-1)[valid.element[valid.input == site.slot]] = False
    return everywhere


# An implementation with the fault ---------------------------------------------------------------


def plant(case: Case, trace: Trace, site: FaultSite, fault: str) -> Trace | None:
    """The trace of an implementation with this fault; None where it has no effect.

    >>> from gradparity.comparisons.explain.fault_sites import fault_sites
    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(2, 2), Tanh()], L2()), batch=2)
    >>> trace, site = backprop(case), fault_sites(case)[2]
    >>> site.quantity
    'grad W1'
    >>> (plant(case, trace, site, "doubled").grad["W1"] == 2 * trace.grad["W1"]).all()
    np.True_
    """
    wrong = dict(mutants(case, trace, site)).get(fault)
    return None if wrong is None else replay(case, trace, site, wrong)


def replay(case: Case, trace: Trace, site: FaultSite, wrong: NDArray) -> Trace:
    """The trace with one quantity wrong, and its dependents recomputed."""
    with np.errstate(all="ignore"):
        return _Replay(case, trace, site, wrong).trace()


class _Replay:
    """`backprop` that keeps those parts of a trace which do not depend on the planted quantity."""

    def __init__(self, case: Case, trace: Trace, site: FaultSite, wrong: NDArray) -> None:
        self.case, self.kept, self.site, self.wrong = case, trace, site, wrong
        self.changed: set[Quantity] = set()
        self.value = completed(case, trace.values())
        self.grad: dict[str, NDArray] = dict(trace.grad)
        self.edge_grad: dict[Any, NDArray] = dict(trace.edge_grad)

    def trace(self) -> Trace:
        """The forward pass, then the backward pass."""
        network = self.case.network
        for step in network.steps:
            self._forward(step)
        for step in reversed(network.steps):
            self._backward(step)
        shared = [name for name in network.trained if network.has_own_uses(name)]
        for name in (*self.case.differentiated, *shared):
            self._sum(name)
        Err = self.kept.Err
        if ERR in self.changed:
            Err = float(self.value[ERR])
        value = {name: self.value[name] for name in self.kept.value}
        Div: Any = self.value.get(DIV)
        return replace(
            self.kept, Err=Err, Div=Div, value=value, grad=self.grad, edge_grad=self.edge_grad
        )

    def _settle(
        self, quantity: Quantity, kept: NDArray, depends: set[Quantity], compute: Callable[[], Any]
    ) -> NDArray:
        """Return the planted array, the kept array, or one recomputed from changed arrays."""
        if quantity == self.site.quantity and quantity not in self.changed:
            self.changed.add(quantity)
            return self.wrong
        if not depends & self.changed:
            return kept
        self.changed.add(quantity)
        return np.asarray(compute(), kept.dtype)

    def _forward(self, step: Step) -> None:
        def z(name: str) -> Any:
            known = {**self.value, **self.case.given}
            y, _ = inputs_at(self.case, {**self.kept.values(), **self.value}, step)
            y = tuple(known.get(n, a) for n, a in zip(step.inputs, y, strict=True))
            return step.named(step.op.forward(*y))[name]

        depends = {*map(Quantity.value, step.inputs)}
        for name in step.values:
            if name in self.value:
                self.value[name] = self._settle(
                    Quantity.value(name), self.value[name], depends, partial(z, name)
                )

    def _sum(self, name: str) -> None:
        network = self.case.network
        edges = [e for e in network.consumers(name) if e in self.edge_grad]
        if name in self.grad and (edges or not network.consumers(name)):
            self.grad[name] = self._settle(
                Quantity.grad(name), self.grad[name], {Quantity.use(network, e) for e in edges},
                lambda: total([self.edge_grad[edge] for edge in edges]),
            )  # fmt: skip

    def _backward(self, step: Step) -> None:
        network = self.case.network
        for name in step.outputs if step not in network.loss else ():
            self._sum(name)
        if all(name not in self.grad and name not in network.ends for name in step.outputs):
            return
        values = {*step.inputs, *step.values} - ({DIV} if step.name == ERR else set())
        depends = {*map(Quantity.grad, step.outputs), *map(Quantity.value, values)}

        def through(slot: int) -> Any:
            y, z = inputs_at(self.case, self.value, step)
            grad = {n: np.ones((), self.case.dtype) * f for n, f in network.ends.items()}
            dz = arriving(step, {**grad, **self.grad}, self.value)
            return step.op.vjp(dz, y, z)[slot]

        for slot, edge in enumerate(step.edges):
            if edge is None:
                continue
            q = Quantity.use(network, edge)
            own = network.has_own_uses(edge.source)
            home: dict[Any, NDArray] = self.edge_grad if own else self.grad
            key: Any = edge if own else edge.source
            if key in home:
                home[key] = self._settle(q, home[key], depends, partial(through, slot))
