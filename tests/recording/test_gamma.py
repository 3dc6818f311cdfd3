"""Recordings judge lgamma and digamma by their formulas, below 0 too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

#: Between the poles, near some of them, and above 0.
Z = np.array([*np.random.default_rng(0).uniform(-6, 6, 30), -0.001, -1.001, -20.3, -0.5, 0.3])
#: Between -1/2 and 0, up to where the slope of lgamma nears the largest number of float32.
BESIDE_0 = -np.array([0.49999, 0.4, 0.25, 0.1, 1e-3, 1e-6, 1e-9, 1e-18, 1e-30, 1e-37])
POLES = np.array([0.0, -1.0, -2.0, 0.5])


def of_torch(name: str, z: Any, dtype: str) -> gp.Report:
    w = torch.nn.Parameter(torch.tensor(z, dtype=getattr(torch, dtype)))
    with gp.record(strict=True) as step:
        getattr(torch, name)(w).sum().backward()
    return gp.check(step)


def of_jax(name: str, z: Any, dtype: str) -> gp.Report:
    with jax.enable_x64(dtype == "float64"):
        f = getattr(jax.lax, name)
        x = jax.numpy.asarray(z, dtype)
        return gp.check(gp.record(lambda a: f(a).sum(), x, strict=True))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_both_frameworks_below_0(name: str, dtype: str) -> None:
    right = Z if name == "lgamma" else Z[Z > -4]
    for report in (of_torch(name, Z, dtype), of_jax(name, right, dtype)):
        assert report.exit_code == 0, report.diagnosis()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_slope_of_digamma_in_jax_is_wrong_far_below_0(dtype: str) -> None:
    """psi'(-8.5) is 9.7589, and the gradient of JAX 0.10 there is 6.79."""
    report = of_jax("digamma", np.array([-8.5, 2.0]), dtype)
    assert [f.node for _, f in report.findings() if f.parity is False] == ["digamma_1"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_every_element_beside_0_is_tested(name: str, dtype: str) -> None:
    """A slope of digamma below -1e-19 is no number of float32."""
    z = BESIDE_0 if name == "lgamma" or dtype == "float64" else BESIDE_0[:7]
    for report in (of_torch(name, z, dtype), of_jax(name, z, dtype)):
        assert report.exit_code == 0, report.diagnosis()
        assert not any(f.untested for _, f in report.findings())


class OneOff(torch.autograd.Function):
    """The values of lgamma, and a slope that is wrong in one element."""

    @staticmethod
    def forward(ctx: Any, z: Any, i: int) -> Any:
        ctx.save_for_backward(z)
        ctx.i = i
        return torch.lgamma(z)

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        (z,) = ctx.saved_tensors
        return d * torch.digamma(z) * (1 + 1e-4 * (torch.arange(len(z)) == ctx.i)), None


@pytest.mark.parametrize("i", [6, 9])
def test_a_wrong_slope_beside_0_is_accused(i: int) -> None:
    w = torch.nn.Parameter(torch.tensor(BESIDE_0, dtype=torch.float32))
    with gp.record(strict=True) as step:
        OneOff.apply(w, i).sum().backward()
    wrong = {f.node: f.outside for _, f in gp.check(step).findings() if f.parity is False}
    assert wrong == {"OneOff_1": 1}


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_nothing_is_said_at_poles(name: str) -> None:
    for of in (of_torch, of_jax):
        assert of(name, POLES, "float64").exit_code == 2


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_a_wrong_slope_below_0_is_accused_at_its_node(name: str) -> None:
    w = torch.nn.Parameter(torch.tensor(Z))
    with gp.record(strict=True) as step:
        z = getattr(torch, name)(w)
        z.grad_fn.register_hook(lambda given, _: (torch.where(w < 0, 1.001, 1.0) * given[0],))
        z.sum().backward()
    report = gp.check(step)
    assert {f.node for _, f in report.findings() if f.parity is False} == {f"{name}_1"}
