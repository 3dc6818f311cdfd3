"""Digits lost by functions of one number: planted faults are found, right functions are not."""

from __future__ import annotations

import decimal
import json
import math
import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any

import mpmath
import numpy as np
import pytest
from click.testing import CliRunner

from gradparity.adapters.smooth import Answer, Found, NativeSmooth, parts, plain_name
from gradparity.cli import main
from gradparity.comparisons.atlas.as_text import changes_text, text
from gradparity.comparisons.atlas.smooth.errors import errors
from gradparity.comparisons.atlas.smooth.measured import measured
from gradparity.comparisons.atlas.smooth.points import FORMATS, points
from gradparity.comparisons.atlas.smooth.truth import FORMULAS, Truth, contexts, truth
from gradparity.comparisons.atlas.smooth_probe import probe_smooth
from gradparity.comparisons.atlas.stored import Atlas
from gradparity.core.arithmetic.precision import Precision


class Smooth:
    """Functions that return a pair (value, derivative) of NumPy arrays."""

    def __init__(self, functions: dict[str, Any]) -> None:
        self.functions = functions

    def found(self, known: Any) -> Found:
        assert set(self.functions) <= set(known)
        named = (NativeSmooth(n, f"{n}(x)", f) for n, f in self.functions.items())
        return Found(tuple(named), ("nobody",))

    def modes(self, compile: bool) -> tuple[str, ...]:
        return ("reverse", "forward")

    def answer(self, function: Any, z: Any, dtype: str, mode: str) -> Answer:
        with np.errstate(all="ignore"):
            found = function(z)
            return Answer(*(np.float64(Precision.of(dtype).round(each)) for each in found))


class Mine:
    name = "mine"

    def __init__(self, **functions: Any) -> None:
        self.functions = functions

    def versions(self) -> dict[str, str]:
        return {"mine": "1.0"}

    def smooth(self) -> Smooth:
        return Smooth(self.functions)


def sigmoid(z: Any) -> Any:
    e = np.exp(-np.abs(z))
    return np.where(z > 0, 1 / (1 + e), e / (1 + e))


def softplus(z: Any) -> tuple[Any, Any]:
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))), sigmoid(z)


def plain_softplus(z: Any) -> tuple[Any, Any]:
    return np.where(z > 20, z, np.log(1 + np.exp(np.minimum(z, 20)))), sigmoid(z)


def gelu(z: Any, half: float = 0.5**0.5) -> tuple[Any, Any]:
    tail = np.frompyfunc(math.erfc, 1, 1)(-z * half).astype(np.float64) / 2
    return z * tail, tail + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def nan_far_out(z: Any) -> tuple[Any, Any]:
    value, slope = softplus(z)
    return value, np.where(z > 1e30, np.nan, slope)


def found(dtype: str, **functions: Any) -> list[Any]:
    return [r for r in measured(Mine(**functions), dtypes=[dtype]).regions if not r.ill]


@pytest.mark.parametrize("dtype", FORMATS)
def test_right_functions_lose_nothing(dtype: str) -> None:
    right = {"softplus": softplus, "exp": lambda z: (np.exp(z), np.exp(z))}
    regions = found(dtype, **right, gelu=gelu)
    # e^(-z^2/2) of a rounded square keeps fewer digits far out, in float64 the slope by 3.
    assert [r for r in regions if r.function != "gelu" or r.lost > 3.3] == []


def test_a_softplus_without_log1p_is_found_at_its_region() -> None:
    regions = found("float64", softplus=plain_softplus)
    assert {r.quantity for r in regions} == {"value"}
    below = min(regions, key=lambda r: r.low)
    assert below.low < -700
    assert below.users == "common"
    lost = [r for r in regions if r.low < -40 < r.high]
    assert len(lost) == 1
    assert lost[0].modes == ("reverse", "forward")
    above = [r for r in regions if r.low > 0]
    assert [r.users for r in above] == ["seen"]  # the threshold
    (of_20,) = above
    assert 20 < of_20.low < 22
    assert of_20.lost == pytest.approx(math.log10(math.exp(-20) * 2.0**53 / 16), abs=0.01)


def test_constants_of_float32_are_found_in_float64_alone() -> None:
    def wrong(z: Any) -> tuple[Any, Any]:
        return gelu(z, float(np.float32(0.5**0.5)))

    regions = [r for r in found("float64", gelu=wrong) if r.quantity == "value"]
    common = next(r for r in regions if r.users == "common" and r.low < 0)
    assert 7 < common.lost < 11
    assert not [r for r in found("float32", gelu=wrong) if r.lost > 4]


def test_a_slope_that_is_nan_far_out_is_found() -> None:
    (region,) = found("float32", softplus=nan_far_out)
    assert (region.quantity, region.users) == ("derivative", "rare")
    assert math.isinf(region.lost)
    assert region.low > 1e30
    assert math.isnan(region.got)
    assert region.true == 1


def stepwise_squareplus(z: Any) -> tuple[Any, Any]:
    low = Precision.of("bfloat16")
    root = np.float64(low.round(np.sqrt(np.float64(low.round(z * z)) + 4)))
    return np.float64(low.round(z + root)) / 2, 2 / root / (np.abs(z) + root)


def test_a_cancellation_is_not_ill_conditioned_and_a_root_is() -> None:
    regions = measured(Mine(squareplus=stepwise_squareplus), dtypes=["bfloat16"]).regions
    (values,) = [r for r in regions if r.quantity == "value" and r.low < -25 < r.high]
    assert not values.ill
    moved = {"kldivergence(x, 0.5)": lambda z: ((np.log(0.5) - z) / 2, -0.5 + 0 * z)}
    (root,) = measured(Mine(**moved), dtypes=["float64"]).regions
    assert root.ill
    assert root.low < -math.log(2) < root.high


@pytest.mark.parametrize("dtype", FORMATS)
def test_points_are_numbers_of_the_format(dtype: str) -> None:
    z, precision = points(dtype), Precision.of(dtype)
    assert (np.float64(precision.round(z)) == z).all()
    assert (np.diff(z) >= 0).all()
    assert np.signbit(z[z == 0]).tolist() == [True, False]
    assert z.max() == precision.largest == -z.min()
    smallest = 2.0**-14 if dtype == "float16" else float(np.finfo(precision.dtype).tiny)
    assert ((z > 0) & (z < smallest)).sum() >= 2
    for number in (0.5, 20.0, *(1 - 10.0**-k for k in (1, 2))):
        assert np.float64(precision.round(number)) in z


def test_the_truth_agrees_with_series_in_decimal() -> None:
    decimal.getcontext().prec = 60
    x = Decimal(-40)
    for name, right in {
        "exp": x.exp(),
        "softplus": (1 + x.exp()).ln(),
        "sigmoid": 1 / (1 + (-x).exp()),
        "tanh": (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
    }.items():
        both = truth(name, "value", [float(x)])
        got = Decimal(float(both.nearest[0])) + Decimal(float(both.rest[0]))
        assert abs(got - right) < abs(right) * Decimal("1e-31"), name


def test_the_error_function_agrees_with_its_series() -> None:
    decimal.getcontext().prec = 80
    x, pi = Decimal("5.5"), Decimal("3.14159265358979323846264338327950288419716939937510582097494")
    z, term, total = x / Decimal(2).sqrt(), Decimal(1), Decimal(0)
    for n in range(200):
        total += term / (2 * n + 1)
        term *= -z * z / (n + 1)
    right = -x * (1 - 2 / pi.sqrt() * z * total) / 2
    got = truth("gelu", "value", [-5.5]).nearest[0]
    assert abs(Decimal(float(got)) / right - 1) < Decimal("2e-16")


@pytest.mark.parametrize("name", FORMULAS)
def test_slopes_are_the_derivatives_of_values(name: str) -> None:
    formula = FORMULAS[name]
    for x in (-2.3, -0.7, -0.2, 0.03, 0.4, 0.8, 1.7, 6.5, 30.3):
        if formula.low < x < formula.high:
            with mpmath.workdps(60):
                difference = mpmath.diff(lambda at: formula.value(mpmath.mp, at), mpmath.mpf(x))
                slope = formula.slope(mpmath.mp, mpmath.mpf(x))
                assert abs(difference - slope) <= 1e-20 * max(abs(slope), mpmath.mpf("1e-20")), x


def test_without_mpmath_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpmath", None)
    contexts.cache_clear()
    with pytest.raises(ImportError, match=r'pip install "gradparity\[atlas\]"'):
        truth("exp", "value", [0.123])
    result = CliRunner().invoke(main, ["probe", "--smooth", "--adapter", "torch"])
    assert result.exit_code == 2
    assert "gradparity[atlas]" in result.output


def test_functions_without_a_derivative_are_asked_for_values() -> None:
    class Valued(Smooth):
        def found(self, known: Any) -> Found:
            named = super().found(known)
            return Found(tuple(one._replace(slope=False) for one in named.functions))

    class Only(Mine):
        def smooth(self) -> Smooth:
            return Valued(self.functions)

    wrong = measured(Only(softplus=lambda z: (z, np.nan * z)), dtypes=["bfloat16"])
    assert {r.quantity for r in wrong.regions} == {"value"}


def test_errors_at_the_edges_of_the_range() -> None:
    single = Precision.of("float32")
    true = Truth(np.array([1e39, 1e39, 1e39, 1e-40, 1e-40, np.nan, 1.0]), np.zeros(7))
    got = np.array([np.inf, -np.inf, 1.0, 0.0, 1e-30, 5.0, np.nan])
    lost = errors(got, true, single).lost
    assert lost[[0, 3]].tolist() == [0, 0]
    assert np.isinf(lost[[1, 2, 6]]).all()
    assert lost[4] > 7
    assert np.isnan(lost[5])


def test_names_and_arguments() -> None:
    assert plain_name("binary_cross_entropy_with_logits") == "bcewithlogits"
    assert parts("gaussiannll(1, 0, x)") == ("gaussiannll", (1.0, 0.0, None))


def test_atlas_as_json_and_text() -> None:
    atlas = probe_smooth(Mine(softplus=nan_far_out), dtypes=["float32"])
    assert atlas.entries == ()
    again = Atlas.from_json(atlas.to_json())
    assert again.to_json() == atlas.to_json()
    assert json.loads(atlas.to_json())["smooth"]["regions"][0]["got"] == "nan"
    printed = text(atlas)
    assert "mine, rare" in printed
    assert "no formula for nobody" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_diff_shows_what_changed() -> None:
    before = probe_smooth(Mine(softplus=softplus), dtypes=["float32"])
    after = probe_smooth(Mine(softplus=nan_far_out), dtypes=["float32"])
    (change,) = before.diff(after)
    assert "softplus(x), derivative in float32" in str(change)
    assert "appeared, infinitely wrong" in str(change)
    assert "disappeared" in str(after.diff(before)[0])
    assert not after.diff(after)
    assert changes_text(after.compared(after), after, after).endswith("NO CHANGE")
    assert after.smooth is not None
    (region,) = after.smooth.regions
    less = replace(after, smooth=replace(after.smooth, regions=(replace(region, lost=4.0),)))
    assert "4.0 of 7.2 digits lost" in str(after.diff(less)[0])
    with pytest.raises(ValueError, match="--smooth"):
        after.diff(replace(after, smooth=None))


def test_beside_a_pole_is_ill_conditioned() -> None:
    def digamma(z: Any) -> tuple[Any, Any]:
        near = np.abs(z + 10) < 1e-5  # the reflection loses all digits there
        slope = np.array([float(mpmath.polygamma(1, x)) if x else np.inf for x in z])
        return np.array([float(mpmath.digamma(x)) if x else -np.inf for x in z]), np.where(
            near, -np.inf, slope
        )

    regions = measured(Mine(digamma=digamma), dtypes=["float32"]).regions
    assert all(r.ill for r in regions if r.quantity == "derivative" and r.low < -9)
