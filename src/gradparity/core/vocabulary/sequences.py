"""Recurrent cells and positions of sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, affine, split, unbroadcast, usual
from ..formulas.arguments import broadcast, one_of, positive, true_or_false
from ..formulas.op import Op, Shape
from ..formulas.smooth import sigmoid, sigmoid_slope, tanh, tanh_slope

__all__ = ["GRUCell", "RNNCell", "Rotary"]


@dataclass(frozen=True)
class RNNCell(Op):
    """h' = tanh(x W + h U + b) (Elman 1990);  with ds = dh' (1 - h'^2): dx = ds W^T, dh = ds U^T.

    dW = x^T ds,  dU = h^T ds,  db = sum ds.

    Parameters
    ----------
    d, h : widths of x and of the state; W is (d, h), U (h, h) and b (h,).

    >>> RNNCell(4, 3).output_shape((5, 4), (5, 3))
    (5, 3)
    """

    d: int
    h: int
    n_inputs: ClassVar[int | None] = 2

    def __post_init__(self) -> None:
        positive(self, "d", "h")

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"W": (self.d, self.h), "U": (self.h, self.h), "b": (self.h,)}

    def output_shape(self, *shapes: Shape) -> Shape:
        _states_fit(self, *shapes[:2])
        return shapes[1]

    def _sum(self, y: tuple[Array, ...]) -> Array:
        x, h, W, U, b = y
        return affine(np.concatenate([x, h], axis=-1), np.concatenate([W, U], axis=0), b)

    @property
    def function(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """The function of the sum, and its slope; a variant replaces it."""
        return tanh, tanh_slope

    def forward(self, *y: Array) -> Array:
        return self.function[0](self._sum(y))

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        x, h, W, U, _ = y
        ds = dz * self.function[1](self._sum(y), z)
        return (
            ds @ W.mT,
            ds @ U.mT,
            weight_gradient(x, ds),
            weight_gradient(h, ds),
            rows(ds).sum(axis=0),
        )


@dataclass(frozen=True)
class GRUCell(Op):
    """h' = (1 - u) n + u h with the gates r, u = sigmoid and the candidate n (Cho et al. 2014).

    n = tanh(x W_n + b_n + r (h U_n + c_n)) with `reset_after`, as in PyTorch and Flax; else
    n = tanh(x W_n + b_n + (r h) U_n), as in the paper.  With dn = dh' (1 - u) and
    ds_n = dn (1 - n^2): du = dh' (h - n), and dr = ds_n (h U_n + c_n), or (ds_n U_n^T) h.

    Parameters
    ----------
    d, h : widths of x and of the state; W is (d, 3 h), U (h, 3 h) and b (3 h,), the blocks of r, u
        and n side by side.
    reset_after : whether r multiplies h U_n + c_n, with a second bias c (3 h,), or h itself.

    >>> GRUCell(4, 3).parameter_shapes()
    {'W': (4, 9), 'U': (3, 9), 'b': (9,), 'c': (9,)}
    """

    d: int
    h: int
    reset_after: bool = True
    n_inputs: ClassVar[int | None] = 2
    ops_inside: ClassVar[int] = 2  # the gates, and the candidate

    def __post_init__(self) -> None:
        positive(self, "d", "h")
        true_or_false(self, "reset_after")

    def parameter_shapes(self) -> dict[str, Shape]:
        n = 3 * self.h
        shapes: dict[str, Shape] = {"W": (self.d, n), "U": (self.h, n), "b": (n,)}
        return {**shapes, "c": (n,)} if self.reset_after else shapes

    def output_shape(self, *shapes: Shape) -> Shape:
        _states_fit(self, *shapes[:2])
        return shapes[1]

    def _steps(self, y: tuple[Array, ...]) -> tuple[Array, ...]:
        """The arguments of r, u and n; these three; and h U + c, or r h."""
        x, h, W, U, b = y[:5]
        c = y[5] if self.reset_after else np.zeros_like(b)
        n = self.h
        # One sum over x, h and both biases, in whatever order an implementation adds it up.
        all_ = np.concatenate([x, h, np.ones_like(h[..., :1])], axis=-1)
        rows = np.concatenate([W, U, c.reshape(1, -1)], axis=0)
        before = affine(all_, rows[:, : 2 * n], b[: 2 * n])
        s_r, s_u = split(before, (n, n), -1)
        r, u = sigmoid(s_r), sigmoid(s_u)
        if self.reset_after:
            inner = affine(h, U[:, 2 * n :], c[2 * n :])
            s_n = affine(x, W[:, 2 * n :], b[2 * n :]) + r * inner
        else:
            inner = r * h
            both = np.concatenate([x, inner], axis=-1)
            s_n = affine(both, np.concatenate([W, U], axis=0)[:, 2 * n :], b[2 * n :])
        return s_r, s_u, s_n, r, u, tanh(s_n), inner

    def forward(self, *y: Array) -> Array:
        *_, u, n, _ = self._steps(y)
        h = y[1]
        return usual((1 - u) * n + u * h, {"n + u (h - n)": lambda: n + u * (h - n)})

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        x, h, W, U = y[:4]
        s_r, s_u, s_n, r, u, n, inner = self._steps(y)
        ds_n = dz * (1 - u) * tanh_slope(s_n, n)
        ds_u = dz * (h - n) * sigmoid_slope(s_u, u)
        U_n = U[:, 2 * self.h :]
        through = ds_n * r if self.reset_after else ds_n @ U_n.mT
        ds_r = (ds_n * inner if self.reset_after else through * h) * sigmoid_slope(s_r, r)
        ds = np.concatenate([ds_r, ds_u, ds_n], axis=-1)
        dW, db = weight_gradient(x, ds), rows(ds).sum(axis=0)
        if self.reset_after:
            beside = np.concatenate([ds_r, ds_u, through], axis=-1)
            dh = dz * u + beside @ U.mT
            dU = weight_gradient(h, beside)
            return ds @ W.mT, dh, dW, dU, db, rows(beside).sum(axis=0)
        gates = np.concatenate([ds_r, ds_u], axis=-1)
        dh = dz * u + through * r + gates @ U[:, : 2 * self.h].mT
        dU = np.concatenate([weight_gradient(h, gates), weight_gradient(inner, ds_n)], axis=-1)
        return ds @ W.mT, dh, dW, dU, db


def _states_fit(op: Any, x: Shape, h: Shape) -> None:
    if x[-1:] != (op.d,) or h[-1:] != (op.h,) or x[:-1] != h[:-1]:
        raise ValueError(f"{op.name}({op.d}, {op.h}): x {x} and h {h} do not fit")


def rows(a: Array) -> Array:
    return a.reshape(-1, a.shape[-1])


def weight_gradient(x: Array, ds: Array) -> Array:
    """x^T ds, summed over all axes but the last."""
    return rows(x).T @ rows(ds)


@dataclass(frozen=True)
class Rotary(Op):
    """Rotary positions (Su et al. 2021): pairs (a, b) of y become (a c - b s, b c + a s).

    da = dz_a c + dz_b s,  db = dz_b c - dz_a s,  dc = dz_a a + dz_b b,  ds = dz_b a - dz_a b.

    Parameters
    ----------
    layout : "halves", a pair being y_i and y_{i + D/2} (GPT-NeoX), or "pairs", y_2i and y_2i+1
        (GPT-J).

    The inputs are y (..., D) and the cosines c and sines s (..., D/2), which broadcast.

    >>> quarter = np.array([0.0]), np.array([1.0])  # the cosine and sine of pi/2
    >>> Rotary().forward(np.array([[2.0, 0.0]]), *quarter)
    array([[0., 2.]])
    """

    layout: str = "halves"
    n_inputs: ClassVar[int | None] = 3

    def __post_init__(self) -> None:
        one_of(self, "layout", ("halves", "pairs"))

    def output_shape(self, *shapes: Shape) -> Shape:
        y, c, s = shapes
        half = (*y[:-1], y[-1] // 2) if y else ()
        if not y or y[-1] % 2 or any(broadcast(self, (half, a)) != half for a in (c, s)):
            raise ValueError(f"{self!r}: y {y}, cosines {c} and sines {s} do not fit")
        return y

    def _parts(self, y: Array) -> tuple[Array, Array]:
        if self.layout == "pairs":
            return y[..., 0::2], y[..., 1::2]
        half = y.shape[-1] // 2
        return y[..., :half], y[..., half:]

    def _whole(self, a: Array, b: Array) -> Array:
        if self.layout == "halves":
            return np.concatenate([a, b], axis=-1)
        return np.stack([a, b], axis=-1).reshape(*a.shape[:-1], 2 * a.shape[-1])

    def forward(self, *y: Array) -> Array:
        (a, b), c, s = self._parts(y[0]), y[1], y[2]
        return self._whole(a * c - b * s, b * c + a * s)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        (a, b), (da, db), c, s = self._parts(y[0]), self._parts(dz), y[1], y[2]
        dc, ds = da * a + db * b, db * a - da * b
        dy = self._whole(da * c + db * s, db * c - da * s)
        return dy, unbroadcast(dc, c.shape), unbroadcast(ds, s.shape)
