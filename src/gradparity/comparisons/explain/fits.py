"""A wrong quantity that is right for another function, number or axis of its op.

Conventions are looked up in a list; here the op is tried on rearranged inputs and in its other
modes, every number that it was made with is fitted by Gauss-Newton steps, and every axis is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.rounding import Rounding
from ...core.formulas.op import Op
from ...core.network.case import Case
from ...core.network.composed import Composed
from ...core.network.contract import FormulaError
from ...core.network.nodes import Step
from ...core.network.quantity import Quantity
from ...core.network.trace import Trace
from ...core.vocabulary.layers import MultiHeadAttention
from ..measure.at_node import Reference, reference_at_node
from ..measure.levels import roundings
from .arguments import arguments_of, complements
from .at_node import explains, reference_of
from .choices import ENOUGH, solve, spelled
from .other_heads import OtherHeads
from .plain import Nodes, Plain
from .variants import conventions, rearranged_inputs, rearranged_value, variants
from .wrapped import Rescaled

__all__ = ["Fit", "Known", "as_rearranged", "fitted", "is_explained", "reference_by"]

#: Maximum number of elements at a node whose variants are all tried.
MOST = 200_000
#: Maximum number of elements at a node for which the results of its variants are kept.
MOST_KEPT = 20_000
#: A variant is judged where its plain result is this near, relative to the largest element.
NEAR = 1e-6

#: Gauss-Newton steps for one number.
STEPS = 12
#: Relative step of the difference that gives the derivative by a number.
DIFFERENCE = 2.0**-10
#: Where the steps begin: at the op's own number, and at so many times it.
BEGINNINGS = (1.0, 1e-3, 1e3)
#: A number that a step changes by less, relatively, is near the best one ...
SETTLED = 1e-2
#: ... and is given up if the step leaves more than this part of the residual.
FALLS = 0.99
#: Fewer than `ENOUGH` elements tell a number where their bounds are this small, relatively.
SHARP = 1e-9
#: A number is confirmed where its plain result is this near, relative to the largest element ...
COARSE = 1e-3
#: ... or off by so many bounds.
ROOM = 4.0


class Fit(NamedTuple):
    """Another op with which a quantity of its node is right, and a sentence that says so."""

    quantity: Quantity
    op: Op
    said: str


class Known(dict[str, Fit]):
    """The functions that nodes compute instead, by node; and the nodes in plain arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = Nodes()


def fitted(
    step: Step,
    q: Quantity,
    case: Case,
    trace: Trace,
    e: Reference,
    nodes: Nodes | None = None,
) -> Fit | None:
    """The other function, number or axis that makes a wrong quantity right; None if none does.

    Parameters
    ----------
    step, q : the node, and the quantity that was judged there.
    case, trace : what was asked for, and what was computed.
    e : the reference of the quantity.
    nodes : the nodes of the trace in plain arithmetic, to share them between quantities.

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
        plain = (nodes or Nodes()).at(step, case, trace)
        for words, other in _near(plain, q, case, e):
            if is_explained(step, other, q, case, trace, e):
                return Fit(q, other, words)
        for name, value, other in _others(step, q, case, trace, e, plain):
            if is_explained(step, other, q, case, trace, e):
                if isinstance(other, Rescaled | OtherHeads):
                    return Fit(q, other, other.said)
                found = getattr(other, name)
                said = f"right with {name} = {found}, where the network has {name} = {value}"
                known = (words for words, op in complements(step.op) if op == other)
                said = next(known, said)
                return Fit(q, other, said)
    return None


def is_explained(step: Step, op: Op, q: Quantity, case: Case, trace: Trace, e: Reference) -> bool:
    """Whether a quantity is right by the formulas of another op."""
    there = reference_by(step, op, q, case, trace, e) if _is_plain(e) else None
    if there is None:
        return False

    def under(rounding: Rounding) -> Reference:
        """The reference under an arithmetic, such as one in which a usual form is chosen."""
        if rounding == roundings(case.precision)[-1]:
            return there
        return reference_by(step, op, q, case, trace, e, rounding) or there

    return explains(under, case.precision)


def _is_plain(e: Reference) -> bool:
    return e.valid is None and bool(np.isfinite(e.got).all())


def _near(plain: Plain | None, q: Quantity, case: Case, e: Reference) -> Iterator[tuple[str, Op]]:
    """(words, op) of the variants whose result in plain arithmetic is near what was got."""
    size = 0 if plain is None else sum(a.size for a in plain.y) + np.size(e.got)
    if plain is None or size > MOST:
        return
    step, y = plain.step, plain.y
    got = np.asarray(e.got, np.float64)
    room = max(NEAR, 1e3 * case.precision.unit) * np.abs(got).max(initial=0.0)

    def tried() -> list[tuple[str, Op]]:
        wanted = plain.gradients(step.op)
        return [
            *variants(step, y),
            *conventions(step, y),
            *rearranged_inputs(step, y, plain.got, wanted),
        ]

    for words, other in plain.kept(step.op, "variants", tried):
        found = plain.result(other, q, keep=size <= MOST_KEPT)
        if found is not None and found.shape == got.shape and np.all(np.abs(found - got) <= room):
            yield words, other


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
    step: Step,
    op: Op,
    q: Quantity,
    case: Case,
    trace: Trace,
    e: Reference,
    rounding: Rounding | None = None,
) -> Reference | None:
    """The reference by another op; None where its formulas refuse what is there.

    It has the widest bound, or that of a `rounding`.
    """
    there = partial(reference_at_node, replace(step, op=op), case, trace)
    try:
        found = reference_of(q, there, rounding or roundings(case.precision)[-1])
    except (FormulaError, StopIteration):
        return None
    return found if found.want.shape == e.got.shape else None


def _others(
    step: Step, q: Quantity, case: Case, trace: Trace, e: Reference, plain: Plain | None
) -> Iterator[tuple[str, Any, Op]]:
    """The op with one argument changed: its name, its value now, and the other op."""

    def at(op: Op) -> Any:
        """The quantity by another op; None where its formulas refuse what is there."""
        if plain is not None:
            return plain.result(op, q)
        found = reference_by(step, op, q, case, trace, e)
        return None if found is None else np.asarray(found.want.value)

    for argument in arguments_of(step.op):
        value = getattr(step.op, argument.name)
        if isinstance(value, float) or (value is None and "float" in str(argument.type)):
            for found in _numbers(step.op, argument.name, e, at):
                yield from _changed(step.op, argument.name, found)
        elif isinstance(value, bool):
            yield from _changed(step.op, argument.name, not value)
        elif isinstance(value, int) and argument.name == "axis":
            for axis in range(e.got.ndim):
                if axis != value % e.got.ndim:
                    yield from _changed(step.op, argument.name, axis)

    if type(step.op) is MultiHeadAttention:
        heads = OtherHeads.of(step.op)
        for found in _numbers(heads, "scale", e, at):
            yield from _changed(heads, "scale", found)
    composed = isinstance(step.op, Composed)  # of a program, where a temperature is not a mistake
    if not step.op.states and not step.op.integers and not composed:
        for divided in (False, True):
            rescaled = Rescaled(step.op, divided)
            for found in _numbers(rescaled, "factor", e, at):
                yield from _changed(rescaled, "factor", found)


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


def _numbers(op: Op, name: str, e: Reference, result: Callable[[Op], Any]) -> Iterator[float]:
    """Values of one argument that leave the least, spelled with few digits where they can be."""
    got, bound = np.asarray(e.got, np.float64), np.asarray(e.want.full_error())
    room = COARSE * np.abs(got).max(initial=0.0) + ROOM * bound

    def at(t: float) -> Any:
        """The result with this value; None where the op or its formula refuses it."""
        other = next((other for *_, other in _changed(op, name, t)), None)
        found = None if other is None else result(other)
        return None if found is None or found.shape != got.shape else found

    own = float(getattr(op, name) or 0.0)
    # Two numbers tell another one where their digits do: two of its digits in all of theirs.
    sharp = bool(np.all(bound <= SHARP * np.abs(got)))
    tried: set[float] = set()
    for beginning in BEGINNINGS if own else (1e-8, 1e-3, 1.0):
        t, telling = _solved(at, got, bound, own * beginning if own else beginning)
        if telling < (2 if sharp else ENOUGH) or abs(t - own) <= 1e-9 * abs(own):
            continue
        for value in spelled(t, telling):
            found = None if value in tried else at(value)
            tried.add(value)
            if found is not None and np.all(np.abs(found - got) <= room):
                yield value


def _solved(
    at: Callable[[float], Any], got: NDArray, bound: NDArray, t: float
) -> tuple[float, int]:
    """The value to which Gauss-Newton steps lead, and how many elements tell it; 0 if none."""
    telling = 0
    for _ in range(STEPS):
        here, beside = at(t), at(t * (1.0 + DIFFERENCE))
        if here is None or beside is None:
            break
        left, slope = got - here, (beside - here) / (t * DIFFERENCE)
        by, telling = solve(left, slope, bound)
        if not np.isfinite(by) or not telling:
            break
        if abs(by) <= SETTLED * abs(t) and not _falls(left, left - by * slope, bound):
            return t, 0  # the least that this argument leaves is not zero
        # No step leaves the sign, nor more than a thousandfold smaller.
        t = t + by if (t + by) * t > 0 else t * 1e-3
        if abs(by) <= 1e-15 * abs(t):
            break
    return t, telling


def _falls(before: NDArray, after: NDArray, bound: NDArray) -> bool:
    """Whether a step brings the residual to its bound, or well below what it was before."""
    if np.all(np.abs(before) <= ROOM * bound) or np.all(np.abs(after) <= ROOM * bound):
        return True
    weight = 1.0 / np.maximum(bound, 1e-300)
    left, then = before * weight, after * weight
    known = np.isfinite(left) & np.isfinite(then)
    largest = np.abs(left[known]).max(initial=0.0)  # squares of large numbers overflow
    return bool(
        np.linalg.norm(then[known] / largest) <= FALLS * np.linalg.norm(left[known] / largest)
    )
