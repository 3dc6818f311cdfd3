"""Axes, such as heads or packed parts, that are split and joined in another order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from ....core.arithmetic.arrays import Array
from ....core.formulas.movements import Reshape
from ....core.formulas.op import Op
from ....core.vocabulary.rearranging import Split

__all__ = ["arrangements"]

#: The most axes whose orders are tried, and the most blocks that hold parts of their own.
MOST_AXES, BLOCKS = 5, 256


@dataclass(frozen=True)
class _Split(Op):
    """A reshape to axes in another order, which are transposed back.

    Attributes
    ----------
    to : the shape of the result.
    order : the axes of the result in the order in which they lie in the input.
    """

    to: tuple[int, ...]
    order: tuple[int, ...]

    def forward(self, *y: Array) -> Array:
        apart = np.reshape(np.asarray(y[0]), [self.to[i] for i in self.order])
        return np.transpose(apart, np.argsort(self.order))


@dataclass(frozen=True)
class _Joined(Op):
    """A reshape of the input with its axes in another order.

    Attributes
    ----------
    to : the shape of the result.
    order : of the axes of the input.
    """

    to: tuple[int, ...]
    order: tuple[int, ...]

    def forward(self, *y: Array) -> Array:
        return np.transpose(np.asarray(y[0]), self.order).reshape(self.to)


@dataclass(frozen=True)
class _PerBlock(Op):
    """A split of the last axis, in each of several blocks.

    Attributes
    ----------
    op : the split, in parts of one size.
    blocks : how many blocks hold some of each part.
    """

    op: Split
    blocks: int

    def forward(self, *y: Array) -> tuple[Array, ...]:
        a, parts = np.asarray(y[0]), len(self.op.sizes)
        apart = a.reshape(*a.shape[:-1], self.blocks, parts, -1)
        each = np.moveaxis(apart, -2, 0)
        return tuple(part.reshape(*a.shape[:-1], -1) for part in each)


def arrangements(op: Op, shape: tuple[int, ...]) -> Iterator[tuple[str, Op]]:
    """Yield (words, op) for a reshape or split of an input of a shape in other orders of axes."""
    if isinstance(op, Split):
        yield from _per_block(op, shape)
    if not isinstance(op, Reshape):
        return
    to = op.output_shape(shape)
    if len(to) >= len(shape):
        for order in _orders(to):
            yield _split_in_words(shape, to, order), _Split(to, order)
    flat = len(to) == 2 and to[0] == shape[0] and len(shape) > 3  # named where it is taken
    if len(to) <= len(shape) and not flat:
        for order in _orders(shape):
            yield _joined_in_words(shape, to, order), _Joined(to, order)


def _orders(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The orders of axes that change how the elements lie, the first axis kept, nearest first."""
    own = [i for i, n in enumerate(shape) if n > 1]
    if len(shape) > MOST_AXES:
        return
    tried = [order for order in permutations(range(len(shape))) if order[0] == 0]
    moved = [order for order in tried if [i for i in order if i in own] != own]
    yield from sorted(moved, key=lambda order: sum(i != k for k, i in enumerate(order)))


def _split_in_words(shape: tuple[int, ...], to: tuple[int, ...], order: tuple[int, ...]) -> str:
    last = (*range(len(to) - 2), len(to) - 1, len(to) - 2)
    if order == last and to[:-2] == shape[:-1]:
        return _interleaved(*to[-2:])
    if _of_groups(order):
        return _GROUPS
    apart = tuple(to[i] for i in order)
    return f"its axes, such as heads, are split in the order of {apart} and transposed {{there}}"


def _joined_in_words(shape: tuple[int, ...], to: tuple[int, ...], order: tuple[int, ...]) -> str:
    last = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    if order == last and shape[:-2] == to[:-1]:
        return f"{_interleaved(*shape[-2:])}, as where axes are flattened in another order"
    if _of_groups(order):
        return _GROUPS
    return f"its axes, such as heads, are transposed by {order} {{there}} before they are joined"


_GROUPS = (
    "its heads are grouped in another order {there}, such as with tile in place of repeat or the "
    "reverse"
)


def _of_groups(order: tuple[int, ...]) -> bool:
    """Whether axes of heads alone are moved: neither the first nor the last two of five."""
    return len(order) == MOST_AXES and order[-2:] == (3, 4)


def _interleaved(n: int, d: int) -> str:
    said = f"its {n} parts of {d} elements, such as heads, are interleaved {{there}}: element c is "
    return said + f"in part c % {n}, not in part c // {d}, as if transposed from ({d}, {n})"


def _per_block(op: Split, shape: tuple[int, ...]) -> Iterator[tuple[str, Op]]:
    """The parts packed in each head, in the place of one block for each part."""
    if op.axis % len(shape) != len(shape) - 1 or len(set(op.sizes)) > 1:
        return
    n, size = len(op.sizes), op.sizes[0]
    for blocks in range(2, min(size, BLOCKS) + 1):
        if size % blocks == 0:
            said = f"its {n} parts are one block each {{here}}, and interleaved {{there}}: each of "
            yield f"{said}{blocks} heads holds its share of all {n}", _PerBlock(op, blocks)
