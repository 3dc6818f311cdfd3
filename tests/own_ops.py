"""Ops and a divergence as a user would write them, none of which the package knows.

Each has its own formulas and its own function for PyTorch and JAX; the package is not edited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gradparity.core import (
    Activation,
    Affine,
    Case,
    CrossEntropy,
    Divergence,
    Kink,
    Kinked,
    Network,
    Node,
    Op,
    layered,
)
from gradparity.core.arithmetic.arrays import usual

__all__ = ["NETWORKS", "Gate", "Huber", "LayerNorm", "ShiftedReLU", "Swish", "case_with"]


def sigmoid(z: Any) -> Any:
    t = np.exp(-abs(z))
    return np.where(z >= 0, 1 / (1 + t), t / (1 + t))


@dataclass(frozen=True)
class Swish(Op):
    """z = y sigmoid(beta y), beta of shape (n,): one for all features, or one each."""

    n: int = 1

    def parameter_shapes(self):
        return {"beta": (self.n,)}

    def forward(self, y, beta):
        return y * sigmoid(beta * y)

    def vjp(self, dz, inputs, z):
        y, beta = inputs
        s = sigmoid(beta * y)
        dbeta = dz * (y * y * (s * (1 - s)))
        return (
            dz * (s + beta * y * (s * (1 - s))),
            dbeta.reshape(-1, self.n).sum(axis=0),
        )

    def native_function(self, framework):
        if framework == "torch":
            import torch

            return lambda y, beta: y * torch.sigmoid(beta * y)
        if framework == "jax":
            import jax

            return lambda y, beta: y * jax.nn.sigmoid(beta * y)
        return None


@dataclass(frozen=True)
class ShiftedReLU(Kinked):
    """y = max(z - 1, 0), with a kink at 1."""

    @property
    def kinks(self):
        return (Kink(1.0, 0.0, 1.0),)

    def f(self, z):
        return np.maximum(z - 1, 0)

    def slope(self, dy, z, y):
        return np.where(z > 1, dy, 0)

    def native_function(self, framework):
        if framework == "torch":
            import torch

            return lambda z: torch.relu(z - 1)
        import jax

        return lambda z: jax.nn.relu(z - 1)


class LayerNorm(Op):
    """z = g (y - mean) / sqrt(variance + eps) + b; no dataclass, and unhashable attributes."""

    def __init__(self, n: int, eps: float = 1e-5) -> None:
        self.n, self.eps, self.made_with = n, eps, [n, eps]

    def parameter_shapes(self):
        return {"g": (self.n,), "b": (self.n,)}

    def _normal(self, y):
        centred = y - y.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + self.eps)
        return centred / deviation, deviation

    def forward(self, y, g, b):
        return g * self._normal(y)[0] + b

    def vjp(self, dz, inputs, z):
        y, g, _ = inputs
        normal, deviation = self._normal(y)
        d = dz * g
        own, along = d.mean(axis=-1, keepdims=True), (d * normal).mean(axis=-1, keepdims=True)
        return (
            (d - own - normal * along) / deviation,
            (dz * normal).sum(axis=0),
            dz.sum(axis=0),
        )

    def native_function(self, framework):
        if framework == "torch":
            import torch

            return lambda y, g, b: torch.nn.functional.layer_norm(y, (self.n,), g, b, self.eps)
        if framework == "jax":
            import jax.numpy as jnp

            def normal(y, g, b):
                centred = y - y.mean(-1, keepdims=True)
                variance = (centred * centred).mean(-1, keepdims=True)
                return g * (centred / jnp.sqrt(variance + self.eps)) + b

            return normal
        return None


class Gate(Op):
    """z = y1 sigmoid(y2)."""

    n_inputs: ClassVar[int | None] = 2

    def forward(self, *y):
        return y[0] * sigmoid(y[1])

    def vjp(self, dz, y, z):
        s = sigmoid(y[1])
        return dz * s, dz * y[0] * (s * (1 - s))

    def native_function(self, framework):
        if framework == "torch":
            import torch

            return lambda y1, y2: y1 * torch.sigmoid(y2)
        import jax

        return lambda y1, y2: y1 * jax.nn.sigmoid(y2)


@dataclass(frozen=True)
class Bilinear(Activation):
    """z = y + y M, with a square matrix that is not called W."""

    n: int

    def parameter_shapes(self):
        return {"M": (self.n, self.n)}

    def forward(self, y, M):
        return y + y @ M

    def vjp(self, dz, inputs, z):
        y, M = inputs
        return dz + dz @ M.T, y.T @ dz

    def native_function(self, framework):
        return lambda y, M: y + y @ M


class Huber(Divergence):
    """Div = sum_i h(y_i - d_i): r^2/2 for |r| <= delta, else delta (|r| - delta/2)."""

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = delta

    def forward(self, y, d):
        r = abs(y - d)
        return np.where(r <= self.delta, 0.5 * (r * r), self.delta * (r - 0.5 * self.delta)).sum(
            axis=-1
        )

    def gradient(self, y, d):
        r = y - d

        def optax_form():  # |r| enters twice, and delta cancels
            sign = np.where(r < 0, -1.0, 1.0)
            return sign * ((np.minimum(abs(r), self.delta) - self.delta) + self.delta)

        return usual(np.clip(r, -self.delta, self.delta), {"of Optax": optax_form})

    def native_function(self, framework):
        if framework == "torch":
            import torch

            loss = torch.nn.functional.huber_loss
            return lambda y, d: loss(y, d, reduction="none", delta=self.delta).sum(-1)
        import optax

        return lambda y, d: optax.huber_loss(y, d, delta=self.delta).sum(-1)


def _gated() -> Network:
    return Network(
        Node("z1", Affine(3, 4), "x"), Node("u1", Affine(3, 4), "x"),
        Node("m1", Gate(), "z1", "u1"), Node("z2", Affine(4, 2), "m1"),
        divergence=CrossEntropy(),
    )  # fmt: skip


#: name -> (network, the node of the op)
NETWORKS = {
    "swish": (layered([Affine(3, 4), Swish(), Affine(4, 2)], CrossEntropy(eps=0.01)), "z2"),
    "swish-each": (layered([Affine(3, 4), Swish(4), Affine(4, 2)], Huber()), "z2"),
    "shifted-relu": (layered([Affine(3, 4), ShiftedReLU(), Affine(4, 2)], CrossEntropy()), "y1"),
    "layer-norm": (layered([Affine(3, 5), LayerNorm(5), Affine(5, 2)], Huber(0.5)), "z2"),
    "gate": (_gated(), "m1"),
    "bilinear": (layered([Affine(3, 4), Bilinear(4), Affine(4, 2)], CrossEntropy()), "z2"),
}


def case_with(name: str, seed: int = 0, batch: int = 8) -> Case:
    """A random case; every second input of a kinked op is exactly at its kink."""
    network, _ = NETWORKS[name]
    case = Case.random(network, seed=seed, batch=batch, name=name)
    if name != "shifted-relu":
        return case
    params = dict(case.params)
    params["W1"] = np.array(params["W1"])
    params["b1"] = np.array(params["b1"])
    params["W1"][:, ::2], params["b1"][::2] = 0.0, 1.0
    return Case(network, params, case.x, case.d, name)
