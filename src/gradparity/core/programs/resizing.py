"""Resizing as PyTorch does it by a factor that gives no whole sizes, and with antialiasing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..arithmetic.arrays import Array, NDArray, like
from ..formulas.arguments import one_of, refused, whole_numbers
from ..formulas.op import Op, Shape
from ..vocabulary.resampling import Resize, keys

__all__ = ["ScaledResize", "SmoothResize"]


@dataclass(frozen=True)
class ScaledResize(Resize):
    """`Resize` with factors: element i stands at x_i = (i + 1/2) / scale - 1/2.

    Parameters
    ----------
    size, mode : as in `Resize`.  PyTorch ignores the factor where a size stays as it is, for
        "nearest" and "linear", and where it is doubled, for "nearest".
    scales : the factor along each axis of `size`, > 0; it need not be the quotient of the sizes.
    """

    scales: tuple[float, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        _scales(self, self.scales, len(self.size))
        if self.align_corners:
            raise refused(self, "align_corners", True, "False: corners leave no place for factors")

    def nearest(self, n: int, axis: int) -> NDArray:
        """PyTorch finds the elements in float32, for other formats too."""
        if self.mode == "nearest" and self.size[axis] in (n, 2 * n):
            return super().nearest(n, axis)
        at = np.arange(self.size[axis], dtype=np.float32)
        if self.mode == "nearest-exact":
            at = at + np.float32(0.5)
        found: NDArray = np.floor(at * np.float32(1 / self.scales[axis])).astype(int)
        return np.clip(found, 0, n - 1)

    def positions(self, y: Array, n: int, axis: int) -> tuple[NDArray, Array]:
        if self.size[axis] == n and self.mode == "linear":
            return super().positions(y, n, axis)
        at = np.arange(self.size[axis]) + 0.5
        inverse = 1 / self.scales[axis]
        x = like(np.expand_dims(at, 1), y) * inverse - 0.5
        return np.floor(at * inverse - 0.5).astype(int), x


#: Half of the width of a kernel.
REACH = {"linear": 1.0, "cubic": 2.0}
#: Slope of the cubic kernel at a distance of 1 where PyTorch smooths.
CUBIC = -0.5


@dataclass(frozen=True)
class SmoothResize(Op):
    """z_i = sum_j w_ij y_j along each axis, smoothed where the result is smaller ("antialias").

    Element i stands at c_i = (i + 1/2) r among n, r = n / m, and w_ij is proportional to
    w(|j + 1/2 - c_i| / max(r, 1)), with a sum of one over j.  dy_j = sum_i w_ij dz_i.

    Parameters
    ----------
    size : of the result, along the last axes.
    mode : "linear" has w(t) = max(1 - t, 0), and "cubic" Keys's kernel with a = -1/2.
    scales : 1 / r along each axis; none for m / n.
    align_corners : whether r = (n - 1) / (m - 1), or 0 for m = 1, as PyTorch has it.

    An axis whose size stays as it is is not smoothed, whatever the factor.

    >>> SmoothResize((1,), "linear").forward(np.array([[0.0, 4.0]]))
    array([[2.]])
    """

    size: tuple[int, ...]
    mode: str = "linear"
    scales: tuple[float, ...] = ()
    align_corners: bool = False

    def __post_init__(self) -> None:
        one_of(self, "mode", tuple(REACH))
        object.__setattr__(self, "size", whole_numbers(self.size, 1))
        if self.scales:
            _scales(self, self.scales, len(self.size))

    def output_shape(self, *shapes: Shape) -> Shape:
        shape, n = shapes[0], len(self.size)
        if len(shape) < n or 0 in shape[len(shape) - n :]:
            raise ValueError(f"{self!r} does not fit a value of shape {shape}")
        return (*shape[: len(shape) - n], *self.size)

    def _weights(self, y: Array, n: int, axis: int) -> Array:
        """The weights (m, n) along an axis."""
        m = self.size[axis]
        if m == n:
            return like(np.eye(n), y)
        top, bottom = n, m
        if self.align_corners:
            top, bottom = (n - 1, m - 1) if m > 1 else (0, 1)
        at = like(np.arange(m)[:, np.newaxis] + 0.5, y)
        if self.scales and not self.align_corners:
            ratio = 1 / self.scales[axis]
            centre = at * ratio
        else:
            ratio = top / bottom
            centre = at * top / bottom
        t = abs(like(np.arange(n) + 0.5, y) - centre)
        t = t / ratio if ratio > 1 else t
        w = np.maximum(1 - t, 0) if self.mode == "linear" else keys(t, CUBIC)
        return w / w.sum(axis=-1, keepdims=True)

    def _along(self, z: Array, y: Array, *, back: bool) -> Array:
        """The weights applied along every axis, or their transposes."""
        first = y.ndim - len(self.size)
        for k in range(len(self.size)):
            w = self._weights(y, y.shape[first + k], k)
            last = np.moveaxis(z, first + k, -1)
            z = np.moveaxis(last @ (w if back else np.swapaxes(w, 0, 1)), -1, first + k)
        return z

    def forward(self, *y: Array) -> Array:
        return self._along(y[0], y[0], back=False)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return (self._along(dz, y[0], back=True),)


def _scales(op: Op, scales: tuple[float, ...], n: int) -> None:
    if len(scales) != n or not all(s > 0 for s in scales):
        raise refused(op, "scales", scales, f"{n} numbers > 0, one for each axis of the size")
