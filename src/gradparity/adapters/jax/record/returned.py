"""The results of a JAX function beside the loss, such as new running statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.network.calls import Listener
from ....core.network.states import Path, returned_states
from .trees import paths_in_words

__all__ = ["tell_of_given", "tell_of_returned"]


def tell_of_given(listener: Listener, args: Sequence[Any], argnums: Sequence[int]) -> None:
    """Tell of the arrays in the arguments by which a function is not differentiated."""
    for (i, *path), x in _given(args).items():
        if int(i) not in argnums or not jnp.issubdtype(x.dtype, jnp.floating):
            listener.was_given(".".join((f"arg{i}", *path)), _numbers(x))


def tell_of_returned(
    listener: Listener, f: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int]
) -> None:
    """Run f once more, and tell of the arrays in the second item of what it returns."""
    flat, tree = jax.tree_util.tree_flatten(tuple(args[i] for i in argnums))
    active = [
        i for i, x in enumerate(flat) if _is_array(x) and jnp.issubdtype(x.dtype, jnp.floating)
    ]
    paths: list[Path] = []

    def second(arrays: Sequence[Any]) -> list[Any]:
        leaves = list(flat)
        for i, x in zip(active, arrays, strict=True):
            leaves[i] = x
        given = list(args)
        for i, arg in zip(argnums, jax.tree_util.tree_unflatten(tree, leaves), strict=True):
            given[i] = arg
        out = jax.tree_util.tree_flatten_with_path(f(*given)[1])[0]
        found = [(path, x) for path, x in out if _is_array(x)]
        paths[:] = paths_in_words([path for path, _ in found])
        return [x for _, x in found]

    arrays = jax.jit(second)([flat[i] for i in active])
    returned = {path: _numbers(x) for path, x in zip(paths, arrays, strict=True)}
    before = {path: _numbers(x) for path, x in _given(args).items()}
    for name, state in returned_states(returned, before).items():
        listener.left_state(name, state)


def _given(args: Sequence[Any]) -> dict[Path, Any]:
    """The arrays in arguments by their paths, the position of the argument first."""
    flat = jax.tree_util.tree_flatten_with_path(tuple(args))[0]
    arrays = [(path, x) for path, x in flat if _is_array(x)]
    words = paths_in_words([path for path, _ in arrays])
    return {path: x for path, (_, x) in zip(words, arrays, strict=True)}


def _is_array(x: Any) -> bool:
    """Whether something is an array of numbers; a key of random numbers is not."""
    return isinstance(x, jax.Array | np.ndarray) and (
        jnp.issubdtype(x.dtype, jnp.floating) or jnp.issubdtype(x.dtype, jnp.integer)
    )


def _numbers(x: Any) -> NDArray:
    """A copy of the numbers of an array; float32 of formats that NumPy does not have."""
    half = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < np.dtype("f4").itemsize
    return np.array(x, np.float32) if half else np.array(x)
