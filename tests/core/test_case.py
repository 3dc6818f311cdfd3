"""Cases: what is refused and how, copies, dtypes; the targets and values of the divergences."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from gradparity.core import (
    KL,
    L2,
    Affine,
    BinaryCrossEntropy,
    BinaryKL,
    Case,
    CrossEntropy,
    Identity,
    Rounding,
    Sigmoid,
    Softmax,
    backprop,
    layered,
)

from .oracle import DIVERGENCES, Real, alone, case_of, in_bounded, in_reals, inside, label

NET = layered([Affine(2, 3)], CrossEntropy())
PARAMS = {"W1": np.zeros((2, 3)), "b1": np.zeros(3)}
X = np.array([[1.0, 2.0], [3.0, 4.0]])
LABELS = np.array([0, 2])


def refused(message, error=ValueError, network=NET, params=PARAMS, x=X, d=LABELS):
    with pytest.raises(error, match=message):
        Case(network, params, x, d)


# --- refusals --------------------------------------------------------------------------------


def test_the_network():
    refused("network is list; give a Network", TypeError, network=[Affine(2, 3)])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 2)), r"x has shape \(0, 2\).*at least one sample"),
        (np.zeros((2, 0)), r"x has shape \(2, 0\)"),
        (np.zeros(()), r"x has shape \(\)"),
        (np.zeros(2), r"d has shape \(2,\); the output has 3 samples"),
        (
            np.zeros((2, 1, 2)),
            r"d of shape \(2,\) .*class indices have shape \(2, 1\)",
        ),
        (np.zeros((2, 0, 2)), r"x has shape \(2, 0, 2\).*at least one sample and one element"),
        (np.zeros((2, 5)), "node 'z1' <- x: Affine takes a value of width 2, received shape.*5"),
        (np.array([[1.0, np.nan], [0, 0]]), r"x\[0, 1\] is nan"),
        (np.array([[1.0, 0], [-np.inf, 0]]), r"x\[1, 0\] is -inf"),
    ],
)
def test_the_input(x, message):
    refused(message, x=x)


@pytest.mark.parametrize(
    "x", [[[1, 2], [3, 4]], np.ones((2, 2), complex), np.ones((2, 2), bool), [["a", "b"]]]
)
def test_an_input_that_is_not_floats(x):
    refused(f"x has dtype {re.escape(str(np.array(x).dtype))}; give floats.*astype", TypeError, x=x)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"W1": np.zeros((3, 2))}, ValueError, r"W1 has shape \(3, 2\), expected \(2, 3\)"),
        ({"b1": np.zeros((1, 3))}, ValueError, r"b1 has shape \(1, 3\), expected \(3,\)"),
        ({"b1": np.array([0, np.nan, 0])}, ValueError, r"b1\[1\] is nan; every number"),
        ({"W1": np.full((2, 3), np.inf)}, ValueError, r"W1\[0, 0\] is inf"),
        ({"b1": np.zeros(3, int)}, TypeError, "b1 has dtype int64; give floats"),
        ({"b1": np.zeros(3, "f4")}, TypeError, "b1 has dtype float32 and W1 float64.*astype"),
        ({"b2": np.zeros(3)}, ValueError, "params: unknown 'b2'; valid names: W1, b1"),
    ],
)
def test_the_parameters(change, error, message):
    refused(message, error, params=PARAMS | change)


def test_a_name_near_a_missing_one_is_asked_about():
    given = {"w1": PARAMS["W1"], "b1": PARAMS["b1"]}
    refused("missing 'W1', unknown 'w1'; did you mean 'W1'\\? valid names", params=given)


def test_a_missing_parameter():
    refused("params: missing 'b1'; valid names: W1, b1", params={"W1": PARAMS["W1"]})


@pytest.mark.parametrize(
    ("d", "error", "message"),
    [
        ([0, 3], ValueError, "label 3 is out of range: 3 outputs have labels 0 to 2"),
        ([-1, 0], ValueError, "label -1 is out of range"),
        ([0], ValueError, r"d has shape \(1,\); the output has 2 samples"),
        ([0.0, 1.0], ValueError, r"labels of shape \(2,\) have dtype float64; give integers"),
        (np.eye(3, dtype=int)[:2], ValueError, r"shape \(2, 3\) has dtype int64"),
        (np.eye(2), ValueError, r"d has shape \(2, 2\), expected \(2, 3\)"),
        (np.eye(3)[:2].astype("f4"), TypeError, "d has dtype float32 and x float64"),
        ([[0.5, 0.5, 0.5], [1, 0, 0]], ValueError, "row 0 of d sums to 1.5; divide"),
        ([[1.0, 0, 0], [0.2, 0.2, 0.2]], ValueError, "row 1 of d sums to 0.6"),
        ([[1.5, -0.5, 0.0], [1, 0, 0]], ValueError, r"d\[0, 0\] = 1.5 is outside \[0, 1\]"),
        ([[np.nan, 0, 0], [1, 0, 0]], ValueError, r"d\[0, 0\] is nan"),
        ([True, False], TypeError, "d has dtype bool"),
        (np.zeros((2, 3, 1)), ValueError, r"d has shape \(2, 3, 1\)"),
        (1.0, ValueError, r"d has shape \(\)"),
    ],
)
def test_the_targets_of_cross_entropy(d, error, message):
    refused(message, error, d=d)


def test_the_targets_of_other_divergences():
    binary = layered([Affine(2, 1)], BinaryCrossEntropy())
    params = {"W1": np.zeros((2, 1)), "b1": np.zeros(1)}
    refused(r"d\[1, 0\] = 2.0 is outside \[0, 1\]; targets are probabilities",
            network=binary, params=params, d=[[0.0], [2.0]])  # fmt: skip
    refused(r"d has shape \(2, 2\), expected \(2, 1\)", network=binary, params=params, d=X)
    assert Case(binary, params, X, [0.0, 1.0]).desired.shape == (2, 1)
    assert Case(binary, params, X, [0, 1]).desired.tolist() == [[0], [1]]
    refused(r"L2: d has shape \(2, 2\), expected \(2, 3\)", network=layered([Affine(2, 3)], L2()),
            d=X)  # fmt: skip


@pytest.mark.parametrize("divergence", [CrossEntropy, KL])
@pytest.mark.parametrize("eps", [-0.01, 0.51, 1.0, float("nan"), "0.1"])
def test_eps_outside_its_range_whatever_the_width(divergence, eps):
    with pytest.raises(ValueError, match=rf"{divergence.__name__}\(eps={eps!r}\).*\[0, 1/K\]"):
        divergence(eps=eps)


def test_eps_up_to_1_over_K_and_why_not_above():
    network = layered([Affine(2, 3)], CrossEntropy(eps=1 / 3))
    uniform = Case(network, PARAMS, X, LABELS)
    t = network.divergence.smoothed(uniform.desired)
    assert np.abs(t - 1 / 3).max() <= 4 * 2.0**-53  # at 1/K the target is uniform
    above = layered([Affine(2, 3)], CrossEntropy(eps=0.34))
    refused("eps=0.34.*K = 3 classes.*least probable.*label_smoothing", network=above)


def test_bad_choices_of_a_divergence():
    for divergence in (CrossEntropy, BinaryCrossEntropy, KL, BinaryKL):
        with pytest.raises(ValueError, match=r"on='scores'.*'logits' or 'probabilities'"):
            divergence(on="scores")


def test_random_cases_are_checked():
    with pytest.raises(ValueError, match="batch is 0"):
        Case.random(NET, batch=0)
    with pytest.raises(ValueError, match="width=D_0"):
        Case.random(layered([Softmax()], L2()))


# --- copies and dtypes -----------------------------------------------------------------------


def test_arrays_are_copied_and_frozen():
    W, x, d = PARAMS["W1"].copy(), X.copy(), np.eye(3)[:2].copy()
    case = Case(NET, {"W1": W, "b1": np.zeros(3)}, x, d)
    for array in (W, x, d):
        array[:] = 9.0
    assert case.x.tolist() == X.tolist()
    assert case.params["W1"].max() == 0
    assert case.d.tolist() == case.desired.tolist() == np.eye(3)[:2].tolist()
    for array in (case.x, case.d, case.desired, *case.params.values()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_backprop_leaves_the_case_alone_and_repeats_itself():
    case = Case.random(NET, batch=3)
    before = case.x.copy(), case.params["W1"].copy()
    first, second = backprop(case), backprop(case)
    assert np.array_equal(case.x, before[0])
    assert np.array_equal(case.params["W1"], before[1])
    assert np.array_equal(first.grad["W1"], second.grad["W1"])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_astype(dtype):
    for d in (LABELS, np.array([[0.1, 0.2, 0.7], [1 / 3, 1 / 3, 1 / 3]])):
        case = Case(NET, PARAMS, X / 3, d).astype(dtype)
        assert case.dtype == dtype
        assert {a.dtype for a in (case.x, case.desired, *case.params.values())} == {np.dtype(dtype)}
        assert case.d.dtype == (np.int64 if d.ndim == 1 else dtype)
        assert np.array_equal(case.x, (X / 3).astype(dtype))


def test_targets_rounded_to_float32_may_be_widened_again():
    d = np.random.default_rng(0).dirichlet(np.ones(10), 20).astype("f4")
    case = case_of(alone(Identity(), CrossEntropy()), np.zeros((20, 10)), d=d, dtype="f4")
    assert np.array_equal(case.astype("f8").d, d.astype("f8"))


def test_distributions_survive_rounding_to_any_dtype():
    rng = np.random.default_rng(0)
    for K in (2, 10, 1000):
        d = rng.dirichlet(np.ones(K), 20)
        case = case_of(alone(Identity(), CrossEntropy()), np.zeros((20, K)), d=d)
        for dtype in ("float32", "float16"):
            assert case.astype(dtype).dtype == dtype


def test_random_is_reproducible_and_its_targets_fit():
    one, two = Case.random(NET, seed=5), Case.random(NET, seed=5)
    assert np.array_equal(one.params["W1"], two.params["W1"])
    assert one.d.dtype.kind == "i"
    assert not np.array_equal(one.x, Case.random(NET, seed=6).x)
    for divergence in DIVERGENCES:
        assert Case.random(layered([Affine(2, 3), Softmax()], divergence)).T == 32


# --- label smoothing -------------------------------------------------------------------------


@pytest.mark.parametrize("K", [2, 3, 10, 1000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_three_forms_of_label_smoothing(K, share):
    hard = np.eye(K)[[0, K - 1]]
    two_roundings = 2 * np.finfo(float).eps
    # (1 - a) d + a/K, PyTorch's, Optax's and Keras'
    uniform = CrossEntropy.from_uniform(share, K)
    t = uniform.smoothed(hard)
    assert np.abs(t - ((1 - share) * hard + share / K)).max() <= two_roundings
    assert abs(uniform.uniform(K) - share) <= two_roundings * share
    # 1 - a on the class, a/(K-1) on each wrong one
    a = share * (K - 1) / K
    others = CrossEntropy.from_others(a, K)
    t = others.smoothed(hard)
    assert np.abs(t - np.where(hard == 1, 1 - a, a / (K - 1))).max() <= two_roundings
    assert abs(others.others(K) - a) <= two_roundings * a
    # the lecture's: 1 - (K-1) eps on the class and eps elsewhere; all three name one target
    eps = share / K
    t = CrossEntropy(eps=min(eps, 1 / K)).smoothed(hard)
    assert np.abs(t - np.where(hard == 1, 1 - (K - 1) * eps, eps)).max() <= two_roundings
    assert math.isclose(uniform.eps, eps, rel_tol=two_roundings)
    assert math.isclose(others.eps, eps, rel_tol=two_roundings)
    # each row is a distribution; K terms, K roundings
    assert np.abs(t.sum(axis=-1) - 1).max() <= K * np.finfo(float).eps


def test_the_gradient_on_probabilities_is_the_lectures():
    K, eps, c = 4, 0.05, 2
    y = np.array([[0.1, 0.2, 0.3, 0.4]])
    g = CrossEntropy(eps=eps, on="probabilities").gradient(y, np.eye(K)[[c]])[0]
    want = [-(1 - (K - 1) * eps) / y[0, i] if i == c else -eps / y[0, i] for i in range(K)]
    np.testing.assert_array_max_ulp(g, np.array(want), maxulp=4)  # four roundings


def test_too_much_smoothing_in_the_other_forms():
    with pytest.raises(ValueError, match=r"\[0, 1/K\]"):
        CrossEntropy.from_uniform(1.5, K=2)
    with pytest.raises(ValueError, match=r"\[0, 1/K\]"):
        CrossEntropy.from_uniform(-0.1, K=10)


# --- KL and cross-entropy --------------------------------------------------------------------

SOFT = np.array([[0.25, 0.5, 0.25], [0.0, 0.125, 0.875], [1.0, 0.0, 0.0]])
HARD = np.eye(3)
Z = np.array([[0.2, -1.5, 0.3], [3.0, -4.0, 0.5], [20.0, -20.0, 1.0]])


def softmax(z):
    return Softmax().f(z)


@pytest.mark.parametrize("on", ["logits", "probabilities"])
@pytest.mark.parametrize(
    ("entropy", "kl"),
    [(CrossEntropy, KL), (BinaryCrossEntropy, BinaryKL), (lambda on: CrossEntropy(0.1, on),
      lambda on: KL(0.1, on))],
    ids=["categorical", "binary", "smoothed"],
)  # fmt: skip
def test_kl_and_cross_entropy_have_one_gradient_and_values_the_entropy_apart(entropy, kl, on):
    y = Z if on == "logits" else softmax(Z)
    ce, kl = entropy(on=on), kl(on=on)
    for d in (SOFT, HARD):
        assert np.array_equal(ce.gradient(y, d), kl.gradient(y, d))
        t = ce.smoothed(d) if isinstance(ce, CrossEntropy) else d
        parts = [t] if isinstance(ce, CrossEntropy) else [t, 1 - t]
        with np.errstate(divide="ignore", invalid="ignore"):
            H = -sum(np.where(p > 0, p * np.log(p), 0).sum(axis=-1) for p in parts)
        difference = ce.forward(y, d) - kl.forward(y, d)
        # One subtraction of Div, and the same entropy in sums of three terms.
        size = np.abs(ce.forward(y, d)) + np.abs(H)
        assert (np.abs(difference - H) <= 4 * np.finfo(float).eps * size).all()
        if d is HARD and getattr(ce, "eps", 0) == 0:
            assert np.array_equal(ce.forward(y, d), kl.forward(y, d))


@pytest.mark.parametrize("divergence", [KL(on="probabilities"), BinaryKL("probabilities")])
def test_kl_is_zero_and_least_where_the_output_is_the_target(divergence):
    d = np.array([[0.25, 0.5, 0.25]])
    # The entropy and the cross-entropy are the same sums of the same numbers.
    assert divergence.forward(d, d).tolist() == [0.0]
    assert divergence.forward(np.array([[0.3, 0.4, 0.3]]), d)[0] > 0


def test_the_gradient_of_binary_cross_entropy_is_not_zero_where_it_is_least():
    g = BinaryCrossEntropy("probabilities").gradient(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]]))
    assert g.tolist() == [[-1.0, 1.0]]


# --- composed and uncomposed -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("activation", "divergence"),
    [
        (Softmax(), lambda on: CrossEntropy(on=on)),
        (Softmax(), lambda on: CrossEntropy(0.1, on)),
        (Softmax(), lambda on: KL(0.02, on)),
        (Sigmoid(), lambda on: BinaryCrossEntropy(on)),
        (Sigmoid(), lambda on: BinaryKL(on)),
    ],
    ids=["CE", "smoothed CE", "smoothed KL", "BCE", "BinaryKL"],
)
def test_composed_equals_uncomposed(activation, divergence, dtype):
    """Div and dDiv/dz agree within both bounds, wherever nothing under- or overflows."""
    rng = np.random.default_rng(0)
    K = 3 if isinstance(activation, Softmax) else 2
    z = np.concatenate([rng.standard_normal((20, K)) * 3, np.zeros((1, K))])
    d = np.concatenate([np.eye(K)[rng.integers(0, K, 15)], rng.dirichlet(np.ones(K), 6)])
    d = d.astype(dtype)
    composed = case_of(alone(Identity(), divergence("logits")), z, d=d, dtype=dtype)
    chained = case_of(alone(activation, divergence("probabilities")), z, d=d, dtype=dtype)
    rounding = Rounding.of(dtype)
    of_composed, of_chained = in_bounded(composed, rounding), in_bounded(chained, rounding)
    truth = in_reals(chained)
    for name in ("Div", "grad x"):
        a, b = of_composed[name], of_chained[name]
        assert np.isfinite(a.full_error()).all()
        assert np.isfinite(b.full_error()).all()
        assert (np.abs(a.value - b.value) <= a.full_error() + b.full_error()).all()
        assert inside(truth[name], a).all()
        assert inside(truth[name], b).all()
    for case, bounded in ((composed, of_composed), (chained, of_chained)):
        trace = backprop(case)
        assert inside(trace.Div, bounded["Div"]).all()
        assert inside(trace.grad["x"], bounded["grad x"]).all()


def test_composed_and_uncomposed_are_one_function_to_60_digits():
    d = np.array([[0.25, 0.5, 0.25], [0.0, 1.0, 0.0]])
    for activation, divergence in (
        (Softmax(), lambda on: CrossEntropy(0.0625, on)),
        (Sigmoid(), BinaryCrossEntropy),
    ):
        a = in_reals(case_of(alone(Identity(), divergence("logits")), Z[:2], d=d))
        b = in_reals(case_of(alone(activation, divergence("probabilities")), Z[:2], d=d))
        for name in ("Div", "grad x"):
            for p, q in zip(a[name].flat, b[name].flat, strict=True):
                assert abs(p - q) <= Real(1e-50) * (1 + abs(p))


def test_composed_forms_stay_finite_where_the_chain_overflows():
    z = np.array([[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 1000.0]])
    d = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    for divergence in (CrossEntropy(), CrossEntropy(0.01), BinaryCrossEntropy()):
        trace = backprop(case_of(alone(Identity(), divergence), z, d=d))
        assert np.isfinite(trace.Div).all()
        assert np.isfinite(trace.grad["x"]).all()
    assert backprop(case_of(alone(Identity(), CrossEntropy()), z, d=d)).Div[0] == 2000.0


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=label)
def test_every_divergence_takes_part_in_a_case(divergence):
    trace = backprop(Case.random(layered([Affine(2, 3), Softmax()], divergence), batch=4))
    assert trace.Div.shape == (4,)
    # The mean of four: three additions and a division.
    assert abs(trace.Err - trace.Div.mean()) <= 4 * 2.0**-53 * np.abs(trace.Div).sum()
