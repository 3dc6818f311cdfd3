"""Several numbers written to one place: the gradient is that of the one which is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.recording.calls import findings_of_call
from gradparity.core.programs.duplicates import PutOne, winners

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")

import jax.numpy as jnp  # noqa: E402
from torch import nn  # noqa: E402

IDS, W = [0, 0, 2], [1.0, 2.0, 3.0]
WRITES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "index_put": lambda y, i, s: y.index_put((i,), s),
    "scatter": lambda y, i, s: y.scatter(0, i, s),
    "index_copy": lambda y, i, s: y.index_copy(0, i, s),
    "put": lambda y, i, s: y.clone().put_(i - 3, s),
    "in place": lambda y, i, s: y.clone().index_put_((i,), s),
    "rows": lambda y, i, s: y[:, None].repeat(1, 2).index_put((i,), s[:, None])[:, 0],
}


def accused(step: gp.Recording) -> dict[str, str]:
    """The ops that are accused, and why."""
    wrong = [f for f in step.findings if f.parity is False]
    return {step.places[f.node].function.split(".")[1].rstrip("_"): f.note for f in wrong}


def written(write: Callable[..., Any], s: list[float], ids: list[int] = IDS) -> gp.Recording:
    y, w = (torch.zeros(3, dtype=torch.float64, requires_grad=True), torch.tensor(W).double())
    s = torch.tensor(s, dtype=torch.float64, requires_grad=True)
    return gp.record(lambda y, s: (write(y, torch.tensor(ids), s) * w).sum(), y, s, keep=True)


@pytest.mark.parametrize("name", WRITES)
def test_pytorch_gives_the_gradient_to_all(name: str) -> None:
    step = written(WRITES[name], [5.0, 6.0, 7.0])
    assert not step.unjudged
    ((function, why),) = accused(step).items()
    assert function == {"in place": "index_put", "rows": "index_put"}.get(name, name)
    assert "to all" in why
    assert not accused(written(WRITES[name], [5.0, 6.0, 7.0], [0, 1, 2]))


def test_pytorch_at_equal_numbers() -> None:
    """Two whole gradients are none of the weights that sum to one."""
    assert "to all" in accused(written(WRITES["scatter"], [5.0, 5.0, 7.0]))["scatter"]


def test_one_number_that_is_broadcast_has_one_gradient_for_each_place() -> None:
    """PyTorch counts the same number once for each time that it is written."""
    s = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    step = gp.record(lambda s: torch.zeros(3).double().index_put((torch.tensor(IDS),), s).sum(), s)
    assert "to all" in accused(step)["index_put"]


def test_unpooling_windows_that_overlap() -> None:
    x = torch.tensor([[[[1.0, 2, 9, 3, 4]]]], dtype=torch.float64, requires_grad=True)

    def f(x: Any) -> Any:
        y, at = nn.functional.max_pool2d(x, (1, 3), 1, return_indices=True)
        return nn.functional.max_unpool2d(y, at, (1, 3), 1, output_size=(1, 5)).square().sum()

    assert set(accused(gp.record(f, x))) == {"max_unpool2d"}


class Last(torch.autograd.Function):
    """Writes 3 numbers to 2 places; `shares` are those of its backward."""

    shares = (0.0, 1.0, 1.0)

    @staticmethod
    def forward(ctx: Any, s: Any) -> Any:
        return torch.zeros(3, dtype=s.dtype).index_put((torch.tensor(IDS),), s)

    @staticmethod
    def backward(ctx: Any, dz: Any) -> Any:
        return dz[IDS] * torch.tensor(Last.shares, dtype=dz.dtype)


@pytest.mark.parametrize(("shares", "code"), [
    ((0.0, 1.0, 1.0), 0), ((1.0, 0.0, 1.0), 1), ((1.0, 1.0, 1.0), 1), ((0.5, 0.5, 1.0), 1),
    ((0.0, 1.0, 0.0), 1),
])  # fmt: skip
def test_a_backward_of_ones_own(
    shares: tuple[float, ...], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Last, "shares", shares)
    assert gp.check(written(lambda y, i, s: Last.apply(s), [5.0, 6.0, 7.0])).exit_code == code


@pytest.mark.parametrize("ids", [[0, 0, 2], [2, 2, 2], [0, 0, 7], [1, 0, 2]])
@pytest.mark.parametrize("s", [[5.0, 6.0, 7.0], [5.0, 5.0, 5.0]])
def test_jax_is_right(ids: list[int], s: list[float]) -> None:
    step = gp.record(
        lambda y, s: (y.at[jnp.array(ids)].set(s) * jnp.array(W)).sum(),
        jnp.zeros(3), jnp.array(s), argnums=(0, 1),
    )  # fmt: skip
    assert gp.check(step).exit_code == 0, gp.check(step).diagnosis()


@pytest.mark.parametrize(("shares", "right"), [
    ((0.0, 1.0, 1.0), True), ((1.0, 0.0, 1.0), True), ((0.25, 0.75, 1.0), True),
    ((1.0, 1.0, 1.0), False), ((2.0, -1.0, 1.0), False), ((0.0, 0.0, 1.0), False),
    ((0.0, 1.0, 0.5), False),
])  # fmt: skip
def test_equal_numbers_are_a_choice(shares: tuple[float, ...], right: bool) -> None:
    step = written(WRITES["scatter"], [5.0, 5.0, 7.0])
    (call,) = (c for c in step.calls if isinstance(c.op, PutOne))
    *others, x = call.inputs
    dz = np.array(W)[IDS] * np.array(shares)
    planted = replace(call, inputs=(*others, replace(x, gradient=dz)))
    assert all(f.parity is not False for f in findings_of_call(planted)) == right


def test_the_number_that_stands_there_is_the_one_that_is_kept() -> None:
    ids, x = np.array([1, 1, 1, -1]), np.array([4.0, np.nan, 6.0, 1.0])
    for k, z in enumerate(x[:3]):
        assert np.flatnonzero(winners(ids, x, np.array([0.0, z]))).tolist() == [k]
