"""Functions with a backward pass of their own, where it is not the derivative of their ops.

The ops of a forward pass that searches or iterates are the wrong thing to differentiate, so the
function itself is asked: its values at points on a line, in float64.  A function that is meant to
have another gradient, such as a straight-through estimator, is recognised by what it returned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.calls import Call
from ...core.network.nodes import Edge, Step
from ..explain.allowed import Alternative, as_convention
from ..findings.finding import Finding, Verdict

__all__ = ["of_function"]

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
    i = step.edges.index(Edge(f.quantity.name, f.quantity.target or step.name))
    position = int(step.inputs[i][1:])
    got = call.inputs[position].gradient
    got = np.zeros(want.shape) if got is None else got
    named = [*_meant(call, position, np.asarray(got, np.float64))]
    if named:
        return as_convention(replace(f, verdict=Verdict.MISMATCH), named, allow)
    if call.evaluate is None:
        return _undecided(f, "it cannot be evaluated by itself")
    slopes = [_slope(call, position, got, want, seed) for seed in range(LINES)]
    known = [slope for slope in slopes if slope is not None]
    if len(known) < LINES:
        return _undecided(f, "it does not run in float64")
    if not all(slope.settled for slope in known):
        return _undecided(f, "it is not smooth here")
    if all(_is(s.measured, s.want, s.size) for s in known):
        return f  # the ops say what the function does, and its backward is something else
    if all(_is(s.measured, s.got, s.size) for s in known):
        return replace(f, verdict=Verdict.ROUNDING, outside=0, note=RIGHT.format(LINES))
    s = max(known, key=lambda s: abs(s.measured - s.got) / s.size)
    if abs(s.measured - s.got) > WRONG * s.size:
        return replace(f, note=WRONG_ALONG.format(s.got, s.measured))
    return _undecided(f, "they agree with neither")


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
    return Slope(measured, a, b, scale, settled)


def _meant(call: Call, position: int, got: NDArray) -> Iterator[Alternative]:
    """What a gradient is that a user has meant to be another than the derivative."""
    arrived = [np.asarray(dz, np.float64) for dz in call.dz if dz is not None]
    if len(arrived) != 1 or arrived[0].shape != got.shape or not np.any(arrived[0]):
        return
    (dz,), y = arrived, call.inputs[position].array
    identity = call.z[0] is not None and np.array_equal(np.asarray(call.z[0]), y)
    if np.array_equal(got, dz):
        said = "the gradient passes as if the function was the identity (straight-through)"
        yield Alternative("straight-through", None, said)
    if not identity:
        return
    at = np.abs(dz) > 0
    factors = got[at] / dz[at]
    factor = float(np.median(factors))
    if factor and np.allclose(factors, factor, rtol=1e-5) and not np.any(got[~at]):
        if factor < 0:
            said = f"the gradient is reversed: it is multiplied by {factor:.6g}"
            yield Alternative("gradient-reversal", -factor, said)
        else:
            yield Alternative(
                "gradient-scale", factor, f"the gradient is multiplied by {factor:.6g}"
            )
    largest = float(np.abs(got).max())
    clipped = np.abs(dz) > largest
    if largest and clipped.any() and np.array_equal(got, np.clip(dz, -largest, largest)):
        yield Alternative("gradient-clipping", largest, f"the gradient is clipped to {largest:.6g}")
