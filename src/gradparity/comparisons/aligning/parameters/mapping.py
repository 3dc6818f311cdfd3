"""Map the parameters of two recorded programs onto each other, with their layouts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ...recording.recording import Recording
from ..programs.checked import check_recordings
from ..programs.partners import Partners
from ..programs.values import Program, are_near
from .agreement import tells_elements_apart
from .arrangements import arrangements, index_of, lies
from .layouts import STACKED
from .leaves import Leaves
from .looped import with_looped
from .unported import Corresponding, corresponding

__all__ = ["Match", "ParameterMap", "index_of", "map_parameters"]

#: The most arrays that one may be packed from, and the most of one kind that are tried together.
PARTS, MOST = 4, 16


@dataclass(frozen=True)
class Match:
    """Parameters of two programs that are the same.

    Attributes
    ----------
    one, other : their names; several where one program has them in one array.
    layout : "same", "transposed", "axes (3, 2, 0, 1)" (those of `one`, in the order of `other`),
        "reshaped", "packed along axis 0", "split along axis 0", "summed", or "other order".
    proof : "values and gradients", "values", or "gradients", which are equal; or "replays": with
        the numbers of the first program the second one computes the same values; or "shape and
        name": a guess, behind the place where the programs part.
    also : names of `other` that match as well, which nothing tells apart.
    """

    one: tuple[str, ...]
    other: tuple[str, ...]
    layout: str
    proof: str
    also: tuple[str, ...] = ()

    def inverse(self) -> Match:
        """The match from the second program to the first one."""
        layout = self.layout
        for a, b in (("split along", "packed along"), ("packed along", "split along")):
            if self.layout.startswith(a):
                layout = self.layout.replace(a, b)
        found = re.fullmatch(r"axes \(([^)]*)\)(?:, mirrored along \(([^)]*)\))?", self.layout)
        if found:
            order, mirrored = _numbers(found[1]), _numbers(found[2] or "")
            layout = f"axes {tuple(map(order.index, range(len(order))))}"
            turned = tuple(sorted(map(order.index, mirrored)))
            layout += f", mirrored along {turned}" if turned else ""
        return Match(self.other, self.one, layout, self.proof, self.also)

    @property
    def axes(self) -> tuple[int, ...] | None:
        """The order of the axes in the other program, where numbers tell it; () as they are."""
        plain: tuple[int, ...] | None = {"same": (), "transposed": (1, 0)}.get(self.layout)
        found = re.fullmatch(r"axes \(([^)]*)\)", self.layout)
        told = self.proof.startswith("values")
        return (tuple(_numbers(found[1])) if found else plain) if told else None

    def __str__(self) -> str:
        also = f", or {', '.join(self.also)}" if self.also else ""
        names = f"{' + '.join(self.one)} -> {' + '.join(self.other)}{also}"
        return f"{names}: {self.layout} (by {self.proof})"


def _numbers(text: str) -> list[int]:
    return [int(n) for n in text.split(",") if n.strip()]


@dataclass(frozen=True)
class ParameterMap:
    """The parameters of two programs.

    Attributes
    ----------
    matches : those that are the same.
    only_one, only_other : names of those without a match.
    unused : names of those whose gradient is zero, in either program.
    sides : the parameters of either program.
    is_proved : whether the second program computes the loss of the first one with the parameters
        that match; True if numbers alone tell, False if parameters of both have no match, or equal
        numbers do not tell a layout in which the gradients are equal.
    """

    matches: tuple[Match, ...]
    only_one: tuple[str, ...]
    only_other: tuple[str, ...]
    unused: tuple[str, ...]
    sides: tuple[Leaves, Leaves] = field(repr=False, compare=False)
    is_proved: bool = True

    def inverse(self) -> ParameterMap:
        """The map from the second program to the first one."""
        return ParameterMap(
            tuple(match.inverse() for match in self.matches),
            self.only_other,
            self.only_one,
            self.unused,
            self.sides[::-1],
            self.is_proved,
        )

    @property
    def is_open(self) -> bool:
        """Whether either program has a parameter more, or nothing tells some of them apart."""
        left = self.only_one and self.only_other
        return bool(left) or any(match.also for match in self.matches)

    @property
    def clear(self) -> int:
        """The number of matches for which there is only one candidate."""
        return sum(not match.also for match in self.matches)

    def certain(self) -> dict[str, str]:
        """Parameter of the second program -> the one of the first that has the same numbers."""
        single = (m for m in self.matches if len(m.one) == len(m.other) == 1 and not m.also)
        return {m.other[0]: m.one[0] for m in single if np.ptp(self.sides[0].value[m.one[0]])}

    def __getitem__(self, name: str) -> tuple[str, ...]:
        """The names in the other program of a parameter of the first one."""
        found = [n for match in self.matches if name in match.one for n in match.other]
        if not found:
            raise KeyError(name)
        return tuple(dict.fromkeys(found))

    @property
    def tied(self) -> dict[str, tuple[str, ...]]:
        """Parameter of the first program -> those of the second one that are copies of it."""
        names: dict[str, list[str]] = {}
        for m in self.matches:
            if len(m.one) == len(m.other) == 1:
                names.setdefault(m.one[0], []).append(m.other[0])
        return {name: tuple(each) for name, each in names.items() if len(each) > 1}

    @property
    def _unproved(self) -> str:
        said = "not proved: with these the second program computes another loss"
        if self.is_open or not all(m.proof.startswith("values") for m in self.matches):
            return said
        return f"{said}, or other gradients: record both with numbers that all differ"

    def __str__(self) -> str:
        lines = [str(match) for match in self.matches]
        for which, tied in (("first", self.tied), ("second", self.inverse().tied)):
            lines += [f"tied in the {which} program: {n} is {' and '.join(tied[n])}" for n in tied]
        for what, names in (
            ("only in the first program", self.only_one),
            ("only in the second program", self.only_other),
            ("with a gradient of zero", self.unused),
        ):
            lines += [f"{what}: {', '.join(names)}"] if names else []
        if not self.is_proved:
            lines += [self._unproved]
        return "\n".join(lines)


def map_parameters(one: Recording, other: Recording) -> ParameterMap:
    """Find which parameters and inputs of two recorded programs are the same, in which layout.

    Parameters are matched by their values; equal values are told apart by the gradients, and
    biases that the other program has as one by the gradients alone.  Weights that were not ported
    yet are matched by what the programs compute with the same ones: both are replayed, and no value
    needs to be equal.  Only what the loss was differentiated by is known.

    Parameters
    ----------
    one, other : recorded with ``keep=True``, of the same inputs.

    Raises
    ------
    TypeError : something else than two recordings.
    ValueError : a recording has not ended, or has not kept its numbers.

    >>> import gradparity as gp, torch
    >>> w = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3).requires_grad_()
    >>> v = w.detach().T.contiguous().requires_grad_()
    >>> x = torch.ones(4, 2, dtype=torch.float64)
    >>> one = gp.record(lambda w: torch.tanh(x @ w).sum(), w, keep=True)
    >>> other = gp.record(lambda v: torch.tanh(x @ v.T).sum(), v, keep=True)
    >>> [(match.layout, match.proof) for match in gp.map_parameters(one, other).matches]
    [('transposed', 'values and gradients')]
    """
    check_recordings("map_parameters", one, other)
    programs = with_looped(Program.of(one)), with_looped(Program.of(other))
    found = _by_numbers(*map(Leaves.of, programs))
    if not found.is_open:
        return found
    first, second = programs
    unsure = frozenset(n for m in found.matches if m.also for n in (*m.other, *m.also))
    computed = corresponding(first, second, found.certain(), unsure)
    mapping = _by_numbers(computed.one, computed.other)
    if mapping.clear <= found.clear and not computed.is_proved:
        return replace(found, is_proved=False)
    matches = [replace(m, proof=_proof(m, computed)) for m in mapping.matches]
    left = ({*mapping.only_one}, {*mapping.only_other})
    matches += [m for m in found.matches if left[0] >= {*m.one} and left[1] >= {*m.other, *m.also}]
    return _of_matches(matches, mapping.sides, found.unused, computed.is_proved)


def _proof(match: Match, computed: Corresponding) -> str:
    return "shape and name" if computed.guessed.intersection(match.other) else "replays"


def _by_numbers(first: Leaves, second: Leaves) -> ParameterMap:
    """The map of parameters with equal numbers."""
    near = max(first.near, second.near)
    found: list[Match] = []
    found += _single(first, second, near)
    found += _packed(first, second, near, found)
    found += [
        Match(m.other, m.one, m.layout.replace("split", "packed"), m.proof)
        for m in _packed(second, first, near, [Match(m.other, m.one, "", "") for m in found])
    ]
    found += _summed(first, second, near, found)
    found += [
        Match(m.other, m.one, m.layout, m.proof)
        for m in _summed(second, first, near, [Match(m.other, m.one, "", "") for m in found])
    ]
    silent = [n for side in (first, second) for n, g in side.gradient.items() if not np.any(g)]
    is_proved = all(_is_proved(match, first, second, near) for match in found)
    return _of_matches(found, (first, second), tuple(dict.fromkeys(silent)), is_proved)


def _is_proved(match: Match, first: Leaves, second: Leaves, near: float) -> bool:
    """Whether all numbers of parameters differ, or the gradients are equal in that layout.

    A gradient that is only rounding beside the others may be another one.
    """
    if match.proof != "values" or match.also:
        return True
    sides = (first, match.one), (second, match.other)
    values = [side.value[n].ravel() for side, names in sides[:1] for n in names]
    if tells_elements_apart(np.concatenate(values)):
        return True
    return all(
        np.abs(side.gradient[n]).max(initial=0.0)
        <= near * max(np.abs(g).max(initial=0.0) for g in side.gradient.values())
        for side, names in sides
        for n in names
    )


def _of_matches(
    found: Sequence[Match], sides: tuple[Leaves, Leaves], unused: tuple[str, ...], is_proved: bool
) -> ParameterMap:
    mine = {n for m in found for n in m.one}
    theirs = {n for m in found for n in (*m.other, *m.also)}
    only_one = tuple(n for n in sides[0].names if n not in mine)
    only_other = tuple(n for n in sides[1].names if n not in theirs)
    return ParameterMap(tuple(found), only_one, only_other, unused, sides, is_proved)


def _single(one: Leaves, other: Leaves, near: float) -> Iterator[Match]:
    """One parameter there for one here."""
    pool = Partners(other.value, near)
    for name, value in one.value.items():
        names = pool.of(value)
        found = [(n, *_layout(one, other, name, n, near)) for n in names]
        if _are_tied(one, other, name, names, near):
            yield from (Match((name,), (f[0],), f[1], "values and gradients") for f in found)
            continue
        told = [f for f in found if f[2] == "values and gradients"] or found
        known = [f for f in told if f[1] != "other order"] or told
        if not known:
            continue
        same = next((f for f in known if f[0] == name), known[0])
        also = tuple(f[0] for f in known if f is not same)
        yield Match((name,), (same[0],), same[1], same[2], also)


def _are_tied(one: Leaves, other: Leaves, name: str, names: Sequence[str], near: float) -> bool:
    """Whether the other program has several copies of a parameter, which share its gradient."""
    value, gradient = one.value[name], one.gradient[name]
    if len(names) < 2 or not all(np.any(other.gradient[n]) for n in names):
        return False
    total = np.zeros(value.size)
    for n in names:
        index = index_of(value, other.value[n], (gradient, other.gradient[n]), near)
        if index is None:
            return False
        np.add.at(total, index.ravel(), other.gradient[n].ravel())
    return are_near(total, gradient.ravel(), near)


def _layout(one: Leaves, other: Leaves, a: str, b: str, near: float) -> tuple[str, str]:
    """The layout of one parameter in the other program, and the evidence."""
    said, own, there = "", one.value[a].shape, other.value[b].shape
    each = sorted(
        arrangements(len(own)), key=lambda found: tuple(own[i] for i in found[1]) != there
    )
    for words, axes, mirrored in each:
        if lies(one.value[a], other.value[b], axes, mirrored, near):
            same = one.value[a].shape == other.value[b].shape
            here = words if words != "same" or same else "reshaped"
            if lies(one.gradient[a], other.gradient[b], axes, mirrored, near):
                return here, "values and gradients"
            said = said or here
    if not said and Partners({b: other.gradient[b]}, near).of(one.gradient[a]):
        return "other order", "values and gradients"
    return said or "other order", "values"


def _packed(one: Leaves, other: Leaves, near: float, found: list[Match]) -> list[Match]:
    """One parameter here that the other program has in parts."""
    mine = {n for m in found for n in m.one}
    theirs = {n for m in found for n in (*m.other, *m.also)}
    free = {n: a for n, a in other.value.items() if n not in theirs}
    matches = []
    for name, value in one.value.items():
        if name in mine:
            continue
        tried = [(axis, k) for axis in range(value.ndim) for k in range(2, PARTS + 1)]
        if value.ndim > 1 and PARTS < value.shape[0] <= STACKED:
            tried.append((0, value.shape[0]))
        for axis, parts in tried:
            if value.shape[axis] % parts:
                continue
            slices = np.split(value, parts, axis)
            pool = Partners(free, near)
            gradients = np.split(one.gradient[name], parts, axis)
            names: list[str] = []
            for a, g in zip(slices, gradients, strict=True):
                fit = [n for n in pool.of(a) if n not in names]
                told = [n for n in fit if Partners({n: other.gradient[n]}, near).of(g)]
                names += (told or fit)[:1]
            if len(names) == parts:
                proved = all(
                    Partners({n: other.gradient[n]}, near).of(g)
                    for n, g in zip(names, gradients, strict=True)
                )
                proof = "values and gradients" if proved else "values"
                matches.append(Match((name,), tuple(names), f"split along axis {axis}", proof))
                break
    return matches


def _summed(one: Leaves, other: Leaves, near: float, found: list[Match]) -> list[Match]:
    """Parameters here that the other program has as their sum: they have the same gradient."""
    mine = {n for m in found for n in m.one}
    theirs = {n for m in found for n in (*m.other, *m.also)}
    left: Mapping[str, NDArray] = {n: g for n, g in one.gradient.items() if n not in mine}
    matches = []
    for name, value in other.value.items():
        if name in theirs:
            continue
        gradient = other.gradient[name]
        same = [
            n for n, g in left.items() if np.any(g) and are_near(g.ravel(), gradient.ravel(), near)
        ]
        for some in combinations(same[:MOST], 2):
            total = one.value[some[0]].ravel() + one.value[some[1]].ravel()
            if are_near(total, value.ravel(), near):
                matches.append(Match(some, (name,), "summed", "values and gradients"))
                break
    return matches
