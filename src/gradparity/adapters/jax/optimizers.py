"""Steps of a gradient transformation of Optax, as plain arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ...core.arithmetic.arrays import NDArray
from ...core.optimizers.clipping import Clip
from ...core.optimizers.rule import Rule
from ...core.optimizers.update import Moved, Update

__all__ = ["steps_of"]

#: Fields of Optax's states, and what rules call them.
STATES = {
    "mu": ("exp_avg", "grad_avg"),
    "nu": ("exp_avg_sq", "square_avg"),
    "nu_max": ("max_exp_avg_sq",),
    "trace": ("momentum_buffer",),
    "sum_of_squares": ("sum",),
    "e_g": ("square_avg",),
    "e_x": ("acc_delta",),
    "v_row": ("row_var",),
    "v_col": ("col_var",),
    "v": ("variance",),
}


def steps_of(
    transformation: Any,
    params: Any,
    gradients: Any,
    rule: Rule,
    clip: Clip | None,
    steps: int,
    draw: Any,
) -> Iterator[list[Update]]:
    """Make steps with a transformation; see `check_optimizer`.

    Raises
    ------
    TypeError, ValueError : parameters that are not real numbers with a point; gradients of another
        structure or shape than the parameters.
    """
    _check_parameters(params)
    if gradients is not None:
        _check_gradients(gradients, params)
    rule = replace(rule, in_format=True)
    state = transformation.init(params)
    previous: dict[str, Moved] = {}
    for t in range(1, steps + 1):
        g = gradients if t == 1 and gradients is not None else _drawn(params, draw)
        changes, new = transformation.update(g, state, params)
        after = optax.apply_updates(params, changes)
        columns = zip(_named(params), _named(g).values(), _named(after).values(), strict=True)
        old_states, new_states = (_states(s, params, rule) for s in (state, new))
        at = _named(params)
        moved = tuple(
            Moved(
                name,
                _numbers(at[name]),
                _numbers(gradient),
                _numbers(then),
                old_states.get(name, {}),
                new_states.get(name, {}),
                str(at[name].dtype),
                previous.get(name),
            )
            for name, gradient, then in columns
        )
        previous = {m.name: m for m in moved}
        yield [Update(rule, t, moved, clip)]
        params, state = after, new


def _check_parameters(params: Any) -> None:
    for name, p in _named(params).items():
        if not jnp.issubdtype(p.dtype, jnp.floating):
            raise TypeError(
                f"check_optimizer: the parameter {name!r} is of dtype {p.dtype}; give "
                "parameters of a floating dtype, such as float32"
            )


def _check_gradients(gradients: Any, params: Any) -> None:
    given, wanted = jax.tree.structure(gradients), jax.tree.structure(params)
    if given != wanted:
        raise ValueError(
            f"check_optimizer: gradients are {given}, and params are {wanted}; give a gradient for "
            "every parameter, in the same pytree"
        )
    found = _named(gradients)
    for name, p in _named(params).items():
        if found[name].shape != p.shape:
            raise ValueError(
                f"check_optimizer: the gradient of {name!r} has shape {found[name].shape}, and the "
                f"parameter {p.shape}; give gradients of the shapes of the parameters"
            )


def _drawn(params: Any, draw: Any) -> Any:
    return jax.tree.map(lambda p: jnp.asarray(draw(np.shape(p)), p.dtype), params)


def _named(tree: Any) -> dict[str, Any]:
    """The arrays of a pytree by their path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") or "x" for path, _ in leaves]
    return {name: jnp.asarray(leaf) for name, (_, leaf) in zip(names, leaves, strict=True)}


def _numbers(a: Any) -> NDArray:
    """An array as NumPy has it; bfloat16 as float32."""
    return np.asarray(a.astype(jnp.float32) if a.dtype == jnp.bfloat16 else a)


def _states(state: Any, params: Any, rule: Rule) -> dict[str, Mapping[str, NDArray]]:
    """The states that the rule has, by parameter, wherever the transformation keeps them."""
    shape = jax.tree.structure(params)
    found: dict[str, dict[str, NDArray]] = {}
    for part in _parts(state):
        for name, value in zip(part._fields, part, strict=True):
            known = next((own for own in STATES.get(name, ()) if own in rule.states), None)
            if known is None or jax.tree.structure(value) != shape:
                continue
            for parameter, array in _named(value).items():
                found.setdefault(parameter, {})[known] = _numbers(array)
    shapes = {name: p.shape for name, p in _named(params).items()}
    return {name: rule.known(shapes[name], own) for name, own in found.items()}


def _parts(state: Any) -> Iterator[Any]:
    """Every named tuple in a state."""
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        yield state
    if isinstance(state, tuple | list):
        for part in state:
            yield from _parts(part)
    elif isinstance(state, dict):
        for part in state.values():
            yield from _parts(part)
