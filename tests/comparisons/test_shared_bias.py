"""A bias that all elements of a float32 tensor share is seen where each is inside its bound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity.comparisons.judge.node_by_node import judge
from gradparity.core import L2, Affine, Case, Tanh, backprop, layered
from gradparity.core.network.quantity import Quantity

GRAD = Quantity.grad("W1")


def case_of(dtype: str) -> Case:
    network = layered([Affine(30, 40), Tanh(), Affine(40, 3)], L2())
    return Case.random(network, batch=400, seed=2, dtype=dtype)


def findings(dtype: str, factor: float, float64: Any = None) -> dict[Quantity, Any]:
    case = case_of(dtype)
    trace = backprop(case)
    scaled = (trace.grad["W1"] * np.float64(factor)).astype(trace.grad["W1"].dtype)
    trace = replace(trace, grad={**trace.grad, "W1": scaled})
    return {f.quantity: f for f in judge(case, trace, float64)}


def test_a_bias_in_float32_alone_is_a_lack_of_precision() -> None:
    found = findings("float32", 1 + 1.5e-6, lambda: findings("float64", 1.0))[GRAD]
    assert found.verdict == "imprecise"
    assert found.outside == 0
    assert "(1 +1.5e-06) times the formula" in found.note


def test_a_bias_in_float64_too_is_a_mismatch() -> None:
    wrong = 1 + 1.5e-6
    assert (
        findings("float32", wrong, lambda: findings("float64", wrong))[GRAD].verdict == "mismatch"
    )


@pytest.mark.parametrize("factor", [1.0, 1 + 1e-7])
def test_a_shared_rounding_passes(factor: float) -> None:
    found = findings("float32", factor, lambda: findings("float64", 1.0))
    assert all(f.parity for f in found.values())


def test_without_float64_nothing_is_accused() -> None:
    assert findings("float32", 1 + 1.5e-6)[GRAD].verdict == "rounding"
