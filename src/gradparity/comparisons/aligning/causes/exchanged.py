"""Ops of two inputs, and activations in another form, that stand in the place of each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ....core.arithmetic.arrays import Array, NDArray
from ....core.formulas.activations import Identity
from ....core.formulas.layers import Add, Affine
from ....core.formulas.maxima import Maximum
from ....core.formulas.op import Movement, Op
from ....core.network.calls import Call
from ....core.network.composed import Composed
from ....core.vocabulary.contractions import Einsum, MatMul
from ....core.vocabulary.metric_losses import LossOfTwo
from ....core.vocabulary.pairs import LogAddExp, Minimum, Subtract
from ..programs.edits import Edit
from ..programs.values import NEAR, Program, are_near
from .replacements import ACTIVATIONS

__all__ = ["exchanged"]

#: The activation that an op is, if its other input is 0.
WITH_ZERO: dict[type[Op], str] = {Maximum: "ReLU", LogAddExp: "Softplus"}


@dataclass(frozen=True)
class _OnOne(Op):
    """An activation of one of several inputs.

    Attributes
    ----------
    op, slot : the activation, and the input.
    """

    op: Op
    slot: int

    def forward(self, *y: Array) -> Array:
        made: Array = self.op.forward(y[self.slot])
        return made


@dataclass(frozen=True)
class _Then(Op):
    """An op, and a function of its value.

    Attributes
    ----------
    op, power : the op, and the power of its value.
    """

    op: Op
    power: float

    def forward(self, *y: Array) -> Array:
        made: Array = np.asarray(self.op.forward(*y)) ** self.power
        return made


@dataclass(frozen=True)
class _Mean(Op):
    """The mean of two values."""

    def forward(self, *y: Array) -> Array:
        return 0.5 * (np.asarray(y[0]) + np.asarray(y[1]))


def exchanged(call: Call, y: Sequence[NDArray], other: Program) -> Iterator[Edit]:
    """A sum and a difference, a maximum and a minimum, and activations in whatever form."""
    yield from _signs(call)
    if isinstance(call.op, Maximum | Minimum):
        own, op = ("maximum", Minimum()) if isinstance(call.op, Maximum) else ("minimum", Maximum())
        yield Edit(f"it is a {own} {{here}} and a {op.name.lower()} {{there}}", op)
        yield Edit(f"it is a {own} {{here}} and the mean of both {{there}}", _Mean())
    yield from _activations(call, y, other)
    yield from _roots(call)
    for i, (o, a) in enumerate(zip(call.inputs, y, strict=True)):
        aim = i == 1 and _is_loss(call.op)
        if o.source or a.size < 2:
            continue
        if aim and np.unique(a).size == 1 and a.flat[0] in (0, 1):
            said = f"its target is {a.flat[0]:.0f} {{here}} and {1 - a.flat[0]:.0f} {{there}}"
            yield Edit(said, call.op, {i: 1 - a})
        elif np.array_equal(np.unique(a), (0, 1)):
            said = (
                f"its constant {i + 1}, of zeros and ones, is inverted {{there}}, such as by the "
            )
            said += "other order of a sort or the other side of a comparison"
            yield Edit(said, call.op, {i: 1 - a})


def _is_loss(op: Op) -> bool:
    """Whether an op takes a target after its prediction."""
    steps = op.network.body if isinstance(op, Composed) else ()
    return any(isinstance(each, LossOfTwo) for each in (op, *(step.op for step in steps)))


def _roots(call: Call) -> Iterator[Edit]:
    """The square or the root of a value."""
    if len(call.z) != 1 or isinstance(call.op, Movement):
        return
    said = "a square root of its value is left out {there}, or it is squared"
    yield Edit(said, _Then(call.op, 2.0), plain=False)
    said = "a square root of its value is left out {here}, or it is squared"
    yield Edit(said, _Then(call.op, 0.5), plain=False)


def _signs(call: Call) -> Iterator[Edit]:
    names = [o.source or f"constant {i + 1}" for i, o in enumerate(call.inputs)]
    if len(names) != 2:
        return
    if isinstance(call.op, Subtract):
        yield Edit(
            f"{names[1]} is subtracted {{here}} and added {{there}}: its sign", Add(), plain=False
        )
    elif isinstance(call.op, Add):
        said = "{} is added {{here}} and subtracted {{there}}: its sign"
        yield Edit(said.format(names[1]), Subtract(), plain=False)
        yield Edit(said.format(names[0]), Subtract(), times=-1.0, plain=False)


def _activations(call: Call, y: Sequence[NDArray], other: Program) -> Iterator[Edit]:
    """Another activation, where an op of several inputs is one by its numbers."""
    z = call.z[0] if len(call.z) == 1 else None
    given = [i for i, o in enumerate(call.inputs) if o.source]
    if z is None or len(given) != 1 or len(y) < 2 or y[given[0]].shape != z.shape:
        return
    if isinstance(call.op, Movement | MatMul | Einsum | Affine) or z.dtype.kind != "f":
        return
    own = _activation_of(call, y, given[0])
    if own is None:
        return
    there = {_name_of(c.op, [o.array for o in c.inputs]) for c in other.calls}
    for op in sorted(ACTIVATIONS, key=lambda op: op.name not in there):
        if op.name != own.name:
            said = f"it is {own.name} {{here}} and {op.name} {{there}}"
            yield Edit(said, _OnOne(op, given[0]))


def _activation_of(call: Call, y: Sequence[NDArray], slot: int) -> Op | None:
    """The activation that a call is; None if none."""
    name = _name_of(call.op, y)
    made = np.asarray(call.op.forward(*y))
    for op in ACTIVATIONS:
        if name in (op.name, "") and are_near(
            np.asarray(op.forward(y[slot])), made, NEAR["float64"]
        ):
            if not name and are_near(y[slot], made, NEAR["float64"]):
                continue  # many activations leave such numbers as they are
            return op
    return None


def _name_of(op: Op, y: Sequence[NDArray]) -> str:
    """The name of the activation that an op is; "" if it shows by its numbers alone."""
    if type(op) in WITH_ZERO:
        return WITH_ZERO[type(op)] if any(a.size and not a.any() for a in y) else ""
    known = any(type(op) is type(a) for a in ACTIVATIONS) and not isinstance(op, Identity)
    return op.name if known else ""
