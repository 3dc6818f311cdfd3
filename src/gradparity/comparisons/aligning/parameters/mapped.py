"""The gradients of parameters that a map pairs by name, where numbers alone may pair others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.arithmetic.received import received
from ....core.formulas.arguments import did_you_mean, listed
from ..programs.noise import is_noise
from ..programs.partners import Partners, sorted_elements
from ..programs.side import Side
from ..programs.values import Program, are_near
from .agreement import Leaf, agree, agree_in_parts, orders_of
from .mapping import ParameterMap

__all__ = ["Mapped", "by_names", "parse_parameters"]


class Mapped(NamedTuple):
    """Parameters of one program and those of the other one that they are.

    Attributes
    ----------
    axes : the order in which the other program has the axes, if it is known; () as they are.
    orders : those in which the other program has rows of parameters.
    """

    one: tuple[str, ...]
    other: tuple[str, ...]
    axes: tuple[int, ...] | None = None
    orders: tuple[NDArray, ...] = ()

    def __str__(self) -> str:
        return " + ".join(map(repr, self.other))

    def note(self, one: Side, other: Side) -> str | None:
        """The difference of the gradients, in words; "" if they are equal, None if that is unknown.

        That is so where the numbers of the parameters themselves differ, such as of a logarithm,
        and where a gradient is zero but for rounding.
        """
        sides = (one, self.one), (other, self.other)
        known = all(n in side.program.leaves for side, names in sides for n in names)
        if not known:
            return None
        here, there = (
            [Leaf(side.program.leaves[n], side.program.got[n]) for n in names]
            for side, names in sides
        )
        near = one.near_recorded(other)
        same = self._same(here, there, near)
        if same:
            return ""
        if same is None or all(is_noise(side, n) for side, names in sides for n in names):
            return None
        pool = Partners(other.program.got, near)
        found = [n for leaf in here for n in pool.of(leaf.got)]
        said = f"the gradient is not that of {self} of the other program"
        another = [n for n in found if n not in self.other]
        if another:
            return f"{said}; it is that of {another[0]!r}"
        return f"{said}, but for the order of its elements" if found else said

    def _same(self, here: Sequence[Leaf], there: Sequence[Leaf], near: float) -> bool | None:
        """Whether the gradients are equal; None if the numbers differ."""
        sizes = {leaf.value.size for leaf in (*here, *there)}
        if sum(leaf.value.size for leaf in here) == sum(leaf.value.size for leaf in there):
            if not _have_same_numbers(here, there, near):
                return None
            if len(here) == len(there) == 1:
                return agree(here[0], there[0], near, self.axes, self.orders)
            if 1 in (len(here), len(there)):
                whole, parts = (here[0], there) if len(here) == 1 else (there[0], here)
                return agree_in_parts(whole, parts, near)
            mine, theirs = (
                [leaf._replace(value=leaf.got) for leaf in each] for each in (here, there)
            )
            return _have_same_numbers(mine, theirs, near)
        if len(sizes) == 1 and 1 in (len(here), len(there)):  # a sum in one of them
            one, other = _summed(here), _summed(there)
            if not are_near(np.sort(one, axis=None), np.sort(other, axis=None), near):
                return None
            mine = [Leaf(one.reshape(leaf.got.shape), leaf.got) for leaf in here]
            theirs = [Leaf(other.reshape(leaf.got.shape), leaf.got) for leaf in there]
            return all(agree(a, b, near, orders=self.orders) for a in mine for b in theirs)
        return None


def by_names(one: Program, other: Program) -> dict[str, Mapped]:
    """The leaves of equal names, shapes and numbers whose gradients differ in place."""
    near = max(one.near, other.near)
    both = [n for n in one.leaves if n in other.leaves]
    pairs = [(one.leaves[n], other.leaves[n]) for n in both]
    orders = orders_of(pairs, near)
    return {
        name: Mapped((name,), (name,), orders=orders)
        for name, (a, b) in zip(both, pairs, strict=True)
        if are_near(a, b, near) and not are_near(one.got[name], other.got[name], near)
    }


def parse_parameters(
    parameters: ParameterMap | Mapping[str, str | Sequence[str]] | None,
    one: Program,
    other: Program,
) -> dict[str, Mapped]:
    """The parameters of `other` that each of `one` is, as a map says.

    Raises
    ------
    TypeError : something else than a map.
    ValueError : a name that the recording does not have, or parameters of other sizes.
    """
    if parameters is None:
        return {}
    if isinstance(parameters, ParameterMap):
        matches = [match for match in parameters.matches if not match.also]
        pairs = [Mapped(m.one, parameters.tied.get(m.one[0], m.other), m.axes) for m in matches]
    elif isinstance(parameters, Mapping):
        packed: dict[tuple[str, ...], list[str]] = {}
        for name, there in parameters.items():
            packed.setdefault(_names(there), []).append(name)  # several may be packed in one
        pairs = [Mapped(tuple(mine), there) for there, mine in packed.items()]
    else:
        raise TypeError(
            f"align: parameters is {received(parameters)}; give gp.map_parameters(one, other), or "
            "a mapping of the names in one to those in other"
        )
    for pair in pairs:
        for program, names in ((one, pair.one), (other, pair.other)):
            _check(program, names)
        _check_sizes(pair, one, other)
    orders = _orders(pairs, one, other)
    return {name: pair._replace(orders=orders) for pair in pairs for name in pair.one}


def _orders(pairs: Sequence[Mapped], one: Program, other: Program) -> tuple[NDArray, ...]:
    """The orders in which the other program has the rows of parameters."""
    single = [(m.one[0], m.other[0]) for m in pairs if len(m.one) == len(m.other) == 1]
    known = [(a, b) for a, b in single if a in one.leaves and b in other.leaves]
    near = max(one.near, other.near)
    return orders_of(((one.leaves[a], other.leaves[b]) for a, b in known), near)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else listed(given) or ()
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"align: parameters maps a name to {received(given)}; give names")
    return names


def _check(program: Program, names: Sequence[str]) -> None:
    known = program.recording.leaves
    for name in names:
        if name not in known:
            raise ValueError(
                f"align: {program.recording.name!r} has no parameter {name!r} with a gradient;"
                f"{did_you_mean(name, known)} it has {', '.join(known)}"
            )


def _check_sizes(pair: Mapped, one: Program, other: Program) -> None:
    """Raise ValueError unless one side is the other packed, split, summed or in another layout."""
    mine = [one.got[name] for name in pair.one]
    theirs = [other.got[name] for name in pair.other]
    is_whole = sum(a.size for a in mine) == sum(a.size for a in theirs)
    is_sum = 1 in (len(mine), len(theirs)) and len({a.size for a in (*mine, *theirs)}) == 1
    if not is_whole and not is_sum:
        raise ValueError(
            f"align: parameters maps {_with_shapes(pair.one, mine)}, to "
            f"{_with_shapes(pair.other, theirs)}; give parameters of as many numbers, and all "
            "that are packed in one"
        )


def _with_shapes(names: Sequence[str], arrays: Sequence[NDArray]) -> str:
    each = zip(names, arrays, strict=True)
    return ", and ".join(f"{name!r}, of shape {a.shape}" for name, a in each)


def _summed(leaves: Sequence[Leaf]) -> NDArray:
    """The sum of several parameters of one size."""
    return np.asarray(np.sum([leaf.value.ravel() for leaf in leaves], axis=0))


def _have_same_numbers(here: Sequence[Leaf], there: Sequence[Leaf], near: float) -> bool:
    """Whether parameters of one program have the numbers of those of the other, in any order."""
    one, other = (np.concatenate([leaf.value.ravel() for leaf in each]) for each in (here, there))
    return are_near(one, other, near) or are_near(
        sorted_elements(one), sorted_elements(other), near
    )
