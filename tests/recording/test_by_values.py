"""Ops without a formula are held to differences of their values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.recording import recording
from gradparity.comparisons.recording.by_values import findings_by_values

torch = pytest.importorskip("torch")

F = torch.nn.functional
G = torch.tensor([[[[0.3, -0.4], [0.71, 0.22]], [[-0.13, 0.9], [0.55, -0.62]]]])


pytestmark = pytest.mark.usefixtures("seeded")


def positive(a: Any) -> Any:
    return a @ a.mT + torch.eye(4, dtype=a.dtype)


#: Losses by ops of PyTorch that have no formula here.
RIGHT: dict[str, Any] = {
    "inv": lambda a: torch.linalg.inv(positive(a)).square().sum(),
    "solve": lambda a: torch.linalg.solve(positive(a), torch.ones(4, dtype=a.dtype)).exp().sum(),
    "logdet": lambda a: torch.logdet(positive(a)),
    "cholesky": lambda a: torch.linalg.cholesky(positive(a)).exp().sum(),
    "eigh": lambda a: torch.linalg.eigh(positive(a))[0].square().sum(),
    "svd": lambda a: torch.linalg.svd(a)[1].square().sum(),
    "qr": lambda a: torch.linalg.qr(a)[1].square().sum(),
    "normal": lambda a: -torch.distributions.MultivariateNormal(
        torch.zeros(4, dtype=a.dtype), positive(a)
    ).log_prob(torch.ones(4, dtype=a.dtype)),
    "grid": lambda a: F.grid_sample(a[None, None], G.to(a.dtype), align_corners=False).exp().sum(),
    "solved": lambda a: torch.cholesky_solve(
        a[:, :2], torch.linalg.cholesky(positive(a))
    ).exp().sum(),
    "nearest": lambda a: F.grid_sample(
        a[None, None] / 9, (a / 9).reshape(1, 2, 4, 2), "nearest", align_corners=False
    ).exp().sum(),
    "largest": lambda a: torch.zeros(4, 4, dtype=a.dtype).scatter_reduce(
        0, torch.zeros(4, 4, dtype=torch.long), a, "amax"
    ).exp().sum(),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", RIGHT)
def test_of_pytorch_s_own(name: str, dtype: str) -> None:
    a = torch.randn(4, 4, dtype=getattr(torch, dtype), requires_grad=True)
    with gp.record() as seen:
        RIGHT[name](a).backward()
    report = gp.check(seen)
    assert report.exit_code == 0, report.diagnosis()
    assert "by differences of their values alone: aten." in seen.coverage_in_words
    with gp.record(strict=True) as seen:
        RIGHT[name](a).backward()
    assert gp.check(seen).exit_code == 2


class Inverse(torch.autograd.Function):
    """The inverse, and what its backward pass makes of it."""

    how = staticmethod(lambda z, d: -z.mT @ d @ z.mT)

    @classmethod
    def forward(cls, ctx: Any, x: Any) -> Any:
        z = torch.linalg.inv(x)
        ctx.save_for_backward(z)
        return z

    @classmethod
    def backward(cls, ctx: Any, d: Any) -> Any:
        return cls.how(*ctx.saved_tensors, d)


HOW: dict[str, Any] = {
    "sign": lambda z, d: z.mT @ d @ z.mT,
    "transposed": lambda z, d: -z @ d @ z.mT,
    "factor": lambda z, d: -1.01 * z.mT @ d @ z.mT,
    "element": lambda z, d: (-z.mT @ d @ z.mT) * (1 + torch.eye(4, dtype=z.dtype) / 50),
    "zero": lambda z, d: torch.zeros_like(d),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["", *HOW])
def test_of_a_function(name: str, dtype: str) -> None:
    how = HOW.get(name, Inverse.how)
    function: Any = type("Planted", (Inverse,), {"how": staticmethod(how)})
    a = torch.randn(4, 4, dtype=getattr(torch, dtype), requires_grad=True)
    with gp.record() as seen:
        function.apply(a + 3 * torch.eye(4, dtype=a.dtype)).tanh().sum().backward()
    report = gp.check(seen)
    if not name:
        assert report.exit_code == 0, report.diagnosis()
        return
    assert report.exit_code == 1
    (wrong,) = [f for _, f in report.findings() if f.parity is False]
    assert wrong.node == "Planted_1"
    assert wrong.note.startswith("along a line the gradient gives")


def test_a_function_that_writes_into_a_part_of_its_output() -> None:
    class Halves(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            out = torch.empty(x.shape[0], 2 * x.shape[1])
            out[:, : x.shape[1]] = 2 * x
            out[:, x.shape[1] :] = x.exp()
            ctx.save_for_backward(x)
            return out

        @staticmethod
        def backward(ctx: Any, d: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * d[:, : x.shape[1]] + d[:, x.shape[1] :] * x.exp()

    leaf = torch.randn(3, 4, requires_grad=True)
    with gp.record() as seen:
        Halves.apply(leaf).square().sum().backward()
    assert gp.check(seen).exit_code == 0
    assert seen.coverage == 1.0
    assert torch.get_default_dtype() == torch.float32


def test_a_function_that_draws_is_not_judged() -> None:
    class Noisy(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(torch.linalg.inv(torch.eye(4) + torch.rand(4, 4) / 9))
            return x @ torch.linalg.inv(torch.eye(4) + torch.rand_like(x) + x.detach() * 0)

        @staticmethod
        def backward(ctx: Any, d: Any) -> Any:
            return d @ ctx.saved_tensors[0]

    leaf = torch.randn(4, 4, requires_grad=True)
    with gp.record() as seen:
        Noisy.apply(leaf).sum().backward()
    assert any("it gives other values" in u.why for u in seen.unjudged)
    assert gp.check(seen).exit_code == 2


def test_many_of_one_kind_are_not_all_asked() -> None:
    a = torch.rand(3, dtype=torch.float64, requires_grad=True)
    with gp.record() as seen:
        y, two = a, torch.tensor(2.0, dtype=torch.float64)
        for _ in range(60):
            y = torch.special.gammainc(two, y) + 0.1
        y.sum().backward()
    assert seen.by_values == {"aten.igamma.default": 50}
    assert len(seen.unjudged) == 10


class InChunks(torch.autograd.Function):
    """A cross-entropy of logits x W, whose gradients are computed chunk by chunk in its forward."""

    by = 1.0

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any, t: Any) -> Any:
        loss, dx, dw = 0.0, torch.zeros_like(x), torch.zeros_like(w)
        for i in range(0, x.shape[0], 2):
            z = x[i : i + 2] @ w
            loss = loss + torch.nn.functional.cross_entropy(z, t[i : i + 2], reduction="sum")
            d = z.softmax(-1)
            d[torch.arange(z.shape[0]), t[i : i + 2]] -= 1
            dx[i : i + 2] = d @ w.T
            dw += x[i : i + 2].T @ d
        ctx.save_for_backward(dx, dw)
        return loss

    @classmethod
    def backward(cls, ctx: Any, d: Any) -> Any:
        dx, dw = ctx.saved_tensors
        return cls.by * d * dx, d * dw, None


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("by", [1.0, 1.01])
def test_a_gradient_that_cancels_is_held_to_its_size_elsewhere(by: float, alike: bool) -> None:
    """With equal weights every gradient by x is zero but for roundings, whatever its factor."""
    torch.manual_seed(0)
    function: Any = type("InChunks", (InChunks,), {"by": by})
    x = torch.randn(5, 7, requires_grad=True)
    w = torch.full((7, 9), 0.7) if alike else torch.randn(7, 9)
    with gp.record() as seen:
        function.apply(x, w.requires_grad_(), torch.tensor([0, 3, 8, 2, 5])).backward()
    report = gp.check(seen)
    assert x.grad is not None
    assert (float(x.grad.abs().max()) < 1e-6) is alike
    assert report.exit_code == (by != 1.0 and not alike), report.diagnosis()


def solved_for_its_own_column(seed: int) -> Any:
    """A solution (1, 0, 0), whose zeros are what rounding makes of them."""
    torch.manual_seed(seed)
    a = torch.randn(3, 3, dtype=torch.float64) + 3 * torch.eye(3, dtype=torch.float64)
    weights = torch.arange(1.0, 4.0, dtype=torch.float64)[:, None]
    return gp.record(
        lambda a: (torch.linalg.solve(a, a[:, :1]) * weights).sum() + a.square().sum(),
        a.requires_grad_(),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_what_rounding_alone_makes_is_no_gradient(seed: int) -> None:
    assert gp.check(solved_for_its_own_column(seed)).exit_code == 0


def test_more_than_rounding_is_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def seen(call: Any, allow: Any) -> Any:
        calls.append(call)
        return findings_by_values(call, allow)

    monkeypatch.setattr(recording, "findings_by_values", seen)
    solved_for_its_own_column(1)
    (call,) = calls
    a, *others = call.inputs
    assert all(f.parity for f in findings_by_values(call, ()))
    grown = np.asarray(a.gradient).copy()
    grown[0, 1] += 1e-8
    planted = replace(call, inputs=(replace(a, gradient=grown), *others))
    wrong = findings_by_values(planted, ())[0]
    assert wrong.parity is False
    assert "[0, 1]" in wrong.note
