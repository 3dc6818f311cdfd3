"""Recurrent cells: one step of a sequence; unrolled, the steps share their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, affine, split
from .arguments import positive
from .op import Op, Shape
from .smooth import sigmoid, sigmoid_slope, tanh, tanh_slope

__all__ = ["LSTMCell"]


@dataclass(frozen=True)
class LSTMCell(Op):
    """c' = f c + i g,  h' = o tanh c';  i, f, o = sigmoid, g = tanh of x W + h U + b.

    With t = tanh c' and dc = dc' + dh' o (1 - t^2): the gates get dc g i (1 - i), dc c f (1 - f),
    dc i (1 - g^2), dh' t o (1 - o), in the order i, f, g, o; c gets dc f
    (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    Parameters
    ----------
    d, h : widths of x and of the state; W is (d, 4 h), U (h, 4 h) and b (4 h,), the gates side by
        side.

    The inputs are x, h, c; the outputs "h" and "c".
    """

    d: int
    h: int
    n_inputs: ClassVar[int | None] = 3
    outputs: ClassVar[tuple[str, ...]] = ("h", "c")

    def __post_init__(self) -> None:
        positive(self, "d", "h")

    def parameter_shapes(self) -> dict[str, Shape]:
        return {"W": (self.d, 4 * self.h), "U": (self.h, 4 * self.h), "b": (4 * self.h,)}

    def output_shape(self, *shapes: Shape) -> tuple[Shape, Shape]:
        x, h, c = shapes[:3]
        if x[-1:] != (self.d,) or h != c or h[-1:] != (self.h,) or x[:-1] != h[:-1]:
            raise ValueError(f"LSTMCell({self.d}, {self.h}): x {x}, h {h} and c {c} do not fit")
        return h, c

    def _gates(self, y: tuple[Array, ...]) -> list[Array]:
        x, h, _, W, U, b = y
        # One sum over x, h and the bias, in whatever order an implementation adds it up.
        both = np.concatenate([x, h], axis=-1)
        s = affine(both, np.concatenate([W, U], axis=0), b)
        return split(s, [self.h] * 4, -1)

    def forward(self, *y: Array) -> tuple[Array, Array]:
        i, f, g, o = self._gates(y)
        c = sigmoid(f) * y[2] + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c

    def vjp(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Array, ...]:
        (dh, dc), (x, h, c, W, U, _) = dz, y
        before = self._gates(y)  # what goes into the gates
        i, f, o = (sigmoid(before[k]) for k in (0, 1, 3))
        g = tanh(before[2])
        new = f * c + i * g
        t = tanh(new)
        di, df, do = (sigmoid_slope(before[k], s) for k, s in ((0, i), (1, f), (3, o)))
        dc = dc + dh * o * tanh_slope(new, t)
        parts = [dc * g * di, dc * c * df, dc * i * tanh_slope(before[2], g), dh * t * do]
        ds = np.concatenate(parts, axis=-1)
        rows = ds.reshape(-1, 4 * self.h)
        dW, dU = (a.reshape(-1, a.shape[-1]).T @ rows for a in (x, h))
        return ds @ W.mT, ds @ U.mT, dc * f, dW, dU, rows.sum(axis=0)
