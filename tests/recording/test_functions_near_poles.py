"""Functions of one's own that are steep somewhere: a small gradient is judged beside a huge one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

#: Near poles of the digamma function, between them, and above 0.
PSI = (-0.001, -1.001, -20.3, -0.5, 0.3, 2.7, -3.2, -4.6, 1.1, -2.49)
TAN, POLE = (1.5705, 0.1, 3.0, -1.571, 7.0), (1e-3, -1e-4, 30.0, -2.0, 1.0)
WAVE = (0.003, 0.01, -0.002, 2.0, 1.0)
SMALL, STEEP = (1e-6, 1e-12, 1.0, 100.0, 3.0), (80.0, -80.0, 1.0, 0.0, 3.0)


def trigamma(z: Any) -> Any:
    """The slope of digamma in float64, by the reflection about 1/2."""
    far, wide = torch.where(z < 0, 1 - z, z).double(), z.double()
    steps = sum(1 / (far + k) ** 2 for k in range(20))
    x = far + 20
    up = steps + 1 / x + 1 / (2 * x**2) + 1 / (6 * x**3) - 1 / (30 * x**5) + 1 / (42 * x**7)
    ratio = torch.pi / torch.sin(torch.pi * (wide - wide.round()))
    return torch.where(z < 0, ratio**2 - up, up).to(z.dtype)


def by_values(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same values, by NumPy, so that there are no ops to differentiate."""
    return lambda z: torch.from_numpy(np.asarray(f(z.double()).numpy())).to(z.dtype)


FUNCTIONS: dict[str, tuple[Any, Any, tuple[float, ...]]] = {
    "digamma": (torch.digamma, trigamma, PSI),
    "recurrence": (lambda z: torch.digamma(z + 1) - 1 / z, trigamma, PSI),
    "lgamma": (torch.lgamma, torch.digamma, PSI),
    "tan": (torch.tan, lambda z: 1 + torch.tan(z) ** 2, TAN),
    "reciprocal": (lambda z: 1 / z, lambda z: -1 / (z * z), POLE),
    "wave": (lambda z: torch.sin(1 / z), lambda z: -torch.cos(1 / z) / (z * z), WAVE),
    "log": (torch.log, lambda z: 1 / z, SMALL),
    "root": (torch.sqrt, lambda z: 0.5 / torch.sqrt(z), SMALL),
    "exp": (torch.exp, torch.exp, STEEP),
    "step": (
        lambda z: torch.sigmoid(1e4 * z),
        lambda z: 1e4 * torch.sigmoid(1e4 * z) * torch.sigmoid(-1e4 * z),
        (1e-4, -2e-4, 3e-5, 1e-5, -4e-5),
    ),
}  # fmt: skip
WAYS: dict[str, Callable[[Any], Any]] = {"ops": lambda f: f, "values": by_values}


def of(name: str, way: str, dtype: str, factor: Callable[[Any], Any]) -> gp.Report:
    """The report on a function whose gradient is multiplied by a factor of each element."""
    forward, slope, at = FUNCTIONS[name]
    forward = WAYS[way](forward)

    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Any) -> Any:
            ctx.save_for_backward(z)
            return forward(z)

        @staticmethod
        def backward(ctx: Any, d: Any) -> Any:
            (z,) = ctx.saved_tensors
            return d * slope(z) * factor(z)

    w = torch.nn.Parameter(torch.tensor(at, dtype=getattr(torch, dtype)))
    with gp.record() as step:
        Own.apply(w).sum().backward()
    return gp.check(step)


def last(z: Any) -> Any:
    return 1 + 0.01 * (torch.arange(len(z)) == len(z) - 1)


@pytest.mark.sample(32)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_right_and_wrong(name: str, way: str, dtype: str) -> None:
    report = of(name, way, dtype, torch.ones_like)
    assert report.exit_code == 0, report.diagnosis()
    for factor in (lambda z: torch.full_like(z, 1.01), last):
        report = of(name, way, dtype, factor)
        wrong = {f.node for _, f in report.findings() if f.parity is False}
        assert wrong == {"Own_1"}, report.diagnosis()


@pytest.mark.parametrize("way", WAYS)
def test_the_slope_of_digamma_without_its_reflection(way: str) -> None:
    def factor(z: Any) -> Any:
        return torch.where(z < 0, trigamma(1 - z) / trigamma(z), torch.ones_like(z))

    report = of("digamma", way, "float64", factor)
    assert [f.node for _, f in report.findings() if f.parity is False] == ["Own_1"]


@pytest.mark.parametrize(("elements", "most"), [(20, 2000), (400_000, 100)])
def test_single_elements_are_looked_at_where_that_is_cheap(elements: int, most: int) -> None:
    calls = []

    class Wave(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Any) -> Any:
            calls.append(z)
            ctx.save_for_backward(z)
            return by_values(torch.sin)(z)

        @staticmethod
        def backward(ctx: Any, d: Any) -> Any:
            return d * torch.cos(*ctx.saved_tensors)

    w = torch.nn.Parameter(torch.linspace(-3, 3, elements))
    with gp.record() as step:
        Wave.apply(w).sum().backward()
    assert gp.check(step).exit_code == 0
    assert most / 10 < len(calls) < most


class Chosen(torch.autograd.Function):
    """ReLU with a slope of its own at 0, beside a pole."""

    @staticmethod
    def forward(ctx: Any, z: Any, at_zero: float) -> Any:
        ctx.save_for_backward(z)
        ctx.at_zero = at_zero
        return torch.relu(z) + 1 / (z + 1.001)

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        (z,) = ctx.saved_tensors
        kink = torch.where(z == 0, ctx.at_zero, (z > 0).to(z))
        return d * (kink - 1 / (z + 1.001) ** 2), None


@pytest.mark.parametrize(("slope", "code"), [(0.5, 0), (1.0, 0), (1.2, 1), (-0.2, 1)])
def test_a_choice_at_a_kink_beside_a_pole(slope: float, code: int) -> None:
    w = torch.nn.Parameter(torch.tensor([-1.0, 0.0, 1.0, 2.0], dtype=torch.float64))
    with gp.record() as step:
        Chosen.apply(w, slope).sum().backward()
    report = gp.check(step)
    assert report.exit_code == code, report.diagnosis()


def test_rounding_of_a_gradient_that_cancels_is_right() -> None:
    class Soft(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Any) -> Any:
            p = by_values(lambda z: torch.softmax(z, -1))(z)
            ctx.save_for_backward(p)
            return p

        @staticmethod
        def backward(ctx: Any, d: Any) -> Any:
            (p,) = ctx.saved_tensors
            return p * (d - (d * p).sum(-1, keepdim=True))

    w = torch.nn.Parameter(torch.linspace(-2, 2, 20).reshape(4, 5))
    with gp.record() as step:
        Soft.apply(w).sum().backward()
    report = gp.check(step)
    assert report.exit_code == 0, report.diagnosis()
