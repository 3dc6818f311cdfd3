"""Derivatives of JAX's primitives replaced by wrong ones, one at a time: accused there alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402
from jax._src.interpreters import ad  # noqa: E402  # the public module lacks one of the tables

from gradparity.adapters.jax.record import primitives  # noqa: E402, F401
from gradparity.adapters.jax.record.primitives.table import RULES  # noqa: E402

X = np.random.default_rng(0).uniform(0.2, 0.8, (3, 4))

#: The primitive, and a function whose gradient goes through it.
PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "add": lambda x: x + x.T[:1, :1],
    "sub": lambda x: x - 2 * x,
    "mul": lambda x: x * jnp.sin(x),
    "div": lambda x: x / (1 + x),
    "max": lambda x: jnp.maximum(x, 0.5),
    "min": lambda x: jnp.minimum(x, 0.5),
    "pow": lambda x: lax.pow(x, x),
    "atan2": lambda x: lax.atan2(x, 1 + x),
    "neg": lax.neg,
    "exp": lax.exp,
    "exp2": lax.exp2,
    "log": lax.log,
    "log1p": lax.log1p,
    "expm1": lax.expm1,
    "tanh": lax.tanh,
    "logistic": lax.logistic,
    "sin": lax.sin,
    "cos": lax.cos,
    "tan": lax.tan,
    "asin": lax.asin,
    "acos": lax.acos,
    "atan": lax.atan,
    "sinh": lax.sinh,
    "cosh": lax.cosh,
    "asinh": lax.asinh,
    "acosh": lambda x: lax.acosh(1 + x),
    "atanh": lax.atanh,
    "erf": lax.erf,
    "erfc": lax.erfc,
    "erf_inv": lax.erf_inv,
    "lgamma": lax.lgamma,
    "digamma": lax.digamma,
    "polygamma": lambda x: lax.polygamma(jnp.full_like(x, 2.0), 1 + x),
    "sqrt": lax.sqrt,
    "rsqrt": lax.rsqrt,
    "square": lax.square,
    "abs": lax.abs,
    "integer_pow": lambda x: lax.integer_pow(x, 3),
    "select_n": lambda x: jnp.where(x > 0.5, x, 2 * x),
    "clamp": lambda x: lax.clamp(0.3, x, 0.7),
    "reshape": lambda x: jnp.exp(x.reshape(4, 3)),
    "broadcast_in_dim": lambda x: x[:, None] * jnp.ones((3, 2, 4)),
    "transpose": lambda x: jnp.exp(x.T),
    "squeeze": lambda x: jnp.exp(lax.squeeze(x[:1], (0,))),
    "slice": lambda x: jnp.exp(lax.slice(x, (1, 0), (3, 3))),
    "rev": lambda x: jnp.exp(lax.rev(x, (1,))),
    "concatenate": lambda x: jnp.exp(lax.concatenate([x, x], 0)),
    "pad": lambda x: jnp.exp(lax.pad(x, 0.0, [(1, 1, 0), (0, 0, 1)])),
    "reduce_sum": lambda x: jnp.exp(x.sum(0)),
    "reduce_max": lambda x: jnp.exp(x.max(0)),
    "reduce_min": lambda x: jnp.exp(x.min(0)),
    "reduce_prod": lambda x: lax.reduce_prod_p.bind(x, axes=(0,)),
    "cumlogsumexp": lambda x: lax.cumlogsumexp(x, 1) * x,
    "cumsum": lambda x: lax.cumsum(x, 1) * x,
    "cumprod": lambda x: lax.cumprod(x, 1),
    "cummax": lambda x: lax.cummax(x, 1) * x,
    "dot_general": lambda x: x @ x.T,
    "conv_general_dilated": lambda x: lax.conv_general_dilated(
        x[None, None], x[:2, :2][None, None], (1, 1), "SAME"
    ),
    "reduce_window_max": lambda x: lax.reduce_window(x, -np.inf, lax.max, (2, 2), (1, 1), "VALID"),
    "reduce_window_min": lambda x: lax.reduce_window(x, np.inf, lax.min, (2, 2), (1, 1), "VALID"),
    "ragged_dot_general": lambda x: lax.ragged_dot(x, jnp.stack([x.T, 2 * x.T]), jnp.array([1, 2])),
    "psum": lambda x: jnp.exp(jax.vmap(lambda r: lax.psum(r, "rows"), axis_name="rows")(x)),
    "reduce_window_sum": lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 1), "VALID"),
    "dynamic_slice": lambda x: jnp.exp(lax.dynamic_slice(x, (1, 1), (2, 2))),
    "dynamic_update_slice": lambda x: jnp.exp(lax.dynamic_update_slice(x, 2 * x[:1, :2], (1, 1))),
    "gather": lambda x: jnp.exp(x[jnp.array([0, 2, 0])]),
    "scatter-add": lambda x: jnp.exp(x.at[jnp.array([0, 0])].add(x[:2])),
    "scatter": lambda x: jnp.exp(x.at[jnp.array([0])].set(x[1:2])),
    "scatter-max": lambda x: jnp.exp(x.at[jnp.array([0, 0, 5])].max(x + 0.1)),
    "scatter-min": lambda x: jnp.exp(x.at[jnp.array([0, 0, 5])].min(x - 0.1)),
    "scatter-mul": lambda x: x.at[jnp.array([1, 0])].multiply(x[:2] + 1, unique_indices=True),
    "sort": lambda x: lax.sort(x, dimension=1) * x,
    "cummin": lambda x: lax.cummin(x, 1) * x,
    "cbrt": lax.cbrt,
    "rem": lambda x: lax.rem(2 * x, 0.3 + x),
    "unstack": lambda x: jnp.exp(jnp.unstack(x)[1]),
    "split": lambda x: jnp.exp(lax.split(x, (1, 3), 1)[1]),
    "convert_element_type": lambda x: jnp.exp(x.astype(jnp.float32)).astype(jnp.float64),
}


#: Bilinear primitives, whose transposes are called in other ways.
BY_JVP = ("mul", "dot_general", "conv_general_dilated", "scatter", "scatter-mul",
          "ragged_dot_general")  # fmt: skip


@contextmanager
def planted(name: str, factor: float = 1 + 1e-6) -> Iterator[list[str]]:
    """A derivative of this primitive that is off by a factor; lists where it was used."""
    fired: list[str] = []

    def larger(t: Any) -> Any:
        if isinstance(t, list | tuple):
            return type(t)(larger(each) for each in t)
        floats = not isinstance(t, ad.Zero) and t is not None
        return t * jnp.asarray(factor, t.dtype) if floats else t

    def wrong(rule: Any, at: int | None) -> Any:
        def of(*args: Any, **params: Any) -> Any:
            fired.append(name)
            out = rule(*args, **params)
            return larger(out) if at is None else (*out[:at], larger(out[at]))

        return of

    def wrong_linearization(rule: Any) -> Any:
        def of(*args: Any, **params: Any) -> Any:
            *first, linear = rule(*args, **params)
            return (*first, wrong(linear, None))

        return of

    if any(p.name == name for p in ad.primitive_linearizations):
        # `jax.vjp` prefers these to the derivative by tangents.
        table, make = ad.primitive_linearizations, wrong_linearization
    elif name not in BY_JVP and any(p.name == name for p in ad.primitive_transposes):
        # A linear primitive is wrong in its transpose alone, or it would be wrong twice.
        table, make = ad.primitive_transposes, partial(wrong, at=None)
    else:
        table, make = ad.primitive_jvps, partial(wrong, at=1)
    kept = {p: rule for p, rule in table.items() if p.name == name}
    table.update({p: make(rule) for p, rule in kept.items()})
    try:
        yield fired
    finally:
        table.update(kept)


@pytest.mark.sample(11)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_wrong_derivative_is_accused_at_its_primitive_alone(name: str) -> None:
    with jax.enable_x64(True):
        jax.clear_caches()
        with planted(name) as fired:
            c = jnp.asarray(np.random.default_rng(1).uniform(0.5, 1.5, 64))

            def f(x: Any) -> Any:
                z = PROGRAMS[name](x).ravel()
                return z @ c[: z.size].astype(z.dtype)

            seen = gp.record(f, jnp.asarray(X))
        report = gp.check(seen)
        jax.clear_caches()
    assert fired
    functions = {seen.places[node].function for node in seen.places}
    assert name in functions
    wrong = {f.node for _, f in report.findings() if f.parity is False}
    assert wrong, report
    accused = {seen.places[node].function for node in wrong}
    assert name in accused
    assert accused == {name} or name == "add"  # a tap is an addition, so it is wrong everywhere


def test_every_primitive_of_the_table_has_a_program() -> None:
    others = {
        # no gradient of their own, or the identity
        *("stop_gradient", "sign", "floor", "ceil", "round", "copy", "copy_p", "name"),
        *(
            "optimization_barrier",
            "device_put",
            "add_any",
            "reduce_precision",
            "expand_dims",
            "scatter_add",
        ),
        # in the programs of test_jax.py
        *("stack", "tile", "top_k", "bessel_i0e", "bessel_i1e"),
    }
    assert set(RULES) - set(PROGRAMS) == others
