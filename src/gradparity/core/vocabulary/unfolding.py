"""Windows as columns of a matrix (im2col), and the sum of such columns back into an image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arithmetic.arrays import Array, NDArray, moved, moved_back
from ..formulas.arguments import refused, wholes
from ..formulas.op import Movement, Op, Shape
from ..formulas.windows import Windows, window_arguments

__all__ = ["Fold", "Unfold"]


class _Columns(Op):
    """The shapes of `Unfold` and `Fold`: (N, C K, L) and (N, C, *windows, *kernel)."""

    kernel: tuple[int, ...]
    stride: Any
    padding: Any
    dilation: Any

    def __post_init__(self) -> None:
        given = self.kernel
        window_arguments(self)
        if len(self.kernel) > 2:
            raise refused(self, "kernel", given, "one or two whole numbers >= 1")

    @property
    def windows(self) -> Windows:
        """The windows that become columns, with zeros where there is padding."""
        return Windows(self.kernel, self.stride, self.padding, self.dilation)

    def _columns(self, a: NDArray) -> NDArray:
        """Every window of an image as a column."""
        w, n = self.windows.move(a, 0.0), len(self.kernel)
        w = np.transpose(w, (0, 1, *range(2 + n, 2 + 2 * n), *range(2, 2 + n)))
        places = math.prod(w.shape[2 + n :])
        return w.reshape(len(a), a.shape[1] * math.prod(self.kernel), places)

    def _image(self, columns: NDArray, shape: Shape) -> NDArray:
        """The adjoint: every column back where it came from, in an image of this shape."""
        n = len(self.kernel)
        out = self.windows.output_shape(shape)[2 : 2 + n]
        w = columns.reshape(*shape[:2], *self.kernel, *out)
        w = np.transpose(w, (0, 1, *range(2 + n, 2 + 2 * n), *range(2, 2 + n)))
        return self.windows.move_back(w, shape)


@dataclass(frozen=True)
class Unfold(_Columns, Movement):
    """(N, C, *spatial) to (N, C K, L): L windows as columns of K elements for every channel.

    z[n, c K + k, l] = y[n, c, element k of window l];  dy: every column back where it came from.

    Parameters
    ----------
    kernel : size of a window, one or two numbers; K is their product.
    stride, padding, dilation : as in `Windows`; zeros stand in the padding.

    >>> Unfold((2, 2)).output_shape((5, 3, 4, 6))
    (5, 12, 15)
    """

    kernel: tuple[int, ...]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1

    def output_shape(self, *shapes: Shape) -> Shape:
        shape, n = self.windows.output_shape(shapes[0]), len(self.kernel)
        return (shape[0], shape[1] * math.prod(self.kernel), math.prod(shape[2 : 2 + n]))

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        return self.windows.unexercised(y)

    def move(self, a: NDArray, fill: float) -> NDArray:
        return self._columns(a)

    def move_back(self, dz: NDArray, shape: Shape) -> NDArray:
        return self._image(dz, shape)


@dataclass(frozen=True)
class Fold(_Columns):
    """(N, C K, L) to (N, C, *size), the adjoint of `Unfold`: columns added up where windows are.

    dy = the columns of dz.

    Parameters
    ----------
    size : the spatial axes of the result, one or two numbers.
    kernel : size of a window, as many numbers; K is their product.
    stride, padding, dilation : as in `Windows`; what falls on the padding is dropped.

    >>> Fold((4, 6), (2, 2)).output_shape((5, 12, 15))
    (5, 3, 4, 6)
    """

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        wholes(self, "size", 1)
        if len(self.size) != len(self.kernel):
            raise refused(self, "size", self.size, f"{len(self.kernel)} numbers, as in the kernel")

    def output_shape(self, *shapes: Shape) -> Shape:
        shape, K = shapes[0], math.prod(self.kernel)
        L = math.prod(self.windows.output_shape((1, 1, *self.size))[2 : 2 + len(self.kernel)])
        if len(shape) != 3 or shape[1] % K or shape[2] != L:
            raise ValueError(
                f"{self!r} takes (N, C {K}, {L}): columns of {K} elements for each of C channels, "
                f"one of each of {L} windows; received shape {shape}"
            )
        return (shape[0], shape[1] // K, *self.size)

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        image = np.broadcast_to(np.float32(0), self.output_shape(y[0].shape))
        return self.windows.unexercised((image,))

    def forward(self, *y: Array) -> Array:
        shape = self.output_shape(y[0].shape)
        return moved_back(y[0], lambda a: self._image(a, shape))

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return (moved(dz, lambda a, _: self._columns(a)),)
