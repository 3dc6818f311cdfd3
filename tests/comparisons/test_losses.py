"""Losses as courses write them, node by node and end to end: named, declared, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crossed import crossed
from gradparity.comparisons import Report, Verdict
from gradparity.comparisons.check.check import check
from gradparity.core import L2, Affine, Case, CrossEntropy, Network, Node, Tanh, layered

T, K = 4, 11
#: Of the sum of squares (T,): Div as the course has it, and what Err is of those.
MSE: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "mse": (lambda squares: squares / K, np.mean),
    "half": (lambda squares: squares, np.mean),
    "sum+half": (lambda squares: squares, np.sum),
    "sum": (lambda squares: squares / 2, np.sum),
}
#: The same of the cross-entropy.
CROSS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "sum": (lambda losses: losses, np.sum),
    "mean-elements": (lambda losses: losses, lambda Div: np.mean(Div) / K),
    "sum+bits": (lambda losses: losses / np.log(2), np.sum),
    "mean-elements+bits": (lambda losses: losses / np.log(2), lambda Div: np.mean(Div) / K),
}
PLACES = ["node by node", "with Div", "end to end"]


def case_of(divergence: Any, reduction: str = "mean") -> Case:
    ops = [Affine(5, 6), Tanh(), Affine(6, K)]
    return Case.random(layered(ops, divergence, reduction=reduction), batch=T, seed=1)


def course(
    loss: Callable[[Any, Any], Any],
    of: tuple[Callable[[Any], Any], Callable[[Any], Any]],
    place: str,
    factor: float = 1.0,
    dW: float = 1.0,
) -> Callable[[Case], dict[str, Any]]:
    """A network of two layers; `factor` is a mistake in dErr/dz2, `dW` in the parameters."""
    Div_of, Err_of = of

    def mine(case: Case) -> dict[str, Any]:
        W1, W2 = case.params["W1"], case.params["W2"]
        z1 = case.x @ W1 + case.params["b1"]
        y1 = np.tanh(z1)
        z2 = y1 @ W2 + case.params["b2"]
        losses, slope = loss(z2, case.desired)
        Div = Div_of(losses)
        weight = factor * Err_of(Div_of(np.ones(case.T))) / case.T
        dz2 = (slope * weight).astype(case.dtype)
        dy1 = dz2 @ W2.T
        dz1 = dy1 * (1 - y1 * y1)
        last = {"grad W2": dW * y1.T @ dz2, "grad b2": dW * dz2.sum(0)}
        found = {"Err": np.asarray(Err_of(Div), case.dtype), **last}
        found |= {"grad W1": dW * case.x.T @ dz1, "grad b1": dW * dz1.sum(0)}
        if place != "end to end":
            found |= {"value z1": z1, "value y1": y1, "value z2": z2}
            found |= {"grad z2": dz2, "grad y1": dy1, "grad z1": dz1}
        if place == "with Div":
            found["Div"] = Div.astype(case.dtype)
        return found

    return mine


def squares(A: Any, Y: Any) -> tuple[Any, Any]:
    return ((A - Y) ** 2).sum(1), 2 * (A - Y)


def cross_entropy(z: Any, d: Any) -> tuple[Any, Any]:
    log_y = z - z.max(1, keepdims=True)
    log_y = log_y - np.log(np.exp(log_y).sum(1, keepdims=True))
    return -(d * log_y).sum(1), np.exp(log_y) - d


LOSSES = [(squares, L2(), name, of) for name, of in MSE.items()]
LOSSES += [(cross_entropy, CrossEntropy(), name, of) for name, of in CROSS.items()]
every_loss = crossed("kind, place", LOSSES, PLACES)


def wrong(report: Report) -> dict[str, str]:
    return {f.quantity: f.convention for _, f in report.findings() if not f.verdict.parity}


@pytest.mark.sample(2)
@every_loss
def test_it_is_named_and_passes_where_it_is_declared(kind: Any, place: str) -> None:
    loss, asked, name, of = kind
    case, mine = case_of(asked), course(loss, of, place)
    report = check(case, mine)
    assert report.exit_code == 1
    said = wrong(report)
    gradient = "grad W2" if place == "end to end" else "grad z2"
    assert said[gradient] == name
    # Err rests on Div where that was returned, and then is another mean or sum alone.
    assert place == "with Div" or said["Err"] == name
    assert {part for names in said.values() for part in names.split("+")} <= set(name.split("+"))
    assert check(case, mine, allow=name.split("+")).exit_code == 0
    for part in name.split("+"):
        others = [each for each in name.split("+") if each != part]
        assert check(case, mine, allow=others, dtypes=["float64"]).exit_code == 1


@pytest.mark.sample(3)
@every_loss
def test_a_wrong_factor_is_a_mismatch_whatever_is_declared(kind: Any, place: str) -> None:
    loss, asked, name, of = kind
    report = check(case_of(asked), course(loss, of, place, 3.0), allow=name.split("+"))
    assert report.exit_code == 1
    gradient = "grad W2" if place == "end to end" else "grad z2"
    bad = [f for _, f in report.findings() if f.quantity == gradient]
    assert {f.verdict for f in bad} == {Verdict.MISMATCH}


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", ["sum+half", "sum"])
@pytest.mark.parametrize("place", PLACES[:2])
def test_a_sum_at_the_risk_may_be_undone_in_the_parameters_and_not_done_again(
    name: str, place: str
) -> None:
    meant = [*name.split("+"), "mean"]
    undone = course(squares, MSE[name], place, dW=1 / T)
    assert wrong(check(case_of(L2()), undone))["grad W1"] == "mean"
    assert check(case_of(L2()), undone, allow=meant).exit_code == 0
    assert check(case_of(L2()), undone, allow=name.split("+")).exit_code == 1
    again = course(squares, MSE[name], place, dW=T)
    report = check(case_of(L2()), again, allow=meant)
    assert report.exit_code == 1
    assert {f.quantity for _, f in report.findings() if f.parity is False} == {
        f"grad {p}" for p in ("W1", "W2", "b1", "b2")
    }


def test_a_sum_that_arrived_unseen_is_not_excused_again_in_a_parameter() -> None:
    """The arriving gradient is judged end to end and already a sum; the parameters sum again."""

    def mine(case: Case) -> dict[str, Any]:
        everything = course(squares, MSE["sum"], "node by node", dW=T)(case)
        return {q: everything[q] for q in ("grad z1", "grad W1")}

    report = check(case_of(L2()), mine, allow=["sum"])
    assert {f.quantity for _, f in report.findings() if f.parity is False} == {"grad W1"}


def test_the_mean_over_everything_where_the_sum_was_asked_for() -> None:
    for place in PLACES:
        mine = course(squares, MSE["mse"], place)
        report = check(case_of(L2(), "sum"), mine)
        gradient = "grad W2" if place == "end to end" else "grad z2"
        assert wrong(report)[gradient] == "mean+mse"
        assert check(case_of(L2(), "sum"), mine, allow=["mean", "mse"])


def test_the_mean_over_the_outputs_may_be_in_err_and_not_in_div() -> None:
    """Div of each instance as it is, and Err the mean over all elements."""
    mine = course(squares, (lambda div: div, lambda div: np.mean(div) / K), "with Div")
    assert wrong(check(case_of(L2()), mine)) == {
        "Div": "half", "Err": "mean-elements", "grad z2": "mean-elements+half",
    }  # fmt: skip
    assert check(case_of(L2()), mine, allow=["half", "mean-elements"])


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", ["sum", "mean-samples"])
@pytest.mark.parametrize("quantities", ["all", "final"])
def test_a_weighted_loss_divided_by_something_else_is_named(name: str, quantities: str) -> None:
    """The weighted mean divides by the sum of the weights."""
    network = Network(
        Node("z", Affine(4, 3), "x"),
        divergence=CrossEntropy(),
        inputs=("x", "w"),
        weights="w",
    )
    rng = np.random.default_rng(0)
    x = {"x": rng.standard_normal((6, 4)), "w": rng.uniform(0.5, 2.0, 6)}
    case = Case.random(network, x=x)

    def mine(case: Case) -> dict[str, Any]:
        W, b, w = case.params["W_z"], case.params["b_z"], case.inputs["w"]
        z = case.inputs["x"] @ W + b
        Div, slope = cross_entropy(z, case.desired)
        by = case.dtype.type(1.0 if name == "sum" else len(w))
        dz = slope * w[:, None] / by
        found = {"grad W_z": case.inputs["x"].T @ dz, "grad b_z": dz.sum(0)}
        found["Err"] = np.asarray((w * Div).sum() / by)
        if quantities == "all":
            found |= {"Div": w * Div, "value z": z, "grad z": dz}
        return found

    report = check(case, mine)
    assert report.exit_code == 1
    assert set(wrong(report).values()) == {name}
    assert {"Err", "grad z" if quantities == "all" else "grad W_z"} <= set(wrong(report))
    assert check(case, mine, allow=[name]).exit_code == 0
    other = {"sum": "mean-samples", "mean-samples": "sum"}[name]
    assert check(case, mine, allow=[other], dtypes=["float64"]).exit_code == 1
