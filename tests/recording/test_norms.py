"""Recordings judge norms of any order and variances with any correction by their formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.recording.calls import findings_of_call

torch = pytest.importorskip("torch")

DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
X = [[1.0, 0.5, -2.0, 3.0], [-0.25, 2.5, 1.0, -0.75]]
#: The largest and the smallest size occur twice, with both signs.
TIED = [[3.0, -3.0, 0.5, 1.0, -0.5]]
ZEROS = [[0.0, 2.0, 0.0], [0.0, 0.0, 0.0]]


def recorded(f: Callable[[Any], Any], x: Any, dtype: str = "float64") -> gp.Recording:
    w = torch.tensor(x, dtype=getattr(torch, dtype), requires_grad=True)
    return gp.record(lambda w: (2 * f(w)).sum(), w, keep=True)


def of_order(p: float) -> Callable[[Any], Any]:
    return lambda w: torch.linalg.vector_norm(w, p, dim=-1)


def parities(step: gp.Recording, name: str, gradient: Any) -> set[bool | None]:
    """The parity of another gradient of the op of this name."""
    (call,) = (c for c in step.calls if name in c.place.function)
    one = replace(call.inputs[0], gradient=np.asarray(gradient, call.inputs[0].array.dtype))
    found = findings_of_call(replace(call, inputs=[one, *call.inputs[1:]]))
    return {f.parity for f in found if f.quantity.is_gradient}


@DTYPES
@pytest.mark.parametrize("p", [1, 1.5, 2.5, 3, 0.5, -2, 0, np.inf, -np.inf])
def test_norms_of_every_order_have_a_formula(p: float, dtype: str) -> None:
    programs = [of_order(p), lambda w: torch.norm(w, p), lambda w: torch.dist(w, 0 * w + 4, p)]
    for f in programs[: 3 if p else 2]:  # PyTorch's backward pass of dist fails for p = 0
        step = recorded(f, X, dtype)
        report = gp.check(step)
        assert report.exit_code in ((0, 2) if p == 0 else (0,)), report.diagnosis()
        assert not step.by_values
        assert not step.unjudged


@pytest.mark.parametrize("p", [1.5, 3, -2, np.inf, -np.inf])
def test_a_wrong_gradient_of_a_norm_is_accused(p: float) -> None:
    step = recorded(of_order(p), X)
    (call,) = (c for c in step.calls if "vector_norm" in c.place.function)
    right = np.asarray(call.inputs[0].gradient)
    assert parities(step, "vector_norm", right) == {True}
    for wrong in (right[:, ::-1], -right, 1.001 * right, right + 0.01):
        assert parities(step, "vector_norm", wrong) == {False}


@pytest.mark.parametrize("p", [np.inf, -np.inf])
def test_ties_of_sizes_share_the_gradient_with_their_signs(p: float) -> None:
    """The upstream gradient is 2."""
    step = recorded(of_order(p), TIED)
    assert gp.check(step).exit_code == 0

    def shares(a: float, b: float) -> set[bool | None]:
        g = [a, b, 0, 0, 0] if p > 0 else [0, 0, a, 0, b]
        return parities(step, "vector_norm", [g])

    for valid in ((1.0, -1.0), (2.0, 0.0), (0.0, -2.0), (0.5, -1.5)):
        assert shares(*valid) == {True}
    for wrong in ((1.0, 1.0), (2.0, -2.0), (0.0, 0.0), (-1.0, -1.0), (3.0, 1.0)):
        assert shares(*wrong) == {False}


def test_where_the_size_is_zero_the_sizes_of_the_gradient_sum_to_at_most_dz() -> None:
    least = recorded(of_order(-np.inf), ZEROS)
    for valid in ([[0, 0, 0], [2, 0, 0]], [[1, 0, -1], [-1, 0.5, 0.5]]):
        assert parities(least, "vector_norm", valid) == {True}
    for wrong in ([[0, 1, 0], [0, 0, 0]], [[2, 0, -1], [0, 0, 0]], [[0, 0, 0], [1, -1, 1]]):
        assert parities(least, "vector_norm", wrong) == {False}
    largest = recorded(of_order(np.inf), ZEROS)
    assert parities(largest, "vector_norm", [[0, 2, 0], [1, -1, 0]]) == {True}
    assert parities(largest, "vector_norm", [[1, 1, 0], [0, 0, 0]]) == {False}
    assert parities(largest, "vector_norm", [[0, 2, 0], [2, -1, 0]]) == {False}


def test_a_zero_in_a_norm_of_a_negative_order() -> None:
    step = recorded(of_order(-2), [[3.0, 0.0, 1.0], [1.0, 2.0, 4.0]])
    assert gp.check(step).exit_code == 0
    (call,) = (c for c in step.calls if "vector_norm" in c.place.function)
    wrong = np.asarray(call.inputs[0].gradient).copy()
    wrong[0, 0] = 1.0
    assert parities(step, "vector_norm", wrong) == {False}


@DTYPES
@pytest.mark.parametrize("correction", [0, 1, 2, 3, 1.5, -1])
def test_variances_with_any_correction(correction: float, dtype: str) -> None:
    for name in ("var", "std", "var_mean", "std_mean"):

        def f(w: Any, name: str = name) -> Any:
            found = getattr(torch, name)(w, -1, correction=correction)
            return sum(found) if isinstance(found, tuple) else found

        step = recorded(f, X, dtype)
        report = gp.check(step)
        assert report.exit_code == 0, report.diagnosis()
        assert not step.by_values


def test_a_variance_with_another_correction_is_accused() -> None:
    step = recorded(lambda w: w.var(-1, correction=2), X)
    (call,) = (c for c in step.calls if "var" in c.place.function)
    assert parities(step, "var", np.asarray(call.inputs[0].gradient) * 2 / 3) == {False}
