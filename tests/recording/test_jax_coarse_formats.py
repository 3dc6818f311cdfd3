"""Casts of JAX to formats of 8 bits and back."""

from __future__ import annotations

from typing import Any

import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from .test_jax_planted import planted  # noqa: E402

FORMATS = ["float8_e4m3fn", "float8_e5m2"]


def report_of(f: Any, dtype: str) -> gp.Report:
    with jax.enable_x64(True):
        return gp.check(gp.record(f, jnp.array([0.3, 1.2, -0.7, 2.0, 1e-3], dtype)))


def quantized(x: Any, name: str) -> Any:
    return jnp.sum(x.astype(name).astype(x.dtype) * jnp.cos(x))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", FORMATS)
def test_casts_pass(name: str, dtype: str) -> None:
    report = report_of(lambda x: quantized(x, name), dtype)
    assert report, report.diagnosis()


@pytest.mark.parametrize("name", FORMATS)
def test_a_wrong_gradient_is_accused_at_the_cast(name: str) -> None:
    jax.clear_caches()
    with planted("convert_element_type", 1.5) as fired:
        report = report_of(lambda x: quantized(x, name), "float64")
    jax.clear_caches()
    assert fired
    wrong = {f.node.rpartition("_")[0] for _, f in report.findings() if f.parity is False}
    assert wrong == {"convert_element_type"}


def test_arithmetic_in_8_bits_is_not_judged() -> None:
    def f(x: Any) -> Any:
        y = x.astype("float8_e5m2")
        return jnp.sum((y * y).astype(x.dtype))

    report = report_of(f, "float32")
    said = [f.note for _, f in report.findings() if f.parity is not True and f.node == "mul_1"]
    assert "arithmetic in 8 bits or fewer is not judged" in said[0]
