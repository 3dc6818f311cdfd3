"""Recurrent cells: one step of a sequence; unrolled, the steps share their parameters."""

from __future__ import annotations

from collections.abc import Callable
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
    #: The gates, in the order of their blocks in the parameters.
    gates: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")

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

    def function(self, place: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """The function of a gate, or of the new state "c", and its slope; a variant replaces it."""
        return (tanh, tanh_slope) if place in ("g", "c") else (sigmoid, sigmoid_slope)

    def forward(self, *y: Array) -> tuple[Array, Array]:
        before = zip(self.gates, self._gates(y), strict=True)
        i, f, g, o = (self.function(gate)[0](s) for gate, s in before)
        c = f * y[2] + i * g
        return o * self.function("c")[0](c), c

    def vjp(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Array, ...]:
        (dh, dc), (x, h, c, W, U, _) = dz, y
        before = self._gates(y)  # what goes into the gates
        functions = [self.function(gate) for gate in self.gates]
        i, f, g, o = after = [of(s) for (of, _), s in zip(functions, before, strict=True)]
        slopes = zip(functions, before, after, strict=True)
        di, df, dg, do = (slope(s, a) for (_, slope), s, a in slopes)
        new, (squash, squash_slope) = f * c + i * g, self.function("c")
        t = squash(new)
        dc = dc + dh * o * squash_slope(new, t)
        parts = [dc * g * di, dc * c * df, dc * i * dg, dh * t * do]
        ds = np.concatenate(parts, axis=-1)
        rows = ds.reshape(-1, 4 * self.h)
        dW, dU = (a.reshape(-1, a.shape[-1]).T @ rows for a in (x, h))
        return ds @ W.mT, ds @ U.mT, dc * f, dW, dU, rows.sum(axis=0)
