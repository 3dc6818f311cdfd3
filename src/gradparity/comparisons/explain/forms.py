"""Find the usual form of a formula that explains results which the best form cannot have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray
from ...core.arithmetic.precision import Precision
from ...core.arithmetic.rounding import Forms
from ...core.network.quantity import Quantity
from ..findings.finding import Power, Verdict
from ..measure.levels import Levels
from ..measure.measured import Measured

__all__ = ["UsualForm", "found_form", "usual_form"]

#: An element with fewer decimal digits than this has none left.
NO_DIGIT = 0.3
#: So many different elements that are off by one factor are a mistake, and not a loss of digits ...
ALIKE = 5
#: ... if the factor differs from 1 by so many times what the bounds leave open.
DIFFERS = 8.0


#: From so many elements on, the forms of an elementwise op are evaluated where they are asked for.
LARGE = 2048


@dataclass(frozen=True)
class UsualForm:
    """A usual form that explains a quantity.

    Attributes
    ----------
    names : the form, such as "1 - y^2", and the one that is nested in it, if any.
    own_output : whether it is explained by the implementation's own stored output.
    measured : error and bound of each element; those of the form where the best one is exceeded.
    digits : decimal digits left of each element, at most those of the number format.
    known : the elements that the careful bound leaves a digit of.
    explained : the elements that only the form explains.
    precision : the number format.
    """

    names: tuple[str, ...]
    own_output: bool
    measured: Measured
    digits: NDArray
    known: NDArray
    explained: NDArray
    precision: Precision

    @property
    def name(self) -> str:
        """The forms in words."""
        return " with ".join(self.names)

    @property
    def _full(self) -> float:
        return float(self.precision.digits * np.log10(2.0))

    @property
    def verdict(self) -> Verdict:
        """Rounding where each element keeps half of its digits; vacuous where none keeps one."""
        left = self.digits[self.known]
        if left.size and (left < NO_DIGIT).all():
            return Verdict.VACUOUS
        return Verdict.LOSSY if (left < self._full / 2).any() else Verdict.ROUNDING

    def power(self, free: Array) -> Power | None:
        """The faults that would have been seen; what only the form explains is not tested."""
        found = self.measured.power(self.explained | free)
        untested = int(self.explained.sum())
        return None if found is None else replace(found, untested=found.untested + untested)

    @property
    def note(self) -> str:
        """The form, and what it costs; empty where it costs less than half of the digits."""
        if self.verdict is Verdict.ROUNDING:
            return ""
        left = np.where(self.known, self.digits, np.inf)
        at = tuple(int(i) for i in np.unravel_index(int(np.argmin(left)), left.shape))
        got, want = self.measured.got[at], self.measured.want[at]
        middle = float(np.median(self.digits[self.known]))
        own = " of its own output" if self.own_output else ""
        return (
            f"as a usual form gives it, such as {self.name}{own}: {left[at]:.1f} of "
            f"{self._full:.1f} digits are left at {list(at)} (got {got:.4g}, true {want:.4g}), "
            f"{middle:.1f} in the median"
        )


def usual_form(
    q: Quantity,
    levels: Levels,
    got: NDArray,
    inputs: NDArray | None = None,
    *,
    nearest: bool = True,
) -> UsualForm | None:
    """The nearest usual form that explains every element which the careful bound does not.

    Parameters
    ----------
    q, levels : the quantity, and the references at its place.
    got : the implementation's result.
    inputs : what an elementwise op took.  None for other ops, of which a whole row may be off by
        one factor, that of the number it was multiplied by.
    nearest : whether to compare all that explain it; else the first one will do.
    """
    careful = levels.worst_case(q)
    # A sum that is within its worst case may still be off by more than its roundings scatter.
    sharp = not careful.outside.any()
    careful = levels.measured(q, levels.roundings[0])[1] if sharp else careful
    off = careful.outside
    if not off.any() or not np.isfinite(np.asarray(got, np.float64)[off]).all():
        return None
    at = _few(q, levels, careful, inputs)
    best: tuple[float, UsualForm] | None = None
    for own_output in (True, False) if q.is_gradient else (False,):
        if nearest and not _possible(q, levels, off, own_output, sharp, at):
            continue
        alike = _one_factor(careful, inputs) and (inputs is not None or not _in_one_slice(off))
        asked = nearest
        for forms in _in_turn(q, levels, own_output, sharp, at, nearest):
            if best is not None and (not nearest or len(forms.chosen) > len(best[1].names)):
                break  # nothing is nested where a form alone explains it
            if len(forms.chosen) > 1 and not asked:
                asked = True
                if not _possible(q, levels, off, own_output, sharp, at):
                    break
            there = levels.in_forms(q, forms, sharp)
            inside = (there.error <= there.bound) & np.isfinite(there.bound)
            if (off & ~inside).any():
                continue
            if alike and not (there.error[off] * DIFFERS <= careful.error[off]).all():
                continue  # equal inputs are off by one factor too, but by the one the form has
            away = float(there.error[off].sum())
            if best is None or away < best[0]:
                best = away, found_form(forms.chosen, own_output, careful, there, levels.precision)
        if best is not None:
            return best[1]
    return None


def _few(q: Quantity, levels: Levels, careful: Measured, inputs: NDArray | None) -> NDArray | None:
    """The elements that a form has to explain, where the op is elementwise and they are few."""
    off = np.asarray(careful.outside)
    if inputs is None or inputs.shape != off.shape or off.size < LARGE or 4 * off.sum() > off.size:
        return None
    e = levels.at(levels.roundings[0])[q]
    return None if e.valid is not None or np.any(e.lost) else off


def _possible(
    q: Quantity, levels: Levels, off: Array, own_output: bool, sharp: bool, at: NDArray | None
) -> bool:
    """Whether what is off is within what all forms together can be off."""
    every = levels.forms(own_output=own_output, every=True, at=at)
    widest = levels.in_forms(q, every, sharp)
    return bool(every.met) and not (off & ~(widest.error <= widest.bound)).any()


def _in_turn(
    q: Quantity,
    levels: Levels,
    own_output: bool,
    sharp: bool,
    at: NDArray | None = None,
    nearest: bool = True,
) -> Iterator[Forms]:
    """The forms that the formula meets, one at a time, then with those that are nested in them.

    Which are nested in one is known once it has been evaluated.  Where the first one will do, a
    gradient begins with the forms that it alone meets, which come last.
    """
    outer = levels.forms((), own_output, at=at)
    levels.in_forms(q, outer, sharp)
    pairs: list[tuple[str, ...]] = []
    for name in reversed(outer.met) if q.is_gradient and not nearest else outer.met:
        alone = levels.forms((name,), own_output, at=at)
        yield alone
        pairs += [(name, other) for other in alone.met if other not in outer.met or other > name]
    yield from (levels.forms(pair, own_output, at=at) for pair in pairs)


def found_form(
    names: tuple[str, ...],
    own_output: bool,
    careful: Measured,
    there: Measured,
    precision: Precision,
) -> UsualForm:
    """The form that explains what is outside `careful`, with `there` as the measurement by it."""
    off, full = careful.outside, float(precision.digits * np.log10(2.0))
    got, want = np.asarray(careful.got, np.float64), np.asarray(careful.want)
    with np.errstate(all="ignore"):
        left = np.clip(-np.log10(np.abs(got - want) / np.abs(want)), 0.0, full) + 0.0
    known = (np.abs(want) > careful.bound) & np.isfinite(want)
    measured = replace(
        careful,
        error=np.where(off, there.error, careful.error),
        bound=np.where(off, there.bound, careful.bound),
    )
    digits = np.where(off & np.isfinite(left), left, full)
    return UsualForm(names, own_output, measured, digits, known, off, precision)


def _in_one_slice(off: Array) -> bool:
    """Whether all that is outside lies in one of several rows, columns or other slices."""
    for axis, length in enumerate(off.shape):
        others = tuple(a for a in range(off.ndim) if a != axis)
        if length > 1 and np.count_nonzero(off.any(axis=others)) == 1:
            return True
    return False


def _one_factor(careful: Measured, inputs: NDArray | None) -> bool:
    """Whether all that is outside is off by one factor, as far as the careful bound can tell."""
    off = careful.outside
    want = np.asarray(careful.want)[off]
    differing = want if inputs is None or inputs.shape != off.shape else inputs[off]
    if min(np.unique(want).size, np.unique(differing).size) < ALIKE:
        return False  # equal elements, or of equal inputs, are off alike whatever is wrong
    with np.errstate(all="ignore"):
        ratio = np.asarray(careful.got, np.float64)[off] / want
        slack = np.broadcast_to(careful.bound, off.shape)[off] / np.abs(want)
        factor = float(np.median(ratio))
        alike = np.abs(ratio - factor) <= slack * abs(factor)
    far = abs(factor - 1.0) > DIFFERS * float(np.median(slack))
    return bool(np.isfinite(ratio).all() and factor != 0.0 and far and alike.all())
