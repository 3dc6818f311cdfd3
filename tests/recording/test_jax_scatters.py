"""Updates of JAX by max, min and products: repeated indices, ties, and some out of range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

X = np.array([0.3, 1.2, -0.7, 2.0])
#: The first is tied with its element, the next two with each other; the last is out of range.
U = np.array([0.3, 1.3, 1.3, -1.0, 3.0])
REPEATED, UNIQUE = jnp.array([0, 1, 1, 2, 7]), jnp.array([0, 3, 1, 2, 9])
SEGMENTS = jnp.array([0, 0, 1, 1, 2])

PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "max": lambda x, u: x.at[REPEATED].max(u),
    "min": lambda x, u: (-x).at[REPEATED].min(-u),
    "one": lambda x, u: x.at[2].max(u[3]).at[1].min(u[0]).at[0].multiply(u[1], unique_indices=True),
    "scalar": lambda x, u: x[0].at[()].max(u[1]),
    "rows": lambda x, u: jnp.stack([x, -x], 1).at[REPEATED].max(jnp.stack([u, -u], 1)),
    "product": lambda x, u: x.at[UNIQUE].multiply(u, unique_indices=True),
    "product with constants": lambda x, u: x.at[REPEATED].multiply(jnp.asarray(U, x.dtype)),
    "segment_max": lambda x, u: jax.ops.segment_max(u, SEGMENTS, 3),
    "segment_min": lambda x, u: jax.ops.segment_min(u, SEGMENTS, 3),
    "segment_prod": lambda x, u: jax.ops.segment_prod(u, UNIQUE, 4, unique_indices=True),
    "dropped": lambda x, u: x.at[9].add(u[0], mode="drop"),
}


@pytest.mark.sample(6)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_right_updates_pass(name: str, dtype: str) -> None:
    def f(both: Any) -> Any:
        return jnp.sum(jnp.sin(PROGRAMS[name](*both)))

    with jax.enable_x64(True):
        both = jnp.asarray(X, dtype), jnp.asarray(U, dtype)
        report = gp.check(gp.record(f, both))
    assert report, report.diagnosis()
    assert not any("not judged" in f.note for _, f in report.findings())
