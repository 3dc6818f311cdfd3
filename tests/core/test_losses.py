"""Every loss of the vocabulary: 60 digits, the bounds, textbook values, kinks and arguments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradparity import ops
from gradparity.comparisons.cases.vocabulary.losses import LOSSES
from gradparity.core import Bounded, Precision, Rounding, Weighted

from .oracle import MP, Real, as_array, inside

H, TOLERANCE = Real.of(MP.mpf(10) ** -20), Real.of(MP.mpf(10) ** -28)


def numbers(name: str, dtype: Any = np.float32) -> tuple[Any, np.ndarray, np.ndarray]:
    """The divergence with outputs, small and large ones among them, and targets, in the dtype."""
    divergence, output, width = LOSSES[name]
    rng = np.random.default_rng(7)
    y = rng.standard_normal((12, width)) * np.array([[0.01, 1.0, 8.0]] * 4).reshape(12, 1)
    for op in output:
        y = op.forward(y)
    d = divergence.targets(rng, y.shape)
    y = y.astype(np.float32)
    d = divergence.desired(d, y.shape, Precision.of("float32"))
    return divergence, y.astype(dtype), d.astype(dtype)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_the_derivative(name: str) -> None:
    divergence, y, d = numbers(name)
    rng = np.random.default_rng(0)
    x, t, v = Real.array(y), Real.array(d), Real.array(rng.standard_normal(y.shape))
    ahead, behind = (divergence.forward(x + v * h, t) for h in (H, -H))
    found = divergence.gradient(x, t)
    assert found.shape == y.shape
    along, back = (ahead - behind) / (2 * H), (found * v).sum(axis=-1)
    for a, b in zip(along, back, strict=True):
        assert abs(a - b) <= TOLERANCE * (1 + abs(a) + abs(b))


@pytest.mark.parametrize("name", LOSSES)
def test_bounds_cover_the_truth_and_every_dtype(name: str) -> None:
    divergence, y, d = numbers(name)
    exact = Real.array(y), Real.array(d)
    right = divergence.forward(*exact), divergence.gradient(*exact)
    for dtype in ("float32", "float64"):
        rounding = Rounding.of(dtype)
        plain = numbers(name, dtype)[1:]
        computed = divergence.forward(*plain), divergence.gradient(*plain)
        bounded = [Bounded.exactly(a, rounding) for a in plain]
        reference = divergence.forward(*bounded), divergence.gradient(*bounded)
        for got, bound, true in zip(computed, reference, right, strict=True):
            assert got.dtype == dtype
            assert got.shape == bound.shape == np.shape(true)
            assert np.isfinite(bound.full_error()).all()
            assert inside(got, bound).all()
            assert inside(as_array(true), bound).all()


#: Losses whose values and gradients are right to so many roundings at every number of the range.
ELEMENTWISE = {
    ops.L1(): 2, ops.SquaredError(): 3, ops.Huber(0.75): 4, ops.SmoothL1(0.6): 6, ops.LogCosh(): 12,
    ops.HingeLoss(): 3, ops.SquaredHinge(): 5, ops.SoftMargin(): 12, ops.SigmoidFocal(): 16,
    ops.SigmoidFocal(1.5): 16, ops.WeightedBinaryCrossEntropy(3.3): 12,
}  # fmt: skip


@pytest.mark.parametrize("divergence", ELEMENTWISE, ids=repr)
def test_the_best_form_keeps_its_digits(divergence: Any) -> None:
    size = np.geomspace(1e-30, 80.0, 120).astype(np.float32)
    y = np.concatenate([size, -size])[:, np.newaxis]
    for target in (1.0,) if divergence.labels else (0.0,):
        d = np.full_like(y, target)
        for of in (divergence.forward, divergence.gradient):
            true = of(Real.array(y), Real.array(d)).ravel()
            got = Real.array(of(y, d).ravel())
            for a, b in zip(got, true, strict=True):
                room = ELEMENTWISE[divergence] * 2.0**-24
                assert abs(a - b) <= Real(room) * abs(b) + Real(1e-37)


def of(divergence: Any, y: list[float], d: list[float]) -> float:
    return float(divergence.forward(np.array([y]), np.array([d]))[0])


def logistic(z: float) -> float:
    return 1 / (1 + math.exp(-z))


TEXTBOOK = [
    (ops.L1(), [1.0, -2.0], [3.0, 0.5], 4.5),
    (ops.SquaredError(), [1.0, -2.0], [3.0, 0.5], 10.25),
    (ops.Huber(2.0), [1.0, -5.0], [0.0, 0.0], 0.5 + 2 * (5 - 1)),
    (ops.SmoothL1(2.0), [1.0, -5.0], [0.0, 0.0], 0.25 + (5 - 1)),
    (ops.LogCosh(), [1.0, -12.0], [0.0, 0.0], math.log(math.cosh(1)) + math.log(math.cosh(12))),
    (ops.PoissonNLL(), [0.5, 1.0], [2.0, 0.0], math.exp(0.5) - 1.0 + math.e),
    (ops.PoissonNLL(False, 0.0), [0.5, 1.0], [2.0, 0.0], 1.5 - 2 * math.log(0.5)),
    (ops.CosineDistance(), [3.0, 4.0], [4.0, 3.0], 1 - 24 / 25),
    (ops.HingeLoss(), [0.25, 2.0], [-1.0, 1.0], 1.25),
    (ops.SquaredHinge(), [0.25, 2.0], [-1.0, 1.0], 1.25**2),
    (ops.HingeEmbedding(0.75), [0.25, 2.0], [-1.0, 1.0], 2.5),
    (ops.MarginRanking(0.5), [0.25, 2.0], [-1.0, 1.0], 0.75),
    (ops.Contrastive(1.5), [0.25, 2.0, 0.5], [0.0, 0.0, 1.0], 1.25**2 + 0.25),
    (ops.SoftMargin(), [0.25, 2.0], [-1.0, 1.0], math.log1p(math.exp(0.25))
     + math.log1p(math.exp(-2))),
    (ops.MultiLabelSoftMargin(), [0.25, 2.0], [0.0, 1.0],
     -(math.log(1 - logistic(0.25)) + math.log(logistic(2.0))) / 2),
    (ops.MultiMargin(), [0.5, 0.25, -3.0], [1.0, 0.0, 0.0], 0.75**2 / 3),
    (ops.MultiMargin(weights=(3.0, 1.0, 1.0)), [0.5, 0.25, -3.0], [1.0, 0.0, 0.0], 0.75**2),
    (ops.NLL((2.0, 3.0)), [-0.5, -1.5], [0.0, 1.0], 4.5),
    (ops.WeightedCrossEntropy(weights=(2.0, 3.0)), [0.0, 1.0], [0.0, 1.0],
     -3 * math.log(math.e / (1 + math.e))),
    (ops.KLDivergence(), [-0.5, -1.5], [0.25, 0.75],
     0.25 * (math.log(0.25) + 0.5) + 0.75 * (math.log(0.75) + 1.5)),
    (ops.KLDivergence(True), [-0.5, -1.5], [math.log(0.25), math.log(0.75)],
     0.25 * (math.log(0.25) + 0.5) + 0.75 * (math.log(0.75) + 1.5)),
    (ops.WeightedBinaryCrossEntropy(3.0), [0.25, 2.0], [0.0, 1.0],
     -math.log(1 - logistic(0.25)) - 3 * math.log(logistic(2.0))),
    (ops.GeneralizedKL(), [-0.5, 1.0], [0.75, 0.0],
     0.75 * (math.log(0.75) + 0.5) + math.exp(-0.5) - 0.75 + math.e),
    (ops.PolyCrossEntropy(1.5), [0.0, 1.0], [0.0, 1.0],
     math.log1p(math.exp(-1)) + 1.5 * (1 - math.e / (1 + math.e))),
    (ops.SigmoidFocal(2.0, 0.25), [0.25, 2.0], [0.0, 1.0],
     -0.75 * logistic(0.25) ** 2 * math.log(1 - logistic(0.25))
     - 0.25 * (1 - logistic(2.0)) ** 2 * math.log(logistic(2.0))),
    (ops.Dice(1.0), [0.25, 2.0], [0.0, 1.0],
     1 - (logistic(2.0) + 1) / ((logistic(2.0) + logistic(0.25) + 1) / 2 + 1)),
]  # fmt: skip


@pytest.mark.parametrize(("divergence", "y", "d", "value"), TEXTBOOK, ids=lambda a: str(a)[:40])
def test_textbook_values(divergence: Any, y: list[float], d: list[float], value: float) -> None:
    assert of(divergence, y, d) == pytest.approx(value, rel=1e-13)


def test_every_loss_has_a_textbook_value() -> None:
    assert {type(each[0]) for each in TEXTBOOK} == {type(d) for d, _, _ in LOSSES.values()}


# Special cases and kinks ------------------------------------------------------------------------


def test_without_weights_it_is_the_loss_of_the_core() -> None:
    rng = np.random.default_rng(1)
    z, d = rng.standard_normal((4, 3)), np.eye(3)[[0, 2, 1, 1]]
    pairs = [
        (ops.WeightedCrossEntropy(0.02), ops.CrossEntropy(0.02), z, d),
        (ops.WeightedBinaryCrossEntropy(), ops.BinaryCrossEntropy(), z, d),
        (ops.SigmoidFocal(0.0), ops.BinaryCrossEntropy(), z, d),
        (ops.Huber(1e9), ops.L2(), z, d),
    ]
    for one, other, y, t in pairs:
        np.testing.assert_allclose(one.forward(y, t), other.forward(y, t), rtol=1e-14)
        np.testing.assert_allclose(one.gradient(y, t), other.gradient(y, t), rtol=1e-13)


@pytest.mark.parametrize("of", [ops.NLL, ops.WeightedCrossEntropy])
def test_a_label_left_out_has_no_loss_and_no_gradient(of: Any) -> None:
    y = np.log([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]])
    for loss in (of(ignore_index=-100), of(weights=(1.0, 2.0, 0.0), ignore_index=1)):
        labels = np.array([2, loss.ignore_index])
        d = loss.desired(labels, y.shape, Precision.of("float64"))
        assert loss.forward(y, d)[1] == 0
        assert not loss.gradient(y, d)[1].any()


def test_smoothing_leaves_a_label_out_too() -> None:
    loss = ops.WeightedCrossEntropy(0.1, ignore_index=-1)
    d = loss.desired(np.array([-1, 0]), (2, 3), Precision.of("float64"))
    assert loss.smoothed(d).tolist() == [[0, 0, 0], [0.8, 0.1, 0.1]]


KINKS = [
    (ops.L1(), 0.5, 0.5, (-1.0, 1.0)),
    (ops.HingeLoss(), 1.0, 1.0, (-1.0, 0.0)),
    (ops.HingeLoss(), -1.0, -1.0, (0.0, 1.0)),
    (ops.HingeEmbedding(0.5), 0.5, -1.0, (-1.0, 0.0)),
    (ops.MarginRanking(), 0.0, 1.0, (-1.0, 0.0)),
    (ops.MarginRanking(0.5), -0.5, -1.0, (0.0, 1.0)),
]


@pytest.mark.parametrize(("divergence", "y", "d", "slopes"), KINKS)
def test_the_subdifferential_lies_between_the_slopes_on_both_sides(
    divergence: Any, y: float, d: float, slopes: tuple[float, float]
) -> None:
    at = np.array([[y, y + 0.25]]), np.array([[d, d]])
    choice = divergence.subdifferential(at, 1e-300)
    assert choice.at.tolist() == [[True, False]]
    assert (choice.low[0, 0], choice.high[0, 0]) == slopes
    sides = [divergence.gradient(at[0] + h, at[1])[0, 0] for h in (-1e-6, 1e-6)]
    assert sorted(sides) == list(slopes)
    assert slopes[0] <= divergence.gradient(*at)[0, 0] <= slopes[1]
    assert divergence.subdifferential((at[0] + 0.125, at[1]), 1e-300) is None
    weighted = Weighted(divergence).subdifferential((*at, np.array([3.0])), 1e-300)
    assert (weighted.low[0, 0], weighted.high[0, 0]) == (3 * slopes[0], 3 * slopes[1])


REFUSED = [
    (lambda: ops.Huber(0.0), "Huber.*delta=0.0.*> 0"),
    (lambda: ops.SmoothL1(-1), "SmoothL1.*beta=-1"),
    (lambda: ops.PoissonNLL(log_input=1), "log_input=1"),
    (lambda: ops.SigmoidFocal(alpha=2.0), "alpha=2.0"),
    (lambda: ops.Dice(0.0), "smooth=0.0"),
    (lambda: ops.NLL(weights="ab"), "weights='ab'"),
    (lambda: ops.NLL(weights=(1.0, -1.0)), "one number >= 0 for each class"),
    (lambda: ops.MultiMargin(weights=(1.0, -1.0)), "MultiMargin.*one number >= 0 for each class"),
    (lambda: ops.WeightedCrossEntropy(ignore_index=0.5), "ignore_index=0.5"),
    (lambda: ops.HingeEmbedding(math.nan), "margin=nan"),
    (lambda: ops.MarginRanking("1"), "MarginRanking.*margin='1'"),
    (lambda: ops.Contrastive(0.0), "Contrastive.*margin=0.0.*> 0"),
    (lambda: ops.GaussianNLL(eps=0.0), "GaussianNLL.*eps=0.0.*> 0"),
    (lambda: ops.CosineEmbedding(1.5), "CosineEmbedding.*margin=1.5.*>= -1 and <= 1"),
    (lambda: ops.MulticlassHinge(-1.0), "MulticlassHinge.*margin=-1.0.*>= 0"),
    (lambda: ops.PolyCrossEntropy("1"), "PolyCrossEntropy.*a='1'"),
    (lambda: ops.PairwiseMargin(0), "PairwiseMargin.*n=0"),
    (lambda: ops.PairwiseMargin(3, math.inf), "PairwiseMargin.*margin=inf"),
    (lambda: ops.TripletMargin(p=0.5), "TripletMargin.*p=0.5.*>= 1"),
    (lambda: ops.TripletMargin(swap=1), "TripletMargin.*swap=1.*True or False"),
]


@pytest.mark.parametrize(("make", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_arguments_that_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


TARGETS = [
    (ops.HingeLoss(), [[0.0, 1.0]], r"d\[0, 0\] = 0.0; targets are -1 or 1"),
    (ops.SigmoidFocal(), [[0.5, 1.0]], r"d\[0, 0\] = 0.5; targets are 0 or 1"),
    (ops.Contrastive(), [[0.5, 1.0]], r"Contrastive: d\[0, 0\] = 0.5; targets are 0 or 1"),
    (ops.Dice(), [[0.5, 2.0]], r"^Dice: d\[0, 1\] = 2.0 is outside \[0, 1\]"),
    (ops.MultiLabelSoftMargin(), [[0.5, 2.0]], r"^MultiLabelSoftMargin: d\[0, 1\] = 2.0"),
    (ops.SigmoidFocal(), [[0.0, 1.0, 1.0]], r"^SigmoidFocal: d has shape \(1, 3\)"),
    (ops.WeightedBinaryCrossEntropy(), [[-1.0, 1.0]], r"^WeightedBinaryCrossEntropy: d\[0, 0\]"),
    (ops.KLDivergence(), [[-0.5, 1.5]], r"KLDivergence: d\[0, 0\] = -0.5 is negative.*log_target"),
    (ops.KLDivergence(), [[0.5, math.nan]], r"KLDivergence: d\[0, 1\] is nan"),
    (ops.KLDivergence(True), [[-0.5, math.nan]], r"KLDivergence: d\[0, 1\] is nan"),
    (ops.GeneralizedKL(), [[0.5, -1.0]], r"GeneralizedKL: d\[0, 1\] = -1.0 is negative"),
    (ops.PolyCrossEntropy(), [2], "label 2 is out of range"),
    (ops.PoissonNLL(), [[0.5, math.nan]], r"PoissonNLL: d\[0, 1\] is nan"),
    (ops.BinaryCrossEntropy(), [[0.5, math.nan]], r"BinaryCrossEntropy: d\[0, 1\] is nan"),
    (ops.PoissonNLL(), [[1.0, -1.0]], r"d\[0, 1\] = -1.0 is negative"),
    (ops.CosineDistance(), [[0.0, 0.0]], r"d\[0\] is a vector of zeros"),
    (ops.NLL((1.0, 1.0, 1.0)), [0], "3 weights and 2 classes"),
    (ops.NLL(), [[0, 1]], "one label for each sample"),
    (ops.MultiMargin(), [[0, 1]], "one label for each sample"),
    (ops.MultiMargin(weights=(1.0,)), [0], "MultiMargin: there are 1 weights and 2 classes"),
    (ops.MultiMargin(), [2], "label 2 is out of range"),
    (ops.NLL(ignore_index=-1), [-2], "label -2 is out of range"),
]


@pytest.mark.parametrize(("divergence", "d", "said"), TARGETS, ids=[t[2] for t in TARGETS])
def test_targets_that_are_refused(divergence: Any, d: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        divergence.desired(np.array(d), (1, 2), Precision.of("float64"))


def test_outputs_that_are_refused() -> None:
    with pytest.raises(ValueError, match=r"output y\[0\] is a vector of zeros"):
        ops.CosineDistance().check_output(np.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"output y\[0, 1\] = -1.0 is negative"):
        ops.PoissonNLL(False).check_output(np.array([[1.0, -1.0]]))
