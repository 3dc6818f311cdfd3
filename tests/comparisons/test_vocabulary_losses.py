"""Losses of the vocabulary: at their kinks, on sequences with weights, and what explains them."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from gradparity import ops
from gradparity.comparisons import Verdict, judge
from gradparity.comparisons.cases.vocabulary.losses import LOSSES
from gradparity.comparisons.check.check import check
from gradparity.comparisons.selftest.run import selftest
from gradparity.core import Case, Divergence, Network, Node, backprop

#: A loss with kinks at d for L1, at d for the hinge, at 1 where d = -1 for the embedding.
KINKED = [ops.L1(), ops.HingeLoss(), ops.HingeEmbedding(1.0), ops.MarginRanking(0.5)]
KINK = {"L1": (1.0, 1.0), "HingeLoss": (-1.0, -1.0), "HingeEmbedding": (1.0, -1.0),
        "MarginRanking": (0.5, 1.0)}  # fmt: skip


def at_kink(divergence: Divergence, dtype: str = "float64", weights: bool = False) -> Case:
    """Six samples, of which the first and the third are at a kink in their second output."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((6, 3)).astype(dtype)
    d = divergence.targets(rng, x.shape).astype(dtype)
    for i in (0, 2):
        x[i, 1], d[i, 1] = KINK[divergence.name]
    node, names = Node("y1", ops.Identity(), "x"), ("x", "w") if weights else ("x",)
    network = Network(node, divergence=divergence, inputs=names, weights="w" if weights else None)
    w = {"w": np.array([3.0, 1.0, 0.5, 0.0, 2.0, 1.0], dtype)}
    return Case(network, {}, {"x": x, **w} if weights else x, d)


def taken(case: Case, slope: float) -> Verdict:
    """The verdict on an implementation that takes this slope in the first sample."""
    trace = backprop(case)
    weight = case.inputs["w"][0] if "w" in case.inputs else 1.0
    dz = trace.grad["Div"][0] * weight
    for array in (*trace.edge_grad.values(), trace.grad["y1"], trace.grad["x"]):
        if array.shape == case.inputs["x"].shape:
            array[0, 1] = slope * dz
    return next(f for f in judge(case, trace) if f.quantity == "grad y1 -> Div").verdict


@pytest.mark.parametrize("weights", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("divergence", KINKED, ids=repr)
def test_slopes_between_both_sides_pass_and_others_do_not(divergence, dtype, weights):
    case = at_kink(divergence, dtype, weights)
    own = {Verdict.EXACT, Verdict.ROUNDING}
    choice = divergence.subdifferential((case.inputs["x"], case.desired), case.precision.tiny)
    low, high = choice.low[0, 1], choice.high[0, 1]
    assert choice.at.sum() == 2
    assert taken(case, 0.0) in own
    for slope in {low, high, 0.3 * low + 0.7 * high} - {0.0}:
        assert taken(case, slope) is Verdict.SUBGRADIENT
    for slope in (low - 0.01, high + 0.01, np.nan):
        assert taken(case, slope) is Verdict.MISMATCH


@pytest.mark.sample(2)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("divergence", KINKED, ids=repr)
def test_faults_beside_a_kink_are_caught(divergence, dtype):
    found = selftest(at_kink(divergence), backprop, dtypes=[dtype])
    assert found.exit_code == 0, str(found)


@pytest.mark.sample(4)
@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("divergence", KINKED, ids=repr)
def test_what_frameworks_take_is_valid(divergence, framework):
    if not find_spec(framework):
        pytest.skip(f"no {framework}")
    report = check([at_kink(divergence), at_kink(divergence, weights=True)], framework)
    assert report.exit_code == 0, report.diagnosis()


def tokens(name: str) -> Case:
    """This loss for every token of three sequences, some of weight zero."""
    divergence, output, width = LOSSES[name]
    rng = np.random.default_rng(4)
    x = {"x": rng.standard_normal((3, 6, 4)), "w": rng.choice([0.0, 0.5, 1.0], (3, 6))}
    nodes = [Node("z1", ops.Affine(4, width), "x")]
    nodes += [Node("y1", op, "z1") for op in output]
    network = Network(*nodes, divergence=divergence, inputs=("x", "w"), weights="w")
    return Case.random(network, x=x, seed=5, name=name)


@pytest.mark.sample(1)
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_every_loss_of_tokens_with_weights(framework):
    if not find_spec(framework):
        pytest.skip(f"no {framework}")
    report = check([tokens(name) for name in LOSSES], framework)
    assert report.exit_code == 0, report.diagnosis()


def test_weights_of_samples_make_the_mean_of_weighted_classes():
    """PyTorch's mean over samples of weighted classes: the sum divided by that of their weights."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(6)
    z, labels = rng.standard_normal((8, 3)), np.array([0, 2, 1, -100, 1, 0, -100, 2])
    weights = np.array([0.5, 1.0, 2.0])
    w = np.where(labels == -100, 0.0, weights[np.maximum(labels, 0)])
    node = Node("y1", ops.Identity(), "x")
    network = Network(node, divergence=ops.CrossEntropy(), inputs=("x", "w"), weights="w")
    case = Case(network, {}, {"x": z, "w": w}, np.where(labels == -100, 0, labels))
    loss = torch.nn.CrossEntropyLoss(torch.tensor(weights), ignore_index=-100)
    x = torch.tensor(z, requires_grad=True)
    loss(x, torch.tensor(labels)).backward()
    np.testing.assert_allclose(backprop(case).grad["x"], x.grad, rtol=1e-13, atol=1e-16)


def test_another_smoothing_of_weighted_classes_is_explained():
    loss = ops.WeightedCrossEntropy(0.02, weights=(0.5, 1.0, 2.0), ignore_index=-1)
    node = Node("y1", ops.Identity(), "x")
    x, d = np.random.default_rng(2).standard_normal((4, 3)), np.array([0, -1, 2, 1])
    case, plain = (
        Case(Network(node, divergence=replace(loss, eps=eps)), {}, x, d) for eps in (0.02, 0.0)
    )
    found = [f for f in judge(case, backprop(plain)) if f.quantity in ("Div", "grad y1 -> Div")]
    assert [f.verdict for f in found] == [Verdict.CONVENTION] * 2
    assert {f.convention for f in found} == {"no-smoothing"}
