"""JAX's functions with kinks, and the ways it differentiates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..kinks import (
    LOWEST,
    MIDDLE,
    TIES,
    Answer,
    NativeKink,
    Question,
    each,
    joined,
    spelled,
    tangents,
)
from .singular import FURTHER_POINTS, FURTHER_TIES, SINGULAR_POINTS

__all__ = ["JaxKinks"]

#: One program of many functions is compiled in the time of a few without jit.  JAX's default
#: dtype is float32; the further functions are measured in no other.
COMPILED = ("jit reverse", "jit forward")


class JaxKinks:
    """See `gradparity.adapters.kinks.Kinks`."""

    @property
    def spellings(self) -> Sequence[NativeKink]:
        further = spelled(FURTHER_POINTS, FURTHER_TIES, SINGULAR_POINTS)
        return [
            *spelled(POINTS, TIED),
            *(one._replace(modes=COMPILED, dtypes=("float32",)) for one in further),
        ]

    def modes(self, compile: bool) -> Sequence[str]:
        return "reverse", "forward", "jit reverse", "jit forward"

    def function(self, native: Any) -> Callable[[Any], Any]:
        return lambda x: native.apply(native.params, x)

    def answers(self, questions: Sequence[Question], mode: str) -> list[Answer | Exception]:
        ask = _forward if mode.endswith("forward") else _reverse
        with jax.enable_x64(bool(questions) and questions[0].z.dtype.itemsize > 4):
            if not mode.startswith("jit"):
                return each(lambda question: _answer(ask, question), questions)
            refused = each(lambda question: _traceable(ask, question), questions)
            possible = [q for q, r in zip(questions, refused, strict=True) if r is None]
            found = iter(_compiled(ask, possible))
            return [next(found) if r is None else r for r in refused]


Ask = Callable[[Callable[[Any], Any], Any, bool], tuple[Any, Any]]


def _reverse(function: Callable[[Any], Any], z: Any, elementwise: bool) -> tuple[Any, Any]:
    y, pull = jax.vjp(function, z)
    return y, pull(jnp.ones_like(y))


def _forward(function: Callable[[Any], Any], z: Any, elementwise: bool) -> tuple[Any, Any]:
    like = np.zeros(z.shape, z.dtype)  # under jit, z itself is not an array
    directions = [jnp.array(tangent) for tangent in tangents(like, elementwise)]
    found = [jax.jvp(function, (z,), (tangent,)) for tangent in directions]
    return found[0][0], [change for _, change in found]


def _answer(ask: Ask, question: Question) -> Answer:
    y, changes = ask(question.function, jnp.array(question.z), question.elementwise)
    return _on_the_host(ask, y, changes, question)


def _on_the_host(ask: Ask, y: Any, changes: Any, question: Question) -> Answer:
    changes = [np.array(change) for change in changes]
    found = joined(changes, question.elementwise) if ask is _forward else changes[0]
    return Answer(np.array(y), found)


def _compiled(ask: Ask, questions: Sequence[Question]) -> list[Answer | Exception]:
    """Compile all questions as one program, because one by one takes much longer."""

    def everything(zs: list[Any]) -> list[Any]:
        return [
            ask(question.function, z, question.elementwise)
            for question, z in zip(questions, zs, strict=True)
        ]

    found = jax.jit(everything)([jnp.array(question.z) for question in questions])
    return [
        _on_the_host(ask, y, changes, question)
        for (y, changes), question in zip(found, questions, strict=True)
    ]


def _traceable(ask: Ask, question: Question) -> None:
    """Raise the error that tracing this question in the common program would raise."""
    z = jax.ShapeDtypeStruct(question.z.shape, question.z.dtype)
    jax.eval_shape(lambda z: ask(question.function, z, question.elementwise), z)


def _column(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a function of vectors one of scalars, as vectors of one element."""
    return lambda z: function(z[..., jnp.newaxis])


def _clamped(z: Any) -> Any:
    return jax.lax.clamp(jnp.zeros((), z.dtype), z, jnp.ones((), z.dtype))


def _columns(z: Any) -> list[Any]:
    return [z[..., i] for i in range(z.shape[-1])]


def _windows(z: Any) -> Any:
    window = (1, z.shape[-1])
    return jax.lax.reduce_window(z, -jnp.inf, jax.lax.max, window, window, "VALID")


def _gathered(z: Any) -> Any:
    return jnp.take_along_axis(z, z.argmax(-1, keepdims=True), -1)


def _segments(z: Any) -> Any:
    return jax.ops.segment_max(z.T, jnp.zeros(z.shape[-1], int), num_segments=1)[0]


def _scattered(z: Any) -> Any:
    row = jnp.broadcast_to(jnp.arange(z.shape[0])[:, jnp.newaxis], z.shape)
    return jnp.full(z.shape[0], -jnp.inf, z.dtype).at[row].max(z)


#: (as written, kinks, function)
POINTS: list[tuple[str, tuple[float, ...], Callable[[Any], Any]]] = [
    ("nn.relu(z)", (0.0,), jax.nn.relu),
    ("nn.relu6(z)", (0.0, 6.0), jax.nn.relu6),
    ("maximum(z, 0)", (0.0,), lambda z: jnp.maximum(z, 0)),
    ("maximum(0, z)", (0.0,), lambda z: jnp.maximum(0, z)),
    ("minimum(z, 0)", (0.0,), lambda z: jnp.minimum(z, 0)),
    ("fmax(z, 0)", (0.0,), lambda z: jnp.fmax(z, 0)),
    ("fmax(0, z)", (0.0,), lambda z: jnp.fmax(0, z)),
    ("fmin(z, 0)", (0.0,), lambda z: jnp.fmin(z, 0)),
    ("clip(z, 0)", (0.0,), lambda z: jnp.clip(z, 0)),
    ("clip(z, -1, 1)", (-1.0, 1.0), lambda z: jnp.clip(z, -1, 1)),
    ("lax.clamp(0, z, 1)", (0.0, 1.0), _clamped),
    ("where(z > 0, z, 0)", (0.0,), lambda z: jnp.where(z > 0, z, 0)),
    ("where(z >= 0, z, 0)", (0.0,), lambda z: jnp.where(z >= 0, z, 0)),
    ("z * (z > 0)", (0.0,), lambda z: z * (z > 0)),
    ("nn.hard_tanh(z)", (-1.0, 1.0), jax.nn.hard_tanh),
    ("nn.leaky_relu(z)", (0.0,), jax.nn.leaky_relu),
    ("nn.elu(z)", (0.0,), jax.nn.elu),
    ("nn.elu(z, 2)", (0.0,), lambda z: jax.nn.elu(z, 2.0)),
    ("nn.selu(z)", (0.0,), jax.nn.selu),
    ("nn.celu(z, 2)", (0.0,), lambda z: jax.nn.celu(z, 2.0)),
    ("nn.hard_sigmoid(z)", (-3.0, 3.0), jax.nn.hard_sigmoid),
    ("nn.hard_swish(z)", (-3.0, 3.0), jax.nn.hard_swish),
    ("nn.sparse_plus(z)", (-1.0, 1.0), jax.nn.sparse_plus),
    ("nn.sparse_sigmoid(z)", (-1.0, 1.0), jax.nn.sparse_sigmoid),
    ("abs(z)", (0.0,), jnp.abs),
    ("z * sign(z)", (0.0,), lambda z: z * jnp.sign(z)),
    ("optax.huber_loss(z)", (0.0,), optax.huber_loss),
    ("optax.hinge_loss(z, 1)", (1.0,), lambda z: optax.hinge_loss(z, jnp.ones_like(z))),
    ("linalg.norm(z)", (0.0,), _column(lambda z: jnp.linalg.norm(z, axis=-1))),
    ("linalg.norm(z, 1)", (0.0,), _column(lambda z: jnp.linalg.norm(z, 1, axis=-1))),
    ("linalg.norm(z, inf)", (0.0,), _column(lambda z: jnp.linalg.norm(z, jnp.inf, axis=-1))),
    ("optax.safe_norm(z, 0)", (0.0,), _column(lambda z: optax.safe_norm(z, 0.0, axis=-1))),
    ("sqrt(z * z)", (0.0,), lambda z: jnp.sqrt(z * z)),
    ("std((z, 0))", (0.0,), lambda z: jnp.stack([z, jnp.zeros_like(z)]).std(0, ddof=1)),
    ("sqrt(z)", (0.0,), jnp.sqrt),
    ("arctan2(z, 0)", (0.0,), lambda z: jnp.arctan2(z, jnp.zeros_like(z))),
]

#: (as written, tied inputs, function)
TIED: list[tuple[str, tuple[tuple[float, ...], ...], Callable[[Any], Any]]] = [
    ("max(z, axis)", TIES, lambda z: z.max(-1)),
    ("max(z)", TIES, lambda z: jnp.stack([row.max() for row in z])),
    ("min(z, axis)", LOWEST, lambda z: z.min(-1)),
    ("maximum(...(z1, z2), ...)", TIES, lambda z: reduce(jnp.maximum, _columns(z))),
    ("fmax(...(z1, z2), ...)", TIES, lambda z: reduce(jnp.fmax, _columns(z))),
    ("lax.reduce_window(z, max)", TIES, _windows),
    ("lax.top_k(z, 1)", TIES, lambda z: jax.lax.top_k(z, 1)[0]),
    ("sort(z)[-1]", TIES, lambda z: jnp.sort(z, -1)[..., -1]),
    ("lax.cummax(z)[-1]", TIES, lambda z: jax.lax.cummax(z, 1)[..., -1]),
    ("z[argmax(z)]", TIES, _gathered),
    ("ops.segment_max(z)", TIES, _segments),
    ("y.at[i].max(z)", TIES, _scattered),
    ("linalg.norm(z, inf)", TIES, lambda z: jnp.linalg.norm(z, jnp.inf, axis=-1)),
    ("nanmax(z, axis)", TIES, lambda z: jnp.nanmax(z, -1)),
    ("median(z, axis)", MIDDLE, lambda z: jnp.median(z, -1)),
]
