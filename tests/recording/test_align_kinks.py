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


#: Exactly at a kink of ReLU, or in a tie of a row, and beyond on both sides.
POINTS = np.array([[0.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
TIED = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]])
WEIGHTS = np.array([[1.0, 2.0, -3.0], [0.5, 4.0, 2.0]])


def with_relu(w: Any) -> Any:
    return (torch.relu(torch.sin(w)) * torch.tensor(WEIGHTS)).sum()


RELUS: dict[str, Any] = {
    "maximum": lambda h: jnp.maximum(h, 0),
    "where": lambda h: jnp.where(h >= 0, h, 0),
    "mask": lambda h: h * (h >= 0),
    "clip": lambda h: jnp.clip(h, 0, None),
    "abs": lambda h: (h + jnp.abs(h)) / 2,
}


def both(f: Any, g: Any, w: Any) -> tuple[Any, Any]:
    one = gp.record(f, torch.tensor(w, requires_grad=True), keep=True)
    return one, gp.record(g, jnp.asarray(w), keep=True)


def gradient(report: Any) -> Any:
    """The finding on the gradient by the only parameter, of two programs against each other."""
    return next(f for f in report.runs[0].findings if f.quantity.is_gradient)


@pytest.mark.parametrize("name", RELUS)
def test_another_relu_at_its_kink_is_valid(name: str) -> None:
    with jax.enable_x64(True):
        one, other = both(with_relu, lambda w: (RELUS[name](jnp.sin(w)) * WEIGHTS).sum(), POINTS)
        assert not np.allclose(one.leaves["arg0"].got, other.leaves["arg0"].got)
        for report, node in ((gp.align(one, other), "relu_1"), (gp.align(other, one), "relu_1")):
            found = gradient(report)
            assert report.exit_code == 0
            assert found.verdict == "subgradient"
            assert f"'{node}'" in found.note
            assert "has 3 elements at a kink and takes 0" in found.note


@pytest.mark.parametrize("fault", ["cut", "doubled", "leaky"])
@pytest.mark.parametrize("name", RELUS)
def test_a_fault_beside_a_kink_is_one_all_the_same(name: str, fault: str) -> None:
    def port(w: Any) -> Any:
        h = jnp.sin(w)
        stopped = jax.lax.stop_gradient(h)
        if fault == "doubled":
            h = 2 * h - stopped
        if fault == "cut":  # the first column has no gradient
            h = jnp.concatenate([stopped[:, :1], h[:, 1:]], 1)
        if fault == "leaky":  # by a slope that the values do not have
            low = jnp.where(stopped < 0, 0.1 * (h - stopped), 0.0)
            return ((RELUS[name](h) + low) * WEIGHTS).sum()
        return (RELUS[name](h) * WEIGHTS).sum()

    with jax.enable_x64(True):
        one, other = both(with_relu, port, POINTS)
        for report in (gp.align(one, other), gp.align(other, one)):
            assert report.exit_code == 1
            assert gradient(report).verdict == "mismatch"


def of_ties(largest: Any) -> Any:
    return lambda w: (largest(TIED * w) * np.array([1.0, 3.0])).sum()


LARGEST: dict[str, Any] = {
    "max": lambda h: jnp.max(h, 1),
    "sort": lambda h: jnp.sort(h, 1)[:, -1],
    "top_k": lambda h: jax.lax.top_k(h, 1)[0][:, 0],
    "argmax": lambda h: jnp.take_along_axis(h, h.argmax(1)[:, None], 1)[:, 0],
}
TORCH_LARGEST: dict[str, Any] = {
    "max": lambda h: h.max(1).values,
    "amax": lambda h: torch.amax(h, 1),
}


@pytest.mark.parametrize("there", LARGEST)
@pytest.mark.parametrize("here", TORCH_LARGEST)
def test_another_choice_at_a_tie_is_valid(here: str, there: str) -> None:
    def f(w: Any) -> Any:
        return (TORCH_LARGEST[here](torch.tensor(TIED) * w) * torch.tensor([1.0, 3.0])).sum()

    with jax.enable_x64(True):
        one, other = both(f, of_ties(LARGEST[there]), np.ones(3))
        same = np.allclose(one.leaves["arg0"].got, other.leaves["arg0"].got)
        for report in (gp.align(one, other), gp.align(other, one)):
            assert report.exit_code == 0
            assert gradient(report).verdict == ("rounding" if same else "subgradient")
            assert "detach" not in report.runs[0].about


@pytest.mark.parametrize("there", LARGEST)
def test_a_smaller_gradient_at_a_tie_is_accused(there: str) -> None:
    def port(h: Any) -> Any:
        return LARGEST[there](0.5 * h + 0.5 * jax.lax.stop_gradient(h))

    with jax.enable_x64(True):
        one, other = both(
            lambda w: (torch.amax(torch.tensor(TIED) * w, 1) * torch.tensor([1.0, 3.0])).sum(),
            of_ties(port),
            np.ones(3),
        )
        assert gp.align(one, other).exit_code == 1
        assert gp.align(other, one).exit_code == 1


def test_max_pooling_by_reshape() -> None:
    w, c = np.ones((1, 1, 4, 4)), np.array([[[[1.0, -2.0], [3.0, 0.5]]]])

    def f(w: Any) -> Any:
        return (torch.nn.functional.max_pool2d(torch.tanh(w), 2) * torch.tensor(c)).sum()

    with jax.enable_x64(True):
        one, other = both(
            f, lambda w: (jnp.tanh(w).reshape(1, 1, 2, 2, 2, 2).max((3, 5)) * c).sum(), w
        )
        report = gp.align(one, other)
    assert report.exit_code == 0
    assert "has 4 ties and takes the first" in gradient(report).note


def test_a_mask_of_data_is_no_choice_at_a_kink() -> None:
    """The mask hides elements that are 0 anyway: another function, whose values are the same."""
    mask = np.array([[False, True, True], [True, True, True]])
    with jax.enable_x64(True):
        one, other = both(
            lambda w: (torch.sin(w) * torch.tensor(WEIGHTS)).sum(),
            lambda w: (jnp.where(mask, jnp.sin(w), 0) * WEIGHTS).sum(),
            POINTS,
        )
        report = gp.align(one, other)
    assert report.exit_code == 1
    assert gradient(report).verdict == "mismatch"
