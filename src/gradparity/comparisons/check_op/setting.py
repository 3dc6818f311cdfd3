"""One op with numbers to test it on, and the reference values of its formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...core import Case, LinearLoss, Network, Node, Op, Trace
from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.rounding import Rounding
from ...core.network.backprop import backprop
from ...core.network.nodes import Edge, Step
from ...core.network.quantity import Quantity
from ..findings.finding import SUM, Evidence, Finding
from ..judge.node_by_node import judge
from ..measure.at_node import reference_at_node

__all__ = ["VALUE", "Setting", "Z", "letters_of", "names_of_inputs", "network_of"]

#: The name of the op's node, and the quantity of its value.
Z = "z"
VALUE = Quantity.value(Z)


def network_of(op: Op, n: int) -> Network:
    """The network of the op alone on n inputs y (or y1, y2, ...), with a chosen cotangent."""
    names = names_of_inputs(n)
    made = [f"{Z}.{output}" if output else Z for output in op.outputs]
    return Network(
        Node(Z, op, *names), divergence=LinearLoss(), output=made[0], reduction="sum", inputs=names
    )


def names_of_inputs(n: int) -> list[str]:
    """The names of the inputs of an op: y, or y1, y2, ..."""
    return ["y"] if n == 1 else [f"y{i}" for i in range(1, n + 1)]


def letters_of(op: Op) -> list[str]:
    """The letters of the parameters that a function of the op is called with.

    Running statistics are left out where the op only updates them.
    """
    return [k for k in op.parameter_shapes() if not (op.states and k in op.buffers)]


@dataclass(frozen=True, eq=False)
class Setting:
    """Input values y, parameters p and a cotangent dz of one op, as a case of the op alone.

    `where` describes the numbers in a finding's note.
    """

    case: Case
    where: str = ""

    @property
    def step(self) -> Step:
        return self.case.network.body[-1]

    @property
    def op(self) -> Op:
        return self.step.op

    @cached_property
    def core(self) -> Trace:
        """The trace of the core on these numbers."""
        return backprop(self.case)

    @cached_property
    def arguments(self) -> dict[str, NDArray]:
        """The arguments of a function of the op, by name: y (or y1, y2, ...), W, b."""
        own = self.step.parameters
        return {**self.case.inputs, **{k: self.case.params[own[k]] for k in letters_of(self.op)}}

    @property
    def y(self) -> tuple[NDArray, ...]:
        """All inputs of the op's own formulas."""
        own = self.step.parameters.values()
        return (*self.case.inputs.values(), *(self.case.params[name] for name in own))

    @property
    def inputs(self) -> list[str]:
        """The names of the input values."""
        return list(self.case.inputs)

    @property
    def dz(self) -> NDArray:
        return self.case.desired

    @property
    def gradients(self) -> dict[str, tuple[int, ...]]:
        """The shape of every gradient that a backward function returns, in its order."""
        buffers = self.op.buffers
        return {name: a.shape for name, a in self.arguments.items() if name not in buffers}

    @property
    def z_shape(self) -> tuple[int, ...]:
        return self.case.shapes[Z]

    def with_dz(self, dz: NDArray) -> Setting:
        """This setting with another cotangent."""
        return Setting(_like(self.case, self.case.inputs, dz), self.where)

    def rows(self, rows: Any) -> Setting:
        """This setting with some of the samples, or in another order.

        Where axis 0 of z is not that of the samples, dz consists of its first elements.
        """
        inputs = {name: a[rows] for name, a in self.case.inputs.items()}
        shape = self.case.network.shapes({name: a.shape for name, a in inputs.items()})[Z]
        d = self.case.d[rows]
        d = d if d.shape == shape else np.resize(self.case.d, shape)
        return Setting(_like(self.case, inputs, d), self.where)

    def astype(self, precision: Any) -> Setting:
        if precision not in self._rounded:
            self._rounded[precision] = Setting(self.case.astype(precision), self.where)
        return self._rounded[precision]

    def bounds(self, rounding: Rounding) -> dict[Quantity, Bounded]:
        """Every quantity with its reference value and error bound."""
        if rounding not in self._bounds:
            expected = reference_at_node(self.step, self.case, self.core, rounding)
            ours = (
                self._ours
            )  # without states, such as running statistics, which pairs do not return
            found = {ours[e.quantity]: e.want for e in expected if e.quantity in ours}
            self._bounds[rounding] = found
        return self._bounds[rounding]

    def judged(
        self,
        results: Mapping[Quantity, NDArray],
        float64: Evidence | None = None,
        allow: Sequence[str] = (),
    ) -> list[Finding]:
        """The judge's verdicts on these results, by the names in the user's functions."""
        found = judge(self.case, self._trace(results), float64, allow)
        mine = [f for f in found if f.node == Z and f.op != SUM and f.quantity in self._ours]
        named = [replace(f, quantity=self._ours[f.quantity]) for f in mine]
        return [f for f in named if f.quantity in results]

    def there(self, found: Finding) -> str:
        """The numbers that an element of an elementwise op was computed from, for a note."""
        given = {**self.arguments, "dz": self.dz}
        shape = given[self.inputs[0]].shape
        at, alike = found.index, {name: a for name, a in given.items() if a.shape == shape}
        if at is None or len(at) != len(shape) or "dz" not in alike or self.step.parameters:
            return ""
        return ", where " + ", ".join(f"{name} = {a[at]:.6g}" for name, a in alike.items())

    def evidence(self, findings: Sequence[Finding]) -> dict[str, Finding]:
        """Findings by the judge's names of their quantities."""
        theirs = {ours: name for name, ours in self._ours.items()}
        return {theirs[f.quantity]: f for f in findings if f.quantity in theirs}

    @cached_property
    def _rounded(self) -> dict[Any, Setting]:
        return {}

    @cached_property
    def _bounds(self) -> dict[Rounding, dict[Quantity, Bounded]]:
        return {}

    @cached_property
    def _edges(self) -> dict[str, Edge]:
        n = len(self.inputs)
        return dict(zip(self.inputs, self.step.edges[:n], strict=True))  # type: ignore[arg-type]

    @cached_property
    def _ours(self) -> dict[Quantity, Quantity]:
        """The judge's name of a quantity -> ours."""
        by = Quantity.grad
        edges = {Quantity.through(*edge): by(y) for y, edge in self._edges.items()}
        return {VALUE: VALUE, **edges, **{by(p): by(k) for k, p in self.step.parameters.items()}}

    def _trace(self, results: Mapping[Quantity, NDArray]) -> Trace:
        """The core's trace with these results in it; the gradient of z is exactly dz."""
        value, grad = dict(self.core.value), {**self.core.grad, Z: self.dz}
        edge_grad = dict(self.core.edge_grad)
        value[Z] = results.get(VALUE, value[Z])
        for name, edge in self._edges.items():
            edge_grad[edge] = results.get(Quantity.grad(name), edge_grad[edge])
        for letter, name in self.step.parameters.items():
            if letter not in self.op.buffers:
                grad[name] = results.get(Quantity.grad(letter), grad[name])
        return replace(self.core, value=value, grad=grad, edge_grad=edge_grad, adapter="own")


def _like(case: Case, inputs: Mapping[str, NDArray], d: NDArray) -> Case:
    return Case(case.network, case.params, dict(inputs), d, case.name, case.precision)
