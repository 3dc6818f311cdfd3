"""Whatever an implementation does, it is told what, and everybody else is judged all the same."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Finding, Verdict
from gradparity.comparisons.check.check import check
from gradparity.core import (
    L2,
    Add,
    Affine,
    BatchNorm,
    Case,
    CrossEntropy,
    Network,
    Node,
    ReLU,
    Tanh,
    backprop,
    layered,
)


def small(**numbers: Any) -> Case:
    return Case.random(
        layered([Affine(4, 3), Tanh(), Affine(3, 2)], CrossEntropy()), batch=5, **numbers
    )


def finals(case: Case) -> dict[str, Any]:
    trace = backprop(case)
    return {"Err": trace.Err, **{f"grad {name}": trace.grad[name] for name in case.params}}


def told(implementation: Any, case: Case | None = None) -> dict[str, Finding]:
    """Its findings in float64, while the core's own run beside it is at parity."""
    report = check(case or small(), implementation, backprop, dtypes=["float64"])
    theirs, ours = report.runs
    assert ours.exit_code == 0
    return {f.quantity: f for f in theirs.findings}


class TestOneThatRaises:
    def test_is_told_with_the_line_and_leaves_the_rest_to_run(self) -> None:
        def overflows(case: Case) -> Any:
            raise ArithmeticError("too large for me")

        report = check([small(seed=1), small(seed=2)], overflows, backprop)
        assert report.exit_code == 2
        assert len(report.runs) == 8
        assert {run.exit_code for run in report.runs if run.adapter == "backprop"} == {0}
        (finding,) = told(overflows).values()
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert "it raised ArithmeticError: too large for me (test_implementations.py:" in str(
            finding
        )
        assert "in overflows)" in finding.note
        assert "it raised ArithmeticError" in " ".join(str(report).split())

    def test_on_one_case_is_judged_on_the_others(self) -> None:
        def dislikes_one(case: Case) -> Any:
            if case.T == 1:
                raise ValueError("a batch of one")
            return finals(case)

        cases = [small(), Case.random(small().network, batch=1), small(seed=3)]
        report = check(cases, dislikes_one, dtypes=["float64"])
        assert [run.exit_code for run in report.runs] == [0, 2, 0]
        assert report.exit_code == 2

    def test_on_one_dtype_only(self) -> None:
        def only_float64(case: Case) -> Any:
            if case.dtype != np.float64:
                raise TypeError("float64 only")
            return finals(case)

        report = check(small(), only_float64)
        assert {run.dtype: run.exit_code for run in report.runs} == {"float64": 0, "float32": 2}

    def test_may_quit_but_not_interrupt(self) -> None:
        def quits(case: Case) -> Any:
            raise SystemExit(0)

        def interrupted(case: Case) -> Any:
            raise KeyboardInterrupt

        assert "it raised SystemExit: 0" in told(quits)["everything"].note
        with pytest.raises(KeyboardInterrupt):
            check(small(), interrupted)

    def test_in_the_middle_of_a_framework_is_named_by_the_users_line(self) -> None:
        torch = pytest.importorskip("torch")

        def wrong_shape(case: Case) -> Any:
            return {"grad W1": torch.tensor(case.x) @ torch.tensor(case.x)}

        note = told(wrong_shape)["everything"].note
        assert "RuntimeError" in note
        assert "in wrong_shape)" in note


class TestOneThatReturns:
    @pytest.mark.parametrize(
        ("returned", "said"),
        [
            (None, "it returned None; return a Trace or a dict"),
            (3, "it returned a int, 3; return a Trace or a dict"),
            ((1.0, 2.0), "it returned a tuple"),
            ({}, "no result was returned; give any of 'Err', 'Div'"),
        ],
    )
    def test_nothing_to_compare_is_unknown(self, returned: Any, said: str) -> None:
        (finding,) = told(lambda case: returned).values()
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert said in finding.note

    @pytest.mark.parametrize("name", ["W1", "grad_W1", "dW1", "grad W 1", "grad w1"])
    def test_a_wrong_name_is_asked_back(self, name: str) -> None:
        found = told(lambda case: {**finals(case), name: np.zeros((4, 3))})
        assert found[name].verdict is Verdict.INCONCLUSIVE
        assert "it was not compared; did you mean 'grad W1'? there are 'Err'" in found[name].note
        assert all(f.parity for q, f in found.items() if q != name)

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("grad m_n", "the buffer 'm_n' has no gradient, so leave it out; there are 'Err'"),
            ("m_n", "the buffer 'm_n' has no gradient, so leave it out; there are"),
            ("grad n.mean", "the state 'n.mean' has no gradient, so leave it out; there are"),
            ("n.mean", "did you mean 'value n.mean'?"),
            ("grad m", "the input 'm' has no gradient, so leave it out; there are"),
        ],
    )
    def test_the_gradient_of_what_has_none_is_refused_as_such(self, name: str, said: str) -> None:
        nodes = Node("n", BatchNorm(3), "x"), Node("y", Add(), "n", "m")
        network = Network(*nodes, divergence=L2(), inputs=("x", "m"), fixed=("m",))
        case = Case.random(network, x={"x": np.eye(4, 3), "m": np.ones((4, 3))})
        note = told(lambda case: {"grad x": backprop(case).grad["x"], name: np.zeros(3)}, case)
        assert note[name].verdict is Verdict.INCONCLUSIVE
        assert said in note[name].note

    def test_the_remedy_fits_the_dtype(self) -> None:
        def noted(dtype: Any, quantity: str = "grad W1") -> str:
            found = told(lambda case: {"grad W1": finals(case)["grad W1"].astype(dtype)})
            return found[quantity].note

        assert "only inside jax.enable_x64(True)" in noted(np.float32, "dtype")
        assert noted(object).endswith("convert it to an array of numbers, such as with "
                                      ".astype(np.float64)")  # fmt: skip
        assert noted(int).endswith("; compute in the dtype of x and the parameters")

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda g: np.ma.masked_less(g, np.inf), "is a masked array, 12 of whose 12 elements"),
            (lambda g: g[:2], "has shape (2, 3), expected (4, 3)"),
            (lambda g: g.ravel(), "has shape (12,), expected (4, 3)"),
            (lambda g: g.astype(np.float32), "has dtype float32, expected float64"),
            (lambda g: g.astype(int), "has dtype int64, expected float64"),
            (lambda g: g.astype(complex), "has dtype complex128, expected float64"),
            (lambda g: g.astype(object), "has dtype object, expected float64"),
            (lambda g: g.tolist(), "is a list, expected an array"),
            (lambda g: None, "is None, expected an array; did the backward pass get here?"),
            (lambda g: "W", "is a str, 'W', expected an array"),
        ],
    )
    def test_what_cannot_be_compared_is_a_mismatch_and_the_rest_is_judged(
        self, spoil: Any, said: str
    ) -> None:
        def careless(case: Case) -> Any:
            results = finals(case)
            return {**results, "grad W1": spoil(results["grad W1"])}

        found = told(careless)
        assert found["grad W1"].verdict is Verdict.MISMATCH
        assert found["grad W1"].final
        assert str(found["grad W1"]).startswith(f"MISMATCH  grad W1: {said}")
        assert all(f.parity for q, f in found.items() if q != "grad W1")

    def test_nan_is_a_mismatch_at_its_index(self) -> None:
        def spoilt(case: Case) -> Any:
            results = finals(case)
            results["grad W1"][2, 1] = np.nan
            return results

        finding = told(spoilt)["grad W1"]
        assert finding.verdict is Verdict.MISMATCH
        assert finding.index == (2, 1)
        assert np.isnan(finding.got)

    def test_a_weight_of_torch_in_its_own_layout_is_named(self) -> None:
        torch = pytest.importorskip("torch")

        def in_torch(case: Case) -> Any:
            return {"grad W1": torch.tensor(finals(case)["grad W1"].T.copy())}

        finding = told(in_torch)["grad W1"]
        assert finding.convention == "transposed"
        assert check(small(), in_torch, allow=["transposed"])


class TestATrace:
    @staticmethod
    def told(spoil: Any) -> dict[str, Finding]:
        def implementation(case: Case) -> gp.Trace:
            trace = backprop(case)
            spoil(trace)
            return trace

        return told(implementation)

    def test_that_lacks_something_is_judged_without_it(self) -> None:
        def forgets(trace: gp.Trace) -> None:
            del trace.grad["W1"], trace.value["y1"]

        found = self.told(forgets)
        lacking = {q for q, f in found.items() if f.parity is not True}
        assert lacking == {"grad W1", "value y1"}
        assert {found[q].note for q in lacking} == {"the trace lacks it"}
        assert found["grad b1"].parity

    def test_that_lacks_something_is_still_accused_of_what_is_wrong(self) -> None:
        def forgets_and_errs(trace: gp.Trace) -> None:
            del trace.value["y1"]
            trace.grad["b1"][0] *= 1.001

        assert self.told(forgets_and_errs)["grad b1"].verdict is Verdict.MISMATCH

    @pytest.mark.parametrize(
        ("spoil", "quantity", "said"),
        [
            (lambda t: t.grad.update(W1=t.grad["W1"][:2]), "grad W1", "has shape (2, 3)"),
            (lambda t: t.value.update(z1=t.value["z1"].tolist()), "value z1", "is a list"),
            (
                lambda t: t.value.update(z1=np.ma.masked_less(t.value["z1"], 0)),
                "value z1",
                "return a plain array, such as result.filled(0.0)",
            ),
            (lambda t: setattr(t, "Div", None), "Div", "is None"),
            (lambda t: setattr(t, "Err", "0.3"), "Err", "is a str, '0.3'"),
            (lambda t: setattr(t, "value", None), "value z1", "the trace lacks it"),
            (lambda t: t.grad.update(W9=1.0), "grad W9", "no such result"),
            (lambda t: setattr(t, "precision", "float32"), "everything", "is of float32"),
        ],
    )
    def test_that_is_unfit_says_where(self, spoil: Any, quantity: str, said: str) -> None:
        found = self.told(spoil)
        assert not found[quantity].parity
        assert said in found[quantity].note


class TestOneThatWrites:
    @pytest.mark.parametrize("name", ["x", "W1", "d"])
    def test_into_what_it_was_given_is_told_and_judged_on_the_original(self, name: str) -> None:
        def writes(case: Case) -> Any:
            results = finals(case)
            (case.params[name] if name in case.params else getattr(case, name))[1] += 1
            return results

        found = told(writes)
        assert found["inputs"].verdict is Verdict.MISMATCH
        assert f"it wrote into what it was given: {name}[1" in found["inputs"].note
        assert all(f.parity for q, f in found.items() if q != "inputs")

    def test_and_then_raises_is_told_both(self) -> None:
        def both(case: Case) -> Any:
            case.x[:] = 0
            raise ValueError("and now this")

        assert set(told(both)) == {"inputs", "everything"}

    def test_through_torch_and_the_numbers_it_computed_from_are_wrong(self) -> None:
        torch = pytest.importorskip("torch")

        def trains_first(case: Case) -> Any:
            torch.from_numpy(case.x).sub_(1.0)
            return finals(case)

        found = told(trains_first)
        assert found["inputs"].verdict is Verdict.MISMATCH
        assert found["grad W1"].verdict is Verdict.MISMATCH

    def test_in_place_of_the_shape(self) -> None:
        def reshapes(case: Case) -> Any:
            results = finals(case)
            case.params["b1"].shape = (3, 1)
            return results

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy deprecates it
            assert "b1 has shape (3, 1) and had (3,)" in told(reshapes)["inputs"].note

    def test_into_a_dict_of_its_own_is_fine(self) -> None:
        def tidies(case: Case) -> Any:
            results = finals(case)
            case.params.clear()
            return results

        assert all(f.parity for f in told(tidies).values())


def test_a_sparse_gradient_is_read_as_a_dense_one() -> None:
    torch = pytest.importorskip("torch")

    def sparse(case: Case) -> Any:
        results = finals(case)
        return {**results, "grad W1": torch.tensor(results["grad W1"]).to_sparse()}

    assert all(f.parity for f in told(sparse).values())


def test_a_trace_may_hold_its_error_as_an_array_of_one_number() -> None:
    def array(case: Case) -> Any:
        trace = backprop(case)
        return replace(trace, Err=np.asarray(trace.Err))

    assert all(f.parity for f in told(array).values())


def test_an_adapter_that_fails_on_one_case_is_judged_on_the_others() -> None:
    class Picky:
        name = "picky"

        def versions(self) -> dict[str, str]:
            return {}

        def run(self, case: Case, **_: Any) -> gp.Trace:
            return backprop(case)

        def run_all(self, cases: Any, **_: Any) -> list[gp.Trace]:
            if any(isinstance(n.op, ReLU) for case in cases for n in case.network.nodes):
                raise NotImplementedError("no relu here")
            return [backprop(case) for case in cases]

        def build(self, network: Any, params: Any) -> None: ...

        def export(self, network: Any, native: Any) -> None: ...

    relu = Case.random(layered([Affine(4, 3), ReLU()], CrossEntropy()), batch=5)
    report = check([small(), relu], Picky(), dtypes=["float64"])
    assert [run.exit_code for run in report.runs] == [0, 2]
    assert "it raised NotImplementedError: no relu here" in report.runs[1].findings[0].note


class TestASecondCall:
    def test_that_adds_to_the_first_is_a_mismatch(self) -> None:
        kept: dict[str, np.ndarray] = {}

        def forgets_zero_grad(case: Case) -> Any:
            for name, g in finals(case).items():
                kept[name] = kept.get(name, 0) + g
            return dict(kept)

        report = check(small(), forgets_zero_grad, dtypes=["float64"])
        bad = {f.quantity: f for _, f in report.findings() if not f.parity}
        assert set(bad) >= {f"grad {name}, second call" for name in small().params}
        assert "right at the first call, and not at a second" in bad["grad W1, second call"].note

    def test_of_a_replacing_function_too(self) -> None:
        torch = pytest.importorskip("torch")
        kept: list[Any] = []

        def stale(z: Any) -> Any:
            kept.append(torch.tanh(z))
            return kept[0]

        case = Case.random(layered([Affine(4, 3), Tanh()], CrossEntropy()), batch=5)
        own = gp.get_adapter("torch").with_overrides({Tanh: stale})
        assert not check(case, own, dtypes=["float64"])

    @pytest.mark.parametrize("second", [None, {"Err": 1.0}, RuntimeError("backward twice")])
    def test_that_fails_is_told(self, second: Any) -> None:
        calls: list[int] = []

        def once(case: Case) -> Any:
            calls.append(1)
            if len(calls) == 1:
                return finals(case)
            if isinstance(second, Exception):
                raise second
            return second

        report = check(small(), once, dtypes=["float64"])
        assert report.exit_code != 0
        told = [f for _, f in report.findings() if not f.parity]
        assert told
        assert all("second call" in f.quantity and "not at a second" in f.note for f in told)

    def test_that_is_the_same_is_not_told(self) -> None:
        calls = []

        def counted(case: Case) -> Any:
            calls.append(case.name)
            return finals(case)

        report = check([small(), small(seed=1)], counted)
        assert report
        assert not [f for _, f in report.findings() if "second" in f.quantity]
        assert len(calls) == 2 * 2 + 1  # every case and dtype, and one of them again


def test_a_result_in_place_of_a_function_is_refused_without_its_arrays() -> None:
    case = gp.Case.random(gp.layered([Affine(3, 2)], CrossEntropy()), batch=4)
    with pytest.raises(TypeError, match=r"a dict of \['grad W1'\]; pass the function") as raised:
        gp.check(case, {"grad W1": np.zeros((300, 200))})  # type: ignore[arg-type]
    assert len(str(raised.value)) < 200
    with pytest.raises(TypeError, match="a Trace; pass the function"):
        gp.check(case, gp.backprop(case))  # type: ignore[arg-type]


def test_a_module_is_refused_with_what_to_do() -> None:
    torch = pytest.importorskip("torch")
    case = gp.Case.random(gp.layered([Affine(3, 2)], CrossEntropy()), batch=4)
    with pytest.raises(TypeError, match="the module Linear; give a function of a case"):
        gp.check(case, torch.nn.Linear(3, 2))
