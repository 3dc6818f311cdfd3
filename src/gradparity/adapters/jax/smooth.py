"""JAX's and Optax's functions of one number, and the ways JAX evaluates and differentiates them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..smooth import Answer, Found, NativeSmooth, discovered
from ..smooth_excluded import with_unmeasured
from .libraries import library_functions, library_norms, library_spaces
from .smooth_calls import VARIANTS, VECTORS

__all__ = ["JaxSmooth"]

SPACES = {
    "nn": jax.nn, "special": jax.scipy.special, "jnp": jnp, "optax": optax.losses, "lax": jax.lax,
}  # fmt: skip


class JaxSmooth:
    """See `gradparity.adapters.smooth.Smooth`."""

    def __init__(self) -> None:
        self._last = ""

    def found(self, known: Collection[str]) -> Found:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spaces = {**SPACES, **library_spaces()}
            found = discovered(
                spaces, known, variants=VARIANTS, works=_works, full_like=jnp.full_like
            )
            others = (NativeSmooth(*each) for each in library_functions())
            known_others = tuple(o for o in others if o.name in known and _works(o.function))
        return with_unmeasured(spaces, (*found, *known_others), self.vectors())

    def modes(self, compile: bool) -> Sequence[str]:
        return "reverse", "forward", "jit reverse", "jit forward", "one element"

    def answer(self, function: Callable[[Any], Any], z: Any, dtype: str, mode: str) -> Answer:
        ask = _forward if mode.endswith("forward") else _reverse
        if dtype != self._last:  # the programs of another dtype take gigabytes
            jax.clear_caches()
            self._last = dtype
        with jax.enable_x64(dtype == "float64"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = jnp.asarray(np.asarray(z, np.float64).astype(jnp.dtype(dtype)))
            if mode == "one element":
                found = jax.jit(lambda x: jax.lax.map(lambda one: ask(function, one), x))(x)
            elif mode.startswith("jit"):
                found = jax.jit(lambda x: ask(function, x))(x)
            else:
                found = ask(function, x)
            return Answer(*(np.asarray(each).astype(np.float64) for each in found))

    def vectors(self) -> Sequence[NativeSmooth]:
        return [NativeSmooth(*each) for each in (*VECTORS, *library_norms())]

    def vector_answer(
        self, function: Any, v: Any, weights: Sequence[float], dtype: str, mode: str
    ) -> Answer:
        def pulled(x: Any) -> tuple[Any, Any]:
            y, pull = jax.vjp(lambda x: function(x, w), x)
            return y.reshape(-1), pull(w if y.ndim else jnp.ones_like(y))[0]

        with jax.enable_x64(dtype == "float64"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = jnp.asarray(np.asarray(v, np.float64).astype(jnp.dtype(dtype)))
            w = jnp.asarray(weights, rows.dtype)
            ask = jax.jit(pulled) if mode.startswith("jit") else pulled
            found = [ask(row) for row in rows]
            return Answer(*(np.stack(each).astype(np.float64) for each in zip(*found, strict=True)))


def _reverse(function: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    y, pull = jax.vjp(function, x)
    return y, pull(jnp.ones_like(y))[0]


def _forward(function: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    y, slope = jax.jvp(function, (x,), (jnp.ones_like(x),))
    return y, slope


def _works(function: Callable[[Any], Any]) -> bool:
    """Whether it is elementwise and has a derivative, found by its shapes and dtypes."""
    x = jax.ShapeDtypeStruct((3,), jnp.float32)
    one = jax.ShapeDtypeStruct((), jnp.float32)
    try:
        shapes = [jax.eval_shape(lambda x: _forward(function, x), z) for z in (x, one)]
        return all(
            y.shape == z.shape and y.dtype == z.dtype
            for (y, _), z in zip(shapes, (x, one), strict=True)
        )
    except Exception:  # it raises anything where its arguments are others
        return False
