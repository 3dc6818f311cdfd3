"""Ops on whole vectors (lecture, sections 2, 5 and 7): affine, softmax, products, branches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, absorb, affine, scatter_add, total
from .arguments import fits, index_rows, of_shape, positive, same
from .op import Activation, Op, Params

__all__ = [
    "Add",
    "Affine",
    "Concatenate",
    "LogSoftmax",
    "Multiply",
    "Products",
    "Softmax",
    "VectorActivation",
    "log_softmax",
]


@dataclass(frozen=True)
class Affine(Op):
    """z = y W + b;  dy = dz W^T,  dW = y^T dz,  db = sum over instances of dz.

    Parameters
    ----------
    n_in, n_out : widths; W has shape (n_in, n_out) and b (n_out,).
    bias : whether there is a b.
    """

    n_in: int
    n_out: int
    bias: bool = True

    def __post_init__(self) -> None:
        for name in ("n_in", "n_out"):
            positive(self, name)
        if not isinstance(self.bias, bool):
            raise ValueError(f"Affine(bias={self.bias!r}): give True or False")

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"W": (self.n_in, self.n_out)}
        return {**shapes, "b": (self.n_out,)} if self.bias else shapes

    def width(self, *widths: int) -> int:
        fits(self, widths[0], self.n_in)
        return self.n_out

    def forward(self, p: Params, *y: Array) -> Array:
        return affine(y[0], p["W"], p["b"]) if self.bias else y[0] @ p["W"]

    def backward(self, dz: Array, p: Params, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return (dz @ p["W"].T,)

    def gradients(self, dz: Array, p: Params, y: tuple[Array, ...], z: Array) -> Params:
        dW = y[0].T @ dz
        return {"W": dW, "b": dz.sum(axis=0)} if self.bias else {"W": dW}


@dataclass(frozen=True)
class Softmax(Activation):
    """y_i = e^{z_i} / sum_j e^{z_j};  dz_j = y_j (dy_j - sum_i dy_i y_i)."""

    def f(self, z: Array) -> Array:
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def log_softmax(z: Array) -> Array:
    """z_i - log sum_j e^{z_j}, the largest z taken out of the exponential; shape (T, K)."""
    m = z.max(axis=-1, keepdims=True)
    return z - absorb(m, np.log(np.exp(z - m).sum(axis=-1, keepdims=True)))


@dataclass(frozen=True)
class LogSoftmax(Activation):
    """y_i = z_i - log sum_j e^{z_j};  dz_j = dy_j - e^{y_j} sum_i dy_i."""

    def f(self, z: Array) -> Array:
        return log_softmax(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy - np.minimum(np.exp(y), 1) * dy.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class Products(Activation):
    """Multiplicative combination: o_i = y_j y_l for given pairs (j, l);  dy_j = y_l do, and so on.

    An input in several products sums its contributions; a pair (j, j) has derivative 2 y_j.
    """

    pairs: Sequence[tuple[int, int]]

    def __post_init__(self) -> None:
        pairs = index_rows(self, "pairs")
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(f"Products(pairs={self.pairs}): give pairs (j, l) of indices >= 0")
        object.__setattr__(self, "pairs", pairs)

    @property
    def sides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The first and the second index of every pair."""
        return tuple(j for j, _ in self.pairs), tuple(l for _, l in self.pairs)  # noqa: E741

    def width(self, *widths: int) -> int:
        largest = max(max(pair) for pair in self.pairs)
        if largest >= widths[0]:
            raise ValueError(f"Products: index {largest} of a value of width {widths[0]}")
        return len(self.pairs)

    def f(self, z: Array) -> Array:
        j, l = self.sides  # noqa: E741
        return np.take(z, j, axis=-1) * np.take(z, l, axis=-1)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        j, l = self.sides  # noqa: E741
        shares = [dy * np.take(z, l, axis=-1), dy * np.take(z, j, axis=-1)]
        return scatter_add(np.concatenate(shares, axis=-1), j + l, z.shape[-1])


@dataclass(frozen=True, eq=False)
class VectorActivation(Activation):
    """y = f(z) of the user's, with the user's Jacobian or transpose product.

    Parameters
    ----------
    function : (T, n_in) -> (T, n_out), one instance a row, written with NumPy functions.
    jacobian : z -> J of shape (T, n_out, n_in), J[t, i, j] = dy_i/dz_j; or
    vjp : (dy, z) -> dz, the product with the transpose of the Jacobian.
    n_in, n_out : the widths, which may differ.
    native : the same function for each framework, ``{"torch": ..., "jax": ...}``; a function that
        only uses operators needs none.
    """

    function: Callable[[Array], Array]
    jacobian: Callable[[Array], Array] | None = field(default=None, kw_only=True)
    vjp: Callable[[Array, Array], Array] | None = field(default=None, kw_only=True)
    n_in: int = field(kw_only=True)
    n_out: int = field(kw_only=True)
    native: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("n_in", "n_out"):
            positive(self, name)
        if (self.jacobian is None) == (self.vjp is None):
            raise ValueError("VectorActivation: give exactly one of jacobian= and vjp=")

    def width(self, *widths: int) -> int:
        fits(self, widths[0], self.n_in)
        return self.n_out

    def f(self, z: Array) -> Array:
        return of_shape(self.function(z), (z.shape[0], self.n_out), "function")

    def native_function(self, framework: str) -> Callable[[Any], Any]:
        return self.native.get(framework, self.function)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        if self.vjp is not None:
            return of_shape(self.vjp(dy, z), (z.shape[0], self.n_in), "vjp")
        assert self.jacobian is not None
        J = of_shape(self.jacobian(z), (z.shape[0], self.n_out, self.n_in), "jacobian")
        return (np.expand_dims(dy, 1) @ J).reshape(z.shape[0], self.n_in)


@dataclass(frozen=True)
class Add(Op):
    """z = sum of the inputs;  dy = dz for each."""

    n_inputs: ClassVar[int | None] = None

    def width(self, *widths: int) -> int:
        same(self, widths)
        return widths[0]

    def forward(self, p: Params, *y: Array) -> Array:
        return total(y)

    def backward(self, dz: Array, p: Params, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return (dz,) * len(y)


@dataclass(frozen=True)
class Multiply(Op):
    """z = y1 y2, elementwise;  dy1 = dz y2,  dy2 = dz y1."""

    n_inputs: ClassVar[int | None] = 2

    def width(self, *widths: int) -> int:
        same(self, widths)
        return widths[0]

    def forward(self, p: Params, *y: Array) -> Array:
        return y[0] * y[1]

    def backward(self, dz: Array, p: Params, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return dz * y[1], dz * y[0]


@dataclass(frozen=True)
class Concatenate(Op):
    """z = (y1, y2, ...) side by side;  dy = the columns of dz that are its own."""

    n_inputs: ClassVar[int | None] = None

    def width(self, *widths: int) -> int:
        return sum(widths)

    def forward(self, p: Params, *y: Array) -> Array:
        return np.concatenate(y, axis=-1)

    def backward(self, dz: Array, p: Params, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        cuts = np.cumsum([0, *(x.shape[-1] for x in y)])
        return tuple(dz[..., lo:hi] for lo, hi in pairwise(cuts))
