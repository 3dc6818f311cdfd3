"""JAX's and Optax's functions that take indices, labels or empty axes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..structures import NativeEdge

__all__ = ["EDGES"]


def _numpy(function: Callable[..., Any], *arrays: Any) -> Any:
    return np.asarray(function(*map(jnp.array, arrays)))


FROM_END = {"index -1": "indices below zero count from the end, as NumPy's"}
CLAMPED = FROM_END | dict.fromkeys(
    ("index 3", "index 103"), "indices out of range are clamped where elements are read"
)
FILLED = FROM_END | dict.fromkeys(
    ("index 3", "index 103"), 'the default mode "fill" gives NaN for indices out of range'
)
DROPPED = FROM_END | dict.fromkeys(
    ("index 3", "index 103"), "indices out of range are dropped where elements are updated"
)
ZEROS = dict.fromkeys(("label -1", "label 4", "label 104"), "labels out of range are rows of zeros")

_LABELS = optax.softmax_cross_entropy_with_integer_labels
_FUNCTIONS: tuple[tuple[str, str, Callable[..., Any], dict[str, str]], ...] = (
    ("optax.softmax_cross_entropy_with_integer_labels(x, labels).mean()", "labels",
     lambda x, labels: _LABELS(x, labels).mean(), {}),
    ("jax.nn.one_hot(labels, 4)", "one hot", lambda labels: jax.nn.one_hot(labels, 4), ZEROS),
    ("x[ids]", "rows", lambda x, ids: x[ids], CLAMPED),
    ("jnp.take(x, ids, 0)", "rows", lambda x, ids: jnp.take(x, ids, 0), FILLED),
    ("jnp.take_along_axis(x, ids, 0)", "along",
     lambda x, ids: jnp.take_along_axis(x, ids, 0), FILLED),
    ("x.at[ids].set(1.0)", "filled rows", lambda x, ids: x.at[ids].set(1.0), DROPPED),
    ("x.at[ids].add(1.0)", "added rows", lambda x, ids: x.at[ids].add(1.0), DROPPED),
    ("jnp.sum(x, 0)", "sum", lambda x: jnp.sum(x, 0), {}),
    ("jnp.prod(x, 0)", "prod", lambda x: jnp.prod(x, 0), {}),
    ("jnp.mean(x, 0)", "mean", lambda x: jnp.mean(x, 0), {}),
    ("jnp.var(x, 0)", "variance", lambda x: jnp.var(x, 0), {}),
    ("jnp.std(x, 0)", "variance", lambda x: jnp.std(x, 0), {}),
    ("jnp.median(x, 0)", "median", lambda x: jnp.median(x, 0), {}),
    ("jnp.nanmedian(x, 0)", "median", lambda x: jnp.nanmedian(x, 0), {}),
    ("jnp.quantile(x, 0.5, 0)", "median", lambda x: jnp.quantile(x, 0.5, 0), {}),
    ("jax.nn.logsumexp(x, 0)", "logsumexp", lambda x: jax.nn.logsumexp(x, 0), {}),
    ("jnp.linalg.norm(x, axis=0)", "norm", lambda x: jnp.linalg.norm(x, axis=0), {}),
    ("jnp.max(x, 0)", "max", lambda x: jnp.max(x, 0), {}),
    ("jnp.min(x, 0)", "max", lambda x: jnp.min(x, 0), {}),
    ("jnp.argmax(x, 0)", "max", lambda x: jnp.argmax(x, 0), {}),
    ("jnp.nanmax(x, 0)", "max", lambda x: jnp.nanmax(x, 0), {}),
    ("jnp.ptp(x, 0)", "max", lambda x: jnp.ptp(x, 0), {}),
    ("jax.nn.softmax(x, 0)", "nothing", lambda x: jax.nn.softmax(x, 0), {}),
    ("jax.nn.log_softmax(x, 0)", "nothing", lambda x: jax.nn.log_softmax(x, 0), {}),
    ("jax.nn.standardize(x, 0)", "nothing", lambda x: jax.nn.standardize(x, 0), {}),
    ("jnp.cumsum(x, 0)", "nothing", lambda x: jnp.cumsum(x, 0), {}),
    ("jnp.sort(x, 0)", "nothing", lambda x: jnp.sort(x, 0), {}),
    ("jax.nn.softmax(x, -1)", "masked softmax", lambda x: jax.nn.softmax(x, -1), {}),
    ("jax.nn.log_softmax(x, -1)", "masked log softmax", lambda x: jax.nn.log_softmax(x, -1), {}),
    ("jax.nn.logsumexp(x, -1)", "masked logsumexp", lambda x: jax.nn.logsumexp(x, -1), {}),
)  # fmt: skip

EDGES = tuple(
    NativeEdge(spelling, kind, partial(_numpy, function), documented)
    for spelling, kind, function, documented in _FUNCTIONS
)
