"""Conventions that two programs may differ in: each is named, at its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

F = torch.nn.functional

LABELS = torch.tensor([0, 2, 1, 3, 4, 2])
IDS = torch.tensor([[0, 3, 1, 0], [2, 0, 4, 5]])


def numbers(*shape: int, seed: int = 0) -> Any:
    return torch.tensor(np.random.default_rng(seed + sum(shape)).standard_normal(shape))


X = numbers(6, 5)
IMAGES = numbers(2, 4, 7, 7)
SEQUENCE = numbers(2, 5, 12)


def aligned(f: Callable[..., Any], there: Any, here: Any, *shapes: tuple[int, ...]) -> list[Any]:
    """The differences of one function with two arguments, each in parameters of these shapes."""
    made = []
    for argument in (here, there):
        own = [numbers(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)]
        made.append(gp.record(f, argument, *own, keep=True))
    return [finding for finding in gp.align(*made).runs[0].findings if finding.parity is False]


def logits(w: Any, u: Any) -> Any:
    return torch.tanh(X @ w) @ u


def entropy(arguments: dict[str, Any], w: Any, u: Any) -> Any:
    return F.cross_entropy(logits(w, u), LABELS, **arguments)


def entropy_of_targets(share: tuple[float, bool], w: Any, u: Any) -> Any:
    """The loss in plain arithmetic; a share is of all classes, or of the others alone."""
    one = F.one_hot(LABELS, 5).to(w.dtype)
    rest = (1 - one) / 4 if share[1] else torch.full_like(one, 1 / 5)
    target = one * (1 - share[0]) + rest * share[0]
    return -(target * logits(w, u).log_softmax(-1)).sum(-1).mean()


def either_entropy(share: float, w: Any, u: Any) -> Any:
    """PyTorch's own loss with label smoothing, and plain arithmetic without."""
    if share:
        return entropy({"label_smoothing": share}, w, u)
    return entropy_of_targets((share, False), w, u)


@pytest.mark.parametrize(
    ("f", "here", "there", "said"),
    [
        (entropy, {}, {"label_smoothing": 0.1}, "label smoothing is 0 here and 0.1 there"),
        (entropy, {"label_smoothing": 0.1}, {}, "label smoothing is 0 there and 0.1 here"),
        (entropy_of_targets, (0.1, False), (0.0, False), "smoothing is 0.1 here and 0 there"),
        (entropy_of_targets, (0.1, False), (0.1, True), "among the other classes alone"),
        (either_entropy, 0.1, 0.0, "label smoothing is 0 there and 0.1 here"),
        (either_entropy, 0.0, 0.1, "label smoothing is 0 here and 0.1 there"),
        (entropy, {}, {"ignore_index": 2}, "ignore_index, is none here and 2 there"),
        (entropy, {"ignore_index": 2}, {}, "ignore_index, is 2 here and none there"),
        (entropy, {}, {"reduction": "sum"}, "reduction is mean here and sum there"),
    ],
)
def test_a_convention_of_a_loss(f: Any, here: Any, there: Any, said: str) -> None:
    (found,) = aligned(f, there, here, (5, 7), (7, 5))
    assert said in found.note


def test_a_sum_in_place_of_a_mean() -> None:
    def loss(total: bool, w: Any, u: Any) -> Any:
        each = (logits(w, u) - X) ** 2
        return each.sum() if total else each.mean()

    (found,) = aligned(loss, True, False, (5, 7), (7, 5))
    assert "a mean here and a sum there" in found.note


@pytest.mark.parametrize(
    ("here", "there", "said"),
    [
        ((0.3, True), (0.3, False), "dropout with the rate 0.3 here and none there"),
        ((0.3, False), (0.3, True), "dropout with the rate 0.3 there and none here"),
        ((0.2, True), (0.6, True), "dropout has the rate 0.2 here and 0.6 there"),
    ],
)
def test_dropout(here: Any, there: Any, said: str) -> None:
    def loss(dropout: tuple[float, bool], w: Any, u: Any) -> Any:
        torch.manual_seed(3)
        return (F.dropout(torch.tanh(X @ w), *dropout) @ u).pow(2).sum()

    (found,) = aligned(loss, there, here, (5, 7), (7, 5))
    assert said in found.note


IMAGE: list[tuple[Callable[[Any, Any], Any], Any, Any, str]] = [
    (lambda a, x: F.max_pool2d(x, 2, 2, ceil_mode=a), False, True, "ceil_mode"),
    (lambda a, x: F.avg_pool2d(x, 2, 2, ceil_mode=a), False, True, "ceil_mode"),
    (lambda a, x: F.avg_pool2d(x, 2) if a else F.max_pool2d(x, 2), True, False, "an average"),
    (lambda a, x: F.group_norm(x, a), 2, 4, "groups is 2 here and 4 there"),
    (lambda a, x: F.interpolate(x, scale_factor=2, mode=a), "nearest", "bilinear", "mode is"),
]


@pytest.mark.parametrize(("f", "here", "there", "said"), IMAGE)
@pytest.mark.parametrize("turned", [False, True])
def test_a_convention_of_images(f: Any, here: Any, there: Any, said: str, turned: bool) -> None:
    def loss(a: Any, w: Any) -> Any:
        return (f(a, IMAGES * w) ** 3).sum()

    found = aligned(loss, *((here, there) if turned else (there, here)), (4, 7, 7))
    assert len(found) == 1
    assert said in found[0].note or turned
    assert "no such value" not in found[0].note


def attention(interleaved: bool, w: Any, u: Any) -> Any:
    def heads(a: Any) -> Any:
        a = a.reshape(2, 5, 4, 3) if interleaved else a.reshape(2, 5, 3, 4)
        return a.permute(0, 3, 1, 2) if interleaved else a.permute(0, 2, 1, 3)

    z = F.scaled_dot_product_attention(*map(heads, (SEQUENCE @ w).split(12, -1)))
    z = z.permute(0, 2, 3, 1) if interleaved else z.permute(0, 2, 1, 3)
    return (z.reshape(2, 5, 12) @ u).pow(3).sum()


@pytest.mark.parametrize("there", [False, True])
def test_heads_in_another_order(there: bool) -> None:
    found = aligned(attention, there, not there, (12, 36), (12, 12))
    assert "such as heads, are interleaved" in found[0].note
    assert all("heads" in f.note for f in found)


def test_a_norm_before_and_after() -> None:
    def loss(before: bool, w: Any, u: Any) -> Any:
        h, norm = X @ w, lambda a: F.layer_norm(a, (7,))
        h = h + torch.tanh(norm(h) @ u) if before else norm(h + torch.tanh(h @ u))
        return h.pow(3).sum()

    found = aligned(loss, False, True, (5, 7), (7, 7))
    assert "before the branch of the sum add_1 here and after the sum there" in found[0].note


def test_a_row_without_gradient() -> None:
    def loss(padding: int | None, w: Any) -> Any:
        return (torch.tanh(F.embedding(IDS, w, padding_idx=padding)) ** 3).sum()

    for here, there, place in ((0, None, "here"), (None, 0, "there")):
        (found,) = aligned(loss, there, here, (6, 4))
        assert found.node.startswith("embedding")
        assert f"row 0 is zero {place} alone, such as with padding_idx" in found.note


def mixed(differs: dict[str, Any], w: Any, u: Any, b: Any, c: Any) -> Any:
    """Two layers with a norm each, in plain operations."""
    h = X @ w
    for _ in range(2):
        y = F.layer_norm(h, (7,), eps=differs.get("eps", 1e-5)) @ u
        y = y + b if differs.get("bias", True) else y
        h = h + F.gelu(y, approximate=differs.get("approximate", "none"))
    return (h * c).pow(3).mean() * differs.get("times", 1.0)


MIXED: list[tuple[dict[str, Any], list[str]]] = [
    ({"eps": 1e-3, "approximate": "tanh"}, ["eps is", "approximate is"]),
    ({"bias": False, "approximate": "tanh"}, ["left out", "approximate is"]),
    ({"eps": 1e-3, "bias": False, "approximate": "tanh"}, ["eps is", "left out", "approximate is"]),
    ({"eps": 1e-3, "times": 42.0}, ["eps is", "42|0.0238"]),
]


@pytest.mark.sample(3)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("differs", "said"), MIXED)
def test_several_differences(differs: dict[str, Any], said: list[str], turned: bool) -> None:
    here, there = (differs, {}) if turned else ({}, differs)
    found = aligned(mixed, there, here, (5, 7), (7, 7), (7,), (7,))
    for words in said:
        assert any(re.search(words, f.note) for f in found)
    assert not any("no such value" in f.note for f in found)


@pytest.mark.parametrize(
    "there", [((1, 0, 2), {"scale": 1.0}), ((0, 1, 2), {"scale": 1.0, "is_causal": True})]
)
def test_two_differences_at_one_node(there: Any) -> None:
    def loss(how: Any, w: Any) -> Any:
        order, arguments = how
        parts = (SEQUENCE @ w).split(12, -1)
        each = [parts[i].reshape(2, 5, 3, 4).transpose(1, 2) for i in order]
        return F.scaled_dot_product_attention(*each, **arguments).pow(2).sum()

    (found,) = aligned(loss, there, ((0, 1, 2), {}), (12, 36))
    assert "attention" in found.node
    assert ", and scale is None here and 1.0 there" in found.note or "causal" in found.note
