"""Why a quantity may be wrong: what it is instead, said in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, groupby, permutations

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray

__all__ = ["SEVERAL", "hint", "order_of_slices", "ranges", "where_it_is_wrong"]

#: How many bounds an explanation may leave.
ROOM = 4.0
#: Maximum number of comparisons of slices with each other.
PAIRS = 2_000_000
#: Maximum number of factors, or of slices in a new order, listed one by one.
SEVERAL = 4


def hint(got: Array, want: Array, bound: Array, *, vague: bool = True) -> str:
    """Describe the wrong tensor by the right one, or return "".

    Without `vague` it leaves out a description in which every slice has a number of its own.

    >>> hint(np.array([3.0, 6.0]), np.array([1.0, 2.0]), np.array([1e-9, 1e-9]))
    'every element is 3 times the formula'
    >>> want = np.arange(1.0, 9.0).reshape(4, 2)
    >>> hint(want[::-1], want, np.full((4, 2), 1e-9))
    'it is the formula mirrored: its rows are in reverse order'
    >>> hint(want * [[2], [2], [1], [1]], want, np.full((4, 2), 1e-9))
    'rows 0 to 1 are 2 times the formula; every other row is right'
    """
    got = np.asarray(got, dtype=np.float64)
    with np.errstate(all="ignore"):
        return next(_hints(got, want, np.broadcast_to(bound, want.shape), vague), "")


def _hints(got: NDArray, want: NDArray, bound: NDArray, vague: bool) -> Iterator[str]:
    telling = np.abs(want) > ROOM * bound  # elsewhere a ratio says nothing
    if not np.isfinite(got).all():
        n = int((~np.isfinite(got) & np.isfinite(want)).sum())
        yield f"{n} element{' is' if n == 1 else 's are'} not finite where the function is"
        return
    if not telling.any():
        return
    if not got.any():
        yield "every element is zero"
        return
    ratio = got[telling] / want[telling]
    factor = float(np.median(ratio))
    matters = bool((np.abs(factor - 1) * np.abs(want) > bound).any())
    if telling.sum() > 1 and matters and _is(got, factor * want, abs(factor) * bound):
        yield f"every element is {_factor(factor)} times the formula"
    away = float(np.median(got - want))
    if got.size > 1 and _is(got, want + away, bound) and (abs(away) > bound).any():
        yield f"{away:.6g} is added to every element"
    yield from _rearranged(got, want, bound)
    for axis in range(got.ndim):
        yield from _factors_of_slices(got, want, bound, axis, vague)


def where_it_is_wrong(got: Array, want: Array, bound: Array) -> str:
    """Describe which elements are wrong, where nothing says why; or return "".

    >>> want = np.arange(1.0, 7.0).reshape(3, 2)
    >>> where_it_is_wrong(want + [[0, 0], [1, 2], [0, 0]], want, np.full((3, 2), 1e-9))
    'only in row 1; every other row is right'
    """
    got = np.asarray(got, dtype=np.float64)
    outside = ~(np.abs(got - want) <= np.broadcast_to(bound, want.shape))
    if outside.sum() == 1 < got.size:
        return "all other elements are right"
    for axis in range(got.ndim if got.ndim > 1 else 0):
        (lines,) = np.nonzero(outside.any(axis=_others(got.ndim, axis)))
        if len(lines) == 1 < got.shape[axis]:
            one, _ = _slices(got.ndim, axis)
            return f"only in {one} {lines[0]}; every other {one.partition(' ')[0]} is right"
    if outside.sum() > 1 and not got[outside].any():
        return "every wrong element is zero where the formula is not"
    if outside.sum() > 1 and not want[outside].any():
        return "every wrong element should be zero"
    for axis in range(got.ndim if got.ndim > 1 else 0):
        (lines,) = np.nonzero(outside.any(axis=_others(got.ndim, axis)))
        if len(lines) <= min(SEVERAL, got.shape[axis] // 2) and outside.sum() > 1:
            one, several = _slices(got.ndim, axis)
            told = ranges(lines.tolist(), one, several)
            return f"only in {told}; every other {one.partition(' ')[0]} is right"
    return ""


def _is(got: NDArray, want: NDArray, bound: NDArray) -> bool:
    return bool(np.all(np.abs(got - want) <= ROOM * bound))


def _others(ndim: int, axis: int) -> tuple[int, ...]:
    return tuple(a for a in range(ndim) if a != axis)


def _slices(ndim: int, axis: int) -> tuple[str, str]:
    """The name of what lies along an axis: one, and several."""
    if ndim == 1:
        return "element", "elements"
    if ndim == 2:
        return ("row", "rows") if axis == 0 else ("column", "columns")
    return f"slice of axis {axis} at", f"slices of axis {axis} at"


def _factor(factor: float) -> str:
    """Format a factor with six digits, or by its difference from one.

    >>> _factor(3.0), _factor(1 + 1e-10)
    ('3', '(1 + 1.0e-10)')
    """
    if f"{factor:.6g}" != "1":
        return f"{factor:.6g}"
    return f"(1 {'+' if factor > 1 else '-'} {abs(factor - 1):.1e})"


# --- the right numbers in the wrong places ------------------------------------------------------


def _rearranged(got: NDArray, want: NDArray, bound: NDArray) -> Iterator[str]:
    """Right numbers with axes exchanged, mirrored, or with slices in another order."""
    if want.size < 2:
        return
    for axes in permutations(range(want.ndim)) if want.ndim <= 4 else ():
        if axes != tuple(range(want.ndim)) and want.transpose(axes).shape == got.shape:
            moved = want.transpose(axes), np.maximum(bound, bound.transpose(axes))
            if _is(got, *moved):
                how = "transposed" if want.ndim == 2 else f"with its axes in the order {axes}"
                yield f"it is the formula {how}"
    for axis in range(want.ndim):
        order = order_of_slices(got, want, bound, axis)
        if order is not None:
            yield f"it is the formula {_reordered(order, _slices(want.ndim, axis))}"
    for k in range(2, want.ndim + 1):
        for axes in combinations(range(want.ndim), k):
            if _is(got, np.flip(want, axes), np.maximum(bound, np.flip(bound, axes))):
                yield f"it is the formula mirrored along the axes {axes}"


def order_of_slices(got: NDArray, want: NDArray, bound: NDArray, axis: int) -> list[int] | None:
    """The order in which slices of the formula give the result; None if none does."""
    n = want.shape[axis]
    if n < 2 or n * want.size > PAIRS:
        return None
    g, w, b = (np.moveaxis(a, axis, 0).reshape(n, -1) for a in (got, want, bound))
    apart = np.abs(g[:, None] - w[None]) / np.maximum(b[:, None], b[None]).clip(5e-324)
    order = np.argmin(apart.max(axis=-1), axis=1)
    fits = apart.max(axis=-1)[np.arange(n), order] <= ROOM
    if not fits.all() or len(set(order.tolist())) < n or (order == np.arange(n)).all():
        return None
    return order.tolist()  # type: ignore[no-any-return]


def _reordered(order: Sequence[int], names: tuple[str, str]) -> str:
    """Describe an order of slices.

    >>> _reordered([1, 0, 2], ("row", "rows")), _reordered([2, 0, 1], ("row", "rows"))
    ('with its rows 0 and 1 exchanged', 'with its rows shifted by one')
    >>> _reordered([4, 5, 0, 1, 2, 3], ("column", "columns"))
    'with its columns shifted by 2'
    >>> _reordered([0, 1, 4, 5, 2, 3, 6, 7], ("column", "columns"))
    'with its columns in blocks of 2, in the order [0, 2, 1, 3]'
    """
    n, (one, several) = len(order), names
    together = several.removesuffix(" at")  # without the numbers of slices
    moved = [i for i, source in enumerate(order) if i != source]
    if n > 2 and list(order) == list(range(n))[::-1]:
        return f"mirrored: its {together} are in reverse order"
    if len(moved) == 2:
        return f"with its {several} {moved[0]} and {moved[1]} exchanged"
    shift = (-order[0]) % n
    if all(source == (i - shift) % n for i, source in enumerate(order)):
        by = min(shift, n - shift)
        return f"with its {together} shifted by {'one' if by == 1 else by}"
    for size in (k for k in range(n // 2, 1, -1) if n % k == 0):
        blocks = [order[i : i + size] for i in range(0, n, size)]
        if all(b[0] % size == 0 and list(b) == list(range(b[0], b[0] + size)) for b in blocks):
            turn = [b[0] // size for b in blocks]
            return f"with its {together} in blocks of {size}, in the order {turn}"
    listed = f" {list(order)}" if n <= 2 * SEVERAL else ""
    return f"with its {together} in another order{listed or f': {one} 0 is {order[0]}'}"


# --- a factor for each slice --------------------------------------------------------------------


def _factors_of_slices(
    got: NDArray, want: NDArray, bound: NDArray, axis: int, vague: bool
) -> Iterator[str]:
    """Slices that are multiples of the formula, such as the samples of one micro-batch."""
    n = want.shape[axis]
    if want.ndim < 2 or n < 2:
        return
    g, w, b = (np.moveaxis(a, axis, 0).reshape(n, -1) for a in (got, want, bound))
    telling = np.abs(w) > ROOM * b
    if (telling.sum(axis=1) < 2).any():  # one number is a multiple of any other
        return
    factors = np.array([np.median(a[t] / c[t]) for a, c, t in zip(g, w, telling, strict=True)])
    f = factors[:, None]
    if not (np.abs(g - f * w) <= ROOM * np.abs(f) * b + (f == 0) * b).all():
        return
    one, several = _slices(want.ndim, axis)
    right = (np.abs(f - 1) * np.abs(w) <= b).all(axis=1)
    rounded = ["" if r else _factor(float(x)) for x, r in zip(factors, right, strict=True)]
    wrong = list(dict.fromkeys(filter(None, rounded)))
    if not wrong:
        return
    if len(wrong) > SEVERAL:
        few = ", ".join(x or "1" for x in rounded[:SEVERAL])
        if vague:
            every = f"every {one.removesuffix(' at')} is a multiple of the formula"
            yield f"{every}, by factors of their own: {few}, ..."
        return
    said = []
    for factor in wrong:
        mine = [i for i, x in enumerate(rounded) if x == factor]
        verb = "is" if len(mine) == 1 else "are"
        said.append(f"{ranges(mine, one, several)} {verb} {factor} times the formula")
    rest = f"; every other {one.partition(' ')[0]} is right" if "" in rounded else ""
    yield f"{' and '.join(said)}{rest}"


def ranges(indices: Sequence[int], one: str, several: str) -> str:
    """Name what has these indices by their ranges.

    >>> ranges([0, 1, 2, 5], "row", "rows"), ranges([3], "row", "rows")
    ('rows 0 to 2 and 5', 'row 3')
    """
    runs = [
        [i for _, i in run]
        for _, run in groupby(enumerate(indices), lambda pair: pair[1] - pair[0])
    ]
    said = [f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs[:SEVERAL]]
    more = ", ..." if len(runs) > SEVERAL else ""
    listed = " and ".join(filter(None, [", ".join(said[:-1]), said[-1]]))
    return f"{one} {listed}" if len(indices) == 1 else f"{several} {listed}{more}"
