"""Equal values, such as the terms of a loss, that have other weights in two programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice, product

import numpy as np

from ...core.arithmetic.arrays import NDArray
from .gradients import Unpaired, arrived
from .programs.backward import with_gradients_in_float64
from .programs.side import Side
from .programs.values import NEAR, are_near

__all__ = ["other_weights"]

#: The most equal values whose weights are changed, and the most changes that are tried.
EQUAL, TRIED = 4, 48


def other_weights(
    sides: tuple[Side, Side], unpaired: Callable[[Side, Side], Unpaired]
) -> tuple[str, str]:
    """The node of the first program at which equal values have other weights, in words.

    No value shows it, as the sum is the same: only gradients do.  It is proved: with the weights
    of the other program, all gradients pair.  ("", "") if it is none.
    """
    one, other = sides
    gradients = arrived(one)
    for times in islice(_changes(one, other, gradients), TRIED):
        made = with_gradients_in_float64(one.program, times=times)
        if made is None:
            break
        if not any(unpaired(Side(made, one.near, one.known, one.effort), other)):
            moved = {n: factor for n, factor in times.items() if factor != 1.0}
            return one.makers[next(iter(moved))].place.node, _in_words(gradients, moved)
    return "", ""


def _changes(
    one: Side, other: Side, gradients: Mapping[str, NDArray]
) -> Iterator[dict[str, float]]:
    """Yield what the gradients of equal values are multiplied by, of those near the loss first.

    Each then has the gradient of an equal value of the other program.
    """
    there = arrived(other)
    for names in _equal(one, gradients):
        first = names[0]
        same = [n for n in other.partners.of(one.value[first]) if n in there]
        found = (_ratio(gradients[first], there[n]) for n in same)
        weights = dict.fromkeys(round(ratio, 12) for ratio in found if ratio is not None)
        own = [_ratio(gradients[first], gradients[n]) or 1.0 for n in names]
        for some in product(weights, repeat=len(names)):
            each = zip(names, some, own, strict=True)
            times = {n: weight / before for n, weight, before in each}
            times = {n: 1.0 if abs(t - 1) <= NEAR["float64"] else t for n, t in times.items()}
            if len(set(some)) > 1 and any(t != 1.0 for t in times.values()):
                yield times


def _equal(side: Side, gradients: Mapping[str, NDArray]) -> Iterator[tuple[str, ...]]:
    """Yield the names of equal values whose gradients are multiples of each other."""
    names = [n for call in reversed(side.program.calls) for n in side.program.gives(call)]
    left = [n for n in names if n in gradients and np.any(gradients[n])]
    while left:
        first = left[0]
        same = [n for n in left if are_near(side.value[first], side.value[n], side.near)]
        left = [n for n in left if n not in same]
        # One times a value is that value.
        made = [n for n in same if not any(o.source in same for o in side.makers[n].inputs)]
        some = [n for n in made if _ratio(gradients[first], gradients[n]) is not None]
        if 1 < len(some) <= EQUAL:
            yield tuple(some[::-1])


def _ratio(a: NDArray, b: NDArray) -> float | None:
    """The number that makes one gradient the other one; None if there is none."""
    i = int(np.abs(a).argmax())
    if a.shape != b.shape or not a.ravel()[i]:
        return None
    times = float(b.ravel()[i] / a.ravel()[i])
    return times if times and are_near(a * times, b, NEAR["float64"]) else None


def _in_words(gradients: Mapping[str, NDArray], times: Mapping[str, float]) -> str:
    """The weights of equal values here and there."""
    each = []
    for name, factor in times.items():
        dz = gradients[name]
        own, said = float(dz.ravel()[0]), f"{factor:.6g} times as large there"
        if dz.size == 1:
            said = f"{own:.6g} here and {own * factor:.6g} there"
        each.append(f"{said} by {name}")
    exchanged = abs(np.prod([*times.values()]) - 1) <= NEAR["float64"] and len(times) > 1
    weights = "their weights are exchanged there" if exchanged else "not their weights"
    said = f"{' and '.join(times)} are equal, but {weights}: the gradient is {', '.join(each)}"
    return f"{said}; with the weights there, all gradients pair"
