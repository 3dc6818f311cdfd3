"""Products taken of the value of a linear op, or of its input: a GRU's reset gate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.activations import Sigmoid
from ....core.formulas.layers import Affine, Multiply
from ....core.network.calls import Call
from ....core.network.composed import Composed
from ....core.vocabulary.contractions import Einsum, MatMul
from ..programs.edits import Edit, values_of
from ..programs.values import Program

__all__ = ["earlier_products"]

#: The most nodes between a product and the linear op whose input it may be taken of.
STEPS = 4


@dataclass(frozen=True)
class _Path:
    """The way from an input of a linear op to a factor of a product.

    Attributes
    ----------
    factor : the slot of the other factor in the product.
    steps : (call, the slot that the way takes, which of its results goes on).
    """

    factor: int
    steps: tuple[tuple[Call, int, int], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Earlier(Edit):
    """A product with a factor, taken of the input of the linear op before."""

    path: _Path

    def forward(self, y: Sequence[NDArray], value: Mapping[str, NDArray]) -> tuple[NDArray, ...]:
        """Compute what follows from the input times the factor."""
        first, slot, _ = self.path.steps[0]
        z = values_of(first, value)[slot] * y[self.path.factor]
        for call, at, result in self.path.steps:
            given = list(values_of(call, value))
            given[at] = z
            made = call.op.forward(*given)
            z = np.asarray(made[result] if isinstance(made, tuple) else made)
        return (z,)


def earlier_products(call: Call, nodes: Sequence[Call], program: Program) -> Iterator[Edit]:
    """Yield changes of a product, for it and for all `nodes` that repeat it, such as in a loop."""
    makers = {name: c for c in program.calls for name in c.names}
    for path in _paths(call, makers, program):
        kinds = [type(c.op) for c, _, _ in path.steps]
        at = {call.place.node: path}
        for other in nodes:
            alike = (
                p for p in _paths(other, makers, program)
                if p.factor == path.factor and [type(c.op) for c, _, _ in p.steps] == kinds
            )  # fmt: skip
            own = next(alike, None)
            if own is not None:
                at.setdefault(other.place.node, own)
        factor = call.inputs[path.factor].source
        linear = path.steps[0][0].place.node
        said = f"the product with {factor} is taken of the value of {linear} {{here}}, and of its "
        said += "input {there}"
        if factor in makers and isinstance(makers[factor].op, Sigmoid):
            said += ", such as with the reset gate of a GRU (reset_after)"
        each = {node: _Earlier(said, call.op, path=p) for node, p in at.items()}
        yield Edit(said, call.op, each=each)


def _paths(call: Call, makers: Mapping[str, Call], program: Program) -> Iterator[_Path]:
    if not isinstance(call.op, Multiply) or len(call.inputs) != 2:
        return
    for factor in (0, 1):
        shape, name = call.inputs[factor].array.shape, call.inputs[1 - factor].source
        if len(shape) < 2 or not call.inputs[factor].source:
            continue
        ways: list[tuple[str, tuple[tuple[Call, int, int], ...]]] = [(name, ())]
        for _ in range(STEPS):
            ways = [
                (c.inputs[i].source, ((c, i, c.names.index(n)), *steps))
                for n, steps in ways
                if (c := makers.get(n)) is not None
                for i, o in enumerate(c.inputs)
                if o.array.dtype.kind == "f"
            ]
            for source, steps in ways:
                first, slot, _ = steps[0]
                if not isinstance(first.op, MatMul | Affine | Einsum | Composed):
                    continue
                known = source in program.leaves or source == call.inputs[factor].source
                if first.inputs[slot].array.shape == shape and not known:
                    yield _Path(factor, steps)
