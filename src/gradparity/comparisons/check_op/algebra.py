"""Laws that hold for every op: zero, linearity in dz, independence of samples.

Two results that must be equal may differ by the formulas' bounds of both: a matrix product of fewer
rows may be summed in another order.  The laws hold at kinks and ties too: any valid choice is right
there, if it depends on the sample alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.quantity import Quantity
from ..findings.finding import Finding
from .calling import Outcome
from .compared import FEW, compared
from .points import PARTS
from .setting import Setting
from .task import Task, both, by_name, everywhere

__all__ = ["CHECKS"]


@everywhere
def zero_cotangent(task: Task, setting: Setting) -> Iterator[Finding]:
    """backward(0) is 0."""
    outcome = task.pair.run(setting.with_dz(np.zeros_like(setting.dz)))
    yield from outcome.problems
    note = (
        "backward(0) gives {got} at {at}, not 0; does it leave dz out, or add something that does "
        "not depend on it (weight decay)?"
    )
    for name, got in outcome.results.items():
        if name.is_gradient and not _decays(task, name):
            yield compared(setting, name, np.zeros_like(got), got, None, note, zero=True)


#: Powers of two scale every float operation exactly; large and small ones reveal clipping.
FACTORS = {"-": -1.0, "2 ": 2.0, "2^30 ": 2.0**30, "2^-30 ": 2.0**-30}
#: A format with a smaller largest number overflows or underflows under the last two factors.
NARROW = 2.0**60


@everywhere
def linearity(task: Task, setting: Setting) -> Iterator[Finding]:
    """backward(c dz) = c backward(dz), and backward(dz + dz') = backward(dz) + backward(dz')."""
    one = task.pair.run(setting)
    yield from one.problems
    wide = task.precision.largest > NARROW
    for label, factor in FACTORS.items():
        if wide or abs(factor) in (1, 2):
            yield from _scaled(task, setting, one, label, factor)
    yield from _additive(task, setting)


def _scaled(task: Task, setting: Setting, one: Outcome, label: str, c: float) -> Iterator[Finding]:
    scaled = setting.with_dz((c * setting.dz).astype(setting.dz.dtype))
    bounds, outcome = scaled.bounds(task.plain), task.pair.run(scaled)
    yield from outcome.problems
    note = f"backward({label}dz) is not {label}backward(dz) at {{at}}: {{got}} and {{want}}"

    def hint(want: NDArray, got: NDArray) -> str:
        off = got != want
        if c < 0:
            if np.all((got == 0) | (want == 0) | ~off):
                return "; it treats negative cotangents differently (guided backprop?)"
            return "; it does not follow the sign of dz"
        if np.all(np.abs(got[off]) <= np.abs(want[off])) and c > 1:
            return "; is the gradient clipped or normalised?"
        return "; it is not proportional to dz"

    for name, a, b in both(one, outcome):
        if name.is_gradient and not _decays(task, name):
            want = c * a.astype(np.float64)
            allowed = 2 * bounds[name].full_error() + _rounding(task, want)
            yield compared(scaled, name, want, b, allowed, note, hint=hint)


#: Roundings of the largest element that may be left where terms cancel to nothing.
CANCELLED = 16.0


def _rounding(task: Task, want: NDArray) -> float:
    """Some roundings of the largest element: what is left where the gradient itself is 0."""
    return float(CANCELLED * task.precision.unit * np.abs(want).max(initial=0.0))


#: The cotangents to add are multiples of this, so their sum is exact in every format.
GRID = 2.0**-5


def _additive(task: Task, setting: Setting) -> Iterator[Finding]:
    rng = np.random.default_rng((task.points.seed, 3))
    shape, dtype = setting.dz.shape, setting.dz.dtype
    ours, more = (
        rng.choice([-1.0, 1.0], shape) * np.round(rng.uniform(0.5, 1.5, shape) / GRID) * GRID
        for _ in range(2)
    )
    setting, other = (setting.with_dz(dz.astype(dtype)) for dz in (ours, more))
    summed = setting.with_dz(setting.dz + other.dz)
    one = task.pair.run(setting)
    runs = [task.pair.run(s) for s in (other, summed)]
    yield from (problem for run in (one, *runs) for problem in run.problems)
    bounds = [s.bounds(task.plain) for s in (setting, other, summed)]
    note = (
        "backward(dz + dz') is {got} at {at}, backward(dz) + backward(dz') {want}; backward must "
        "be linear in dz"
    )
    for name, a, b in both(one, runs[0]):
        got = runs[1].results.get(name)
        if got is not None and name.is_gradient and not _decays(task, name):
            want = a.astype(np.float64) + b
            # The summands may cancel, and a different choice at a kink is rounded differently.
            few = FEW * task.precision.unit * (np.abs(a) + np.abs(b)) + _rounding(task, want)
            allowed = few + sum(bound[name].full_error() for bound in bounds)
            yield compared(summed, name, want, got, allowed, note)


@everywhere
def batch_split(task: Task, setting: Setting) -> Iterator[Finding]:
    """A sample's z and dy do not depend on the others; parameters' gradients add up."""
    parts = [setting.rows(rows) for rows in PARTS]
    whole, runs = task.pair.run(setting), [task.pair.run(part) for part in parts]
    yield from [*whole.problems, *(p for run in runs for p in run.problems)]
    bounds, own = setting.bounds(task.plain), [part.bounds(task.plain) for part in parts]
    for name, got in whole.results.items():
        pieces = [run.results.get(name) for run in runs]
        if any(piece is None for piece in pieces) or _decays(task, name):
            continue
        errors = [bound[name].full_error() for bound in own]
        summed = name.is_gradient_by(setting.step.parameters)
        put: Any = partial(np.sum, axis=0) if summed else np.concatenate
        want = put([piece.astype(np.float64) for piece in pieces if piece is not None])
        allowed = bounds[name].full_error() + put(errors)
        if summed and "mean" in task.allow:
            sizes = [part.case.T for part in parts]
            pairs = zip(sizes, pieces, strict=True)
            weighted = np.stack([n * np.asarray(g, np.float64) for n, g in pairs]).sum(0)
            weighted = weighted / setting.case.T
            if np.all(np.abs(weighted - got) <= allowed):
                want = weighted
        if summed:
            yield compared(setting, name, want, got, allowed, NOT_SUMMED, hint=_hint_divided)
        else:
            yield compared(setting, name, want, got, allowed, NOT_ALONE)


NOT_ALONE = (
    "a sample gives {want} at {at} in a smaller batch, {got} in the whole one; samples must not "
    "influence each other (a sum, mean or max over the wrong axis?)"
)
NOT_SUMMED = (
    "over the whole batch it is {got} at {at}, the sum over its parts {want}; the gradient of a "
    "parameter is the sum over samples"
)


def _hint_divided(want: NDArray, got: NDArray) -> str:
    smaller = np.abs(got) < np.abs(want)
    return " (is it divided by their number?)" if smaller.mean() > 0.5 else ""


@everywhere
def permutation(task: Task, setting: Setting) -> Iterator[Finding]:
    """In another order, each sample has the same results, and parameters the same gradients."""
    order = np.random.default_rng((task.points.seed, 4)).permutation(setting.case.T)
    order = order if np.any(order != np.arange(len(order))) else order[::-1]
    turned = setting.rows(order)
    first, second = task.pair.run(setting), task.pair.run(turned)
    yield from [*first.problems, *second.problems]
    bounds = setting.bounds(task.plain), turned.bounds(task.plain)
    note = (
        "with the samples in another order it is {got} at {at} and not {want}; it depends on a "
        "sample's position in the batch"
    )
    for name, a, b in both(first, second):
        summed = name.is_gradient_by(setting.step.parameters)
        errors = bounds[0][name].full_error(), bounds[1][name].full_error()
        if summed:
            yield compared(setting, name, a, b, errors[0] + errors[1], note)
        else:
            yield compared(turned, name, a[order], b, errors[0][order] + errors[1], note)


def _decays(task: Task, name: Quantity) -> bool:
    """Whether an allowed weight decay adds a multiple of the parameter to this gradient."""
    parameter = name.is_gradient_by(task.points.op.parameter_shapes())
    return parameter and any(e.startswith("weight-decay") for e in task.allow)


#: The checks in the order in which they are run.
CHECKS = by_name(zero_cotangent, linearity, batch_split, permutation)
