"""Products of two values, and the transposed convolution: sums over axes that operands share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, unbroadcast
from ..formulas.arguments import is_whole, refused, whole_numbers
from ..formulas.op import Op, Shape
from ..formulas.windows import Conv, convolution_arguments

__all__ = ["ConvTranspose", "Einsum", "MatMul"]


@dataclass(frozen=True)
class MatMul(Op):
    """z = a b over the last axis of a and the last but one of b;  da = dz b^T,  db = a^T dz.

    The axes before the last two are broadcast together; a vector is a row on the left and a column
    on the right, whose axis is dropped from z.

    >>> MatMul().output_shape((5, 2, 3), (5, 3, 4)), MatMul().output_shape((5, 2, 3), (3,))
    ((5, 2, 4), (5, 2))
    """

    n_inputs: ClassVar[int | None] = 2

    def output_shape(self, *shapes: Shape) -> Shape:
        a, b = shapes
        try:
            if not a or not b:
                raise ValueError
            return np.matmul(*(np.broadcast_to(np.float32(0), s) for s in shapes)).shape
        except ValueError:
            raise ValueError(
                f"MatMul does not fit shapes {a} and {b}; give (..., n, k) and (..., k, m)"
            ) from None

    def _matrices(self, y: tuple[Array, ...]) -> tuple[Array, Array]:
        a, b = y
        return (
            np.expand_dims(a, 0) if a.ndim == 1 else a,
            np.expand_dims(b, 1) if b.ndim == 1 else b,
        )

    def forward(self, *y: Array) -> Array:
        a, b = self._matrices(y)
        return np.reshape(a @ b, self.output_shape(y[0].shape, y[1].shape))

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        a, b = self._matrices(y)
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        dz = np.reshape(dz, (*lead, a.shape[-2], b.shape[-1]))
        da, db = unbroadcast(dz @ b.mT, a.shape), unbroadcast(a.mT @ dz, b.shape)
        return np.reshape(da, y[0].shape), np.reshape(db, y[1].shape)


@dataclass(frozen=True)
class Einsum(Op):
    """z = the sum over all letters that are not in the output, of products of two elements.

    dz is multiplied by the other operand, and summed over the letters that are its alone.

    Parameters
    ----------
    equation : such as "bij,bjk->bik": one letter for every axis of the two operands and of the
        output; each at most once in each of them, and those of the output in an operand too.

    >>> Einsum("bi,bj->bij").output_shape((5, 2), (5, 3))
    (5, 2, 3)
    """

    equation: str
    n_inputs: ClassVar[int | None] = 2

    def __post_init__(self) -> None:
        given = self.equation
        text = given.replace(" ", "") if isinstance(given, str) else ""
        inputs, arrow, out = text.partition("->")
        a, comma, b = inputs.partition(",")
        if not arrow or not comma or not (a + b + out).isalpha() or not (a + b + out).isascii():
            give = "two operands and the output, a letter for every axis, such as 'bij,bjk->bik'"
            raise refused(self, "equation", given, give)
        for term in (a, b, out):
            if len(set(term)) < len(term):
                give = f"each letter once in {term!r}: diagonals are not supported"
                raise refused(self, "equation", given, give)
        if set(out) - set(a + b):
            give = f"letters of the operands in the output, which {out!r} is not made of"
            raise refused(self, "equation", given, give)
        object.__setattr__(self, "equation", text)

    @property
    def terms(self) -> tuple[str, str, str]:
        """The letters of the two operands and of the output."""
        inputs, _, out = self.equation.partition("->")
        a, _, b = inputs.partition(",")
        return a, b, out

    def _sizes(self, *shapes: Shape) -> dict[str, int]:
        """The length of the axis of every letter."""
        sizes: dict[str, int] = {}
        for letters, shape in zip(self.terms, shapes, strict=False):
            fits = len(letters) == len(shape)
            if not fits or any(
                sizes.setdefault(x, n) != n for x, n in zip(letters, shape, strict=True)
            ):
                said = " and ".join(map(str, shapes))
                raise ValueError(f"Einsum({self.equation!r}) does not fit shapes {said}")
        return sizes

    def output_shape(self, *shapes: Shape) -> Shape:
        sizes = self._sizes(*shapes)
        return tuple(sizes[x] for x in self.terms[2])

    def _roles(self) -> tuple[str, str, str, str]:
        """Letters in all three terms, of a and the output, of both operands, b and the output."""
        a, b, out = self.terms
        return (
            "".join(x for x in out if x in a and x in b),
            "".join(x for x in out if x not in b),
            "".join(x for x in a if x in b and x not in out),
            "".join(x for x in out if x not in a),
        )

    def _matrices(self, y: tuple[Array, ...]) -> tuple[Array, Array, dict[str, int]]:
        """(batch, i, k) and (batch, k, j), of which z is the product, and the sizes."""
        every, first, both, second = self._roles()
        sizes = self._sizes(y[0].shape, y[1].shape)
        a, b, _ = self.terms
        one = _arranged(_alone_summed(y[0], a, every + first + both), sizes, every, first, both)
        other = _arranged(_alone_summed(y[1], b, every + both + second), sizes, every, both, second)
        return one, other, sizes

    def forward(self, *y: Array) -> Array:
        a, b, sizes = self._matrices(y)
        every, first, _, second = self._roles()
        return _back(a @ b, every + first + second, self.terms[2], sizes)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        a, b, sizes = self._matrices(y)
        every, first, both, second = self._roles()
        d = _arranged((dz, self.terms[2]), sizes, every, first, second)
        da = _back(d @ b.mT, every + first + both, self.terms[0], sizes)
        db = _back(a.mT @ d, every + both + second, self.terms[1], sizes)
        return np.broadcast_to(da, y[0].shape), np.broadcast_to(db, y[1].shape)


def _alone_summed(y: Array, letters: str, needed: str) -> tuple[Array, str]:
    """The sum over the letters that nothing else has, and the letters that are left."""
    axes = tuple(i for i, x in enumerate(letters) if x not in needed)
    left = "".join(x for x in letters if x in needed)
    return (y.sum(axis=axes) if axes else y), left


def _arranged(y: tuple[Array, str], sizes: Mapping[str, int], *groups: str) -> Array:
    """The axes in the order of the groups of letters, each group joined into one axis."""
    array, letters = y
    order = tuple(letters.index(x) for group in groups for x in group)
    lengths = [math.prod(sizes[x] for x in group) for group in groups]
    return np.reshape(np.transpose(array, order), lengths)


def _back(y: Array, letters: str, term: str, sizes: Mapping[str, int]) -> Array:
    """Joined axes apart again, in the order of a term, with length 1 for its other letters."""
    y = np.reshape(y, [sizes[x] for x in letters])
    y = np.transpose(y, [letters.index(x) for x in term if x in letters])
    return np.reshape(y, [sizes[x] if x in letters else 1 for x in term])


@dataclass(frozen=True)
class ConvTranspose(Op):
    """z[n, o, s p + d k] = sum_{c, p, k} y[n, c, p] W[c, o, k] + b[o]: the adjoint of `Conv`.

    With the convolution that it is the adjoint of: dy = that of dz;  dW = its gradient by W where
    it takes dz and its gradient is y;  db = the sum of dz over all axes but o.

    Parameters
    ----------
    c_in, c_out : channels; W has shape (c_in, c_out / groups, *kernel) and b (c_out,).
    kernel, stride, dilation, groups, bias : as in `Conv`.
    padding : how many elements are left out at every end of z: a number, one per axis, or
        (low, high) per axis.
    output_padding : how much longer z is on the high side, less than `stride`; a number or one per
        axis.

    z has (n - 1) stride - low - high + dilation (kernel - 1) + 1 + output_padding elements along an
    axis on which y has n.

    >>> op = ConvTranspose(3, 8, (2, 2), stride=2)
    >>> op.output_shape((5, 3, 4, 6), (3, 8, 2, 2), (8,))
    (5, 8, 8, 12)
    """

    c_in: int
    c_out: int
    kernel: tuple[int, ...]
    stride: Any = 1
    padding: Any = 0
    output_padding: Any = 0
    dilation: Any = 1
    groups: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        give = (
            "a whole number >= 0, one per axis, or (low, high) per axis; for a longer result give "
            "output_padding, or put a node with Pad after it"
        )
        convolution_arguments(self, give)
        if self.padding == "same":
            give = "numbers: for 'same' there are several sizes of the output"
            raise refused(self, "padding", "same", give)
        given, n = self.output_padding, len(self.kernel)
        more = whole_numbers((given,) * n if is_whole(given) else given, 0)
        if (
            more is None
            or len(more) != n
            or any(o >= s for o, s in zip(more, self.stride, strict=True))
        ):
            give = f"whole numbers >= 0 that are less than stride={self.stride}"
            raise refused(self, "output_padding", given, give)
        object.__setattr__(self, "output_padding", more)

    @property
    def conv(self) -> Conv:
        """The convolution that this is the adjoint of, from z to y."""
        return Conv(
            self.c_out, self.c_in, self.kernel, self.stride, self.padding, self.dilation,
            self.groups, bias=False,
        )  # fmt: skip

    def parameter_shapes(self) -> dict[str, Shape]:
        return {**self.conv.parameter_shapes(), **({"b": (self.c_out,)} if self.bias else {})}

    def output_shape(self, *shapes: Shape) -> Shape:
        shape, n = shapes[0], len(self.kernel)
        if len(shape) != n + 2 or shape[1] != self.c_in:
            raise ValueError(
                f"ConvTranspose takes a value (N, {self.c_in}, *{n} axes), received shape {shape}"
            )
        each = zip(
            shape[2:], self.stride, self.padding, self.conv.windows.reach, self.output_padding,
            strict=True,
        )  # fmt: skip
        out = [(size - 1) * s - sum(pad) + reach + more for size, s, pad, reach, more in each]
        if min(out) < 1:
            raise ValueError(f"{self!r} leaves nothing of a value of shape {shape}")
        return (shape[0], self.c_out, *out)

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        shape = self.output_shape(y[0].shape)
        return self.conv.windows.unexercised((np.broadcast_to(np.float32(0), shape),))

    def forward(self, *y: Array) -> Array:
        z = self.conv.input_gradient(y[0], y[1], self.output_shape(y[0].shape))
        if not self.bias:
            return z
        # Implementations add the bias last or first; then every partial sum holds it.
        n = self.c_in // self.groups * math.prod(self.kernel)
        b = np.concatenate([np.expand_dims(y[2], 0), np.zeros((n, self.c_out), z.dtype)])
        return z + np.reshape(b.sum(axis=0), (-1, *[1] * len(self.kernel)))

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        dy = self.conv.forward(dz, y[1])
        dW = self.conv.kernel_gradient(y[0], dz)
        others = (0, *range(2, 2 + len(self.kernel)))
        return (dy, dW, dz.sum(axis=others)) if self.bias else (dy, dW)
