"""A wrong quantity that is right for another function, number or axis of its op.

Conventions are looked up in a list; here the op is tried on rearranged inputs and in its other
modes, every number that it was made with is fitted by Gauss-Newton steps, and every axis is tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from ...core.formulas.op import Op
from ...core.network.backprop import arriving
from ...core.network.case import Case
from ...core.network.contract import FormulaError, gradients_of, value_of
from ...core.network.nodes import Step
from ...core.network.quantity import Quantity
from ...core.network.trace import Trace
from ..measure.at_node import Reference, reference_at_node
from ..measure.levels import roundings
from .at_node import explains, reference_of
from .choices import ENOUGH, solve, spelled
from .fault_sites import inputs_at
from .variants import Rescaled, arguments_of, rearranged_inputs, rearranged_value, variants

__all__ = ["Fit", "as_rearranged", "fitted", "is_explained", "reference_by"]

#: Maximum number of elements at a node whose variants are all tried.
MOST = 200_000
#: A variant is judged where its plain result is this near, relative to the largest element.
NEAR = 1e-6

#: Gauss-Newton steps for one number.
STEPS = 12
#: Relative step of the difference that gives the derivative by a number.
DIFFERENCE = 2.0**-10
#: Where the steps begin: at the op's own number, and at so many times it.
BEGINNINGS = (1.0, 1e-3, 1e3)


class Fit(NamedTuple):
    """Another op with which a quantity of its node is right, and a sentence that says so."""

    quantity: Quantity
    op: Op
    said: str


def fitted(step: Step, q: Quantity, case: Case, trace: Trace, e: Reference) -> Fit | None:
    """The other function, number or axis that makes a wrong quantity right; None if none does.

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
    >>> fitted(step, e.quantity, case, trace, e).said
    'right with a = 0.037, where the network has a = 0.01'
    """
    if step.op.random or not _is_plain(e):
        return None
    with np.errstate(all="ignore"):
        for words, other in _near(step, q, case, trace, e):
            if is_explained(step, other, q, case, trace, e):
                return Fit(q, other, words)
        for name, value, other in _others(step, q, case, trace, e):
            if is_explained(step, other, q, case, trace, e):
                if isinstance(other, Rescaled):
                    return Fit(q, other, other.said)
                found = getattr(other, name)
                said = f"right with {name} = {found}, where the network has {name} = {value}"
                return Fit(q, other, said)
    return None


def is_explained(step: Step, op: Op, q: Quantity, case: Case, trace: Trace, e: Reference) -> bool:
    """Whether a quantity is right by the formulas of another op."""
    there = reference_by(step, op, q, case, trace, e) if _is_plain(e) else None
    return there is not None and explains(lambda _: there, case.precision)


def _is_plain(e: Reference) -> bool:
    return e.valid is None and bool(np.isfinite(e.got).all())


def _near(
    step: Step, q: Quantity, case: Case, trace: Trace, e: Reference
) -> Iterator[tuple[str, Op]]:
    """(words, op) of the variants whose result in plain arithmetic is near what was got."""
    known = {*trace.values(), *case.given}
    if step in case.network.loss or not known.issuperset((*step.inputs, *step.outputs)):
        return
    y, _ = inputs_at(case, trace.values(), step)
    if sum(a.size for a in y) + np.size(e.got) > MOST:
        return
    got = np.asarray(e.got, np.float64)
    room = max(NEAR, 1e3 * case.precision.unit) * np.abs(got).max(initial=0.0)
    uses = [None if edge is None else Quantity.use(case.network, edge) for edge in step.edges]
    arrived = any(name in trace.grad for name in step.outputs)

    def gradients(op: Op, z: dict[str, Any]) -> list[Any]:
        """The gradients by its inputs, given the values that the op gives."""
        if not arrived:
            return [None] * len(y)
        return [*gradients_of(step, op, arriving(step, trace.grad, z), y, step.joined(z))]

    had = [None if use is None else _had(trace, use) for use in uses]
    read_off = rearranged_inputs(step, y, had, gradients(step.op, value_of(step, step.op, y)))
    for words, other in chain(variants(step, y), read_off):
        try:
            z = value_of(step, other, y)
            found = gradients(other, z)[uses.index(q)] if q in uses else z.get(q.name)
        except FormulaError:  # a user's formula refuses such inputs
            continue
        if found is not None and found.shape == got.shape and np.all(np.abs(found - got) <= room):
            yield words, other


def _had(trace: Trace, use: Quantity) -> Any:
    """The gradient through a use, as the trace has it."""
    if use.target is None:
        return trace.grad.get(use.name)
    return trace.edge_grad.get((use.name, use.target))


def as_rearranged(
    step: Step, q: Quantity, case: Case, trace: Trace, e: Reference, said: str
) -> Fit | None:
    """The function of a value that is the formula's, rearranged or multiplied; None if not."""
    if len(step.values) > 1 or step.op.random or not _is_plain(e):
        return None
    got, want = np.asarray(e.got, np.float64), np.asarray(e.want.value, np.float64)
    for other in rearranged_value(step.op, got, want, np.asarray(e.want.full_error())):
        if is_explained(step, other, q, case, trace, e):
            return Fit(q, other, said)
    return None


def reference_by(
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
    for argument in arguments_of(step.op):
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
            found = reference_by(step, other, q, case, trace, e)
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
