"""Training: the update is the lecture's, minibatches are reproducible, each stop is its rule."""

from dataclasses import dataclass

import numpy as np
import pytest

from gradparity.core import (
    L2,
    Affine,
    BinaryCrossEntropy,
    Case,
    CrossEntropy,
    Identity,
    ReLU,
    Softmax,
    Tanh,
    backprop,
    layered,
)
from gradparity.core.lecture.training import accuracy, minibatches, sgd_step, train


def regression(T=12, reduction="mean", dtype=np.float64, affine=Affine):
    """A convex problem (one affine layer, L2), whose minimum least squares gives too."""
    return Case.random(layered([affine(3, 2)], L2(), reduction=reduction), batch=T, dtype=dtype)


def classification(dtype=np.float64, T=20):
    net = layered([Affine(5, 6), Tanh(), Affine(6, 3)], CrossEntropy(eps=0.01))
    return Case.random(net, batch=T, dtype=dtype)


def run(case, **options):
    return train(case.network, case.params, case.x, case.d, **{"eta": 0.1, **options})


def same_bits(a, b):
    return all(a[name].tobytes() == b[name].tobytes() for name in a) and a.keys() == b.keys()


@pytest.mark.parametrize(("T", "size"), [(7, 3), (7, 1), (7, 7), (64, 16), (1347, 32), (3, 2)])
def test_each_epoch_holds_every_instance_once_in_parts_as_equal_as_they_can_be(T, size):
    n = -(-T // size)
    batches = list(minibatches(T, size, epochs=3, seed=4))
    assert len(batches) == 3 * n
    for epoch in range(3):
        parts = batches[epoch * n : (epoch + 1) * n]
        assert sorted(np.concatenate(parts)) == list(range(T))
        sizes = {len(part) for part in parts}
        assert max(sizes) <= size
        assert max(sizes) - min(sizes) <= 1


def test_minibatches_follow_the_seed_and_every_epoch_has_its_own_order():
    def order(seed, epochs):
        return np.concatenate(list(minibatches(50, 8, epochs, seed))).tolist()

    assert order(3, 2) == order(3, 2) != order(4, 2)
    assert order(3, 2)[:50] == order(3, 1) != order(3, 2)[50:]


def test_a_batch_of_all_instances_is_in_the_order_given():
    for size in (None, 4):
        assert [b.tolist() for b in minibatches(4, size, epochs=2)] == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "T is 0; give the number of instances"),
        ((5, 6), ValueError, "batch_size is 6, and there are 5 instances; give 1 to 5, or None"),
        ((5, 0), ValueError, "batch_size is 0; give 1 to 5"),
        ((5, 2.0), TypeError, "batch_size is 2.0; give a whole number"),
        ((5, True), TypeError, "batch_size is True; give a whole number"),
        ((5, 2, 0), ValueError, "epochs is 0; give at least 1"),
        ((5, 2, None), TypeError, "epochs is None; give a whole number"),
        ((5, 2, 1, -1), ValueError, "seed is -1; give at least 0"),
    ],
)
def test_minibatches_refuses_at_the_call(arguments, error, message):
    with pytest.raises(error, match=message):
        minibatches(*arguments)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_step_subtracts_eta_times_the_gradient_of_backprop_in_place(reduction):
    case = regression(reduction=reduction)
    trace = backprop(case)
    params = {name: p.copy() for name, p in case.params.items()}
    arrays = dict(params)
    Div = sgd_step(case.network, params, case.x, case.desired, 0.25)
    np.testing.assert_array_equal(Div, trace.Div)
    for name, p in case.params.items():
        assert params[name] is arrays[name]
        np.testing.assert_array_equal(params[name], p - 0.25 * trace.grad[name])


def test_an_array_returned_for_two_parameters_is_not_scaled_twice():
    @dataclass(frozen=True)
    class TwoBiases(Identity):
        def parameter_shapes(self):
            return {"a": (2,), "b": (2,)}

        def forward(self, y, a, b):
            return y + a + b

        def vjp(self, dz, y, z):
            both = dz.sum(axis=0)
            return dz, both, both

    case = Case.random(layered([TwoBiases()], L2()), width=2)
    got = run(case, epochs=1).params
    np.testing.assert_array_equal(got["a1"], case.params["a1"] - 0.1 * backprop(case).grad["a1"])
    np.testing.assert_array_equal(got["b1"], case.params["b1"] - 0.1 * backprop(case).grad["b1"])


@pytest.mark.parametrize("batch_size", [None, 5, 1])
def test_training_is_its_steps_in_the_order_of_minibatches(batch_size):
    case = classification()
    got = run(case, batch_size=batch_size, epochs=3, seed=7)
    params = {name: p.copy() for name, p in case.params.items()}
    Errs = []
    for rows in minibatches(case.T, batch_size, 3, 7):
        part = Case(case.network, params, case.x[rows], case.d[rows])
        Errs.append(backprop(part).Err)
        sgd_step(case.network, params, part.x, part.desired, 0.1)
    assert same_bits(got.params, params)
    assert got.losses.tolist() == Errs
    assert (got.steps, got.stopped_by) == (len(Errs), "epochs")
    assert got.epoch_losses[-1] < got.epoch_losses[0]


def test_batch_training_finds_the_minimum_that_least_squares_finds():
    case = regression()
    got = run(case, eta=0.5, epochs=5000, tolerance=1e-15)
    extended = np.hstack([case.x, np.ones((case.T, 1))])
    W = np.linalg.lstsq(extended, case.d, rcond=None)[0]
    assert got.stopped_by == "converged"
    # |dErr| < 1e-15 and Err is quadratic: the distance is of the order of its square root
    np.testing.assert_allclose(np.vstack([got.params["W1"], got.params["b1"]]), W, atol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_an_epochs_Err_is_that_of_its_instances_however_they_were_split(reduction):
    case = regression(T=7, reduction=reduction)
    got = run(case, batch_size=3, epochs=2, eta=1e-3)
    sizes = np.array([len(rows) for rows in minibatches(7, 3, 2)])
    weighted = (got.losses * (sizes if reduction == "mean" else 1)).reshape(2, 3).sum(axis=1)
    expected = weighted / 7 if reduction == "mean" else weighted
    np.testing.assert_allclose(got.epoch_losses, expected, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_dtype_in_is_dtype_out_and_the_arrays_given_stay_as_they_are(dtype):
    case = classification(dtype)
    params = {name: p.copy() for name, p in case.params.items()}
    before = {name: p.copy() for name, p in params.items()}
    got = train(case.network, params, case.x, case.d, eta=lambda k: 0.5 / (1 + k), epochs=2)
    assert {a.dtype for a in (*got.params.values(), got.losses, got.epoch_losses)} == {
        np.dtype(dtype)
    }
    assert same_bits(params, before)
    for name, p in got.params.items():
        assert p.flags.writeable
        assert not np.shares_memory(p, params[name])
        assert (p != params[name]).any()


def test_the_seed_determines_every_bit():
    case = classification(np.float32)
    first, again, other = (run(case, batch_size=6, epochs=4, seed=s) for s in (1, 1, 2))
    assert same_bits(first.params, again.params)
    assert first.losses.tobytes() == again.losses.tobytes()
    assert not same_bits(first.params, other.params)


def test_converged_is_the_first_epoch_whose_Err_is_within_tolerance_of_the_last_one():
    case = regression()
    got = run(case, epochs=10_000, tolerance=1e-6)
    change = np.abs(np.diff(got.epoch_losses))
    assert got.stopped_by == "converged"
    assert change[-1] < 1e-6 <= change[:-1].min()
    assert got.steps == len(got.epoch_losses) < 10_000
    assert run(case, epochs=got.steps - 1, tolerance=1e-6).stopped_by == "epochs"


def test_a_schedule_is_asked_once_a_step_and_zero_moves_nothing():
    case, asked = classification(), []
    got = run(case, eta=lambda k: asked.append(k) or 0.0, batch_size=5, epochs=2)
    assert asked == list(range(8))
    assert same_bits(got.params, dict(case.params))
    fixed = run(case, batch_size=5, epochs=2)
    assert same_bits(run(case, eta=lambda k: 0.1, batch_size=5, epochs=2).params, fixed.params)


def test_progress_is_told_by_step_and_by_epoch():
    case, steps, epochs = classification(), [], []
    got = run(
        case,
        batch_size=5,
        epochs=3,
        on_step=lambda k, Err: steps.append((k, Err)),
        on_epoch=lambda k, Err: epochs.append((k, Err)),
    )
    assert steps == list(enumerate(got.losses.tolist()))
    assert epochs == list(enumerate(got.epoch_losses.tolist()))
    assert {type(Err) for _, Err in steps + epochs} == {float}


def test_too_large_a_step_is_diverged_and_warns_of_nothing():
    got = run(regression(), eta=100.0, batch_size=4, epochs=1000)
    assert got.stopped_by == "diverged"
    assert got.steps == len(got.losses) < 3000
    assert np.isfinite(got.losses[:-1]).all()
    assert not np.isfinite(got.losses[-1])


def test_a_parameter_that_overflows_is_diverged_though_Err_is_finite():
    # the step of size 6e4 takes b1 to -inf in float16; a dead ReLU then hides it from Err
    net = layered([Affine(1, 1), ReLU()], L2())
    case = Case(net, {"W1": [[0.0]], "b1": [8.0]}, [[0.0]], [[0.0]]).astype(np.float16)
    got = run(case, eta=6e4, epochs=1)
    assert np.isfinite(got.losses).all()
    assert got.params["b1"] == -np.inf
    assert got.stopped_by == "diverged"


@dataclass(frozen=True)
class WrongSign(Affine):
    """Planted: ascends."""

    def vjp_parameters(self, dz, y, z):
        return tuple(-g for g in super().vjp_parameters(dz, y, z))


def test_a_sign_error_in_a_gradient_is_seen_in_training():
    right = run(regression(), epochs=300)
    wrong = run(regression(affine=WrongSign), epochs=300)
    assert right.losses[0] == wrong.losses[0]
    assert (np.diff(right.losses) < 0).all()
    assert (np.diff(wrong.losses[np.isfinite(wrong.losses)]) > 0).all()
    assert run(regression(affine=WrongSign), epochs=100_000).stopped_by == "diverged"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"eta": 0.0}, ValueError, "eta is 0.0; give a positive, finite number"),
        ({"eta": -0.1}, ValueError, "eta is -0.1; give a positive"),
        ({"eta": np.inf}, ValueError, "eta is inf; give a positive"),
        ({"eta": np.nan}, ValueError, "eta is nan; give a positive"),
        ({"eta": "0.1"}, TypeError, "eta is '0.1'; give a positive, finite number"),
        ({"eta": True}, TypeError, "eta is True"),
        ({"eta": 1e-60}, ValueError, "eta is 1e-60, which is 0 in float32"),
        ({"eta": 1e60}, ValueError, "eta is 1e[+]60, in float32 inf; give a finite number"),
        ({"eta": lambda k: 1.0 - k}, ValueError, r"eta\(2\) is -1.0, in float32 -1.0; give"),
        ({"tolerance": 0}, ValueError, "tolerance is 0; .*, or None for no such rule"),
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"epochs": 1.5}, TypeError, "epochs is 1.5; give a whole number"),
        ({"batch_size": 21}, ValueError, "batch_size is 21, and there are 20 instances"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"seed": 0.5}, TypeError, "seed is 0.5"),
    ],
)
def test_bad_input_is_named_with_its_value_and_the_remedy(options, error, message):
    with pytest.raises(error, match=message):
        run(classification(np.float32), **options)


def test_arrays_are_checked_as_a_case_and_nothing_to_train_is_an_error():
    case = classification()
    with pytest.raises(ValueError, match="d has shape"):
        train(case.network, case.params, case.x, case.d[1:], eta=0.1)
    with pytest.raises(TypeError, match="W1 has dtype float64 and x float32"):
        train(case.network, case.params, case.x.astype(np.float32), case.d, eta=0.1)
    bare = Case.random(layered([Tanh()], L2()), width=2)
    with pytest.raises(ValueError, match="no parameters to train"):
        run(bare)


def shown(divergence):
    """A network whose output is its input."""
    return layered([Identity()], divergence)


@pytest.mark.parametrize(
    ("network", "outputs", "labels", "expected"),
    [
        (shown(CrossEntropy()), [[1, 3, 2], [-1, -2, -3]], [1, 1], 0.5),
        (shown(BinaryCrossEntropy(on="probabilities")), [[0.4], [0.6], [0.5]], [0, 1, 0], 1.0),
        (shown(BinaryCrossEntropy(on="logits")), [[0.4], [-0.4], [0.0]], [1, 0, 0], 1.0),
        (shown(L2()), [[0.4], [0.6]], [1, 0], 0.0),
        (shown(L2()), [[1, 0], [0, 1]], [0, 1], 1.0),  # the lecture's two outputs [1 0], [0 1]
        (shown(CrossEntropy()), [[np.nan, 0], [1, 1]], [0, 0], 0.5),  # NaN is wrong, ties first
        (layered([Softmax()], CrossEntropy(on="probabilities")), np.eye(3), [0, 1, 2], 1.0),
    ],
)
def test_accuracy(network, outputs, labels, expected):
    assert accuracy(network, {}, np.array(outputs, float), np.array(labels)) == expected


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0.0, 1.0], TypeError, "labels have dtype float64; give integers"),
        ([[0], [1]], ValueError, r"labels have shape \(2, 1\)"),
        ([0, 1, 1], ValueError, "give one label a row"),
        ([0, 3], ValueError, "label 3 is out of range: the outputs have labels 0 to 2"),
        ([0, -1], ValueError, "label -1 is out of range"),
    ],
)
def test_accuracy_refuses_labels_that_are_none(labels, error, message):
    with pytest.raises(error, match=message):
        accuracy(shown(CrossEntropy()), {}, np.zeros((2, 3)), np.array(labels))
