"""Ops on whole vectors (lecture, sections 2, 5 and 7): affine, softmax, products, branches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import (
    Array,
    NDArray,
    affine,
    moved_back,
    scatter_add,
    split,
    total,
    unbroadcast,
)
from .arguments import (
    axes_in,
    broadcast,
    fits,
    index_rows,
    index_within,
    of_shape,
    positive,
    refused,
    true_or_false,
    whole,
)
from .op import Activation, Op, Shape
from .softmax import log_softmax, log_softmax_vjp, softmax, softmax_vjp

__all__ = [
    "Add",
    "Affine",
    "Concatenate",
    "LogSoftmax",
    "Multiply",
    "Products",
    "Softmax",
    "VectorActivation",
]


@dataclass(frozen=True)
class Affine(Op):
    """z = y W + b over the last axis;  dy = dz W^T,  dW = sum y^T dz,  db = sum dz.

    The sums run over all axes but the last.

    Parameters
    ----------
    n_in, n_out : widths; W has shape (n_in, n_out) and b (n_out,).
    bias : whether there is a b.

    >>> op = Affine(2, 1)
    >>> y, W, b = np.ones((5, 4, 2)), np.ones((2, 1)), np.zeros(1)
    >>> [g.shape for g in op.vjp(np.ones((5, 4, 1)), (y, W, b), op.forward(y, W, b))]
    [(5, 4, 2), (2, 1), (1,)]
    """

    n_in: int
    n_out: int
    bias: bool = True

    def __post_init__(self) -> None:
        positive(self, "n_in", "n_out")
        true_or_false(self, "bias")

    def parameter_shapes(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {"W": (self.n_in, self.n_out)}
        return {**shapes, "b": (self.n_out,)} if self.bias else shapes

    def output_shape(self, *shapes: Shape) -> Shape:
        fits(self, shapes[0], self.n_in)
        return (*shapes[0][:-1], self.n_out)

    def forward(self, *y: Array) -> Array:
        return affine(*y) if self.bias else y[0] @ y[1]

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return (dz @ y[1].T, *self.vjp_parameters(dz, y, z))

    def vjp_parameters(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        rows = dz.reshape(-1, self.n_out)
        dW = y[0].reshape(-1, self.n_in).T @ rows
        return (dW, rows.sum(axis=0)) if self.bias else (dW,)


@dataclass(frozen=True)
class _AlongAxis(Activation):
    """An activation that normalises along one axis."""

    axis: int = -1

    def __post_init__(self) -> None:
        whole(self, "axis")

    def output_shape(self, *shapes: Shape) -> Shape:
        axes_in(self, self.axis, shapes[0])
        return shapes[0]

    def hidden_rows(self, *y: NDArray) -> NDArray | None:
        return np.asarray(np.all(np.isneginf(y[0]), axis=self.axis))


@dataclass(frozen=True)
class Softmax(_AlongAxis):
    """y_i = e^{z_i} / sum_j e^{z_j};  dz_j = y_j (dy_j - sum_i dy_i y_i).

    Parameters
    ----------
    axis : of the sums, the last by default.
    safe : whether y is 0 where all z_i are -inf, as in PyTorch's attention, and not NaN.
    """

    safe: bool = False

    def f(self, z: Array) -> Array:
        if not self.safe:
            return softmax(z, self.axis)
        hidden = np.all(z == -np.inf, axis=self.axis, keepdims=True)
        return np.where(hidden, 0, softmax(np.where(hidden, 0, z), self.axis))

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return softmax_vjp(dy, y, self.axis)


@dataclass(frozen=True)
class LogSoftmax(_AlongAxis):
    """y_i = z_i - log sum_j e^{z_j};  dz_j = dy_j - e^{y_j} sum_i dy_i.

    Parameters
    ----------
    axis : of the sums, the last by default.
    """

    def f(self, z: Array) -> Array:
        return log_softmax(z, self.axis)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return log_softmax_vjp(dy, y, self.axis)


@dataclass(frozen=True)
class Products(Activation):
    """Multiplicative combination: o_i = y_j y_l for given pairs (j, l);  dy_j = y_l do, and so on.

    The pairs index the last axis.  An input in several products sums its contributions; a pair
    (j, j) has derivative 2 y_j.
    """

    pairs: Sequence[tuple[int, int]]

    def __post_init__(self) -> None:
        pairs = index_rows(self, "pairs")
        if any(len(pair) != 2 for pair in pairs):
            raise refused(self, "pairs", self.pairs, "pairs (j, l) of indices >= 0")
        object.__setattr__(self, "pairs", pairs)

    @property
    def sides(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The first and the second index of every pair."""
        return tuple(j for j, _ in self.pairs), tuple(l for _, l in self.pairs)  # noqa: E741

    def output_shape(self, *shapes: Shape) -> Shape:
        index_within(self, max(map(max, self.pairs)), shapes[0])
        return (*shapes[0][:-1], len(self.pairs))

    def f(self, z: Array) -> Array:
        j, l = self.sides  # noqa: E741
        return np.take(z, j, axis=-1) * np.take(z, l, axis=-1)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        j, l = self.sides  # noqa: E741
        shares = [dy * np.take(z, l, axis=-1), dy * np.take(z, j, axis=-1)]
        width = z.shape[-1]
        return moved_back(np.concatenate(shares, axis=-1), lambda a: scatter_add(a, j + l, width))


@dataclass(frozen=True, eq=False)
class VectorActivation(Activation):
    """y = f(z) of the user's, with the user's Jacobian or transpose product.

    Parameters
    ----------
    function : (..., n_in) -> (..., n_out), one sample a row, written with NumPy functions.
    jacobian : z -> J of shape (..., n_out, n_in), J[..., i, j] = dy_i/dz_j; or
    pullback : (dy, z) -> dz, the product with the transpose of the Jacobian.
    n_in, n_out : the widths, which may differ.
    native : the same function for each framework, ``{"torch": ..., "jax": ...}``; a function that
        only uses operators needs none.
    """

    function: Callable[[Array], Array]
    jacobian: Callable[[Array], Array] | None = field(default=None, kw_only=True)
    pullback: Callable[[Array, Array], Array] | None = field(default=None, kw_only=True)
    n_in: int = field(kw_only=True)
    n_out: int = field(kw_only=True)
    native: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict, kw_only=True)

    given: ClassVar[bool] = True

    def __post_init__(self) -> None:
        positive(self, "n_in", "n_out")
        if (self.jacobian is None) == (self.pullback is None):
            raise ValueError("VectorActivation: give exactly one of jacobian= and pullback=")

    def output_shape(self, *shapes: Shape) -> Shape:
        fits(self, shapes[0], self.n_in)
        return (*shapes[0][:-1], self.n_out)

    def f(self, z: Array) -> Array:
        return of_shape(self.function(z), (*z.shape[:-1], self.n_out), "function")

    def native_function(self, framework: str) -> Callable[[Any], Any]:
        return self.native.get(framework, self.function)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        if self.pullback is not None:
            return of_shape(self.pullback(dy, z), z.shape, "pullback")
        assert self.jacobian is not None
        J = of_shape(self.jacobian(z), (*z.shape[:-1], self.n_out, self.n_in), "jacobian")
        return (np.expand_dims(dy, -2) @ J).reshape(*z.shape)


@dataclass(frozen=True)
class Add(Op):
    """z = sum of the inputs, with broadcasting;  dy = dz for each, summed to its shape."""

    n_inputs: ClassVar[int | None] = None

    def output_shape(self, *shapes: Shape) -> Shape:
        return broadcast(self, shapes)

    def forward(self, *y: Array) -> Array:
        shape = np.broadcast_shapes(*(a.shape for a in y))
        return total([a if a.shape == shape else np.broadcast_to(a, shape) for a in y])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return tuple(unbroadcast(dz, a.shape) for a in y)


@dataclass(frozen=True)
class Multiply(Op):
    """z = y1 y2, elementwise, with broadcasting;  dy1 = dz y2,  dy2 = dz y1."""

    n_inputs: ClassVar[int | None] = 2

    def output_shape(self, *shapes: Shape) -> Shape:
        return broadcast(self, shapes)

    def forward(self, *y: Array) -> Array:
        return y[0] * y[1]

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return unbroadcast(dz * y[1], y[0].shape), unbroadcast(dz * y[0], y[1].shape)


@dataclass(frozen=True)
class Concatenate(Op):
    """z = (y1, y2, ...) side by side;  dy = the part of dz that is its own.

    Parameters
    ----------
    axis : along which they lie side by side, the last by default.
    """

    axis: int = -1
    n_inputs: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        whole(self, "axis")

    def output_shape(self, *shapes: Shape) -> Shape:
        first, axis = shapes[0], self.axis
        if any(len(s) != len(first) for s in shapes):
            raise ValueError(f"{self.name} takes values of one rank, received shapes {shapes}")
        (at,) = axes_in(self, axis, first)
        if any((*s[:at], *s[at + 1 :]) != (*first[:at], *first[at + 1 :]) for s in shapes):
            raise ValueError(
                f"{self.name} takes values alike but for axis {axis}, received {shapes}"
            )
        return (*first[:at], sum(s[at] for s in shapes), *first[at + 1 :])

    def forward(self, *y: Array) -> Array:
        return np.concatenate(y, axis=self.axis)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return tuple(split(dz, [x.shape[self.axis] for x in y], self.axis))
