"""Losses of distances and of a variance, against PyTorch's own and at their kinks."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity import ops
from gradparity.comparisons import Verdict, judge
from gradparity.comparisons.check.check import check
from gradparity.comparisons.selftest.networks import Subject, builtin_subjects
from gradparity.comparisons.selftest.run import selftest
from gradparity.core import Case, LinearLoss, Network, Node, backprop

TRIPLETS = [
    ops.TripletMargin(),
    ops.TripletMargin(0.75, p=1.0),
    ops.TripletMargin(0.5, p=3.0, eps=1e-3, swap=True),
    ops.TripletMargin(2.0, eps=0.0, swap=True),
]


def triplets(op: ops.TripletMargin) -> Case:
    """Twelve triplets."""
    rng = np.random.default_rng(0)
    x = {name: rng.standard_normal((12, 4)) for name in "apn"}
    network = Network(
        Node("loss", op, "a", "p", "n"), Node("z", ops.Reshape((1,)), "loss"),
        divergence=LinearLoss(), inputs=tuple("apn"),
    )  # fmt: skip
    return Case(network, {}, x, np.ones((12, 1)))


@pytest.mark.parametrize("op", TRIPLETS, ids=repr)
def test_a_triplet_is_pytorchs(op: ops.TripletMargin) -> None:
    torch = pytest.importorskip("torch")
    case = triplets(op)
    ours = backprop(case)
    y = [torch.tensor(case.inputs[name], requires_grad=True) for name in "apn"]
    how = {"margin": op.margin, "p": op.p, "eps": op.eps, "swap": op.swap}
    loss = torch.nn.functional.triplet_margin_loss(*y, **how, reduction="none")
    loss.mean().backward()
    np.testing.assert_allclose(ours.value["loss"], loss.detach().numpy(), rtol=1e-12, atol=1e-13)
    for name, tensor in zip("apn", y, strict=True):
        np.testing.assert_allclose(ours.grad[name], tensor.grad.numpy(), rtol=1e-12, atol=1e-13)
    assert (ours.value["loss"] > 0).sum() > 3


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_frameworks_have_triplets_right(framework: str) -> None:
    pytest.importorskip(framework)
    report = check([triplets(op) for op in TRIPLETS[::2]], framework)
    assert report.exit_code == 0, report.diagnosis()


@pytest.mark.slow
@pytest.mark.parametrize("op", TRIPLETS[2:], ids=repr)
def test_faults_in_a_triplet_are_caught(
    op: ops.TripletMargin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On random numbers, and on small whole ones, which hit the tie and the hinge exactly."""
    network, cases = triplets(op).network, []
    for seed in range(4):
        rng, batch = np.random.default_rng(seed), 9 + seed
        x = {name: rng.standard_normal((batch, 4)) for name in "apn"}
        x["n"][0] = x["a"][0] + 0.25  # the first sample has a loss
        if seed % 2:
            x = {name: np.round(1.5 * a) for name, a in x.items()}
        cases.append(Case(network, {}, x, rng.uniform(0.5, 1.5, (batch, 1))))
    subject = Subject("triplet", tuple(cases), sums=False)
    run = sys.modules[selftest.__module__]
    monkeypatch.setattr(run, "builtin_subjects", lambda seed: [subject])
    found = selftest(None, backprop, dtypes=["float64"])
    assert found.exit_code == 0, str(found)
    assert len(found.results) > 300


def test_a_triplet_takes_three_inputs() -> None:
    with pytest.raises(ValueError, match="takes 3 inputs, received 2: a, p"):
        Network(
            Node("loss", ops.TripletMargin(), "a", "p"), divergence=gp.ops.L2(), inputs=("a", "p")
        )


def clamped(dtype: str = "float64") -> Case:
    """Variances below eps, at it and above it, each for a row of three means."""
    rng = np.random.default_rng(0)
    a, t = rng.standard_normal((2, 6, 3))
    v = np.array([0.125, 0.25, 0.5, 1.0, 0.25, 2.0])[:, np.newaxis]
    network = Network(
        Node("z", ops.GaussianNLL(eps=0.25), *"atv"), divergence=LinearLoss(), inputs=tuple("atv")
    )
    return Case.random(network, x={"a": a, "t": t, "v": v}, seed=1).astype(dtype)


def judged(share: float, dtype: str) -> Verdict:
    """The verdict on an implementation that takes this share of the slope above eps."""
    case = clamped(dtype)
    trace = backprop(case)
    at = case.inputs["v"] == case.dtype.type(0.25)
    changed = np.where(at, case.dtype.type(share) * trace.grad["v"], trace.grad["v"])
    trace.grad["v"] = changed
    for edge in trace.edge_grad:
        if edge.source == "v":
            trace.edge_grad[edge] = changed
    return max((f.verdict for f in judge(case, trace)), key=lambda verdict: verdict.badness)


@pytest.mark.sample(1)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_at_the_least_variance_any_share_is_valid(dtype: str) -> None:
    for share in (0.0, 0.5):
        assert judged(share, dtype) is Verdict.SUBGRADIENT
    for share in (-0.1, 1.1):
        assert judged(share, dtype) is Verdict.MISMATCH
    found = selftest(clamped(), backprop, dtypes=[dtype])
    assert found.exit_code == 0, str(found)


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_frameworks_have_clamped_variances_right(framework: str) -> None:
    pytest.importorskip(framework)
    report: Any = check([clamped()], framework)
    assert report.exit_code == 0, report.diagnosis()


def test_pytorch_passes_the_clamp_unseen() -> None:
    torch = pytest.importorskip("torch")
    y = np.array([1.0]), np.array([3.0]), np.array([0.125])
    a, t, v = (torch.tensor(each, requires_grad=True) for each in y)
    torch.nn.functional.gaussian_nll_loss(a, t, v, eps=0.25, reduction="sum").backward()
    for op, through in ((ops.GaussianNLL(0.25), 0.0), (ops.GaussianNLL(0.25, False, True), -30.0)):
        da, dt, dv = op.vjp(np.ones(1), y, op.forward(*y))
        assert (da.item(), dt.item(), dv.item()) == (-8.0, 8.0, through)
    assert (a.grad.item(), t.grad.item(), v.grad.item()) == (-8.0, 8.0, -30.0)


def test_a_sum_of_terms_at_the_least_variance_has_the_bound_of_a_sum() -> None:
    """A variance at eps of three elements, whose slopes nearly cancel."""
    subject = next(s for s in builtin_subjects(0) if s.name == "op-gaussian-nll")
    for case in (case.astype("float32") for case in subject.cases):
        found = judge(case, backprop(case), None)
        assert not [f for f in found if f.parity is False]
