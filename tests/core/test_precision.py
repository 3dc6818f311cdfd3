"""The number formats: rounded exactly, against ml_dtypes and against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from gradparity.core import L2, PRECISIONS, Affine, Case, Precision, Rounding, layered
from gradparity.core.arithmetic.precision import rounded_to


def numbers(n: int = 200_000) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(n) * np.exp(rng.uniform(-80, 80, n))
    return np.concatenate([x, np.float64([0.0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8])]).astype(np.float32)


def test_bfloat16_is_rounded_to_nearest_even():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = numbers()
    expected = x.astype(ml_dtypes.bfloat16).astype(np.float32)
    assert np.array_equal(PRECISIONS["bfloat16"].round(x), expected)
    assert PRECISIONS["bfloat16"].largest == float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)


@pytest.mark.parametrize("mode", ["nearest", "toward zero"])
def test_tf32_keeps_eleven_bits(mode):
    x = numbers()
    kept = rounded_to(x, 11, mode)
    significand, _ = np.frexp(kept.astype(np.float64))
    assert np.array_equal(np.rint(significand * 2**11), significand * 2**11)
    allowed = 2.0**-11 if mode == "nearest" else 2.0**-10
    assert np.all(np.abs(kept - x.astype(np.float64)) <= allowed * np.abs(x.astype(np.float64)))
    if mode == "toward zero":
        assert np.all(np.abs(kept) <= np.abs(x))


def test_ties_go_to_even_and_what_is_not_finite_stays():
    x = np.float32([1 + 2**-11, 1 + 3 * 2**-11, np.inf, -np.inf, np.nan])
    kept = rounded_to(x, 11)
    assert kept[:4].tolist() == [1.0, 1 + 2**-9, np.inf, -np.inf]
    assert np.isnan(kept[4])


def test_a_format_is_found_by_name_dtype_or_itself():
    assert Precision.of("tf32").dtype == np.float32
    assert Precision.of(np.float16) is PRECISIONS["float16"]
    assert Precision.of(PRECISIONS["bfloat16"]) is PRECISIONS["bfloat16"]
    with pytest.raises(ValueError, match=r"'int8' is unknown; give any of .*bfloat16"):
        Precision.of("int8")


def test_a_case_holds_numbers_of_its_precision_only():
    case = Case.random(layered([Affine(4, 3)], L2()), batch=5)
    low = case.astype("bfloat16")
    assert low.precision.name == "bfloat16"
    assert low.dtype == np.float32
    assert np.array_equal(low.precision.round(low.params["W1"]), low.params["W1"])
    single = case.astype("float32")
    with pytest.raises(ValueError, match=r"is not a bfloat16 number; build the case in float32"):
        Case(single.network, single.params, single.x, single.d, precision="bfloat16")
    with pytest.raises(TypeError, match="bfloat16 is stored as float32"):
        Case(case.network, case.params, case.x, case.d, precision="bfloat16")


def test_low_precision_adds_with_more_digits_than_it_stores():
    half, brain = Rounding.of("float16"), Rounding.of("bfloat16")
    assert half.u > half.u_sum == brain.u_sum
    assert half.gamma(100) < half.u
    assert half.in_storage.gamma(100) > 90 * half.u
    assert Rounding.of("float32").stored(np.float64(2.0)) == 0.0
