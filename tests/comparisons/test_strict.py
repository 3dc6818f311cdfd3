"""`strict`: lossy is no parity, and the conclusion says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Finding, Verdict
from gradparity.core import L2, Affine, Case, Quantity, Tanh, backprop, layered


def saturated() -> Case:
    """A tanh far out, where 1 - y^2 keeps few digits."""
    z = np.linspace(0.0, 9.0, 19)[:, None]
    params = {"W1": np.ones((1, 1)), "b1": np.zeros(1)}
    return Case(layered([Affine(1, 1), Tanh()], L2()), params, z, np.full((19, 1), 2.0))


def textbook(case: Case) -> Any:
    """The backward pass with 1 - y^2."""
    trace = backprop(case)
    y = trace.value["y1"]
    dz = trace.grad["y1"] * (1 - y * y)
    trace.grad["z1"] = trace.edge_grad["z1", "y1"] = dz
    trace.grad["W1"], trace.grad["b1"] = case.x.T @ dz, dz.sum(0)
    trace.grad["x"] = trace.edge_grad["x", "z1"] = dz @ case.params["W1"].T
    return trace


def test_by_default_lossy_is_parity() -> None:
    report = gp.check(saturated(), textbook)
    assert Verdict.LOSSY in {f.verdict for _, f in report.findings()}
    assert report.exit_code == 0
    assert "strict" not in report.diagnosis()


def test_strictly_lossy_is_none_and_says_the_digits() -> None:
    report = gp.check(saturated(), textbook, strict=True)
    assert report.exit_code == 1
    assert {f.verdict for _, f in report.findings() if f.parity is False} == {Verdict.LOSSY}
    said = report.diagnosis()
    assert "1 - y^2" in said
    assert "digits are left" in said
    assert said.endswith("strict: lossy is no parity")
    assert str(report).rstrip().endswith("strict: lossy is no parity")
    assert gp.Report.from_json(report.to_json()) == report


def test_strictly_nothing_else_changes() -> None:
    report = gp.check(saturated(), backprop, strict=True)
    assert report
    assert report.diagnosis().endswith("strict: lossy is no parity")


def test_an_allowed_convention_stays_parity() -> None:
    found = Finding(Quantity("grad W1"), "z1", "", Verdict.CONVENTION, 1, declared=True)
    assert found.parity


@pytest.mark.parametrize(("strict", "code"), [(False, 0), (True, 1)])
def test_of_an_op(strict: bool, code: int) -> None:
    def backward(dz: Any, y: Any) -> Any:
        return dz * (1 - np.tanh(y) ** 2)

    assert gp.check_op(np.tanh, backward, reference=Tanh(), strict=strict).exit_code == code
    own = gp.OwnOp(np.tanh, backward, reference=Tanh())
    reports = [check() for check in own.checks(strict=strict).values()]
    assert all(reports) is not strict


def test_of_an_op_with_a_width() -> None:
    own = gp.OwnOp(np.tanh, lambda dz, y: dz, reference=Tanh(), width=4)
    assert own.checks(strict=True)["linearity"]()


def test_of_ones_own_network() -> None:
    own = gp.OwnNetwork(saturated(), textbook)
    assert own.checks()["case-float32"]()
    assert not own.checks(strict=True)["case-float32"]()
    assert not gp.OwnNetwork(saturated(), textbook, strict=True).checks()["case-float32"]()
