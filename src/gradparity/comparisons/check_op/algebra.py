"""Laws that hold for every op: zero, linearity in dz, independence of samples.

Two results that are to be equal may differ by what the formulas' bounds allow each of them: a
matrix product of fewer rows may be summed in another order.  All of it holds at kinks and ties too:
any valid choice is right there, if it depends on the instance alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray
from ...core.network.quantity import Quantity
from ..findings.finding import Finding
from .calling import Outcome
from .compared import FEW, compared
from .points import PARTS
from .setting import Setting
from .task import Task, both, everywhere

__all__ = ["CHECKS"]


@everywhere
def zero_cotangent(task: Task, setting: Setting) -> Iterator[Finding]:
    """backward(0) is 0."""
    outcome = task.pair.run(setting.with_dz(np.zeros_like(setting.dz)))
    yield from outcome.problems

    def why(name: str, zero: NDArray, got: NDArray, at: tuple[int, ...]) -> str:
        return (
            f"backward(0) gives {got[at]:.6g} at {list(at)}, not 0; does it leave dz out, or add "
            "something that does not depend on it (weight decay)?"
        )

    for name, got in outcome.results.items():
        if name.is_gradient and not _decays(task, name):
            zero = np.zeros_like(got)
            yield compared(setting, name, zero, got, zero, why, same_bits=True, zero=True)


#: Powers of two scale every float operation exactly; large and small ones show what is clipped.
FACTORS = {"-": -1.0, "2 ": 2.0, "2^30 ": 2.0**30, "2^-30 ": 2.0**-30}
#: A format that overflows or underflows when it is scaled by the last two.
NARROW = 2.0**60


@everywhere
def linearity(task: Task, setting: Setting) -> Iterator[Finding]:
    """backward(c dz) = c backward(dz), and backward(dz + dz') = backward(dz) + backward(dz')."""
    one = task.pair.run(setting)
    yield from one.problems
    wide = task.precision.largest > NARROW
    for label, factor in FACTORS.items():
        if not wide and abs(factor) not in (1, 2):
            continue
        yield from _scaled(task, setting, one, label, factor)
    yield from _additive(task, setting)


def _scaled(task: Task, setting: Setting, one: Outcome, label: str, c: float) -> Iterator[Finding]:
    scaled = setting.with_dz((c * setting.dz).astype(setting.dz.dtype))
    bounds, outcome = scaled.bounds(task.plain), task.pair.run(scaled)
    yield from outcome.problems

    def why(name: str, want: NDArray, got: NDArray, at: tuple[int, ...]) -> str:
        said = f"backward({label}dz) is not {label}backward(dz) at {list(at)}: "
        said += f"{got[at]:.6g} and {want[at]:.6g}"
        off = got != want
        if c < 0:
            if np.all((got == 0) | (want == 0) | ~off):
                return said + "; it treats negative cotangents differently (guided backprop?)"
            return said + "; it does not follow the sign of dz"
        if np.all(np.abs(got[off]) <= np.abs(want[off])) and c > 1:
            return said + "; is the gradient clipped or normalised?"
        return said + "; it is not proportional to dz"

    for name, a, b in both(one, outcome):
        if name.is_gradient and not _decays(task, name):
            allowed = 2 * bounds[name].full_error()
            want = (c * a.astype(np.float64)).astype(np.float64)
            yield compared(scaled, name, want, b, allowed, why)


#: Cotangents that are added are whole multiples of this: their sum is exact in every format.
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

    def why(name: str, want: NDArray, got: NDArray, at: tuple[int, ...]) -> str:
        return (
            f"backward(dz + dz') is {got[at]:.6g} at {list(at)}, backward(dz) + backward(dz') "
            f"{want[at]:.6g}; backward must be linear in dz"
        )

    for name, a, b in both(one, runs[0]):
        got = runs[1].results.get(name)
        if got is not None and name.is_gradient and not _decays(task, name):
            want = a.astype(np.float64) + b
            # What is added may cancel, after roundings of a choice at a kink of another kind.
            few = FEW * task.precision.unit * (np.abs(a) + np.abs(b))
            allowed = few + sum(bound[name].full_error() for bound in bounds)
            yield compared(summed, name, want, got, allowed, why)


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
        put = _added if summed else np.concatenate
        want = put([piece.astype(np.float64) for piece in pieces])  # type: ignore[union-attr]
        allowed = bounds[name].full_error() + put(errors)
        if summed and "mean" in task.allow:
            sizes = [part.case.T for part in parts]
            pairs = zip(sizes, pieces, strict=True)
            weighted = np.stack([n * np.asarray(g, np.float64) for n, g in pairs]).sum(0)
            weighted = weighted / setting.case.T
            if np.all(np.abs(weighted - got) <= allowed):
                want = weighted
        yield compared(setting, name, want, got, allowed, _why_summed if summed else _why_alone)


def _added(arrays: Sequence[Array]) -> Array:
    return np.stack(arrays).sum(axis=0)


def _why_alone(name: str, want: NDArray, got: NDArray, at: tuple[int, ...]) -> str:
    return (
        f"instance {at[0]} gives {want[at]:.6g} at {list(at)} in a smaller batch, {got[at]:.6g} in "
        "one of 7; instances must not see each other (a sum, mean or max over the wrong axis?)"
    )


def _why_summed(name: str, want: NDArray, got: NDArray, at: tuple[int, ...]) -> str:
    said = (
        f"over the whole batch it is {got[at]:.6g} at {list(at)}, the sum over its parts "
        f"{want[at]:.6g}; the gradient of a parameter is the sum over instances"
    )
    smaller = np.abs(got) < np.abs(want)
    return said + (" (is it divided by their number?)" if smaller.mean() > 0.5 else "")


@everywhere
def permutation(task: Task, setting: Setting) -> Iterator[Finding]:
    """The samples in another order: the same for each, the same gradients of parameters."""
    order = np.random.default_rng((task.points.seed, 4)).permutation(setting.case.T)
    order = order if np.any(order != np.arange(len(order))) else order[::-1]
    turned = setting.rows(order)
    first, second = task.pair.run(setting), task.pair.run(turned)
    yield from [*first.problems, *second.problems]
    bounds = setting.bounds(task.plain), turned.bounds(task.plain)

    def why(name: str, want: NDArray, got: NDArray, at: tuple[int, ...]) -> str:
        return (
            f"with the instances in another order it is {got[at]:.6g} at {list(at)} and not "
            f"{want[at]:.6g}; it depends on where in the batch an instance stands"
        )

    for name, a, b in both(first, second):
        summed = name.is_gradient_by(setting.step.parameters)
        errors = bounds[0][name].full_error(), bounds[1][name].full_error()
        if summed:
            yield compared(setting, name, a, b, errors[0] + errors[1], why)
        else:
            yield compared(turned, name, a[order], b, errors[0][order] + errors[1], why)


def _decays(task: Task, name: Quantity) -> bool:
    """A parameter's gradient to which a multiple of the parameter is meant to be added."""
    parameter = name.is_gradient_by(task.points.op.parameter_shapes())
    return parameter and any(e.startswith("weight-decay") for e in task.allow)


#: In the order in which they are run, and whether one can hold for an op that draws random numbers.
CHECKS: dict[str, tuple[Callable[[Task], Iterator[Finding]], bool]] = {
    "zero_cotangent": (zero_cotangent, True),
    "linearity": (linearity, False),
    "batch_split": (batch_split, False),
    "permutation": (permutation, False),
}
