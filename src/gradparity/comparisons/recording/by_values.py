"""An op without a formula: its gradients are held to differences of its values along lines.

Its values themselves are not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.precision import Precision
from ...core.network.calls import Call
from ...core.network.quantity import Quantity
from ..explain.allowed import as_convention, is_allowed
from ..findings.finding import Finding, Verdict
from .lines import (
    AGREE,
    LINES,
    STEP,
    Slope,
    finer_slopes,
    is_rough,
    slope,
    slopes_of_elements,
    typical_slope,
)
from .meant import declared, is_piecewise_constant, of_steps

__all__ = ["findings_by_values"]

#: What is said of a gradient that is zero.
STEPS = "the function is constant around every point, and its gradient is zero"
#: What is said of one that differences do not confirm.
WRONG = "along a line the gradient gives {:.6g}, and differences of the values {:.6g}"
AT = "at {} the gradient is {:.6g}, and differences of the values give {:.6g}"
#: Why an op is not judged after all.
OTHER = "evaluated again in float64 it gives other values, off by {:.2g}"
ROUGH = "differences of its values do not settle its gradient"
ABSENT = "it cannot be evaluated by itself in float64"
#: A derivative along a line that is off by this part is wrong, if the op is well-conditioned.
OFF = 1e-3
#: Roundings that a gradient may have.
ROUNDINGS = 64
#: Values that differ by more when the op is evaluated again are those of another function.
SAME = 0.05


def findings_by_values(call: Call, allow: Sequence[str]) -> list[Finding] | str:
    """The verdict on the gradient through every input that was asked for; or why there is none."""
    assert call.evaluate is not None
    again = call.evaluate([np.asarray(o.array) for o in call.inputs])
    if again is None:
        return ABSENT
    apart = _apart(call, again)
    if not apart <= SAME:
        return OTHER.format(apart)
    found = []
    for position, operand in enumerate(call.inputs):
        if operand.asked and operand.source and np.asarray(operand.array).dtype.kind == "f":
            verdict = _of_input(call, position, apart, allow)
            if isinstance(verdict, str):
                return verdict
            found.append(verdict)
    return found


def _apart(call: Call, again: Sequence[NDArray]) -> float:
    """The largest difference from the values in float64, relative; NaN for other shapes.

    Those alone count that a gradient arrived at.
    """
    worst = 0.0
    for z, wide, dz in zip(call.z, again, call.dz, strict=True):
        if z is None or dz is None:
            continue
        got, want = np.asarray(z, np.float64), np.asarray(wide, np.float64)
        if got.shape != want.shape or not np.array_equal(np.isfinite(got), np.isfinite(want)):
            return float("nan")
        finite = np.isfinite(want) & (np.asarray(dz) != 0.0)  # the others may be anything
        size = float(np.abs(want[finite]).max(initial=0.0)) or 1.0
        worst = max(worst, float(np.abs(got - want)[finite].max(initial=0.0)) / size)
    return worst


def _of_input(call: Call, position: int, apart: float, allow: Sequence[str]) -> Finding | str:
    """The finding of one gradient; or why it cannot be decided.

    What the values lose by rounding, the gradient may lose many times.
    """
    operand, node = call.inputs[position], call.place.node
    array = np.asarray(operand.array, np.float64)
    got = np.zeros(array.shape) if operand.gradient is None else np.asarray(operand.gradient)
    got = got.astype(np.float64)
    room = max(10 * AGREE, ROUNDINGS * Precision.of(call.precision).unit, 30 * apart)
    for within in _structures(array):
        known = _along(call, position, got, within)
        if _are_right(known, room):
            break
    if len(known) < LINES:
        return ABSENT
    q = Quantity.through(operand.source, node)
    f = Finding(q, node, repr(call.op), Verdict.ROUNDING, got.size)
    if _are_right(known, room):
        vacuous = not np.any(got) and all(s.measured == 0.0 for s in known)
        if vacuous:
            return replace(f, verdict=Verdict.VACUOUS)
        return f if within is not None else _of_elements(f, call, position, got, room)
    wrong = replace(f, verdict=Verdict.MISMATCH, outside=got.size)
    if call.is_function and is_allowed(declared(call), allow):
        return as_convention(wrong, [declared(call)], allow)
    if is_piecewise_constant(call, position):
        if not np.any(got):
            return replace(f, verdict=Verdict.VACUOUS, note=STEPS)
        return as_convention(wrong, [of_steps(call, position, got)], allow)
    smooth = all(s.settled for s in known) and not is_rough(call, position, known, within)
    if not smooth:
        finer = finer_slopes(call, position, got, None, range(LINES))
        if finer is None:
            return ROUGH
        if _are_right(finer, room):
            return _of_elements(f, call, position, got, room)
        known, within = finer, None
    lost = ROUNDINGS * Precision.of(call.precision).unit * typical_slope(call, position, within)
    if smooth and all(abs(s.measured - s.got) <= lost for s in known):
        return f
    worst = max(known, key=_off)
    if _off(worst) <= max(OFF, 10 * room):
        return ROUGH
    return replace(wrong, note=WRONG.format(worst.got, worst.measured))


def _of_elements(f: Finding, call: Call, position: int, got: NDArray, room: float) -> Finding:
    """The finding of a gradient that is right along lines, where a small element may be wrong."""
    wrong = [
        (at, s)
        for at, s in slopes_of_elements(call, position, got)
        if _off(s) > max(OFF, 10 * room)
        and abs(s.measured - s.got) > ROUNDINGS * _rounded(call, position, at)
    ]
    if not wrong:
        return f
    at, s = max(wrong, key=lambda each: _off(each[1]))
    note = AT.format([*at], s.got, s.measured)
    return replace(f, verdict=Verdict.MISMATCH, outside=len(wrong), note=note)


def _rounded(call: Call, position: int, at: tuple[int, ...]) -> float:
    """Bound on the error of a measured derivative by one element, due to rounded values.

    The values change at random where the inputs change in their last digit.  Those outputs alone
    count that depend on the element; their differences are divided by the step.
    """
    assert call.evaluate is not None
    arrays = [np.asarray(o.array) for o in call.inputs]
    moved = np.array(arrays[position], np.float64)
    size = abs(float(moved[at])) or 1.0
    moved[at] += STEP * size
    here = call.evaluate(arrays)
    there = call.evaluate([moved if i == position else a for i, a in enumerate(arrays)])
    found = 0.0
    for unit, step in ((float(np.finfo(np.float64).eps), STEP),
                       (Precision.of(call.precision).unit, 1.0)):  # fmt: skip
        for seed in range(LINES):
            rng = np.random.default_rng(seed)
            near = call.evaluate([_last_digit(a, unit, rng) for a in arrays])
            if here is None or there is None or near is None:
                return 0.0
            off = sum(
                float(np.abs((n - h) * (t != h) * dz).sum())
                for n, h, t, dz in zip(near, here, there, call.dz, strict=True)
                if dz is not None
            )
            found = max(found, off / (step * size))
    return found if np.isfinite(found) else 0.0


def _last_digit(a: NDArray, unit: float, rng: np.random.Generator) -> NDArray:
    return a * (1.0 + unit * rng.choice([-1.0, 1.0], a.shape)) if a.dtype.kind == "f" else a


def _along(call: Call, position: int, got: NDArray, within: Any) -> list[Slope]:
    each = (slope(call, position, got, None, seed, within=within) for seed in range(LINES))
    return [s for s in each if s is not None]


def _structures(a: NDArray) -> list[Any]:
    """The directions to try: any, then those that keep the structure of the input.

    A function of symmetric or of triangular matrices may read one half of them.
    """
    found: list[Any] = [None]
    if a.ndim > 1 and a.shape[-1] == a.shape[-2] > 1:
        both: dict[Any, NDArray] = {_symmetric: a.mT, np.tril: np.tril(a), np.triu: np.triu(a)}
        found += [within for within, same in both.items() if np.array_equal(a, same)]
    return found


def _symmetric(direction: NDArray) -> NDArray:
    return (direction + direction.mT) / 2


def _are_right(known: Sequence[Slope], room: float) -> bool:
    return len(known) == LINES and all(s.settled and _off(s) <= room for s in known)


def _off(s: Slope) -> float:
    return abs(s.measured - s.got) / s.size
