"""`align` where rounding lets two programs take different sides of a kink."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

#: Of one sum the terms are 1e8, 3 and -1e8: it is 3, or 0 if the first two are added first.
A, B, C = (
    np.array(n, np.float32) for n in ([1e8, 2e5, -4e5], [1.5, 5e4, 1e5], [-0.25e8, 1e5, 2e5])
)
SHARES = [1.0, 2.0, 3.0]


def in_torch(a: Any, b: Any, c: Any) -> Any:
    return (torch.relu((a + 2 * b) + 4 * c) * torch.tensor(SHARES)).sum()


def in_jax(numbers: Any, cut: bool = False, doubled: bool = False) -> Any:
    a, b, c = numbers
    c = jax.lax.stop_gradient(c) if cut else c
    b = 2 * b - jax.lax.stop_gradient(b) if doubled else b
    return (jax.nn.relu((a + 4 * c) + 2 * b) * jnp.array(SHARES)).sum()


def recorded(**how: Any) -> tuple[Any, Any]:
    one = gp.record(in_torch, *(torch.tensor(n, requires_grad=True) for n in (A, B, C)), keep=True)
    other = gp.record(
        lambda numbers: in_jax(numbers, **how), [jnp.asarray(n) for n in (A, B, C)], keep=True
    )
    return one, other


def test_the_sides_differ_in_float32() -> None:
    one, other = recorded()
    assert one.leaves["arg0"].got.tolist() == [0.0, 2.0, 3.0]
    assert other.leaves["0"].got.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("mapped", [False, True])
def test_another_side_of_a_kink_is_no_difference(mapped: bool) -> None:
    one, other = recorded()
    names = dict(zip(one.leaves, other.leaves, strict=True)) if mapped else None
    assert gp.align(one, other, parameters=names).exit_code == 0
    back = {b: a for a, b in names.items()} if names else None
    assert gp.align(other, one, parameters=back).exit_code == 0


def test_a_gradient_that_is_cut_is_one_all_the_same() -> None:
    one, other = recorded(cut=True)
    for report in (gp.align(one, other), gp.align(other, one)):
        assert report.exit_code == 1
        assert "stop_gradient" in report.runs[0].about


def test_a_gradient_with_another_term_is_one_all_the_same() -> None:
    one, other = recorded(doubled=True)
    assert gp.align(one, other).exit_code == 1


def test_a_gradient_that_is_nan_in_one_program_alone() -> None:
    """PyTorch's gradient of a norm at a row of zeros is 0, and that of the square root is NaN."""
    x = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)
    one = gp.record(
        lambda x: torch.linalg.vector_norm(x, dim=1).sum(),
        torch.tensor(x, requires_grad=True),
        keep=True,
    )
    other = gp.record(lambda x: jnp.sqrt((x * x).sum(1)).sum(), jnp.asarray(x), keep=True)
    for report in (gp.align(one, other), gp.align(other, one)):
        assert report.exit_code == 1
        assert "not finite" in report.runs[0].about


def test_another_side_before_a_batch_norm() -> None:
    def one_way(a: Any, b: Any, c: Any) -> Any:
        h = torch.relu((a + 2 * b) + 4 * c)[:, None]
        return (torch.nn.functional.batch_norm(h, None, None, training=True)[:, 0] ** 3).sum()

    def other_way(numbers: Any) -> Any:
        a, b, c = numbers
        h = jax.nn.relu((a + 4 * c) + 2 * b)
        return (((h - h.mean()) / jnp.sqrt(h.var() + 1e-5)) ** 3).sum()

    one = gp.record(one_way, *(torch.tensor(n, requires_grad=True) for n in (A, B, C)), keep=True)
    other = gp.record(other_way, [jnp.asarray(n) for n in (A, B, C)], keep=True)
    grads = one.leaves["arg0"].got, other.leaves["0"].got
    assert (grads[0][0] == 0) != (grads[1][0] == 0)
    assert gp.align(one, other).exit_code == 0
    assert gp.align(other, one).exit_code == 0
