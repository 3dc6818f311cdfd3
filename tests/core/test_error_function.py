"""erf and erfc of whole arrays, against those of the C library."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradparity.core.arithmetic.error_function import erf_of_floats, erfc_of_floats

#: In units in the last place; at its worst places the C library is off by 4 itself.
APART = {"erf": 2.0, "erfc": 5.0}


@pytest.mark.parametrize("name", APART)
def test_it_is_that_of_the_c_library(name: str) -> None:
    f = {"erf": erf_of_floats, "erfc": erfc_of_floats}[name]
    rng = np.random.default_rng(0)
    x = np.concatenate([
        rng.uniform(-30, 30, 20000), rng.normal(0, 1, 20000), 10.0 ** rng.uniform(-320, 2, 5000),
        [0.0, -0.0, np.inf, -np.inf, 0.84375, -0.84375, 1.25, -1.25, 1 / 0.35, 6.0, 27.0, 28.0],
    ])  # fmt: skip
    got, want = f(x), np.array([getattr(math, name)(float(each)) for each in x])
    assert (np.abs(got - want) <= APART[name] * np.spacing(np.abs(want))).all()
    assert np.array_equal(np.signbit(got), np.signbit(want))


@pytest.mark.parametrize("f", [erf_of_floats, erfc_of_floats])
def test_shapes_and_nan(f: object) -> None:
    assert callable(f)
    assert f(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert f(np.float64(0.5)).shape == ()
    assert np.isnan(f(np.array([np.nan, 1.0]))).tolist() == [True, False]
    wide = np.arange(24.0).reshape(4, 6).T
    assert np.array_equal(f(wide), f(wide.copy()))
