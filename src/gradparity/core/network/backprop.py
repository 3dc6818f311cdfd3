"""Forward and backward pass, vector form (lecture, sections 5 and 6).

Backprop is the distributed chain rule: the gradient of a value is the sum, over every use of it, of
the gradient through that use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..arithmetic.arrays import Array, total
from ..formulas.op import Op
from .case import Case
from .contract import formula_of, shares, value_of
from .network import INPUT, Edge, Network
from .trace import Trace

__all__ = [
    "Forward",
    "Gradients",
    "backprop",
    "backward_pass",
    "forward",
    "forward_pass",
    "risk",
    "risk_gradient",
    "training_gradients",
]


def risk(Div: Array, network: Network) -> Array:
    """Err = (1/T) sum_t Div_t, or the sum alone; times the network's scale."""
    Err = Div.sum(axis=0)
    Err = Err / Div.shape[0] if network.reduction == "mean" else Err
    return Err if network.scale == 1.0 else network.scale * Err


def risk_gradient(Div: Array, network: Network) -> Array:
    """dErr/dDiv_t = 1/T, or 1; times the network's scale; shape (T,)."""
    gradient = np.ones_like(Div)
    gradient = gradient if network.scale == 1.0 else network.scale * gradient
    return gradient / Div.shape[0] if network.reduction == "mean" else gradient


def _as_it_is(array: Array) -> Array:
    return array


def forward(
    network: Network,
    params: Mapping[str, Array],
    x: Array,
    store: Callable[[Array], Array] = _as_it_is,
) -> dict[str, Array]:
    """The value of every node by name, and of "x"."""
    value = {INPUT: x}
    for step in network.steps:
        inputs = tuple(value[name] for name in step.inputs)
        value[step.name] = store(value_of(step, step.op, step.own(params), inputs))
    return value


@dataclass(frozen=True)
class Forward:
    """What a forward pass leaves for the backward pass, in any arithmetic.

    `value` has "x" too; `dDiv` is dErr/dDiv, shape (T,).
    """

    network: Network
    params: Mapping[str, Array]
    desired: Array
    value: Mapping[str, Array]
    Div: Array
    dDiv: Array
    Err: Array

    def map(self, f: Callable[[Any], Any], params: Callable[[Any], Any] | None = None) -> Forward:
        """The same in another arithmetic, or of other instances (`params` for the parameters)."""
        own = {name: (params or f)(p) for name, p in self.params.items()}
        value = {name: f(v) for name, v in self.value.items()}
        rest = (f(self.desired), value, f(self.Div), f(self.dDiv), self.Err)
        return Forward(self.network, own, *rest)


class Gradients(NamedTuple):
    """dErr by every node, parameter, "x" and "Div"; and through every use of a value."""

    grad: dict[str, Array]
    edge_grad: dict[Edge | tuple[str, str], Array]


def forward_pass(
    network: Network,
    params: Mapping[str, Array],
    x: Array,
    desired: Array,
    store: Callable[[Array], Array] = _as_it_is,
) -> Forward:
    """Values, Div and Err; `store` rounds every result to what is kept of it."""
    with np.errstate(all="ignore"):
        value = forward(network, params, x, store)
        with formula_of(network.divergence, "forward"):
            Div = store(network.divergence.forward(value[network.output], desired))
        dDiv, Err = store(risk_gradient(Div, network)), store(risk(Div, network))
    return Forward(network, params, desired, value, Div, dDiv, Err)


def backward_pass(
    passed: Forward,
    ops: Mapping[str, Op] | None = None,
    store: Callable[[Array], Array] = _as_it_is,
) -> Gradients:
    """The distributed chain rule; `ops` replaces the ops of the nodes named."""
    network, value, ops = passed.network, passed.value, ops or {}
    uses: dict[str, list[Array]] = {name: [] for name in value}
    grad: dict[str, Array] = {"Div": passed.dDiv}
    edge_grad: dict[Edge | tuple[str, str], Array] = {}

    def use(edge: Edge, dy: Array) -> None:
        edge_grad[edge] = store(dy)
        uses[edge.source].append(edge_grad[edge])

    def over_uses(name: str) -> Array:
        return store(total(uses[name])) if uses[name] else np.zeros_like(value[name])

    with np.errstate(all="ignore"):
        Y = value[network.output]
        with formula_of(network.divergence, "gradient"):
            dY = network.divergence.backward(passed.dDiv, Y, passed.desired, passed.Div)
        use(Edge(network.output, "Div"), dY)
        for step in reversed(network.steps):
            op, z = ops.get(step.name, step.op), value[step.name]
            dz = grad[step.name] = over_uses(step.name)
            p, y = step.own(passed.params), tuple(value[name] for name in step.inputs)
            dys, dps = shares(step, op, dz, p, y, z)
            for letter, gradient in dps.items():
                grad[step.parameters[letter]] = store(gradient)
            for edge, dy in zip(step.edges, dys, strict=True):
                use(edge, dy)
        grad[INPUT] = over_uses(INPUT)
    return Gradients(grad, edge_grad)


def backprop(case: Case) -> Trace:
    """Everything the lecture derives: Err, Div, every value, and the gradient by each of them.

    Parameters
    ----------
    case : any float dtype; everything is computed in it.

    Returns
    -------
    Trace, with gradients for every node, edge, parameter, "Div" and the input "x".

    >>> from gradparity.core import *
    >>> net = layered([Affine(1, 1), ReLU()], L2())
    >>> case = Case(net, {"W1": [[2.0]], "b1": [0.5]}, x=[[1.0]], d=[[2.0]])
    >>> trace = backprop(case)
    >>> trace.Err, trace.grad["W1"], trace.grad["x"]
    (0.125, array([[0.5]]), array([[1.]]))
    """
    (params, x, desired), store = _widened(case)
    passed = forward_pass(case.network, params, x, desired, store)
    grad, edge_grad = backward_pass(passed, store=store)

    # Copies, for one array may stand for several things: the gradient through the only use of a
    # value is that of the value.
    def own(arrays: Mapping[Any, Array]) -> dict[Any, Array]:
        with np.errstate(over="ignore"):
            return {key: array.astype(case.dtype) for key, array in arrays.items()}

    value = own(passed.value)
    del value[INPUT]
    return Trace(
        Err=float(passed.Err),
        Div=own({"Div": passed.Div})["Div"],
        value=value,
        grad=own(grad),
        edge_grad=own(edge_grad),
        adapter="numpy",
        versions={"numpy": np.__version__},
        precision=case.precision.name,
    )


def _widened(case: Case) -> tuple[Any, Callable[[Array], Array]]:
    """(params, x, desired) to compute with, and how each result is stored.

    In low precision sums have the digits of float32, and every result is rounded once.
    """
    precision = case.precision
    if precision.sums == precision.digits:
        return (case.params, case.x, case.desired), _as_it_is
    wide = np.float32
    params = {name: p.astype(wide) for name, p in case.params.items()}
    given = params, case.x.astype(wide), case.desired.astype(wide)
    return given, lambda array: np.asarray(precision.round(array), dtype=wide)


def training_gradients(
    network: Network, params: Mapping[str, Array], x: Array, d: Array
) -> tuple[Array, dict[str, Array]]:
    """Div (T,) and the gradients of Err by the parameters alone: `backprop` for the training loop.

    Nothing is checked and nothing upstream of the first parameter is differentiated.  `d` is what
    ``divergence.desired`` returned.
    """
    value = forward(network, params, x)
    Div, dY = network.divergence.forward_and_gradient(value[network.output], d)
    weight = network.scale / Div.shape[0] if network.reduction == "mean" else network.scale
    if weight != 1.0:
        dY = dY * Div.dtype.type(weight)
    uses = {network.output: [dY]}
    grad: dict[str, Array] = {}
    for step in reversed(network.steps):
        if step.name not in uses or not (step.parameters or step.needs):
            continue
        z, p = value[step.name], step.own(params)
        y = tuple(value[name] for name in step.inputs)
        dz = total(uses[step.name])
        for letter, gradient in step.op.gradients(dz, p, y, z).items():
            grad[step.parameters[letter]] = gradient
        if step.needs:
            for source, dy in zip(step.inputs, step.op.backward(dz, p, y, z), strict=True):
                uses.setdefault(source, []).append(dy)
    return Div, grad
