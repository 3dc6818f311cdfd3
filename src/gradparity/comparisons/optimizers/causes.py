"""Explain a wrong step: try common mistakes on the same numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.precision import Precision
from ...core.arithmetic.rounding import Rounding
from ...core.optimizers.clipping import ClipByNorm, ClipByValue
from ...core.optimizers.update import Moved, Update
from ..measure.at_node import Reference
from ..measure.levels import measure
from .evaluated import Variant, change_of, few_of, for_precision, references, value_of_state

__all__ = ["cause_of"]

#: How many parameters a mistake is tried on.
TRIED = 4
#: Factors that are this near to each other are the same.
SAME = 1e-4
#: Settings that are the decay of a state: the setting, its position, and the state.
DECAYS: tuple[tuple[str, int | None, str], ...] = (
    ("betas", 0, "exp_avg"),
    ("betas", 1, "exp_avg_sq"),
    ("betas", 1, "exp_inf"),
    ("alpha", None, "square_avg"),
    ("rho", None, "square_avg"),
    ("momentum", None, "momentum_buffer"),
)
#: Decays and numbers that are tried in their place where no state tells them.
USUAL_DECAYS = (0.5, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999)
USUAL_EXPONENTS = (-0.5, -0.6, -0.7, -0.75, -0.8, -0.9, -1.0)
USUAL_EPS = tuple(10.0**-k for k in range(2, 17))


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
        for words, variants in chain(_mistakes(pairs), _other_numbers(pairs)):
            if all(_fits(u, m, v) for (u, m), v in zip(pairs, variants, strict=True)):
                return words
        fits = _of_float32, _scaled_step, _scaled_parts, _scaled_gradient, _unmoved
        return next((words for fit in fits if (words := fit(pairs))), "")


def _mistakes(pairs: Sequence[tuple[Update, Moved]]) -> Iterator[tuple[str, list[Variant]]]:
    """A mistake in words, and what it makes of each step."""
    plain = [replace(Variant.of(u), rule=_rule(u, m)) for u, m in pairs]
    for i, (words, _) in enumerate(plain[0].rule.variants()):
        yield words, [replace(v, rule=list(v.rule.variants())[i][1]) for v in plain]
    if plain[0].rule.states:
        yield ("the parameter is moved by the state before the step, which is one step old",
               [replace(v, stale=v.rule.states) for v in plain])  # fmt: skip
    linear = plain[0].rule.linear
    if len(plain[0].rule.states) > 1 and linear:
        yield (f"the parameter is moved by {linear} before the step, which is one step old",
               [replace(v, stale=(linear,)) for v in plain])  # fmt: skip
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


def _other_numbers(pairs: Sequence[tuple[Update, Moved]]) -> Iterator[tuple[str, list[Variant]]]:
    """Other decays and another eps, in words, and what they make of each step."""
    plain = [replace(Variant.of(u), rule=_rule(u, m)) for u, m in pairs]
    rule = plain[0].rule
    for setting, i, state in DECAYS:
        if not hasattr(rule, setting) or not getattr(rule, setting):
            continue
        name, own = (setting, getattr(rule, setting))
        if i is not None:
            name, own = f"{setting}[{i}]", own[i]

        def other(value: float, v: Variant, setting: str = setting, i: int | None = i) -> Variant:
            given: Any = value
            if i is not None:
                betas = list(getattr(v.rule, setting))
                betas[i] = value
                given = tuple(betas)
            return replace(v, rule=replace(v.rule, **{setting: given}))

        fitted = _fitted_decay(pairs, plain, state, other)
        for value in dict.fromkeys((*fitted, *USUAL_DECAYS)):
            if value != own:
                words = f"{name} is {value:.6g}, not {own:.6g}"
                yield words, [other(value, v) for v in plain]
    yield from _other_eps(plain)
    if hasattr(rule, "beta2_decay"):
        for value in _exponents(pairs, plain):
            if value != rule.beta2_decay:
                yield (f"beta2_decay is {value:.6g}, not {rule.beta2_decay:.6g}",
                       [_with(v, beta2_decay=value) for v in plain])  # fmt: skip


def _with(variant: Variant, **settings: Any) -> Variant:
    return replace(variant, rule=replace(variant.rule, **settings))


def _other_eps(plain: Sequence[Variant]) -> Iterator[tuple[str, list[Variant]]]:
    """Another eps, which is a number or several."""
    own = getattr(plain[0].rule, "eps", 0.0)
    if not isinstance(own, tuple):
        for eps in USUAL_EPS if own else ():
            if eps != own:
                yield f"eps is {eps:g}, not {own:g}", [_with(v, eps=eps) for v in plain]
        return
    for i, one in enumerate(own):
        for eps in (0.0, *USUAL_EPS, 1e-30, 2.0**-23, 2.0**-52):
            if eps != one:
                given = (*own[:i], eps, *own[i + 1 :])
                name = f"eps[{i}]"
                right = "that of the number format" if one is None else f"{one:g}"
                words = f"{name} is {eps:g}, not {right}" if eps else f"{name} is left out"
                yield words, [_with(v, eps=given) for v in plain]


def _exponents(pairs: Sequence[tuple[Update, Moved]], plain: Sequence[Variant]) -> Iterator[float]:
    """Exponents of a decay 1 - t^x: the one that explains a state, and usual ones."""
    t = pairs[-1][0].step

    def other(decay: float, v: Variant) -> Variant:
        return _with(v, beta2_decay=math.log(1.0 - decay) / math.log(t))

    for state in pairs[-1][1].new if t > 1 else ():
        *_, decay = _fitted_decay(pairs, plain, state, other) or (0.0,)
        exact = math.log(1.0 - decay) / math.log(t)
        yield from (round(exact, digits) + 0.0 for digits in (1, 2, 3, 4))
        yield min(exact, 0.0)
    yield from USUAL_EXPONENTS


def _fitted_decay(
    pairs: Sequence[tuple[Update, Moved]],
    plain: Sequence[Variant],
    state: str,
    other: Callable[[float, Variant], Variant],
) -> list[float]:
    """The decay that explains a state, which is linear in it, with few digits and with all."""
    update, moved = pairs[-1]
    update, moved = _few(update, moved) if update.clip is None else (update, moved)
    if state not in moved.new:
        return []
    q = value_of_state(moved.name, state)
    try:
        low, high = (_of(_references(update, moved, other(b, plain[-1])), q) for b in (0.25, 0.75))
    except (KeyError, ZeroDivisionError, ValueError):
        return []
    if low is None or high is None:
        return []
    slope = 2.0 * (high.want.value - low.want.value)
    b = 0.25 + _fitted(low.got - low.want.value, slope)
    if not 0.0 <= b < 1.0:
        return []
    return [r for digits in (1, 2, 3, 4, 5) if 0.0 <= (r := round(b, digits)) < 1.0] + [b]


def _rule(update: Update, moved: Moved) -> Any:
    return for_precision(update.rule, moved.precision)


def _references(update: Update, moved: Moved, variant: Variant) -> list[Reference]:
    return references(update, moved, Rounding.of(Precision.of(moved.precision)), variant)


def _fits(update: Update, moved: Moved, variant: Variant) -> bool:
    """Whether every result is inside its bound, and none of them by having no bound."""
    if variant.clip is None and not _all_fit(*_few(update, moved), variant):
        return False
    return _all_fit(update, moved, variant)


def _few(update: Update, moved: Moved) -> tuple[Update, Moved]:
    """A step of some elements of a large parameter, where each element is by itself."""
    few = few_of(moved) if update.rule.elementwise else moved
    return (update, moved) if few is moved else (replace(update, parameters=(few,)), few)


def _all_fit(update: Update, moved: Moved, variant: Variant) -> bool:
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
    rule = pairs[0][0].rule
    if abs(factors[0]) < 1e-6:
        return "the parameter is not moved"
    if abs(factors[0] + 1.0) < SAME:
        return _of_wrong_sign(rule)
    said = f"the step is {factors[0]:.6g} times as large as it should be"
    return said if callable(rule.lr) else f"{said}, as with lr={rule.lr * factors[0]:.6g}"


def _of_wrong_sign(rule: Any) -> str:
    return f"the step {'descends' if rule.maximize else 'ascends'}: its sign is wrong"


def _scaled_parts(pairs: Sequence[tuple[Update, Moved]]) -> str:
    """A step, or a decoupled weight decay, that is a factor off while the other is right.

    The states have to be right.  A rule without a weight decay may have been given one.
    """
    rule, parts = pairs[0][0].rule, []
    decays = bool(rule.decoupled and rule.weight_decay)
    for update, moved in pairs:
        own = _rule(update, moved)
        found = _references(update, moved, replace(Variant.of(update), rule=own))
        change = _of(found, change_of(moved.name))
        assert change is not None
        rounding = Rounding.of(Precision.of(moved.precision))
        if any(measure(e, rounding).outside.any() for e in found if e is not change):
            return ""
        factor = float(own.rate(update.step, moved.before)) if own.decay_by_lr else 1.0
        decay = -factor * (own.weight_decay if decays else 1.0) * np.asarray(moved.before, float)
        step = change.want.value - (decay if decays else 0.0)
        parts.append((change.got, step, decay, change.want.full_error()))
    if decays and (c := _one_factor([(got - d, s, room) for got, s, d, room in parts])):
        if abs(c + 1.0) < SAME:
            return _of_wrong_sign(rule)
        return f"the step without the weight decay is {c:.6g} times as large as it should be"
    a = _one_factor([(got - s, d, room) for got, s, d, room in parts])
    if not a:
        return ""
    if decays:
        return (f"the weight decay is {a:.6g} times as large as it should be, as with "
                f"weight_decay={a * rule.weight_decay:.6g}")  # fmt: skip
    return f"the parameter is decayed besides, as by a decoupled weight_decay={a:.6g}"


def _one_factor(columns: Sequence[tuple[NDArray, NDArray, NDArray]]) -> float:
    """The factor of the wanted numbers that explains what was got in all steps; 0 if none does.

    Parameters
    ----------
    columns : what was got, what was wanted, and how far the one may be from the other.
    """
    c = _fitted(columns[0][0], columns[0][1])
    for got, want, room in columns:
        if not np.all(np.abs(got - c * want) <= 1.01 * max(1.0, abs(c)) * room):
            return 0.0
    return c


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
