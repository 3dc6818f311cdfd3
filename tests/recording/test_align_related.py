"""Causes that relate numbers of two programs: constants, terms, signs, limits, ids and shifts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.aligning.causes.related import relation
from gradparity.comparisons.aligning.programs.roles import is_written
from gradparity.comparisons.aligning.programs.values import Program

torch = pytest.importorskip("torch")

F = torch.nn.functional


def numbers(*shape: int, seed: int = 0) -> Any:
    return torch.tensor(np.random.default_rng(seed + sum(shape)).standard_normal(shape))


A = numbers(4, 5).numpy()
X, IMAGES, DATA = numbers(6, 5), numbers(2, 4, 4, 3), numbers(6, 5, seed=3)


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (-A, "negated {there}"),
        (A * np.pi, "3.14159 (pi) times as large {there}"),
        (A + 2.5, "2.5 larger {there}"),
        (A - A.mean(), "centred {there}"),
        (2 * A - 1, "2 times as large and -1 {there}"),
        (np.exp(A), "replaced {there} by its exponential"),
        (np.abs(A), "replaced {there} by its absolute value"),
        (np.maximum(A, 0), "replaced {there} by its ReLU"),
        (A / (1 + np.exp(-A)), "replaced {there} by its SiLU"),
        (np.cumprod(A, 1), "multiplied up from the first along axis 1 {there}"),
        (A - A.mean(1, keepdims=True), "centred, its mean subtracted, along axis 1 {there}"),
        (A * np.arange(1, 5.0)[:, None], "another factor in each slice along axis 1"),
        (A.T, "transposed {there}"),
        (A[::-1], "mirrored along axis 0 {there}"),
        (np.roll(A, (1, 2), (0, 1)), "rolled {there} by +1 along axis 0, +2 along axis 1"),
        (np.where(A > 1, 0, A), "0 {there} in"),
        (np.where(np.arange(4)[:, None] == 2, A**2, A), "only in the slices [2] along axis 0"),
    ],
)
def test_constants_are_related(there: Any, said: str) -> None:
    assert said in str(relation(A, there))
    back = relation(np.asarray(there), A)
    assert "{" in str(back)


def test_constants_that_are_not_related() -> None:
    assert relation(A, numbers(4, 5, seed=7).numpy()) is None
    assert relation(A, np.zeros((3, 3))) is None
    assert relation(A, np.full((4, 5), np.inf)) is None
    assert relation(np.ones(4), -np.ones(4)) is None  # two numbers always have a ratio


def test_only_factors_that_are_written() -> None:
    for times in (0.5, 3.0, 1 / 8**0.5, 2 * np.pi, 180.0, 0.3, 1 / 0.3):
        assert is_written(times, {0.3}, 1e-9)
    for times in (1.04675, 0.0, np.inf, 0.7310585):
        assert not is_written(times, {0.3}, 1e-9)


def test_numbers_have_roles() -> None:
    w = numbers(5, 4).requires_grad_()

    def f(w: Any) -> Any:
        return ((-(X @ w) * 0.3).clamp_min(1e-12) + 7.0).sum()

    found = Program.of(gp.record(f, w, keep=True)).roles
    assert 0.3 in found["factor"]
    assert 7.0 in found["term"]
    assert not {1e-12, 7.0, -1.0} & set(found["factor"])


def test_a_computed_initial_state_has_its_role() -> None:
    w = numbers(5, 5).requires_grad_()
    program = Program.of(gp.record(lambda w: ((w * 0 + 1) @ X.T).sum(), w, keep=True))
    assert program.roles["product"] == (1.0,)


def aligned(f: Callable[..., Any], here: Any, there: Any) -> Any:
    made = []
    for argument in (here, there):
        shapes = ((5, 5), (5, 5), (9, 5), (5,))
        own = [numbers(*s, seed=i).requires_grad_() for i, s in enumerate(shapes)]
        made.append(gp.record(f, argument, *own, keep=True))
    return gp.align(*made).runs[0].findings


def data(how: Any, w: Any, u: Any, *rest: Any) -> Any:
    return (torch.tanh(how(DATA) @ w) @ u).square().sum()


def skip(how: str, w: Any, u: Any, t: Any, b: Any) -> Any:
    h = torch.tanh(X @ w)
    y = torch.sin(h @ u)
    y = y + b * h if how == "skip" else y * h if how == "gated" else y
    return (y @ u).square().sum()


def sign(how: str, w: Any, u: Any, *rest: Any) -> Any:
    """A loss with its entropy subtracted or added, as a mean of sums or a sum of means."""
    p = (X @ w).softmax(-1)
    entropy, errors = (p * p.log()).sum(-1), (torch.tanh(X @ u) ** 2).sum(-1)
    if how == "means":
        return errors.mean() - 0.01 * entropy.mean()
    entropy = -entropy if how == "negative" else entropy
    return (errors - 0.01 * entropy).mean()


def extreme(how: str, w: Any, u: Any, *rest: Any) -> Any:
    return (getattr(torch, how)(torch.sin(X @ w), torch.cos(X @ u)) ** 3).sum()


def clipped(how: tuple[float, float, bool], w: Any, u: Any, *rest: Any) -> Any:
    """A ratio with two limits, the lower or the upper one first."""
    ratio = torch.exp(0.3 * (X @ w))
    low, high = (torch.tensor(x, dtype=ratio.dtype) for x in how[:2])
    if how[2]:
        ratio = torch.minimum(torch.maximum(ratio, low), high)
    else:
        ratio = torch.maximum(torch.minimum(ratio, high), low)
    return (ratio * torch.sin(X @ u)).sum()


def softplus(how: bool, w: Any, u: Any, *rest: Any) -> Any:
    z = X @ w
    other = torch.zeros((), dtype=z.dtype)
    h = torch.logaddexp(z, other) if how else torch.maximum(z, other)
    return (h @ u).square().sum()


def ids(how: tuple[int, bool], w: Any, u: Any, t: Any, b: Any) -> Any:
    """Rows of a table, by their ids or by a product with one-hot vectors."""
    taken = torch.tensor([0, 3, 8, 1, 1, 5]) % how[0]
    rows = t[taken] if how[1] else F.one_hot(taken, 9).to(t.dtype) @ t
    return (torch.tanh(rows + X @ w) @ u).square().sum()


def masked(how: bool, w: Any, u: Any, *rest: Any) -> Any:
    """The positive or the negative numbers of each row."""
    z = X @ w
    kept = (z.detach() > 0) == how
    return (torch.sin(torch.exp(z) * kept.to(z.dtype)) @ u).square().sum()


def rooted(how: str, w: Any, u: Any, *rest: Any) -> Any:
    z = torch.sin(X @ w) @ u
    if how == "norm":
        return (z.norm(dim=-1) * DATA[:, 0]).sum()
    total = z.square().sum(-1)
    return ((total.sqrt() if how == "root" else total) * DATA[:, 0]).sum()


def scaled(how: bool, w: Any, u: Any, t: Any, b: Any) -> Any:
    """A scale of its own, or its exponential: a number that many activations leave as it is."""
    scale = b[0] ** 2
    return (torch.sin(X @ w) @ u * (scale.exp() if how else scale)).pow(3).sum()


def shifted(how: int, w: Any, u: Any, *rest: Any) -> Any:
    """Attention in shifted windows, with a bias that each window has of its own."""
    y = torch.sin(IMAGES @ w[:3, :4])
    y = torch.roll(y, (how, how), (1, 2)).view(2, 2, 2, 2, 2, 4).transpose(2, 3).flatten(3, 4)
    scores = (y @ y.transpose(-2, -1) + numbers(2, 2, 4, 4)).softmax(-1)
    return ((scores @ y) @ u[:4]).square().sum()


CASES = [
    (data, lambda a: a, lambda a: a * 2, "times as large"),
    (data, lambda a: a, F.silu, "its SiLU"),
    (data, lambda a: a - a.mean(-1, keepdim=True), lambda a: a, "mean"),
    (skip, "skip", "none", "left out"),
    (skip, "gated", "none", "left out"),
    (sign, "means", "negative", "sign|left out"),
    (extreme, "maximum", "minimum", "maximum"),
    (clipped, (0.8, 1.2, True), (0.9, 1.1, False), "its limits are"),
    (softplus, True, False, "Softplus"),
    (ids, (9, True), (3, False), "other rows of its table"),
    (masked, False, True, "inverted"),
    (rooted, "norm", "square", "root of its value is left out"),
    (scaled, True, False, "Exp: left out"),
    (shifted, 1, -1, "cyclic shift"),
]


@pytest.mark.parametrize(("f", "here", "there", "said"), CASES)
@pytest.mark.parametrize("turned", [False, True])
def test_a_cause_by_its_name(f: Any, here: Any, there: Any, said: str, turned: bool) -> None:
    both = (there, here) if turned else (here, there)
    accused = [x for x in aligned(f, *both) if x.parity is False]
    assert len(accused) == 1, [x.note for x in accused]
    assert re.search(said, accused[0].note)


RIGHT = [
    *((f, argument, argument) for f, here, there, _ in CASES for argument in (here, there)),
    (sign, "means", "right"),
    (rooted, "norm", "root"),
    (clipped, (0.8, 1.2, True), (0.8, 1.2, False)),
    (ids, (9, True), (9, False)),
]


@pytest.mark.parametrize(("f", "here", "there"), RIGHT)
def test_a_right_twin_is_not_accused(f: Any, here: Any, there: Any) -> None:
    assert all(x.parity is not False for x in aligned(f, here, there))


def test_an_explanation_carries_on() -> None:
    """No factor, and no number of another op, is named where nothing that follows pairs."""

    def f(how: bool, w: Any, u: Any, *rest: Any) -> Any:
        z = torch.tanh(X @ w)
        sine = (1 - z**2).sqrt()
        h = z * 0.9553 - sine * 0.2955 if how else torch.sin(z) * z.cumsum(-1)
        return ((0.01 * h).clamp_min(1e-12) @ u).square().sum()

    for sides in ((True, False), (False, True)):
        notes = [x.note for x in aligned(f, *sides) if x.parity is False]
        assert notes
        assert not any("1e-12" in note or "times as large" in note for note in notes)


@pytest.mark.parametrize("turned", [False, True])
def test_two_activations_exchanged_are_not_other_parameters(turned: bool) -> None:
    """Either alone lets nothing pair that is made of it; other parameters let less pair."""

    def gated(how: bool, w: Any, u: Any, t: Any, b: Any) -> Any:
        one, other = F.linear(X, w, b), F.linear(X, u, t[0])
        one, other = (one, other) if how else (other, one)
        return (torch.tanh(one) * torch.sigmoid(other)).pow(3).sum()

    notes = [x.note for x in aligned(gated, turned, not turned) if x.parity is False]
    assert re.search("it is (Tanh|Sigmoid) here and (Tanh|Sigmoid) there", notes[0])
    assert not any("takes the parameters" in note for note in notes)
