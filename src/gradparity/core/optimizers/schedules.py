"""Schedules of the learning rate: what it is after so many steps, by hand and for any array.

A schedule is a function of the number of steps made before, so that it may be the `lr` of a rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arithmetic.arrays import Array, NDArray, covering, like, stored
from ..arithmetic.received import received
from .rule import check_numbers

__all__ = ["Cosine", "Exponential", "Joined", "Linear", "OneCycle", "Schedule", "StepDecay"]


@dataclass(frozen=True)
class Schedule:
    """A schedule: a subclass says what the rate is after so many steps."""

    def __call__(self, t: int) -> float:
        return float(self.rates(np.array([t]), np.ones(()))[0])

    def rates(self, t: NDArray, one: Array) -> Array:
        """The rates after t steps each (0, 1, ...), in the arithmetic of `one`."""
        raise NotImplementedError(f"{type(self).__name__} has no formula rates; write it")

    def following(self, before: Array, t: int, one: Array) -> Array:
        """The rate after t steps, from that one step before, where it is computed so."""
        return self.rates(np.array([t]), one)

    def variants(self) -> Iterator[tuple[str, Schedule]]:
        """Schedules with a mistake that is often made, and the mistake in words."""
        yield from ()

    def with_floor(self, floor: float) -> Schedule | None:
        """The schedule with another smallest rate; None if it has none."""
        return None


def _number(x: float, one: Array) -> Array:
    return stored(like(np.asarray(float(x)), one))


def _between(first: Array, last: Array, share: Array) -> Array:
    """Interpolate from `first` to `last`, in both forms that are in use."""
    return covering(
        first + (last - first) * share,
        {"from the last": lambda: (first - last) * (1.0 - share) + last},
    )


def _half_wave(share: Array) -> Array:
    """Half a cosine wave that rises from 0 to 1."""
    return (1.0 - np.cos(share * math.pi)) / 2.0


def _check_steps(schedule: Any, *names: str) -> None:
    for name in names:
        value = getattr(schedule, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(
                f"{type(schedule).__name__}: {name} is {received(value)}; give 1 or more steps"
            )


@dataclass(frozen=True)
class Exponential(Schedule):
    """lr factor^(t / every).

    >>> Exponential(1.0, 0.5)(2)
    0.25
    """

    lr: float
    factor: float
    every: int = 1

    def __post_init__(self) -> None:
        check_numbers(self, lr=(0.0, math.inf), factor=(5e-324, math.inf))
        _check_steps(self, "every")

    def powers(self, t: NDArray) -> NDArray:
        """The number of times the factor has been applied."""
        return t / self.every

    def rates(self, t: NDArray, one: Array) -> Array:
        n = stored(like(np.asarray(self.powers(t), np.float64), one))
        return _number(self.lr, one) * np.exp(np.log(_number(self.factor, one)) * n)

    def following(self, before: Array, t: int, one: Array) -> Array:
        n = self.powers(np.array([t])) - self.powers(np.array([t - 1]))
        return before * Exponential(1.0, self.factor).rates(n, one) if n.any() else before

    def variants(self) -> Iterator[tuple[str, Schedule]]:
        other: type[Exponential] = Exponential if type(self) is StepDecay else StepDecay
        if self.every > 1:
            how = "between the steps, too" if other is Exponential else "once in `every` steps"
            yield f"it decays {how}", other(self.lr, self.factor, self.every)
            yield "it decays in every step", replace(self, every=1)


@dataclass(frozen=True)
class StepDecay(Exponential):
    """lr factor^n, n = t / every rounded down.

    >>> [StepDecay(1.0, 0.5, 3)(t) for t in (0, 2, 3)]
    [1.0, 1.0, 0.5]
    """

    def powers(self, t: NDArray) -> NDArray:
        return np.asarray(t // self.every, np.float64)


@dataclass(frozen=True)
class Linear(Schedule):
    """Change from `first` to `last` in equal parts, then stay constant.

    >>> [Linear(0.0, 1.0, 4)(t) for t in (0, 1, 4, 9)]
    [0.0, 0.25, 1.0, 1.0]
    """

    first: float
    last: float
    steps: int

    def __post_init__(self) -> None:
        check_numbers(self, first=(0.0, math.inf), last=(0.0, math.inf))
        _check_steps(self, "steps")

    def rates(self, t: NDArray, one: Array) -> Array:
        share = like(np.minimum(t, self.steps).astype(np.float64), one) / float(self.steps)
        return _between(_number(self.first, one), _number(self.last, one), share)

    def following(self, before: Array, t: int, one: Array) -> Array:
        if t > self.steps or not self.first:
            return before if t > self.steps else self.rates(np.array([t]), one)
        a, b = _number(self.first, one), _number(self.last, one)
        return before * (1.0 + (b - a) / (a * float(self.steps) + (b - a) * float(t - 1)))

    def variants(self) -> Iterator[tuple[str, Schedule]]:
        way, n = self.last - self.first, self.steps
        if n > 1:
            yield "it counts from 1", replace(self, first=self.first + way / n, steps=n - 1)
        yield f"it counts from 1 to {n + 1}", replace(self, first=self.first + way / (n + 1))
        yield from _lengths(self)
        yield "it starts from 0", replace(self, first=0.0)
        yield "it is constant", replace(self, first=self.last)
        yield "it goes along a cosine", _CosineTo(self.first, self.last, self.steps)


def _lengths(schedule: Any) -> Iterator[tuple[str, Any]]:
    """The schedule one step shorter and longer."""
    for n in (schedule.steps - 1, schedule.steps + 1):
        if n > 0:
            yield f"it takes {n} steps, and not {schedule.steps}", replace(schedule, steps=n)


@dataclass(frozen=True)
class _CosineTo(Schedule):
    first: float
    last: float
    steps: int

    def rates(self, t: NDArray, one: Array) -> Array:
        share = like(np.minimum(t, self.steps).astype(np.float64), one) / float(self.steps)
        return _between(_number(self.first, one), _number(self.last, one), _half_wave(share))


@dataclass(frozen=True)
class Cosine(Schedule):
    """floor + (lr - floor) (1 + cos(pi t / steps)) / 2.

    Parameters
    ----------
    floor : the rate after `steps` steps.
    returns : whether it goes up again after these, as in PyTorch; in Optax it stays at the floor.

    >>> [Cosine(1.0, 2)(t) for t in (0, 1, 2)]
    [1.0, 0.5, 0.0]
    """

    lr: float
    steps: int
    floor: float = 0.0
    returns: bool = False

    def __post_init__(self) -> None:
        check_numbers(self, lr=(0.0, math.inf), floor=(0.0, math.inf))
        _check_steps(self, "steps")

    def _wave(self, t: NDArray, one: Array) -> Array:
        at = np.abs((t + self.steps) % (2 * self.steps) - self.steps)
        at = at if self.returns else np.minimum(t, self.steps)
        # A cosine is known to its rounding of the full argument, also after many waves.
        full = like(np.asarray(t if self.returns else at, np.float64), one) / float(self.steps)
        near = like(np.asarray(at, np.float64), one) / float(self.steps)
        return covering(_half_wave(near), {"of the full argument": lambda: _half_wave(full)})

    def rates(self, t: NDArray, one: Array) -> Array:
        lr, floor = _number(self.lr, one), _number(self.floor, one)
        return _between(lr, floor, self._wave(np.asarray(t), one))

    def following(self, before: Array, t: int, one: Array) -> Array:
        if not self.returns:
            return self.rates(np.array([t]), one)
        lr, floor = _number(self.lr, one), _number(self.floor, one)
        if (t - 1 - self.steps) % (2 * self.steps) == 0:  # from the floor up again
            wave = _half_wave(like(np.ones(()), one) / float(self.steps))
            return before + (lr - floor) * wave
        now, past = (1.0 - self._wave(np.array([n]), one) for n in (t, t - 1))
        return now / past * (before - floor) + floor

    def with_floor(self, floor: float) -> Schedule | None:
        return replace(self, floor=floor) if floor >= 0 else None

    def variants(self) -> Iterator[tuple[str, Schedule]]:
        yield from _lengths(self)
        if self.floor:
            yield "the floor is left out", replace(self, floor=0.0)
            if self.floor < self.lr:
                times = replace(self, floor=self.floor * self.lr)
                yield "the floor is multiplied by lr", times
        how = "stays at the floor" if self.returns else "goes up again"
        yield f"it {how} after its steps", replace(self, returns=not self.returns)
        yield "it goes along a line", Linear(self.lr, self.floor, self.steps)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Rise from peak / div to the peak along a cosine, then fall to peak / (div final_div).

    Parameters
    ----------
    rises, ends : the steps made before the peak and before the end: 0.3 n - 1 and n - 1 in PyTorch
        for n steps, 0.3 n and n in Optax.

    >>> [OneCycle(1.0, 2, 4, div=2, final_div=2)(t) for t in (0, 2, 4)]
    [0.5, 1.0, 0.25]
    """

    peak: float
    rises: float
    ends: float
    div: float = 25.0
    final_div: float = 1e4

    def __post_init__(self) -> None:
        check_numbers(self, peak=(0.0, math.inf), div=(5e-324, math.inf))
        check_numbers(self, final_div=(5e-324, math.inf), rises=(0.0, math.inf))
        if not self.rises < self.ends:
            raise ValueError(f"OneCycle: ends is {received(self.ends)}; give more than rises, "
                             f"{self.rises:g}")  # fmt: skip

    def rates(self, t: NDArray, one: Array) -> Array:
        top = _number(self.peak, one)
        low = top / _number(self.div, one)
        least = low / _number(self.final_div, one)
        lengths = np.where(t <= self.rises, max(self.rises, 1e-300), self.ends - self.rises)
        at = np.where(t <= self.rises, t, np.minimum(t, self.ends) - self.rises)
        share = stored(like(at.astype(np.float64), one)) / stored(like(lengths, one))
        wave, rising = _half_wave(share), like((t <= self.rises).astype(np.float64), one)
        return _between(low, top, wave) * rising + _between(top, least, wave) * (1.0 - rising)

    def variants(self) -> Iterator[tuple[str, Schedule]]:
        for by, words in ((1, "later"), (-1, "earlier")):
            if self.rises + by >= 0:
                moved = replace(self, rises=self.rises + by, ends=self.ends + by)
                yield f"its peak and its end are one step {words}", moved
                if self.rises + by < self.ends:
                    yield f"its peak is one step {words}", replace(self, rises=self.rises + by)
            if self.rises < self.ends + by:
                yield f"its end is one step {words}", replace(self, ends=self.ends + by)
        yield (
            "the last rate is peak / final_div",
            replace(self, final_div=max(self.final_div / self.div, 5e-324)),
        )


@dataclass(frozen=True)
class Joined(Schedule):
    """Several schedules one after another, such as a warmup and a cosine; each counts from 0.

    Parameters
    ----------
    parts : the schedules.
    starts : the steps made before the second one, the third one, ...

    >>> warmup = Joined((Linear(0.0, 1.0, 2), Cosine(1.0, 4)), (2,))
    >>> [warmup(t) for t in (0, 1, 2, 4, 6)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    parts: Sequence[Schedule]
    starts: Sequence[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        object.__setattr__(self, "starts", tuple(self.starts))
        rising = all(a < b for a, b in zip((0, *self.starts), self.starts, strict=False))
        if len(self.starts) != len(self.parts) - 1 or not rising:
            raise ValueError(
                f"Joined: starts is {received(self.starts)} for {len(self.parts)} schedules; give "
                "an ascending number for all but the first"
            )

    def _part(self, t: int) -> tuple[Schedule, int]:
        i = sum(t >= start for start in self.starts)
        return self.parts[i], (0, *self.starts)[i]

    def rates(self, t: NDArray, one: Array) -> Array:
        found = []
        for each in np.asarray(t).tolist():
            part, start = self._part(each)
            found.append(part.rates(np.array([each - start]), one))
        return np.concatenate(found)

    def following(self, before: Array, t: int, one: Array) -> Array:
        part, start = self._part(t)
        if t == start:
            return part.rates(np.array([0]), one)
        return part.following(before, t - start, one)

    def variants(self) -> Iterator[tuple[str, Schedule]]:
        for i, part in enumerate(self.parts):
            for words, other in part.variants():
                parts = (*self.parts[:i], other, *self.parts[i + 1 :])
                yield f"{words}, in the part {_as_ordinal(i)}", replace(self, parts=parts)
        for i, start in enumerate(self.starts):
            for by, words in ((1, "later"), (-1, "earlier")):
                starts = (*self.starts[:i], start + by, *self.starts[i + 1 :])
                if list(starts) == sorted({0, *starts} - {0}):
                    moved = replace(self, starts=starts)
                    yield f"the part {_as_ordinal(i + 1)} begins one step {words}", moved

    def with_floor(self, floor: float) -> Schedule | None:
        last = self.parts[-1].with_floor(floor)
        return last and replace(self, parts=(*self.parts[:-1], last))


def _as_ordinal(i: int) -> str:
    return f"number {i + 1}"
