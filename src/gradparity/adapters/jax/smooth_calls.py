"""How functions of vectors, and those with variants or several numbers, of JAX are called."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

__all__ = ["VARIANTS", "VECTORS", "first", "pair"]


def pair(x: Any, other: float) -> Any:
    """Each number beside another one, in a last axis."""
    return jnp.stack([x, jnp.full_like(x, other)], -1)


def first(x: Any) -> Any:
    """The first of two classes for each number, as one-hot labels."""
    return pair(jnp.ones_like(x), 0)


#: Functions whose arguments choose between formulas, or are several numbers.
VARIANTS: dict[str, list[tuple[str, str, Callable[[Any], Any]]]] = {
    "nn.gelu": [
        ("gelutanh", "nn.gelu(x)", jax.nn.gelu),
        ("gelu", "nn.gelu(x, approximate=False)", lambda x: jax.nn.gelu(x, approximate=False)),
    ],
    "nn.glu": [
        ("glu(x, 1)", "nn.glu([x, 1])", lambda x: jax.nn.glu(pair(x, 1))[..., 0]),
        ("sigmoid", "nn.glu([1, x])", lambda x: jax.nn.glu(pair(x, 1)[..., ::-1])[..., 0]),
    ],
    "lax.integer_pow": [
        (f"pow(x, {n})", f"lax.integer_pow(x, {n})", partial(jax.lax.integer_pow, y=n))
        for n in (2, 3, -1, 4, 7, -2)
    ],
    "optax.softmax_cross_entropy": [
        ("bcewithlogits(x, 1)", "optax.softmax_cross_entropy([x, 0], [1, 0])",
         lambda x: optax.losses.softmax_cross_entropy(pair(x, 0), first(x))),
    ],
    "optax.safe_softmax_cross_entropy": [
        ("bcewithlogits(x, 1)", "optax.safe_softmax_cross_entropy([x, 0], [1, 0])",
         lambda x: optax.losses.safe_softmax_cross_entropy(pair(x, 0), first(x))),
    ],
    "optax.ranking_softmax_loss": [
        ("bcewithlogits(x, 1)", "optax.ranking_softmax_loss([x, 0], [1, 0])",
         lambda x: optax.losses.ranking_softmax_loss(pair(x, 0), first(x), reduce_fn=None)),
    ],
    "optax.poly_loss_cross_entropy": [
        ("polycrossentropy", "optax.poly_loss_cross_entropy([x, 0], [1, 0])",
         lambda x: optax.losses.poly_loss_cross_entropy(pair(x, 0), first(x))),
    ],
    "optax.multiclass_hinge_loss": [
        ("hinge(x, 1)", "optax.multiclass_hinge_loss([x, 0], 0)",
         lambda x: optax.losses.multiclass_hinge_loss(pair(x, 0), jnp.zeros(x.shape, int))),
    ],
    "optax.multiclass_perceptron_loss": [
        ("perceptron(x, 1)", "optax.multiclass_perceptron_loss([x, 0], 0)",
         lambda x: optax.losses.multiclass_perceptron_loss(pair(x, 0), jnp.zeros(x.shape, int))),
    ],
    "optax.sparsemax_loss": [
        ("sparseplus", "optax.sparsemax_loss(x, 0)",
         lambda x: optax.losses.sparsemax_loss(x, jnp.zeros(x.shape, bool))),
    ],
    "optax.kl_divergence": [
        ("kldivergence(x, 0.5)", "optax.kl_divergence([x], [0.5])",
         lambda x: optax.losses.kl_divergence(x[..., None], jnp.full_like(x, 0.5)[..., None])),
    ],
    "optax.kl_divergence_with_log_targets": [
        ("kldivergencelogtarget(0, x)", "optax.kl_divergence_with_log_targets([0], [x])",
         lambda x: optax.losses.kl_divergence_with_log_targets(
             jnp.zeros_like(x)[..., None], x[..., None])),
    ],
    "optax.generalized_kl_divergence": [
        ("generalizedkldivergence(x, 0.5)", "optax.generalized_kl_divergence([x], [0.5])",
         lambda x: optax.losses.generalized_kl_divergence(
             x[..., None], jnp.full_like(x, 0.5)[..., None])),
    ],
    "optax.cosine_distance": [
        ("cosinedistance", "optax.cosine_distance([x, 1], [1, 0])",
         lambda x: optax.losses.cosine_distance(pair(x, 1), first(x))),
    ],
    "optax.triplet_margin_loss": [
        ("tripletmarginsquares", "optax.triplet_margin_loss([x, 0], [0, 3], [0, 1])",
         lambda x: optax.losses.triplet_margin_loss(
             pair(x, 0), pair(jnp.zeros_like(x), 3), pair(jnp.zeros_like(x), 1))),
    ],
    "keras.activations.leaky_relu": [],  # its slope is 0.2 by default
}  # fmt: skip
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
if hasattr(jax.nn, "logmeanexp"):  # older JAX has none
    VECTORS.append(("logmeanexp", "nn.logmeanexp(x)", lambda x, w: jax.nn.logmeanexp(x)))
