"""Digits lost by norms and softmaxes over the mean and the spread of a vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from gradparity.adapters.smooth import Answer, Found, NativeSmooth
from gradparity.comparisons.atlas.smooth.formulas.vectors import PATTERN, VECTORS, WEIGHTS
from gradparity.comparisons.atlas.smooth.measured import measured
from gradparity.comparisons.atlas.smooth.regions import Region
from gradparity.comparisons.atlas.smooth.vector_truth import rows
from gradparity.comparisons.atlas.smooth_probe import probe_smooth
from gradparity.core.arithmetic.precision import Precision


class Vectors:
    """Adapter of one function that returns the value and the gradient of a NumPy vector."""

    name = "mine"

    def __init__(self, name: str, function: Callable[[Any], tuple[Any, Any]]) -> None:
        self.one = NativeSmooth(name, f"{name}(x)", function)

    def smooth(self) -> Vectors:
        return self

    def found(self, known: Any) -> Found:
        return Found(())

    def modes(self, compile: bool) -> tuple[str, ...]:
        return ("reverse",)

    def vectors(self) -> list[NativeSmooth]:
        return [self.one]

    def vector_answer(self, function: Any, v: Any, w: Any, dtype: str, mode: str) -> Answer:
        rounded = Precision.of(dtype).round
        with np.errstate(all="ignore"):
            found = [tuple(np.float64(rounded(y)) for y in function(row)) for row in v]
        return Answer(*(np.stack(each) for each in zip(*found, strict=True)))


def variance(v: Any) -> tuple[Any, Any]:
    d = v - v.mean()
    return np.array([np.mean(d * d)]), 2 * d / len(v)


def fast_variance(v: Any) -> tuple[Any, Any]:
    return np.array([np.mean(v * v) - np.mean(v) ** 2]), variance(v)[1]


def softmax(v: Any) -> tuple[Any, Any]:
    e = np.exp(v - v.max())
    s = e / e.sum()
    # Differences of weights, so that nothing cancels.
    w = np.array(WEIGHTS)
    return s, s * ((w[:, None] - w) * s).sum(1)


def plain_softmax(v: Any) -> tuple[Any, Any]:
    e = np.exp(v)
    return e / e.sum(), softmax(v)[1]


def found(name: str, function: Any, dtype: str = "float64") -> list[Region]:
    regions = measured(Vectors(name, function), dtypes=[dtype]).regions
    return [r for r in regions if not r.ill]


@pytest.mark.parametrize("name", VECTORS)
def test_gradients_are_the_derivatives_of_values(name: str) -> None:
    formula, m = VECTORS[name], mpmath.mp
    with mpmath.workdps(50):
        v = [m.mpf(1.3) * x + m.mpf(0.4) for x in PATTERN]

        def functional(i: int, h: Any) -> Any:
            y = formula.value(m, [x + h * (i == j) for j, x in enumerate(v)])
            return y[0] if len(y) == 1 else sum(a * b for a, b in zip(y, WEIGHTS, strict=True))

        h = m.mpf(10) ** -20
        for i, slope in enumerate(formula.gradient(m, v)):
            difference = (functional(i, h) - functional(i, -h)) / (2 * h)
            assert abs(difference - slope) < 1e-25, i


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_right_functions_lose_nothing_below_the_mean_where_all_elements_are_one(
    dtype: str,
) -> None:
    ends = {"float64": 1e15, "float32": 1e6, "bfloat16": 1e2, "float16": 1e3}
    assert [r for r in found("var", variance, dtype) if r.low < ends[dtype]] == []
    assert [r for r in found("softmax", softmax, dtype) if r.quantity == "value"] == []


def test_a_variance_as_a_difference_of_squares_is_found_at_its_means() -> None:
    regions = found("var", fast_variance)
    assert {r.quantity for r in regions} == {"value"}
    first = min(regions, key=lambda r: r.low)
    assert first.low < 1e2  # three digits are lost from there on
    assert max(r.lost for r in regions) >= 15.9


def test_a_softmax_without_its_maximum_overflows_at_its_spread() -> None:
    overflowing = [r for r in found("softmax", plain_softmax) if np.isinf(r.lost)]
    assert {r.quantity for r in overflowing} == {"value"}
    first = min(overflowing, key=lambda r: r.low)
    assert np.isnan(first.got)
    assert 354 < first.low < 1001  # twice it is above log(largest)


def test_vectors_are_of_the_format() -> None:
    for name in ("var", "softmax"):
        v = rows(name, "bfloat16")
        assert (np.float64(Precision.of("bfloat16").round(v)) == v).all()


@pytest.mark.parametrize(
    ("adapter", "spelling", "quantity", "dtype"),
    [
        ("jax", "nn.standardize(x, epsilon=1e-5)", "value", "float32"),
        ("torch", "F.log_softmax(x, 0)", "value", "float32"),
    ],
)
def test_known_losses_are_found(adapter: str, spelling: str, quantity: str, dtype: str) -> None:
    pytest.importorskip(adapter)
    smooth = probe_smooth(adapter, names=[spelling], dtypes=[dtype]).smooth
    assert smooth is not None
    assert quantity in [r.quantity for r in smooth.regions if r.users == "seen" and not r.ill]


def test_norms_of_flax_lose_digits_by_their_fast_variance_alone() -> None:
    pytest.importorskip("flax")
    smooth = probe_smooth("jax", names=["linen.LayerNorm"], dtypes=["float32"]).smooth
    assert smooth is not None
    wrong = {r.spelling for r in smooth.regions if r.users == "seen" and not r.ill}
    assert wrong == {"linen.LayerNorm()(x)"}
