"""Losses of digits in PyTorch, JAX and Optax that were found by hand are found."""

from __future__ import annotations

import pytest

from gradparity.comparisons.atlas.smooth.regions import Smooth
from gradparity.comparisons.atlas.smooth_probe import probe_smooth

KNOWN = [
    ("torch", "F.gelu(x)", "value", "float32", -5.5),
    ("torch", "F.gelu(x)", "value", "float64", -8.5),
    ("torch", "special.bessel_j0(x)", "value", "float64", 5.6),
    ("torch", "F.softsign(x)", "derivative", "bfloat16", 100.0),
    ("jax", "nn.gelu(x)", "derivative", "bfloat16", -3.0),
    ("jax", "nn.elu(x)", "derivative", "float32", -18.0),
    ("jax", "nn.sigmoid(x)", "derivative", "float32", 17.0),
    ("jax", "nn.soft_sign(x)", "derivative", "float16", 300.0),
    ("jax", "nn.squareplus(x)", "value", "bfloat16", -25.0),
    ("jax", "optax.log_cosh(x, 0)", "value", "float16", 0.01),
]


def of(adapter: str, **chosen: list[str]) -> Smooth:
    smooth = probe_smooth(adapter, **chosen).smooth
    assert smooth is not None
    return smooth


@pytest.mark.sample(3)
@pytest.mark.parametrize(("adapter", "spelling", "quantity", "dtype", "at"), KNOWN)
def test_known_losses_are_found(
    adapter: str, spelling: str, quantity: str, dtype: str, at: float
) -> None:
    pytest.importorskip(adapter)
    regions = of(adapter, names=[spelling], dtypes=[dtype]).regions
    there = [r for r in regions if r.spelling == spelling and r.low <= at <= r.high]
    assert quantity in [r.quantity for r in there if not r.ill]


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("adapter", "few"),
    [
        ("torch", ["F.hardswish(x)", "F.silu(x)", "special.xlogy(x, 3)", "torch.hypot(x, 1)"]),
        ("jax", ["nn.hard_silu(x)", "nn.silu(x)", "special.xlogy(x, 3)", "jnp.hypot(x, 1)"]),
    ],
)
def test_functions_are_found_by_name(adapter: str, few: list[str]) -> None:
    pytest.importorskip(adapter)
    smooth = of(adapter, names=few, dtypes=["float16"])
    assert smooth.functions == len(few)
    assert smooth.unsupported == ()
    uncovered = smooth.uncovered[adapter]
    assert {name.rpartition(".")[2] for name in uncovered} >= {"sign", "abs"}
    assert "F.dropout" not in uncovered  # it is random
