"""Recurrent cells: one step of a sequence; unrolled, the steps share their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, affine, split
from .activations import sigmoid
from .arguments import positive
from .op import Op, Shape

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

    def _gates(self, y: tuple[Array, ...]) -> tuple[Array, ...]:
        x, h, _, W, U, b = y
        # One sum over x, h and the bias, in whatever order an implementation adds it up.
        both = np.concatenate([x, h], axis=-1)
        s = affine(both, np.concatenate([W, U], axis=0), b)
        i, f, g, o = split(s, [self.h] * 4, -1)
        return sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)

    def forward(self, *y: Array) -> tuple[Array, Array]:
        i, f, g, o = self._gates(y)
        c = f * y[2] + i * g
        return o * np.tanh(c), c

    def vjp(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Array, ...]:
        (dh, dc), (x, h, c, W, U, _) = dz, y
        i, f, g, o = self._gates(y)
        t = np.tanh(f * c + i * g)
        dc = dc + dh * o * (1 - t * t)
        ds = np.concatenate(
            [
                dc * g * (i * (1 - i)),
                dc * c * (f * (1 - f)),
                dc * i * (1 - g * g),
                dh * t * (o * (1 - o)),
            ],
            axis=-1,
        )
        rows = ds.reshape(-1, 4 * self.h)
        dW, dU = (a.reshape(-1, a.shape[-1]).T @ rows for a in (x, h))
        return ds @ W.mT, ds @ U.mT, dc * f, dW, dU, rows.sum(axis=0)
