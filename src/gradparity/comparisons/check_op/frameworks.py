"""A function that a framework differentiates, used in other ways than to differentiate all of it.

What an adapter offers of these is seen from the options of its methods: see `offered`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ...core import Op
from ...core.arithmetic.arrays import NDArray
from ..findings.finding import Finding
from .against_formulas import judged
from .calling import Outcome, Pair
from .compared import compared
from .setting import Setting
from .task import Task, both

__all__ = ["offered"]


def undifferentiated(task: Task) -> Iterator[Finding]:
    """The function alone gives the same value: a rule for its derivative may have another."""
    for setting in (task.points.random(9), task.points.special()):
        yield from judged(task, setting, task.pair.value)


def compiled(task: Task) -> Iterator[Finding]:
    """Value and gradients, and the value alone, where the framework traces and compiles it."""
    for run in (task.pair.run, task.pair.value):
        for found in judged(task, task.points.special(), partial(run, compiled=True)):
            said = "; as it is compiled" if found.note and found.parity is not True else ""
            yield replace(found, note=found.note + said)


def frozen_arguments(task: Task) -> Iterator[Finding]:
    """A gradient is the same if those of other arguments are not asked for."""
    setting = task.random()
    whole, bounds = task.pair.run(setting), setting.bounds(task.plain)
    yield from whole.problems
    n = len(setting.arguments)
    one = [(i,) for i in range(n)]
    others = [tuple(j for j in range(n) if j != i) for i in range(n)] if n > 2 else []
    for frozen in (*one, *others):
        yield from _without(task, setting, whole, frozen, bounds)


def _without(
    task: Task, setting: Setting, whole: Outcome, frozen: Sequence[int], bounds: Mapping[Any, Any]
) -> Iterator[Finding]:
    names = [list(setting.arguments)[i] for i in frozen]

    def why(name: str, a: NDArray, b: NDArray, at: tuple[int, ...]) -> str:
        return (
            f"it is {b[at]:.6g} at {list(at)} if no gradient by {' and '.join(names)} is asked "
            f"for, and {a[at]:.6g} if all are"
        )

    outcome = task.pair.run(setting, frozen=frozen)
    yield from outcome.problems
    for name, a, b in both(whole, outcome):
        if not name.is_gradient_by(names):
            yield compared(setting, name, a, b, 2 * bounds[name].full_error(), why)


#: Checks of functions that a framework differentiates.
CHECKS: dict[str, Callable[[Task], Iterator[Finding]]] = {
    "undifferentiated": undifferentiated,
    "compiled": compiled,
    "frozen_arguments": frozen_arguments,
}

#: Which method of an adapter, with which option, each needs.
NEEDS = {
    "undifferentiated": ("call", ""),
    "compiled": ("vjp", "compiled"),
    "frozen_arguments": ("vjp", "frozen"),
}


def offered(pair: Pair, reference: Op) -> dict[str, Callable[[Task], Iterator[Finding]]]:
    """The checks that the adapter has methods for, and that say something of the op."""
    alone = reference.n_inputs == 1 and not reference.parameter_shapes()
    return {
        name: check
        for name, check in CHECKS.items()
        if pair.offers(*NEEDS[name])
        and not (name == "frozen_arguments" and (alone or reference.random))
    }
