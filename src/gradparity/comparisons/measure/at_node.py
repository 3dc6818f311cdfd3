"""References at one node: the results of a correct implementation, given its own inputs there.

The core's formulas are evaluated in `Bounded` arithmetic on the implementation's own inputs, so no
error of another node enters: parity by induction.  What a trace lacks, and what rests on that, is
left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray, total
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.rounding import Rounding
from ...core.formulas.activations import GELU
from ...core.formulas.choices import Choice, Slopes
from ...core.formulas.op import Op
from ...core.network.backprop import arriving
from ...core.network.case import Case
from ...core.network.contract import gradients_of, value_of
from ...core.network.network import Network
from ...core.network.nodes import DIV, ERR, Edge, Step
from ...core.network.quantity import Quantity
from ...core.network.trace import Trace

__all__ = [
    "Kinked",
    "Reference",
    "reference_at_node",
    "reference_of_loss",
    "reference_of_sum",
    "results_at_node",
]


#: Ops that are known to take each element alone, with usual forms that are slow to evaluate.
POINTWISE = (GELU,)


@dataclass(frozen=True)
class Kinked:
    """The valid gradients at the kinks of one op, for all its inputs together.

    Attributes
    ----------
    choice : the valid choices.
    dz : the gradient that arrived, for `Slopes` at each element of its input.
    got : what the implementation has for each input; None where it has nothing.
    fixed : the gradient by each input with dz set to zero at the kinks: what is no choice.  Empty
        for `Slopes`, whose elements are choices or are not.
    input : of which input a quantity is.
    """

    choice: Choice
    dz: Bounded
    got: tuple[NDArray | None, ...]
    fixed: tuple[Bounded | None, ...]
    input: int = 0


@dataclass(frozen=True)
class Reference:
    """One quantity: what was got, what is wanted, and what is valid at kinks.

    `lost` is True at elements of which nothing is known, because what arrived is not finite.
    `masked` says that an input holds infinities: an infinite value is no overflow then.
    """

    quantity: Quantity
    got: Array
    want: Bounded
    valid: Kinked | None = None
    lost: Array = np.False_
    masked: bool = False


def reference_at_node(
    step: Step, case: Case, trace: Trace, rounding: Rounding, op: Op | None = None
) -> list[Reference]:
    """The node's values, and the gradient through each of its inputs, parameters among them.

    `op` is evaluated in place of the node's own.
    """
    op = step.op if op is None else op
    few = rounding.forms is not None and rounding.forms.at is not None
    if few and type(step.op) in POINTWISE and op is step.op:
        case, trace = _at(rounding.forms.at, step, case, trace)  # type: ignore[union-attr]
    rounding = replace(rounding, distributive=True) if op.given else rounding
    value = _values(step, case, trace, rounding)
    given = [value.get(name) for name in step.inputs if name != step.draw]
    got = [value.get(name) for name in step.values]
    if any(array is None for array in given) or (step.draw and any(z is None for z in got)):
        return []
    y = tuple(_exactly(array, rounding) for array in given)
    if case.remade:
        inputs = [name for name in step.inputs if name != step.draw]
        y = tuple(_remade(a, case.remade.get(n)) for n, a in zip(inputs, y, strict=True))
    with np.errstate(all="ignore"):
        if op.random:
            seen = _joined([Bounded.rounded(z, rounding) for z in got])
            y = (*y, op.draw(y, seen))
        want = value_of(step, op, y)
    given_masks = any(np.isinf(case.inputs[name]).any() for name in case.network.fixed)
    masked = given_masks or any(each.op.hides for each in case.network.body)
    if case.recorded:
        masked = masked or any(np.isneginf(a).any() for a in case.inputs.values())
    found = [Reference(Quantity.value(n), value.get(n), z, masked=masked) for n, z in want.items()]
    dz = _arriving(step, case, trace, rounding, want)
    if dz:
        found += _gradients(step, op, case, trace, rounding, (y, want, dz))
    if not masked and any(np.isposinf(a.value).any() for a in y if isinstance(a, Bounded)):
        found = [_beyond_overflow(e) for e in found]
    return _there(found)


def _at(mask: NDArray, step: Step, case: Case, trace: Trace) -> tuple[Case, Trace]:
    """The same node with some of its elements alone; its op is elementwise."""

    def few(arrays: Mapping[Any, NDArray]) -> dict[Any, NDArray]:
        return {k: a[mask] if np.shape(a) == mask.shape else a for k, a in arrays.items()}

    names = {*step.inputs, *step.values, *step.outputs}
    here, there = copy(case), copy(trace)
    vars(here)["given"] = few({n: a for n, a in case.given.items() if n in names})
    there.value = few({n: a for n, a in trace.value.items() if n in names})
    there.grad = few({n: a for n, a in trace.grad.items() if n in names})
    there.edge_grad = few({e: a for e, a in trace.edge_grad.items() if e in step.edges})
    return here, there


def _beyond_overflow(e: Reference) -> Reference:
    """A NaN says nothing where an input has overflowed: inf - inf and inf / inf are NaN."""
    return e if e.got is None else replace(e, lost=e.lost | np.isnan(e.got))


def _values(step: Step, case: Case, trace: Trace, rounding: Rounding) -> dict[str, Any]:
    """The implementation's values at a node; missing parts of Err come from the formula."""

    def had(names: Iterable[str]) -> dict[str, Any]:
        found = {name: case.given.get(name, trace.get(name)) for name in names}
        return {name: array for name, array in found.items() if array is not None}

    value = had((*step.inputs, *step.values))
    if step.name == ERR and set(step.inputs) - set(value):
        div = case.network.loss[0]
        given = had(div.inputs)
        if len(given) == len(div.inputs):
            y = tuple(_exactly(given[name], rounding) for name in div.inputs)
            with np.errstate(all="ignore"):
                value = value_of(div, div.op, y) | value
    return value


def _arriving(
    step: Step, case: Case, trace: Trace, rounding: Rounding, want: Mapping[str, Bounded]
) -> dict[str, Bounded]:
    """The gradients that arrived at a node; by the formula where the loss itself says them."""
    network = case.network
    if step.name == DIV and trace.grad.get(DIV) is None:
        one = Bounded.exactly(np.ones(()), rounding)
        with np.errstate(all="ignore"):
            parts = network.loss[1].op.vjp(one, tuple(want.values()), one)
        return dict(zip(step.outputs, parts, strict=True))
    found = {}
    for name in step.outputs:
        got = trace.grad.get(name)
        if got is not None:
            found[name] = _as_read(got, trace.added.get(name), case, rounding)
        elif name in network.ends and not network.consumers(name):
            found[name] = _of_end(network.ends[name], rounding)
    return found


def _as_read(got: NDArray, added: NDArray | None, case: Case, rounding: Rounding) -> Bounded:
    """A gradient that arrived, as the op may have read it."""
    if case.as_stored:
        return Bounded.exactly(got, rounding)
    found = Bounded.rounded(got, rounding)
    if added is None:
        return found
    return Bounded(found.value, found.error + 2.0 * rounding.u * added, rounding)


def _remade(a: Any, roundings: NDArray | None) -> Any:
    """A value that a compiler may compute anew: off by roundings of these sizes."""
    if not isinstance(a, Bounded) or roundings is None:
        return a
    return Bounded(a.value, a.error + a.rounding.u * roundings, a.rounding)


def _of_end(factor: float, rounding: Rounding) -> Bounded:
    """The gradient that a scalar end starts with."""
    one = Bounded.exactly(np.ones(()), rounding)
    return one if factor == 1.0 else one * factor


def _gradients(
    step: Step, op: Op, case: Case, trace: Trace, rounding: Rounding, at: Any
) -> list[Reference]:
    """The gradient through every input that has one."""
    y, want, arrived = at
    network, z = case.network, step.joined(want)
    if rounding.forms is not None and rounding.forms.own_output:
        got_z = [trace.value.get(name) for name in step.values]
        if all(a is not None for a in got_z):
            z = _joined([Bounded.exactly(a, rounding) for a in got_z])
    dz = arriving(step, arrived, want)
    got = tuple(None if edge is None else _through(network, trace, edge) for edge in step.edges)
    with np.errstate(all="ignore"):
        dys = gradients_of(step, op, dz, y, z)
        plain = tuple(np.asarray(a.value if isinstance(a, Bounded) else a) for a in y)
        choice = op.subdifferential(plain, rounding.tiny)
        valid = None if choice is None else _kinked(step, op, choice, dz, y, z, got)
    found = []
    for i, (edge, dy) in enumerate(zip(step.edges, dys, strict=True)):
        if edge is None or dy is None:
            continue
        here = valid if valid is None else replace(valid, input=i)
        if isinstance(choice, Slopes) and i != choice.input:
            here = None
        lost = _lost(arrived, y[i].shape)
        found.append(Reference(Quantity.use(network, edge), got[i], dy, here, lost))
    return found


def _kinked(step: Step, op: Op, choice: Choice, dz: Bounded, y: Any, z: Any, got: Any) -> Kinked:
    """The choice; with dz zero at the kinks, a gradient, which is linear in dz, is what is none."""
    if isinstance(choice, Slopes):
        return Kinked(choice, op.reaching(dz, y), got, ())
    at = choice.groups(dz.size).reshape(dz.shape)
    fixed = gradients_of(step, op, np.where(at, 0.0, dz), y, z)
    return Kinked(choice, dz, got, fixed)


def _lost(arrived: Mapping[str, Bounded], shape: tuple[int, ...]) -> Array:
    """0 times inf: whoever multiplies by a slope of zero gets NaN, whoever selects does not.

    Known of elementwise gradients only up to the last axis; elsewhere it is all or nothing.
    """
    bad = [~np.isfinite(g.value) for g in arrived.values()]
    if not any(b.any() for b in bad):
        return np.False_
    for b in bad:
        if b.ndim and b.any() and b.shape[:-1] == shape[:-1]:
            return np.broadcast_to(b.any(axis=-1, keepdims=True), shape)
    return np.broadcast_to(np.True_, shape)


def reference_of_sum(name: str, case: Case, trace: Trace, rounding: Rounding) -> list[Reference]:
    """The gradient of a value is the sum over its uses: the distributed chain rule.

    Being an end is one more use.
    """
    network, got = case.network, trace.grad.get(name)
    edges = network.consumers(name)
    if got is None or not network.has_own_uses(name):
        return []
    given = [_through(network, trace, edge) for edge in edges]
    if any(array is None for array in given):
        return []
    uses = [Bounded.exactly(array, rounding) for array in given]
    if name in network.ends:
        uses.append(_of_end(network.ends[name], rounding))
    want = total(uses) if uses else Bounded(np.zeros(got.shape), 0.0, rounding)
    return [Reference(Quantity.grad(name), got, want)]


def reference_of_loss(case: Case, trace: Trace, rounding: Rounding) -> list[Reference]:
    """The references of every quantity at the nodes that make up the loss."""
    return [
        found
        for step in case.network.loss
        for found in reference_at_node(step, case, trace, rounding)
    ]


def results_at_node(step: Step, case: Case, trace: Trace) -> dict[Quantity, NDArray | None]:
    """The implementation's results at a node: its values, and the gradients through its inputs."""
    network = case.network
    found: dict[Quantity, NDArray | None] = {
        Quantity.value(name): case.given.get(name, trace.get(name)) for name in step.values
    }
    for edge in step.edges:
        if edge is not None:
            found[Quantity.use(network, edge)] = _through(network, trace, edge)
    return found


def _through(network: Network, trace: Trace, edge: Edge) -> NDArray | None:
    """The implementation's gradient through one use."""
    if network.has_own_uses(edge.source):
        return trace.edge_grad.get(edge)
    return trace.grad.get(edge.source)


def _exactly(array: Any, rounding: Rounding) -> Any:
    """Given data: floats with a bound, integers and booleans as they are."""
    if isinstance(array, Bounded):
        return array
    return Bounded.exactly(array, rounding) if array.dtype.kind == "f" else array


def _joined(z: list[Any]) -> Any:
    return tuple(z) if len(z) > 1 else z[0]


def _there(found: list[Reference]) -> list[Reference]:
    """Without what the trace does not have."""
    return [e for e in found if e.got is not None]
