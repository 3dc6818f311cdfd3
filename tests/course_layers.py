"""Layers as courses have them written, in several styles, and random networks of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np

import gradparity as gp
from gradparity import core

Array = Any

# --- a common course: W is (out, in) --------------------------------------------------------------


class Linear:
    def __init__(self, n_in: int, n_out: int, bias: Any = (-1, 1)) -> None:
        self.W = np.zeros((n_out, n_in))
        self.b: Any = None if bias is None else np.zeros(n_out).reshape(bias)

    def forward(self, A: Array, eval: bool = False) -> Array:
        self.A = A
        Z = A @ self.W.T
        return Z if self.b is None else Z + self.b.reshape(1, -1)

    def backward(self, dLdZ: Array) -> Array:
        self.dLdW = dLdZ.T @ self.A
        if self.b is not None:
            self.dLdb = dLdZ.sum(axis=0).reshape(self.b.shape)
        return dLdZ @ self.W


class ReLU:
    def forward(self, Z: Array) -> Array:
        self.A = np.maximum(Z, 0)
        return self.A

    def backward(self, dLdA: Array) -> Array:
        return dLdA * (self.A > 0)


class Tanh:
    def forward(self, Z: Array) -> Array:
        self.A = np.tanh(Z)
        return self.A

    def backward(self, dLdA: Array) -> Array:
        return dLdA * (1 - self.A**2)


class HalfSquares:
    def forward(self, A: Array, Y: Array) -> Array:
        self.A, self.Y = A, Y
        return ((A - Y) ** 2).sum() / 2 / len(A)

    def backward(self) -> Array:
        return (self.A - self.Y) / len(self.A)


class CrossEntropyLoss:
    def forward(self, A: Array, Y: Array) -> Array:
        e = np.exp(A - A.max(axis=1, keepdims=True))
        self.softmax, self.Y = e / e.sum(axis=1, keepdims=True), Y
        return -(Y * np.log(self.softmax)).sum(keepdims=True) / len(A)  # (1, 1), as some have it

    def backward(self) -> Array:
        return (self.softmax - self.Y) / len(self.Y)


OWN: dict[str, type] = {"ReLU": ReLU, "Tanh": Tanh}


def layers_of(case: gp.Case, **instead: Any) -> list[Any]:
    """One for each node of the case, `instead` of those above."""
    kinds = {**OWN, "Affine": Linear, **instead}
    ops = [step.op for step in case.network.body]
    return [
        kinds[op.name](op.n_in, op.n_out) if isinstance(op, core.Affine) else kinds[op.name]()
        for op in ops
    ]


def chain(seed: int, loss: core.Divergence | None = None, square: bool = False) -> gp.Case:
    """A random one, of one to five layers."""
    rng = np.random.default_rng(seed)
    widths = [4] * 6 if square else rng.permutation([2, 3, 5, 6, 7, 8]).tolist()
    ops: list[core.Op] = []
    for n_in, n_out in pairwise(widths[: rng.integers(2, 7)]):
        ops += [
            core.Affine(n_in, n_out),
            [core.ReLU(subgradient="left"), core.Tanh()][rng.integers(2)],
        ]
    network = gp.layered(ops[: len(ops) - int(rng.integers(2))], loss or core.L2())
    return gp.Case.random(network, batch=int(rng.integers(1, 9)), seed=seed)


def net(*ops: core.Op, loss: core.Divergence | None = None, **settings: Any) -> gp.Case:
    return gp.Case.random(gp.layered(list(ops), loss or core.L2(), **settings), batch=6, seed=1)


def two() -> gp.Case:
    return net(core.Affine(5, 4), core.ReLU(subgradient="left"), core.Affine(4, 3))


def bad(report: gp.Report) -> dict[str, str]:
    return {f.quantity: f.node for _, f in report.findings() if not f.parity}


def everything(case: gp.Case) -> set[str]:
    names = [step.name for step in case.network.body]
    grads = [*names, *case.network.parameter_shapes, "x"]
    return {f"value {name}" for name in names} | {f"grad {name}" for name in grads}


# --- other styles ---------------------------------------------------------------------------------


class InOut:
    """W is (in, out), parameters and gradients in lists, and gradients are written in place."""

    def __init__(self, n_in: int, n_out: int, dtype: Any = np.float64) -> None:
        self.params = [np.ones((n_in, n_out), dtype), np.ones(n_out, dtype)]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, x: Array) -> Array:
        self.x = x
        W, b = self.params
        return x @ W + b

    def backward(self, dout: Array) -> Array:
        self.grads[0][...] = self.x.T @ dout
        self.grads[1][...] = dout.sum(0)
        return dout @ self.params[0].T


class Columns:
    """Instances are columns, and every sum over them is divided by their number in the layer."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.params = {"W": np.zeros((n_out, n_in)), "b": np.zeros((n_out, 1))}
        self.grads: dict[str, Array] = {}

    def forward(self, A: Array) -> Array:
        self.A = A
        return self.params["W"] @ A + self.params["b"]

    def backward(self, dZ: Array) -> Array:
        m = dZ.shape[1]
        self.grads = {"W": dZ @ self.A.T / m, "b": dZ.sum(axis=1, keepdims=True) / m}
        return self.params["W"].T @ dZ


class Writes:
    """In place, forward and backward; accumulates."""

    def __init__(self, n: int) -> None:
        self.weight, self.grad = np.zeros(n), 0.0

    def forward(self, A: Array) -> Array:
        self.A = A.copy()
        A *= self.weight
        return A

    def backward(self, dLdA: Array) -> Array:
        self.grad = self.grad + (dLdA * self.A).sum(0)
        dLdA *= self.weight
        return dLdA


class Scale(core.Op):
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"g": (4,)}

    def forward(self, *y: Array) -> Array:
        return y[0] * y[1]

    def vjp(self, dz: Array, y: Any, z: Array) -> tuple[Array, ...]:
        return dz * y[1], (dz * y[0]).sum(axis=0)


def label_loss(A: Array, Y: Array) -> tuple[Array, Array]:
    """Of whole-number labels, Div of each instance."""
    e = np.exp(A - A.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    rows = np.arange(len(A))
    Div = -np.log(p[rows, Y])
    p[rows, Y] -= 1
    return Div, p / len(A)


class CalledLoss:
    """Called, and asked for a derivative that is multiplied by what arrives."""

    def __call__(self, A: Array, Y: Array) -> Array:
        self.r = A - Y
        return (self.r**2).sum() / 2 / len(A)

    def derivative(self, dL: Array) -> Array:
        return dL * self.r / len(self.r)


class CalledAndBack(CalledLoss):
    def backward(self) -> Array:
        return self.derivative(1)


def half_squares(A: Array, Y: Array) -> Array:
    return ((A - Y) ** 2).sum() / 2 / len(A)


def slope(A: Array, Y: Array) -> Array:
    return (A - Y) / len(A)


def in_columns() -> tuple[Callable[..., Array], Callable[..., Array]]:
    forward = lambda A, Y: ((A - Y) ** 2).sum(axis=0, keepdims=True) / 2  # noqa: E731
    return forward, lambda A, Y: A - Y


def pair() -> Any:
    loss = CalledLoss()
    return loss, loss.derivative


def styles() -> dict[str, tuple[Any, Any]]:
    """(what is given to check, the layers), each in a style of its own."""
    case, labels = two(), net(core.Affine(5, 4), core.Tanh(), loss=core.CrossEntropy())
    scaled = net(core.Affine(5, 4), Scale())
    lists = {"W": ("params.0", "grads.0"), "b": ("params.1", "grads.1")}
    nested = SimpleNamespace(layers=[Linear(5, 4), SimpleNamespace(layers=(ReLU(),)), Linear(4, 3)])
    own = gp.LayerStack

    def of_lists(case: gp.Case) -> list[Any]:
        return layers_of(case, Affine=partial(InOut, dtype=case.dtype))

    return {
        "a list": (case, own([Linear(5, 4), ReLU(), Linear(4, 3)], HalfSquares())),
        "a container": (case, own(nested, HalfSquares)),
        "in, out": (case, own(of_lists, HalfSquares, weights="in, out", parameters=lists)),
        "a pair": (case, own(layers_of, pair)),
        "a loss that is called": (case, own(layers_of, CalledAndBack())),
        "two functions": (case, own(layers_of, (half_squares, slope))),
        "labels": (labels, own(layers_of, label_loss, targets="labels")),
        "one that writes": (scaled, own([Linear(5, 4), Writes(4)], HalfSquares,
                                        parameters={"g": ("weight", "grad")})),
    }  # fmt: skip
