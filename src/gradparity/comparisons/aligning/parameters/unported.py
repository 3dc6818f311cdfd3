"""Find which parameters of two programs correspond, although their numbers differ.

Both programs are computed anew by the core's formulas.  The first one gets random parameters.  The
second one gets, in the order in which it uses its parameters, those of the first one that make the
values which follow have partners: what a parameter is, is what the program computes with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from typing import NamedTuple

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.movements import Reshape
from ....core.formulas.op import Shape
from ..programs.values import Program, are_near, nearness
from .computed import Computed, Nearest
from .layouts import Layout, Layouts, Numbers, alike, kinship, without_digits
from .leaves import Leaves

__all__ = ["Corresponding", "corresponding"]

#: Values computed in float64 are the same within this, relative to the largest element, and within
#: this part of the tolerance where constants are rounded.
SAME, PART = 1e-8, 0.1
#: The programs may differ in an argument, such as eps: the best fit counts if it is this near, and
#: so many times nearer than the next best one.
ALIKE, CLEARLY = 2e-2, 5.0
#: How many values behind a parameter are looked at.
AHEAD = 8
#: How many layouts of a parameter are tried, of one behind it and of one behind that; and in all.
TRIED, TRIES = (60, 12, 4), 20_000

#: How many axes of what is flattened are tried in other orders, at most.
FLATTENED = 4


class Corresponding(NamedTuple):
    """The parameters of two programs with numbers that agree where they correspond.

    Attributes
    ----------
    one, other : without those of the second program for which none is found.
    guessed : names of `other` that no value confirms, only shapes and names.
    is_proved : whether the second program computes the loss of the first one with these numbers.
    """

    one: Leaves
    other: Leaves
    guessed: frozenset[str]
    is_proved: bool


def corresponding(
    one: Program, other: Program, known: Mapping[str, str], unsure: frozenset[str]
) -> Corresponding:
    """Find which parameters of two programs correspond.

    Parameters
    ----------
    known : parameter of `other` -> that of `one` which has the same numbers; both keep them.
    unsure : those of `other` that have the same numbers as several of `one`, or the other way.
    """
    rng = np.random.default_rng(0)
    first = {
        n: Numbers(a, a) if n in known.values() else Numbers.drawn(rng, a)
        for n, a in one.leaves.items()
    }
    second = {n: Numbers(other.leaves[n], other.leaves[n]) for n in known}
    search = _Search(one, other, first, second, used=set(known.values()))
    search.run(unsure)
    found = {**search.found, **search.guessed}
    for layout in found.values():
        if layout.axis is None:  # parameters that are summed have the same gradient
            mark = first[layout.parts[0].name].mark
            first |= {p.name: Numbers(first[p.name].value, mark) for p in layout.parts}
    second |= {name: layout.of(first) for name, layout in found.items() if layout.parts}
    uses = Counter(layout.parts for layout in found.values() if layout.is_plain)
    for name, layout in found.items():  # the gradient of a tied parameter is the sum of its copies'
        if uses[layout.parts] > 1:
            numbers = second[name]
            second[name] = Numbers(numbers.value, numbers.mark / uses[layout.parts])
    leaves = _leaves(Leaves.of(one), first), _leaves(Leaves.of(other), second)
    return Corresponding(*leaves, frozenset(search.guessed), search.is_proved)


def _leaves(own: Leaves, numbers: Mapping[str, Numbers]) -> Leaves:
    value = {n: numbers[n].value for n in own.names if n in numbers}
    return replace(own, value=value, gradient={n: numbers[n].mark for n in value}, near=SAME)


class _Search:
    """The second program, computed as far as its parameters are found.

    A parameter may fit in several ways, such as the query's as the key's, which shows only later:
    then the last choice is taken back.

    Attributes
    ----------
    found : layouts by parameter of the second program.
    guessed : those behind the place where the programs part, by shape and name.
    is_proved : whether it computes the same loss with them.
    """

    def __init__(
        self,
        one: Program,
        other: Program,
        first: dict[str, Numbers],
        second: Mapping[str, Numbers],
        used: set[str],
    ) -> None:
        self.other, self.first = other, first
        free = [n for n in _in_order_of_use(one) if n not in used]
        self.layouts = Layouts(first, free, _flattened(one))
        self.constants = [a for a in one.constants.values() if a.size > 1]
        run = Computed(one, {n: x.value for n, x in first.items()})
        run.on()
        self.same = max(SAME, PART * nearness(one, other))
        self.partners = Nearest({n: run.value[n] for n in run.on_data}, self.same)
        self.losses = [run.value[n] for n in one.losses if n in run.value]
        self.start = Computed(other, {n: x.value for n, x in second.items()})
        self.found: dict[str, Layout] = {}
        self.guessed: dict[str, Layout] = {}
        self.is_proved = False
        self.tried = 0

    def run(self, unsure: frozenset[str]) -> None:
        """Find one parameter after the other, with few tried together first."""
        self.start.on()
        for together in range(2, len(TRIED) + 1):
            if self._is_done(together):
                return
        self._guess(unsure)

    def _guess(self, unsure: frozenset[str]) -> None:
        """Take whole parameters of the same shape for what is left, the most alike by name."""
        run = self.start.with_more(self._numbers(self.found))
        run.on()
        while (name := run.waits_for()) is not None:
            self._guess_one(name)
            run = run.with_more({name: self.other.leaves[name]})
            run.on()
        for name in self.other.leaves:
            if name not in {*run.value, *unsure} and np.any(self.other.got[name]):
                self._guess_one(name)

    def _guess_one(self, name: str) -> None:
        layouts = {**self.found, **self.guessed}
        taken = {part.name for layout in layouts.values() for part in layout.parts}
        likely = (layout for layout in self._likely(name, layouts) if layout.is_plain)
        plain = [layout for layout in likely if layout.parts[0].name not in taken]
        if plain:
            evidence = _orders_of(layouts)
            self.guessed[name] = max(
                plain,
                key=lambda each: (
                    alike(name, each.parts[0].name),
                    kinship((each.parts[0].name, name), each.order, evidence),
                ),
            )

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
            distance = self._of_losses(run)
            if distance <= (self.same if fit.distance <= self.same else ALIKE):
                self.found, self.is_proved = layouts, distance <= self.same
                return True
            if run.waits_for() is not None:
                stack.append(self._choice(run, layouts, together))
        return False

    def _of_losses(self, run: Computed) -> float:
        """The relative distance between the losses of a run and those of the first program."""
        ends = [run.value[n] for n in self.other.losses if n in run.value]
        if len(ends) != len(self.losses):
            return inf
        each = (
            float(np.abs(a - b).max() / np.abs(b).max())
            for a, b in zip(ends, self.losses, strict=True)
        )
        return max(each, default=inf)

    def _choice(self, run: Computed, layouts: Mapping[str, Layout], together: int) -> _Choice:
        name = run.waits_for()
        fits = iter(()) if name is None else self._acceptable(name, run, layouts, together)
        return _Choice(run, layouts, fits)

    def _acceptable(
        self, name: str, run: Computed, layouts: Mapping[str, Layout], most: int
    ) -> Iterator[_Fit]:
        """The fits with which a value is the same as one of the first program.

        If the programs differ before, those with which one is clearly nearer than with others.
        """
        for together in range(1, most + 1):
            others, is_found = [], False
            for fit in self._fits(name, run, layouts, TRIED[:together]):
                if fit.distance <= self.same:
                    is_found = True
                    yield fit
                else:
                    others.append(fit)
            if not is_found:
                yield from _nearest(others)

    def _numbers(self, layouts: Mapping[str, Layout]) -> dict[str, NDArray]:
        return {name: layout.of(self.first).value for name, layout in layouts.items()}

    def _fits(
        self, name: str, run: Computed, layouts: Mapping[str, Layout], counts: Sequence[int]
    ) -> Iterator[_Fit]:
        """Try layouts of a parameter and of those behind it, as many of each as `counts` says.

        Each has the distance of the nearest value that follows to one of the first program.
        """
        for layout in self._likely(name, layouts)[: counts[0]]:
            self.tried += 1
            ahead = run.with_more(self._numbers({name: layout}))
            ahead.on(AHEAD)
            distance = self.partners.nearest(ahead.compared)
            behind = ahead.waits_for()
            if len(counts) == 1 and layout.parts:
                yield _Fit({name: layout}, distance)
            elif distance > ALIKE and behind is not None:
                rest = counts[1:] if layout.parts else counts
                for more in self._fits(behind, ahead, {**layouts, name: layout}, rest):
                    yield _Fit({name: layout, **more.layouts}, more.distance)
            elif not layout.parts:
                yield _Fit({name: layout}, distance)

    def _likely(self, name: str, layouts: Mapping[str, Layout]) -> list[Layout]:
        """The layouts of a parameter to try, those found for other layers first."""
        known = {(without_digits(n), layout.likeness) for n, layout in layouts.items()}
        taken = [part for layout in layouts.values() for part in layout.parts]
        numbers, own = self.other.leaves[name], without_digits(name)
        each = self.layouts.of(numbers.shape, taken)
        each.sort(key=lambda layout: (own, layout.likeness) not in known)
        each += self.layouts.shuffled(numbers.shape, taken)
        each += self.layouts.copies(numbers.shape, taken)
        if any(are_near(a.ravel(), numbers.ravel(), self.same) for a in self.constants):
            each.insert(0, Layout((), (), numbers.shape, own=numbers))
        return each


@dataclass(frozen=True)
class _Fit:
    """Layouts of parameters, and the distance of the nearest value to one of the first program."""

    layouts: Mapping[str, Layout]
    distance: float


@dataclass(frozen=True, eq=False)
class _Choice:
    """A run that waits for a parameter, the layouts that led to it, and those left to try."""

    run: Computed
    layouts: Mapping[str, Layout]
    fits: Iterator[_Fit]


def _nearest(fits: Sequence[_Fit]) -> Sequence[_Fit]:
    """Those that are clearly nearer than all others, the nearest first."""
    found = sorted(fits, key=lambda fit: fit.distance)
    distances = [fit.distance for fit in found]
    gaps = [k for k, (d, e) in enumerate(pairwise([*distances, inf])) if e > CLEARLY * d]
    return found[: gaps[0] + 1] if gaps and distances[gaps[0]] < ALIKE else []


def _orders_of(layouts: Mapping[str, Layout]) -> list[tuple[tuple[str, str], tuple[int, ...]]]:
    """The names in both programs, and the order of the axes, of each whole parameter."""
    whole = ((name, each) for name, each in layouts.items() if each.is_plain)
    return [((each.parts[0].name, name), each.order) for name, each in whole]


def _in_order_of_use(program: Program) -> list[str]:
    used = (o.source for call in program.calls for o in call.inputs if o.source in program.leaves)
    return list(dict.fromkeys(used))


def _flattened(program: Program) -> Iterator[Shape]:
    """The shapes of the axes that a program makes one of, behind those of the batch."""
    for call in program.calls:
        if not isinstance(call.op, Reshape) or call.z[0] is None:
            continue
        before, after = call.inputs[0].array.shape, call.z[0].shape
        for axes in (before[k:] for k in range(len(before) - 1)):
            if after and len(axes) <= FLATTENED and int(np.prod(axes)) == after[-1]:
                yield axes
