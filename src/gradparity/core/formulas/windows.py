"""Sliding windows over spatial axes, and what is made of them: convolution and max pooling.

Values are (N, C, *spatial), as in PyTorch.  A convolution is specified by windows and a matrix
product; both are exact but for the sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..arithmetic.arrays import Array, NDArray, affine, moved_back
from .arguments import (
    is_finite,
    is_whole,
    listed,
    one_of,
    positive,
    refused,
    true_or_false,
    whole_numbers,
)
from .choices import Ties
from .maxima import first_of
from .op import Movement, Op, Shape

__all__ = ["Conv", "MaxPool", "Windows"]


_PADDING = (
    "'valid', 'same', a whole number >= 0, one per axis, or (low, high) per axis; to crop the "
    "value, put a node with Slice before it"
)


def window_arguments(op: Any, padding: str = _PADDING) -> None:
    """Those arguments of `Windows` that an op has, checked and kept in full, in the op's name.

    The error for a padding names `padding` as what to give.
    """
    kernel = whole_numbers((op.kernel,) if is_whole(op.kernel) else op.kernel, 1)
    if not kernel or len(kernel) > 3:
        raise refused(op, "kernel", op.kernel, "one, two or three whole numbers >= 1")
    object.__setattr__(op, "kernel", kernel)
    n = len(kernel)
    for name in ("stride", "dilation"):
        given = getattr(op, name, 1)
        steps = whole_numbers((given,) * n if is_whole(given) else given, 1)
        if steps is None or len(steps) != n:
            give = f"a whole number >= 1, or one for each of the {n} axes of the kernel"
            raise refused(op, name, given, give)
        if hasattr(op, name):
            object.__setattr__(op, name, steps)
    if hasattr(op, "padding"):
        object.__setattr__(op, "padding", _padding(op, n, padding))


def _padding(op: Any, n: int, give: str) -> Any:
    """(low, high) for every axis; or "same"."""
    given = op.padding
    if isinstance(given, str):
        if given.isupper():  # JAX's spelling
            object.__setattr__(op, "padding", given := given.lower())
        one_of(op, "padding", ("valid", "same"))
        return "same" if given == "same" else ((0, 0),) * n
    each = (given,) * n if is_whole(given) else listed(given) or ()
    pads = [whole_numbers((p, p) if is_whole(p) else p, 0) for p in each]
    if len(pads) != n or any(p is None or len(p) != 2 for p in pads):
        raise refused(op, "padding", given, give)
    return tuple(pads)


@dataclass(frozen=True)
class Windows(Movement):
    """(N, C, *spatial) to (N, C, *windows, *kernel): every window of the spatial axes.

    Parameters
    ----------
    kernel : size of a window, one number per spatial axis.
    stride, dilation : steps between windows, and between the elements of one.
    padding : "valid", "same" (as many windows as ceil(size / stride), more on the high side), or
        numbers; `fill` stands there.

    >>> Windows((2,), padding=1).output_shape((5, 3, 4))
    (5, 3, 5, 2)
    """

    kernel: tuple[int, ...]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    fill: float = 0.0

    def __post_init__(self) -> None:
        window_arguments(self)
        if not is_finite(self.fill) and self.fill not in (math.inf, -math.inf):
            raise refused(self, "fill", self.fill, "a number, such as 0.0 or -math.inf")

    @property
    def reach(self) -> tuple[int, ...]:
        """The length of a window along every spatial axis, the gaps of dilation included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def pads(self, spatial: Shape) -> tuple[tuple[int, int], ...]:
        """(low, high) for every spatial axis."""
        if self.padding != "same":
            pairs: tuple[tuple[int, int], ...] = self.padding
            return pairs
        found = []
        for n, reach, s in zip(spatial, self.reach, self.stride, strict=True):
            total = max((-(-n // s) - 1) * s + reach - n, 0)
            found.append((total // 2, total - total // 2))
        return tuple(found)

    def output_shape(self, *shapes: Shape) -> Shape:
        shape, n = shapes[0], len(self.kernel)
        if len(shape) != n + 2:
            raise ValueError(
                f"a kernel of {n} axes takes a value (N, C, *{n} axes), received shape {shape}"
            )
        sizes = zip(shape[2:], self.pads(shape[2:]), self.reach, self.stride, strict=True)
        out = [(size + sum(pad) - reach) // s + 1 for size, pad, reach, s in sizes]
        if min(out) < 1:
            raise ValueError(f"a window of {self.kernel} is larger than a value of shape {shape}")
        return (*shape[:2], *out, *self.kernel)

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        count = self.output_shape(y[0].shape)[2 : 2 + len(self.kernel)]
        each = zip(count, self.stride, self.reach, strict=True)
        overlap = any(n > 1 and step < reach for n, step, reach in each)
        return "" if overlap or math.prod(self.kernel) == 1 else "windows do not overlap"

    def move(self, a: NDArray, fill: float) -> NDArray:
        n = len(self.kernel)
        a = np.pad(a, [(0, 0), (0, 0), *self.pads(a.shape[2:])], constant_values=fill)
        views = sliding_window_view(a, self.reach, tuple(range(2, n + 2)))
        steps: Any = (..., *(slice(None, None, s) for s in (*self.stride, *self.dilation)))
        taken: NDArray = views[steps]
        return taken

    def move_back(self, dz: NDArray, shape: Shape) -> NDArray:
        pads, out = self.pads(shape[2:]), dz.shape[2 : 2 + len(self.kernel)]
        larger = [n + low + high for n, (low, high) in zip(shape[2:], pads, strict=True)]
        back = np.zeros((*shape[:2], *larger), dz.dtype)
        for at in np.ndindex(*self.kernel):
            spans: Any = (..., *(
                slice(i * d, i * d + s * (o - 1) + 1, s)
                for i, d, s, o in zip(at, self.dilation, self.stride, out, strict=True)
            ))  # fmt: skip
            back[spans] += dz[(..., *at)]
        inside: Any = (
            ...,
            *(slice(low, low + n) for n, (low, _) in zip(shape[2:], pads, strict=True)),
        )
        kept: NDArray = back[inside]
        return kept


def convolution_arguments(op: Any, padding: str = _PADDING) -> None:
    """The arguments of a convolution, checked and kept in full; see `window_arguments`."""
    positive(op, "c_in", "c_out", "groups")
    if op.c_in % op.groups or op.c_out % op.groups:
        raise ValueError(
            f"{op.name}(groups={op.groups}) must divide c_in={op.c_in} and c_out={op.c_out}"
        )
    window_arguments(op, padding)
    true_or_false(op, "bias")


@dataclass(frozen=True)
class Conv(Op):
    """z[n, o, p] = sum_{c, k} W[o, c, k] y[n, c, s p + d k] + b[o], in one to three axes.

    dy: every window's share back where it came from;  dW[o, c, k] = sum_{n, p} dz[n, o, p] times
    what W[o, c, k] met there;  db = the sum of dz over all axes but o.

    Parameters
    ----------
    c_in, c_out : channels; W has shape (c_out, c_in / groups, *kernel) and b (c_out,).
    kernel : one, two or three numbers.
    stride, dilation, padding : as in `Windows`.
    groups : blocks of channels that do not see each other.
    bias : whether there is a b.

    >>> Conv(3, 8, (2, 2), stride=2).output_shape((5, 3, 4, 6), (8, 3, 2, 2), (8,))
    (5, 8, 2, 3)
    """

    c_in: int
    c_out: int
    kernel: tuple[int, ...]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        convolution_arguments(self)

    @property
    def windows(self) -> Windows:
        """The windows that the kernel meets."""
        return Windows(self.kernel, self.stride, self.padding, self.dilation)

    def parameter_shapes(self) -> dict[str, Shape]:
        W = (self.c_out, self.c_in // self.groups, *self.kernel)
        return {"W": W, "b": (self.c_out,)} if self.bias else {"W": W}

    def output_shape(self, *shapes: Shape) -> Shape:
        windows = self.windows.output_shape(shapes[0])
        if shapes[0][1] != self.c_in:
            raise ValueError(
                f"Conv takes a value of {self.c_in} channels on axis 1, received shape {shapes[0]}"
            )
        return (shapes[0][0], self.c_out, *windows[2 : 2 + len(self.kernel)])

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        return self.windows.unexercised(y)

    def _rows(self, y: Array) -> tuple[Array, Shape]:
        """Every window as a row: (groups, N windows, c_in / groups kernel); and (N, *windows)."""
        w, g, n = self.windows.forward(y), self.groups, len(self.kernel)
        N, C, *rest = w.shape
        w = w.reshape(N, g, C // g, *rest)
        w = np.transpose(w, (1, 0, *range(3, 3 + n), 2, *range(3 + n, 3 + 2 * n)))
        out = (N, *rest[:n])
        return w.reshape(g, math.prod(out), C // g * math.prod(rest[n:])), out

    def forward(self, *y: Array) -> Array:
        rows, out = self._rows(y[0])
        g, n = self.groups, len(self.kernel)
        W = y[1].reshape(g, self.c_out // g, -1).mT
        z = affine(rows, W, y[2].reshape(g, -1)) if self.bias else rows @ W
        z = z.reshape(g, *out, self.c_out // g)
        z = np.transpose(z, (1, 0, n + 2, *range(2, n + 2)))
        return z.reshape(out[0], self.c_out, *out[1:])

    def _by_group(self, dz: Array) -> Array:
        """dz with one row per window: (groups, N windows, c_out / groups)."""
        g, n, (N, C, *out) = self.groups, len(self.kernel), dz.shape
        d = np.transpose(dz.reshape(N, g, C // g, *out), (1, 0, *range(3, n + 3), 2))
        return d.reshape(g, N * math.prod(out), C // g)

    def input_gradient(self, dz: Array, W: Array, shape: Shape) -> Array:
        """dy, for an input of this shape."""
        g, n, (N, _, *out) = self.groups, len(self.kernel), dz.shape
        dw = self._by_group(dz) @ W.reshape(g, self.c_out // g, -1)
        dw = dw.reshape(g, N, *out, self.c_in // g, *self.kernel)
        dw = np.transpose(dw, (1, 0, n + 2, *range(2, n + 2), *range(n + 3, 2 * n + 3)))
        dw = dw.reshape(N, self.c_in, *out, *self.kernel)
        return moved_back(dw, lambda a: self.windows.move_back(a, shape))

    def kernel_gradient(self, dz: Array, y: Array) -> Array:
        """dW, for this input."""
        dW = self._by_group(dz).mT @ self._rows(y)[0]
        return dW.reshape(*self.parameter_shapes()["W"])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        dy, dW = self.input_gradient(dz, y[1], y[0].shape), self.kernel_gradient(dz, y[0])
        others = (0, *range(2, 2 + len(self.kernel)))
        return (dy, dW, dz.sum(axis=others)) if self.bias else (dy, dW)


class LargestOfWindows(Op):
    """z = the largest element of each window;  dz goes back to it, and windows add up.

    At a tie any weights >= 0 that sum to one are valid; windows may overlap.
    """

    ties: str

    @property
    def windows(self) -> Movement:
        """(N, C, *spatial) to (N, C, *windows, *kernel), with -inf where there is padding."""
        raise NotImplementedError

    def output_shape(self, *shapes: Shape) -> Shape:
        shape = shapes[0]
        windows = self.windows.output_shape(shape)
        if not self._inside((1, 1, *shape[2:])).any(axis=-1).all():
            raise ValueError(
                f"{self.name}: on a value of shape {shape} a window holds padding alone; give less "
                "padding or dilation"
            )
        return tuple(windows[: 1 + len(windows) // 2])

    def _flat(self, w: Array) -> Array:
        """Every window as one axis, the last."""
        n = 1 + w.ndim // 2
        return w.reshape(*w.shape[:n], math.prod(w.shape[n:]))

    def forward(self, *y: Array) -> Array:
        return self._flat(self.windows.forward(y[0])).max(axis=-1)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        windows = self.windows.forward(y[0])
        w = self._flat(windows)
        wins = first_of(w == w.max(axis=-1, keepdims=True), self.ties)
        share = np.where(wins, np.expand_dims(dz, -1), 0)
        return self.windows.vjp(share.reshape(*windows.shape), y, None)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ties | None:
        w = self._flat(self.windows.move(np.where(np.abs(y[0]) < tiny, 0.0, y[0]), -np.inf))
        wins = (w == w.max(axis=-1, keepdims=True)) & (w > -np.inf)
        return self._slots(y[0].shape, wins & (wins.sum(axis=-1, keepdims=True) > 1))

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        said = super().unexercised(y), self.windows.unexercised(y)
        return " and ".join(filter(None, said))

    def routes(self, *shapes: Shape) -> Ties | None:
        return self._slots(shapes[0], self._inside(shapes[0]))

    def _inside(self, shape: Shape) -> NDArray:
        """True at the elements of the windows that are not padding."""
        inside: NDArray = self._flat(self.windows.move(np.ones(shape, bool), 0.0))
        return inside

    def _slots(self, shape: Shape, chosen: NDArray) -> Ties | None:
        """The ties of elements of the windows as ties of the input."""
        source = self.windows.move(np.arange(math.prod(shape)).reshape(shape), 0)
        at = np.flatnonzero(chosen)
        return Ties.of(at // chosen.shape[-1], source.ravel()[at])


@dataclass(frozen=True)
class MaxPool(LargestOfWindows):
    """z = the largest element of each window;  dz goes back to it, and windows add up.

    At a tie any weights >= 0 that sum to one are valid; windows may overlap.

    Parameters
    ----------
    kernel, stride, padding, dilation : as in `Windows`; padding is never the largest.
    ties : which element this op takes at a tie: "first" or "last".

    >>> MaxPool((2, 2), stride=2).output_shape((5, 3, 4, 6))
    (5, 3, 2, 3)
    """

    kernel: tuple[int, ...]
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    ties: str = field(default="first", kw_only=True)

    def __post_init__(self) -> None:
        given = self.padding
        one_of(self, "ties", ("first", "last"))
        window_arguments(self)
        reach = self.windows.reach
        most = [0] * len(reach) if self.padding == "same" else map(max, self.padding)
        if any(pad >= n for pad, n in zip(most, reach, strict=True)):
            long = f"less padding than a window is long, {' x '.join(map(str, reach))}"
            why = "a window of padding alone has no largest element"
            raise refused(self, "padding", given, f"{long}, for {why}")

    @property
    def windows(self) -> Windows:
        """The windows, with -inf where there is padding."""
        return Windows(self.kernel, self.stride, self.padding, self.dilation, -np.inf)
