"""Losses as ops of two values: their gradients by the target, against PyTorch and JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity import ops
from gradparity.comparisons.check.check import check
from gradparity.core import Case, Divergence, LinearLoss, Network, Node
from gradparity.core.vocabulary import likelihoods, losses, margins, metric_losses

LOSSES = [
    ops.L2(), ops.LinearLoss(), ops.BinaryCrossEntropy(), ops.BinaryCrossEntropy("probabilities"),
    ops.BinaryKL(), ops.CrossEntropy(0.05), ops.CrossEntropy(0.0, "probabilities"), ops.KL(0.05),
    ops.SquaredError(), ops.Huber(0.25), ops.SmoothL1(0.25), ops.LogCosh(), ops.PoissonNLL(),
    ops.PoissonNLL(False), ops.CosineDistance(), ops.KLDivergence(), ops.KLDivergence(True),
    ops.WeightedBinaryCrossEntropy(3.3), ops.WeightedCrossEntropy(0.02, weights=(0.5, 1.0, 2.0)),
]  # fmt: skip


def values() -> tuple[np.ndarray, np.ndarray]:
    """Outputs and targets in (0, 1), the targets in rows that sum to one."""
    rng = np.random.default_rng(2)
    y, d = rng.uniform(0.05, 0.95, (2, 7, 3))
    return y, d / d.sum(axis=-1, keepdims=True)


def test_every_loss_with_a_gradient_by_the_target_is_here() -> None:
    families: Any = (likelihoods, losses, margins, metric_losses)
    kinds = [getattr(family, name) for family in families for name in family.__all__]
    kinds = [kind for kind in kinds if issubclass(kind, Divergence)]
    kinds += [ops.L2, ops.KL, ops.BinaryKL, ops.BinaryCrossEntropy, ops.CrossEntropy]
    have = {k for k in kinds if k.target_gradient is not Divergence.target_gradient}
    assert have == {type(loss) for loss in LOSSES} - {ops.LinearLoss}


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_both_gradients_are_pytorchs(loss: Divergence) -> None:
    torch = pytest.importorskip("torch")
    from gradparity.adapters.torch.layers import FUNCTIONS

    op, y = ops.LossOfTwo(loss), values()
    z = op.forward(*y)
    tensors = [torch.tensor(a, requires_grad=True) for a in y]
    theirs = FUNCTIONS[ops.LossOfTwo](op, *tensors)
    np.testing.assert_allclose(z, theirs.detach().numpy(), rtol=1e-13, atol=1e-14)
    dz = np.linspace(0.5, 2.0, 7)
    theirs.backward(torch.tensor(dz))
    for ours, tensor in zip(op.vjp(dz, y, z), tensors, strict=True):
        np.testing.assert_allclose(ours, tensor.grad.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.sample(1)
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_frameworks_are_at_parity(framework: str) -> None:
    pytest.importorskip(framework)
    y, d = values()
    cases = []
    for loss in LOSSES:
        network = Network(
            Node("loss", ops.LossOfTwo(loss), "y", "t"), Node("z", ops.Reshape((1,)), "loss"),
            divergence=LinearLoss(), inputs=("y", "t"),
        )  # fmt: skip
        cases.append(Case(network, {}, {"y": y, "t": d}, np.linspace(0.5, 2.0, 7)[:, None]))
    report = check(cases, framework)
    assert report.exit_code == 0, report.diagnosis()


def test_losses_without_a_gradient_by_the_target_are_refused() -> None:
    for loss in (ops.HingeLoss(), ops.NLL(), ops.ReLU()):
        with pytest.raises(ValueError, match=r"LossOfTwo\(loss=.*such as L2\(\) or KLDivergence"):
            ops.LossOfTwo(loss)
    with pytest.raises(ValueError, match=r"for L1\(\) write Subtract\(\) as a node"):
        ops.LossOfTwo(ops.L1())
    with pytest.raises(ValueError, match=r"one shape \(..., L\), received \(4, 3\) and \(3,\)"):
        ops.LossOfTwo(ops.L2()).output_shape((4, 3), (3,))
