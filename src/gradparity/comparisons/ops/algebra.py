"""What holds for every op, whatever its formula: the cheap checks, which say most of what is wrong.

Two results that are to be equal may differ by what the formulas' bounds allow each of them: a
matrix product of fewer rows may be summed in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.arrays import Array, NDArray
from ...core.precision import Precision
from ...core.rounding import Rounding
from ..finding import Finding, Verdict
from .calling import Outcome, Pair, wrong
from .compared import compared, first_of
from .points import Points
from .setting import Setting, Z

__all__ = ["CHECKS", "Task"]


@dataclass(frozen=True)
class Task:
    """What a check is given: the user's pair, and numbers in one precision.

    `expected` are conventions that are meant, such as "mean".
    """

    pair: Pair
    points: Points
    precision: Precision
    expected: Sequence[str] = ()

    def random(self, T: int = 7, draw: int = 0) -> Setting:
        """Random points in the task's precision."""
        return self.points.random(T, draw).astype(self.precision)

    @property
    def plain(self) -> Rounding:
        """The arithmetic of the algebra: the worst case, sums in the dtype itself."""
        return Rounding.of(self.precision).summing_in_storage()


def shape_and_dtype(task: Task) -> Iterator[Finding]:
    """As many arrays as the op has gradients, each of the shape and dtype of what it belongs to."""
    setting = task.random()
    outcome = task.pair.run(setting)
    yield from outcome.problems
    bad = {problem.quantity for problem in outcome.problems}
    for name, got in outcome.results.items():
        if name not in bad:
            yield Finding(name, Z, repr(setting.op), Verdict.EXACT, got.size)


def inputs_unchanged(task: Task) -> Iterator[Finding]:
    """What the functions are given is the same after they were called."""
    setting = task.random()
    outcome = task.pair.run(setting)
    yield from (p for p in outcome.problems if p.verdict is Verdict.INCONCLUSIVE)
    for what, before, after in outcome.given:
        changed = np.asarray(before != after)
        if not changed.any():
            yield Finding(f"argument {what}", Z, repr(setting.op), Verdict.EXACT, before.size)
            continue
        at = first_of(changed)
        note = (
            f"{what.split()[-1]} writes into the {what.split()[0]} it is given: at {list(at)} "
            f"{before[at]:.6g} became {after[at]:.6g}; it must work on a copy"
        )
        yield wrong(setting, f"argument {what}", note, before.size)


def determinism(task: Task) -> Iterator[Finding]:
    """The same arrays give the same bits, though the functions saw others in between."""
    setting = task.random()
    first, _, second = (task.pair.run(s) for s in (setting, task.random(draw=1), setting))
    yield from [*first.problems, *second.problems]

    def why(name: str, a: NDArray, b: NDArray, at: tuple[int, ...]) -> str:
        said = f"a second call with the same arrays gives {b[at]:.6g} at {list(at)}, the first "
        said += f"gave {a[at]:.6g}; "
        if name != f"value {Z}" and _adds_up(task, setting, name, b):
            return said + "it adds to the gradient of the call before, and must start from zero"
        return said + "does it keep something from the call before, or draw random numbers?"

    for name, a, b in _both(first, second):
        yield compared(setting, name, a, b, np.zeros(a.shape), why)


def _adds_up(task: Task, setting: Setting, name: str, b: NDArray) -> bool:
    """Whether every further call with the same arrays adds the same."""
    c, d = (task.pair.run(setting).results.get(name, b).astype(np.float64) for _ in range(2))
    allowed = setting.bounds(task.plain)[name].full_error() + 4 * task.plain.u * np.abs(d)
    return bool(np.any(c != b) and np.all(np.abs((d - c) - (c - b)) <= 2 * allowed))


def zero_cotangent(task: Task) -> Iterator[Finding]:
    """backward(0) is 0."""
    setting = task.random()
    outcome = task.pair.run(setting.with_dz(np.zeros_like(setting.dz)))
    yield from outcome.problems

    def why(name: str, zero: NDArray, got: NDArray, at: tuple[int, ...]) -> str:
        return (
            f"backward(0) gives {got[at]:.6g} at {list(at)}, not 0; does it leave dz out, or add "
            "something that does not depend on it (weight decay)?"
        )

    for name, got in outcome.results.items():
        if name != f"value {Z}" and not _decays(task, name):
            zero = np.zeros_like(got)
            yield compared(setting, name, zero, got, np.zeros(got.shape), why, zero=True)


#: Powers of two scale every float operation exactly; large and small ones show what is clipped.
FACTORS = {"-": -1.0, "2 ": 2.0, "2^30 ": 2.0**30, "2^-30 ": 2.0**-30}
#: A format that overflows or underflows when it is scaled by the last two.
NARROW = 2.0**60


def linearity(task: Task) -> Iterator[Finding]:
    """backward(c dz) = c backward(dz), and backward(dz + dz') = backward(dz) + backward(dz')."""
    setting = task.random()
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

    for name, a, b in _both(one, outcome):
        if name != f"value {Z}" and not _decays(task, name):
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
    both = setting.with_dz(setting.dz + other.dz)
    one = task.pair.run(setting)
    runs = [task.pair.run(s) for s in (other, both)]
    yield from (problem for run in (one, *runs) for problem in run.problems)
    bounds = [s.bounds(task.plain) for s in (setting, other, both)]

    def why(name: str, want: NDArray, got: NDArray, at: tuple[int, ...]) -> str:
        return (
            f"backward(dz + dz') is {got[at]:.6g} at {list(at)}, backward(dz) + backward(dz') "
            f"{want[at]:.6g}; backward must be linear in dz"
        )

    for name, a, b in _both(one, runs[0]):
        got = runs[1].results.get(name)
        if got is not None and name != f"value {Z}" and not _decays(task, name):
            want = a.astype(np.float64) + b
            allowed = sum(bound[name].full_error() for bound in bounds)
            yield compared(both, name, want, got, allowed, why)


#: Sizes of the parts a batch of seven is split into.
PARTS = (slice(0, 1), slice(1, 3), slice(3, 7))


def batch_split(task: Task) -> Iterator[Finding]:
    """An instance's z and dy do not depend on the others; parameters' gradients add up."""
    setting = task.random()
    parts = [setting.rows(rows) for rows in PARTS]
    whole, runs = task.pair.run(setting), [task.pair.run(part) for part in parts]
    yield from [*whole.problems, *(p for run in runs for p in run.problems)]
    bounds, own = setting.bounds(task.plain), [part.bounds(task.plain) for part in parts]
    for name, got in whole.results.items():
        pieces = [run.results.get(name) for run in runs]
        if any(piece is None for piece in pieces) or _decays(task, name):
            continue
        errors = [bound[name].full_error() for bound in own]
        summed = name.removeprefix("grad ") in setting.step.parameters
        put = _added if summed else np.concatenate
        want = put([piece.astype(np.float64) for piece in pieces])  # type: ignore[union-attr]
        allowed = bounds[name].full_error() + put(errors)
        if summed and "mean" in task.expected:
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


def permutation(task: Task) -> Iterator[Finding]:
    """The instances in another order: the same for each, the same gradients of parameters."""
    setting = task.random()
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

    for name, a, b in _both(first, second):
        summed = name.removeprefix("grad ") in setting.step.parameters
        errors = bounds[0][name].full_error(), bounds[1][name].full_error()
        if summed:
            yield compared(setting, name, a, b, errors[0] + errors[1], why)
        else:
            yield compared(turned, name, a[order], b, errors[0][order] + errors[1], why)


def _decays(task: Task, name: str) -> bool:
    """A parameter's gradient to which a multiple of the parameter is meant to be added."""
    parameter = name.removeprefix("grad ") in task.points.op.parameter_shapes()
    return parameter and any(e.startswith("weight-decay") for e in task.expected)


def _both(first: Outcome, second: Outcome) -> Iterable[tuple[str, NDArray, NDArray]]:
    names = [name for name in first.results if name in second.results]
    return [(name, first.results[name], second.results[name]) for name in names]


#: In the order in which they are run, and whether one can hold for an op that draws random numbers.
CHECKS: dict[str, tuple[Callable[[Task], Iterator[Finding]], bool]] = {
    "shape_and_dtype": (shape_and_dtype, True),
    "inputs_unchanged": (inputs_unchanged, True),
    "determinism": (determinism, False),
    "zero_cotangent": (zero_cotangent, True),
    "linearity": (linearity, False),
    "batch_split": (batch_split, False),
    "permutation": (permutation, False),
}
