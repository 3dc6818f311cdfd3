"""One op with numbers to test it on, and the reference values of its formulas.

The op is a network of its own: node "z", whose outputs a second node puts side by side, so that one
chosen cotangent holds the gradients by all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from ...core import Case, LinearLoss, Network, Node, Op, Trace
from ...core.arithmetic.arrays import Array, NDArray, split
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.rounding import Rounding
from ...core.formulas.op import Shape
from ...core.network.backprop import backprop
from ...core.network.nodes import Edge, Step
from ...core.network.quantity import Quantity
from ..findings.finding import Evidence, Finding
from ..judge.node_by_node import judge_node
from ..measure.at_node import reference_at_node

__all__ = ["VALUE", "Setting", "Z", "letters_of", "names_of_inputs", "network_of", "shapes_of_z"]

#: The name of the op's node, and the quantity of its value.
Z = "z"
VALUE = Quantity.value(Z)


@dataclass(frozen=True)
class SideBySide(Op):
    """n values in one array: every sample's elements in a row, or all where axis 0 differs."""

    n: int

    @property
    def n_inputs(self) -> int:  # type: ignore[override]  # here it differs from one to the next
        return self.n

    def output_shape(self, *shapes: Shape) -> Shape:
        T = _rows(shapes)
        return T, sum(map(prod, shapes)) // T

    def forward(self, *y: Array) -> Array:
        T = _rows([a.shape for a in y])
        return np.concatenate([a.reshape(T, -1) for a in y], axis=-1)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return apart(dz, [a.shape for a in y])


def _rows(shapes: Sequence[Shape]) -> int:
    lengths = {shape[:1] for shape in shapes}
    return lengths.pop()[0] if len(lengths) == 1 and () not in lengths else 1


def apart(row: Array, shapes: Sequence[Shape]) -> tuple[Array, ...]:
    """The arrays of these shapes that lie side by side."""
    parts = split(row, [prod(shape) // row.shape[0] for shape in shapes], -1)
    return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))


def network_of(op: Op, n: int, fixed: Sequence[str] = ()) -> Network:
    """The network of the op alone on n inputs y (or y1, y2, ...), with a chosen cotangent."""
    names = names_of_inputs(n)
    values = [f"{Z}.{output}" if output else Z for output in op.outputs]
    nodes = Node(Z, op, *names), Node("side_by_side", SideBySide(len(values)), *values)
    return Network(*nodes, divergence=LinearLoss(), reduction="sum", inputs=names, fixed=fixed)


def shapes_of_z(network: Network, inputs: Sequence[Shape]) -> dict[str, Shape]:
    """The shape of every output of the op, for those of all inputs of its network."""
    shapes = network.shapes(dict(zip(network.inputs, inputs, strict=True)))
    return {name: shapes[name] for name in network.body[0].outputs}


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
    """Input values y, parameters p and a cotangent of one op, as a case of the op alone.

    `where` describes the numbers in a finding's note.
    """

    case: Case
    where: str = ""

    @property
    def step(self) -> Step:
        return self.case.network.body[0]

    @property
    def op(self) -> Op:
        return self.step.op

    @cached_property
    def core(self) -> Trace:
        """The trace of the core on these numbers."""
        return backprop(self.case)

    @cached_property
    def arguments(self) -> dict[str, NDArray]:
        """The arguments of a function of the op by name: y (or y1, y2, ...), W, b."""
        own = self.step.parameters
        return {**self.case.inputs, **{k: self.case.params[own[k]] for k in letters_of(self.op)}}

    @property
    def y(self) -> tuple[NDArray, ...]:
        """All inputs of the op's own formulas."""
        own = self.step.parameters.values()
        return (*self.case.inputs.values(), *(self.case.params[name] for name in own))

    @property
    def inputs(self) -> list[str]:
        """The names of the input values that have a gradient: neither integers nor fixed."""
        return list(self.case.differentiated)

    @property
    def dz(self) -> NDArray:
        """The gradients by all outputs, side by side: see `SideBySide`."""
        return self.case.desired

    @cached_property
    def cotangents(self) -> dict[str, NDArray]:
        """The gradient by every output: dz, or dh and dc for outputs "h" and "c"."""
        arrays = apart(self.dz, list(self.z_shapes.values()))
        return {f"d{letter}": a for letter, a in zip(self.letters, arrays, strict=True)}

    @property
    def letters(self) -> list[str]:
        """The names of the outputs in a function of the op: z, or h and c."""
        return [output or Z for output in self.op.outputs]

    @property
    def gradients(self) -> dict[str, Shape]:
        """The shape of every gradient that a backward function returns, in its order."""
        without = {*self.op.buffers, *self.case.inputs} - {*self.inputs}
        return {name: a.shape for name, a in self.arguments.items() if name not in without}

    @property
    def z_shapes(self) -> dict[str, Shape]:
        """The shape of every output."""
        return {name: self.case.shapes[name] for name in self.step.outputs}

    def with_dz(self, *dz: NDArray) -> Setting:
        """This setting with another cotangent: side by side, or one array per output."""
        row = SideBySide(len(dz)).forward(*dz)
        return Setting(_like(self.case, self.case.inputs, row), self.where)

    def rows(self, rows: Any) -> Setting:
        """This setting with some of the samples, or in another order.

        Where axis 0 of z is not that of the samples, dz consists of its first elements.
        """
        inputs = {name: a[rows] for name, a in self.case.inputs.items()}
        shapes = shapes_of_z(self.case.network, [a.shape for a in inputs.values()]).values()
        taken = [
            d[rows] if d.ndim and d[rows].shape == shape else np.resize(d, shape)
            for d, shape in zip(self.cotangents.values(), shapes, strict=True)
        ]
        row = SideBySide(len(taken)).forward(*taken)
        return Setting(_like(self.case, inputs, row), self.where)

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
        """The judge's verdicts on these results, by the names in the user's functions.

        Many checks get equal results here, such as those in other layouts.  They are judged once,
        unless float64 says something else about them.
        """
        arrays = ((q, a.dtype.str, a.shape, a.tobytes()) for q, a in results.items())
        key = float64 is None, *allow, *arrays
        known = self._judged.get(key)
        if known is not None:
            asked, findings = known
            if asked is None or float64 is None or asked == float64():
                return list(findings)
        evidence: list[Mapping[str, Finding]] = []

        def asking() -> Mapping[str, Finding]:
            if not evidence:
                evidence.append(float64())  # type: ignore[misc]
            return evidence[0]

        trace = self._trace(results)
        found = judge_node(self.case, trace, Z, None if float64 is None else asking, allow)
        mine = [f for f in found if f.quantity in self._ours]
        named = [replace(f, quantity=self._ours[f.quantity]) for f in mine]
        findings = [f for f in named if f.quantity in results]
        self._judged[key] = (evidence[0] if evidence else None), findings
        return list(findings)

    def there(self, found: Finding) -> str:
        """The numbers that an element of an elementwise op was computed from, for a note."""
        given, at = {**self.arguments, **self.cotangents}, found.index
        if at is None or len({a.shape for a in given.values()}) > 1 or not self.is_elementwise(at):
            return ""
        return ", where " + ", ".join(f"{name} = {a[at]:.6g}" for name, a in given.items())

    def is_elementwise(self, at: tuple[int, ...]) -> bool:
        """Whether a NaN put into this element stays there."""
        if self.op.integers or len(self.op.outputs) > 1:
            return False
        y = [a.astype(np.float64) for a in self.y]
        for a in y:
            a[at] = np.nan
        draw = [self.op.sample(*y)] if self.op.random else []
        with np.errstate(all="ignore"):
            nan = np.isnan(self.op.forward(*y, *draw))
        return bool(nan.shape == y[0].shape and nan[at] and nan.sum() == 1)

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
    def _judged(self) -> dict[Any, tuple[Mapping[str, Finding] | None, list[Finding]]]:
        """Results, as bytes -> what float64 said of them if it was asked, and the findings."""
        return {}

    @cached_property
    def _edges(self) -> dict[str, Edge]:
        return {name: edge for name, edge in self.step.taken if edge and name in self.inputs}

    @cached_property
    def _ours(self) -> dict[Quantity, Quantity]:
        """The judge's name of a quantity -> ours."""
        by = Quantity.grad
        edges = {Quantity.through(*edge): by(y) for y, edge in self._edges.items()}
        values = {Quantity.value(name): Quantity.value(name) for name in self.step.outputs}
        return {**values, **edges, **{by(p): by(k) for k, p in self.step.parameters.items()}}

    def _trace(self, results: Mapping[Quantity, NDArray]) -> Trace:
        """The core's trace with these results in it; the gradients of the outputs are given."""
        outputs = self.step.outputs
        value, edge_grad = dict(self.core.value), dict(self.core.edge_grad)
        grad = self.core.grad | dict(zip(outputs, self.cotangents.values(), strict=True))
        for name in outputs:
            value[name] = results.get(Quantity.value(name), value[name])
        for name, edge in self._edges.items():
            edge_grad[edge] = results.get(Quantity.grad(name), edge_grad[edge])
        for letter, name in self.step.parameters.items():
            if letter not in self.op.buffers:
                grad[name] = results.get(Quantity.grad(letter), grad[name])
        return replace(self.core, value=value, grad=grad, edge_grad=edge_grad, adapter="own")


def _like(case: Case, inputs: Mapping[str, NDArray], d: NDArray) -> Case:
    return Case(case.network, case.params, dict(inputs), d, case.name, case.precision)
