"""The gradients of parameters that a map pairs by name, where numbers alone may pair others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.arithmetic.received import received
from ....core.formulas.arguments import did_you_mean, listed
from ..programs.partners import Partners, sorted_elements
from ..programs.side import Side
from ..programs.values import Program, are_near
from .mapping import ParameterMap

__all__ = ["Mapped", "parse_parameters"]


class Mapped(NamedTuple):
    """Parameters of one program and those of the other one that they are."""

    one: tuple[str, ...]
    other: tuple[str, ...]

    def __str__(self) -> str:
        return " + ".join(map(repr, self.other))

    def note(self, one: Side, other: Side) -> str | None:
        """The difference of the gradients, in words; "" if they are equal, None if that is unknown.

        That is so where the numbers of the parameters themselves differ, such as of a logarithm.
        """
        sides = (one, self.one), (other, self.other)
        known = all(n in side.program.leaves for side, names in sides for n in names)
        if not known:
            return None
        values, there = ([side.program.leaves[n] for n in names] for side, names in sides)
        got, arrived = ([side.program.got[n] for n in names] for side, names in sides)
        near, sizes = one.near_recorded(other), {a.size for a in (*values, *there)}
        if sum(a.size for a in values) == sum(a.size for a in there):
            if not are_near(_joined(values), _joined(there), near):
                return None
            same = are_near(_joined(got), _joined(arrived), near)
        elif len(sizes) == 1 and 1 in (len(values), len(there)):  # a sum in one of them
            if not are_near(_summed(values), _summed(there), near):
                return None
            same = all(are_near(_joined([a]), _joined([b]), near) for a in got for b in arrived)
        else:
            return None
        if same:
            return ""
        pool = Partners(other.program.got, near)
        found = [n for a in got for n in pool.of(a) if n not in self.other]
        said = f"the gradient is not that of {self} of the other program"
        return f"{said}; it is that of {found[0]!r}" if found else said


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
        pairs = [Mapped(m.one, parameters.tied.get(m.one[0], m.other)) for m in matches]
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
    return {name: pair for pair in pairs for name in pair.one}


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


def _summed(arrays: Sequence[NDArray]) -> NDArray:
    """The sum of several arrays of one size, in ascending order."""
    return sorted_elements(np.sum([a.ravel() for a in arrays], axis=0))


def _joined(arrays: Sequence[NDArray]) -> NDArray:
    """The elements of several arrays in ascending order."""
    return sorted_elements(np.concatenate([a.ravel() for a in arrays]))
