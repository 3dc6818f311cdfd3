"""A wrong quantity that is right for another number or another axis of its op.

Conventions are looked up in a list; here every number that an op was made with is fitted by
Gauss-Newton steps, and every axis is tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array
from ...core.formulas.op import Op, Shape
from ...core.network.case import Case
from ...core.network.contract import FormulaError
from ...core.network.nodes import Step
from ...core.network.quantity import Quantity
from ...core.network.trace import Trace
from ..measure.at_node import Reference, reference_at_node
from ..measure.levels import roundings
from .at_node import explains, reference_of
from .choices import ENOUGH, solve, spelled

__all__ = ["fitted"]

#: Gauss-Newton steps for one number.
STEPS = 12
#: Relative step of the difference that gives the derivative by a number.
DIFFERENCE = 2.0**-10
#: Where the steps begin: at the op's own number, and at so many times it.
BEGINNINGS = (1.0, 1e-3, 1e3)


@dataclass(frozen=True)
class Rescaled(Op):
    """An op with its first input multiplied: a temperature, a scale of attention, or a beta.

    Attributes
    ----------
    op, factor : f(factor y) for the op's f(y).
    divided : the value is divided by the factor again, as f(beta z) / beta.
    """

    op: Op
    divided: bool
    factor: float = 1.0

    @property
    def n_inputs(self) -> int | None:  # type: ignore[override]
        return self.op.n_inputs

    def parameter_shapes(self) -> dict[str, Shape]:
        return self.op.parameter_shapes()

    def output_shape(self, *shapes: Shape) -> Any:
        return self.op.output_shape(*shapes)

    def forward(self, *y: Array) -> Any:
        z = self.op.forward(y[0] * self.factor, *y[1:])
        return z / self.factor if self.divided else z

    def vjp(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Any, ...]:
        inside = (y[0] * self.factor, *y[1:])
        dz = dz / self.factor if self.divided else dz
        first, *others = self.op.vjp(dz, inside, self.op.forward(*inside))
        return (first * self.factor, *others)

    @property
    def said(self) -> str:
        """A sentence that names the factor."""
        if self.divided:
            return f"right as f(b z) / b with b = {self.factor}, f being the op"
        return f"right if its first input is multiplied by {self.factor}"


def fitted(step: Step, q: Quantity, case: Case, trace: Trace, e: Reference) -> str:
    """The other number or axis that makes a wrong quantity right, in words; "" if none does.

    Parameters
    ----------
    step, q : the node, and the quantity that was judged there.
    case, trace : what was asked for, and what was computed.
    e : the reference of the quantity.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([LeakyReLU(0.01)], L2()), batch=4, width=3)
    >>> trace = backprop(case)
    >>> trace.value["y1"] = LeakyReLU(0.037).forward(case.x)
    >>> step = case.network.steps[0]
    >>> e, *_ = reference_at_node(step, case, trace, roundings(case.precision)[-1])
    >>> fitted(step, e.quantity, case, trace, e)
    'right with a = 0.037, where the network has a = 0.01'
    """
    known = e.valid is None and np.isfinite(e.got).all()
    if not known or step.op.random or not is_dataclass(step.op):
        return ""
    with np.errstate(all="ignore"):
        for name, value, other in _others(step, q, case, trace, e):
            there = _reference(step, other, q, case, trace, e)
            if there is not None and explains(lambda _, there=there: there, case.precision):
                found = getattr(other, name)
                if isinstance(other, Rescaled):
                    return other.said
                return f"right with {name} = {found}, where the network has {name} = {value}"
    return ""


def _reference(
    step: Step, op: Op, q: Quantity, case: Case, trace: Trace, e: Reference
) -> Reference | None:
    """The reference by another op; None where its formulas refuse what is there."""
    there = partial(reference_at_node, replace(step, op=op), case, trace)
    try:
        found = reference_of(q, there, roundings(case.precision)[-1])
    except (FormulaError, StopIteration):
        return None
    return found if found.want.shape == e.got.shape else None


def _others(
    step: Step, q: Quantity, case: Case, trace: Trace, e: Reference
) -> Iterator[tuple[str, Any, Op]]:
    """The op with one argument changed: its name, its value now, and the other op."""
    for argument in fields(step.op):  # type: ignore[arg-type]
        value = getattr(step.op, argument.name)
        if isinstance(value, float):
            for found in _numbers(step, argument.name, q, case, trace, e):
                yield from _changed(step.op, argument.name, found)
        elif isinstance(value, bool):
            yield from _changed(step.op, argument.name, not value)
        elif isinstance(value, int) and argument.name == "axis":
            for axis in range(e.got.ndim):
                if axis != value % e.got.ndim:
                    yield from _changed(step.op, argument.name, axis)

    if not step.op.states and not step.op.integers:
        for divided in (False, True):
            rescaled = replace(step, op=Rescaled(step.op, divided))
            for found in _numbers(rescaled, "factor", q, case, trace, e):
                yield from _changed(rescaled.op, "factor", found)


def _changed(op: Op, name: str, value: Any) -> Iterator[tuple[str, Any, Op]]:
    """Nothing if the op refuses the value, or has other parameters with it."""
    try:
        other: Op = replace(op, **{name: value})  # type: ignore[type-var]
    except (ValueError, TypeError):
        return
    if _interface(other) == _interface(op):
        yield name, getattr(op, name), other


def _interface(op: Op) -> tuple[Any, ...]:
    return op.parameter_shapes(), op.outputs, op.states


def _numbers(
    step: Step, name: str, q: Quantity, case: Case, trace: Trace, e: Reference
) -> Iterator[float]:
    """Values of one argument that leave the least, spelled with few digits where they can be."""
    got, bound = np.asarray(e.got, np.float64), e.want.full_error()

    def at(t: float) -> Any:
        """The reference with this value; None where the op or its formula refuses it."""
        for _, _, other in _changed(step.op, name, t):
            found = _reference(step, other, q, case, trace, e)
            return None if found is None else np.asarray(found.want.value)
        return None

    own = float(getattr(step.op, name))
    for beginning in BEGINNINGS if own else (1e-8, 1e-3, 1.0):
        t = own * beginning if own else beginning
        telling = 0
        for _ in range(STEPS):
            here, beside = at(t), at(t * (1.0 + DIFFERENCE))
            if here is None or beside is None:
                break
            by, telling = solve(got - here, (beside - here) / (t * DIFFERENCE), bound)
            if not np.isfinite(by) or not telling:
                break
            # No step leaves the sign, nor more than a thousandfold smaller.
            t = t + by if (t + by) * t > 0 else t * 1e-3
            if abs(by) <= 1e-15 * abs(t):
                break
        if telling >= ENOUGH and abs(t - own) > 1e-9 * abs(own):
            yield from spelled(t, telling)
