"""Forward and backward functions in plain NumPy, in other forms than the core's.

Every op of the suite has one here, as a person would write it who has never seen the core.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import erfc, pi, sqrt
from typing import Any, NamedTuple

import numpy as np

import gradparity as gp
from gradparity import core
from gradparity.comparisons import Report, Verdict
from gradparity.comparisons.cases.suite import OPS
from gradparity.core import Compound, Op

Array = Any


class Own(NamedTuple):
    """A pair and the op it is to compute."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    reference: Op
    width: Any = None

    def report(self, **options: Any) -> Report:
        """The report of `check_op` on the pair."""
        return gp.check_op(
            self.forward, self.backward, reference=self.reference, width=self.width, **options
        )


def sigmoid(y: Array) -> Array:
    e = np.exp(-np.abs(y))
    return np.where(y >= 0, 1 / (1 + e), e / (1 + e))


def tanh(y: Array) -> Array:
    e = np.expm1(-2 * np.abs(y))
    return np.sign(y) * -e / (e + 2)


def linear(y: Array, W: Array, b: Array) -> Array:
    return np.einsum("ti,ij->tj", y, W) + b


def linear_backward(dz: Array, y: Array, W: Array, b: Array) -> Any:
    return (W @ dz.T).T, np.einsum("ti,tj->ij", y, dz), np.ones(len(dz), dz.dtype) @ dz


def relu(y: Array) -> Array:
    return y * (y > 0)


def relu_backward(dz: Array, y: Array) -> Array:
    dy = dz.copy()
    dy[y <= 0] = 0
    return dy


def softmax(y: Array) -> Array:
    with np.errstate(over="ignore"):
        return 1 / np.exp(y[:, None, :] - y[:, :, None]).sum(-1)


def softmax_backward(dz: Array, y: Array) -> Array:
    z = softmax(y)
    jacobians = np.stack([np.diag(row) - np.outer(row, row) for row in z])
    return np.einsum("ti,tij->tj", dz, jacobians)


def log_softmax(y: Array) -> Array:
    return y - np.logaddexp.reduce(y, axis=1, keepdims=True)


def log_softmax_backward(dz: Array, y: Array) -> Array:
    return dz - softmax(y) * dz.sum(1)[:, None]


def normal_cdf(y: Array) -> Array:
    # Phi(y) as 1/2 erfc(-y / sqrt 2), which does not cancel for y < 0.
    return np.array([[0.5 * erfc(-v / sqrt(2)) for v in row] for row in y]).astype(y.dtype)


def gelu_backward(dz: Array, y: Array) -> Array:
    density = (np.exp(-0.5 * y * y) / sqrt(2 * pi)).astype(y.dtype)
    return dz * (normal_cdf(y) + y * density)


C = sqrt(2 / pi)


def gelu_tanh(y: Array) -> Array:
    return 0.5 * y * (1 + np.tanh(C * (y + 0.044715 * y**3)))


def gelu_tanh_backward(dz: Array, y: Array) -> Array:
    t = np.tanh(C * (y + 0.044715 * y**3))
    return dz * (0.5 * (1 + t) + 0.5 * y * (1 - t**2) * C * (1 + 3 * 0.044715 * y**2))


def softplus(y: Array) -> Array:
    return np.logaddexp(y, np.zeros((), y.dtype))


def elu(y: Array, a: float = 1.0) -> Array:
    return np.where(y > 0, y, a * np.expm1(np.minimum(y, 0)))


def silu_backward(dz: Array, y: Array) -> Array:
    s = sigmoid(y)
    return dz * (s + y * s * (1 - s))


def maximum(y: Array) -> Array:
    return np.sort(y, axis=1)[:, -1:]


def maximum_backward(dz: Array, y: Array) -> Array:
    dy = np.zeros_like(y)
    dy[np.arange(len(y)), y.argmax(1)] = dz[:, 0]
    return dy


def maximum_even(dz: Array, y: Array) -> Array:
    tied = y == y.max(1, keepdims=True)
    return (tied * dz / tied.sum(1, keepdims=True)).astype(y.dtype)


SUBSETS = ((0, 1, 2), (1, 2, 3), (3, 0))


def subsets(y: Array) -> Array:
    return np.stack([y[:, list(subset)].max(1) for subset in SUBSETS], axis=1)


def subsets_backward(dz: Array, y: Array) -> Array:
    dy = np.zeros_like(y)
    for i, subset in enumerate(SUBSETS):
        for t, row in enumerate(y):
            dy[t, max(subset, key=row.__getitem__)] += dz[t, i]
    return dy


PAIRS = ((0, 1), (1, 2), (3, 3), (0, 3))


def products(y: Array) -> Array:
    return np.stack([y[:, j] * y[:, k] for j, k in PAIRS], axis=1)


def products_backward(dz: Array, y: Array) -> Array:
    dy = np.zeros_like(y)
    for i, (j, k) in enumerate(PAIRS):
        dy[:, j] += dz[:, i] * y[:, k]
        dy[:, k] += dz[:, i] * y[:, j]
    return dy


def polynomial(y: Array) -> Array:
    a, b = y.T
    return np.stack([a * b + b, a**2 + b, b**2 + a], 1)


def polynomial_backward(dz: Array, y: Array) -> Array:
    (a, b), (d, e, f) = y.T, dz.T
    return np.stack([d * b + e * 2 * a + f, d * (a + 1) + e + f * 2 * b], 1)


def by_slope(left: float, right: float, low: float = -np.inf, high: float = np.inf) -> Any:
    """The backward function of what is piecewise linear."""

    def backward(dz: Array, y: Array) -> Array:
        inside = (y > low) & (y < high)
        return np.where(inside, np.where(y > 0, dz * right, dz * left), 0).astype(y.dtype)

    return backward


class RReLU:
    """A layer that draws its slopes, and keeps them."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def forward(self, y: Array) -> Array:
        drawn = self.rng.uniform(1 / 8, 1 / 3, y.shape).astype(y.dtype)
        self.slopes = np.where(y > 0, y.dtype.type(1), drawn)
        return y * self.slopes

    def backward(self, dz: Array) -> Array:
        return dz * self.slopes


def multiply_backward(dz: Array, a: Array, b: Array) -> Any:
    return [b * dz, a * dz]


def concatenate(*y: Array) -> Array:
    return np.hstack(y)


def concatenate_backward(dz: Array, *y: Array) -> Any:
    cuts = np.cumsum([0, *(each.shape[1] for each in y)])
    return tuple(dz[:, i:j] for i, j in pairwise(cuts))  # views


LEAKY = (1 / 8 + 1 / 3) / 2
LAMBDA, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717

_relu = relu, relu_backward
_PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "affine": (linear, linear_backward),
    "affine-no-bias": (lambda y, W: y @ W, lambda dz, y, W: (dz @ W.T, (dz.T @ y).T)),
    "identity": (lambda y: y, lambda dz, y: dz),  # views of what they are given
    "sigmoid": (sigmoid, lambda dz, y: dz * sigmoid(y) * sigmoid(-y)),
    "tanh": (tanh, lambda dz, y: dz * (1 + tanh(y)) * (1 - tanh(y))),
    "relu": _relu,
    "relu-left": _relu,
    "relu-maximum": _relu,
    "relu-clamp": _relu,
    "leaky-relu": (lambda y: np.maximum(y, 0.01 * y), by_slope(0.01, 1)),
    "leaky-relu-steep": (lambda y: np.minimum(y, 1.5 * y), by_slope(1.5, 1)),
    "rrelu-eval": (lambda y: np.where(y > 0, y, LEAKY * y), by_slope(LEAKY, 1)),
    "softplus": (softplus, lambda dz, y: dz * sigmoid(y)),
    "softplus-threshold": (
        lambda y: np.where(y > 20, y, softplus(y)),
        lambda dz, y: np.where(y > 20, dz, dz * sigmoid(y)),
    ),
    "elu": (elu, lambda dz, y: dz * np.exp(np.minimum(y, 0))),
    "elu-kinked": (
        lambda y: elu(y, 0.5),
        lambda dz, y: np.where(y > 0, dz, dz * 0.5 * np.exp(np.minimum(y, 0))),
    ),
    "selu": (
        lambda y: LAMBDA * elu(y, ALPHA),
        lambda dz, y: LAMBDA * np.where(y > 0, dz, dz * ALPHA * np.exp(np.minimum(y, 0))),
    ),
    "silu": (lambda y: y * sigmoid(y), silu_backward),
    "gelu": (lambda y: y * normal_cdf(y), gelu_backward),
    "gelu-tanh": (gelu_tanh, gelu_tanh_backward),
    "hardtanh": (lambda y: np.clip(y, -1, 1), by_slope(1, 1, -1, 1)),
    "softmax": (softmax, softmax_backward),
    "log-softmax": (log_softmax, log_softmax_backward),
    "max": (maximum, maximum_backward),
    "max-even": (maximum, maximum_even),
    "max-subsets": (subsets, subsets_backward),
    "products": (products, products_backward),
    "vector-activation": (polynomial, polynomial_backward),
}


def own_ops() -> dict[str, Own]:
    """A correct pair for every op of the suite, and for those of several inputs."""
    layer = RReLU()
    found = {
        "rrelu": Own(layer.forward, layer.backward, core.RandomizedLeakyReLU(), 4),
        "add": Own(lambda a, b, c: a + b + c, lambda dz, a, b, c: (dz, dz, dz), core.Add()),
        "multiply": Own(lambda a, b: a * b, multiply_backward, core.Multiply()),
        "concatenate": Own(concatenate, concatenate_backward, core.Concatenate()),
        "take": Own(
            lambda y: y[:, [0, 2, 0]],
            lambda dz, y: np.stack([dz[:, 0] + dz[:, 2], 0 * dz[:, 0], dz[:, 1]], 1),
            core.Take((0, 2, 0)),
            3,
        ),
    }
    for name, (like, width) in OPS.items():
        if name in _PAIRS and isinstance(like, Op):
            found[name] = Own(*_PAIRS[name], like, width)
    return found


def of_the_core(like: Op) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The core's own formulas, as a pair of functions."""

    def backward(dz: Array, *y: Array) -> Any:
        found = like.vjp(dz, y, like.forward(*y))
        return found[0] if len(found) == 1 else found

    return like.forward, backward


def missing() -> set[str]:
    """Ops of the suite that no pair is written for."""
    return {name for name, (op, _) in OPS.items() if not isinstance(op, Compound)} - set(own_ops())


def complaints(report: Report) -> list[str]:
    """What is not parity, in words; what says nothing is no complaint."""
    quiet = (Verdict.VACUOUS,)
    bad = [(r, f) for r, f in report.findings() if f.parity is not True and f.verdict not in quiet]
    return [f"{r.case}, {r.dtype}: {f}" for r, f in bad]


def report_of(own: Own, check: str, dtypes: Any = "float64", seed: int = 0) -> Report:
    op = gp.OwnOp(own.forward, own.backward, reference=own.reference, width=own.width)
    return op.checks(dtypes, seed)[check]()


def caught(report: Report, quantity: str) -> str:
    """The note of the finding that says what is wrong with a quantity."""
    bad = [f for _, f in report.findings() if f.parity is False]
    assert not report
    assert quantity in {f.quantity for f in bad}, [str(f) for f in bad]
    return next(f.note for f in bad if f.quantity == quantity)


def decayed(dz: Array, y: Array, W: Array, b: Array) -> Any:
    dy, dW, db = linear_backward(dz, y, W, b)
    return dy, dW + 0.01 * W, db
