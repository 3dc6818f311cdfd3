"""JAX's special functions: Op -> (op, value) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ....core.vocabulary import special as ops

__all__ = ["FUNCTIONS"]

FUNCTIONS: dict[type[Any], Callable[..., Any]] = {
    ops.Digamma: lambda op, z: jax.scipy.special.digamma(z),
    ops.Erfinv: lambda op, z: jax.scipy.special.erfinv(z),
    ops.I0e: lambda op, z: jax.scipy.special.i0e(z),
    ops.I1e: lambda op, z: jax.scipy.special.i1e(z),
    ops.Lgamma: lambda op, z: jax.scipy.special.gammaln(z),
    # For z < -20 its float64 value has 1.7e5 roundoffs, for its series ends after three terms.
    ops.LogNdtr: lambda op, z: jax.scipy.special.log_ndtr(z),
    ops.Sinc: lambda op, z: jnp.sinc(z),
}
