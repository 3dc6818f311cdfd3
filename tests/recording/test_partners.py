"""Values of two programs that are the same numbers, however they lie."""

import numpy as np
import pytest

from gradparity.comparisons.aligning.gradients import together
from gradparity.comparisons.aligning.programs.packed import partners_of_parts
from gradparity.comparisons.aligning.programs.partners import Elements, Known, Partners
from gradparity.comparisons.aligning.programs.values import are_near

NEAR = 1e-6
RNG = np.random.default_rng(0)
A = RNG.standard_normal((4, 6))
HOLES = np.where(A > 1, -np.inf, np.where(A < -1, np.nan, A))


@pytest.mark.parametrize("a", [A, HOLES, A.astype(np.float32), np.zeros((4, 6)), A * 1e200])
def test_the_order_of_the_elements_does_not_matter(a: np.ndarray) -> None:
    pool = Partners({"turned": a.T, "shuffled": RNG.permutation(a.ravel()), "same": a}, NEAR)
    assert pool.of(a) == ["turned", "shuffled", "same"]
    assert pool.has(a)


@pytest.mark.parametrize("a", [A, HOLES, A * 1e-30])
def test_one_element_beyond_the_tolerance_is_another_value(a: np.ndarray) -> None:
    i = np.argsort(np.where(np.isfinite(a), a, np.inf), axis=None)[3]
    for times, same in ((0.9, True), (1.1, False)):
        b = a.copy()
        b.flat[i] += times * NEAR * np.abs(a[np.isfinite(a)]).max()
        assert Partners({"b": b.T}, NEAR).has(a) is same


def test_what_is_not_finite_has_to_be_the_same() -> None:
    other = np.where(np.isnan(HOLES), np.inf, HOLES)
    assert not Partners({"other": other}, NEAR).has(HOLES)
    assert not Partners({"a": A}, NEAR).has(HOLES)


def test_a_value_of_equal_range_and_sums_is_another_one() -> None:
    a, b = np.array([0.0, 1, 5, 6, 9]), np.array([0.0, 2, 3, 7, 9])
    assert a.sum() == b.sum()
    assert (a * a).sum() == (b * b).sum()
    assert not Partners({"b": b}, NEAR).has(a)


def test_joined_arrays_are_summed_by_their_parts() -> None:
    parts = {"q": A, "k": HOLES, "v": 3 * A}
    joined = np.concatenate([a.ravel() for a in parts.values()])
    assert np.allclose(together(parts, Known())["q+k+v"].summary, Elements(joined).summary)
    assert Partners(together(parts, Known()), NEAR).of(joined) == ["q+k+v"]


def test_an_array_is_split_only_where_its_largest_element_may_lie() -> None:
    there = {"q": A, "k": 2 * A, "v": 3 * A}
    packed = np.stack([*there.values()], axis=1).reshape(12, 6)
    assert partners_of_parts(packed, there, Partners(there, NEAR)) == ["q", "k", "v"]
    packed[np.unravel_index(np.abs(packed).argmax(), packed.shape)] *= 2
    assert not partners_of_parts(packed, there, Partners(there, NEAR))


def test_infinities_are_near_no_number() -> None:
    a = np.array([1.0, -np.inf, np.nan])
    assert are_near(a, a, 1e-9)
    assert not are_near(a, np.array([1.0, 2.0, np.nan]), 1e-9)
    assert not are_near(a, np.array([1.1, -np.inf, np.nan]), 1e-9)
