"""Checks of the results against the op's formulas, at points of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.quantity import Quantity
from ..findings.finding import Finding, Verdict
from ..findings.quantities import GRADIENTS
from ..judge.dtypes import beyond_half
from .calling import Layout, Outcome, copied, told
from .compared import compared
from .setting import Setting
from .task import Task, both, by_name

__all__ = ["CHECKS", "judged"]

#: The name under which a layout is reported that the function refuses.
NEGATIVE = Quantity("arguments with negative strides")

#: The name under which it is reported that an overflow of a square is not judged.
SQUARES = Quantity("arguments whose square overflows")


def random_points(task: Task) -> Iterator[Finding]:
    """Normal inputs; also a batch as large as the width, which a transposed array fits."""
    for setting in (task.points.random(task.points.square), task.points.random()):
        yield from judged(task, setting)


def special_points(task: Task) -> Iterator[Finding]:
    """Zeros of both signs, saturation, every size of number; zero parameters, equal inputs."""
    yield from judged(task, task.points.special())
    for i, everywhere in enumerate(task.points.whole_range()):
        yield from judged(task, everywhere) if i == 0 else _where_finite(task, everywhere)
    for setting in (*task.points.zero_parameters(), *task.points.constant()):
        yield from judged(task, setting)
    equal = task.points.equal_inputs()
    if equal is not None:
        yield from judged(task, equal)
        same = replace(equal, where="with the same array for all inputs")
        yield from judged(task, same, _laid(task, _same_array(equal)))


def _where_finite(task: Task, setting: Setting) -> Iterator[Finding]:
    """The verdicts on numbers whose square overflows, at the samples with finite results.

    A usual form that squares its input is infinite or NaN there, and no network meets such numbers.
    """
    finite = np.ones(setting.case.T, bool)
    for array in task.pair.run(setting.astype(task.precision)).results.values():
        finite &= np.isfinite(array.reshape(len(finite), -1)).all(axis=1)
    if not finite.all():
        smallest = np.abs(setting.y[0][~finite]).min()
        said = f"not checked where results are not finite: at some |y| >= {smallest:.2g}"
        yield told(task.random(), SQUARES, said, 0, Verdict.VACUOUS)
    if finite.any():
        yield from judged(task, setting.rows(finite))


def at_kinks(task: Task) -> Iterator[Finding]:
    """Exactly at the kinks and ties, where any valid choice passes."""
    setting = task.points.kinks()
    if setting is not None:
        yield from judged(task, setting)


def batch_of_one(task: Task) -> Iterator[Finding]:
    """A single sample, which reveals wrong squeezing or broadcasting."""
    settings = [task.points.random(1, draw) for draw in range(2)]
    at_kinks = task.points.few_at_kinks()
    if at_kinks is not None:
        settings += [at_kinks.rows(slice(t, t + 1)) for t in (0, 1, 6)]
    for setting in settings:
        yield from judged(task, setting)


def non_contiguous(task: Task) -> Iterator[Finding]:
    """y, dz and the parameters in other layouts: all, one alone, and a dz with stride 0."""
    usual = task.points.random()
    together = {"in Fortran order": _fortran, "as strided slices": _strided, "reversed": _reversed}
    for what, layout in together.items():
        refused = _failure(task, usual, layout) if layout is _reversed else None
        if refused is not None and _names_strides(refused.note):
            yield told(task.random(), NEGATIVE, f"not checked: {refused.note}", 0, Verdict.VACUOUS)
            continue
        yield from _in_layout(task, usual, f"with y, dz and parameters {what}", layout)
    given = {**usual.arguments, **usual.cotangents}
    for name in (name for name, array in given.items() if array.ndim > 1):
        yield from _told(
            task, usual, f"with {name} alone in Fortran order", _only((name,), _fortran)
        )
    dz = usual.cotangents
    rows = [np.broadcast_to(a[:1] if a.ndim else a, a.shape) for a in dz.values()]
    ones = [np.ones_like(a) for a in dz.values()]
    for arrays, said in ((rows, "whose rows are equal"), (ones, "whose elements are equal")):
        where = f"with a dz {said}, of stride 0"
        yield from _told(task, usual.with_dz(*arrays), where, _only(tuple(dz), _broadcast))


def read_only(task: Task) -> Iterator[Finding]:
    """y, dz and the parameters may be read-only arrays."""
    setting = task.points.random()
    failed = _failure(task, setting, _read_only)
    if failed is not None and _failure(task, setting, copied) is None:
        yield _writes(task, setting.astype(task.precision), failed)
    else:
        yield from _in_layout(task, setting, "with read-only arrays", _read_only)


def _in_layout(task: Task, setting: Setting, said: str, layout: Layout) -> Iterator[Finding]:
    """The verdicts in a layout; at kinks, the same choice as on ordinary arrays."""
    yield from _told(task, setting, said, layout)
    at_kinks = task.at_kinks()
    if at_kinks is None or at_kinks.op.random:
        return
    bounds = at_kinks.bounds(task.plain)
    note = f"{said} it is {{got}} at {{at}}, and {{want}} on ordinary arrays; {at_kinks.where}"
    for name, a, b in both(task.pair.run(at_kinks), task.pair.run(at_kinks, layout)):
        yield compared(at_kinks, name, a, b, 2 * bounds[name].full_error(), note)


def _told(task: Task, setting: Setting, said: str, layout: Layout) -> Iterator[Finding]:
    """The verdicts in a layout; notes of bad ones say whether the layout is the cause."""

    @cache
    def plain() -> dict[str, Finding]:
        return {f.quantity: f for f in judged(task, setting)}

    for found in judged(task, setting, _laid(task, layout)):
        if found.parity is True or found.verdict is Verdict.VACUOUS:
            yield found
            continue
        usual = plain().get(found.quantity)
        alike = usual is not None and usual.verdict is found.verdict
        yield replace(found, note=f"{'on ordinary arrays too' if alike else said}; {found.note}")


def _names_strides(message: str) -> bool:
    """Whether an exception says that negative strides are not supported."""
    return "stride" in message.lower() and "negative" in message.lower()


def _failure(task: Task, setting: Setting, layout: Layout) -> Finding | None:
    """The finding of an exception in this layout, if there was one."""
    found = task.pair.run(setting.astype(task.precision), layout).problems
    return next((problem for problem in found if problem.verdict is Verdict.INCONCLUSIVE), None)


def _writes(task: Task, setting: Setting, failed: Finding) -> Finding:
    """A finding that names the arrays that have to be writable.

    An exception at the first call alone does not come from the layout.
    """
    names = [*setting.arguments, *setting.cotangents]
    into = [n for n in names if _failure(task, setting, _only((n,), _read_only))] or names
    if _failure(task, setting, _read_only) is None:
        said = "a second call with the same read-only arrays did not; does it keep something?"
        return replace(failed, note=f"{failed.note}; {said}")
    return told(setting, GRADIENTS, f"it writes into {' and '.join(into)}: {failed.note}")


def _fortran(name: str, array: NDArray) -> NDArray:
    return np.array(array, order="F")


def _strided(name: str, array: NDArray) -> NDArray:
    """Every second element of an array with NaN in between, or an integer that is not valid."""
    gap = np.nan if array.dtype.kind == "f" else np.iinfo(array.dtype).max
    larger = np.full(tuple(2 * n for n in array.shape), gap, dtype=array.dtype)
    every_second: Any = (..., *(slice(None, None, 2) for _ in array.shape))
    view: NDArray = larger[every_second]
    view[...] = array
    return view


def _read_only(name: str, array: NDArray) -> NDArray:
    array = array.copy()
    array.flags.writeable = False
    return array


def _reversed(name: str, array: NDArray) -> NDArray:
    """Reverse the array: negative strides."""
    backwards: Any = (..., *(slice(None, None, -1) for _ in array.shape))
    turned: NDArray = array[backwards].copy()[backwards]
    return turned


def _broadcast(name: str, array: NDArray) -> NDArray:
    """Give stride 0 along the samples, and along every axis if all numbers are equal."""
    alike = np.all(array == array.flat[0])
    one = array[(slice(1),) * (array.ndim if alike else 1)]
    return np.broadcast_to(one.copy(), array.shape)


def _only(names: tuple[str, ...], layout: Layout) -> Layout:
    """This layout for some arrays, ordinary copies for the others."""
    return lambda name, array: (layout if name in names else copied)(name, array)


def _same_array(setting: Setting) -> Layout:
    """The same array for all inputs, which have the same numbers."""
    shared: dict[Any, NDArray] = {}

    def same(name: str, array: NDArray) -> NDArray:
        if name not in setting.inputs:
            return copied(name, array)
        return shared.setdefault(array.dtype, array.copy())

    return same


def _laid(task: Task, layout: Layout) -> Callable[[Setting], Outcome]:
    return partial(task.pair.run, layout=layout)


def judged(
    task: Task, setting: Setting, run: Callable[[Setting], Outcome] | None = None
) -> Iterator[Finding]:
    """The judge's verdicts in the task's precision; float64 decides where it is inconclusive.

    `run` replaces the usual way to call the pair.
    """
    run = run or task.pair.run

    @cache
    def float64() -> dict[str, Finding]:
        ran = run(setting)
        unfit = {problem.quantity for problem in ran.problems}  # such as a result in float32
        found = setting.judged(ran.results, None, task.allow)
        return setting.evidence([f for f in found if f.quantity not in unfit])

    rounded = setting.astype(task.precision)
    outcome = run(rounded)
    bad = {problem.quantity for problem in outcome.problems}
    findings = rounded.judged(outcome.results, float64, task.allow)
    wrong = {f.quantity for f in findings if _beyond_its_dtype(f, rounded, outcome)}
    for problem in outcome.problems:
        if problem.quantity not in wrong:
            yield replace(problem, note=f"{problem.note}; {setting.where}")
    for found in findings:
        if found.quantity not in bad or found.parity is False:
            said = f"{setting.where}{rounded.there(found)}" if found.parity is False else ""
            yield replace(found, note="; ".join(filter(None, (found.note, said))))


def _beyond_its_dtype(found: Finding, setting: Setting, outcome: Outcome) -> bool:
    """Whether a result of a coarser dtype is off by more than half of its own digits."""
    dtype = outcome.coarser.get(found.quantity)
    if dtype is None or found.parity is not False:
        return False
    return beyond_half(found, setting.case, dtype)


CHECKS = by_name(random_points, special_points, at_kinks, batch_of_one, non_contiguous, read_only)
