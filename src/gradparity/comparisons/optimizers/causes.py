"""Why a step is wrong, by fit: mistakes that are often made are tried on the same numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.arithmetic.precision import Precision
from ...core.arithmetic.rounding import Rounding
from ...core.optimizers.clipping import ClipByNorm, ClipByValue
from ...core.optimizers.update import Moved, Update
from ..measure.at_node import Reference
from ..measure.levels import measure
from .evaluated import Variant, change_of, for_precision, references, value_of_state

__all__ = ["cause_of"]

#: How many parameters a mistake is tried on.
TRIED = 4


def cause_of(updates: Sequence[Update], names: Sequence[str]) -> str:
    """The mistake that explains these parameters in all steps, in words; "" if none does.

    Parameters
    ----------
    updates : successive steps with one rule.
    names : the parameters of which something is outside its bound, in any of the steps.
    """
    pairs = [(u, m) for u in updates for m in u.parameters if m.name in names[:TRIED]]
    if not pairs:
        return ""
    with np.errstate(all="ignore"):
        for words, variants in _mistakes(pairs):
            if all(_fits(u, m, v) for (u, m), v in zip(pairs, variants, strict=True)):
                return words
        fits = _of_float32, _scaled_step, _scaled_gradient, _unmoved
        return next((words for fit in fits if (words := fit(pairs))), "")


def _mistakes(pairs: Sequence[tuple[Update, Moved]]) -> Iterator[tuple[str, list[Variant]]]:
    """A mistake in words, and what it makes of each step."""
    plain = [replace(Variant.of(u), rule=_rule(u, m)) for u, m in pairs]
    for i, (words, _) in enumerate(plain[0].rule.variants()):
        yield words, [replace(v, rule=list(v.rule.variants())[i][1]) for v in plain]
    if plain[0].rule.states:
        yield ("the parameter is moved by the state before the step, which is one step old",
               [replace(v, stale=True) for v in plain])  # fmt: skip
    for ahead, words in ((-1, "too low by one"), (1, "too high by one")):
        if all(u.step + ahead > 0 for u, _ in pairs):
            yield (f"the number of the step is {words} in the bias correction or the schedule",
                   [replace(v, ahead=ahead) for v in plain])  # fmt: skip
    clip = plain[0].clip
    if clip is not None:
        yield "the gradient is not clipped", [replace(v, clip=None) for v in plain]
        if plain[0].rule.weight_decay and not plain[0].rule.decoupled:
            yield ("the gradient is clipped after the weight decay is added to it",
                   [replace(v, clip_after_decay=True) for v in plain])  # fmt: skip
    if isinstance(clip, ClipByNorm):
        each = "one norm for all tensors" if clip.each else "a norm of its own for every tensor"
        yield (f"the gradient is clipped by {each}",
               [replace(v, clip=replace(clip, each=not clip.each)) for v in plain])  # fmt: skip
        other = 0.0 if clip.eps else 1e-6
        yield (f"the norm has {other:g} added to it before it divides",
               [replace(v, clip=replace(clip, eps=other)) for v in plain])  # fmt: skip
        yield ("the gradient is clipped by value, not by norm",
               [replace(v, clip=ClipByValue(clip.most)) for v in plain])  # fmt: skip
    elif isinstance(clip, ClipByValue):
        yield ("the gradient is clipped by norm, not by value",
               [replace(v, clip=ClipByNorm(clip.most)) for v in plain])  # fmt: skip


def _rule(update: Update, moved: Moved) -> Any:
    return for_precision(update.rule, moved.precision)


def _references(update: Update, moved: Moved, variant: Variant) -> list[Reference]:
    return references(update, moved, Rounding.of(Precision.of(moved.precision)), variant)


def _fits(update: Update, moved: Moved, variant: Variant) -> bool:
    """Whether every result is inside its bound, and none of them by having no bound."""
    rounding = Rounding.of(Precision.of(moved.precision))
    try:
        found = _references(update, moved, variant)
    except (KeyError, ZeroDivisionError, ValueError):  # no such state in the first step
        return False
    expected = {value_of_state(moved.name, state) for state in moved.new}
    if not expected <= {e.quantity for e in found} | {
        value_of_state(moved.name, s) for s in moved.new if s not in update.rule.states
    }:
        return False
    measured = [measure(e, rounding) for e in found]
    return not any(m.outside.any() or np.any(m.undecidable) for m in measured)


def _of(found: Sequence[Reference], quantity: str) -> Reference | None:
    return next((e for e in found if e.quantity == quantity), None)


def _fitted(got: Any, want: Any) -> float:
    """The factor of the wanted numbers that comes nearest to what was got."""
    size = float(np.sum(want * want))
    return float(np.sum(got * want)) / size if size and np.isfinite(size) else float("nan")


def _of_float32(pairs: Sequence[tuple[Update, Moved]]) -> str:
    """Steps in float64 whose size, or decoupled weight decay, has the rounding of float32."""
    for update, moved in pairs:
        if moved.precision != "float64":
            return ""
        variant = replace(Variant.of(update), rule=_rule(update, moved))
        found = _references(update, moved, variant)
        change = _of(found, change_of(moved.name))
        assert change is not None
        rounding, want = Rounding.of("float64"), np.ravel(change.want.value)
        columns = np.stack([want, np.ravel(moved.before)], axis=1)
        rest = np.ravel(change.got) - want
        if not np.isfinite(columns).all() or not np.isfinite(rest).all():
            return ""
        factors, *_ = np.linalg.lstsq(columns, rest, rcond=None)
        near = np.abs(rest - columns @ factors) <= 1.01 * np.ravel(change.want.full_error())
        others = [measure(e, rounding) for e in found if e is not change]
        if max(abs(factors)) > 2.0**-22 or not near.all() or any(m.outside.any() for m in others):
            return ""
    return "the step size is computed in float32, as with a tensor of float32 for lr"


def _scaled_step(pairs: Sequence[tuple[Update, Moved]]) -> str:
    """A step that is too large or too small by one factor, with states that are right."""
    factors: list[float] = []
    for update, moved in pairs:
        variant = replace(Variant.of(update), rule=_rule(update, moved))
        found = _references(update, moved, variant)
        change = _of(found, change_of(moved.name))
        assert change is not None
        c = factors[0] if factors else _fitted(change.got, change.want.value)
        room = change.want.full_error() * max(1.0, abs(c))
        rounding = Rounding.of(Precision.of(moved.precision))
        others = [measure(e, rounding) for e in found if e is not change]
        near = np.abs(change.got - c * change.want.value) <= room * 1.01
        if not near.all() or any(m.outside.any() for m in others):
            return ""
        factors.append(c)
    lr = pairs[0][0].rule.lr
    if abs(factors[0]) < 1e-6:
        return "the parameter is not moved"
    said = f"the step is {factors[0]:.6g} times as large as it should be"
    return said if callable(lr) else f"{said}, as with lr={lr * factors[0]:.6g}"


def _scaled_gradient(pairs: Sequence[tuple[Update, Moved]]) -> str:
    """A gradient that was multiplied by one factor before it was taken."""
    update, moved = pairs[0]
    linear = update.rule.linear
    if not linear or linear not in moved.new:
        return ""
    plain = replace(Variant.of(update), rule=_rule(update, moved))
    name = value_of_state(moved.name, linear)
    one = _of(_references(update, moved, plain), name)
    zero = _of(_references(update, moved, replace(plain, factor=0.0)), name)
    if one is None or zero is None:
        return ""
    c = _fitted(one.got - zero.want.value, one.want.value - zero.want.value)
    if not np.isfinite(c):
        return ""
    for update, moved in pairs:
        plain = replace(Variant.of(update), rule=_rule(update, moved), factor=c)
        if not _fits(update, moved, plain):
            return ""
    return f"the gradient is multiplied by {c:.6g} before it is taken"


def _unmoved(pairs: Sequence[tuple[Update, Moved]]) -> str:
    """Elements that a step leaves as they are, where all others are right."""
    unmoved = total = 0
    for update, moved in pairs:
        rounding = Rounding.of(Precision.of(moved.precision))
        found = _references(update, moved, replace(Variant.of(update), rule=_rule(update, moved)))
        change = _of(found, change_of(moved.name))
        assert change is not None
        outside = measure(change, rounding).outside
        if np.any(change.got[outside]) or any(
            measure(e, rounding).outside.any() for e in found if e is not change
        ):
            return ""
        unmoved, total = unmoved + int(np.sum(change.got == 0)), total + change.got.size
    return f"{unmoved} of {total} elements are not moved" if unmoved else ""
