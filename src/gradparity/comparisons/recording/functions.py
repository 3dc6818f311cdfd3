"""Functions with a backward pass of their own, where it is not the derivative of their ops.

The ops of a forward pass that searches or iterates are the wrong thing to differentiate, so the
function itself is asked: its values at points on a line, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.precision import Precision
from ...core.formulas.op import Op
from ...core.network.backprop import backward_pass, forward_pass
from ...core.network.calls import Call
from ...core.network.composed import Composed
from ...core.network.nodes import Edge, Step
from ..explain.allowed import as_convention, is_allowed
from ..findings.finding import Finding, Verdict
from .meant import SURROGATE, declared, is_piecewise_constant, meant

__all__ = ["held_to_differences", "is_loose", "of_function"]

#: A bound that is this large, relative to the gradient, says little: differences say more.
LOOSE = 0.01

#: Lines that a function is evaluated along.
LINES = 3
#: Relative width of a step: the third power of the error of a central difference is of this size.
STEP = 1e-4
#: Differences that agree to this with each other say what the derivative is.
AGREE = 1e-5

#: A derivative along a line that is off by this is wrong, whatever the ops say.
WRONG = 1e-3

WRONG_ALONG = "along a line its gradient gives {:.6g}, and differences of its values {:.6g}"
RIGHT = "not the derivative of its ops, but of the function, as differences along {} lines show"
ROUGH = "not the derivative of its ops, and differences along a line do not settle it: {}"


OUTSIDE = (
    "at a kink: at {} its gradient is {:.6g}, and the slopes of the function near by are from "
    "{:.6g} to {:.6g}"
)
TOGETHER = "at a kink: the gradients of {} elements together are {:.6g}, and the slope is {:.6g}"
CHOICE = "another choice at a kink than that of its ops, between the slopes near by"
#: At most so many elements are held to the slopes near by.
TESTED = 16
#: Relative distance of points that are near a kink, and how many of them are tried.
NEAR, PLACES = 1e-5, 6


class Slope(NamedTuple):
    """The derivative along a line: by differences, by the function's backward, and by its ops."""

    measured: float
    got: float
    want: float
    size: float
    settled: bool


def of_function(f: Finding, call: Call, step: Step, want: NDArray, allow: Sequence[str]) -> Finding:
    """The finding of a gradient that a function returned, and that is not that of its ops.

    Parameters
    ----------
    f : the mismatch.
    want : the gradient through the ops of its forward pass.
    """
    found = _held_to_function(f, call, step, want, allow)
    own = declared(call)
    meant = found.parity is not True and is_allowed(own, allow)
    return as_convention(found, [own], allow) if meant else found


def _held_to_function(
    f: Finding, call: Call, step: Step, want: NDArray, allow: Sequence[str]
) -> Finding:
    position = _position(f, step)
    got = call.inputs[position].gradient
    got = np.zeros(want.shape) if got is None else got
    named = [*meant(call, position, np.asarray(got, np.float64))] if f.outside else []
    if named:
        return as_convention(replace(f, verdict=Verdict.MISMATCH), named, allow)
    if call.evaluate is None:
        return _undecided(f, "it cannot be evaluated by itself")
    slopes = [_slope(call, position, got, want, seed) for seed in range(LINES)]
    known = [slope for slope in slopes if slope is not None]
    if len(known) < LINES:
        return _undecided(f, "it does not run in float64")
    if not all(slope.settled for slope in known):
        found = _at_kink(f, call, position, np.asarray(got, np.float64), want)
        outside = f.verdict is Verdict.MISMATCH and f.kinks is not None  # of the valid choices
        return f if outside and found.verdict is Verdict.INCONCLUSIVE else found
    if not np.any(want) and is_piecewise_constant(call, position):
        return as_convention(replace(f, verdict=Verdict.MISMATCH), [SURROGATE], allow)
    if all(_is(s.measured, s.want, s.size) for s in known):
        # The ops say what the function does, and its backward is something else.
        return replace(f, note=f.note or _lost_path(call, position, np.asarray(got, np.float64)))
    if all(_is(s.measured, s.got, s.size) for s in known):
        return replace(f, verdict=Verdict.ROUNDING, outside=0, note=RIGHT.format(LINES))
    s = max(known, key=lambda s: abs(s.measured - s.got) / s.size)
    if abs(s.measured - s.got) > WRONG * s.size:
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
    slopes = [_slope(call, position, got, want, seed) for seed in range(LINES)]
    for s in slopes:
        if s is not None and s.settled and abs(s.measured - s.got) > WRONG * s.size:
            note = WRONG_ALONG.format(s.got, s.measured)
            return replace(f, verdict=Verdict.MISMATCH, outside=want.size, note=note)
    return f


def _position(f: Finding, step: Step) -> int:
    """Which input of the call a gradient is by."""
    i = step.edges.index(Edge(f.quantity.name, f.quantity.target or step.name))
    return int(step.inputs[i][1:])


def _lost_path(call: Call, position: int, got: NDArray) -> str:
    """Name the use of an input whose share of the gradient is left out, if that is what is wrong.

    The gradient by a value is the sum over its uses, at every value on the way.
    """
    if not isinstance(call.op, Composed):
        return ""
    network = call.op.network
    y = [np.asarray(o.array) for o in call.inputs]
    wide = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in y]
    passed = forward_pass(network, dict(zip(network.inputs, wide, strict=True)))
    zeros = (np.zeros_like(passed.value[name]) for name in call.op.gives)
    given = zip(call.op.gives, call.dz, zeros, strict=True)
    start = {name: zero if dz is None else np.asarray(dz, np.float64) for name, dz, zero in given}
    name, size = network.inputs[position], float(np.abs(got).max(initial=0.0))
    near = 1e-4 if call.precision == "float32" else 1e-9
    for step in network.body:
        for edge in step.edges:
            if edge is None or len(network.consumers(edge.source)) < 2:
                continue
            cut = _Cut(step.op, step.edges.index(edge))
            grad = backward_pass(passed, {step.name: cut}, start=start).grad[name]
            if np.abs(grad - got).max(initial=0.0) <= near * size:
                what = "the input" if edge.source in network.inputs else "a value"
                return f"the term through {step.op.name} is left out: one of the uses of {what}"
    return ""


class _Cut(Op):
    """An op whose gradient by one input is zero."""

    def __init__(self, op: Op, position: int) -> None:
        self.op, self.position = op, position

    def vjp(self, dz: Any, y: tuple[Any, ...], z: Any) -> tuple[Any, ...]:
        found = list(self.op.vjp(dz, y, z))
        own = found[self.position]
        found[self.position] = None if own is None else np.zeros_like(own)
        return tuple(found)


def _undecided(f: Finding, why: str) -> Finding:
    return replace(f, verdict=Verdict.INCONCLUSIVE, note=ROUGH.format(why))


def _is(measured: float, other: float, size: float) -> bool:
    return abs(measured - other) <= 10 * AGREE * size


def _slope(call: Call, position: int, got: NDArray, want: NDArray, seed: int) -> Slope | None:
    """The derivative along a random line through one input."""
    assert call.evaluate is not None
    arrays = [np.asarray(o.array) for o in call.inputs]
    y = np.asarray(arrays[position], np.float64)
    direction = np.random.default_rng(seed).choice([-1.0, 1.0], y.shape)
    size = max(1.0, float(np.abs(y[np.isfinite(y)]).max(initial=0.0)))

    def along(h: float) -> float | None:
        values = []
        for sign in (1.0, -1.0):
            moved = [*arrays[:position], y + sign * h * direction, *arrays[position + 1 :]]
            out = call.evaluate(moved) if call.evaluate is not None else None
            if out is None:
                return None
            pairs = zip(out, call.dz, strict=True)
            values.append(sum(float((z * dz).sum()) for z, dz in pairs if dz is not None))
        return (values[0] - values[1]) / (2 * h)

    found = [along(STEP * size / 2**k) for k in range(3)]
    if any(d is None for d in found):
        return None
    coarse, middle, fine = (float(d) for d in found if d is not None)
    measured = (4 * fine - middle) / 3
    before = (4 * middle - coarse) / 3
    a, b = (float((g * direction).sum()) for g in (got, want))
    scale = float(np.abs(want).sum() + np.abs(got).sum()) / 2 or 1.0
    settled = math.isfinite(measured) and abs(measured - before) <= AGREE * scale
    settled = settled and not _bends(call, position, direction, STEP * size, scale)
    return Slope(measured, a, b, scale, settled)


def _loss(call: Call, position: int, y: NDArray) -> float:
    """What a function returns for another value of one input, times the gradients that arrived."""
    assert call.evaluate is not None
    arrays = [np.asarray(o.array) for o in call.inputs]
    out = call.evaluate([*arrays[:position], y, *arrays[position + 1 :]])
    if out is None:
        return math.nan
    pairs = zip(out, call.dz, strict=True)
    return sum(float((z * dz).sum()) for z, dz in pairs if dz is not None)


def _bends(call: Call, position: int, direction: NDArray, h: float, scale: float) -> bool:
    """Whether the slopes on the two sides differ, however near."""
    y = np.asarray(call.inputs[position].array, np.float64)
    at = _loss(call, position, y)

    def gap(h: float) -> float:
        both = [_loss(call, position, y + s * h * direction) for s in (1.0, -1.0)]
        return abs(both[0] - at + (both[1] - at)) / h

    wide, near = gap(h), gap(h / 4)
    return not (near <= 10 * AGREE * scale or near <= 0.75 * wide)


def _at_kink(f: Finding, call: Call, position: int, got: NDArray, want: NDArray) -> Finding:
    """A gradient where the function is not smooth: held to the slopes near by.

    A valid gradient lies, element by element, between the smallest and the largest slope near by;
    and along a line on which the slope is the same all around, it has that slope.
    """
    slopes: list[float] | None
    tol = max(WRONG, 16 * Precision.of(call.precision).unit)
    apart = np.where(np.isfinite(got) & np.isfinite(want), np.abs(got - want), np.inf)
    both = ~np.isfinite(got) & ~np.isfinite(want)
    apart = np.where((got == want) | both, 0.0, apart).ravel()
    scale = float(np.abs(got[np.isfinite(got)]).max(initial=0.0))
    tested = [i for i in np.argsort(-apart) if apart[i] > 1e-6 * scale or apart[i] == np.inf]
    for i in tested[:TESTED]:
        one = np.zeros(got.size)
        one[i] = 1.0
        at = [int(k) for k in np.unravel_index(i, got.shape)]
        given = float(got.ravel()[i])
        slopes = _slopes(call, position, one.reshape(got.shape))
        if slopes is None:
            return _undecided(f, "it is not smooth here")
        low, high = min(slopes), max(slopes)
        room = tol * max(abs(low), abs(high), abs(given) if math.isfinite(given) else 1.0)
        if not low - room <= given <= high + room:
            said = OUTSIDE.format(at, given, low, high)
            return replace(f, verdict=Verdict.MISMATCH, note=said)
    for line in _lines(tested[:TESTED], got.shape):
        slopes = _slopes(call, position, line)
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


def _slopes(call: Call, position: int, direction: NDArray) -> list[float] | None:
    """Slopes along a direction on both sides of a point and near it; None if they do not settle."""
    y = np.asarray(call.inputs[position].array, np.float64)
    size = max(1.0, float(np.abs(y[np.isfinite(y)]).max(initial=0.0)))
    rng, found = np.random.default_rng(0), list[tuple[float, float]]()
    places = [y + NEAR * size * rng.uniform(-1, 1, y.shape) for _ in range(PLACES)]
    at = _loss(call, position, y)
    for sign in (1.0, -1.0):
        h = sign * NEAR * size
        two = [(_loss(call, position, y + k * direction) - at) / k for k in (h, h / 4)]
        found.append((two[0], two[1]))
    for near in places:
        h = NEAR / 1000 * size
        sides = [_loss(call, position, near + k * direction) for k in (h, -h, h / 4, -h / 4)]
        found.append(((sides[0] - sides[1]) / (2 * h), (sides[2] - sides[3]) / (h / 2)))
    scale = max((abs(a) for a, _ in found), default=0.0) or 1.0
    settled = [abs(a - b) <= 1e-3 * scale for a, b in found]  # false for nan too
    if not all(settled[:2]) or sum(settled[2:]) < PLACES / 2:
        return None
    return [b for (_, b), yes in zip(found, settled, strict=True) if yes]


def _lines(elements: Sequence[Any], shape: tuple[int, ...]) -> Iterator[NDArray]:
    """All elements together, and the elements along each axis through the worst one."""
    yield np.ones(shape)
    for i in elements[:2]:
        index = np.unravel_index(i, shape)
        for axis in range(len(shape)):
            line = np.zeros(shape)
            line[(*index[:axis], slice(None), *index[axis + 1 :])] = 1.0
            yield line
