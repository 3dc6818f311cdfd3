"""Whether two gradients are equal element by element, in a layout in which their parameters are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ..programs.packed import splits
from ..programs.values import are_near

__all__ = ["Leaf", "agree", "agree_in_parts", "carries", "orders_of", "tells_elements_apart"]

#: The most axes that are tried in every order.
AXES = 5


class Leaf(NamedTuple):
    """The numbers of a parameter, and its gradient."""

    value: NDArray
    got: NDArray


def agree(
    one: Leaf,
    other: Leaf,
    near: float,
    axes: tuple[int, ...] | None = None,
    orders: Sequence[NDArray] = (),
) -> bool:
    """Whether the gradients of one parameter are equal, given that its numbers are.

    Numbers that are equal in place allow no other layout but an order of the axes that leaves them
    so; elsewhere each element is found by its number, and equal ones may have any order.

    Parameters
    ----------
    axes : the only order of the axes that is allowed, if it is known; () as they are.
    orders : orders in which other parameters have their rows, which a vector may have as well.
    """
    axes = tuple(range(one.value.ndim)) if axes == () else axes
    if axes is not None and carries(one.value, other.value, axes, near):
        return carries(one.got, other.got, axes, near)
    if not carries(one.value, other.value, range(one.value.ndim), near) or not _shapes_alike(
        one.value, other.value
    ):
        return _by_numbers(one, other, near)
    for order in _orders_of_axes(one.value, other.value):
        if carries(one.value, other.value, order, near) and carries(
            one.got, other.got, order, near
        ):
            return True
    fitting = [p for p in orders if one.value.shape == p.shape]
    return any(
        are_near(one.value[p], other.value, near) and are_near(one.got[p], other.got, near)
        for p in fitting
    )


def agree_in_parts(whole: Leaf, parts: Sequence[Leaf], near: float) -> bool:
    """Whether the gradient of a packed parameter is made of those of its parts.

    Where the numbers do not tell the parts apart, they follow each other as given.
    """
    value, got = (np.concatenate([a.ravel() for a in each]) for each in zip(*parts, strict=True))
    if not _by_numbers(Leaf(whole.value.ravel(), whole.got.ravel()), Leaf(value, got), near):
        return False
    if np.ptp(value):
        return True
    each_split = zip(splits(whole.value, len(parts)), splits(whole.got, len(parts)), strict=True)
    apart = [[Leaf(*each) for each in zip(*both, strict=True)] for both in each_split]
    sizes = {part.value.size for part in parts}
    return len(sizes) > 1 or any(
        all(
            agree(Leaf(*(x.reshape(part.value.shape) for x in a)), part, near)
            or agree(a, part, near)
            for a, part in zip(some, parts, strict=True)
        )
        for some in apart
    )


def carries(a: NDArray, b: NDArray, axes: Iterable[int], near: float) -> bool:
    """Whether an order of the axes makes one array the other one, whatever its shape."""
    order = tuple(axes)
    return len(order) == a.ndim and are_near(np.transpose(a, order).ravel(), b.ravel(), near)


def orders_of(pairs: Iterable[tuple[NDArray, NDArray]], near: float) -> tuple[NDArray, ...]:
    """The orders in which one array of a pair has the rows, along an axis, of the other one."""
    found: list[NDArray] = []
    for a, b in pairs:
        if a.shape != b.shape or are_near(a, b, near):
            continue
        for axis in range(a.ndim):
            here, there = (np.moveaxis(x, axis, 0) for x in (a, b))
            first, second = (x.reshape(len(x), -1)[:, 0] if x.size else x for x in (here, there))
            order = np.empty(len(here), np.intp)
            order[np.argsort(second)] = np.argsort(first)
            if are_near(here[order], there, near):
                found.append(order)
    return tuple(found)


def tells_elements_apart(a: NDArray) -> bool:
    """Whether no two elements of an array are equal, so that numbers alone tell its layout."""
    return bool(np.unique(a).size == a.size)


def _shapes_alike(a: NDArray, b: NDArray) -> bool:
    """Whether two shapes are the same but for axes of length 1."""
    return [n for n in a.shape if n > 1] == [n for n in b.shape if n > 1]


def _orders_of_axes(a: NDArray, b: NDArray) -> Iterator[tuple[int, ...]]:
    """Yield the orders of the axes that give the other shape, the one as it is first."""
    yield tuple(range(a.ndim))
    if a.ndim <= AXES:
        each = permutations(range(a.ndim))
        yield from (o for o in each if tuple(a.shape[i] for i in o) == b.shape)


def _by_numbers(one: Leaf, other: Leaf, near: float) -> bool:
    """Whether elements of equal numbers have equal gradients, those of one number in any order."""
    order, there = np.argsort(one.value, axis=None), np.argsort(other.value, axis=None)
    a, b = one.value.ravel()[order], other.value.ravel()[there]
    if a.size != b.size:
        return False
    same = np.array_equal(a, b)
    room = 0.0 if same else 2.0 * near * max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    steps = (np.diff(a) > room) & (np.diff(b) > room)
    group = np.concatenate([[0], np.cumsum(steps)])[: a.size]
    here, arrived = one.got.ravel()[order], other.got.ravel()[there]
    here, arrived = (x[np.lexsort((x, group))] for x in (here, arrived))
    return are_near(here, arrived, near)
