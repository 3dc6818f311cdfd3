"""Elementwise ops are visited over the whole range of a dtype: what is wrong somewhere is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from crossed import crossed
from gradparity.comparisons.cases.points import whole_range
from gradparity.comparisons.cases.suite import builtin_cases
from gradparity.core import GELU, Sigmoid, SiLU, Tanh
from gradparity.core.arithmetic.precision import PRECISIONS

from own_layers import complaints, gelu_tanh, gelu_tanh_backward, of_the_core

Array = Any
TWO = ("float64", "float32")


@pytest.mark.parametrize("name", list(PRECISIONS))
def test_the_whole_range_is_visited(name: str) -> None:
    p = PRECISIONS[name]
    z = whole_range(p)
    assert np.array_equal(z, np.asarray(p.round(z), np.float64))
    assert np.isfinite(z).all()
    assert np.array_equal(z, -z[::-1])
    assert np.signbit(z[z == 0]).sum() == 1 == (~np.signbit(z[z == 0])).sum()
    assert z.max() > p.largest / 4
    assert p.tiny in z
    normal = max(p.tiny, float(np.finfo(p.dtype).tiny))  # float16 counts from its subnormals on
    low, high = max(1e-8, normal), 1e3
    positive = z[(z >= low) & (z <= high)]
    assert (positive[1:] / positive[:-1]).max() <= 10**0.1 * (1 + 1e-9 + 2 * p.unit)
    decades = z[z >= normal]
    assert (decades[1:] / decades[:-1]).max() <= 10 * (1 + 1e-9 + 2 * p.unit)
    assert set(range(65)) <= set(z)


#: name -> where the faulty function is wrong.
WRONG: dict[str, Callable[[Array], Array]] = {
    "beyond 30": lambda z: np.abs(z) > 30,
    "in (-5.6, -5.5)": lambda z: (z > -5.6) & (z < -5.5),
    "at 20": lambda z: z == 20,
    "at 37": lambda z: z == 37,
    "below 1e-6": lambda z: np.abs(z) < 1e-6,
    "in (1e-6, 2e-6)": lambda z: (z > 1e-6) & (z < 2e-6),
    "beyond 1e15": lambda z: z > 1e15,
    "in (200, 300)": lambda z: (z > 200) & (z < 300),
}


@pytest.mark.sample(2)
@crossed("backward, where", [False, True], list(WRONG))
def test_a_fault_anywhere_is_caught(backward: bool, where: str) -> None:
    """The value, or else the gradient, is 1.01 times too large somewhere."""

    def wrong(z: Array, y: Array) -> Array:
        return np.where(WRONG[where](y), z * np.asarray(1.01, z.dtype), z)

    op = SiLU()
    f, df = of_the_core(op)
    if backward:
        report = gp.check_op(f, lambda dz, y: wrong(df(dz, y), y), reference=op)
    else:
        report = gp.check_op(lambda y: wrong(f(y), y), df, reference=op)
    bad = {run.dtype for run, f in report.findings() if f.parity is False}
    assert bad == set(TWO), complaints(report)


def naive_sigmoid(y: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.exp(y) / (1 + np.exp(y))


def test_an_overflow_on_the_way_is_a_mismatch() -> None:
    _, df = of_the_core(Sigmoid())
    report = gp.check_op(naive_sigmoid, df, reference=Sigmoid())
    assert report.exit_code == 1
    found = [f for _, f in report.findings() if f.parity is False]
    assert {str(f.verdict) for f in found} == {"mismatch"}
    assert all("not finite where the function is" in f.note for f in found)


def test_an_infinite_result_that_is_right_passes() -> None:
    """e^z overflows where it is larger than any number."""

    class Exponential(gp.core.Activation):
        def f(self, z: Array) -> Array:
            return np.exp(z)

        def df(self, dy: Array, z: Array, y: Array) -> Array:
            return dy * y

    def f(y: Array) -> Array:
        with np.errstate(over="ignore", under="ignore"):
            return np.exp(y)

    report = gp.check_op(f, lambda dz, y: dz * f(y), reference=Exponential())
    assert report, complaints(report)


def test_a_square_that_overflows_is_told_but_not_judged() -> None:
    report = gp.check_op(gelu_tanh, gelu_tanh_backward, reference=GELU("tanh"))
    assert report.exit_code == 0, complaints(report)
    notes = [
        f.note for _, f in report.findings() if f.quantity == "arguments whose square overflows"
    ]
    assert len(notes) == len(TWO)


@pytest.mark.parametrize("op", [Tanh(), Sigmoid(), GELU()], ids=lambda op: op.name)
def test_usual_forms_are_not_accused(op: Any) -> None:
    forms = {
        "Tanh": lambda dz, y: dz * (1 - np.tanh(y) ** 2),
        "Sigmoid": lambda dz, y: dz * (sigmoid(y) * (1 - sigmoid(y))),
    }

    def sigmoid(y: Array) -> Array:
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-y))

    f, df = of_the_core(op)
    report = gp.check_op(f, forms.get(op.name, df), reference=op)
    assert report.exit_code == 0, complaints(report)


def test_the_built_in_cases_have_points_of_every_size() -> None:
    x = np.abs(builtin_cases()["op-silu"].make().x)
    small = np.unique(x[(x > 1e-8) & (x <= 1e3)])
    assert (small[1:] / small[:-1]).max() <= 10**0.1 * (1 + 1e-6)
    assert builtin_cases()["op-max"].make().T == 40
