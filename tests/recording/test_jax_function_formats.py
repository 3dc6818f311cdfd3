"""Functions of JAX with a derivative of their own, in every number format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from crossed import crossed

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

X = np.random.default_rng(0).uniform(0.3, 1.2, (2, 3)).astype(np.float32)


def in_float32(f: Any) -> Any:
    """The function in float32 inside, whatever the format of its arguments."""
    return lambda *xs: f(*(x.astype(jnp.float32) for x in xs)).astype(xs[0].dtype)


def attention(q: Any, k: Any, v: Any) -> Any:
    return jax.nn.softmax(q @ k.T / q.shape[-1] ** 0.5) @ v


def rms_norm(x: Any, g: Any) -> Any:
    return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * g


def rnn(w: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = jnp.tanh(w * h + x)
        return h, h

    return jax.lax.scan(step, jnp.zeros_like(xs[0]), xs)[1]


#: Name -> a function and the shapes of its arguments; () is a scalar.
LAYERS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "dense": (lambda x, w, b: jnp.tanh(x @ w + b), ((4, 3), (3, 5), (5,))),
    "attention": (attention, ((4, 6), (5, 6), (5, 3))),
    "softmax": (lambda x: jax.nn.softmax(x), ((4, 5),)),
    "rms norm": (rms_norm, ((4, 5), (5,))),
    "rnn": (rnn, ((), (5,))),
    "einsum": (lambda x, w: jnp.einsum("ab,bc->ca", x, w), ((4, 3), (3, 2))),
    "scale": (lambda w, x: w * x, ((), (6,))),
    "relu": (lambda x: jax.nn.relu(x) * x, ((4, 4),)),
}


def times(f: Any, factor: float) -> Any:
    """The function with its gradient times a factor."""
    made = jax.custom_vjp(f)

    def backward(kept: Any, d: Any) -> Any:
        return tuple((factor * g).astype(g.dtype) for g in jax.vjp(f, *kept)[1](d))

    made.defvjp(lambda *xs: (f(*xs), xs), backward)
    return made


@pytest.mark.sample(1)
@crossed(
    "formats, factor",
    [("float32", "same", False), ("float32", "same", True), ("float64", "same", True),
     ("bfloat16", "same", False), ("float16", "float32", False), ("bfloat16", "float32", True)],
    [1.0, 1.5, 0.0],
)  # fmt: skip
def test_a_factor_in_layers(formats: tuple[str, str, bool], factor: float) -> None:
    """All layers in one program, of which each is right, or each wrong."""
    dtype, inside, x64 = formats
    rng = np.random.default_rng(2)
    with jax.enable_x64(x64):
        args = [
            [jnp.asarray(rng.normal(size=shape) * 0.6, dtype) for shape in shapes]
            for _, shapes in LAYERS.values()
        ]

        def loss(*args: Any) -> Any:
            total = 0.0
            for (f, _), xs in zip(LAYERS.values(), args, strict=True):
                layer = times(f if inside == "same" else in_float32(f), factor)
                z = layer(*xs).astype("float32")
                weights = jnp.cos(jnp.arange(z.size).reshape(z.shape)).astype("float32")
                total += (jnp.sin(z) * weights).sum()
            return total

        report = gp.check(gp.record(loss, *args, argnums=tuple(range(len(args)))))
        wrong = [g for _, g in report.findings() if g.parity is False]
    assert report.exit_code == (0 if factor == 1 else 1), report.diagnosis()
    functions = {g.node for g in wrong}
    assert len(functions) == (0 if factor == 1 else len(LAYERS)), functions
    wanted = "is zero" if factor == 0 else "times the formula"
    for node in functions:
        assert any(wanted in g.note for g in wrong if g.node == node), node


@pytest.mark.parametrize("factor", [1.0, 0.7, 0.0])
def test_a_weakly_typed_scalar(factor: float) -> None:
    w, x = jnp.asarray(0.7), jnp.asarray(X)
    assert w.weak_type
    step = gp.record(
        lambda w, x: jnp.sin(times(lambda w, x: w * x, factor)(w, x)).sum(), w, x, argnums=(0, 1)
    )
    assert gp.check(step).exit_code == (0 if factor == 1 else 1), gp.check(step).diagnosis()


def bisected(x: Any) -> Any:
    """Projection on the simplex, by bisection in float32."""
    y = x.astype(jnp.float32)
    top = y.max(-1, keepdims=True)

    def halve(_: Any, ends: Any) -> Any:
        low, high = ends
        at = (low + high) / 2
        more = jnp.maximum(y - at, 0).sum(-1, keepdims=True) > 1
        return jnp.where(more, at, low), jnp.where(more, high, at)

    low, high = jax.lax.fori_loop(0, 40, halve, (top - 1, top))
    return jnp.maximum(y - (low + high) / 2, 0).astype(x.dtype)


@pytest.mark.sample(1)
@crossed(
    "mode, dtype, factor", [(0, False), (1, True)], ["float32", "float16", "bfloat16"], [1.0, 1.25]
)
def test_a_search_with_casts(mode: tuple[int, bool], dtype: str, factor: float) -> None:
    seed, x64 = mode
    sparsemax = jax.custom_vjp(bisected)

    def backward(y: Any, d: Any) -> Any:
        k, d = (y > 0).astype(jnp.float32), d.astype(jnp.float32)
        mean = (d * k).sum(-1, keepdims=True) / k.sum(-1, keepdims=True)
        return ((factor * k * (d - mean)).astype(y.dtype),)

    sparsemax.defvjp(lambda x: (bisected(x), bisected(x)), backward)
    with jax.enable_x64(x64):
        x = jnp.asarray(np.random.default_rng(seed).normal(size=(4, 5)), dtype)
        step = gp.record(lambda x: (sparsemax(x).astype(jnp.float32) ** 2).sum(), x)
        assert gp.check(step).exit_code == (0 if factor == 1 else 1), gp.check(step).diagnosis()


@pytest.mark.sample(4)
@pytest.mark.parametrize("taps", [True, False])
@pytest.mark.parametrize("f", [jax.nn.relu, jax.nn.relu6, jax.nn.silu, jax.nn.gelu])
def test_activations_in_bfloat16(f: Any, taps: bool) -> None:
    x = jnp.linspace(-3, 8, 24).astype(jnp.bfloat16)
    step = gp.record(lambda x: f(x).astype(jnp.float32).sum(), x, taps=taps)
    assert gp.check(step).exit_code == 0, gp.check(step).diagnosis()
