"""Norms of the libraries on JAX that are installed: Flax and Equinox."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["library_norms"]

EPS = 1e-5
Norm = tuple[str, str, Callable[[Any, Any], Any]]


def library_norms() -> list[Norm]:
    """Norms of a vector x, as (formula, as written, function); of what is installed."""
    norms = list[Norm]()
    for name, made in (("flax", _flax), ("equinox", _equinox)):
        if find_spec(name):
            norms += made()
    return norms


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
