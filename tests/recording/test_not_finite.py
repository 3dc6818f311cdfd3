"""A report of NaN or inf begins with the place where it enters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.findings.finding import Finding
from gradparity.comparisons.measure.measured import Measured
from gradparity.comparisons.report.causes import causes

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

pytestmark = pytest.mark.usefixtures("seeded")


def only_cause(step: Callable[[], Any], *, code: int = 2) -> Finding:
    """The finding of the only cause in the report of a step."""
    with gp.record() as seen:
        step()
    report = gp.check(seen)
    assert report.exit_code == code
    (cause,) = causes(report)
    assert cause.following
    return cause.finding


@pytest.mark.parametrize(("number", "kind"), [(math.nan, "NaN"), (math.inf, "inf")])
def test_of_the_batch(number: float, kind: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 5))
    x = torch.randn(6, 3)
    x[2, 1] = number
    found = only_cause(lambda: model(x).square().sum().backward())
    assert found.quantity == "value addmm_1"
    assert found.module == "0"
    told = f"{kind} enters here: 1 of 18 elements of an input of shape [6, 3] is {kind}"
    assert found.note == told


def test_of_a_parameter_behind_an_op_that_only_moves_it() -> None:
    w = nn.Parameter(torch.randn(3, 3))
    with torch.no_grad():
        w[0, 0] = math.nan
    found = only_cause(lambda: w.view(9).exp().sum().backward())
    assert found.note == "NaN enters at view_1: 1 of 9 elements of parameter_1 is NaN"


def test_that_an_op_makes() -> None:
    w = nn.Parameter(torch.tensor([-1.0, 2.0, 3.0]))
    found = only_cause(lambda: (w * 2).log().square().sum().backward())
    assert found.quantity == "value log_1"
    begins = "NaN begins here: 1 of 3 elements of the result is NaN, and every input is finite"
    assert found.note == begins


def test_that_was_inf_before() -> None:
    w = nn.Parameter(torch.tensor([0.0, 2.0, 3.0]))
    found = only_cause(lambda: ((w * 2).log() * 0).sum().backward())
    assert found.quantity == "value log_1"
    assert found.note.startswith("inf begins here: 1 of 3 elements of the result is inf")


def test_that_the_backward_of_an_op_makes() -> None:
    w = nn.Parameter(torch.tensor([0.0, 2.0, 3.0]))
    found = only_cause(lambda: (w * 2).sqrt().sum().backward())
    assert found.quantity == "grad mul_1 -> sqrt_1"
    assert found.note.startswith("inf begins here: 1 of 3 elements of this gradient is inf")


def test_of_a_hidden_row() -> None:
    w = nn.Parameter(torch.randn(3, 3))
    mask = torch.zeros(3, 3)
    mask[0] = -math.inf
    found = only_cause(lambda: ((w @ w + mask).softmax(-1) @ w).sum().backward())
    assert found.quantity == "value _softmax_1"
    assert found.note.startswith("row [0] of the softmax at node '_softmax_1' is hidden")


def test_two_that_have_nothing_to_do_with_each_other() -> None:
    v, w = nn.Parameter(torch.tensor([-1.0, 2.0])), nn.Parameter(torch.tensor([-1.0, -2.0, 2.0]))
    with gp.record() as seen:
        (v.log().sum() + w.sqrt().sum()).backward()
    found = {c.finding.quantity for c in causes(gp.check(seen))}
    assert found == {"value log_1", "value sqrt_1"}


def test_a_mask_alone_is_no_cause() -> None:
    w = nn.Parameter(torch.randn(3, 3))
    mask = torch.full((3, 3), -math.inf).triu(1)
    with gp.record() as seen:
        ((w @ w + mask).softmax(-1) @ w).sum().backward()
    assert gp.check(seen).exit_code == 0


def test_a_wrong_gradient_elsewhere_is_not_excused() -> None:
    v, w = nn.Parameter(torch.randn(3)), nn.Parameter(torch.tensor([-1.0, 2.0, 3.0]))
    with gp.record() as seen:
        y = v.tanh()
        y.register_hook(lambda g: g * 2)
        (y.square().sum() + w.log().sum() * 0).backward()
    report = gp.check(seen)
    assert report.exit_code == 1
    assert causes(report)[0].finding.convention == "gradient-hook"


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_mask_that_overflows_is_right(dtype: str) -> None:
    """A mask of the lowest number is added twice, or cast to a format of fewer digits."""
    low = getattr(torch, dtype)
    x = torch.tensor([[0.1, 0.2, 0.3]], dtype=low, requires_grad=True)
    mask = torch.tensor([[0.0, 0.0, torch.finfo(low).min]], dtype=low)
    wide = torch.tensor([[0.0, 0.0, torch.finfo(torch.float64).min]], dtype=torch.float64)
    with gp.record() as step:
        y = (x + mask) + mask
        z = (x.double() + wide).to(low)
        assert y[0, 2] == z[0, 2] == -torch.inf
        (torch.softmax(y.float(), -1) + torch.softmax(z.float(), -1)).square().sum().backward()
    report = gp.check(step)
    assert report.exit_code == 0, report


def test_an_infinite_result_below_the_largest_number_is_wrong() -> None:
    want = np.array([1e38, 3e38, 4e38, 4e38, -4e38])
    got = np.array([np.inf, np.inf, np.inf, -np.inf, -np.inf])
    measured = Measured.of(got, want, np.full(5, 1e30), 3.4028234663852886e38)
    assert measured.outside.tolist() == [True, True, False, False, False]
    assert np.broadcast_to(measured.undecidable, 5).tolist() == [False, False, False, True, False]
