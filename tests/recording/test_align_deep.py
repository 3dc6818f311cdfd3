"""`align` where nothing pairs between the place of a difference and the loss, and of exchanges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

from .side_by_side import numbers, other_states, recorded  # noqa: E402


def notes(one: Any, other: Any) -> list[str]:
    return [f.note for f in gp.align(one, other).runs[0].findings if f.parity is False]


@pytest.mark.parametrize("slope", [0.2, 0.01])
def test_a_slope_between_edges_and_a_matrix_of_pairs(slope: float) -> None:
    source, target = np.array([0, 0, 1, 1, 2, 2, 3]), np.array([0, 2, 1, 3, 2, 1, 3])
    joined = np.zeros((4, 4))
    joined[target, source] = 1

    def edges(x: Any, a: Any, b: Any) -> Any:
        each = torch.nn.functional.leaky_relu((x @ a)[source] + (x @ b)[target], 0.2).exp()
        total = torch.zeros(4, dtype=x.dtype).index_add(0, torch.tensor(target), each)
        shares = each / total[target]
        mixed = torch.zeros_like(x).index_add(0, torch.tensor(target), shares[:, None] * x[source])
        return (mixed**2).sum()

    def pairs(x: Any, a: Any, b: Any) -> Any:
        each = jnp.exp(jax.nn.leaky_relu((x @ a)[None] + (x @ b)[:, None], slope)) * joined
        return (((each / each.sum(1, keepdims=True)) @ x) ** 2).sum()

    with jax.enable_x64(True):
        given = numbers(4, 3), numbers(3, seed=1), numbers(3, seed=2)
        one, other = recorded(edges, pairs, *given)
        for both in ((one, other), (other, one)):
            told = notes(*both)
            assert len(told) == (slope != 0.2)
            assert all("0.2" in said and "0.01" in said for said in told)


@pytest.mark.parametrize("best", [False, True])
def test_a_loop_over_samples_and_a_batch(best: bool) -> None:
    def looped(scores: Any, moves: Any) -> Any:
        total = 0.0
        for sample in scores:
            alpha = sample[0]
            for now in sample[1:]:
                alpha = torch.logsumexp(alpha[:, None] + moves, 0) + now
            total = total + torch.logsumexp(alpha, 0)
        return total

    def batched(scores: Any, moves: Any) -> Any:
        alpha = scores[:, 0]
        for t in range(1, scores.shape[1]):
            paths = alpha[:, :, None] + moves
            alpha = (paths.amax(1) if best else paths.logsumexp(1)) + scores[:, t]
        return torch.logsumexp(alpha, 1).sum()

    given = numbers(2, 4, 3), numbers(3, 3, seed=1)
    tensors = [torch.tensor(a, requires_grad=True) for a in given]
    one, other = (gp.record(f, *tensors, keep=True) for f in (looped, batched))
    for both, here in (((one, other), "log-sum-exp"), ((other, one), "maximum")):
        told = notes(*both)
        assert bool(told) == best
        if best:
            there = {"log-sum-exp": "maximum", "maximum": "log-sum-exp"}[here]
            either = f"a {here} here and a {there} there", f"a {there} there and a {here} here"
            assert any(how in told[0] for how in either)


def test_nothing_is_explained_by_numbers_that_are_none() -> None:
    """With the factor left out and another sign both losses would be NaN, and thus pair."""

    def step(x: Any, v: Any, w: Any, turned: bool) -> Any:
        r, i = jax.nn.sigmoid(x @ v), jax.nn.sigmoid(x @ w)
        r, i = (i, r) if turned else (r, i)
        kept = -8.0 * r * 0.1
        return (jnp.sqrt(1 - jnp.exp(2 * kept)) * (i * x)).sum()

    with jax.enable_x64(True):
        given = [jnp.asarray(numbers(3, 4)), *(jnp.asarray(numbers(4, 4, seed=s)) for s in (1, 2))]
        one, other = (gp.record(step, *given, turned, keep=True) for turned in (False, True))
        told = notes(one, other)
        assert told
        assert "it takes logistic_1 here and logistic_2 there" in told[0]
        assert not any("left out" in said or "sign" in said for said in told)


def test_a_part_without_elements() -> None:
    def step(x: Any, n: int) -> Any:
        turned, kept = x[..., :n], x[..., n:]
        return (torch.cat([turned.sin(), kept], -1) ** 2).sum()

    x = torch.tensor(numbers(2, 6), requires_grad=True)
    whole, part = (gp.record(step, x, n, keep=True) for n in (6, 4))
    assert not notes(whole, whole)
    for both in ((whole, part), (part, whole)):
        assert notes(*both)


@pytest.mark.parametrize("momentum", [0.1, 0.3])
def test_statistics_of_one_model_recorded_twice(momentum: float) -> None:
    model = torch.nn.BatchNorm1d(4).double()
    x = torch.tensor(numbers(5, 4))

    def step(model: Any) -> Any:
        return (model(x) ** 3).sum()

    one = gp.record(step, model, keep=True)
    model.momentum = momentum
    other = gp.record(step, model, keep=True)
    assert bool(other_states(one, other)) == (momentum != 0.1)


def test_two_parts_of_data_are_exchanged() -> None:
    x = torch.tensor(numbers(3, 6))

    def step(w: Any, first: bool) -> Any:
        kept, taken = (x[:, 3:], x[:, :3]) if first else (x[:, :3], x[:, 3:])
        return (torch.cat([kept, (taken @ w).tanh()], 1) ** 3).sum()

    w = torch.tensor(numbers(3, 3), requires_grad=True)
    told = notes(*(gp.record(step, w, first, keep=True) for first in (False, True)))
    assert told
    assert "takes here, another part of data" in told[0]


def test_two_slices_are_exchanged() -> None:
    def step(w: Any, x: Any, turned: bool) -> Any:
        a, b = (w[:, 5:], w[:, :5]) if turned else (w[:, :5], w[:, 5:])
        return ((x * a).tanh() + b).pow(2).sum()

    given = [torch.tensor(numbers(3, 10), requires_grad=True), torch.tensor(numbers(3, 5, seed=1))]
    told = notes(*(gp.record(step, *given, turned, keep=True) for turned in (False, True)))
    assert told
    assert all("it takes slice_" in said for said in told)


def test_another_target_and_the_mean_of_two() -> None:
    def aim(x: Any, target: float) -> Any:
        given = torch.full_like(x, target)
        return torch.nn.functional.binary_cross_entropy_with_logits(x, given)

    x = torch.tensor(numbers(6), requires_grad=True)
    told = notes(*(gp.record(aim, x, target, keep=True) for target in (1.0, 0.0)))
    assert "its target is 1 here and 0 there" in told[0]

    def least(x: Any, y: Any, mean: bool) -> Any:
        return (((x + y) / 2 if mean else torch.minimum(x, y)) ** 2).sum()

    y = torch.tensor(numbers(6, seed=1), requires_grad=True)
    told = notes(*(gp.record(least, x, y, mean, keep=True) for mean in (False, True)))
    assert "it is a minimum here and the mean of both there" in told[0]


def test_a_factor_of_ones_is_left_out() -> None:
    def step(x: Any, y: Any, gated: bool) -> Any:
        gate = x.softmax(-1).amax(-1, keepdim=True)
        return ((y * gate if gated else y) ** 2).sum() + (x.softmax(-1) ** 2).sum()

    given = [torch.tensor(numbers(4, 3, seed=s), requires_grad=True) for s in (0, 1)]
    told = notes(*(gp.record(step, *given, gated, keep=True) for gated in (True, False)))
    assert "left out" in told[0]
    assert "a sum there" not in told[0]
