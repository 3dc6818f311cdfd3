"""Checks of a function that a framework differentiates: its value alone, compiled, and frozen.

The options of an adapter's methods say which checks it supports; see `offered`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from ...core import Op
from ..findings.finding import Finding
from .against_formulas import judged
from .calling import Pair
from .compared import compared
from .task import Check, Task, both, by_name

__all__ = ["offered"]


def undifferentiated(task: Task) -> Iterator[Finding]:
    """The function alone gives the same value; a custom derivative rule may compute another."""
    for setting in (task.points.random(), task.points.special()):
        yield from judged(task, setting, task.pair.value)


def compiled(task: Task) -> Iterator[Finding]:
    """Value and gradients, and the value alone, are right where the framework compiles them."""
    for run in (task.pair.run, task.pair.value):
        for found in judged(task, task.points.special(), partial(run, compiled=True)):
            said = "; as it is compiled" if found.note and found.parity is not True else ""
            yield replace(found, note=found.note + said)


def frozen_arguments(task: Task) -> Iterator[Finding]:
    """A gradient does not change if the gradients of other arguments are not requested."""
    setting = task.random()
    whole, bounds = task.pair.run(setting), setting.bounds(task.plain)
    yield from whole.problems
    position = {name: i for i, name in enumerate(setting.arguments)}
    names = list(setting.gradients)
    one = [[name] for name in names]
    others = [[other for other in names if other != name] for name in names]
    for frozen in one + (others if len(names) > 2 else []):
        outcome = task.pair.run(setting, frozen=tuple(position[name] for name in frozen))
        yield from outcome.problems
        note = (
            f"it is {{got}} at {{at}} if no gradient by {' and '.join(frozen)} is requested, and "
            "{want} if all are"
        )
        for name, a, b in both(whole, outcome):
            if not name.is_gradient_by(frozen):
                yield compared(setting, name, a, b, 2 * bounds[name].full_error(), note)


#: Which method of an adapter, with which option, each check needs.
NEEDS: dict[Check, tuple[str, str]] = {
    undifferentiated: ("call", ""),
    compiled: ("vjp", "compiled"),
    frozen_arguments: ("vjp", "frozen"),
}


def offered(pair: Pair, reference: Op) -> dict[str, Check]:
    """The checks that the adapter has methods for, and that apply to the op."""
    constant = int(reference.integers) + len(reference.buffers)
    alone = (reference.n_inputs or 2) + len(reference.parameter_shapes()) - constant == 1
    return by_name(
        *(
            check
            for check, needed in NEEDS.items()
            if pair.offers(*needed)
            and not (check is frozen_arguments and (alone or reference.random))
        )
    )
