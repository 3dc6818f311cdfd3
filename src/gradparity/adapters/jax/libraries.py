"""Functions of the libraries on JAX that are installed: Flax, Equinox and Keras."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

import jax.numpy as jnp

from .smooth_calls import first, pair

__all__ = ["library_functions", "library_norms", "library_spaces", "library_versions"]

LIBRARIES = ("equinox", "flax", "keras")

EPS = 1e-5
Function = tuple[str, str, Callable[[Any], Any]]
Norm = tuple[str, str, Callable[[Any, Any], Any]]


def library_norms() -> list[Norm]:
    """Norms of a vector x, as (formula, as written, function); of what is installed."""
    norms = list[Norm]()
    for name, made in (("flax", _flax), ("equinox", _equinox)):
        if find_spec(name):
            norms += made()
    if (keras := _keras()) is not None:
        norms += [
            ("softmax", "keras.activations.softmax(x)", lambda x, w: keras.activations.softmax(x)),
            ("logsoftmax", "keras.activations.log_softmax(x)",
             lambda x, w: keras.activations.log_softmax(x)),
        ]  # fmt: skip
    return norms


def library_versions() -> dict[str, str]:
    """Each library with its version; empty where it is not installed, or not on JAX."""
    found = {name: metadata.version(name) if find_spec(name) else "" for name in LIBRARIES}
    return {**found, "keras": found["keras"] if _keras() is not None else ""}


def library_spaces() -> dict[str, Any]:
    """Modules whose functions are found by their names."""
    spaces = dict[str, Any]()
    if (keras := _keras()) is not None:
        spaces |= {"keras.activations": keras.activations, "keras.losses": keras.losses}
    if find_spec("flax"):
        spaces |= {name: import_module(f"flax.{name}") for name in ("linen", "nnx")}
    if find_spec("equinox"):
        spaces["eqx.nn"] = import_module("equinox.nn")
    return spaces


def library_functions() -> list[Function]:
    """Functions of a number x, as (formula, as written, function); of what is installed."""
    functions = list[Function]()
    if (keras := _keras()) is not None:
        one = keras.activations
        functions += [
            ("leakyrelu", "keras.activations.leaky_relu(x, 0.01)",
             lambda x: one.leaky_relu(x, 0.01)),
            ("relu", "keras.activations.threshold(x, 0, 0)", lambda x: one.threshold(x, 0, 0)),
            ("glu(x, 1)", "keras.activations.glu([x, 1])", lambda x: one.glu(pair(x, 1))[..., 0]),
            ("hinge(x, 1)", "keras.losses.categorical_hinge([1, 0], [x, 0])",
             lambda x: keras.losses.categorical_hinge(first(x), pair(x, 0))),
            ("bcewithlogits(x, 1)", "keras.losses.categorical_crossentropy([1, 0], [x, 0], True)",
             lambda x: keras.losses.categorical_crossentropy(first(x), pair(x, 0), True)),
        ]  # fmt: skip
        for formula, name, target in KERAS_LOSSES:
            call = _keras_loss(getattr(keras.losses, name), target)
            functions.append((formula, f"keras.losses.{name}([{target:g}], [x])", call))
    if find_spec("equinox"):
        layer = import_module("equinox.nn").PReLU(0.01)
        functions.append(("leakyrelu", "eqx.nn.PReLU(0.01)(x)", layer))
    return functions


#: Losses of Keras: (formula, name, target).
KERAS_LOSSES = (
    ("bce(x, 0)", "binary_crossentropy", 0.0), ("bce(x, 1)", "binary_crossentropy", 1.0),
    ("hinge(x, 1)", "hinge", 1.0), ("squaredhinge(x, 1)", "squared_hinge", 1.0),
    ("huber(x, 0)", "huber", 0.0), ("huber(x, 1)", "huber", 1.0),
    ("l1(x, 0)", "mean_absolute_error", 0.0), ("logcosh(x, 0)", "log_cosh", 0.0),
    ("mse(x, 0)", "mean_squared_error", 0.0), ("mse(x, 1)", "mean_squared_error", 1.0),
    ("squaredlogarithmic(x, 1)", "mean_squared_logarithmic_error", 1.0),
    ("percentage(x, 2)", "mean_absolute_percentage_error", 2.0),
)  # fmt: skip


def _keras_loss(loss: Any, target: float) -> Callable[[Any], Any]:
    """The loss of every number alone: Keras takes the mean of the last axis."""
    return lambda x: loss(jnp.full_like(x, target)[..., None], x[..., None])


def _keras() -> Any:
    """Keras, where it is installed and runs on JAX; else None."""
    if not find_spec("keras"):
        return None
    os.environ.setdefault("KERAS_BACKEND", "jax")
    try:
        keras: Any = import_module("keras")
    except Exception:  # another backend was chosen, and is missing
        return None
    return keras if keras.backend.backend() == "jax" else None


def _flax() -> list[Norm]:
    linen: Any = import_module("flax.linen")

    def batch(x: Any, w: Any) -> Any:
        layer = linen.BatchNorm(False, epsilon=EPS, use_bias=False, use_scale=False)
        return layer.apply({}, x[:, None], mutable=["batch_stats"])[0][:, 0]

    def of(layer: Any) -> Callable[[Any, Any], Any]:
        return lambda x, w: layer.apply({}, x)

    bare = {"epsilon": EPS, "use_scale": False}
    return [
        ("layernorm", "linen.LayerNorm()(x)", of(linen.LayerNorm(use_bias=False, **bare))),
        ("layernorm", "linen.LayerNorm(use_fast_variance=False)(x)",
         of(linen.LayerNorm(use_bias=False, use_fast_variance=False, **bare))),
        ("layernorm", "linen.GroupNorm(1)(x)",
         lambda x, w: linen.GroupNorm(1, use_bias=False, **bare).apply({}, x[None])[0]),
        ("layernorm", "linen.BatchNorm()(x)", batch),
        ("rmsnorm", "linen.RMSNorm()(x)", of(linen.RMSNorm(**bare))),
        *_nnx(bare),
    ]  # fmt: skip


def _nnx(bare: dict[str, Any]) -> list[Norm]:
    nnx: Any = import_module("flax.nnx")
    options = {**bare, "rngs": nnx.Rngs(0)}
    layer = nnx.LayerNorm(16, use_bias=False, **options)
    exact = nnx.LayerNorm(16, use_bias=False, use_fast_variance=False, **options)
    group = nnx.GroupNorm(16, num_groups=1, use_bias=False, **options)
    rms = nnx.RMSNorm(16, **options)
    return [
        ("layernorm", "nnx.LayerNorm(16)(x)", lambda x, w: layer(x)),
        ("layernorm", "nnx.LayerNorm(16, use_fast_variance=False)(x)", lambda x, w: exact(x)),
        ("layernorm", "nnx.GroupNorm(16, 1)(x)", lambda x, w: group(x[None])[0]),
        ("rmsnorm", "nnx.RMSNorm(16)(x)", lambda x, w: rms(x)),
    ]  # fmt: skip


def _equinox() -> list[Norm]:
    nn: Any = import_module("equinox.nn")
    group = nn.GroupNorm(1, channelwise_affine=False, eps=EPS)
    layer = nn.LayerNorm(16, eps=EPS, use_weight=False, use_bias=False)
    rms = nn.RMSNorm(16, eps=EPS, use_weight=False, use_bias=False)
    return [
        ("layernorm", "eqx.nn.LayerNorm(16)(x)", lambda x, w: layer(x)),
        ("layernorm", "eqx.nn.GroupNorm(1)(x)", lambda x, w: group(x)),
        ("rmsnorm", "eqx.nn.RMSNorm(16)(x)", lambda x, w: rms(x)),
    ]
