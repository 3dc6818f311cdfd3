"""check: the flow from cases to a report, its truth value, its exit codes, its renderings."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import gradparity as gp
from gradparity.adapters.base import AdapterError
from gradparity.comparisons import Finding, Report, Run, Verdict
from gradparity.comparisons.check.check import check
from gradparity.comparisons.findings.finding import exit_code
from gradparity.core import Affine, Case, CrossEntropy, ReLU, Tanh, backprop, layered
from gradparity.core.network.quantity import Quantity


def small() -> Case:
    return Case.random(layered([Affine(4, 3), Tanh(), Affine(3, 2)], CrossEntropy()), batch=3)


def wrong(case: Case) -> gp.Trace:
    trace = backprop(case)
    trace.grad["W1"] = trace.grad["W1"] * 1.7  # no convention
    return trace


@pytest.fixture(scope="module")
def of_both() -> Report:
    return check(small(), "torch", "jax")


def test_parity_is_true_and_exit_code_zero(of_both):
    report = of_both
    assert bool(report) is True
    assert report.exit_code == 0
    assert [run.column for run in report.runs] == [
        "torch float64",
        "jax float64",
        "torch float32",
        "jax float32",
    ]


def test_a_mismatch_is_false_and_named_with_both_values():
    report = check(small(), wrong)
    assert bool(report) is False
    assert report.exit_code == 1
    lines = str(report).splitlines()
    told = lines[next(i for i, line in enumerate(lines) if "MISMATCH" in line) - 3 :]
    assert told[0].startswith("grad W1 at node")
    assert lines[-1].startswith("NO PARITY")
    worst = report.runs[0].worst
    assert worst.got == pytest.approx(1.7 * worst.expected)


def test_a_fault_of_the_loss_is_at_the_loss():
    def mine(case: Case) -> gp.Trace:
        trace = backprop(case)
        trace.grad["Div"] = trace.grad["Div"] * 1.7
        return trace

    report = check(small(), mine, dtypes=["float64"])
    assert "mismatch in grad Div at the loss: " in repr(report)
    assert "\ngrad Div, at the loss, op " in gp.testing.diagnosis(report)
    assert "\ngrad Div at the loss, " in str(report)


def test_a_fault_in_float32_alone_is_told_apart_from_rounding():
    def low(case: Case) -> gp.Trace:
        trace = backprop(case)
        if case.dtype == np.float32:
            trace.grad["b1"][0] *= np.float32(1.0001)
        return trace

    report = check(small(), low)
    assert [r.verdict for r in report.runs if r.dtype == "float64"] != [Verdict.MISMATCH]
    assert report.exit_code == 1


def test_float64_is_asked_even_if_only_float32_was_wanted():
    asked = []

    def slow(case: Case) -> gp.Trace:
        asked.append(case.dtype.name)
        trace = backprop(case)
        if case.dtype == np.float32:  # all elements, between 10 sigma and the worst case
            trace.value["z1"] = trace.value["z1"] * np.float32(1 + 2e-5)
        return trace

    case = Case.random(layered([Affine(2048, 32)], CrossEntropy()), batch=16)
    check(case, slow, dtypes=["float32"])
    assert asked in (["float32"] * 2, ["float32", "float64", "float32"])  # a second call last


def test_torch_against_jax_is_a_conclusion_from_both(of_both):
    (difference, *_) = of_both.differences
    assert (difference.first, difference.second, difference.parity) == ("torch", "jax", True)
    (difference, *_) = check(small(), "torch", wrong).differences
    assert difference.parity is False
    assert difference.quantity == "grad W1"
    assert difference.units > 1e10


def test_different_subgradients_are_not_called_rounding():
    case = Case(layered([ReLU()], gp.core.LinearLoss()), {}, np.zeros((1, 2)), np.ones((1, 2)))
    report = check(case, "torch", backprop)
    assert report.exit_code == 2  # torch's gradients are all zero, which is valid only at kinks
    assert report.differences[0].choices
    assert Verdict.SUBGRADIENT in {f.verdict for _, f in report.findings()}
    assert "network: 1, valid: [0, 1]" in str(report)


def finding(verdict: Verdict) -> Finding:
    return Finding("grad W1", "z1", "Affine(4, 3)", verdict, 12)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ([], 2),
        ([Verdict.VACUOUS], 2),
        ([Verdict.EXACT, Verdict.VACUOUS], 0),
        ([Verdict.ROUNDING, Verdict.SUBGRADIENT], 0),
        ([Verdict.ROUNDING, Verdict.INCONCLUSIVE], 2),
        ([Verdict.INCONCLUSIVE, Verdict.MISMATCH], 1),
        ([Verdict.IMPRECISE, Verdict.EXACT], 1),
        ([Verdict.CONVENTION, Verdict.VACUOUS], 1),
    ],
)
def test_exit_codes(verdicts, code):
    findings = [finding(v) for v in verdicts]
    assert exit_code(findings) == code
    report = Report((Run("case", "torch", "float64", tuple(findings)),) if findings else ())
    assert report.exit_code == code
    assert bool(report) is (code == 0)
    assert str(report)


def test_nothing_compared_is_no_parity():
    report = check([], "torch")
    assert report.exit_code == 2
    assert "nothing was compared" in str(report)


def test_text_fits_eighty_columns_and_has_no_escape_codes():
    text = str(check([small(), dataclasses.replace(small(), name="other")], "torch", "jax"))
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_json_is_versioned_and_has_no_nan_literals():
    def broken(case: Case) -> gp.Trace:
        trace = backprop(case)
        trace.grad["W1"][0, 0] = np.nan
        return trace

    def refuse(literal: str) -> None:
        raise AssertionError(f"{literal} is not JSON")

    document = json.loads(check(small(), broken).to_json(), parse_constant=refuse)
    assert document["schema"] == "gradparity/report/1"
    assert document["exit_code"] == 1
    assert document["parity"] is False
    nans = [f for f in document["runs"][0]["findings"] if f["got"] == "nan"]
    assert nans[0]["quantity"] == "grad W1"
    assert document["environment"]["gradparity"]


def test_check_is_reproducible():
    assert check(small(), "torch").to_json() == check(small(), "torch").to_json()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: check(small(), "tensorfloat"), AdapterError, "tensorfloat"),
        (lambda: check(small(), dtypes=["longdouble"]), ValueError, "longdouble"),
        (lambda: check("digits"), TypeError, "str"),
        (lambda: check(small(), 3), TypeError, "3"),
        (lambda: check(small(), dtypes=["foo"]), ValueError, "foo"),
        (lambda: check(small(), backprop, allow=["summ"]), ValueError, "summ"),
    ],
)
def test_bad_input_is_named(call, error, says):
    with pytest.raises(error) as raised:
        call()
    assert says in str(raised.value)


def test_zero_gradients_everywhere_are_unknown_however_right_they_are():
    net = layered([Affine(4, 3), Tanh()], gp.core.LinearLoss())
    case = Case.random(net, batch=3)
    report = check(Case(net, case.params, case.x, 0 * case.d), backprop)
    assert report.exit_code == 2
    assert "not tested" in str(report)


def test_an_implementation_cannot_hide_behind_the_name_of_another():
    def bad(case: Case) -> gp.Trace:
        return wrong(case)

    for pair in ((bad, backprop), (backprop, bad)):
        functions = [lambda case, f=f: f(case) for f in pair]
        report = check(small(), *functions)
        assert report.exit_code == 1
        assert len({run.column for run in report.runs}) == 4

    class Torch:
        name = "torch"
        run = staticmethod(wrong)

    report = check(small(), Torch(), "jax", "jax")
    assert report.exit_code == 1
    assert len(report.runs) == 4


def test_names_are_no_markup():
    report = check(dataclasses.replace(small(), name="[bold]a[/zz]"), "torch")
    assert "[bold]a[/zz]" in str(report)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"about": ["a"]}, r"about is \['a'\]; give a dict of case name"),
        ({"progress": 3}, "progress is 3; give a function of a message"),
        ({"allow": None}, "allow is None; give a list of names"),
        ({"device": "cuda"}, "device is 'cuda', and mine would not be given it: a function"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(given, said):
    def mine(case):
        raise AssertionError

    with pytest.raises((TypeError, ValueError), match=said):
        check(small(), mine, **given)


def test_a_device_is_given_to_the_adapters_among_functions():
    assert check(small(), "torch", backprop, device="cpu", progress=None, about=None)


def test_outputs_that_are_no_probabilities_are_refused_with_the_remedy():
    net = layered([Affine(4, 3)], CrossEntropy(on="probabilities"))
    with pytest.raises(ValueError, match=r"the output y.*Softmax\(\), or give on='logits'"):
        check(Case.random(net), "torch")


@pytest.mark.parametrize(
    ("spoil", "hint"),
    [
        (lambda g: 3 * g, "every element is 3 times the formula"),
        (lambda g: -g, "every element is -1 times the formula"),
        (lambda g: 0 * g, "every element is zero"),
        (lambda g: g[:, ::-1].copy(), "columns are in reverse order"),
        (lambda g: np.roll(g, 1, 0), "rows shifted by one"),
    ],
)
def test_why_it_is_wrong_is_said(spoil, hint):
    def spoilt(case: Case) -> gp.Trace:
        trace = backprop(case)
        trace.grad["W1"] = spoil(trace.grad["W1"])
        return trace

    assert hint in " ".join(str(check(small(), spoilt, dtypes=["float64"])).split())


def clamped(case: Case) -> Case:
    """A row of zeros in front of a clamp without bias: exactly at its kink."""
    x = np.array(case.x)
    x[0] = 0.0
    return Case(case.network, case.params, x, case.d, "clamped", twin={"y1": "clamp"})


def test_it_is_said_who_took_what_at_a_kink_and_whether_that_is_usual():
    ops = [Affine(4, 3, bias=False), ReLU(), Affine(3, 2)]
    case = clamped(Case.random(layered(ops, CrossEntropy()), batch=5, dtype="float64"))
    report = check(case, "torch", "jax", dtypes="float64")
    assert report.exit_code == 0
    kinks = {run.adapter: f.kinks for run, f in report.findings() if f.kinks}
    assert {name: k.count for name, k in kinks.items()} == {"torch": 3, "jax": 3}
    for k in kinks.values():
        assert list(k.taken) == [k.usual]  # measured elsewhere, and the same
    (difference,) = report.differences
    took = {name: next(iter(k.taken)) for name, k in kinks.items()}
    if took["torch"] != took["jax"]:  # they differ up to torch 2.13
        (why,) = difference.why
        assert why.startswith("3 elements of grad z1 -> y1 differ at the kink of ReLU(")
        assert f"torch takes {took['torch']} and jax {took['jax']}" in why
        assert why.split(" differ")[0] in str(report)
    else:
        assert not difference.why


def test_an_unusual_choice_at_a_kink_is_told_from_the_usual_one():
    """An adapter that takes another slope in this network than it does anywhere else."""

    class Moody:
        name = "moody"

        def versions(self) -> dict[str, str]:
            return {}

        def run(self, case, *, dtype=None, device=None):
            case = case if dtype is None else case.astype(dtype)
            if case.name != "clamped":
                return backprop(case)
            ops = [Affine(4, 3, bias=False), ReLU(subgradient=0.25), Affine(3, 2)]
            return backprop(Case(layered(ops, CrossEntropy()), case.params, case.x, case.d))

        def run_all(self, cases, *, dtype=None, device=None):
            return [self.run(case, dtype=dtype) for case in cases]

        def build(self, network, params):
            return dict(params)

        def export(self, network, native):
            return dict(native)

    ops = [Affine(4, 3, bias=False), ReLU(), Affine(3, 2)]
    case = clamped(Case.random(layered(ops, CrossEntropy()), batch=5))
    report = check(case, Moody(), dtypes="float64")
    (kinks,) = [f.kinks for _, f in report.findings() if f.kinks]
    assert (list(kinks.taken), kinks.usual) == (["0.25"], "1")
    assert report.runs[0].verdict is Verdict.SUBGRADIENT


def test_a_sum_that_is_meant_is_excused_once():
    def squared(case: Case) -> gp.Trace:
        network = gp.Network(*case.network.nodes, divergence=CrossEntropy(), reduction="sum")
        trace = backprop(Case(network, case.params, case.x, case.d))
        trace.grad["W1"] = trace.grad["W1"] * case.T
        return trace

    case = Case.random(small().network, batch=6)
    report = check(case, squared, dtypes="float64", allow=["sum"])
    assert report.exit_code == 1
    assert [f.quantity for _, f in report.findings() if f.parity is False] == ["grad W1"]


def test_an_implementation_without_float64_gives_no_evidence():
    def single(case: Case) -> dict[str, np.ndarray]:
        if case.precision.name == "float64":
            raise RuntimeError("no float64")
        g = backprop(case).grad
        return {f"grad {p}": g[p] * np.float32(1 + 3e-6) for p in case.params}

    report = check(small(), single, dtypes=["float32"])
    assert report.exit_code in (1, 2)


def test_a_fault_in_low_precision_alone_is_no_lack_of_precision_end_to_end():
    def negated(case: Case) -> dict[str, np.ndarray]:
        g = backprop(case).grad
        sign = g["W1"].dtype.type(1 if case.precision.name == "float64" else -1)
        return {"grad W1": sign * g["W1"]}

    for dtype in ("float32", "bfloat16"):
        report = check(small(), negated, dtypes=["float64", dtype])
        assert [r.verdict for r in report.runs] == [report.runs[0].verdict, Verdict.MISMATCH]


def test_dtypes_of_each_case() -> None:
    """The cases that are named are checked in their dtypes, others in both; a wrong one is told."""
    cases = [dataclasses.replace(small(), name=name) for name in ("a", "b", "c")]

    def mine(case: Case) -> gp.Trace:
        trace = backprop(case)
        if case.name == "b" and case.precision.name == "float32":
            trace.grad["W1"] = 2 * trace.grad["W1"]
        return trace

    report = check(cases, mine, dtypes={"a": ["float64"], "b": ["float32"]})
    assert [(run.case, run.dtype) for run in report.runs] == [
        ("a", "float64"), ("c", "float64"), ("b", "float32"), ("c", "float32"),
    ]  # fmt: skip
    assert {f.quantity for run, f in report.findings() if f.parity is False} == {
        Quantity.parse("grad W1")
    }
    assert report.exit_code == 1
    with pytest.raises(ValueError, match="'d', which is none of the cases"):
        check(cases, mine, dtypes={"d": ["float64"]})
