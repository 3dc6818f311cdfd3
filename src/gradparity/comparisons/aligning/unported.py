"""Find which parameters of two programs correspond, although their numbers differ.

Both programs are computed anew by the core's formulas.  The first one gets random parameters.  The
second one gets, in the order in which it uses its parameters, those of the first one that make the
values which follow have partners: what a parameter is, is what the program computes with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, permutations
from math import inf

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.op import Movement, Shape
from ...core.network.calls import Call
from .edits import Edit, values_of
from .leaves import Leaves
from .replay import FAILED
from .values import Program, sorted_elements

__all__ = ["corresponding"]

#: Values of replays in float64 are the same within this, relative to the largest element.
SAME = 1e-8
#: The programs may differ in an argument, such as eps: the best fit counts if it is this near, and
#: so many times nearer than the next best one.
ALIKE, CLEARLY = 2e-2, 5.0
#: Fits of fewer elements than this do not count unless they are the same.
FEW = 16
#: How many values behind a parameter are looked at.
AHEAD = 8
#: How many layouts of a parameter are tried, of one behind it and of one behind that; and in all.
TRIED, TRIES = (60, 12, 4), 20_000
#: Into how many parts a parameter may be split, or from how many packed.
PARTS = 4


def corresponding(
    one: Program, other: Program, known: Mapping[str, str]
) -> tuple[Leaves, Leaves, bool]:
    """The parameters of both programs with numbers that agree where they correspond.

    Those of the second program for which none is found are left out.  Also whether the second
    program computes the loss of the first one with these numbers.

    Parameters
    ----------
    known : parameter of `other` -> that of `one` which has the same numbers; both keep them.
    """
    rng = np.random.default_rng(0)
    first = {
        n: _Numbers(a, a) if n in known.values() else _Numbers.drawn(rng, a)
        for n, a in one.leaves.items()
    }
    second = {n: _Numbers(other.leaves[n], other.leaves[n]) for n in known}
    search = _Search(one, other, first, second, used=set(known.values()))
    search.run()
    for layout in search.found.values():
        if layout.axis is None:  # parameters that are summed have the same gradient
            mark = first[layout.parts[0].name].mark
            first |= {p.name: _Numbers(first[p.name].value, mark) for p in layout.parts}
    second |= {name: layout.of(first) for name, layout in search.found.items()}
    return _leaves(Leaves.of(one), first), _leaves(Leaves.of(other), second), search.is_proved


def _leaves(own: Leaves, numbers: Mapping[str, _Numbers]) -> Leaves:
    value = {n: numbers[n].value for n in own.names if n in numbers}
    return replace(own, value=value, gradient={n: numbers[n].mark for n in value}, near=SAME)


@dataclass(frozen=True, eq=False)
class _Numbers:
    """The numbers of a parameter, and marks that tell its elements from all others."""

    value: NDArray
    mark: NDArray

    @classmethod
    def drawn(cls, rng: np.random.Generator, a: NDArray) -> _Numbers:
        """Random ones of the size of those recorded."""
        spread = max(float(np.std(a)), 0.1) if a.size else 0.1
        value = np.mean(a, dtype=np.float64) + spread * rng.standard_normal(a.shape)
        return cls(value, rng.standard_normal(a.shape))


@dataclass(frozen=True)
class _Part:
    """One of `count` parts along an axis of a parameter, with its axes in another order."""

    name: str
    axis: int = 0
    count: int = 1
    index: int = 0

    def of(self, a: NDArray) -> NDArray:
        """The part of an array."""
        return np.split(a, self.count, self.axis)[self.index] if self.count > 1 else a

    def overlaps(self, other: _Part) -> bool:
        """Whether both have elements in common."""
        cuts = (self.axis, self.count), (other.axis, other.count)
        return self.name == other.name and (cuts[0] != cuts[1] or self.index == other.index)


@dataclass(frozen=True)
class _Layout:
    """What a parameter of the second program may be: parts of parameters of the first one.

    Attributes
    ----------
    order, mirrored : of the axes of each part.
    shape : of the whole.
    axis : along which several parts are packed; None if they are summed.
    """

    parts: tuple[_Part, ...]
    order: tuple[int, ...]
    shape: Shape
    mirrored: tuple[int, ...] = ()
    axis: int | None = 0

    def of(self, numbers: Mapping[str, _Numbers]) -> _Numbers:
        """Its numbers."""
        first = numbers[self.parts[0].name]
        value = self._array([part.of(numbers[part.name].value) for part in self.parts])
        if self.axis is None:
            return _Numbers(value, self._array([first.mark, np.zeros_like(first.mark)]))
        return _Numbers(value, self._array([p.of(numbers[p.name].mark) for p in self.parts]))

    def _array(self, parts: Sequence[NDArray]) -> NDArray:
        each = [np.flip(a, self.mirrored) if self.mirrored else a for a in parts]
        each = [np.transpose(a, self.order) for a in each]
        if self.axis is None:
            return np.asarray(sum(each)).reshape(self.shape)
        shape = list(self.shape)
        if len(each) > 1:
            shape[self.axis] //= len(each)
        return np.concatenate([a.reshape(shape) for a in each], self.axis if shape else None
                              ).reshape(self.shape)  # fmt: skip


class _Search:
    """The second program, computed as far as its parameters are found.

    A parameter may fit in several ways, such as the query's as the key's, which shows only later:
    then the last choice is taken back.

    Attributes
    ----------
    found : layouts by parameter of the second program.
    is_proved : whether it computes the same loss with them.
    """

    def __init__(
        self,
        one: Program,
        other: Program,
        first: dict[str, _Numbers],
        second: Mapping[str, _Numbers],
        used: set[str],
    ) -> None:
        self.one, self.other, self.first = one, other, first
        self.free = [n for n in _in_order_of_use(one) if n not in used]
        run = _Run(one, {n: x.value for n, x in first.items()})
        run.on()
        self.partners = _Nearest({n: run.value[n] for n in run.on_data})
        self.losses = [run.value[n] for n in one.losses if n in run.value]
        self.start = _Run(other, {n: x.value for n, x in second.items()})
        self.found: dict[str, _Layout] = {}
        self.is_proved = False
        self.tried = 0

    def run(self) -> None:
        """Find one parameter after the other, with few tried together first."""
        self.start.on()
        for together in range(2, len(TRIED) + 1):
            if self._is_done(together):
                return

    def _is_done(self, together: int) -> bool:
        """Whether all parameters are found with at most so many tried together."""
        stack = [self._choice(self.start, {}, together)]
        while stack and self.tried < TRIES:
            fit = next(stack[-1].fits, None)
            if fit is None:
                stack.pop()
                continue
            layouts = {**stack[-1].layouts, **fit.layouts}
            run = stack[-1].run.with_more(self._numbers(fit.layouts))
            run.on()
            if len(layouts) > len(self.found):
                self.found = layouts
            if run.waits_for() is not None:
                stack.append(self._choice(run, layouts, together))
            elif (distance := self._of_losses(run)) <= (SAME if fit.distance <= SAME else ALIKE):
                self.found, self.is_proved = layouts, distance <= SAME
                return True
        return False

    def _of_losses(self, run: _Run) -> float:
        """How far the losses of a run are from those of the first program, relatively."""
        ends = [run.value[n] for n in self.other.losses if n in run.value]
        if len(ends) != len(self.losses):
            return inf
        each = (
            float(np.abs(a - b).max() / np.abs(b).max())
            for a, b in zip(ends, self.losses, strict=True)
        )
        return max(each, default=inf)

    def _choice(self, run: _Run, layouts: Mapping[str, _Layout], together: int) -> _Choice:
        name = run.waits_for()
        fits = iter(()) if name is None else self._acceptable(name, run, layouts, together)
        return _Choice(run, layouts, fits)

    def _acceptable(
        self, name: str, run: _Run, layouts: Mapping[str, _Layout], most: int
    ) -> Iterator[_Fit]:
        """The fits with which a value is the same as one of the first program.

        If the programs differ before, those with which one is clearly nearer than with others.
        """
        for together in range(1, most + 1):
            others, is_found = [], False
            for fit in self._fits(name, run, layouts, TRIED[:together]):
                if fit.distance <= SAME:
                    is_found = True
                    yield fit
                else:
                    others.append(fit)
            if not is_found:
                yield from _nearest(others)

    def _numbers(self, layouts: Mapping[str, _Layout]) -> dict[str, NDArray]:
        return {name: layout.of(self.first).value for name, layout in layouts.items()}

    def _fits(
        self, name: str, run: _Run, layouts: Mapping[str, _Layout], counts: Sequence[int]
    ) -> Iterator[_Fit]:
        """What a parameter may be, and those behind it, so many layouts of each.

        With how near the values that follow are to some of the first program.
        """
        for layout in self._likely(name, layouts)[: counts[0]]:
            self.tried += 1
            ahead = run.with_more(self._numbers({name: layout}))
            ahead.on(AHEAD)
            distance = self.partners.nearest(ahead.told)
            behind = ahead.waits_for()
            if len(counts) == 1:
                yield _Fit({name: layout}, distance)
            elif distance > ALIKE and behind is not None:
                for more in self._fits(behind, ahead, {**layouts, name: layout}, counts[1:]):
                    yield _Fit({name: layout, **more.layouts}, more.distance)

    def _likely(self, name: str, layouts: Mapping[str, _Layout]) -> list[_Layout]:
        """What a parameter may be, what is like that of another layer first."""
        known = {_like(n, layout) for n, layout in layouts.items()}
        taken = [part for layout in layouts.values() for part in layout.parts]
        each = self._layouts(self.other.leaves[name].shape, taken)
        return sorted(each, key=lambda layout: _like(name, layout) not in known)

    def _layouts(self, shape: Shape, taken: Sequence[_Part]) -> Iterator[_Layout]:
        """Everything that a parameter of a shape may be, what is used next first."""
        size = int(np.prod(shape))
        wholes = [_Part(n) for n in self.free if self.first[n].value.size == size]
        for part in _untaken([*wholes, *self._splits(size)], taken):
            own = part.of(self.first[part.name].value).shape
            for order, mirrored in _orders(own, shape):
                yield _Layout((part,), order, shape, mirrored)
        yield from self._packed(shape, size, taken)
        for one, two in pairwise(_untaken(wholes, taken)):
            if self.first[one.name].value.shape == self.first[two.name].value.shape:
                n = self.first[one.name].value.ndim
                yield _Layout((one, two), tuple(range(n)), shape, axis=None)

    def _splits(self, size: int) -> Iterator[_Part]:
        for n in self.free:
            own = self.first[n].value.shape
            for axis, length in enumerate(own):
                for count in range(2, PARTS + 1):
                    if length % count == 0 and self.first[n].value.size == count * size:
                        yield from (_Part(n, axis, count, i) for i in range(count))

    def _packed(self, shape: Shape, size: int, taken: Sequence[_Part]) -> Iterator[_Layout]:
        for count in range(2, PARTS + 1):
            fitting = [_Part(n) for n in self.free if self.first[n].value.size * count == size]
            fitting = _untaken(fitting, taken)
            for k in range(len(fitting) - count + 1):
                parts = tuple(fitting[k : k + count])
                shapes = {self.first[part.name].value.shape for part in parts}
                for axis, length in enumerate(shape):
                    if len(shapes) == 1 and length % count == 0:
                        part_shape = (*shape[:axis], length // count, *shape[axis + 1 :])
                        for order, mirrored in _orders(shapes.copy().pop(), part_shape):
                            yield _Layout(parts, order, shape, mirrored, axis)


@dataclass(frozen=True)
class _Fit:
    """What parameters may be, and how near a value is then to one of the first program."""

    layouts: Mapping[str, _Layout]
    distance: float


@dataclass(frozen=True, eq=False)
class _Choice:
    """A run that waits for a parameter, the layouts that led to it, and those left to try."""

    run: _Run
    layouts: Mapping[str, _Layout]
    fits: Iterator[_Fit]


def _nearest(fits: Sequence[_Fit]) -> Sequence[_Fit]:
    """Those that are clearly nearer than all others, the nearest first."""
    found = sorted(fits, key=lambda fit: fit.distance)
    distances = [fit.distance for fit in found]
    gaps = [k for k, (d, e) in enumerate(pairwise([*distances, inf])) if e > CLEARLY * d]
    return found[: gaps[0] + 1] if gaps and distances[gaps[0]] < ALIKE else []


def _like(name: str, layout: _Layout) -> tuple[object, ...]:
    """What the matches of equal parameters of different layers have in common."""
    parts = [(re.sub(r"\d+", "", p.name), p.axis, p.count, p.index) for p in layout.parts]
    return (re.sub(r"\d+", "", name), *parts, layout.order, layout.mirrored, layout.axis)


def _untaken(parts: Sequence[_Part], taken: Sequence[_Part]) -> list[_Part]:
    return [part for part in parts if not any(part.overlaps(each) for each in taken)]


def _orders(own: Shape, shape: Shape) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(order, mirrored axes) of the axes with which an array has a shape; any if none has."""
    n = len(own)
    if n > 5:
        return
    each = list(permutations(range(n)))
    wanted = [k for k in shape if k != 1]
    fitting = [o for o in each if [own[i] for i in o if own[i] != 1] == wanted]
    for order in fitting or (each if n < 4 else each[:1]):
        yield order, ()
    if n > 2:
        for order in fitting:
            yield order, tuple(range(2, n))


def _in_order_of_use(program: Program) -> list[str]:
    used = (o.source for call in program.calls for o in call.inputs if o.source in program.leaves)
    return list(dict.fromkeys(used))


class _Run:
    """A program, computed by the core as far as its inputs are known.

    Attributes
    ----------
    value : name -> numbers, of parameters and of what was computed.
    on_data : the names of the values that depend on more than parameters.
    told : these values, without those that are only moved.
    """

    def __init__(self, program: Program, value: dict[str, NDArray]) -> None:
        self.program, self.value = program, value
        self.told: dict[str, NDArray] = {}
        self.on_data: set[str] = set()
        self._todo = list(program.calls)

    def on(self, most: int | None = None) -> None:
        """Compute all that can be, or so many values that are told."""
        left: list[Call] = []
        for k, call in enumerate(self._todo):
            if most is not None and len(self.told) >= most:
                left += self._todo[k:]
                break
            if any(o.source and o.source not in self.value for o in call.inputs):
                left.append(call)
            else:
                self._compute(call)
        self._todo = left

    def _compute(self, call: Call) -> None:
        with np.errstate(all="ignore"):
            try:
                z = Edit("", call.op).forward(values_of(call, self.value), self.value)
            except FAILED:
                return
        takes_data = self._takes_data(call)
        for name, array in zip(call.names, z, strict=False):
            if name in self.program.value:
                self.value[name] = array
                if takes_data:
                    self.on_data.add(name)
                if takes_data and not isinstance(call.op, Movement):
                    self.told[name] = array

    def waits_for(self) -> str | None:
        """The first unknown parameter without which nothing more can be computed of the data."""
        of_parameters = {name: name for name in self.program.leaves if name not in self.value}
        for call in self._todo:
            missing = [o.source for o in call.inputs if o.source and o.source not in self.value]
            if not all(name in of_parameters for name in missing):
                continue
            if self._takes_data(call):
                return of_parameters[missing[0]] if missing else None
            of_parameters |= {name: of_parameters[missing[0]] for name in call.names if missing}
        return None

    def _takes_data(self, call: Call) -> bool:
        """Whether a call takes more than parameters."""
        return any(
            o.source in self.on_data or (not o.source and o.array.size > 1) for o in call.inputs
        )

    def with_more(self, numbers: Mapping[str, NDArray]) -> _Run:
        """The run so far, with more parameters."""
        run = _Run(self.program, {**self.value, **numbers})
        run.on_data, run._todo = set(self.on_data), self._todo
        return run


class _Nearest:
    """Values by their sorted elements, to measure how near another one is to the nearest."""

    def __init__(self, value: Mapping[str, NDArray]) -> None:
        self._by_size: dict[int, list[NDArray]] = {}
        for array in value.values():
            if np.isfinite(array).all():
                self._by_size.setdefault(array.size, []).append(sorted_elements(array))

    def nearest(self, value: Mapping[str, NDArray]) -> float:
        """The least distance of any of these values, relative to the largest element."""
        return min((self._to(array) for array in value.values()), default=inf)

    def _to(self, array: NDArray) -> float:
        own = sorted_elements(array)
        size = np.abs(own).max(initial=0.0)
        if not np.isfinite(size) or not size or (own.size > 1 and own[0] == own[-1]):
            return inf
        each = [np.abs(own - a).max() / size for a in self._by_size.get(own.size, ())]
        found = float(min(each, default=inf))
        return found if own.size >= FEW or found <= SAME else inf
