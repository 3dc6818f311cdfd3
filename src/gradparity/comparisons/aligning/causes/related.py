"""Name how constants of two programs, which were computed without a gradient, are related."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, permutations, product
from typing import Literal

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.activations import GELU, Sigmoid, SiLU, Tanh
from ....core.formulas.piecewise import ReLU
from ..programs.partners import HIDES
from ..programs.values import NEAR, are_near
from .positions import bases

__all__ = ["relation"]

#: The fewest different numbers of an array that a relation is named for.
FEW = 3
#: The shifts of labels that are tried, and the share that is the same with one.
SHIFTED, MOSTLY = (1, 2), 0.7
#: The most axes whose orders and shifts are tried, the most shifts, and the widest padding.
MOST_AXES, SHIFTS, WIDEST = 5, 64, 4
#: Functions that are applied to data in one of two programs.
FUNCTIONS: dict[str, Callable[[NDArray], NDArray]] = {
    "exponential": np.exp,
    "logarithm": np.log,
    "square": np.square,
    "square root": np.sqrt,
    "inverse (one divided by it)": np.reciprocal,
    "absolute value": np.abs,
    "sine": np.sin,
    "cosine": np.cos,
    **{op.name: op.forward for op in (ReLU(), Tanh(), Sigmoid(), SiLU(), GELU(), GELU("tanh"))},
}
Padding = Literal["constant", "edge", "reflect", "symmetric", "wrap"]
#: What NumPy calls a padding, and the word for it.
PADDINGS: dict[Padding, str] = {
    "constant": "zeros",
    "reflect": "reflect",
    "edge": "replicate",
    "symmetric": "symmetric",
    "wrap": "circular",
}


def relation(own: NDArray, there: NDArray) -> str | None:
    """The relation of another constant to this one, in words; None if it is not a simple one.

    In the sentence "{here}" and "{there}" stand for the two programs.

    >>> relation(np.array([1.0, 2.0, 4.0]), np.array([-1.0, -2.0, -4.0]))
    'negated {there}'
    """
    if own.size == there.size and own.dtype.kind in "iu" and there.dtype.kind in "iu":
        return _of_whole(own.ravel(), there.ravel())
    if own.size != there.size or own.dtype.kind != "f" or there.dtype.kind != "f":
        return None
    a, b = np.asarray(own, np.float64), np.asarray(there, np.float64).reshape(own.shape)
    with np.errstate(all="ignore"):
        return next(_found(a, b), None)


def _found(a: NDArray, b: NDArray) -> Iterator[str]:
    hidden = (a <= HIDES) | (b <= HIDES)
    if hidden.any():
        more = ", where it hides nothing"
        yield from (said + more for said in _by_numbers(a[~hidden], b[~hidden]))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return
    based = bases(a, b)
    if based is not None:
        yield (
            "of positions as cosines or sines, and "
            f"has the base {based[0]:.6g} {{here}} and {based[1]:.6g} {{there}}"
        )
    yield from _by_numbers(a, b)
    yield from _by_place(a, b)
    yield from _masked(a, b)
    yield from _padded(a, b)
    yield from _by_slices(a, b)


def _of_whole(a: NDArray, b: NDArray) -> str | None:
    """The relation of whole numbers, such as labels: all another number apart, or shifted."""
    apart = np.unique(b.astype(int) - a.astype(int))
    if apart.size == 1:
        return f"{abs(apart[0])} {'larger' if apart[0] > 0 else 'smaller'} {{there}}"
    for by in (s for k in SHIFTED for s in (k, -k) if 2 * k < a.size):
        same = a[:-by] == b[by:] if by > 0 else a[-by:] == b[:by]
        if same.mean() >= MOSTLY and np.unique(a).size >= FEW:
            return f"shifted by {by:+d} {{there}}, such as by one more or less token"
    return None


def _near(a: NDArray, b: NDArray) -> bool:
    finite = np.isfinite(a).all() and np.isfinite(b).all()
    return bool(finite) and are_near(a, b, NEAR["float64"])


def _by_numbers(a: NDArray, b: NDArray) -> Iterator[str]:
    """A factor, a term, both, or a function of each number."""
    if np.unique(a).size < FEW or np.unique(b).size < FEW or not np.isfinite([a, b]).all():
        return
    if _near(b, -a):
        yield "negated {there}"
    largest = np.unravel_index(int(np.abs(a).argmax()), a.shape)
    times = float(b[largest] / a[largest])
    if _near(b, a * times):
        yield f"{_in_words(times)} times as large {{there}}"
    plus = float((b - a).mean())
    if _near(b - plus, a):
        centre = abs(b.mean()) < 1e-9 < abs(a.mean())
        yield (
            f"centred {{there}}: its mean {a.mean():.6g} is subtracted"
            if centre
            else (f"{abs(plus):.6g} {'larger' if plus > 0 else 'smaller'} {{there}}")
        )
    for name, f in FUNCTIONS.items():
        if _near(f(a), b):
            yield f"replaced {{there}} by its {name}, which is left out {{here}}"
        elif _near(f(b), a):
            yield f"replaced {{here}} by its {name}, which is left out {{there}}"
    times, plus = (float(t) for t in np.polyfit(a.ravel(), b.ravel(), 1))
    if _near(b, a * times + plus):
        yield f"{times:.6g} times as large and {plus:+.6g} {{there}}"
    for axis in range(a.ndim):
        for what, made in _centred(a, axis):
            if _near(made, b):
                yield f"{what} along axis {axis} {{there}}"
        for what, made in _centred(b, axis):
            if _near(made, a):
                yield f"{what} along axis {axis} {{here}}"


def _centred(a: NDArray, axis: int) -> Iterator[tuple[str, NDArray]]:
    yield "centred, its mean subtracted,", a - a.mean(axis, keepdims=True)
    yield "divided by its sum", a / a.sum(axis, keepdims=True)
    yield "divided by its norm", a / np.sqrt((a * a).sum(axis, keepdims=True))
    yield "summed up from the first", a.cumsum(axis)
    yield "multiplied up from the first", a.cumprod(axis)


def _in_words(times: float) -> str:
    for name, unit in (("pi", np.pi), ("1/pi", 1 / np.pi)):
        whole = round(times / unit)
        if whole and abs(times - whole * unit) < 1e-9 * abs(times):
            return f"{times:.6g} ({name if whole == 1 else f'{whole} {name}'})"
    return f"{times:.6g}"


def _by_place(a: NDArray, b: NDArray) -> Iterator[str]:
    """The same numbers in another order."""
    if not _near(np.sort(a, axis=None), np.sort(b, axis=None)):
        return
    if a.ndim <= MOST_AXES:
        for order in permutations(range(a.ndim)):
            if order != (*range(a.ndim),) and _near(np.transpose(a, order).reshape(b.shape), b):
                how = "transposed" if a.ndim == 2 else f"transposed by {order}"
                yield f"{how} {{there}}"
    long = [axis for axis, n in enumerate(a.shape) if n > 1]
    for axes in (s for n in range(1, a.ndim + 1) for s in combinations(long, n)):
        if _near(np.flip(a, axes), b):
            yield f"mirrored along axis {', '.join(map(str, axes))} {{there}}"
    for axes in (s for n in (1, 2) for s in combinations(long, n)):
        shifts = [[*range(-(a.shape[i] // 2), 0), *range(1, a.shape[i] // 2 + 1)] for i in axes]
        for by in sorted(product(*shifts), key=lambda t: sum(map(abs, t)))[:SHIFTS]:
            if _near(np.roll(a, by, axes), b):
                moved = ", ".join(f"{k:+d} along axis {i}" for k, i in zip(by, axes, strict=True))
                yield f"rolled {{there}} by {moved}{_blocks(a.shape, by, axes)}"
    yield "{there} the same numbers in another order"


def _blocks(shape: tuple[int, ...], by: tuple[int, ...], axes: tuple[int, ...]) -> str:
    """A cyclic shift along one axis as an exchange of two blocks, in words."""
    if len(axes) > 1:
        return ""
    n, first = shape[axes[0]], -by[0] % shape[axes[0]]
    if 2 * first == n:
        return f", its halves along axis {axes[0]} exchanged"
    return f", two blocks in the other order: of {first} and of {n - first}"


def _masked(a: NDArray, b: NDArray) -> Iterator[str]:
    """Some of the elements replaced by one number."""
    apart = np.abs(a - b) > NEAR["float64"] * max(np.abs(a).max(), np.abs(b).max())
    n = int(apart.sum())
    if not 0 < n < a.size:
        return
    for one, where in ((b, "{there}"), (a, "{here}")):
        numbers = np.unique(one[apart])
        if numbers.size == 1 and (n > 1 or not numbers[0]):
            yield f"{numbers[0]:.6g} {where} in {n} of {a.size} elements, as with a mask"


def _padded(a: NDArray, b: NDArray) -> Iterator[str]:
    """Another padding of the same data."""
    for n in range(1, WIDEST + 1):
        for axes in combinations(range(a.ndim), min(2, a.ndim)):
            if any(a.shape[i] <= 2 * n for i in axes):
                continue
            inside = tuple(slice(n, -n) if i in axes else slice(None) for i in range(a.ndim))
            if not _near(a[inside], b[inside]):
                continue
            width = [(n, n) if i in axes else (0, 0) for i in range(a.ndim)]
            here, there = (_padding_of(c, c[inside], width) for c in (a, b))
            if here and there and here != there:
                said = f"padded with {here} {{here}} and {there} {{there}}: mode is {here} {{here}}"
                yield f"{said} and {there} {{there}}"


def _padding_of(a: NDArray, inside: NDArray, width: list[tuple[int, int]]) -> str:
    modes = (m for m in PADDINGS if max(w for w, _ in width) < min(inside.shape) or m != "reflect")
    for mode in modes:
        try:
            if _near(np.pad(inside, width, mode=mode), a):
                return PADDINGS[mode]
        except ValueError:
            continue
    return ""


def _by_slices(a: NDArray, b: NDArray) -> Iterator[str]:
    """The same in some of the slices, or each slice times a factor of its own."""
    for axis, n in enumerate(a.shape):
        pairs = list(zip(np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0), strict=True))
        same = [k for k, (u, v) in enumerate(pairs) if u.size > 1 and _near(u, v)]
        if 2 * len(same) >= n and len(same) < n:
            other = [k for k in range(n) if k not in same]
            yield f"other numbers {{there}} only in the slices {other} along axis {axis}"
    for axis in range(a.ndim) if a.ndim > 1 and np.unique(a).size >= FEW else ():
        if a.shape[axis] < FEW:
            continue
        if _near(a * _share(a, b, axis), b):
            yield f"multiplied {{there}} by another factor in each slice along axis {axis}"
        means = a.mean(axis, keepdims=True), b.mean(axis, keepdims=True)
        u, v = a - means[0], b - means[1]
        none = [bool(np.abs(m).max() < 1e-9) for m in means]
        if a.shape[axis] > FEW and _near(u * _share(u, v, axis), v) and any(none):
            where = "{there}" if none[1] else "{here}"
            yield f"centred {where}: its mean along axis {axis} is subtracted"


def _share(a: NDArray, b: NDArray, axis: int) -> NDArray:
    """The factors of the slices along an axis of `a` that fit `b` best, by least squares."""
    found: NDArray = (a * b).sum(axis, keepdims=True) / (a * a).sum(axis, keepdims=True)
    return found
