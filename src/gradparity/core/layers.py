"""Ops on whole vectors (lecture, sections 2, 5 and 7): affine, softmax, max, products, branches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from .arrays import Array, absorb, affine, scatter_add
from .op import Activation, Compound, Op, Params, Ties

__all__ = [
    "Add",
    "Affine",
    "Concatenate",
    "LogSoftmax",
    "Max",
    "MaxSubsets",
    "Maxout",
    "Multiply",
    "Products",
    "Softmax",
    "Take",
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
            _positive(self, name)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"W": (self.n_in, self.n_out)}
        return {**shapes, "b": (self.n_out,)} if self.bias else shapes

    def width(self, *widths: int) -> int:
        _fits(self, widths[0], self.n_in)
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
        return dy - np.clip(np.exp(y), 0, 1) * dy.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class Max(Activation):
    """y = max_j z_j over each group of inputs;  dz_j = w_j dy, w_j = 1 for the largest, else 0.

    At a tie any weights >= 0 that sum to one over the tied inputs are valid.

    Parameters
    ----------
    sizes : widths of the groups, which are consecutive inputs; None for one group of them all.
    ties : which element this op takes at a tie: "first", "last", or "even" (equal weights).
    spelling : which function of a framework is meant, for they differ at ties: "max"
        (``max(dim)``) or "amax".

    >>> op = Max(sizes=(2, 1))
    >>> op.f(np.array([[1.0, 3.0, 2.0]]))
    array([[3., 2.]])
    """

    sizes: tuple[int, ...] | None = None
    ties: str = field(default="first", kw_only=True)
    spelling: str = field(default="max", kw_only=True)

    def __post_init__(self) -> None:
        if self.sizes is not None and (not self.sizes or min(self.sizes) < 1):
            raise ValueError(f"Max(sizes={self.sizes}): give positive sizes, or None for one group")
        for name, choices in (("ties", ("first", "last", "even")), ("spelling", ("max", "amax"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"Max({name}={getattr(self, name)!r}): give one of {choices}")

    def width(self, *widths: int) -> int:
        _fits(self, widths[0], sum(self.sizes) if self.sizes else widths[0])
        return len(self.sizes) if self.sizes else 1

    def groups(self, z: Array) -> list[Array]:
        """The groups of z, as slices of its columns."""
        cuts = np.cumsum((0, *(self.sizes or (z.shape[-1],))))
        return [z[..., lo:hi] for lo, hi in pairwise(cuts)]

    def f(self, z: Array) -> Array:
        return np.concatenate([g.max(axis=-1, keepdims=True) for g in self.groups(z)], axis=-1)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        share = []
        for i, g in enumerate(self.groups(z)):
            wins = self._wins(g == g.max(axis=-1, keepdims=True))
            dyi = dy[..., i : i + 1]
            if self.ties == "even":
                dyi = dyi / wins.sum(axis=-1, keepdims=True).astype(dy.dtype)
            share.append(np.where(wins, dyi, 0))
        return np.concatenate(share, axis=-1)

    def _wins(self, tied: Array) -> Array:
        if self.ties == "even":
            return tied
        if self.ties == "last":
            return self._first(tied[..., ::-1])[..., ::-1]
        return self._first(tied)

    @staticmethod
    def _first(tied: Array) -> Array:
        return tied & (np.cumsum(tied, axis=-1) == 1)

    def subdifferential(self, y: Array, tiny: float) -> Ties | None:
        flushed = np.where(np.abs(y) < tiny, 0.0, y)
        pairs = zip(self.groups(y), self.groups(flushed), strict=True)
        winners = [
            (g == g.max(axis=-1, keepdims=True)) | (f == f.max(axis=-1, keepdims=True))
            for g, f in pairs
        ]
        if not any((w.sum(axis=-1) > 1).any() for w in winners):
            return None
        return Ties(np.concatenate(winners, axis=-1), tuple(w.shape[-1] for w in winners))


@dataclass(frozen=True)
class Take(Activation):
    """y_k = z_{indices[k]};  dz_l = sum over {k : indices[k] = l} of dy_k."""

    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.indices or min(self.indices) < 0:
            raise ValueError(f"Take(indices={self.indices}): give at least one index, none below 0")

    def width(self, *widths: int) -> int:
        if max(self.indices) >= widths[0]:
            raise ValueError(
                f"Take: index {max(self.indices)} of a value of width {widths[0]}; "
                f"indices go from 0 to {widths[0] - 1}"
            )
        return len(self.indices)

    def f(self, z: Array) -> Array:
        return np.take(z, self.indices, axis=-1)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return scatter_add(dy, self.indices, z.shape[-1])


@dataclass(frozen=True)
class MaxSubsets(Compound):
    """Max over subsets: y_i = max over l in S_i of z_l; subsets may overlap (max pooling).

    Expanded into `Take` (an input in several subsets sums its contributions) and `Max` over the
    groups, so that the weights at overlapping ties can be told apart.

    Parameters
    ----------
    subsets : the S_i; none empty, no index twice in one.
    ties, spelling : as in `Max`.
    """

    subsets: Sequence[Sequence[int]]
    ties: str = field(default="first", kw_only=True)
    spelling: str = field(default="max", kw_only=True)

    def __post_init__(self) -> None:
        if not len(self.subsets):
            raise ValueError("MaxSubsets: give at least one subset")
        for i, subset in enumerate(self.subsets):
            if not len(subset) or len(set(subset)) != len(subset):
                raise ValueError(
                    f"MaxSubsets: subset {i} is {list(subset)}; give each index once, none empty"
                )
        self.chain()

    def chain(self) -> tuple[tuple[str, Op], ...]:
        taken = Take(tuple(int(i) for subset in self.subsets for i in subset))
        sizes = tuple(len(subset) for subset in self.subsets)
        return ("_subsets", taken), ("", Max(sizes, ties=self.ties, spelling=self.spelling))


@dataclass(frozen=True)
class Maxout(Compound):
    """Maxout: y_i = max over k pieces of an affine map; an `Affine` and a `Max` over its pieces.

    Parameters
    ----------
    n_in, n_out : widths; W has shape (n_in, n_out k), the pieces of one output side by side.
    pieces : k.
    ties, spelling : as in `Max`.
    """

    n_in: int
    n_out: int
    pieces: int = 2
    ties: str = field(default="first", kw_only=True)
    spelling: str = field(default="max", kw_only=True)

    def __post_init__(self) -> None:
        for name in ("n_in", "n_out", "pieces"):
            _positive(self, name)
        self.chain()

    def chain(self) -> tuple[tuple[str, Op], ...]:
        pieces = Affine(self.n_in, self.n_out * self.pieces)
        best = Max((self.pieces,) * self.n_out, ties=self.ties, spelling=self.spelling)
        return ("_pieces", pieces), ("", best)


@dataclass(frozen=True)
class Products(Activation):
    """Multiplicative combination: o_i = y_j y_l for given pairs (j, l);  dy_j = y_l do, and so on.

    An input in several products sums its contributions; a pair (j, j) has derivative 2 y_j.
    """

    pairs: Sequence[tuple[int, int]]

    def __post_init__(self) -> None:
        if not len(self.pairs) or any(len(pair) != 2 or min(pair) < 0 for pair in self.pairs):
            raise ValueError(f"Products(pairs={self.pairs}): give pairs (j, l) of indices >= 0")

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
            _positive(self, name)
        if (self.jacobian is None) == (self.vjp is None):
            raise ValueError("VectorActivation: give exactly one of jacobian= and vjp=")

    def width(self, *widths: int) -> int:
        _fits(self, widths[0], self.n_in)
        return self.n_out

    def f(self, z: Array) -> Array:
        return _of_shape(self.function(z), (z.shape[0], self.n_out), "function")

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        if self.vjp is not None:
            return _of_shape(self.vjp(dy, z), (z.shape[0], self.n_in), "vjp")
        assert self.jacobian is not None
        J = _of_shape(self.jacobian(z), (z.shape[0], self.n_out, self.n_in), "jacobian")
        return (np.expand_dims(dy, 1) @ J).reshape(z.shape[0], self.n_in)


@dataclass(frozen=True)
class Add(Op):
    """z = sum of the inputs;  dy = dz for each."""

    n_inputs: ClassVar[int | None] = None

    def width(self, *widths: int) -> int:
        _same(self, widths)
        return widths[0]

    def forward(self, p: Params, *y: Array) -> Array:
        return np.stack(y).sum(axis=0)

    def backward(self, dz: Array, p: Params, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return (dz,) * len(y)


@dataclass(frozen=True)
class Multiply(Op):
    """z = y1 y2, elementwise;  dy1 = dz y2,  dy2 = dz y1."""

    n_inputs: ClassVar[int | None] = 2

    def width(self, *widths: int) -> int:
        _same(self, widths)
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


def _positive(op: Op | Compound, name: str) -> None:
    value = getattr(op, name)
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{type(op).__name__}({name}={value!r}): give a whole number >= 1")


def _fits(op: Op, received: int, expected: int) -> None:
    if received != expected:
        raise ValueError(f"{op.name} takes a value of width {expected}, received width {received}")


def _same(op: Op, widths: tuple[int, ...]) -> None:
    if len(set(widths)) != 1:
        raise ValueError(f"{op.name} takes values of one width, received widths {widths}")


def _of_shape(x: Array, shape: tuple[int, ...], what: str) -> Array:
    if x.shape != shape:
        raise ValueError(
            f"VectorActivation: {what} returned shape {x.shape}, expected {shape} (T first)"
        )
    return x
