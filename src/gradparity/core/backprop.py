"""Forward and backward pass, vector form (lecture, sections 5 and 6).

Backprop is the distributed chain rule: the gradient of a value is the sum, over every use of it, of
the gradient through that use.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .arrays import Array
from .case import Case
from .network import INPUT, Edge, Network, Step
from .trace import Trace

__all__ = ["backprop", "forward", "risk", "risk_gradient", "total", "training_gradients"]


def risk(Div: Array, reduction: str) -> Array:
    """Err = (1/T) sum_t Div_t, or the sum alone."""
    Err = Div.sum(axis=0)
    return Err / Div.shape[0] if reduction == "mean" else Err


def risk_gradient(Div: Array, reduction: str) -> Array:
    """dErr/dDiv_t = 1/T, or 1; shape (T,)."""
    ones = np.ones_like(Div)
    return ones / Div.shape[0] if reduction == "mean" else ones


def total(parts: list[Array]) -> Array:
    """The sum over the uses of a value."""
    return parts[0] if len(parts) == 1 else np.stack(parts).sum(axis=0)


def forward(network: Network, params: Mapping[str, Array], x: Array) -> dict[str, Array]:
    """The value of every node by name, and of "x"."""
    value = {INPUT: x}
    for step in network.steps:
        inputs = [value[name] for name in step.inputs]
        value[step.name] = step.op.forward(_own(step, params), *inputs)
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
    network, params = case.network, case.params
    with np.errstate(all="ignore"):
        value = forward(network, params, case.x)
        Div = network.divergence.forward(value[network.output], case.desired)
        grad = {"Div": risk_gradient(Div, network.reduction)}
        uses: dict[str, list[Array]] = {name: [] for name in value}
        edge_grad: dict[Edge | tuple[str, str], Array] = {}

        dY = network.divergence.backward(grad["Div"], value[network.output], case.desired, Div)
        edge_grad[Edge(network.output, "Div")] = dY
        uses[network.output].append(dY)
        for step in reversed(network.steps):
            parts = uses[step.name]
            z = value[step.name]
            dz = grad[step.name] = total(parts) if parts else np.zeros_like(z)
            p, y = _own(step, params), tuple(value[name] for name in step.inputs)
            for letter, gradient in step.op.gradients(dz, p, y, z).items():
                grad[step.parameters[letter]] = gradient
            for edge, dy in zip(step.edges, step.op.backward(dz, p, y, z), strict=True):
                edge_grad[edge] = dy
                uses[edge.source].append(dy)
        grad[INPUT] = total(uses[INPUT]) if uses[INPUT] else np.zeros_like(case.x)
        del value[INPUT]
        Err = float(risk(Div, network.reduction))
    # Copies, for one array may stand for several things: the gradient through the only use of a
    # value is that of the value.
    own = {key: array.copy() for key, array in edge_grad.items()}
    value = {name: array.copy() for name, array in value.items()}
    return Trace(Err, Div, value, grad, own, "numpy", {"numpy": np.__version__})


def training_gradients(
    network: Network, params: Mapping[str, Array], x: Array, d: Array
) -> tuple[Array, dict[str, Array]]:
    """Div (T,) and the gradients of Err by the parameters alone: `backprop` for the training loop.

    Nothing is checked and nothing upstream of the first parameter is differentiated.  `d` is what
    ``divergence.desired`` returned.
    """
    value = forward(network, params, x)
    Div, dY = network.divergence.forward_and_gradient(value[network.output], d)
    if network.reduction == "mean":
        dY = dY * (Div.dtype.type(1) / Div.shape[0])
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
