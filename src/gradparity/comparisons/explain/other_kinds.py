"""Ops of one kind that are taken for each other: activations, norms, scans, paddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray, moved, moved_back, usual
from ...core.formulas import activations, piecewise
from ...core.formulas.activations import SiLU
from ...core.formulas.norms import LayerNorm
from ...core.formulas.op import Activation, Op, Shape
from ...core.formulas.windows import Conv
from ...core.vocabulary import activations as more_activations
from ...core.vocabulary import kinked
from ...core.vocabulary.layers import Recurrent
from ...core.vocabulary.normalisation import RMSNorm
from ...core.vocabulary.rearranging import MODES, Pad
from ...core.vocabulary.scans import CumulativeProduct, CumulativeSum, Scan, Sort
from .wrapped import InMode, Move, OnOther, Rearranged, Wrapped

__all__ = ["other_kinds"]

#: What an exclusive scan begins with.
FIRST: dict[type[Op], float] = {CumulativeSum: 0.0, CumulativeProduct: 1.0}


def other_kinds(op: Op, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    """(words, op) of every op that this one may be taken for.

    >>> [words for words, _ in other_kinds(CumulativeSum(), [np.ones((4, 3))])][0]
    'right as an exclusive scan: element k does not count for itself'
    """
    if isinstance(op, Activation) and op.elementwise:
        for other in _activations():
            if type(other) is not type(op) and other.parameter_shapes() == op.parameter_shapes():
                yield f"right as {other!r}, where the network has {op!r}", other
    if type(op) in (LayerNorm, RMSNorm):
        norm: Any = op
        other = (RMSNorm if type(op) is LayerNorm else LayerNorm)(norm.n, norm.eps)
        yield f"right as {other!r}, where the network has {op!r}", InMode(op, other)
    if type(op) in FIRST:
        said = "right as an exclusive scan: element k does not count for itself"
        yield said, Exclusive(op, FIRST[type(op)])
    if isinstance(op, Recurrent) or (isinstance(op, Scan) and not isinstance(op, Sort)):
        axis = -2 if isinstance(op, Recurrent) else op.axis
        axis %= y[0].ndim
        turned = Move(((axis, (*range(y[0].shape[axis]),)[::-1]),))
        inside = OnOther(op, (*range(len(y)),), ((0, turned),))
        yield f"right if it runs backwards along axis {axis}", Rearranged(inside, turned)
    if isinstance(op, Conv):
        yield from _padded(op, y[0].shape)


def _activations() -> Iterator[Any]:
    yield SiLU(1.702)  # an approximation of GELU
    for module in (activations, piecewise, more_activations, kinked):
        for name in module.__all__:
            kind = getattr(module, name)
            if isinstance(kind, type) and issubclass(kind, Activation):
                try:
                    other = kind()
                except TypeError:  # it has no usual arguments
                    continue
                if other.elementwise and not other.random:
                    yield other


@dataclass(frozen=True)
class Exclusive(Wrapped):
    """A scan with its value shifted by one, so that element k holds that of those before k.

    Attributes
    ----------
    op, first : the scan, and the value before its first element.
    """

    op: Any
    first: float

    def _shifted(self, a: NDArray, fill: float, by: int) -> NDArray:
        pads, axis = [(0, 0)] * a.ndim, self.op.axis % a.ndim
        pads[axis] = (by, 0) if by > 0 else (0, -by)
        kept = slice(None, -1) if by > 0 else slice(1, None)
        wide = np.pad(a, pads, constant_values=fill)
        found: NDArray = wide[(slice(None),) * axis + (kept,)]
        return found

    def forward(self, *y: Array) -> Array:
        z = self.op.forward(*y)
        if not self.first:  # of a sum, its own element is subtracted as well as it is left out
            return usual(self._later(z), {"z - y": lambda: z - y[0]})
        return self._later(z)

    def _later(self, z: Array) -> Array:
        found: Array = moved(z, lambda a, fill: self._shifted(a, fill, 1), self.first)
        return found

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        back = moved_back(dz, lambda a: self._shifted(a, 0.0, -1))
        (dy,) = self.op.vjp(back, y, self.op.forward(*y))
        if not self.first:
            (whole,) = self.op.vjp(dz, y, z)
            dy = usual(dy, {"dy - dz": lambda: whole - dz})
        return (dy,)


@dataclass(frozen=True)
class Padded(Wrapped):
    """A convolution without padding of a value that was padded before.

    Attributes
    ----------
    op, pad : the convolution as the network has it, and the padding.
    """

    op: Any
    pad: Pad

    @property
    def inside(self) -> Op:
        """The convolution without padding."""
        found: Op = replace(self.op, padding=0)
        return found

    def forward(self, *y: Array) -> Array:
        found: Array = self.inside.forward(self.pad.forward(y[0]), *y[1:])
        return found

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        wide = self.pad.forward(y[0])
        first, *others = self.inside.vjp(dz, (wide, *y[1:]), z)
        return (*self.pad.vjp(first, y[:1], wide), *others)


def _padded(op: Conv, shape: Shape) -> Iterator[tuple[str, Op]]:
    """The convolution with its padding in every mode that the value allows."""
    pads = op.windows.pads(shape[2:])
    for mode in MODES if any(map(any, pads)) else ():
        pad = Pad(pads, mode)
        try:
            pad.output_shape(shape)
        except ValueError:
            continue
        if mode != "constant":
            yield f"right with {mode} padding, where the network pads with zeros", Padded(op, pad)
