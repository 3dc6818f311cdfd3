"""Fixtures of the tests of recordings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def in_float64() -> Iterator[None]:
    """Let JAX use float64 during a test."""
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def seeded() -> None:
    """Seed PyTorch's random numbers."""
    pytest.importorskip("torch").manual_seed(0)
