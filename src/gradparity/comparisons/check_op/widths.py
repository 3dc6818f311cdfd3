"""The shapes of an op's inputs: given, defined by the op, or the first that fit."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count, islice, product
from typing import Any

import numpy as np

from ...adapters.base import required
from ...core import Op
from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.received import received
from ...core.formulas.arguments import is_whole, listed
from ...core.formulas.op import Shape, attributes
from ...core.network.batch import op_keeps_samples
from ...core.network.contract import sampled_integers
from .setting import names_of_inputs, network_of, shapes_of_z

__all__ = ["shapes_of", "stand_alone", "suggested", "takes_dz_alone"]

#: Widths to try in this order; unequal ones first, so that swapped inputs do not fit.
UNEQUAL = (3, 2, 4)
TRIED = (4, 5, 3, 2, 1, *range(6, 65))
#: The largest sample, in numbers.
MOST = 1_000_000
#: Widths of which every combination is tried for ops of several inputs.
FEW = TRIED[:8]
#: The last axes of a sample of two to four axes; the first axis, that of channels, differs.
TAILS = ((5,), (6, 5), (4, 6, 5))
#: Sizes of batches that a default shape must allow.
BATCHES = (2, 5)
#: The rows of matrices to be multiplied, and their columns: 64 elements or more in each tensor,
#: so that scattered errors of fast algorithms can be recognised.
INNER, OUTER = 9, 8
#: The most samples, and the most numbers, that `_many` draws.
SAMPLES, NUMBERS = 64, 100_000
#: The fewest samples that show whether samples influence one another.
FEWEST = 3


def takes_dz_alone(backward: Callable[..., Any], forward: Callable[..., Any]) -> bool:
    """Whether backward is that of a layer, called with dz alone.

    Its further arguments must have defaults, and other names than those of the forward function:
    ``backward(dz, y=None)`` is called with y.
    """
    if required(backward) != 1:
        return False
    given, further = _names(forward), _names(backward)[1:]
    return not further or bool(given and not set(given) & set(further))


def _names(function: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]


def shapes_of(
    op: Op,
    forward: Callable[..., Any],
    width: int | Sequence[int] | None,
    shape: Sequence[Any] | None,
) -> tuple[Shape, ...]:
    """The shape of one sample of every input.

    Raises
    ------
    ValueError, TypeError : `width` or `shape` does not fit the op, or no width was found to fit.
    """
    if shape is not None and width is not None:
        raise ValueError(
            f"width is {received(width)} and shape {received(shape)}; give one of them"
        )
    if shape is not None:
        return _of_shapes(op, shape)
    if width is not None:
        return _given(op, width)
    n = op.n_inputs or _n_inputs(op, forward)
    found = []
    for shapes in _fitting(op, n):
        if _suits(op, shapes):
            return shapes
        found.append(shapes)
    if not found:  # an op that takes one size of batch alone is refused later, by its reason
        found += islice((s for s in next(_tried(op, n)) if _fits(op, s, BATCHES[:1])), 1)
    if not found:
        raise ValueError(
            f"no width was found that {op!r} takes; give check_op(..., width=), or shape= where a "
            "sample is not a vector"
        )
    return found[0]


def _of_shapes(op: Op, shape: Sequence[Any]) -> tuple[Shape, ...]:
    """One shape, or one for every input."""
    given: Any = [shape] if _is_shape(shape) else listed(shape)
    if given is None or not all(map(_is_shape, given)):
        example = f", such as ({shape},)" if is_whole(shape, least=1) else ""
        raise ValueError(
            f"shape is {received(shape)}; give the whole numbers > 0 of one sample's "
            f"axes{example}, or a "
            "list of such shapes for several inputs"
        )
    n = op.n_inputs
    if not (len(given) == n or (n is None and len(given) >= 2)):
        takes = f"{n} value(s)" if n else "two or more values"
        raise ValueError(f"shape is {received(shape)}; {op!r} takes {takes}, give a shape for each")
    return _checked(op, f"shape is {received(shape)}", given)


def _checked(op: Op, said: str, given: Sequence[Sequence[int]]) -> tuple[Shape, ...]:
    """The given shapes, if they are not too large and fit the op; errors start with `said`."""
    shapes = tuple(tuple(int(n) for n in each) for each in given)
    size = max(map(math.prod, shapes))
    if size > MOST:
        raise ValueError(
            f"{said}: a sample holds {size} numbers; give at most {MOST}, because the checks "
            "draw many samples"
        )
    try:
        network_of(op, len(shapes)).shapes(_with_two_samples(shapes))
    except ValueError as error:
        raise ValueError(f"{said}: {error}") from None
    return shapes


def _is_shape(given: Any) -> bool:
    axes = listed(given)
    return axes is not None and all(is_whole(n, least=1) for n in axes)


def _n_inputs(op: Op, forward: Callable[..., Any]) -> int:
    """The number of inputs of an op that takes two or more: the function's, or else 2 or 3."""
    needed = required(forward)
    if needed is None:  # a framework's function often declares any number, but takes two
        return 3 if inspect.isfunction(forward) else 2
    return max(2, needed - len(op.parameter_shapes()))


def _given(op: Op, width: int | Sequence[int]) -> tuple[Shape, ...]:
    n = op.n_inputs
    given: Any = tuple(width) if isinstance(width, Iterable) else (width,) * (n or 2)
    whole = all(is_whole(w, 1) for w in given)
    if not whole or not (len(given) == n or (n is None and len(given) >= 2)):
        takes = f"{n} value(s)" if n else "two or more values"
        raise ValueError(
            f"width is {received(width)}; {op!r} takes {takes}, give a whole number for each"
        )
    return _checked(op, f"width is {received(width)}", [(w,) for w in given])


def _candidates(op: Op, n: int) -> Iterator[tuple[int, ...]]:
    numbers = {k: int(v) for k, v in attributes(op).items() if is_whole(v, least=1)}
    first = [numbers.pop("n_in")] if "n_in" in numbers else []
    said = list(dict.fromkeys([*first, *numbers.values()]))
    if n == 1:
        yield from ((w,) for w in (*first, *TRIED, *said))
        return
    yield tuple(np.resize(UNEQUAL, n).tolist())
    yield from product(said, repeat=n) if n <= 3 else ((w,) * n for w in said)
    yield from ((w,) * n for w in TRIED)
    yield from product(FEW, repeat=min(n, 3)) if n <= 3 else ()


def _tried(op: Op, n: int) -> Iterator[Iterable[tuple[Shape, ...]]]:
    """Candidates for the shapes of one sample: vectors, then samples of two to four axes."""
    widths = list(_candidates(op, n))
    yield (tuple((w,) for w in each) for each in widths)
    first = dict.fromkeys(w for each in _candidates(op, 1) for w in each)
    edges = [OUTER, INNER] * n
    for tail in TAILS:
        chained = [tuple((*tail[:-1], *edges[i : i + 2]) for i in range(n))] if n > 1 else []
        alike = (((w, *tail),) * n for w in first if w * math.prod(tail) <= MOST)
        yield chain(chained, alike)


def _fitting(op: Op, n: int) -> Iterator[tuple[Shape, ...]]:
    """The first shapes of every number of axes that the op accepts."""
    for tried in _tried(op, n):
        yield from islice((shapes for shapes in tried if _fits(op, shapes)), 1)


def suggested(op: Op, shapes: Sequence[Shape]) -> str:
    """Shapes that suit the op and have more axes than these, for a message; "" if none is known."""
    for found in _fitting(op, len(shapes)):
        if len(found[0]) > len(shapes[0]) and stand_alone(op, *_many(op, found)):
            return f", such as {found[0] if len(found) == 1 else list(found)}"
    return ""


def _suits(op: Op, shapes: tuple[Shape, ...]) -> bool:
    """Whether axis 0 of inputs of these shapes is the batch, or the op mixes samples openly.

    The latter is checked as such: attention on vectors takes the batch for its sequence.
    """
    if stand_alone(op, *_many(op, shapes)):
        return True
    few, many = _drawn(op, _free(shapes, FEWEST), shapes), _many(op, shapes)
    return not (op_keeps_samples(op, *few) or op_keeps_samples(op, *many))


def _many(op: Op, shapes: tuple[Shape, ...]) -> list[NDArray]:
    """Inputs of many samples."""
    T = min(SAMPLES, NUMBERS // max(map(math.prod, shapes)))
    return _drawn(op, _free(shapes, max(BATCHES[-1], T)), shapes)


def _free(shapes: Sequence[Shape], least: int) -> int:
    """A number of samples that is not the length of another axis, and could not pass for it."""
    return next(T for T in count(least) if all(T not in shape for shape in shapes))


#: The parts in which `stand_alone` gives a batch to an op; some ops do not take a single sample.
TWO_PARTS = (slice(2), slice(2, None))


def stand_alone(op: Op, *y: NDArray) -> bool:
    """Whether a sample's values are the same in a part of its batch as in the whole.

    A triangle of the last two axes keeps vectors apart, but what it keeps of one depends on its
    position, so their batch is the matrix.

    Parameters
    ----------
    y : all inputs, the parameters last; axis 0 of every input is the batch, of four or more.

    >>> from gradparity.core.vocabulary.rearranging import Triangle
    >>> [stand_alone(Triangle(), np.ones(shape)) for shape in ((4, 3), (4, 5, 3))]
    [False, True]
    """
    if op.random:
        return True
    n = len(y) - len(op.parameter_shapes())

    def values(rows: slice) -> list[NDArray]:
        z = op.forward(*(a[rows] for a in y[:n]), *y[n:])
        return [np.asarray(a) for a in (z if isinstance(z, tuple) else (z,))[: len(op.outputs)]]

    try:
        with np.errstate(all="ignore"):
            whole, *parts = map(values, (slice(None), *TWO_PARTS))
    except (ValueError, IndexError):
        return False
    return all(
        z.ndim > 0
        and len(z) == len(y[0])
        and z[rows].shape == part.shape
        and np.allclose(z[rows], part, equal_nan=True)
        for rows, found in zip(TWO_PARTS, parts, strict=True)
        for z, part in zip(whole, found, strict=True)
    )


def _drawn(op: Op, T: int, shapes: Sequence[Shape]) -> list[NDArray]:
    """Inputs of T samples and parameters; a random op's draw is left out."""
    rng = np.random.default_rng(0)
    y = [rng.uniform(0.5, 1.5, (T, *shape)) for shape in shapes]
    if op.integers:
        y[0] = sampled_integers(op, rng, y[0].shape)
    return [*y, *(rng.uniform(0.5, 1.5, shape) for shape in op.parameter_shapes().values())]


def _fits(op: Op, shapes: tuple[Shape, ...], batches: Sequence[int] = BATCHES) -> bool:
    """Whether the op accepts the shapes, and its formula gives the shape it declares."""
    y = _drawn(op, batches[0], shapes)
    try:
        network = network_of(op, len(shapes))
        for T in batches[1:]:
            shapes_of_z(network, [(T, *shape) for shape in shapes])
        said = shapes_of_z(network, [(batches[0], *shape) for shape in shapes])
        with np.errstate(all="ignore"):
            z = op.forward(*y, *([op.sample(*y)] if op.random else []))
    except (ValueError, IndexError):
        return False
    values = z if isinstance(z, tuple) else (z,)
    return [np.shape(a) for a in values[: len(said)]] == list(said.values())


def _with_two_samples(shapes: Sequence[Shape]) -> dict[str, Shape]:
    """The inputs, two samples each."""
    return {
        name: (2, *shape) for name, shape in zip(names_of_inputs(len(shapes)), shapes, strict=True)
    }
