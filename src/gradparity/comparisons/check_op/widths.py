"""The shapes of an op's inputs: given, defined by the op, or the first that fit."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from ...adapters.base import required
from ...core import Op
from ...core.arithmetic.received import received
from ...core.formulas.arguments import is_whole, listed
from ...core.formulas.op import Shape, attributes
from ...core.network.contract import sampled_integers
from .setting import names_of_inputs, network_of, shapes_of_z

__all__ = ["shapes_of", "takes_dz_alone"]

#: Widths to try in this order; unequal ones first, so that swapped inputs do not fit.
UNEQUAL = (3, 2, 4)
TRIED = (4, 5, 3, 2, 1, *range(6, 65))
#: The largest sample, in numbers.
MOST = 1_000_000
#: Widths of which every combination is tried for ops of several inputs.
FEW = TRIED[:8]


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
    found = next((widths for widths in _candidates(op, n) if _fits(op, widths)), None)
    if found is None:
        raise ValueError(
            f"no width was found that {op!r} takes; give check_op(..., width=), or shape= where a "
            "sample is not a vector"
        )
    return tuple((w,) for w in found)


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


def _fits(op: Op, widths: tuple[int, ...]) -> bool:
    """Whether the op accepts the widths, and its formula gives the shape it declares."""
    rng = np.random.default_rng(0)
    y = [rng.uniform(0.5, 1.5, (2, w)) for w in widths]
    if op.integers:
        y[0] = sampled_integers(op, rng, y[0].shape)
    y += [rng.uniform(0.5, 1.5, shape) for shape in op.parameter_shapes().values()]
    try:
        network = network_of(op, len(widths))
        said = shapes_of_z(network, [(2, w) for w in widths])
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
