"""End to end through `check`: a named alternative is named, declared, and hides nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Verdict
from gradparity.comparisons.check.check import check
from gradparity.comparisons.judge.by_name import judge_results
from gradparity.core import (
    GELU,
    KL,
    L2,
    Affine,
    Broadcast,
    Case,
    CrossEntropy,
    LeakyReLU,
    ReLU,
    Tanh,
    VectorActivation,
    backprop,
    layered,
)

OPS = [Affine(6, 5), Tanh(), Affine(5, 4)]


def case_of(divergence=None, ops=OPS) -> Case:
    return Case.random(layered(ops, divergence or CrossEntropy(eps=0.02)), batch=12, seed=1)


def finals(case: Case) -> dict[str, np.ndarray]:
    trace = backprop(case)
    found = {f"grad {p}": trace.grad[p] for p in case.network.parameter_shapes}
    return {"Err": trace.Err, **found}


def instead(case: Case, **changed) -> Case:
    """The case with another divergence, reduction or ops, its numbers unchanged."""
    old = case.network
    ops = changed.pop("ops", [node.op for node in old.nodes])
    given = {"divergence": old.divergence, "reduction": old.reduction, **changed}
    return dataclasses.replace(case, network=layered(ops, **given))


def computing(**changed):
    def mine(case: Case) -> dict[str, np.ndarray]:
        return finals(instead(case, **changed))

    return mine


def with_gradients(change):
    def mine(case: Case) -> dict[str, np.ndarray]:
        found = finals(case)
        return {
            q: change(case, q.removeprefix("grad "), g) if "grad W" in q else g
            for q, g in found.items()
        }

    return mine


def decayed(case, p, g):
    return g + g.dtype.type(1e-3) * case.params[p]


PLANTED = {
    "sum": (case_of(), computing(reduction="sum")),
    "smoothing-uniform": (case_of(), computing(divergence=CrossEntropy(eps=0.02 / 4))),
    "half": (case_of(L2()), lambda case: {q: 2 * g for q, g in finals(case).items()}),
    "weight-decay": (case_of(), with_gradients(decayed)),
    "transposed": (case_of(), with_gradients(lambda case, p, g: g.T.copy())),
    "gelu-tanh": (
        case_of(ops=[Affine(6, 5), GELU(), Affine(5, 4)]),
        computing(ops=[Affine(6, 5), GELU("tanh"), Affine(5, 4)]),
    ),
    "leaky-slope": (
        case_of(ops=[Affine(6, 5), LeakyReLU(0.01), Affine(5, 4)]),
        computing(ops=[Affine(6, 5), LeakyReLU(0.2), Affine(5, 4)]),
    ),
}


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", PLANTED)
def test_it_is_named_in_both_dtypes_and_passes_only_where_declared(name):
    case, mine = PLANTED[name]
    report = check(case, mine)
    wrong = [f for _, f in report.findings() if f.verdict.parity is False]
    assert wrong
    assert {f.verdict for f in wrong} == {Verdict.CONVENTION}
    assert {f.convention for f in wrong} == {name}
    assert report.exit_code == 1
    meant = check(case, mine, allow=[name])
    assert meant.exit_code == 0
    assert "CONVENTION" not in str(meant)
    assert "convention" in str(meant)
    assert check(case, mine, allow=["bits"], dtypes=["float64"]).exit_code == 1


def test_a_parameter_that_was_declared_has_to_be_that_one():
    case, mine = PLANTED["weight-decay"]
    assert check(case, mine, allow=["weight-decay=0.001"]).exit_code == 0
    assert check(case, mine, allow=["weight-decay=0.002"]).exit_code == 1


def test_what_came_transposed_says_that_its_figures_are_of_it_turned():
    case = case_of()
    right = finals(case)["grad W1"]
    for factor, said in (
        (1, "it came as (out, in); it is the formula transposed: the numbers agree once it is"),
        (12, "it came as (out, in), and was compared transposed"),
        (5, "it came as (out, in), and was compared transposed"),
    ):
        (found,) = judge_results(case, {"grad W1": factor * right.T})
        assert said in found.note
        assert (found.error <= found.bound) == (factor == 1)
        assert (found.verdict is Verdict.MISMATCH) == (factor == 5)
    square = case_of(ops=[Affine(6, 6), Tanh(), Affine(6, 4)])
    (found,) = judge_results(square, {"grad W1": finals(square)["grad W1"].T.copy()})
    assert "it is the formula transposed: the numbers agree once it is transposed" in found.note


def test_a_declared_convention_hides_no_other_fault():
    case, mine = PLANTED["sum"]

    def other(case: Case):
        found = mine(case)
        found["grad W2"] = found["grad W2"] * found["grad W2"].dtype.type(1.01)
        return found

    report = check(case, other, allow=["sum"])
    assert report.exit_code == 1
    assert {f.quantity for _, f in report.findings() if f.parity is False} == {"grad W2"}


def test_the_loss_of_kl_is_named_and_its_gradient_is_right():
    case = case_of(CrossEntropy(eps=0.02))
    report = check(case, computing(divergence=KL(eps=0.02)))
    assert {f.quantity: f.convention for _, f in report.findings() if f.convention} == {"Err": "kl"}


@pytest.mark.parametrize("slope", ["left", 0.5])
def test_a_choice_at_a_kink_is_a_subgradient_and_no_convention(slope):
    ops = [Affine(6, 5), ReLU(subgradient="right"), Affine(5, 4)]
    case = case_of(ops=ops)
    W, x = dict(case.params), np.array(case.x)
    W["b1"] = np.zeros(5)
    x[3] = 0.0  # a row of padding: five zeros in z1
    case = Case(case.network, W, x, case.d)
    report = check(case, computing(ops=[ops[0], ReLU(subgradient=slope), ops[2]]))
    assert report.exit_code == 0
    assert Verdict.SUBGRADIENT in {f.verdict for _, f in report.findings()}
    assert not any(f.convention for _, f in report.findings())


@pytest.mark.parametrize("implementation", ["numpy", "torch", "jax"])
def test_a_structural_zero_is_vacuous_and_noise_there_is_no_fault(implementation):
    """A number added to all units in front of what takes their mean off: its gradient is zero."""
    centring = np.eye(5) - 0.2

    def jacobian(z):
        return np.broadcast_to(centring.astype(z.dtype), (len(z), 5, 5))

    centre = VectorActivation(
        lambda z: z - z.sum(-1)[:, None] / 5, jacobian=jacobian, n_in=5, n_out=5
    )
    network = layered(
        [Affine(6, 1), Broadcast((12, 5)), centre, Tanh(), Affine(5, 4)], CrossEntropy()
    )
    case = Case.random(network, batch=12, seed=3)

    def mine(case: Case):
        if implementation == "numpy":
            return finals(case)
        trace = gp.get_adapter(implementation).run(case)
        return {f"grad {p}": trace.grad[p] for p in case.params}

    report = check(case, mine)
    found = {(run.dtype, f.quantity): f for run, f in report.findings()}
    for dtype in ("float64", "float32"):
        assert found[dtype, "grad b1"].verdict is Verdict.VACUOUS
        assert found[dtype, "grad W1"].verdict is Verdict.VACUOUS
        assert found[dtype, f"grad {max(case.params)}"].parity is True
    assert report.exit_code == 0


class TestAMixture:
    """An allowed convention holds for all results that it has to do with, or for none."""

    @staticmethod
    def mixed(*doubled: str):
        def mine(case: Case) -> dict[str, np.ndarray]:
            return {q: 2 * g if q in doubled else g for q, g in finals(case).items()}

        return mine

    @pytest.mark.parametrize(
        "doubled", [("grad W1",), ("Err",), ("grad W1", "grad W2"), ("grad b1", "grad b2")]
    )
    def test_of_two_losses(self, doubled):
        case = case_of(L2())
        assert set(doubled) <= finals(case).keys()
        report = check(case, self.mixed(*doubled), allow=["half"])
        assert report.exit_code == 1
        bad = {f.quantity: f for _, f in report.findings() if f.parity is False}
        assert set(bad) == set(doubled)
        assert all("explain all of them, or none" in f.note for f in bad.values())

    def test_of_two_smoothings(self):
        other = computing(divergence=CrossEntropy(eps=0.02 / 4))

        def mine(case: Case) -> dict[str, np.ndarray]:
            return {**other(case), "Err": finals(case)["Err"]}

        case = case_of()
        assert check(case, other, allow=["smoothing-uniform", "eps"]).exit_code == 0
        assert check(case, mine, allow=["smoothing-uniform", "eps"]).exit_code == 1

    @pytest.mark.parametrize(
        ("forward", "backward", "code"), [(0.2, 0.2, 0), (0.2, 0.01, 1), (0.2, 0.3, 1)]
    )
    def test_of_a_value_and_its_gradient(self, forward, backward, code):
        def leaky(z):
            return np.where(z > 0, z, z.dtype.type(forward) * z)

        def leaky_backward(dz, z):
            return np.where(z > 0, dz, z.dtype.type(backward) * dz)

        op = gp.core.LeakyReLU(0.01)
        report = gp.check_op(leaky, leaky_backward, reference=op, allow=["leaky-slope"])
        assert report.exit_code == code
        if backward == 0.01:
            notes = [f.note for _, f in report.findings() if f.parity is False]
            assert any("that of the network's own function" in note for note in notes)
