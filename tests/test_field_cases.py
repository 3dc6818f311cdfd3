"""Problems that people reported: the fault is found where it is, and correct code passes."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import gradparity as gp

pytest.importorskip("torch")
pytest.importorskip("jax")
pytest.importorskip("optax")

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "field-cases.md"
MODULES = "field_cases", "field_case", "field_ports", "field_functions"


class Right(NamedTuple):
    """The right answer on a fault.

    Attributes
    ----------
    quantity, node, reason : of the first result that is wrong; the reason as a regular expression.
    """

    quantity: str
    node: str
    reason: str


FAULTS = {
    "F01": Right("value convolution_1", "convolution_1",
                 r"padding is \(\(1, 1\), \(1, 1\)\) here and same there"),
    "F02": Right("value native_layer_norm_1", "native_layer_norm_1",
                 "eps is 1e-05 here and 1e-06 there"),
    "F04": Right("grad x", "ISRLU_1", "backward leaves out what arrives"),
    "F05": Right("value convolution_1", "convolution_1", r"mirrored along the axes \(2, 3\) there"),
    "F06": Right("grad arg0", "embedding_1", "row 0 is zero here alone, such as with padding"),
    "F07": Right("value nll_loss_forward_1", "nll_loss_forward_1",
                 "in parts of 19 and 5.* count 0.5 and 0.5 .* they count 0.7917 and 0.2083"),
    "F08": Right("grad arg0", "Pool_1", "its gradient is .* and the formula gives 0"),
    "F10": Right("value W", "W", "at step 1: .* coupled, .* decoupled"),
    "F11": Right("value addmm_1", "addmm_1", r"axes, .*order .*\(2, 3, 3, 3\) and transposed"),
    "F12": Right("grad weight_ih_l0", "ByHand_1", "the terms through .* are left out"),
    "F13": Right("grad z1", "y1", "the Jacobian's diagonal alone"),
    "F14": Right("value mul_1", "mul_1",
                 "weighted by the weight of each class here and by that of the label there"),
    "F15": Right("state running_mean", "running_mean", "keeps 0.9 .* here and 0.1 there: momentum"),
}  # fmt: skip
#: Numbers that the program itself makes NaN: right by its formulas, so nothing is accused.
UNKNOWN = {
    "F16": Right("grad reduce_sum_1 -> sqrt_1", "sqrt_1",
                 "inf begins here: 1 of 2 .*; its input is 0 there, as at a norm of zeros"),
    "F17": Right("value _softmax_1", "_softmax_1", r"row \[1\] of the softmax .* is hidden by the"),
}  # fmt: skip
CORRECT = ["F03", "F09"]


@pytest.fixture(scope="module")
def cases() -> Iterator[ModuleType]:
    """The example that has the cases."""
    sys.path.insert(0, str(ROOT / "examples"))
    yield importlib.import_module("field_cases")
    sys.path.remove(str(ROOT / "examples"))
    for name in MODULES:
        sys.modules.pop(name, None)


def first(report: gp.Report, parity: bool | None) -> Any:
    """The first result of this parity that follows from no other."""
    return next(f for _, f in report.findings() if f.parity is parity and not f.follows)


def test_every_case_has_an_answer(cases: ModuleType) -> None:
    assert sorted(cases.CASES) == sorted([*FAULTS, *UNKNOWN, *CORRECT])
    assert len(cases.CASES) == 17


@pytest.mark.parametrize("name", [*FAULTS, *UNKNOWN, *CORRECT])
def test_a_case(cases: ModuleType, name: str) -> None:
    wrong, right = cases.run(name)
    assert [r.exit_code for r in right] == [0] * len(right), [str(r) for r in right]
    if name in CORRECT:
        assert wrong is None
        return
    expected, parity = (FAULTS[name], False) if name in FAULTS else (UNKNOWN[name], None)
    assert wrong.exit_code == (1 if name in FAULTS else 2)
    found = first(wrong, parity)
    assert (str(found.quantity), found.node) == (expected.quantity, expected.node)
    assert re.search(expected.reason, found.note)


@pytest.mark.xfail(
    strict=True, reason="the program's own operations give NaN, as their formulas do"
)
@pytest.mark.parametrize("name", UNKNOWN)
def test_numbers_that_are_not_finite_are_a_fault(cases: ModuleType, name: str) -> None:
    assert cases.run(name).wrong.exit_code == 1


def test_a_padding_row_without_an_id_is_not_tested(cases: ModuleType) -> None:
    _, (same, unused) = cases.run("F06")
    assert "nothing is tested at that row" not in same.runs[0].about
    assert "no id is 0, so nothing is tested at that row of arg0" in unused.runs[0].about


def test_choices_at_ties_are_subgradients(cases: ModuleType) -> None:
    _, (_, last, even) = cases.run("F08")
    for report in (last, even, *cases.run("F09").right):
        assert "subgradient" in {str(f.verdict) for _, f in report.findings()}


def test_the_page_is_current(cases: ModuleType) -> None:
    text = PAGE.read_text(encoding="utf-8")
    found = text.partition("<!-- field -->\n")[2].partition("\n<!-- /field -->")[0]
    assert found.splitlines() == cases.field().splitlines()
