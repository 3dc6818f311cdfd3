"""The results held against the op's own formulas, by the judge: at points of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np

from ...core.arrays import NDArray
from ..finding import Finding, Verdict
from .algebra import Task
from .calling import Layout, copied, wrong
from .setting import Setting

__all__ = ["CHECKS"]


def random_points(task: Task) -> Iterator[Finding]:
    """Normal inputs; a batch as large as the width, too, in which what is transposed fits."""
    for setting in (task.points.random(task.points.square), task.points.random(9)):
        yield from _judged(task, setting)


def special_points(task: Task) -> Iterator[Finding]:
    """Zeros of both signs, saturation, numbers from 1e-30 to 300."""
    yield from _judged(task, task.points.special())


def at_kinks(task: Task) -> Iterator[Finding]:
    """Exactly at the kinks and ties, where any valid choice passes."""
    setting = task.points.kinks()
    if setting is not None:
        yield from _judged(task, setting)


def batch_of_one(task: Task) -> Iterator[Finding]:
    """A single instance, which what is squeezed or broadcast does not survive."""
    for draw in range(2):
        yield from _judged(task, task.points.random(1, draw))


def non_contiguous(task: Task) -> Iterator[Finding]:
    """y, dz and the parameters in Fortran order, or as slices of larger arrays."""
    setting = task.points.random(5)
    for what, layout in (("in Fortran order", _fortran), ("as strided slices", _strided)):
        yield from _told(task, setting, f"with y, dz and parameters {what}", layout)


def read_only(task: Task) -> Iterator[Finding]:
    """y, dz and the parameters may be arrays that cannot be written into."""
    setting = task.points.random(5)
    if not _runs(task, setting, _read_only) and _runs(task, setting, copied):
        yield _writes(task, setting.astype(task.precision))
    else:
        yield from _told(task, setting, "with arrays that cannot be written into", _read_only)


def _told(task: Task, setting: Setting, said: str, layout: Layout) -> Iterator[Finding]:
    """The verdicts in a layout; where one is bad, whether the layout has to do with it."""

    @cache
    def plain() -> dict[str, Finding]:
        return {f.quantity: f for f in _judged(task, setting)}

    for found in _judged(task, setting, layout):
        if found.parity is True or found.verdict is Verdict.VACUOUS:
            yield found
            continue
        usual = plain().get(found.quantity)
        alike = usual is not None and usual.verdict is found.verdict
        yield replace(found, note=f"{'on ordinary arrays too' if alike else said}; {found.note}")


def _runs(task: Task, setting: Setting, layout: Layout) -> bool:
    found = task.pair.run(setting.astype(task.precision), layout).problems
    return not any(problem.verdict is Verdict.INCONCLUSIVE for problem in found)


def _writes(task: Task, setting: Setting) -> Finding:
    """Into which array: the one that alone has to be writable."""

    def only(name: str) -> Layout:
        return lambda other, array: (_read_only if other == name else copied)(other, array)

    names = [*setting.arguments, "dz"]
    into = [name for name in names if not _runs(task, setting, only(name))] or names
    raised = task.pair.run(setting, _read_only).problems[-1].note
    return wrong(setting, "gradients", f"it writes into {' and '.join(into)}: {raised}")


def _fortran(name: str, array: NDArray) -> NDArray:
    return np.array(array, order="F")


def _strided(name: str, array: NDArray) -> NDArray:
    """Every second element of an array that is full of NaN in between."""
    larger = np.full(tuple(2 * n for n in array.shape), np.nan, dtype=array.dtype)
    view = larger[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def _read_only(name: str, array: NDArray) -> NDArray:
    array = array.copy()
    array.flags.writeable = False
    return array


def _judged(task: Task, setting: Setting, layout: Layout = copied) -> Iterator[Finding]:
    """The judge's verdicts in the task's precision; float64 settles what it doubts."""

    @cache
    def float64() -> dict[str, Finding]:
        found = setting.judged(task.pair.run(setting, layout).results, None, task.expected)
        return setting.evidence(found)

    rounded = setting.astype(task.precision)
    outcome = task.pair.run(rounded, layout)
    bad = {problem.quantity for problem in outcome.problems}
    for problem in outcome.problems:
        yield replace(problem, note=f"{problem.note}; {setting.where}")
    for found in rounded.judged(outcome.results, float64, task.expected):
        if found.quantity not in bad or found.parity is False:
            said = f"{setting.where}{rounded.there(found)}" if found.parity is False else ""
            yield replace(found, note="; ".join(filter(None, (found.note, said))))


CHECKS = {
    "random_points": random_points,
    "special_points": special_points,
    "at_kinks": at_kinks,
    "batch_of_one": batch_of_one,
    "non_contiguous": non_contiguous,
    "read_only": read_only,
}
