"""Derivatives of a function along lines, by differences of its values in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.calls import Call

__all__ = [
    "AGREE", "LINES", "STEP", "Slope", "agree", "finer_slopes", "is_rough", "noise_near",
    "seeds_of_lines", "slope", "slopes_near", "slopes_of_elements", "typical_slope",
]  # fmt: skip

#: Lines that a function is evaluated along.
LINES = 3
#: Lines that are tried for some along which two gradients differ.
TRIED = 64
#: Relative width of a step: the third power of the error of a central difference is of this size.
STEP = 1e-4
#: Differences that agree to this with each other say what the derivative is.
AGREE = 1e-5
#: Relative distance of points that are near a kink, and how many of them are tried.
NEAR, PLACES = 1e-5, 6
#: How much smaller the steps are that must give the same derivative, and how near it must be.
NEARER, STEADY = 1e-2, 1e-2
#: Widths of smaller steps, for functions with a pole near by, and a part of each.
FINER, PART = (1e-6, 1e-8), 0.125
#: The most elements whose own derivatives are looked at, and the most numbers that go in and out.
ELEMENTS, WORK = 64, 2**18
#: A slope elsewhere counts up to so many times the values, relative to the inputs.
ALIKE = 16.0
#: Roundings of a value, relative to the sizes of what is added up to it.
ROUNDED = 16 * 2.0**-53


#: Makes any direction one that an input may be moved in.
Within: TypeAlias = Callable[[NDArray], NDArray]


class Slope(NamedTuple):
    """The derivative along a line: by differences, by the function's backward, and by its ops.

    Attributes
    ----------
    size : what they are compared with.
    settled : whether differences over several distances agree.
    seed : of the line.
    """

    measured: float
    got: float
    want: float
    size: float
    settled: bool
    seed: int = 0


def agree(measured: float, other: float, size: float, rounded: float = 0.0) -> bool:
    """Whether two derivatives along a line are the same, as far as differences can tell.

    Parameters
    ----------
    rounded : the relative size of the roundings of `other`.
    """
    return abs(measured - other) <= max(10 * AGREE, rounded) * size


def seeds_of_lines(call: Call, position: int, got: NDArray, want: NDArray) -> list[int]:
    """Seeds of lines along which two gradients differ, as far as there are such."""
    apart = np.asarray(got, np.float64) - want
    size = _scale(got, want)
    y = np.asarray(call.inputs[position].array)
    if apart.shape != y.shape or not np.isfinite(apart).all():
        return [*range(LINES)]
    differ = (abs(float((apart * _direction(y, k, None)).sum())) for k in range(TRIED))
    telling = [k for k, far in enumerate(differ) if far > 40 * AGREE * size]
    return [*telling, *(k for k in range(TRIED) if k not in telling)][:LINES]


def slope(
    call: Call,
    position: int,
    got: NDArray,
    want: NDArray | None,
    seed: int,
    *,
    within: Within | None = None,
) -> Slope | None:
    """The derivative along a random line through one input; None if the function does not run.

    Parameters
    ----------
    want : the gradient by its ops; None if they are not known.
    within : makes any direction one that the input may be moved in, such as a symmetric one.
    """
    assert call.evaluate is not None
    arrays = [np.asarray(o.array) for o in call.inputs]
    here = call.evaluate(arrays)
    if here is None:
        return None
    y = np.asarray(arrays[position], np.float64)
    line = _Line(call, position, here, _direction(y, seed, within), seed)
    return line.slope(got, want, STEP * _size(y))


def finer_slopes(
    call: Call,
    position: int,
    got: NDArray,
    want: NDArray | None,
    seeds: Sequence[int],
    within: Within | None = None,
) -> list[Slope] | None:
    """The derivatives along these lines over smaller distances; None if any does not settle.

    The steps are small, or in proportion to the elements.  A part of them has to give the same
    derivative, and not 0: a function that searches is constant over small distances.
    """
    assert call.evaluate is not None
    here = call.evaluate([np.asarray(o.array) for o in call.inputs])
    if here is None:
        return None
    y = np.asarray(call.inputs[position].array, np.float64)
    ways: list[tuple[Any, float]] = [(1.0, step * _size(y)) for step in FINER]
    if within is None:
        ways.insert(0, (_own(y), STEP))
    found = []
    for seed in seeds:
        direction = _direction(y, seed, within)
        lines = ((_Line(call, position, here, direction, seed, w), step) for w, step in ways)
        each = (line.confirmed(got, want, step) for line, step in lines)
        settled = next((s for s in each if s is not None), None)
        if settled is None:
            return None
        found.append(settled)
    return found


def slopes_of_elements(
    call: Call, position: int, got: NDArray
) -> Iterator[tuple[tuple[int, ...], Slope]]:
    """The derivatives by single elements, as far as they settle: by some of many.

    Where a call is large, none is evaluated.  Their size is that of the terms that are added up,
    one from each output.
    """
    assert call.evaluate is not None
    here = call.evaluate([np.asarray(o.array) for o in call.inputs])
    if here is None:
        return
    y = np.asarray(call.inputs[position].array, np.float64)
    numbers = sum(np.size(o.array) for o in call.inputs) + sum(map(np.size, here))
    most = min(ELEMENTS, WORK // max(numbers, 1))
    for i in np.random.default_rng(0).permutation(y.size)[:most]:
        at = tuple(int(k) for k in np.unravel_index(i, y.shape))
        one = np.zeros(y.shape)
        one[at] = 1.0
        for weights, step in ((one * _own(y), STEP), *((one, h * _size(y)) for h in FINER)):
            line = _Line(call, position, here, one, 0, weights)
            s = line.confirmed(got, None, step)
            if s is not None:
                part = float(weights[at])
                size = max(s.size, line.terms(step)) / part
                yield at, Slope(s.measured / part, s.got / part, math.nan, size, settled=True)
                break


def _own(y: NDArray) -> NDArray:
    """The size of every element, and 1 for zeros."""
    return np.where(y == 0.0, 1.0, np.abs(y))


@dataclass(frozen=True)
class _Line:
    """A line through one input: the elements move by `direction` times `weights`."""

    call: Call
    position: int
    here: Sequence[NDArray]
    direction: NDArray
    seed: int
    weights: Any = 1.0

    def slope(self, got: NDArray, want: NDArray | None, step: float) -> Slope:
        """The derivative by differences over this distance."""
        call, position, direction = self.call, self.position, self.direction * self.weights
        y = np.asarray(call.inputs[position].array, np.float64)
        measured, before = _differences(call, position, y, direction, step)
        if want is None:
            noise = self.noise(step) / AGREE
            scale = max(float(np.abs(got * self.weights).sum()), abs(measured), noise) or 1.0
            known = math.nan
        else:
            scale = _scale(got * self.weights, want * self.weights)
            known = float((want * direction).sum())
        settled = math.isfinite(measured) and abs(measured - before) <= AGREE * scale
        settled = settled and not _bends(call, position, direction, step, scale)
        given = float((got * direction).sum())
        return Slope(measured, given, known, scale, settled, self.seed)

    def terms(self, step: float) -> float:
        """The sum of the sizes of the terms of the derivative, one from each output."""
        both = self._moved(step)
        return sum(float(np.abs((a - b) * dz).sum()) for a, b, dz in both) / step

    def noise(self, step: float) -> float:
        """The rounding error of the derivative over this distance, by the outputs that change."""
        both = self._moved(step)
        return ROUNDED * sum(float(np.abs(b * dz)[a != b].sum()) for a, b, dz in both) / step

    def _moved(self, step: float) -> list[tuple[NDArray, NDArray, NDArray]]:
        """The outputs that a gradient arrived at, after a step and before, each with it."""
        call, position = self.call, self.position
        assert call.evaluate is not None
        arrays = [np.asarray(o.array) for o in call.inputs]
        arrays[position] = arrays[position] + step * self.direction * self.weights
        out = call.evaluate(arrays)
        there = [np.full(np.shape(z), np.nan) for z in self.here] if out is None else out
        both = zip(_pairs(there, call), _pairs(self.here, call), strict=True)
        return [(a, b, dz) for (a, dz), (b, _) in both]

    def confirmed(self, got: NDArray, want: NDArray | None, step: float) -> Slope | None:
        """The derivative over this distance, if one over a part of it is the same, and not 0."""
        a, b = (self.slope(got, want, h) for h in (step, PART * step))
        # Where a gradient is said to be huge, everything agrees with it.
        size = min(a.size, STEADY / AGREE * abs(a.measured))
        same = a.settled and b.settled and agree(a.measured, b.measured, size)
        return a if same and a.measured != 0.0 else None


def _scale(got: NDArray, want: NDArray) -> float:
    """The size that derivatives along a line are compared with."""
    return float(np.abs(want).sum() + np.abs(got).sum()) / 2 or 1.0


def typical_slope(call: Call, position: int, within: Within | None = None) -> float:
    """The largest derivative along lines at other inputs, as far away as these are large.

    Where terms cancel, the roundings of a gradient are of the size that it has elsewhere.  It is
    no larger than the values allow, or the terms that are added up: slopes of an exponential grow.
    """
    assert call.evaluate is not None
    here = call.evaluate([np.asarray(o.array) for o in call.inputs])
    if here is None:
        return 0.0
    found, y = 0.0, np.asarray(call.inputs[position].array, np.float64)
    line = _Line(call, position, here, _direction(y, 0, within), 0)
    terms = line.terms(STEP * _size(y))
    total = sum(float(np.abs(z * dz).sum()) for z, dz in _pairs(here, call))
    for seed in range(LINES):
        rng = np.random.default_rng(seed)
        arrays = [_moved_away(np.asarray(o.array), rng) for o in call.inputs]
        y = np.asarray(call.inputs[position].array, np.float64)
        if within is not None:
            arrays[position] = y + within(arrays[position] - y)
        inputs = [replace(o, array=a) for o, a in zip(call.inputs, arrays, strict=True)]
        elsewhere = replace(call, inputs=tuple(inputs))
        direction = _direction(y, seed, within)
        step = STEP * _size(y)
        measured, _ = _differences(elsewhere, position, arrays[position], direction, step)
        found = max(found, abs(measured)) if math.isfinite(measured) else found
    return max(min(found, ALIKE * total / _size(y)), terms)


def _moved_away(a: NDArray, rng: np.random.Generator) -> NDArray:
    return a + _size(a) * rng.uniform(-1.0, 1.0, a.shape) if a.dtype.kind == "f" else a


def is_rough(
    call: Call, position: int, slopes: Sequence[Slope], within: Within | None = None
) -> bool:
    """Whether differences over much smaller distances give other derivatives along these lines.

    A derivative that is said to be huge passes for settled whatever the differences are, as that of
    a root at 0 does, where it has none.
    """
    assert call.evaluate is not None
    here = call.evaluate([np.asarray(o.array) for o in call.inputs])
    y = np.asarray(call.inputs[position].array, np.float64)
    h = NEARER * STEP * _size(y)
    scale = max((abs(s.measured) for s in slopes), default=0.0)
    noise = math.inf if here is None else _noise(here, call, h)
    for s in slopes:
        direction = _direction(y, s.seed, within)
        near, _ = _differences(call, position, y, direction, h)
        if not abs(near - s.measured) <= STEADY * scale + 16 * noise:
            return True
    return False


def _direction(y: NDArray, seed: int, within: Within | None) -> NDArray:
    direction = np.random.default_rng(seed).choice([-1.0, 1.0], y.shape)
    return direction if within is None else within(direction)


def _size(y: NDArray) -> float:
    return max(1.0, float(np.abs(y[np.isfinite(y)]).max(initial=0.0)))


def _differences(
    call: Call, position: int, y: NDArray, direction: NDArray, step: float
) -> tuple[float, float]:
    """The derivative along a line by two pairs of central differences, the finer pair first."""

    def along(h: float) -> float:
        return _change(call, position, y + h * direction, y - h * direction) / (2 * h)

    coarse, middle, fine = (along(step / 2**k) for k in range(3))
    return (4 * fine - middle) / 3, (4 * middle - coarse) / 3


def _noise(here: Sequence[NDArray], call: Call, step: float) -> float:
    """The rounding error of a derivative by differences over this distance."""
    return ROUNDED * sum(float(np.abs(z * dz).sum()) for z, dz in _pairs(here, call)) / step


def _pairs(z: Sequence[NDArray], call: Call) -> list[tuple[NDArray, NDArray]]:
    """The outputs of a function that a gradient arrived at, each with it."""
    return [(np.asarray(a), dz) for a, dz in zip(z, call.dz, strict=True) if dz is not None]


def _change(call: Call, position: int, to: NDArray, start: NDArray) -> float:
    """The change of the weighted sum of the outputs; unchanged outputs add no rounding."""
    assert call.evaluate is not None
    arrays = [np.asarray(o.array) for o in call.inputs]
    out = [call.evaluate([*arrays[:position], y, *arrays[position + 1 :]]) for y in (to, start)]
    if out[0] is None or out[1] is None:
        return math.nan
    both = zip(_pairs(out[0], call), _pairs(out[1], call), strict=True)
    return sum(float(((a - b) * dz).sum()) for (a, dz), (b, _) in both)


def loss(call: Call, position: int, y: NDArray) -> float:
    """The outputs for another value of one input, weighted by the cotangents and summed."""
    assert call.evaluate is not None
    arrays = [np.asarray(o.array) for o in call.inputs]
    out = call.evaluate([*arrays[:position], y, *arrays[position + 1 :]])
    if out is None:
        return math.nan
    return sum(float((z * dz).sum()) for z, dz in _pairs(out, call))


def _bends(call: Call, position: int, direction: NDArray, h: float, scale: float) -> bool:
    """Whether the slopes on the two sides differ, however near."""
    y = np.asarray(call.inputs[position].array, np.float64)

    def gap(h: float) -> float:
        both = [_change(call, position, y + s * h * direction, y) for s in (1.0, -1.0)]
        return abs(both[0] + both[1]) / h

    wide, near = gap(h), gap(h / 4)
    return not (near <= 10 * AGREE * scale or near <= 0.75 * wide)


def noise_near(call: Call, position: int) -> float:
    """The rounding error of the slopes that `slopes_near` gives."""
    assert call.evaluate is not None
    here = call.evaluate([np.asarray(o.array) for o in call.inputs])
    y = np.asarray(call.inputs[position].array, np.float64)
    return math.inf if here is None else _noise(here, call, NEAR / 1000 * _size(y) / 4)


def slopes_near(
    call: Call, position: int, direction: NDArray, scale: float = 0.0
) -> list[float] | None:
    """Slopes along a direction on both sides of a point and near it; None if they do not settle.

    Parameters
    ----------
    scale : the size of slopes that count; by default the largest of those that are found.
    """
    y = np.asarray(call.inputs[position].array, np.float64)
    size = _size(y)
    rng, found = np.random.default_rng(0), list[tuple[float, float]]()
    places = [y + NEAR * size * rng.uniform(-1, 1, y.shape) for _ in range(PLACES)]
    at = loss(call, position, y)
    for sign in (1.0, -1.0):
        h = sign * NEAR * size
        two = [(loss(call, position, y + k * direction) - at) / k for k in (h, h / 4)]
        found.append((two[0], two[1]))
    for near in places:
        h = NEAR / 1000 * size
        sides = [loss(call, position, near + k * direction) for k in (h, -h, h / 4, -h / 4)]
        found.append(((sides[0] - sides[1]) / (2 * h), (sides[2] - sides[3]) / (h / 2)))
    scale = max([scale, *(abs(a) for a, _ in found)]) or 1.0
    settled = [abs(a - b) <= 1e-3 * scale for a, b in found]  # false for nan too
    if not all(settled[:2]) or sum(settled[2:]) < PLACES / 2:
        return None
    return [b for (_, b), yes in zip(found, settled, strict=True) if yes]
