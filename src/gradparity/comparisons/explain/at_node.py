"""Find the conventions at a node: wrong as asked, but exactly right for a named alternative.

The alternatives are those of `choices` and `alternatives`; each is evaluated by the same formulas,
on the implementation's own inputs, and must explain every element inside its bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import chain
from typing import Any

import numpy as np

from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.precision import Precision
from ...core.arithmetic.rounding import Rounding
from ...core.formulas.cross_entropies import CrossEntropy
from ...core.network.case import Case
from ...core.network.nodes import DIV, ERR, Edge, Step
from ...core.network.quantity import Quantity
from ...core.network.trace import Trace
from ..measure.at_node import Reference, reference_at_node, reference_of_loss
from ..measure.kinks import at_kink
from ..measure.levels import Levels, measure, roundings
from .allowed import Alternative, is_determined
from .alternatives import (
    TRANSPOSED,
    decays,
    losses,
    plus_decay,
    samples_and_outputs,
    scales,
    with_network,
)
from .choices import other_ops, solve
from .forms import usual_form
from .other_logs import other_logs

#: A usual form is asked for only where all is this near, relative to the largest element.
NEAR = 1e-3

__all__ = ["conventions", "explains", "is_of_that_function", "reference_of"]


def conventions(
    place: Step, quantity: Quantity, case: Case, trace: Trace, e: Reference
) -> Iterator[Alternative]:
    """Conventions that explain a wrong quantity, the likeliest first; none for a right one.

    ``instead(rounding)`` of each is its reference.  One that is not `determined` explains nothing.

    Parameters
    ----------
    place : the node.
    quantity : as in `Reference`.
    case, trace : what was asked for, and what was computed.
    e : the reference under any rounding.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2)], L2()), batch=8)
    >>> trace = backprop(case)
    >>> trace.grad["W1"] *= 8
    >>> found = reference_at_node(case.network.steps[0], case, trace, Rounding.of("float64"))
    >>> e = found[-2]  # of "grad W1"
    >>> [c.name for c in conventions(case.network.steps[0], e.quantity, case, trace, e)]
    ['sum']
    """
    widest = roundings(case.precision)[-1]
    # What is taken at a kink is a choice of its own, and says nothing about the function.
    outside = measure(e, e.want.rounding).outside & ~at_kink(e)
    if not outside.any() or not np.isfinite(e.got).all():
        return
    found: set[tuple[str, float | str | None]] = set()
    for candidate in _candidates(place, quantity, case, trace, e):
        key = candidate.name, candidate.parameter if candidate.listed else None
        if key in found or not explains(candidate.instead, case.precision):
            continue
        found.add(key)
        with np.errstate(all="ignore"):
            other = measure(candidate.instead(widest), widest)
        determined = is_determined(other, np.asarray(e.want.value), outside)
        yield candidate if determined else replace(candidate, determined=False)


def is_of_that_function(
    convention: str, place: Step, quantity: Quantity, case: Case, trace: Trace
) -> bool:
    """Whether a gradient is also that of the function which a convention says the value is of."""
    others = (
        _other_losses(convention, case, trace)
        if place in case.network.loss
        else _other_ops(convention, place, case, trace)
    )
    return any(explains(partial(reference_of, quantity, there), case.precision) for there in others)


def _other_ops(convention: str, place: Step, case: Case, trace: Trace) -> Iterator[Any]:
    y = case.given.get(place.inputs[0], trace.value.get(place.inputs[0]))
    z = trace.value.get(place.name)
    for c in other_ops(place.op, y, z):
        if c.name == convention:
            yield cache(partial(reference_at_node, replace(place, op=c.instead), case, trace))


def _other_losses(convention: str, case: Case, trace: Trace) -> Iterator[Any]:
    widest = roundings(case.precision)[-1]
    for loss, changed in losses(case, lambda other: _smoothing(other, trace, widest)):
        if loss.name == convention:
            yield cache(partial(reference_of_loss, changed, trace))


def _candidates(
    place: Step, quantity: Quantity, case: Case, trace: Trace, e: Reference
) -> Iterator[Alternative]:
    if place in case.network.loss:
        yield from _at_divergence(quantity, case, trace, e)
    elif quantity.is_gradient_by(place.parameters.values()):
        yield from _of_parameter(place, quantity, case, trace, e)
        yield from _of_op(place, quantity, case, trace)
    else:
        yield from _of_op(place, quantity, case, trace)
        if quantity.target:
            here = cache(
                partial(reference_of, quantity, partial(reference_at_node, place, case, trace))
            )
            yield from _scaled(case, here)


def explains(reference: Callable[[Rounding], Reference], precision: Precision) -> bool:
    """Whether another reference, or a usual form of it, explains what was got in every element."""
    rounding = roundings(precision)[-1]
    with np.errstate(all="ignore"):
        e = reference(rounding)
        measured = measure(e, rounding)
        if np.any(measured.undecidable):
            return False
        if not measured.outside.any():
            return True
        near = float(np.max(measured.error)) <= NEAR * measured.largest
        if not near or e.valid is not None:
            return False
        levels = Levels(lambda asked: [reference(asked)], precision)
        return usual_form(e.quantity, levels, np.asarray(e.got)) is not None


def reference_of(
    quantity: Quantity, all_of_them: Callable[[Rounding], list[Reference]], rounding: Rounding
) -> Reference:
    """The reference of one quantity among all at a place."""
    return next(e for e in all_of_them(rounding) if e.quantity == quantity)


# --- at a node ------------------------------------------------------------------------------------


def _of_op(step: Step, quantity: Quantity, case: Case, trace: Trace) -> Iterator[Alternative]:
    """Another function; its gradient is a convention only if the value is that function's too.

    A state, such as a running variance, is one only if the states before it are that function's.
    """
    y = case.given.get(step.inputs[0], trace.value.get(step.inputs[0]))
    z = trace.value.get(step.name)
    values = [Quantity.value(n) for n in step.values if trace.value.get(n) is not None]
    states = values[1 : values.index(quantity)] if quantity in values else values[:1]
    for c in other_ops(step.op, y, z):
        if c.instead == step.op:
            continue
        there = cache(partial(reference_at_node, replace(step, op=c.instead), case, trace))
        if all(explains(partial(reference_of, state, there), case.precision) for state in states):
            yield replace(c, instead=partial(reference_of, quantity, there))


def _of_parameter(
    step: Step, quantity: Quantity, case: Case, trace: Trace, e: Reference
) -> Iterator[Alternative]:
    here = cache(partial(reference_of, quantity, partial(reference_at_node, step, case, trace)))
    yield from _scaled(case, here)
    shape = e.got.shape
    if len(shape) == 2 and shape[0] == shape[1] > 1:
        turned = partial(_changed, here, lambda want: want.T)
        yield Alternative("transposed", None, TRANSPOSED, turned)
    W = case.params[quantity.name]
    residual = np.asarray(e.got, np.float64) - e.want.value
    for lam, said in decays(residual, W, e.want.full_error()):
        added = partial(_changed, here, partial(plus_decay, W=W, lam=lam))
        yield Alternative("weight-decay", lam, said, added)


def _scaled(case: Case, here: Callable[[Rounding], Reference]) -> Iterator[Alternative]:
    for name, factor, said in scales(case):
        yield Alternative(name, factor, said, partial(_times, here, factor))


def _times(here: Callable[[Rounding], Reference], factor: float, rounding: Rounding) -> Reference:
    e = here(rounding)
    if e.valid is None:
        return replace(e, want=e.want * factor)
    fixed = tuple(None if f is None else f * factor for f in e.valid.fixed)
    valid = replace(e.valid, dz=e.valid.dz * factor, fixed=fixed)
    return replace(e, want=e.want * factor, valid=valid)


def _changed(
    here: Callable[[Rounding], Reference], change: Callable[[Bounded], Bounded], rounding: Rounding
) -> Reference:
    e = here(rounding)
    return replace(e, want=change(e.want))


# --- at the divergence ----------------------------------------------------------------------------


def _at_divergence(q: Quantity, case: Case, trace: Trace, e: Reference) -> Iterator[Alternative]:
    found: list[Alternative] = []
    if q != Quantity.grad(DIV) and (q != ERR or trace.Div is None):
        found += _of_loss(q, case, trace)
    if q != DIV:  # of each sample: there is nothing to sum
        here = cache(partial(reference_of, q, partial(reference_of_loss, case, trace)))
        found += _scaled(case, here)
    yield from sorted(found, key=lambda c: "+" in c.name)


def _of_loss(quantity: Quantity, case: Case, trace: Trace) -> Iterator[Alternative]:
    """Another loss; its gradient is a convention only if Div is that loss's too.

    Another mean or sum is reported where it was made: in grad Div and Err, or in their substitutes.
    """
    widest = roundings(case.precision)[-1]
    of_samples = quantity == DIV or (quantity != ERR and DIV in trace.grad)
    logs = other_logs(case, trace.value.get(case.network.output), trace.Div, trace.Err)
    others = chain(
        losses(case, lambda other: _smoothing(other, trace, widest)),
        ((c, with_network(case, c.instead)) for c in logs),
    )
    for loss, changed in others:
        if loss.instead == case.network.divergence:
            continue  # a mean or sum alone is a factor, which `scales` has
        if "+" in loss.name and of_samples:
            continue
        if trace.Div is not None and quantity != DIV:
            inside = with_network(case, loss.instead)
            div = partial(reference_of, Quantity(DIV), partial(reference_of_loss, inside, trace))
            if not explains(div, case.precision):
                continue
        there = cache(partial(reference_of_loss, changed, trace))
        yield replace(loss, instead=partial(reference_of, quantity, there))


def _smoothing(case: Case, trace: Trace, rounding: Rounding) -> tuple[float, int]:
    """eps as the gradient has it, which is linear in it."""
    divergence, K = case.network.divergence, samples_and_outputs(case)[1]
    edge = Edge(case.network.output, DIV)
    if not isinstance(divergence, CrossEntropy) or K < 2 or edge not in trace.edge_grad:
        return 0.0, 0
    ends = []
    for eps in (0.0, 1.0 / K):
        changed = with_network(case, replace(divergence, eps=eps))
        there = partial(reference_of_loss, changed, trace)
        ends.append(reference_of(Quantity.through(*edge), there, rounding))
    low, high = (end.want.value for end in ends)
    with np.errstate(all="ignore"):
        residual = np.asarray(ends[0].got, np.float64) - low
        t, n = solve(residual, high - low, ends[0].want.full_error())
    return t / K, n
