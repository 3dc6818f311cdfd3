"""At a kink any element of the subdifferential is valid: how far outside it, and what was taken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...core.arithmetic.arrays import Array
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.rounding import Rounding
from ...core.formulas.op import Slopes, Ties
from ..findings.finding import Census
from .at_node import Expected

__all__ = ["Kinks", "at_kink", "census", "distance_from_valid"]


@dataclass(frozen=True)
class Kinks:
    """A census, and whether anything but the network's own choice was taken."""

    census: Census
    other: bool


def at_kink(valid: Slopes | Ties) -> Array:
    """The elements where more than one gradient is valid, (T, D)."""
    if isinstance(valid, Slopes):
        return valid.at
    tied = [valid.winners[:, group] for group in _groups(valid)]
    several = [group & (group.sum(axis=-1, keepdims=True) > 1) for group in tied]
    return np.concatenate(several, axis=-1)


def distance_from_valid(
    e: Expected, error: Array, bound: Array, rounding: Rounding
) -> tuple[Array, Array]:
    """Error and bound with the elements at a kink measured from the nearest valid gradient."""
    got = np.asarray(e.got, dtype=np.float64)
    dz = np.asarray(e.upstream, dtype=np.float64)
    if isinstance(e.valid, Slopes):
        arrives = Bounded.exactly(dz, rounding)
        one, other = (
            Bounded.rounded(slope, rounding) * arrives for slope in (e.valid.low, e.valid.high)
        )
        low, high = np.minimum(one.value, other.value), np.maximum(one.value, other.value)
        away = np.maximum(np.maximum(low - got, got - high), 0.0)
        away = np.where(np.isnan(got), np.nan, away)
        allowed = np.maximum(one.full_error(), other.full_error())
        return np.where(e.valid.at, away, error), np.where(e.valid.at, allowed, bound)
    assert isinstance(e.valid, Ties)
    return _distance_from_simplex(e.valid, got, dz, error, bound, rounding)


def _distance_from_simplex(
    valid: Ties, got: Array, dz: Array, error: Array, bound: Array, rounding: Rounding
) -> tuple[Array, Array]:
    """Weights >= 0 on the tied inputs, zero elsewhere, and summing to one."""
    errors, bounds = [], []
    for i, group in enumerate(_groups(valid)):
        tied, arrives, g = valid.winners[:, group], dz[:, i : i + 1], got[:, group]
        several = tied.sum(axis=-1, keepdims=True) > 1
        low, high = np.minimum(arrives, 0.0), np.maximum(arrives, 0.0)
        away = np.where(tied, np.maximum(np.maximum(low - g, g - high), 0.0), np.abs(g))
        # Each share is a rounded product; a sum that is off is charged to every tied input.
        total = Bounded.rounded(g, rounding).sum(axis=-1, keepdims=True)
        excess = np.abs(total.value - arrives)
        allowed = total.full_error() + Bounded.rounded(arrives, rounding).error
        away = np.where(tied, np.maximum(away, np.where(excess > allowed, excess, 0.0)), away)
        away = np.where(np.isnan(g), np.nan, away)
        errors.append(np.where(several, away, error[:, group]))
        bounds.append(np.where(several, allowed, bound[:, group]))
    return np.concatenate(errors, axis=-1), np.concatenate(bounds, axis=-1)


def census(e: Expected, rounding: Rounding) -> Kinks:
    """What the implementation took at the kinks of one op, against what the network names."""
    got = np.asarray(e.got, dtype=np.float64)
    dz = np.asarray(e.upstream, dtype=np.float64)
    if isinstance(e.valid, Slopes):
        return _census_of_slopes(e, e.valid, got, dz, rounding)
    assert isinstance(e.valid, Ties)
    return _census_of_ties(e, e.valid, got, dz, rounding)


def _census_of_slopes(
    e: Expected, valid: Slopes, got: Array, dz: Array, rounding: Rounding
) -> Kinks:
    arrives = valid.at & (np.abs(dz) >= rounding.tiny) & np.isfinite(dz)
    ours = e.want.value[arrives] / dz[arrives]
    theirs = got[arrives] / dz[arrives]
    low, high = valid.low[valid.at], valid.high[valid.at]
    different = np.abs(got - e.want.value)[arrives] > (
        e.want.full_error()[arrives] + rounding.u * np.abs(dz[arrives])
    )
    return Kinks(
        Census(
            count=int(valid.at.sum()),
            taken=_counts(_slope(s) for s in theirs),
            reference=" or ".join(_counts(_slope(s) for s in ours)) or "any",
            valid=" or ".join(
                sorted({f"[{_slope(a)}, {_slope(b)}]" for a, b in zip(low, high, strict=True)})
            ),
            undetermined=int((valid.at & ~arrives).sum()),
        ),
        bool(different.any()),
    )


def _census_of_ties(e: Expected, valid: Ties, got: Array, dz: Array, rounding: Rounding) -> Kinks:
    taken: list[str] = []
    ours: list[str] = []
    count = undetermined = 0
    for i, group in enumerate(_groups(valid)):
        tied = valid.winners[:, group]
        for t in np.flatnonzero(tied.sum(axis=-1) > 1):
            count += 1
            if not rounding.tiny <= abs(dz[t, i]) <= rounding.largest:
                undetermined += 1
                continue
            tolerance = 4 * rounding.u
            taken.append(_rule(got[t, group] / dz[t, i], tied[t], tolerance))
            ours.append(_rule(e.want.value[t, group] / dz[t, i], tied[t], tolerance))
    return Kinks(
        Census(
            count=count,
            taken=_counts(taken),
            reference=" or ".join(_counts(ours)) or "any",
            valid="weights >= 0 that sum to 1",
            undetermined=undetermined,
        ),
        taken != ours,
    )


def _rule(weights: Array, tied: Array, tolerance: float) -> str:
    """The name of the rule that gives these weights: first, last, even, or mixed."""
    w = weights[tied]
    for name, rule in (
        ("first", np.eye(w.size)[0]),
        ("last", np.eye(w.size)[-1]),
        ("even", np.full(w.size, 1 / w.size)),
    ):
        if np.all(np.abs(w - rule) <= tolerance):
            return name
    return "mixed"


def _groups(valid: Ties) -> list[slice]:
    cuts = np.cumsum((0, *valid.sizes))
    return [slice(int(a), int(b)) for a, b in pairwise(cuts)]


def _slope(s: float) -> str:
    return f"{float(s):.4g}".replace("-0", "0") if s == 0 else f"{float(s):.4g}"


def _counts(names: object) -> dict[str, int]:
    counted = Counter(names)  # type: ignore[call-overload]
    return dict(sorted(counted.items(), key=lambda item: -item[1]))
