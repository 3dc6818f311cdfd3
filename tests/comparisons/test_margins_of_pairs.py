"""Losses of margins that couple two values: against PyTorch's own, at their kinks, with faults."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from gradparity import ops
from gradparity.comparisons.check.check import check
from gradparity.comparisons.selftest.networks import Subject
from gradparity.comparisons.selftest.run import selftest
from gradparity.core import Case, LinearLoss, Network, Node, backprop

T, N = 12, 4


def margins(classes: int, margin: float = 1.0, seed: int = 0, whole: bool = False) -> Case:
    """Twelve samples of four scores; so many of the four are classes of the sample."""
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((T, N))
    d = np.argsort(rng.random((T, N)), axis=1) < classes
    network = Network(
        Node("loss", ops.PairwiseMargin(N, margin), "y", "t"), Node("z", ops.Reshape((1,)), "loss"),
        divergence=LinearLoss(), inputs=("y", "t"),
    )  # fmt: skip
    x = {"y": np.round(1.5 * y) if whole else y, "t": d.astype(np.float64)}
    return Case(network, {}, x, rng.uniform(0.5, 1.5, (T, 1)))


def classes(margin: float, seed: int = 0, whole: bool = False) -> Case:
    """Twelve samples, each of one of four classes."""
    case = margins(1, seed=seed, whole=whole)
    network = Network(
        Node("loss", ops.MulticlassHinge(margin), "y", "t"), Node("z", ops.Reshape((1,)), "loss"),
        divergence=LinearLoss(), inputs=("y", "t"),
    )  # fmt: skip
    return Case(network, {}, case.inputs, case.d)


def pairs(margin: float = 0.25, seed: int = 0, whole: bool = False) -> Case:
    """Twelve pairs of vectors, every second of which belongs together."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, T, N))
    if whole:  # at the margin exactly
        a[1], b[1] = (3.0, 4.0, 0.0, 0.0), (0.0, 5.0, 0.0, 0.0)
    network = Network(
        Node("loss", ops.CosineEmbedding(margin), "alike", "a", "b"),
        Node("z", ops.Reshape((1,)), "loss"),
        divergence=LinearLoss(), inputs=("alike", "a", "b"),
    )  # fmt: skip
    x = {"alike": np.arange(T) % 2 == 0, "a": a, "b": b}
    x["alike"] = x["alike"].astype(np.int64)
    return Case(network, {}, x, rng.uniform(0.5, 1.5, (T, 1)))


@pytest.mark.parametrize("whole", [False, True], ids=["random", "at kinks"])
@pytest.mark.parametrize("classes", [1, 2])
def test_hinges_of_pairs_are_pytorchs(classes: int, whole: bool) -> None:
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    case = margins(classes, whole=whole)
    y = torch.tensor(case.inputs["y"], requires_grad=True)
    d = case.inputs["t"]
    if classes == 1:
        each = F.multi_margin_loss(y, torch.tensor(d.argmax(1)), reduction="none")
    else:
        labels = np.full((T, N), -1)
        for row, kept in zip(labels, d, strict=True):
            row[: int(kept.sum())] = np.flatnonzero(kept)
        each = F.multilabel_margin_loss(y, torch.tensor(labels), reduction="none")
    (each * torch.tensor(case.d[:, 0])).mean().backward()
    ours = backprop(case)
    np.testing.assert_allclose(ours.value["loss"], each.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(ours.grad["y"], y.grad.numpy(), rtol=1e-12, atol=1e-13)


def test_a_cosine_embedding_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    case = pairs()
    a, b = (torch.tensor(case.inputs[n], requires_grad=True) for n in "ab")
    target = torch.tensor(2 * case.inputs["alike"] - 1)
    each = torch.nn.functional.cosine_embedding_loss(a, b, target, margin=0.25, reduction="none")
    (each * torch.tensor(case.d[:, 0])).mean().backward()
    ours = backprop(case)
    # PyTorch adds 1e-12 to the squares.
    np.testing.assert_allclose(ours.value["loss"], each.detach().numpy(), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(ours.grad["a"], a.grad.numpy(), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(ours.grad["b"], b.grad.numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_frameworks_have_them_right(framework: str) -> None:
    pytest.importorskip(framework)
    cases = [margins(1), margins(2, 0.5), margins(2, whole=True), pairs()]
    cases += [classes(1.0), classes(0.0, whole=True)]
    report = check(cases, framework)
    assert report.exit_code == 0, report.diagnosis()


@pytest.mark.sample(1)
@pytest.mark.parametrize("make", [
    lambda seed, whole: margins(1, seed=seed, whole=whole),
    pytest.param(lambda seed, whole: margins(2, 0.5, seed, whole), marks=pytest.mark.slow),
    lambda seed, whole: pairs(0.8, seed, whole), lambda seed, whole: classes(1.0, seed, whole),
    lambda seed, whole: classes(0.0, seed, whole),
], ids=["one class", "two classes", "cosine", "largest", "perceptron"])  # fmt: skip
def test_faults_in_them_are_caught(make: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """On random numbers, and on those that hit the hinges exactly."""
    cases = tuple(make(seed, seed % 2 == 1) for seed in range(4))  # type: ignore[operator]
    run = sys.modules[selftest.__module__]
    subject = Subject("margins", cases, sums=False)
    monkeypatch.setattr(run, "builtin_subjects", lambda seed: [subject])
    found = selftest(None, backprop, dtypes=["float64"])
    assert found.exit_code == 0, str(found)
    assert len(found.results) > 200
