"""Checks of shapes and dtypes, of writes into arrays, and of calls that affect one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.quantity import Quantity
from ..findings.finding import Finding, Verdict, as_written
from .calling import wrong
from .compared import compared, first_of
from .setting import Setting, Z
from .task import Task, both, everywhere

__all__ = ["CHECKS"]


def shape_and_dtype(task: Task) -> Iterator[Finding]:
    """As many arrays as the op has gradients, each of the shape and dtype of what it belongs to."""
    setting = task.random()
    outcome = task.pair.run(setting)
    yield from outcome.problems
    bad = {problem.quantity for problem in outcome.problems}
    for name, got in outcome.results.items():
        if name not in bad:
            yield Finding(name, Z, as_written(setting.op), Verdict.EXACT, got.size)


@everywhere
def finite(task: Task, setting: Setting) -> Iterator[Finding]:
    """Every number is finite, as the op's formulas are at these points."""
    outcome = task.pair.run(setting)
    yield from (p for p in outcome.problems if p.verdict is Verdict.INCONCLUSIVE)
    for name, got in outcome.results.items():
        lost = ~np.isfinite(got)
        if not lost.any():
            yield Finding(name, Z, as_written(setting.op), Verdict.EXACT, got.size)
            continue
        at = first_of(lost)
        note = f"it is {got[at]} at {list(at)}, where the formulas are finite"
        note += f" ({int(lost.sum())} of {got.size} elements)" if got.size > 1 else ""
        yield wrong(setting, name, note, got.size)


def inputs_unchanged(task: Task) -> Iterator[Finding]:
    """The functions leave their arguments unchanged."""
    setting = task.random()
    outcome = task.pair.run(setting)
    wanted = [p for p in outcome.problems if p.verdict is Verdict.INCONCLUSIVE or outcome.wrote]
    yield from wanted
    for what, before, after in outcome.given:
        changed, named = np.asarray(before != after), Quantity(f"argument {what}")
        if not changed.any():
            yield Finding(named, Z, as_written(setting.op), Verdict.EXACT, before.size)
            continue
        at = first_of(changed)
        note = (
            f"{what.split()[-1]} writes into the {what.split()[0]} it is given: at {list(at)} "
            f"{before[at]:.6g} became {after[at]:.6g}; it must work on a copy"
        )
        yield wrong(setting, named, note, before.size)


@everywhere
def determinism(task: Task, setting: Setting) -> Iterator[Finding]:
    """The same arrays give the same bits, though the functions saw others in between."""
    first, _, second = (task.pair.run(s) for s in (setting, task.random(draw=1), setting))
    yield from [*first.problems, *second.problems]

    def why(name: Quantity, a: NDArray, b: NDArray, at: tuple[int, ...]) -> str:
        said = f"a second call with the same arrays gives {b[at]:.6g} at {list(at)}, the first "
        said += f"gave {a[at]:.6g}; "
        if name.is_gradient and _adds_up(task, setting, name, b):
            return said + "it adds to the gradient of the call before, and must start from zero"
        return said + "does it keep something from the call before, or draw random numbers?"

    for name, a, b in both(first, second):
        yield compared(setting, name, a, b, np.zeros(a.shape), why, same_bits=True)


def _adds_up(task: Task, setting: Setting, name: Quantity, b: NDArray) -> bool:
    """Whether every further call with the same arrays adds the same."""
    c, d = (task.pair.run(setting).results.get(name, b).astype(np.float64) for _ in range(2))
    allowed = setting.bounds(task.plain)[name].full_error() + 4 * task.plain.u * np.abs(d)
    return bool(np.any(c != b) and np.all(np.abs((d - c) - (c - b)) <= 2 * allowed))


def independent_calls(task: Task) -> Iterator[Finding]:
    """backward(dz, y) is about the y it is given, though forward saw another one in between.

    A framework's function is called twice, and the result of its first call differentiated.
    """
    setting = task.random()
    first, second = task.pair.run(setting), task.pair.run(setting, other=task.random(draw=1))
    yield from [*first.problems, *second.problems]

    def why(name: str, a: NDArray, b: NDArray, at: tuple[int, ...]) -> str:
        said = (
            f"it is {b[at]:.6g} at {list(at)} if forward is called with other numbers before "
            f"backward, and {a[at]:.6g} if not; it depends on what the last call left behind"
        )
        if task.pair.differentiated:
            return said + ", and must rest on what its own call saved"
        return said + "; use the arguments, or let backward take dz alone"

    for name, a, b in both(first, second):
        yield compared(setting, name, a, b, np.zeros(a.shape), why, same_bits=True)


def results_kept(task: Task) -> Iterator[Finding]:
    """z and dy are still the same after the next call, for a network may use the op again."""
    setting = task.random()
    outcome = task.pair.run(setting)
    yield from (p for p in outcome.problems if p.verdict is Verdict.INCONCLUSIVE)
    task.pair.run(task.random(draw=1))

    def why(name: str, a: NDArray, b: NDArray, at: tuple[int, ...]) -> str:
        return (
            f"what was returned is overwritten by a later call: {a[at]:.6g} at {list(at)} became "
            f"{b[at]:.6g}; return an array of its own each time"
        )

    for name, array, kept in outcome.returned:
        if not name.is_gradient_by(setting.step.parameters):  # a layer's own attributes
            yield compared(setting, name, kept, array, np.zeros(kept.shape), why, same_bits=True)


#: In the order in which they are run, and whether one can hold for an op that draws random numbers.
CHECKS: dict[str, tuple[Callable[[Task], Iterator[Finding]], bool]] = {
    "shape_and_dtype": (shape_and_dtype, True),
    "finite": (finite, True),
    "inputs_unchanged": (inputs_unchanged, True),
    "determinism": (determinism, False),
    "independent_calls": (independent_calls, False),
    "results_kept": (results_kept, True),
}
