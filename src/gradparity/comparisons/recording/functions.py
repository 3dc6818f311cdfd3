"""Functions with a backward pass of their own, where it is not the derivative of their ops.

The ops of a forward pass that searches or iterates are the wrong thing to differentiate, so the
function itself is asked: its values at points on a line, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.precision import Precision
from ...core.network.calls import Call
from ...core.network.nodes import Edge, Step
from ..explain.allowed import as_convention, is_allowed
from ..findings.finding import Finding, Verdict
from .lines import (
    LINES,
    agree,
    finer_slopes,
    is_rough,
    noise_near,
    seeds_of_lines,
    slope,
    slopes_near,
)
from .meant import declared, is_piecewise_constant, meant, of_steps
from .mistaken import mistake_of_function, where_its_input_is

__all__ = ["held_to_differences", "is_loose", "is_not_finite_at_kink", "of_function", "where_it_is"]

#: A bound that is this large, relative to the gradient, says little: differences say more.
LOOSE = 0.01

#: A derivative along a line that is off by this is wrong, whatever the ops say.
WRONG = 1e-3
#: Roundings of its own format by which a gradient along a line may differ from the right one.
ROUNDINGS = 2

#: By how much the derivative of an unfinished search may differ from that of what it searches.
SEARCHED = 0.02
UNFINISHED = (
    "its loop ends by a condition, and the derivative of where it has got to may differ from that "
    "of what it searches by as much; let it end nearer"
)

WRONG_ALONG = "along a line its gradient gives {:.6g}, and differences of its values {:.6g}"
RIGHT = "not the derivative of its ops, but of the function, as differences along {} lines show"
ROUGH = "not the derivative of its ops, and differences along a line do not settle it: {}"


OUTSIDE = (
    "at a kink: at {} its gradient is {:.6g}, and the slopes of the function near by are from "
    "{:.6g} to {:.6g}"
)
NOT_FINITE = "at a kink, at {}, its gradient is {}"
NO_CHOICE = (
    "at {} its gradient is {:.9g} and the formula gives {:.9g}; the slopes of the function near by "
    "differ by less"
)
SMOOTH = "at {} its gradient is {}, and the slope of the function is {:.6g} all around"
#: Roundings by which another right derivation may differ from the formula.
FORMS = 64
#: Slopes near by that differ by more, relative to the largest gradient, are those of a kink.
KINK = 1e-2
TOGETHER = "at a kink: the gradients of {} elements together are {:.6g}, and the slope is {:.6g}"
CHOICE = "another choice at a kink than that of its ops, between the slopes near by"
#: At most so many elements are held to the slopes near by.
TESTED = 16


def of_function(
    f: Finding, call: Call, step: Step, want: NDArray, error: NDArray, allow: Sequence[str]
) -> Finding:
    """The finding of a gradient that a function returned, and that is not that of its ops.

    Parameters
    ----------
    f : the mismatch.
    want : the gradient through the ops of its forward pass.
    error : its rounding error, of each element.
    """
    found = _held_to_function(f, call, step, want, error, allow)
    own = declared(call)
    meant = found.parity is not True and is_allowed(own, allow)
    return as_convention(found, [own], allow) if meant else found


def _held_to_function(
    f: Finding, call: Call, step: Step, want: NDArray, error: NDArray, allow: Sequence[str]
) -> Finding:
    position = _position(f, step)
    got = call.inputs[position].gradient
    got = np.zeros(want.shape) if got is None else got
    named = [*meant(call, position, np.asarray(got, np.float64))] if f.outside else []
    if named:
        return as_convention(replace(f, verdict=Verdict.MISMATCH), named, allow)
    if call.evaluate is None:
        return _undecided(f, "it cannot be evaluated by itself")
    seeds = seeds_of_lines(call, position, got, want)
    slopes = [slope(call, position, got, want, seed) for seed in seeds]
    known = [slope for slope in slopes if slope is not None]
    if len(known) < LINES:
        return _undecided(f, "it does not run in float64")
    smooth = all(slope.settled for slope in known)
    if not smooth:
        found = _at_kink(f, call, position, np.asarray(got, np.float64), want, error)
        if found.verdict is not Verdict.INCONCLUSIVE:
            return found
        if f.verdict is Verdict.MISMATCH and f.kinks is not None:  # outside of the valid choices
            return f
        finer = finer_slopes(call, position, got, want, seeds)
        if finer is None:
            return found
        known = finer
    if not np.any(want) and is_piecewise_constant(call, position):
        named = [of_steps(call, position, np.asarray(got, np.float64))]
        return as_convention(replace(f, verdict=Verdict.MISMATCH), named, allow)
    if all(agree(s.measured, s.want, s.size) for s in known):
        if call.searches and all(abs(s.got - s.want) <= SEARCHED * s.size for s in known):
            return _undecided(f, UNFINISHED)
        # The ops say what the function does, and its backward is something else.
        wide = np.asarray(got, np.float64)
        return replace(f, note=f.note or mistake_of_function(call, position, wide, want))
    unit = Precision.of(call.precision).unit
    if all(agree(s.measured, s.got, s.size, ROUNDINGS * unit) for s in known):
        return replace(f, verdict=Verdict.ROUNDING, outside=0, note=RIGHT.format(LINES))
    s = max(known, key=lambda s: abs(s.measured - s.got) / s.size)
    if abs(s.measured - s.got) > max(WRONG, 2 * ROUNDINGS * unit) * s.size:
        if smooth and is_rough(call, position, known):
            finer = finer_slopes(call, position, got, want, seeds)
            if finer is None or not all(agree(s.measured, s.want, s.size) for s in finer):
                return _undecided(f, "it is not smooth here")
            return f
        return replace(f, note=WRONG_ALONG.format(s.got, s.measured))
    return _undecided(f, "they agree with neither")


def is_loose(f: Finding, call: Call) -> bool:
    """Whether a gradient passed by a bound that is too large to find mistakes, as of a long loop.

    In half precision, differences cannot be told from its rounding either.
    """
    precision = Precision.of(call.precision)
    return call.precision in ("float32", "float64") and f.bound * precision.unit > LOOSE


def held_to_differences(f: Finding, call: Call, step: Step, want: NDArray) -> Finding:
    """The finding of a gradient inside a loose bound: wrong if differences along lines say so."""
    position = _position(f, step)
    got = call.inputs[position].gradient
    if call.evaluate is None or got is None:
        return f
    seeds = seeds_of_lines(call, position, got, want)
    slopes = [slope(call, position, got, want, seed) for seed in seeds]
    known = [s for s in slopes if s is not None]
    for s in known:
        if s.settled and abs(s.measured - s.got) > WRONG * s.size:
            if len(known) < LINES or is_rough(call, position, known):
                return f
            note = WRONG_ALONG.format(s.got, s.measured)
            return replace(f, verdict=Verdict.MISMATCH, outside=want.size, note=note)
    return f


def where_it_is(f: Finding, call: Call, step: Step, want: NDArray) -> Finding:
    """The finding of a wrong gradient that nothing explains, with the inputs it is wrong at."""
    position = _position(f, step)
    got = call.inputs[position].gradient
    if got is None:
        return f
    said = where_its_input_is(call, position, np.asarray(got, np.float64), want)
    return replace(f, note=said or f.note)


def is_not_finite_at_kink(f: Finding) -> bool:
    """Whether a gradient is NaN or infinite where the function has no derivative."""
    return f.verdict is Verdict.MISMATCH and f.note.startswith(NOT_FINITE.partition("{")[0])


def _position(f: Finding, step: Step) -> int:
    """The position of the input that a gradient belongs to."""
    i = step.edges.index(Edge(f.quantity.name, f.quantity.target or step.name))
    return int(step.inputs[i][1:])


def _undecided(f: Finding, why: str) -> Finding:
    return replace(f, verdict=Verdict.INCONCLUSIVE, note=ROUGH.format(why))


def _at_kink(
    f: Finding, call: Call, position: int, got: NDArray, want: NDArray, error: NDArray
) -> Finding:
    """A gradient where the function is not smooth: held to the slopes near by.

    A valid gradient lies, element by element, between the smallest and the largest slope near by;
    and along a line on which the slope is the same all around, it has that slope.  It is no farther
    from the formula, which is one of these, than they are from each other.
    """
    slopes: list[float] | None
    unit = Precision.of(call.precision).unit
    tol, noise = max(WRONG, 16 * unit), noise_near(call, position)
    finite = np.isfinite(got) & np.isfinite(want)
    apart = np.where(finite, np.abs(got - want), np.inf)
    both = ~np.isfinite(got) & ~np.isfinite(want)
    apart = np.where((got == want) | both, 0.0, apart).ravel()
    # Another derivation may round more often than the formula.
    room = FORMS * np.where(np.isfinite(error), error, 0.0).ravel()
    room = room + max(1e-6, FORMS * unit) * np.where(np.isfinite(want), np.abs(want), 0.0).ravel()
    scale = float(np.abs(got[np.isfinite(got)]).max(initial=0.0))
    tested = [i for i in np.argsort(-apart) if apart[i] > min(1e-6 * scale, room[i])]
    for i in tested[:TESTED]:
        one = np.zeros(got.size)
        one[i] = 1.0
        at = [int(k) for k in np.unravel_index(i, got.shape)]
        given, formula = float(got.ravel()[i]), float(want.ravel()[i])
        size = 0.0 if math.isfinite(given) else scale
        slopes = slopes_near(call, position, one.reshape(got.shape), size)
        if slopes is None:
            return _undecided(f, "it is not smooth here")
        low, high = min(slopes), max(slopes)
        if not math.isfinite(given):
            smooth = high - low <= KINK * max(scale, abs(low), abs(high))
            said = SMOOTH.format(at, given, slopes[0]) if smooth else NOT_FINITE.format(at, given)
            return replace(f, verdict=Verdict.MISMATCH, note=said)
        near = tol * max(abs(low), abs(high), abs(given)) + noise
        if not low - near <= given <= high + near:
            said = OUTSIDE.format(at, given, low, high)
            return replace(f, verdict=Verdict.MISMATCH, note=said)
        decided = low - near <= formula <= high + near
        if decided and abs(given - formula) > high - low + room[i]:
            said = NO_CHOICE.format(at, given, formula)
            return replace(f, verdict=Verdict.MISMATCH, note=said)
    for line in _lines(tested[:TESTED], got.shape):
        slopes = slopes_near(call, position, line)
        given = float((got * line).sum())
        size = float((np.abs(got) * line).sum()) or 1.0
        if slopes is None or max(slopes) - min(slopes) > tol / 10 * size:
            continue  # not the same all around
        if abs(given - slopes[0]) > tol * max(size, abs(slopes[0])):
            told = TOGETHER.format(int(line.sum()), given, slopes[0])
            return replace(f, verdict=Verdict.MISMATCH, note=told)
    if both.any():
        return _undecided(f, "neither is finite here")
    if len(tested) > TESTED:
        return _undecided(f, "it is not smooth at many elements")
    return replace(f, verdict=Verdict.SUBGRADIENT, outside=0, note=CHOICE)


def _lines(elements: Sequence[Any], shape: tuple[int, ...]) -> Iterator[NDArray]:
    """All elements together, and the elements along each axis through the worst one."""
    yield np.ones(shape)
    for i in elements[:2]:
        index = np.unravel_index(i, shape)
        for axis in range(len(shape)):
            line = np.zeros(shape)
            line[(*index[:axis], slice(None), *index[axis + 1 :])] = 1.0
            yield line
