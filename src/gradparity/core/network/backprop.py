"""Forward and backward pass, vector form (lecture, sections 5 and 6).

Backprop is the distributed chain rule: the gradient of a value is the sum, over every use of it, of
the gradient through that use.  Both passes work in any arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arithmetic.arrays import Array, total
from ..formulas.op import Op
from .case import Case, check_case
from .contract import gradients_of, value_of
from .given import by_name
from .network import Network
from .nodes import DIV, ERR, TARGET, Edge, Step
from .trace import Trace

__all__ = [
    "Forward",
    "Gradients",
    "arriving",
    "backprop",
    "backward_pass",
    "edge_gradients",
    "forward",
    "forward_pass",
    "training_gradients",
]


def _as_it_is(array: Array) -> Array:
    return array


def forward(
    network: Network,
    given: Mapping[str, Array],
    store: Callable[[Array], Array] = _as_it_is,
) -> dict[str, Array]:
    """Every value by name, with all that was given: inputs, parameters, targets, draws.

    Without targets the values end at the output.  `store` rounds every result to what is kept.
    """
    value = dict(given)
    for step in network.steps if TARGET in given else network.body:
        if step.draw and step.draw not in value:
            value[step.draw] = step.op.sample(*(value[n] for n in step.inputs if n != step.draw))
        y = tuple(value[name] for name in step.inputs)
        value |= {name: store(z) for name, z in value_of(step, step.op, y).items()}
    return value


class Forward(NamedTuple):
    """Every value of a forward pass by name, in any arithmetic."""

    network: Network
    value: Mapping[str, Array]


class Gradients(NamedTuple):
    """The gradient by every value, parameter and input; and through every use of a value."""

    grad: dict[str, Array]
    edge_grad: dict[Edge | tuple[str, str], Array]


def forward_pass(
    network: Network, given: Mapping[str, Array], store: Callable[[Array], Array] = _as_it_is
) -> Forward:
    """Every value, where overflow is not an error."""
    with np.errstate(all="ignore"):
        return Forward(network, forward(network, given, store))


def arriving(step: Step, grad: Mapping[str, Array], value: Mapping[str, Array]) -> Any:
    """dz as an op's `vjp` takes it: one gradient per output, zeros for one that nothing uses."""
    dz = tuple(
        grad[name] if grad.get(name) is not None else np.zeros_like(value[name])
        for name in step.outputs
    )
    return dz if len(dz) > 1 else dz[0]


def backward_pass(
    passed: Forward,
    ops: Mapping[str, Op] | None = None,
    store: Callable[[Array], Array] = _as_it_is,
    start: Mapping[str, Array] | None = None,
) -> Gradients:
    """The distributed chain rule.

    Parameters
    ----------
    passed : the forward pass.
    ops : in place of the ops of the nodes named.
    store : rounds every result to what is kept of it.
    start : gradients to start from, by value; by default the factors of the network's ends.
    """
    network, value, ops = passed.network, passed.value, ops or {}
    if start is None:
        start = {
            name: np.ones_like(value[name]) if factor == 1.0 else np.ones_like(value[name]) * factor
            for name, factor in network.ends.items()
        }
    uses: dict[str, list[Array]] = {name: [g] for name, g in start.items()}
    grad: dict[str, Array] = {}
    edge_grad: dict[Edge | tuple[str, str], Array] = {}

    def over_uses(name: str) -> Array:
        found = uses.get(name)
        return store(total(found)) if found else np.zeros_like(value[name])

    with np.errstate(all="ignore"):
        for step in reversed(network.steps):
            if step in network.loss and not any(name in uses for name in step.outputs):
                continue
            grad |= {name: over_uses(name) for name in step.outputs}
            y = tuple(value[name] for name in step.inputs)
            op, z = ops.get(step.name, step.op), step.joined(value)
            found = gradients_of(step, op, arriving(step, grad, value), y, z)
            for edge, dy in zip(step.edges, found, strict=True):
                if edge is None or dy is None:
                    continue
                dy = store(dy)
                uses.setdefault(edge.source, []).append(dy)
                if network.has_own_uses(edge.source):
                    edge_grad[edge] = dy
        free = [n for n in network.inputs if n not in network.fixed and value[n].dtype.kind == "f"]
        for name in (*network.trained, *free):
            grad[name] = over_uses(name)  # zero where nothing depends on it
    return Gradients(grad, edge_grad)


def backprop(case: Case) -> Trace:
    """Everything the lecture derives: Err, Div, every value, and the gradient by each of them.

    Parameters
    ----------
    case : any float dtype; everything is computed in it.

    Returns
    -------
    Trace, with gradients for every node, use of a value, parameter, "Div" and float input.

    >>> from gradparity.core import *
    >>> net = layered([Affine(1, 1), ReLU()], L2())
    >>> case = Case(net, {"W1": [[2.0]], "b1": [0.5]}, x=[[1.0]], d=[[2.0]])
    >>> trace = backprop(case)
    >>> trace.Err, trace.grad["W1"], trace.grad["x"]
    (0.125, array([[0.5]]), array([[1.]]))
    """
    check_case("backprop", case)
    network = case.network
    given, store = _widened(case)
    passed = forward_pass(network, given, store)
    grad, edge_grad = backward_pass(passed, store=store)

    # Copies, for one array may stand for several things: the gradient through the only use of a
    # value is that of the value.
    def own(arrays: Mapping[Any, Array]) -> dict[Any, Array]:
        with np.errstate(over="ignore"):
            return {key: np.array(array, case.dtype) for key, array in arrays.items()}

    differentiated = {*case.differentiated, *network.trained, DIV}
    differentiated |= {name for step in network.body for name in step.outputs}
    loss = {name for step in network.loss for name in step.values}
    made = {n: v for n, v in passed.value.items() if n not in given and n not in loss}
    Div = own({DIV: passed.value[DIV]})[DIV] if network.divergence else None
    return Trace(
        # None where the network ends elsewhere
        Err=None if Div is None else float(passed.value[ERR]),  # type: ignore[arg-type]
        Div=Div,  # type: ignore[arg-type]
        value=own(made),
        grad=own({name: g for name, g in grad.items() if name in differentiated}),
        edge_grad=own(edge_grad),
        adapter="numpy",
        versions={"numpy": np.__version__},
        precision=case.precision.name,
    )


def _widened(case: Case) -> tuple[Mapping[str, Any], Callable[[Array], Array]]:
    """The arithmetic of a pass, and how it stores each result.

    In low precision sums have the digits of float32, and every result is rounded once.
    """
    precision = case.precision
    if precision.sums == precision.digits:
        return case.given, _as_it_is
    wide = np.float32
    given = {n: a.astype(wide) if a.dtype.kind == "f" else a for n, a in case.given.items()}
    return given, lambda array: np.asarray(precision.round(array), dtype=wide)


def training_gradients(
    network: Network, params: Mapping[str, Array], inputs: Any, d: Array
) -> tuple[Array, dict[str, Array]]:
    """Div and the gradients of Err by the parameters alone: `backprop` for the training loop.

    Nothing is checked and nothing upstream of the first parameter is differentiated.  `inputs` is
    an array or all inputs by name, `d` what ``divergence.desired`` returned.
    """
    assert network.divergence is not None
    given = {**params, **by_name(network, inputs)}
    uses: dict[str, list[Array]]
    if network.weights is not None:
        value = forward(network, {**given, TARGET: d})
        Div, steps, uses = value[DIV], network.steps, {ERR: [np.ones_like(value[ERR])]}
    else:
        value, steps = forward(network, given), network.body
        Div, dY = network.divergence.forward_and_gradient(value[network.output], d)
        weight = network.scale / Div.size if network.reduction == "mean" else network.scale
        if weight != 1.0:
            dY = dY * Div.dtype.type(weight)
        uses = {network.output: [dY]}
    for source, dy in edge_gradients(steps, value, uses):
        uses.setdefault(source, []).append(dy)
    return Div, {name: total(uses[name]) for name in network.trained if name in uses}


def edge_gradients(
    steps: Sequence[Step], value: Mapping[str, Array], uses: Mapping[str, list[Array]]
) -> Iterator[tuple[str, Array]]:
    """The gradient through every use that a parameter depends on: (source, gradient), last first.

    `uses` holds the gradients through the uses of each value; the caller adds those it receives.
    """
    for step in reversed(steps):
        used = any(name in uses for name in step.outputs)
        if not used or not (step.parameters or step.needs):
            continue
        y, z = tuple(value[name] for name in step.inputs), step.joined(value)
        grad = {name: total(uses[name]) for name in step.outputs if name in uses}
        dz = arriving(step, grad, value)
        found = step.op.vjp(dz, y, z) if step.needs else step.op.vjp_parameters(dz, y, z)
        edges = step.edges[len(step.edges) - len(found) :]
        for edge, dy in zip(edges, found, strict=True):
            if edge is not None and dy is not None:
                yield edge.source, dy
