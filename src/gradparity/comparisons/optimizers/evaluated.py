"""The reference of one step: the rule on the implementation's own numbers, in `Bounded` arithmetic.

Each state is computed from the implementation's own state before the step, and the parameter from
its own state after it, so that no error of one enters the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.precision import Precision
from ...core.arithmetic.rounding import Rounding
from ...core.network.quantity import Quantity
from ...core.optimizers.clipping import Clip
from ...core.optimizers.update import Moved, Update
from ..measure.at_node import Reference

__all__ = ["Variant", "change_of", "few_of", "for_precision", "references", "value_of_state"]

#: How many elements are evaluated at a time.
PIECE = 1 << 18
#: How many elements of a large parameter a mistake is tried on first.
FEW = 1 << 12


@dataclass(frozen=True)
class Variant:
    """A way to make the step otherwise than the update says.

    Attributes
    ----------
    rule, clip : in place of the update's own.
    stale : the states that move the parameter as they were before the step.
    ahead : what is added to the number of the step.
    factor : what the gradient is multiplied by.
    clip_after_decay : whether a coupled weight decay is clipped with the gradient.
    """

    rule: Any
    clip: Clip | None = None
    stale: tuple[str, ...] = ()
    ahead: int = 0
    factor: float = 1.0
    clip_after_decay: bool = False

    @classmethod
    def of(cls, update: Update) -> Variant:
        """The update as it is."""
        return cls(update.rule, update.clip)


def change_of(name: str) -> Quantity:
    """The name of the amount that a step adds to a parameter."""
    return Quantity.update(name)


def value_of_state(name: str, state: str) -> Quantity:
    """The name of a state of a parameter."""
    return Quantity.value(f"{name}.{state}")


def for_precision(rule: Any, precision: str) -> Any:
    """The rule, with corrections that have errors of their own where float64 would show them."""
    return replace(rule, in_format=rule.in_format or precision == "float64")


@np.errstate(all="ignore")
def references(
    update: Update, moved: Moved, rounding: Rounding, variant: Variant | None = None
) -> list[Reference]:
    """The change of a parameter and its states, got and wanted."""
    variant = variant or Variant.of(update)
    gradient = _clipped(update, moved, rounding, variant)
    found = _in_pieces(
        lambda m, g: _evaluated(m, g, update.step, rounding, variant),
        moved,
        gradient,
        variant.rule.elementwise,
    )
    before = np.asarray(moved.before, np.float64)
    got = np.asarray(moved.after, np.float64) - before
    want = found.pop("").value - before
    # Both differences are rounded to float64.
    own = 2.0**-52 * (np.abs(got) + np.abs(want))
    after = found.pop("error").value + own
    kept = [Reference(change_of(moved.name), got, Bounded(want, after, rounding))]
    for state, value in found.items():
        if state in moved.new:
            q, at = value_of_state(moved.name, state), np.asarray(moved.new[state], np.float64)
            kept.append(Reference(q, at, value))
    return kept


def _clipped(update: Update, moved: Moved, rounding: Rounding, variant: Variant) -> Bounded:
    """The gradient of one parameter as the rule takes it."""
    gradients = [Bounded.exactly(m.gradient, rounding) for m in update.parameters]
    own = next(i for i, m in enumerate(update.parameters) if m is moved)
    if variant.clip is not None:
        if variant.clip_after_decay:
            gradients = [
                variant.rule.taken(Bounded.exactly(m.before, rounding), g)
                for m, g in zip(update.parameters, gradients, strict=True)
            ]
        gradients = variant.clip.clip(gradients)
    found: Any = gradients[own]
    scaled: Bounded = found if variant.factor == 1.0 else found * variant.factor
    return scaled


def _in_pieces(
    f: Callable[[Moved, Bounded], Mapping[str, Bounded]],
    moved: Moved,
    gradient: Bounded,
    elementwise: bool,
) -> dict[str, Bounded]:
    """The same for all elements, some at a time where the rule takes each element alone."""
    n, shape = moved.before.size, moved.before.shape
    if n <= PIECE or not elementwise:
        return dict(f(moved, gradient))
    flat: Any = gradient.reshape(n)
    parts = []
    for first in range(0, n, PIECE):
        at = slice(first, first + PIECE)
        parts.append(f(_piece(moved, at), flat[at]))
    joined: dict[str, Bounded] = {}
    for name, found in parts[0].items():
        if found.ndim == 0:
            joined[name] = found
            continue
        value = np.concatenate([part[name].value for part in parts]).reshape(shape)
        error = np.concatenate([part[name].full_error() for part in parts]).reshape(shape)
        joined[name] = Bounded(value, error, found.rounding)
    return joined


def few_of(moved: Moved) -> Moved:
    """Some elements of a large parameter."""
    return moved if moved.before.size <= FEW else _piece(moved, slice(FEW))


def _piece(moved: Moved, at: slice) -> Moved:
    def cut(a: NDArray) -> NDArray:
        return a.reshape(-1)[at] if a.shape == moved.before.shape else a

    return replace(
        moved,
        before=cut(moved.before),
        gradient=cut(moved.gradient),
        after=cut(moved.after),
        old={name: cut(a) for name, a in moved.old.items()},
        new={name: cut(a) for name, a in moved.new.items()},
        previous=None if moved.previous is None else _piece(moved.previous, at),
    )


def _evaluated(
    moved: Moved, gradient: Bounded, step: int, rounding: Rounding, variant: Variant
) -> dict[str, Bounded]:
    """The states after the step; the parameter as "", and its bound once more as "error"."""
    rule, t = variant.rule, step + variant.ahead
    p = Bounded.exactly(moved.before, rounding)
    g = gradient if variant.clip_after_decay else rule.taken(p, gradient)
    old = _before(moved, step, rounding, variant)
    new = rule.advance(g, old, t)
    used: dict[str, Any] = {
        **new,
        **{n: Bounded.rounded(a, rounding) for n, a in moved.new.items() if n in new},
    }
    stale = {name: old[name] for name in variant.stale if name in old}
    after = rule.moved(p, g, old, {**used, **stale}, t)
    error = Bounded(np.asarray(after.full_error()), 0.0, rounding)
    return {"": after, "error": error, **new}


def _before(moved: Moved, step: int, rounding: Rounding, variant: Variant) -> dict[str, Any]:
    """The state before a step: as it is known, or as the steps before have made it."""
    known = {name: Bounded.exactly(a, rounding) for name, a in moved.old.items()}
    rule = variant.rule
    missing = [name for name in rule.states_of(moved.before.shape) if name not in known]
    if not missing:
        return known
    p = Bounded.exactly(moved.before, rounding)
    if moved.previous is None:
        start = {name: Bounded.lift(a, rounding) for name, a in rule.start(p).items()}
        return {**start, **known}
    past = moved.previous
    before = _before(past, step - 1, rounding, variant)
    g = rule.taken(Bounded.exactly(past.before, rounding), Bounded.exactly(past.gradient, rounding))
    carried = rule.advance(g, before, step - 1 + variant.ahead)
    return {**{name: carried[name] for name in missing if name in carried}, **known}


def format_of_state(moved: Moved, state: str) -> str:
    """The number format that a state is judged in: the coarser of its own and the parameter's."""
    own, other = moved.precision, str(moved.new[state].dtype)
    known = [Precision.of(name) for name in (own, other) if name in ("float64", "float32", own)]
    return max(known, key=lambda p: p.unit).name


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in a sentence."""
    few = ", ".join(names[:most])
    return few if len(names) <= most else f"{few} and {len(names) - most} more"
