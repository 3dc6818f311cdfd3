"""Forward and backward pass, vector form (lecture, sections 5 and 6).

Backprop is the distributed chain rule: the gradient of a value is the sum, over every use of it, of
the gradient through that use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .arrays import Array, total
from .case import Case
from .network import INPUT, Edge, Network, Step
from .trace import Trace

__all__ = ["backprop", "forward", "risk", "risk_gradient", "training_gradients"]


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


def forward(
    network: Network,
    params: Mapping[str, Array],
    x: Array,
    store: Callable[[Array], Array] = lambda array: array,
) -> dict[str, Array]:
    """The value of every node by name, and of "x"."""
    value = {INPUT: x}
    for step in network.steps:
        inputs = [value[name] for name in step.inputs]
        value[step.name] = store(step.op.forward(_own(step, params), *inputs))
    return value


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
    network, (params, x, desired), store = case.network, *_widened(case)
    with np.errstate(all="ignore"):
        value = forward(network, params, x, store)
        Div = store(network.divergence.forward(value[network.output], desired))
        grad = {"Div": store(risk_gradient(Div, network))}
        uses: dict[str, list[Array]] = {name: [] for name in value}
        edge_grad: dict[Edge | tuple[str, str], Array] = {}

        dY = network.divergence.backward(grad["Div"], value[network.output], desired, Div)
        dY = store(dY)
        edge_grad[Edge(network.output, "Div")] = dY
        uses[network.output].append(dY)
        for step in reversed(network.steps):
            parts = uses[step.name]
            z = value[step.name]
            dz = grad[step.name] = store(total(parts)) if parts else np.zeros_like(z)
            p, y = _own(step, params), tuple(value[name] for name in step.inputs)
            for letter, gradient in step.op.gradients(dz, p, y, z).items():
                grad[step.parameters[letter]] = store(gradient)
            for edge, dy in zip(step.edges, map(store, step.op.backward(dz, p, y, z)), strict=True):
                edge_grad[edge] = dy
                uses[edge.source].append(dy)
        grad[INPUT] = store(total(uses[INPUT])) if uses[INPUT] else np.zeros_like(x)
        del value[INPUT]
        Err = float(store(risk(Div, network)))

    # Copies, for one array may stand for several things: the gradient through the only use of a
    # value is that of the value.
    def own(arrays: Mapping[Any, Array]) -> dict[Any, Array]:
        with np.errstate(over="ignore"):
            return {key: array.astype(case.dtype) for key, array in arrays.items()}

    versions = {"numpy": np.__version__}
    return Trace(
        Err,
        own({"Div": Div})["Div"],
        own(value),
        own(grad),
        own(edge_grad),
        "numpy",
        versions,
        case.precision.name,
    )


def _widened(case: Case) -> tuple[Any, Callable[[Array], Array]]:
    """(params, x, desired) to compute with, and how each result is stored.

    In low precision sums have the digits of float32, and every result is rounded once.
    """
    precision = case.precision
    if precision.sums == precision.digits:
        return (case.params, case.x, case.desired), lambda array: array
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
        z, p = value[step.name], _own(step, params)
        y = tuple(value[name] for name in step.inputs)
        dz = total(uses[step.name])
        for letter, gradient in step.op.gradients(dz, p, y, z).items():
            grad[step.parameters[letter]] = gradient
        if step.needs:
            for source, dy in zip(step.inputs, step.op.backward(dz, p, y, z), strict=True):
                uses.setdefault(source, []).append(dy)
    return Div, grad


def _own(step: Step, params: Mapping[str, Array]) -> dict[str, Array]:
    return {letter: params[name] for letter, name in step.parameters.items()}
