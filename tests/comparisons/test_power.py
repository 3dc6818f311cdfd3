"""Detection power is a promise: just above the printed figure a fault is caught, just below not."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import gradparity as gp
from crossed import crossed
from gradparity.comparisons import Verdict, judge
from gradparity.comparisons.check.check import check
from gradparity.comparisons.findings.finding import Finding
from gradparity.core import Affine, Case, CrossEntropy, ReLU, Tanh, backprop, layered

NETWORK = layered([Affine(40, 24), Tanh(), Affine(24, 16), ReLU(), Affine(16, 6)], CrossEntropy())


def case_of(dtype: str, seed: int) -> Case:
    return Case.random(NETWORK, batch=24, seed=seed, dtype=dtype)


def planted(case: Case, trace: gp.Trace, name: str, factor: np.ndarray) -> bool:
    """Whether the gradient times this factor is caught; in float64 the same fault is plain."""
    wrong = copy.deepcopy(trace)
    wrong.grad[name] = (trace.grad[name].astype(np.float64) * factor).astype(case.dtype)

    def evidence() -> dict[str, Finding]:
        wide = case.astype("float64")
        there = backprop(wide)
        there.grad[name] = there.grad[name] * np.where(factor == 1, 1, 2)
        return {f.quantity: f for f in judge(wide, there, explain=False)}

    found = {f.quantity: f for f in judge(case, wrong, evidence, explain=False)}
    return found[f"grad {name}"].parity is False


@pytest.mark.sample(2)
@crossed("dtype, name, seed", ["float64", "float32"], ["W1", "W2", "b2", "W3"], [0, 1])
def test_of_a_single_element_and_of_a_whole_tensor(dtype, name, seed):
    case = case_of(dtype, seed)
    trace = backprop(case)
    right = {f.quantity: f for f in judge(case.astype("float64"), backprop(case.astype("float64")))}
    (found,) = [f for f in judge(case, trace, lambda: right) if f.quantity == f"grad {name}"]
    got = trace.grad[name].astype(np.float64)
    assert found.power is not None
    margin = 0.05 + 4 * np.finfo(dtype).eps / found.power.median  # the planted value is rounded too

    # The element that needs the most: the printed worst.
    caught, missed = 0, 0
    for index in np.ndindex(got.shape):
        for sign in (1, -1):
            fault = np.ones(got.shape)
            fault[index] += sign * found.power.worst * (1 + margin)
            if got[index] != 0 and found.power.untested == 0 and caught < 40:
                assert planted(case, trace, name, fault)
                caught += 1
        if caught >= 40:
            break
    # Half of the elements are not seen at less than the median: one of them shows it.
    for index in np.ndindex(got.shape):
        fault = np.ones(got.shape)
        fault[index] += found.power.median * (1 - margin) * 0.5
        if missed < 1 and not planted(case, trace, name, fault):
            missed += 1
    assert missed == 1

    def whole(fault: float) -> list[bool]:
        return [planted(case, trace, name, np.full(got.shape, 1 + f)) for f in (fault, -fault)]

    over, under = (whole(found.power.tensor * f) for f in (1 + margin, 1 - margin))
    assert all(over)
    assert not all(under)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_median_element_exactly(dtype):
    """Planted in the very element whose figure is the median."""
    case = case_of(dtype, 3)
    trace = backprop(case)
    from gradparity.comparisons.measure.at_node import reference_at_node
    from gradparity.comparisons.measure.levels import Levels

    step = case.network.steps[0]
    levels = Levels(lambda r: reference_at_node(step, case, trace, r), case.precision)
    e, m = levels.sharpest("grad W1")
    size, error = np.abs(e.want.value), np.abs(e.got - e.want.value)
    needed = (m.bound + error) / size
    (found,) = [f for f in judge(case, trace) if f.quantity == "grad W1"]
    assert found.power is not None
    assert found.power.median == pytest.approx(np.median(needed), rel=1e-6)
    index = np.unravel_index(np.argsort(needed, axis=None)[needed.size // 2], needed.shape)
    toward = np.sign((e.got - e.want.value)[index] * e.want.value[index]) or 1.0
    margin = 2 * np.finfo(dtype).eps / needed[index] + 0.02
    for share, seen in ((1 + margin, True), (1 - margin, False)):
        factor = np.ones(size.shape)
        factor[index] -= toward * needed[index] * share
        assert planted(case, trace, "W1", factor) is seen


def test_nothing_is_promised_where_nothing_is_passed():
    case = case_of("float64", 0)
    trace = backprop(case)
    trace.grad["W1"] = -trace.grad["W1"]
    found = {f.quantity: f for f in judge(case, trace)}
    assert found["grad W1"].verdict is Verdict.MISMATCH
    assert found["grad W1"].power is None
    assert found["grad W2"].power is not None


def test_the_report_says_it_for_every_dtype():
    said = str(check(case_of("float64", 0), backprop))
    assert "float64: a relative fault of" in said
    assert "float32: a relative fault of" in said
