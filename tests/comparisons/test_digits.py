"""Real digits: the split is honest, the made images are no digits, and the networks learn them."""

import sys

import numpy as np
import pytest

from crossed import crossed
from gradparity.comparisons.cases import digits as module
from gradparity.comparisons.cases.digits import (
    PROBLEMS,
    RECIPES,
    digits,
    digits_case,
    none_of_the_above,
)
from gradparity.core import backprop
from gradparity.core.lecture.training import accuracy, train

sklearn_datasets = pytest.importorskip("sklearn.datasets", reason="the digits are scikit-learn's")


def rows(images):
    return {image.tobytes() for image in np.ascontiguousarray(images)}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_quarter_of_every_class_is_held_out_and_no_image_is_lost_or_on_both_sides(problem):
    data = digits(problem)
    original = sklearn_datasets.load_digits().data / 16
    expected = rows(original) | (rows(none_of_the_above() / 16) if problem == "eleven" else set())
    assert rows(data.x_train) | rows(data.x_test) == expected
    assert rows(data.x_train) & rows(data.x_test) == set()
    for label in np.unique(data.labels_train):
        held_out = (data.labels_test == label).sum()
        total = held_out + (data.labels_train == label).sum()
        # for "two", class 0 is nine digits, each rounded by at most half an image
        assert abs(held_out - total / 4) <= (4.5 if problem == "two" else 0.5)


def test_shapes_labels_and_desired_outputs():
    two, ten, eleven = (digits(problem, np.float32) for problem in PROBLEMS)
    assert (two.x_train.shape, two.d_train.shape, two.x_test.shape) == (
        (1347, 64), (1347, 1), (450, 64),
    )  # fmt: skip
    assert two.d_train.dtype == np.float32
    np.testing.assert_array_equal(two.d_test[:, 0], two.labels_test)
    assert two.labels_train.sum() + two.labels_test.sum() == 177  # load_digits has 177 2s
    np.testing.assert_array_equal(ten.d_train, ten.labels_train)
    assert set(ten.labels_test) == set(range(10))
    assert set(eleven.labels_test) == set(range(11))
    assert (eleven.labels_train == 10).sum() == 135


def test_the_problems_share_the_split_of_the_digits():
    ten = rows(digits("ten").x_test)
    assert rows(digits("two").x_test) == ten
    eleven = digits("eleven")
    assert rows(eleven.x_test[eleven.labels_test < 10]) == ten


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_pixels_are_exact_in_every_dtype_and_read_only(dtype):
    data, exact = digits("eleven", dtype), digits("eleven")
    assert data.x_train.dtype == dtype
    np.testing.assert_array_equal(data.x_train, exact.x_train)
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    with pytest.raises(ValueError, match="read-only"):
        data.x_train[0, 0] = 1


def test_the_seed_determines_the_data():
    first, again, other = digits(seed=1), digits(seed=1), digits(seed=2)
    assert first.x_train.tobytes() == again.x_train.tobytes()
    assert rows(first.x_test) != rows(other.x_test)


def test_none_of_the_above_is_made_and_is_no_digit():
    images = none_of_the_above(180, seed=0)
    original = sklearn_datasets.load_digits().data
    assert images.dtype.kind == "i"
    assert set(np.unique(images)) == set(range(17))  # counts of 4x4 points, as the digits are
    assert rows(images / 16) & rows(original / 16) == set()
    assert len(rows(images)) == 180
    assert np.median(images.sum(axis=1)) == pytest.approx(np.median(original.sum(axis=1)), rel=0.01)

    def distance(a, b):
        return np.sqrt(((a[:, np.newaxis] - b) ** 2).sum(axis=-1)) / 16

    among_digits = np.vstack([distance(part, original) for part in np.array_split(original, 20)])
    np.fill_diagonal(among_digits, np.inf)
    assert distance(images, original).min() > 2.1 > 2.01 > among_digits.min(axis=1).max()


def test_the_made_images_follow_the_seed():
    np.testing.assert_array_equal(none_of_the_above(3, 5), none_of_the_above(180, 5)[:3])
    assert rows(none_of_the_above(3, 5)) & rows(none_of_the_above(3, 6)) == set()
    with pytest.raises(ValueError, match="count is 0; give at least one"):
        none_of_the_above(0)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_case_has_the_network_of_the_lecture(problem):
    case = digits_case(problem, batch=8, dtype=np.float32, seed=3)
    data = digits(problem, np.float32, seed=3)
    K = PROBLEMS[problem]
    assert case.network.parameter_shapes == {
        "W1": (64, 32), "b1": (32,), "W2": (32, K), "b2": (K,),
    }  # fmt: skip
    np.testing.assert_array_equal(case.x, data.x_train[:8])
    np.testing.assert_array_equal(case.d, data.d_train[:8])
    assert (case.dtype, case.T, case.name) == (np.float32, 8, f"digits-{problem}")
    trace = backprop(case)
    assert np.isfinite(trace.Err)
    assert all(np.abs(trace.grad[name]).max() > 0 for name in case.params)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: digits("twelve"), ValueError, "problem is 'twelve'; give one of 'two', 'ten'"),
        (lambda: digits_case(10), ValueError, "problem is 10; give one of"),
        (lambda: digits(dtype=np.int64), TypeError, "dtype is int64; give a float dtype"),
        (lambda: digits_case("two", eps=0.01), ValueError, "eps is 0.01; 'two' has one output"),
        (lambda: digits_case("ten", eps=0.2), ValueError, r"eps=0.2.*with K = 10 classes"),
        (lambda: digits_case(batch=0), ValueError, "batch is 0; give 1 to 1347"),
        (lambda: digits_case(batch=1348), ValueError, "batch is 1348; give 1 to 1347"),
        (lambda: digits_case(hidden=0), ValueError, "n_out=0"),
    ],
)
def test_bad_input_is_named_with_its_value_and_the_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_without_scikit_learn_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    module._load.cache_clear()
    with pytest.raises(ImportError) as caught:
        digits()
    assert str(caught.value) == (
        'the digits come with scikit-learn: pip install "gradparity[digits]"'
    )
    assert caught.value.__suppress_context__


def learned(problem, seed=0, dtype=np.float64, **changes):
    recipe = RECIPES[problem]
    data = digits(problem, dtype, seed)
    case = digits_case(
        problem, **{"eps": recipe.eps, "hidden": recipe.hidden, **changes}, dtype=dtype, seed=seed
    )
    run = train(
        case.network, case.params, data.x_train, data.d_train,
        eta=recipe.eta, batch_size=recipe.batch_size, epochs=recipe.epochs, seed=seed,
    )  # fmt: skip
    before, after = (
        accuracy(case.network, params, data.x_test, data.labels_test)
        for params in (case.params, run.params)
    )
    return run, before, after


# On the seeds 0 to 19, in float32 and float64, the lowest accuracies measured are 99.3, 98.0 and
# 97.6 % (of seed 0: 100, 98.0 and 98.2 %).  97 % is what a two-layer network has to reach: 4 images
# of 450 below the lowest.  Always saying "not a 2" is right for 90.2 %, hence 99 % there.
@crossed("goal, dtype", [("two", 0.99), ("ten", 0.97), ("eleven", 0.97)], [np.float32, np.float64])
def test_the_recipe_learns_the_problem(goal, dtype):
    problem, enough = goal
    run, before, after = learned(problem, dtype=dtype)
    assert run.stopped_by == "epochs"
    assert run.epoch_losses[-1] < run.epoch_losses[0]
    assert before < 0.9 < enough <= after


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "enough"), [("two", 0.99), ("ten", 0.97), ("eleven", 0.97)])
@pytest.mark.parametrize("seed", range(20))
def test_the_recipe_learns_the_problem_from_any_seed(problem, enough, seed):
    assert learned(problem, seed)[2] >= enough


def test_thirty_two_hidden_units_and_no_smoothing_learn_it_too():
    assert learned("ten", hidden=32)[2] >= 0.97  # 98.4 % measured; 97.3 % the lowest of 20 seeds
    assert learned("ten", eps=0.0)[2] >= 0.95  # 96.4 % measured, which is also the lowest
