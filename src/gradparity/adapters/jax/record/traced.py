"""Trace a function in the one call that JAX makes of it, and keep the jaxpr to be recorded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Traced", "held", "restore", "traces"]

#: Gives a function and its arguments.
Replay: TypeAlias = Callable[[], tuple[Callable[..., Any], Any]]
NUMERIC = jax.Array | np.ndarray | np.generic | float | int | complex


class Traced:
    """A call of a function that `jax.grad` differentiates, and its jaxpr.

    As with `jax.grad`, the arguments at `chosen` alone are traced; what is traced around the call
    is a constant of the jaxpr.

    Parameters
    ----------
    args, kwargs : what the differentiated function was given.
    chosen : positions of the arguments by which it is differentiated.
    has_aux : whether the function returns a pair.
    """

    def __init__(self, args: Any, kwargs: Any, chosen: Sequence[int], has_aux: bool) -> None:
        self.args, self.kwargs, self.has_aux = tuple(args), kwargs, has_aux
        flat, self.tree = jax.tree_util.tree_flatten_with_path(self.args)
        self.leaves = [leaf for _, leaf in flat]
        self.at = [
            i for i, (path, leaf) in enumerate(flat)
            if path[0].idx in chosen and isinstance(leaf, NUMERIC)
        ]  # fmt: skip
        self.closed: Any = None

    def call(self, f: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Call a function once, traced, and evaluate its jaxpr: what the function would return."""
        given = jax.tree.leaves(args)
        structure: Any = None
        returned: list[Any] = []

        def of_arrays(*xs: Any) -> Any:
            nonlocal structure
            full = list(given)
            for i, x in zip(self.at, xs, strict=True):
                full[i] = x
            out = f(*jax.tree.unflatten(self.tree, full), **kwargs)
            found, structure = jax.tree.flatten(out)
            returned[:] = found
            loss = out[0] if self.has_aux else out
            return loss, [x for x in found if isinstance(x, jax.core.Tracer)]

        xs = [given[i] for i in self.at]
        self.closed = jax.make_jaxpr(of_arrays)(*xs)
        outs = jax.core.eval_jaxpr(self.closed.jaxpr, self.closed.consts, *xs)
        rest = iter(outs[1:])
        full = [next(rest) if isinstance(x, jax.core.Tracer) else x for x in returned]
        return jax.tree.unflatten(structure, full)

    @property
    def is_numeric(self) -> bool:
        """Whether nothing that it takes is traced around it."""
        return not self._moving()

    def _everything(self) -> list[Any]:
        return [*(self.leaves[i] for i in self.at), *self.closed.consts]

    def _moving(self) -> list[int]:
        return [k for k, x in enumerate(self._everything()) if isinstance(x, jax.core.Tracer)]

    def replay(self, given: Sequence[Any]) -> tuple[Callable[..., Any], Any]:
        """The function that was traced, and its arguments, from all inputs of the jaxpr."""
        jaxpr, at = self.closed.jaxpr, self.at
        variables = [*jaxpr.invars, *jaxpr.constvars]
        given = [
            x if isinstance(x, jax.Array) else jnp.asarray(x, v.aval.dtype)
            for x, v in zip(given, variables, strict=True)
        ]

        def again(*args: Any) -> Any:
            own = jax.tree.leaves(args)
            return jax.core.eval_jaxpr(jaxpr, given[len(at) :], *(own[i] for i in at))[0]

        # What is traced in the other arguments is among the constants.
        blank = [0.0 if isinstance(x, jax.core.Tracer) else x for x in self.leaves]
        for i, x in zip(at, given, strict=False):
            blank[i] = x
        return again, jax.tree.unflatten(self.tree, blank)

    def now(self) -> tuple[Callable[..., Any], Any]:
        """The function that was traced, and its arguments, where all are numbers."""
        return self.replay(self._everything())

    def hand_over(self, to: Callable[[Replay, bool], None]) -> None:
        """Let the program that is being traced give its numbers to a function, when it runs.

        That function gets one that gives `f` as it was traced and its arguments, which is not to
        be called before it has returned; and whether float64 is on.
        """
        wide = bool(jax.config.jax_enable_x64)
        everything, moving = self._everything(), self._moving()
        keys = {
            k: jax.random.key_impl(everything[k])
            for k in moving
            if jnp.issubdtype(everything[k].dtype, jax.dtypes.prng_key)
        }

        def replayed(numbers: list[Any]) -> tuple[Callable[..., Any], Any]:
            given = list(everything)
            for k, x in zip(moving, numbers, strict=True):
                given[k] = jax.random.wrap_key_data(x, impl=keys[k]) if k in keys else x
            return self.replay(given)

        def deliver(*numbers: Any) -> None:
            to(lambda: replayed([np.array(x) for x in numbers]), wide)

        sent = (jax.random.key_data(everything[k]) if k in keys else everything[k] for k in moving)
        jax.debug.callback(deliver, *sent)


def traces(values: Any) -> bool:
    """Whether JAX traces: what is made then, or what was given and returned, has no numbers."""
    return any(isinstance(x, jax.core.Tracer) for x in [jnp.zeros(()), *jax.tree.leaves(values)])


def held(f: Any) -> list[tuple[Any, Any]]:
    """The containers that a function holds, in attributes or its closure, each with a copy."""
    cells = [cell.cell_contents for cell in getattr(f, "__closure__", None) or () if _filled(cell)]
    values = [*getattr(f, "__dict__", {}).values(), *cells]
    return [(x, copy(x)) for x in values if type(x) in (deque, list, dict, set)]


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # not assigned yet
        return False


def restore(containers: list[tuple[Any, Any]]) -> None:
    """Give containers the content that they had when `held` copied them."""
    for container, content in containers:
        container.clear()
        (container.extend if hasattr(container, "extend") else container.update)(content)
