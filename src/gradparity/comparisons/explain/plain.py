"""The formulas of a node in plain float64, on what the implementation had there.

They cost a small part of what the same formulas cost with bounds, so candidates are tried here
first; whoever accepts one confirms it inside its bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import cached_property, partial
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.backprop import arriving
from ...core.network.case import Case
from ...core.network.contract import FormulaError, gradients_of, value_of
from ...core.network.nodes import Step
from ...core.network.quantity import Quantity
from ...core.network.trace import Trace
from .fault_sites import inputs_at

__all__ = ["Nodes", "Plain"]


class Plain:
    """A node with its inputs and the gradients that arrived there, in float64.

    Attributes
    ----------
    step, y : the node, and its inputs.
    got : the gradient by each input as the trace has it; None where it has none.
    uses : the quantity of each input's gradient; None where there is none.
    """

    def __init__(self, step: Step, case: Case, trace: Trace) -> None:
        self.step = step
        self.y = tuple(map(_wide, inputs_at(case, trace.values(), step)[0]))
        edges = step.edges
        self.uses = [None if e is None else Quantity.use(case.network, e) for e in edges]
        self.got = [None if use is None else _had(trace, use) for use in self.uses]
        there = {name: trace.grad.get(name) for name in step.outputs}
        self._dz = {name: _wide(g) for name, g in there.items() if g is not None}
        self._kept: dict[Any, tuple[Any, Any]] = {}

    @classmethod
    def of(cls, step: Step, case: Case, trace: Trace) -> Plain | None:
        """The node; None for a part of the loss, or where the trace lacks a value of it."""
        known = {*trace.values(), *case.given}
        if step in case.network.loss or not known.issuperset((*step.inputs, *step.outputs)):
            return None
        return cls(step, case, trace)

    def kept(self, of: Any, quantity: str, compute: Callable[[], Any]) -> Any:
        """The result of `compute`, cached for an object and a quantity of the node."""
        key = id(of), quantity
        if key not in self._kept:
            self._kept[key] = of, compute()  # the object is kept too, so its id stays its own
        return self._kept[key][1]

    @cached_property
    def z(self) -> dict[str, Any]:
        """The values by the node's own formulas, by name."""
        return self.values(self.step.op)

    def through(self, change: Callable[[Any], Any]) -> Plain:
        """The same node with every input and every gradient that arrived changed."""
        other = copy(self)
        other.y = tuple(map(change, self.y))
        other._dz = {name: change(g) for name, g in self._dz.items()}
        return other

    def values(self, op: Any) -> dict[str, Any]:
        """The values by the formulas of an op, by name."""
        return value_of(self.step, op, self.y)

    def gradients(self, op: Any, z: Mapping[str, Any] | None = None) -> list[Any]:
        """The gradient by every input by the formulas of an op; None where there is none.

        `z` replaces the values of that op.
        """
        if not self._dz:
            return [None] * len(self.y)
        z = self.values(op) if z is None else z
        dz = arriving(self.step, self._dz, z)
        return [*gradients_of(self.step, op, dz, self.y, self.step.joined(z))]

    def result(self, op: Any, q: Quantity, keep: bool = False) -> NDArray | None:
        """A quantity by the formulas of an op; None where there is none, or they refuse.

        `keep` what is computed, for an op that is tried on several quantities.
        """
        gradient = q in self.uses
        compute = partial(self.gradients if gradient else self.values, op)
        key = "gradients" if gradient else "values"
        try:
            every: Any = self.kept(op, key, compute) if keep else compute()
        except FormulaError:  # a user's formula refuses such inputs
            return None
        found = every[self.uses.index(q)] if gradient else every.get(q.name)
        return None if found is None else np.asarray(found)


class Nodes:
    """The nodes of one trace in plain float64, each made once."""

    def __init__(self) -> None:
        self._made: dict[str, Plain | None] = {}

    def at(self, step: Step, case: Case, trace: Trace) -> Plain | None:
        """As `Plain.of`."""
        if step.name not in self._made:
            self._made[step.name] = Plain.of(step, case, trace)
        return self._made[step.name]


def _wide(a: Any) -> Any:
    """Floats as float64, with anything else as it is."""
    return a.astype(np.float64) if a.dtype.kind == "f" else a


def _had(trace: Trace, use: Quantity) -> Any:
    """The gradient through a use, as the trace has it."""
    if use.target is None:
        return trace.grad.get(use.name)
    return trace.edge_grad.get((use.name, use.target))
