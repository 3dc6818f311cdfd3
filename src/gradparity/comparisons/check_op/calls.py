"""Checks of shapes and dtypes, of writes into arrays, and of calls that affect one another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.quantity import Quantity
from ..findings.finding import Finding, Verdict
from .calling import told
from .compared import compared, first_of
from .setting import Setting
from .task import Task, both, by_name, everywhere

__all__ = ["CHECKS"]


def shape_and_dtype(task: Task) -> Iterator[Finding]:
    """Require one array per gradient, with the shape and dtype of its argument."""
    setting = task.random()
    outcome = task.pair.run(setting)
    yield from outcome.problems
    bad = {problem.quantity for problem in outcome.problems}
    for name, got in outcome.results.items():
        if name not in bad:
            yield told(setting, name, "", got.size, Verdict.EXACT)


@everywhere
def finite(task: Task, setting: Setting) -> Iterator[Finding]:
    """Require finite numbers, as the op's formulas are finite at these points."""
    outcome = task.pair.run(setting)
    yield from (p for p in outcome.problems if p.verdict is Verdict.INCONCLUSIVE)
    for name, got in outcome.results.items():
        lost = ~np.isfinite(got)
        if not lost.any():
            yield told(setting, name, "", got.size, Verdict.EXACT)
            continue
        at = first_of(lost)
        note = f"it is {got[at]} at {list(at)}, where the formulas are finite"
        note += f" ({int(lost.sum())} of {got.size} elements)" if got.size > 1 else ""
        yield told(setting, name, note, got.size)


def inputs_unchanged(task: Task) -> Iterator[Finding]:
    """The functions leave their arguments unchanged."""
    setting = task.random()
    outcome = task.pair.run(setting)
    wanted = [p for p in outcome.problems if p.verdict is Verdict.INCONCLUSIVE or outcome.wrote]
    yield from wanted
    for what, before, after in outcome.given:
        changed, named = np.asarray(before != after), Quantity(f"argument {what}")
        if not changed.any():
            yield told(setting, named, "", before.size, Verdict.EXACT)
            continue
        at = first_of(changed)
        note = (
            f"{what.split()[-1]} writes into the {what.split()[0]} it is given: at {list(at)} "
            f"{before[at]:.6g} became {after[at]:.6g}; it must work on a copy"
        )
        yield told(setting, named, note, before.size)


@everywhere
def determinism(task: Task, setting: Setting) -> Iterator[Finding]:
    """The same arrays give the same bits, even after calls with other arrays in between."""
    first, _, second = (task.pair.run(s) for s in (setting, task.random(draw=1), setting))
    yield from [*first.problems, *second.problems]

    note = "a second call with the same arrays gives {got} at {at}, the first gave {want}; "
    for name, a, b in both(first, second):

        def hint(want: NDArray, got: NDArray, name: Quantity = name) -> str:
            if name.is_gradient and _adds_up(task, setting, name, got):
                return "it adds to the gradient of the call before, and must start from zero"
            return "does it keep something from the call before, or draw random numbers?"

        yield compared(setting, name, a, b, None, note, hint=hint)


def _adds_up(task: Task, setting: Setting, name: Quantity, b: NDArray) -> bool:
    """Whether every further call with the same arrays adds the same."""
    c, d = (task.pair.run(setting).results.get(name, b).astype(np.float64) for _ in range(2))
    allowed = setting.bounds(task.plain)[name].full_error() + 4 * task.plain.u * np.abs(d)
    return bool(np.any(c != b) and np.all(np.abs((d - c) - (c - b)) <= 2 * allowed))


def independent_calls(task: Task) -> Iterator[Finding]:
    """backward(dz, y) uses the y it is given, even if forward was called with another y since.

    A function that a framework differentiates is called twice; the first result is differentiated.
    """
    setting = task.random()
    first, second = task.pair.run(setting), task.pair.run(setting, other=task.random(draw=1))
    yield from [*first.problems, *second.problems]

    note = (
        "it is {got} at {at} if forward is called with other numbers before backward, and {want} "
        "if not; it depends on what the last call left behind"
    )
    if task.pair.differentiated:
        note += ", and must rest on what its own call saved"
    else:
        note += "; use the arguments, or let backward take dz alone"
    for name, a, b in both(first, second):
        yield compared(setting, name, a, b, None, note)


def results_kept(task: Task) -> Iterator[Finding]:
    """z and dy do not change with the next call, because a network may use the op again."""
    setting = task.random()
    outcome = task.pair.run(setting)
    yield from (p for p in outcome.problems if p.verdict is Verdict.INCONCLUSIVE)
    task.pair.run(task.random(draw=1))

    note = (
        "the returned array is overwritten by a later call: {want} at {at} became {got}; return a "
        "new array each time"
    )
    for name, array, kept in outcome.returned:
        if not name.is_gradient_by(setting.step.parameters):  # a layer's own attributes
            yield compared(setting, name, kept, array, None, note)


#: The checks in the order in which they are run.
CHECKS = by_name(
    shape_and_dtype, finite, inputs_unchanged, determinism, independent_calls, results_kept
)
