"""Recordings judge running sums of exponentials by their formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.core.programs.scans import CumulativeLogSumExp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])


def drawn(size: float) -> tuple[Any, Any]:
    rng = np.random.default_rng(int(size))
    return size * rng.standard_normal((3, 20)), rng.standard_normal((3, 20))


@DTYPES
@pytest.mark.parametrize("size", [1, 10, 100])
@pytest.mark.parametrize("axis", [0, -1])
def test_of_torch(size: float, axis: int, dtype: str) -> None:
    x, w = (torch.tensor(a, dtype=getattr(torch, dtype)) for a in drawn(size))
    x.requires_grad_()
    with gp.record(strict=True) as step:
        (w * x.logcumsumexp(axis)).sum().backward()
    assert gp.check(step).exit_code == 0, gp.check(step).diagnosis()


@pytest.mark.sample(6)
@DTYPES
@pytest.mark.parametrize("size", [1, 10, 100])
@pytest.mark.parametrize("reverse", [False, True])
def test_of_jax(size: float, reverse: bool, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        x, w = (jax.numpy.asarray(a, dtype) for a in drawn(size))
        step = gp.record(
            lambda x: (w * jax.lax.cumlogsumexp(x, 1, reverse=reverse)).sum(), x, strict=True
        )
        assert gp.check(step).exit_code == 0, gp.check(step).diagnosis()


def test_right_values() -> None:
    """The numbers e^y are 1, 3 and 4, and their running sums 1, 4 and 8."""
    op, y, dz = CumulativeLogSumExp(), np.log([1.0, 3.0, 4.0]), np.array([1.0, 10.0, 100.0])
    assert op.forward(y) == pytest.approx(np.log([1.0, 4.0, 8.0]))
    want = [1 + 10 / 4 + 100 / 8, 3 * (10 / 4 + 100 / 8), 4 * 100 / 8]
    assert op.vjp(dz, (y,), op.forward(y))[0] == pytest.approx(np.array(want))
    y = np.array([-np.inf, 2.0, -np.inf])
    assert op.forward(y).tolist() == [-np.inf, 2.0, 2.0]
    assert op.vjp(dz, (y,), op.forward(y))[0].tolist() == [0.0, 110.0, 0.0]


class Planted(torch.autograd.Function):
    """The right values, and a gradient without the last element of each running sum."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        z = x.logcumsumexp(-1)
        ctx.save_for_backward(x, z)
        return z

    @staticmethod
    def backward(ctx: Any, dz: Any) -> Any:
        x, z = ctx.saved_tensors
        share = (x[..., None, :] - z[..., :, None]).exp().tril(-1)
        return (dz[..., :, None] * share).sum(-2)


@DTYPES
def test_a_wrong_gradient_is_accused(dtype: str) -> None:
    x = torch.tensor(drawn(1)[0], dtype=getattr(torch, dtype), requires_grad=True)
    with gp.record(strict=True) as step:
        Planted.apply(x).square().sum().backward()
    wrong = [f.node for _, f in gp.check(step).findings() if f.parity is False]
    assert set(wrong) == {"Planted_1"}
