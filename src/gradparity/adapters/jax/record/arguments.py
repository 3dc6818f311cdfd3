"""Check what a recording of a JAX function is given, and what the function returns."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import jax
import numpy as np

from ....core.arithmetic.received import check_flag, cut, received
from .equations import is_complex, is_float
from .traced import NUMERIC, traces

__all__ = ["OUTSIDE", "array", "check_call", "checked_loss", "positions", "quiet"]

#: How JAX warns of float64 that a program stores in float32, such as statistics of Flax.
STORED = "scatter inputs have incompatible types"
#: Where record can be called.
OUTSIDE = "call record outside of jax.jit, jax.grad and jax.vmap, where the arrays have numbers"


def positions(args: Sequence[Any], argnums: int | Sequence[int]) -> tuple[int, ...]:
    """The positions of the arguments by which a function is differentiated.

    Raises
    ------
    TypeError : they are not positions.
    """
    chosen = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)
    if not chosen or not all(_is_int(i) and -len(args) <= i < len(args) for i in chosen):
        raise TypeError(
            f"record: argnums is {received(argnums)}, and f was given {_count(args)}; give "
            "positions among them, from 0"
        )
    return tuple(int(i) % len(args) for i in chosen)


def _is_int(i: Any) -> bool:
    return isinstance(i, int | np.integer) and not isinstance(i, bool)


def check_call(
    f: Callable[..., Any], args: Sequence[Any], argnums: int | Sequence[int], has_aux: bool
) -> None:
    """Refuse a call that cannot be recorded, before anything of it runs.

    Raises
    ------
    TypeError : JAX traces around it; f does not take these arguments; an option does not fit; JAX
        cannot differentiate by the arguments at `argnums`.
    """
    check_flag("record: has_aux", has_aux)
    chosen = positions(args, argnums)
    if traces(args):
        at = [i for i, x in enumerate(args) if any(map(_is_traced, jax.tree.leaves(x)))]
        what = f", so that argument {at[0]} has no numbers" if at else ""
        raise TypeError(f"record: JAX traces the code that calls it{what}; {OUTSIDE}")
    try:
        taken = signature(f)
    except (TypeError, ValueError):  # a builtin
        taken = None
    try:
        if taken is not None:
            taken.bind(*args)
    except TypeError as why:
        raise TypeError(
            f"record: f{cut(str(taken))} cannot be called with {_count(args)}: {why}; give every "
            "argument that f needs, with functools.partial those that it takes by keyword"
        ) from None
    _require_floats(args, chosen)


def _require_floats(args: Sequence[Any], chosen: Sequence[int]) -> None:
    """Refuse arguments with complex numbers, with other arrays alone, or all without arrays."""
    found = {i: [x for x in jax.tree.leaves(args[i]) if array(x) is not None] for i in chosen}
    for i, arrays in found.items():
        unreal = next(filter(is_complex, arrays), None)
        if unreal is not None:
            raise TypeError(
                f"record: argument {i} holds complex numbers: {_described(unreal)}; let f take the "
                "real and the imaginary part, or leave the argument out of argnums"
            )
        if not any(map(is_float, arrays)) and (arrays or not any(found.values())):
            raise TypeError(
                f"record: argument {i} is {_described(args[i])}, which holds no floats; give "
                "floats there, or in argnums the positions of arguments that hold some"
            )


def checked_loss(out: Any, has_aux: bool) -> Any:
    """The loss in what a function returned.

    Raises
    ------
    TypeError : it is not one real scalar, or with `has_aux` not a pair.
    """
    if has_aux and not (isinstance(out, tuple) and len(out) == 2):
        raise TypeError(
            f"record: has_aux=True, and f returned {_described(out)}; return a pair of the "
            "loss and anything"
        )
    loss = out[0] if has_aux else out
    if array(loss) is not None and np.shape(loss) == () and is_float(loss):
        return loss
    what = f"a pair that begins with {_described(loss)}" if has_aux else _described(loss)
    do = "return one real scalar"
    if array(loss) is not None and np.shape(loss) != ():
        do += ", such as its mean or its sum"
    elif not has_aux and isinstance(loss, tuple) and len(loss) == 2:
        do += ", or give has_aux=True for a pair of one and anything"
    raise TypeError(f"record: f returned {what}; {do}")


def quiet(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function without the warning that JAX gives for it each time that it is traced."""

    def traced(*args: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", STORED, FutureWarning)
            return f(*args)

    return traced


def array(leaf: Any) -> Any:
    """An array of JAX or NumPy, or a number; None for anything else."""
    return leaf if isinstance(leaf, NUMERIC) else None


def _described(value: Any) -> str:
    """A value in a message: arrays by dtype and shape."""
    if isinstance(value, jax.Array | np.ndarray):
        return f"an array of {value.dtype}, shape {value.shape}"
    if isinstance(value, list | tuple) and any(hasattr(x, "dtype") for x in value):
        return f"a {type(value).__name__} of {len(value)}: {', '.join(map(_described, value))}"
    return received(value)


def _is_traced(x: Any) -> bool:
    return isinstance(x, jax.core.Tracer)


def _count(args: Sequence[Any]) -> str:
    return "1 argument" if len(args) == 1 else f"{len(args)} arguments"
