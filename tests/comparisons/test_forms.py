"""Usual forms: what they explain, what they never excuse, and what is said of lost digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradparity.comparisons import Finding, Verdict, judge
from gradparity.core import GELU, L2, Activation, Affine, Case, Sigmoid, Tanh, backprop, layered

GRAD = "grad z1 -> y1"
TAIL = np.linspace(-9.0, 9.0, 37)


def judged(
    op: Activation, z: Any, wrong: Callable[[Any, Any], Any], dtype: str = "float64"
) -> Finding:
    """The verdict on dz where z arrives at the op, and `wrong` makes dz from the right one."""
    net = layered([Affine(1, 1), op], L2())
    x = np.asarray(z, float)[:, None]
    params = {"W1": np.ones((1, 1)), "b1": np.zeros(1)}
    case = Case(net, params, x, np.full((len(x), 1), 2.0)).astype(dtype)
    trace = backprop(case)
    dz = trace.grad["z1"]
    dz = np.asarray(wrong(trace, dz), dz.dtype).reshape(dz.shape)
    trace.grad["z1"] = trace.edge_grad["z1", "y1"] = dz
    return {str(f.quantity): f for f in judge(case, trace)}[GRAD]


def textbook(trace: Any, dz: Any) -> Any:
    """dz as most code computes it from the output of tanh."""
    y = trace.value["y1"]
    return trace.grad["y1"] * (1 - y * y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", [GELU(), GELU("tanh"), Tanh(), Sigmoid()], ids=str)
def test_the_best_form_is_right(op: Activation, dtype: str) -> None:
    found = judged(op, TAIL, lambda trace, dz: dz, dtype)
    assert found.verdict in (Verdict.EXACT, Verdict.ROUNDING)
    assert found.outside == 0


def test_a_tail_of_gelu_that_is_negated_is_a_mismatch() -> None:
    found = judged(GELU(), TAIL, lambda trace, dz: np.where(trace.value["z1"] < -5.5, -dz, dz))
    assert found.verdict is Verdict.MISMATCH


@pytest.mark.parametrize("factor", [1 + 1e-3, 1 - 1e-3, 1.5, -1.0])
def test_a_tail_of_tanh_that_is_off_is_a_mismatch(factor: float) -> None:
    found = judged(
        Tanh(),
        TAIL,
        lambda trace, dz: np.where(np.abs(trace.value["z1"]) > 4, factor * dz, dz),
    )
    assert found.verdict is Verdict.MISMATCH


def test_a_saturated_tanh_is_lossy_and_says_the_digits() -> None:
    found = judged(Tanh(), [0.5, -1.0, 17.0], textbook, "float32")
    assert found.verdict is Verdict.LOSSY
    assert found.parity is True
    assert "1 - y^2" in found.note
    assert "0.0 of 7.2 digits are left at [2, 0]" in found.note


def test_what_only_a_form_explains_is_not_tested() -> None:
    found = judged(Tanh(), [0.5, -1.0, 17.0], textbook, "float32")
    right = judged(Tanh(), [0.5, -1.0, 17.0], lambda trace, dz: dz, "float32")
    assert found.power is not None
    assert right.power is not None
    assert found.power.untested == 1
    assert right.power.untested == 0
    assert 0 < found.power.tensor <= found.power.median <= found.power.worst < 1e-4


def test_a_form_that_keeps_half_of_the_digits_is_rounding() -> None:
    found = judged(Tanh(), [0.5, -1.0, 3.0], textbook, "float32")
    assert found.verdict is Verdict.ROUNDING
    assert "1 - y^2" not in found.note


def test_a_tensor_without_a_digit_left_is_vacuous() -> None:
    found = judged(Tanh(), [17.0, 18.0, -19.0], textbook, "float32")
    assert found.verdict is Verdict.VACUOUS
    assert "1 - y^2" in found.note


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elements_that_are_off_by_one_factor_are_not_excused(dtype: str) -> None:
    z = np.linspace(8.5, 8.9, 20) if dtype == "float32" else np.linspace(17, 18, 20)
    assert judged(Tanh(), z, textbook, dtype).parity is True
    found = judged(Tanh(), z, lambda trace, dz: 1.2 * dz, dtype)
    assert found.verdict is Verdict.MISMATCH


def test_equal_inputs_are_off_by_the_factor_of_the_form() -> None:
    """Their errors are equal: this is no factor that somebody forgot."""
    found = judged(Tanh(), np.full(9, 8.0), textbook)
    assert found.parity is True


def test_equal_elements_of_pytorchs_erf_are_not_one_factor() -> None:
    """Its GELU in float32 is off by the error of erf, which is equal for equal inputs."""
    torch = pytest.importorskip("torch")
    z = np.full(9, -3.0)

    def of_torch(trace: Any, dz: Any) -> Any:
        x = torch.tensor(trace.value["z1"], requires_grad=True)
        torch.nn.functional.gelu(x).backward(torch.tensor(trace.grad["y1"]))
        return x.grad.numpy()

    assert judged(GELU(), z, of_torch, "float32").parity is True


def test_a_form_explains_every_element_or_none() -> None:
    def mixed(trace: Any, dz: Any) -> Any:
        return np.where(np.arange(len(dz))[:, None] == 0, 1.001 * dz, textbook(trace, dz))

    found = judged(Tanh(), [0.5, -1.0, 17.0], mixed, "float32")
    assert found.verdict is Verdict.MISMATCH


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_never_lossy(value: float) -> None:
    def broken(trace: Any, dz: Any) -> Any:
        return np.where(np.arange(len(dz))[:, None] == 0, value, textbook(trace, dz))

    found = judged(Tanh(), [0.5, -1.0, 17.0], broken, "float32")
    assert found.verdict is Verdict.MISMATCH
