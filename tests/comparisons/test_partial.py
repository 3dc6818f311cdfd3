"""Results by name are judged at their own node wherever what they rest on was returned too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.comparisons import Verdict
from gradparity.comparisons.cases.suite import gated, shared_zero
from gradparity.comparisons.check.check import check
from gradparity.comparisons.judge.by_name import judge_results
from gradparity.core import (
    Affine,
    Case,
    CrossEntropy,
    LeakyReLU,
    RandomizedLeakyReLU,
    ReLU,
    Tanh,
    backprop,
    layered,
)

from random_cases import random_dag, random_layered

PASSES = {Verdict.EXACT, Verdict.ROUNDING, Verdict.SUBGRADIENT, Verdict.VACUOUS}


def deep(dtype: str = "float64") -> Case:
    ops = [op for _ in range(6) for op in (Affine(5, 5), Tanh())]
    return Case.random(layered([*ops, Affine(5, 3)], CrossEntropy(eps=0.01)), batch=7, dtype=dtype)


def everything(case: Case) -> dict[str, Any]:
    """As an implementation would return it: node gradients, not those of every use."""
    trace = backprop(case)
    drawn = {step.draw for step in case.network.body}  # what an op draws is not its result
    values = {name: value for name, value in trace.value.items() if name not in drawn}
    return {
        "Err": trace.Err,
        "Div": trace.Div,
        **{f"value {name}": value for name, value in values.items()},
        **{f"grad {name}": gradient for name, gradient in trace.grad.items()},
    }


def uses(case: Case) -> dict[str, Any]:
    return {f"grad {a} -> {b}": g for (a, b), g in backprop(case).edge_grad.items()}


def judged(case: Case, results: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {f.quantity: f for f in judge_results(case, results, **settings)}


def bad(found: dict[str, Any]) -> dict[str, str]:
    return {q: f.node for q, f in found.items() if f.verdict not in PASSES}


class TestWhereEverythingIsThere:
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_right_ones_pass_in_their_own_order_and_under_their_own_names(self, dtype: str) -> None:
        results = everything(deep(dtype))
        found = judged(deep(dtype), results)
        assert list(found) == list(results)
        assert not bad(found)

    @pytest.mark.parametrize("k", [1, 3, 6])
    def test_a_wrong_layer_is_named_and_nothing_else(self, k: int) -> None:
        """Later steps are computed from the wrong one, and are right."""
        case = deep()
        wrong = case.params[f"W{k}"].copy()
        wrong[1, 2] *= 1 + 1e-9
        # Every later value follows from the wrong weight; the gradient of it is another's.
        other = Case(case.network, {**case.params, f"W{k}": wrong}, case.x, case.d)
        found = judged(case, everything(other))
        assert set(bad(found).values()) == {f"z{k}"}

    def test_a_wrong_gradient_is_named_at_the_node_that_computed_it(self) -> None:
        case, results = deep(), everything(deep())
        results["grad y3"] = results["grad y3"] * (1 + 1e-9)
        found = judged(case, results)
        # y3's gradient comes out of z4; what comes after is no longer what follows from it.
        assert bad(found) == {"grad y3": "z4", "grad z3": "y3"}
        assert "Affine" in found["grad y3"].op
        assert not found["grad y3"].final
        assert found["grad W3"].final
        assert found["grad x"].final

    def test_bounds_do_not_grow_with_depth(self) -> None:
        case, results = deep(), everything(deep())
        finals = {q: results[q] for q in ("grad W1", "grad b1")}
        near, far = judged(case, results), judged(case, finals)
        assert near["grad W1"].bound < far["grad W1"].bound

    def test_the_gradient_of_x_alone_needs_only_what_arrives_and_the_values(self) -> None:
        case = Case.random(layered([Affine(4, 3)], CrossEntropy()), batch=5)
        results = {q: everything(case)[q] for q in ("grad z1", "grad x")}
        results["grad x"] = results["grad x"] * (1 + 1e-12)
        found = judged(case, results)
        assert bad(found) == {"grad x": "z1"}  # end to end its bound would be far wider

    def test_a_kink_is_judged_at_the_node(self) -> None:
        network = layered([Affine(3, 4, bias=False), ReLU(), Affine(4, 2)], CrossEntropy())
        case = Case.random(network, batch=6)
        x = np.array(case.x)
        x[2] = 0.0  # all four units of one instance exactly at zero
        case = Case(network, case.params, x, case.d)
        results = everything(case)
        dy = results["grad y1"][2]
        for slope, verdict in ((0.3, Verdict.SUBGRADIENT), (1.7, Verdict.MISMATCH)):
            results["grad z1"][2] = slope * dy
            results["grad W1"] = x.T @ results["grad z1"]
            results["grad x"] = results["grad z1"] @ case.params["W1"].T
            found = judged(case, results)
            assert found["grad z1"].verdict is verdict
            assert found["grad z1"].kinks.taken == {f"{slope:g}": 4}
            assert set(bad(found)) == ({"grad z1"} if slope > 1 else set())


class TestWhereSomeIsMissing:
    def test_the_rest_is_judged_from_end_to_end(self) -> None:
        case, results = deep(), everything(deep())
        del results["value y3"], results["grad z5"]
        results["grad W4"] = results["grad W4"] * (1 + 1e-6)  # its input is not there
        found = judged(case, results)
        assert set(bad(found)) == {"grad W4"}
        assert set(found) == set(results)

    @pytest.mark.sample(7)
    @pytest.mark.parametrize("seed", range(12))
    def test_any_subset_of_the_right_ones_passes(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        case = deep() if seed % 2 else gated()
        results = {q: a for q, a in everything(case).items() if rng.random() < 0.6}
        assert not bad(judged(case, results))

    def test_uses_of_a_value_can_be_given_one_by_one(self) -> None:
        case = gated()
        results = {**everything(case), **uses(case)}
        assert not bad(judged(case, results))
        results["grad z1 -> g1"] = results["grad z1 -> g1"] * (1 + 1e-9)
        found = judged(case, results)
        assert bad(found) == {"grad z1 -> g1": "g1", "grad z1": "z1"}

    def test_a_use_that_cannot_be_judged_at_its_node_is_judged_from_end_to_end(self) -> None:
        case = gated()
        results = {q: uses(case)[q] for q in ("grad z1 -> g1", "grad z2 -> Div")}
        assert not bad(judged(case, results))
        results["grad z1 -> g1"] = 1.5 * results["grad z1 -> g1"]
        assert bad(judged(case, results)) == {"grad z1 -> g1": "g1"}

    def test_a_sum_can_hide_which_use_is_wrong(self) -> None:
        """Two ReLUs at one zero: their sum alone is judged from end to end."""
        case = shared_zero()
        assert not bad(judged(case, everything(case)))

    def test_an_op_that_draws_needs_its_value(self) -> None:
        network = layered([Affine(4, 5), RandomizedLeakyReLU(), Affine(5, 2)], CrossEntropy())
        case = Case.random(network, batch=6)
        assert not bad(judged(case, everything(case)))
        results = everything(case)
        del results["value y1"]
        found = judged(case, results)
        assert found["grad z1"].verdict is Verdict.INCONCLUSIVE
        assert found["grad W1"].parity  # on its own dz


@pytest.mark.sample(9)
@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_random_networks_are_not_accused(seed: int, dtype: str) -> None:
    for case in (random_dag(seed, "normal"), random_layered(seed, deep=seed % 3 == 0)):
        case = case.astype(dtype)
        verdicts = {f.verdict for f in judge_results(case, {**everything(case), **uses(case)})}
        assert not verdicts & {Verdict.MISMATCH, Verdict.CONVENTION, Verdict.IMPRECISE}


class TestConventions:
    def test_sums_on_the_way_and_the_mean_in_the_parameters(self) -> None:
        """As many a course has it: dDiv/dz of each instance, and dW = y^T dz / T."""

        def course(case: Case) -> dict[str, Any]:
            results = everything(case)
            names = [n.name for n in case.network.nodes]
            results |= {f"grad {n}": results[f"grad {n}"] * case.T for n in (*names, "x")}
            return {q: a for q, a in results.items() if q != "grad Div"}

        case = Case.random(layered([Affine(4, 3), Tanh(), Affine(3, 2)], CrossEntropy()), batch=5)
        report = check(case, course, dtypes=["float64"])
        assert report.exit_code == 1
        said = {f.quantity: f.convention for _, f in report.findings() if f.convention}
        assert said["grad z2"] == "sum"
        assert said["grad W1"] == said["grad W2"] == "mean"
        assert check(case, course, allow=["sum", "mean"])
        assert not check(case, course, allow=["mean"])
        assert not check(case, course, allow=["sum"])

    def test_a_sum_in_the_parameters_alone(self) -> None:
        case, results = deep(), everything(deep())
        names = [f"grad {p}" for p in case.params]
        results |= {q: results[q] * case.T for q in names}
        found = judged(case, results, allow=["sum"])
        assert {found[q].convention for q in names} == {"sum"}
        assert all(found[q].parity for q in names)

    def test_another_function_needs_no_value_to_be_named(self) -> None:
        case = Case.random(layered([Affine(4, 3), ReLU(), Affine(3, 2)], CrossEntropy()), batch=9)
        leaky = Case(
            layered([Affine(4, 3), LeakyReLU(0.2), Affine(3, 2)], CrossEntropy()),
            case.params, case.x, case.d,
        )  # fmt: skip
        results = everything(leaky)
        found = judged(case, results)
        assert {f.convention for f in found.values() if f.node == "y1"} == {"leaky-slope"}
        assert not {q for q in bad(found) if found[q].node != "y1"}


def test_float32_asks_float64_under_the_names_of_the_results() -> None:
    """Positive terms first: beyond the usual in float32, right in float64."""
    network = layered([Affine(512, 4), Tanh(), Affine(4, 2)], CrossEntropy())
    case = Case.random(network, batch=64, seed=3)

    def one_by_one(case: Case) -> dict[str, Any]:
        results = everything(case)
        order = np.argsort(-(results["grad z1"][:, :1] * case.params["W1"][:1].T[:1]).ravel())
        terms = case.x[order, :, None] * results["grad z1"][order, None, :]
        results["grad W1"] = np.cumsum(terms, axis=0, dtype=case.dtype)[-1]
        return results

    assert check(case, one_by_one).exit_code == 0


@pytest.mark.parametrize("near", [True, False], ids=["node by node", "end to end"])
def test_a_sum_in_some_parameters_and_the_mean_in_others_is_nobodys_meaning(near: bool) -> None:
    def mixed(case: Case) -> dict[str, Any]:
        results = everything(case)
        results["grad W1"] = results["grad W1"] * case.T
        return results if near else {q: results[q] for q in ("grad W1", "grad W2", "grad b2")}

    def alike(case: Case) -> dict[str, Any]:
        found = mixed(case)
        names = [f"grad {p}" for p in case.params if p != "W1" and f"grad {p}" in found]
        return {**found, **{q: found[q] * case.T for q in names}}

    case = Case.random(layered([Affine(4, 3), Tanh(), Affine(3, 2)], CrossEntropy()), batch=5)
    assert check(case, alike, allow=["sum"])
    report = check(case, mixed, allow=["sum"], dtypes=["float64"])
    assert report.exit_code == 1
    (bad,) = [f for _, f in report.findings() if not f.parity]
    assert bad.quantity == "grad W1"
    assert "other parameters are reduced otherwise" in bad.note


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    "returned",
    [
        ("grad z1", "grad W1", "grad W2"),
        ("grad z1", "grad z2", "grad W1", "grad W2"),
        ("value y1", "grad z2", "grad W2", "grad W1"),
        ("grad z1", "grad y1", "grad z2", "grad W1", "grad b1", "grad W2", "grad b2"),
    ],
)
def test_a_sum_at_the_loss_is_excused_whatever_is_returned(returned: tuple[str, ...]) -> None:
    def summed(case: Case) -> dict[str, Any]:
        found = everything(case)
        return {q: found[q] * case.T if q.startswith("grad") else found[q] for q in returned}

    case = Case.random(layered([Affine(8, 6), ReLU(), Affine(6, 3)], CrossEntropy()))
    assert check(case, summed, allow=["sum"])
    assert not check(case, summed)
