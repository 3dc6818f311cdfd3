"""`check_schedule`: the learning rates of a schedule against the formula that it should follow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray, covering
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.precision import Precision
from ...core.arithmetic.received import check_text, received
from ...core.arithmetic.rounding import Rounding
from ...core.network.quantity import Quantity
from ...core.optimizers.schedules import Schedule
from ..findings.finding import Finding, Verdict, as_written
from ..measure.at_node import Reference
from ..measure.levels import Levels
from ..report.records import Run, environment
from ..report.report import Report

__all__ = ["check_schedule"]

#: The most steps at a time that are tried where a schedule goes too fast.
MOST = 16
#: Another schedule whose rates are farther away than this share is not tried with its bound.
NEAR = 1e-2


def check_schedule(
    schedule: Any, rule: Schedule | None = None, *, steps: int = 100, name: str = "schedule"
) -> Report:
    """Judge the learning rates of a schedule after 0, 1, ... steps.

    Each is held to the formula, derived by hand; the bound is that of the rounding, also of one
    that computes a rate from the rate before.  Wrong rates are compared with mistakes that are
    often made: one step too early or late, once per epoch, another floor, one step longer, ...

    Parameters
    ----------
    schedule : one of `torch.optim.lr_scheduler`, of which a copy makes the steps; or a function of
        the number of steps made before, as Optax has them.
    rule : one of `gradparity.optimizers`, such as `Cosine`.  None: that of the class of
        `torch.optim.lr_scheduler`, with its settings.
    steps : how many rates to judge.
    name : shown in reports.

    Returns
    -------
    Report with a finding per parameter group, whose elements are the rates.

    Raises
    ------
    TypeError, ValueError : an argument that does not fit; no rule for the schedule.

    >>> import gradparity as gp, optax
    >>> cosine = gp.optimizers.Cosine(0.1, steps=50, floor=0.01)
    >>> gp.check_schedule(optax.cosine_decay_schedule(0.1, 50, alpha=0.1), cosine).exit_code
    0
    >>> wrong = gp.check_schedule(optax.cosine_decay_schedule(0.1, 49, alpha=0.1), cosine)
    >>> wrong.findings()[0][1].note
    'it takes 49 steps, and not 50'
    """
    check_text("name", name)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"check_schedule: steps is {received(steps)}; give 1 or more")
    if rule is not None and not isinstance(rule, Schedule):
        raise TypeError(
            f"check_schedule: rule is {received(rule)}; give one of gradparity.optimizers, such as "
            "gradparity.optimizers.Cosine(0.1, steps=100)"
        )
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(schedule, torch.optim.lr_scheduler.LRScheduler):
        found, made = tuple(_of_torch(schedule, rule, steps)), "torch"
        dtype, versions = "float64", {"torch": torch.__version__}
    elif callable(schedule):
        if rule is None:
            raise TypeError(
                "check_schedule: a function does not tell its settings; give rule=, such as "
                "rule=gradparity.optimizers.Cosine(0.1, steps=100)"
            )
        got, dtype = _called(schedule, steps)
        made, versions = "function", {}
        found = (_finding("lr", got, rule, dtype),)
    else:
        raise TypeError(
            f"check_schedule: schedule is {received(schedule)}; give one of "
            "torch.optim.lr_scheduler, or a function of the number of steps made before"
        )
    return Report((Run(name, made, dtype, found),), (), {}, {**environment(), **versions})


def _of_torch(scheduler: Any, rule: Schedule | None, steps: int) -> Iterator[Finding]:
    from ...adapters.torch.schedules import rates_of, schedule_of

    made = getattr(scheduler, "last_epoch", 0)
    if made > 0:
        raise ValueError(
            f"check_schedule: the {type(scheduler).__name__} has made {made} steps already; give a "
            "new one"
        )
    rates = rates_of(scheduler, steps)
    for i, got in enumerate(rates):
        own = rule or schedule_of(scheduler, i)
        if own is None:
            raise TypeError(
                f"check_schedule: there is no rule for {type(scheduler).__name__}; give rule=, "
                "such as rule=gradparity.optimizers.Cosine(0.1, steps=100)"
            )
        yield _finding("lr" if len(rates) == 1 else f"lr_of_group_{i + 1}", got, own, "float64")


def _called(schedule: Any, steps: int) -> tuple[NDArray, str]:
    """The rates that a function gives, and their number format."""
    rates = [np.asarray(schedule(t)) for t in range(steps)]
    if any(rate.shape != () or rate.dtype.kind not in "fiu" for rate in rates):
        wrong = next(r for r in rates if r.shape != () or r.dtype.kind not in "fiu")
        raise TypeError(
            f"check_schedule: the function returned {received(wrong)}; return a single number, the "
            "learning rate"
        )
    format_ = "float32" if any(r.dtype.name == "float32" for r in rates) else "float64"
    return np.array([float(rate) for rate in rates]), format_


def _bounded(schedule: Any, t: NDArray, rounding: Rounding) -> Bounded:
    """The rates after t steps, with the bound of every way to compute them."""
    one = Bounded.exactly(np.ones(()), rounding)

    def chained() -> Any:
        rates = [schedule.rates(np.array([0]), one)]
        for n in range(1, int(t.max(initial=0)) + 1):
            rates.append(schedule.following(rates[-1], n, one))
        every = np.concatenate([np.reshape(rate, (1,)) for rate in rates])
        return every[t]

    found: Bounded = covering(schedule.rates(t, one), {"from the rate before": chained})
    return found


def _finding(name: str, got: NDArray, rule: Schedule, dtype: str) -> Finding:
    q, t = Quantity.value(name), np.arange(got.size)

    def of(rounding: Rounding) -> list[Reference]:
        return [Reference(q, got, _bounded(rule, t, rounding))]

    levels = Levels(of, Precision.of(dtype))
    _, measured = levels.sharpest(q)
    if measured.outside.any():
        measured = levels.worst_case(q)
    verdict = measured.verdict(levels.precision)
    more: dict[str, Any] = {}
    if verdict in (Verdict.EXACT, Verdict.ROUNDING):
        more["power"] = measured.power()
    note = _cause(got, rule, Rounding.of(dtype)) if verdict.parity is False else ""
    more |= {"note": note} if note else {}
    at = name, as_written(rule)
    return measured.finding(q, at, verdict, levels.precision.unit, final=True, **more)


@np.errstate(all="ignore")
def _cause(got: NDArray, rule: Schedule, rounding: Rounding) -> str:
    """The mistake that explains all rates; "" if none does."""
    t = np.arange(got.size)

    def fits(schedule: Any, at: NDArray = t) -> bool:
        if not np.allclose(got, schedule.rates(at, np.ones(())), NEAR, NEAR * np.abs(got).max()):
            return False
        want = _bounded(schedule, at, rounding)
        return bool((np.abs(got - want.value) <= want.full_error()).all())

    for words, at in _clocks(got, t):
        if fits(rule, at):
            return words
    for words, other in rule.variants():
        if fits(other):
            return words
    want = rule.rates(t, np.ones(()))
    factor = float(want @ got / (want @ want)) if want.any() else 0.0
    bound = _bounded(rule, t, rounding).full_error() * max(abs(factor), 1.0)
    if factor and (np.abs(got - factor * want) <= 2.0 * bound).all():
        return f"it is {factor:.6g} times what the formula gives"
    least = float(got.min())
    floor = rule.with_floor(least)
    if floor is not None and fits(floor):
        return f"its floor is {least:.6g}"
    return ""


def _clocks(got: NDArray, t: NDArray) -> Iterator[tuple[str, NDArray]]:
    """Other counts of the steps, and the mistake in words."""
    yield "it is one step ahead: it counts the step that is being made", t + 1
    yield "it is one step behind", np.maximum(t - 1, 0)
    changes = np.flatnonzero(np.diff(got))
    if changes.size and changes[0] > 0:
        n = int(changes[0]) + 1
        yield f"it advances once in {n} steps, as once per epoch", t // n
    for n in range(2, MOST + 1):
        yield f"it advances {n} steps at a time", t * n
