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
from .libraries import library_functions, library_norms, library_spaces

__all__ = ["JaxSmooth"]

SPACES = {
    "nn": jax.nn, "special": jax.scipy.special, "jnp": jnp, "optax": optax.losses, "lax": jax.lax,
}  # fmt: skip
#: Functions whose arguments choose between formulas.
VARIANTS: dict[str, list[tuple[str, str, Callable[[Any], Any]]]] = {
    "nn.gelu": [
        ("gelutanh", "nn.gelu(x)", jax.nn.gelu),
        ("gelu", "nn.gelu(x, approximate=False)", lambda x: jax.nn.gelu(x, approximate=False)),
    ],
    "keras.activations.leaky_relu": [],  # its slope is 0.2 by default
}
#: Functions of a vector x and the weights w, as (formula, as written, function) each.
VECTORS: list[tuple[str, str, Callable[[Any, Any], Any]]] = [
    ("softmax", "nn.softmax(x)", lambda x, w: jax.nn.softmax(x)),
    ("logsoftmax", "nn.log_softmax(x)", lambda x, w: jax.nn.log_softmax(x)),
    ("logsumexp", "nn.logsumexp(x)", lambda x, w: jax.nn.logsumexp(x)),
    ("crossentropy", "optax.softmax_cross_entropy_with_integer_labels(x, 2)",
     lambda x, w: optax.losses.softmax_cross_entropy_with_integer_labels(x, jnp.asarray(2))),
    ("norm", "jnp.linalg.norm(x)", lambda x, w: jnp.linalg.norm(x)),
    ("cosine", "optax.cosine_similarity(x, w)",
     lambda x, w: optax.losses.cosine_similarity(x, w)),
    ("var", "jnp.var(x)", lambda x, w: jnp.var(x)),
    ("std", "jnp.std(x)", lambda x, w: jnp.std(x)),
    ("var1", "jnp.var(x, ddof=1)", lambda x, w: jnp.var(x, ddof=1)),
    ("std1", "jnp.std(x, ddof=1)", lambda x, w: jnp.std(x, ddof=1)),
    ("layernorm", "nn.standardize(x, epsilon=1e-5)",
     lambda x, w: jax.nn.standardize(x, epsilon=1e-5)),
]  # fmt: skip
#: Names of functions that are not of numbers.
OTHERS = ("set", "save", "load", "print", "from")


class JaxSmooth:
    """See `gradparity.adapters.smooth.Smooth`."""

    def __init__(self) -> None:
        self._last = ""

    def found(self, known: Collection[str]) -> Found:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = discovered(
                {**SPACES, **library_spaces()}, known, variants=VARIANTS, works=_works,
                full_like=jnp.full_like, listed=_listed,
            )  # fmt: skip
            others = (NativeSmooth(*each) for each in library_functions())
            known_others = tuple(o for o in others if o.name in known and _works(o.function))
            return found._replace(functions=(*found.functions, *known_others))

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


def _listed(spelling: str, native: Any) -> bool:
    return not spelling.partition(".")[2].startswith(OTHERS)
