"""Ops and a divergence of a user's own, through the whole house, which is not edited for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from crossed import crossed
from gradparity.adapters.base import AdapterError
from gradparity.comparisons import selftest
from gradparity.comparisons.atlas.probe import usual
from gradparity.core import (
    L2,
    Affine,
    Case,
    LinearLoss,
    Network,
    Node,
    Op,
    ReLU,
    Tanh,
    Trace,
    backprop,
    layered,
)

from .frameworks import each_framework
from own_ops import NETWORKS, Bilinear, Gate, Huber, LayerNorm, ShiftedReLU, Swish, case_with


def accused(report: gp.Report) -> list[gp.comparisons.Finding]:
    return [finding for _, finding in report.findings() if finding.parity is False]


each_network = pytest.mark.parametrize("network", list(NETWORKS))
BATCHES = (33, 1)


@pytest.mark.sample(2)
@crossed("name, network", ["torch", "jax"], list(NETWORKS))
def test_there_is_parity_and_no_false_alarm(name: str, network: str) -> None:
    pytest.importorskip(name)
    # With seeds 0 to 2 the only unit of one sample is dead, so that nothing would be tested.
    cases = [replace(case_with(network, 3 + s, n), name=str(s)) for s, n in enumerate(BATCHES)]
    report = gp.check(cases, name)
    assert report, report
    assert report.exit_code == 0


@each_framework
class TestAgainstAFramework:
    @each_network
    def test_parameters_survive_the_round_trip_bitwise(self, network: str, name: str) -> None:
        case, adapter = case_with(network), gp.get_adapter(name)
        back = adapter.export(case.network, adapter.build(case.network, case.params))
        assert set(back) == set(case.params)
        for letter, p in case.params.items():
            np.testing.assert_array_equal(back[letter], p, strict=True)

    @pytest.mark.sample(6)
    @each_network
    def test_it_trains_as_the_core_does(self, network: str, name: str) -> None:
        case = case_with(network)
        trainer = gp.get_adapter(name).trainer(case, 0.1)
        if network == "shifted-relu":  # the two take another slope at the kink
            case = replace(case, params={**case.params, "b1": case.params["b1"] + 0.5})
            trainer = gp.get_adapter(name).trainer(case, 0.1)
        trainer.step(np.arange(case.T))
        grad = backprop(case).grad
        for letter, p in trainer.params().items():
            np.testing.assert_allclose(p, case.params[letter] - 0.1 * grad[letter], rtol=1e-12)

    def test_what_it_takes_at_a_kink_is_told(self, name: str) -> None:
        report = gp.check(case_with("shifted-relu"), name)
        (kinks,) = {f.kinks.usual for _, f in report.findings() if f.kinks} or {None}
        taken = usual(gp.get_adapter(name), ShiftedReLU())
        assert kinks == " or ".join(f"{s:.4g}" for s in set(taken.values()))
        assert list(taken) == [1.0]

    def test_a_wrong_native_function_is_named_at_its_node(self, name: str) -> None:
        @dataclass(frozen=True)
        class Doubled(Swish):
            def native_function(self, framework: str) -> Any:
                right = super().native_function(framework)
                return lambda y, beta: 2 * right(y, beta)

        case = Case.random(layered([Affine(3, 4), Doubled(), Affine(4, 2)], L2()))
        assert {f.node for f in accused(gp.check(case, name))} == {"z2"}

    def test_an_op_without_a_function_is_told_what_to_add(self, name: str) -> None:
        class Silent(Gate):
            def native_function(self, framework: str) -> None:
                return None

        net = Network(Node("y1", Silent(), "x", "x"), divergence=L2())
        with pytest.raises(AdapterError, match=rf"{name} adapter has no \w+ for Silent.*native_f"):
            gp.get_adapter(name).run(Case.random(net, width=3))

    def test_a_cores_op_with_another_formula_is_not_taken_for_it(self, name: str) -> None:
        class Steeper(Tanh):
            def f(self, z: Any) -> Any:
                return np.tanh(2 * z)

            def df(self, dy: Any, z: Any, y: Any) -> Any:
                return dy * (2 * (1 - y * y))

        case = Case.random(layered([Affine(2, 2), Steeper()], L2()))
        with pytest.raises(AdapterError, match="for Steeper; give it one"):
            gp.get_adapter(name).run(case)

    @pytest.mark.parametrize(
        ("function", "said"),
        [
            (lambda y: y.no_such_thing, "node 'y1': the .* function of Mine failed .Attribute"),
            (lambda y: (y, y), r"returned a tuple of 2 \(\w+, \w+\); return one array"),
            (lambda: 1, "failed .TypeError"),
        ],
    )
    def test_a_function_that_fails_is_named(self, name: str, function: Any, said: str) -> None:
        class Mine(Tanh):
            def native_function(self, framework: str) -> Any:
                return function

        with pytest.raises(AdapterError, match=said):
            gp.get_adapter(name).run(Case.random(layered([Mine()], L2()), width=2))


class TestNamesAndLayouts:
    def test_torch_keeps_the_letters_and_turns_only_an_affine_maps_W(self) -> None:
        pytest.importorskip("torch")
        case = case_with("bilinear")
        state = gp.get_adapter("torch").build(case.network, case.params).state_dict()
        assert list(state) == ["z1.weight", "z1.bias", "z2.M", "z3.weight", "z3.bias"]
        np.testing.assert_array_equal(state["z2.M"].numpy(), case.params["M2"])
        np.testing.assert_array_equal(state["z1.weight"].numpy(), case.params["W1"].T)

    def test_so_does_jax(self) -> None:
        pytest.importorskip("jax")
        case = case_with("layer-norm").astype("float32")
        tree = gp.get_adapter("jax").build(case.network, case.params).params
        assert {node: list(p) for node, p in tree.items()} == {
            "z1": ["kernel", "bias"], "z2": ["g", "b"], "z3": ["kernel", "bias"],
        }  # fmt: skip

    def test_a_parameter_W_of_anothers_op_is_not_turned(self) -> None:
        pytest.importorskip("torch")

        class Mixed(Bilinear):
            def parameter_shapes(self) -> Any:
                return {"W": (self.n, self.n)}

        case = Case.random(layered([Mixed(3)], L2()), width=3)
        assert gp.check(case, "torch")
        state = gp.get_adapter("torch").build(case.network, case.params).state_dict()
        np.testing.assert_array_equal(state["z1.W"].numpy(), case.params["W1"])


class TwiceTheGain(LayerNorm):
    def vjp(self, dz: Any, y: Any, z: Any) -> Any:
        dy, dg, db = super().vjp(dz, y, z)
        return dy, 2 * dg, db


class WithoutTheMean(LayerNorm):
    def vjp(self, dz: Any, y: Any, z: Any) -> Any:
        normal, deviation = self._normal(y[0])
        d = dz * y[1]
        dy = (d - normal * (d * normal).mean(axis=-1, keepdims=True)) / deviation
        return dy, *super().vjp(dz, y, z)[1:]


class Exchanged(Gate):
    def vjp(self, dz: Any, y: Any, z: Any) -> Any:
        return tuple(reversed(super().vjp(dz, y, z)))


@dataclass(frozen=True)
class WrongBeta(Swish):
    def vjp(self, dz: Any, y: Any, z: Any) -> Any:
        dy, dbeta = super().vjp(dz, y, z)
        return dy, dbeta * dz.dtype.type(1.01)


@dataclass(frozen=True)
class OutsideTheKink(ShiftedReLU):
    def df(self, dy: Any, z: Any, y: Any) -> Any:
        return np.where(z == 1, dy.dtype.type(1.7) * dy, super().df(dy, z, y))


class SteepHuber(Huber):
    def gradient(self, y: Any, d: Any) -> Any:
        return y - d


WRONG = {
    "swish": (WrongBeta(), {"grad beta2"}),
    "swish-each": (WrongBeta(4), {"grad beta2"}),
    "shifted-relu": (OutsideTheKink(), {"grad z1 -> y1"}),
    "layer-norm": (TwiceTheGain(5), {"grad g2"}),
    "layer-norm, dy": (WithoutTheMean(5), {"grad z1 -> z2"}),
    "gate": (Exchanged(), {"grad z1 -> m1", "grad u1 -> m1"}),
}


def by(op: Op | Huber, node: str) -> Any:
    """An implementation: the core's backprop, with another op at a node or another divergence."""

    def implementation(case: Case) -> Trace:
        how: Any = {"divergence": op} if node == "Div" else {"ops": {node: op}}
        return backprop(replace(case, network=case.network.changed(**how)))

    return implementation


class TestPlantedFaults:
    @pytest.mark.parametrize("fault", list(WRONG))
    def test_are_a_mismatch_at_their_node(self, fault: str) -> None:
        network = fault.split(",")[0]
        op, expected = WRONG[fault]
        case, node = case_with(network, batch=6), NETWORKS[network][1]
        report = gp.check(case, by(op, node))
        found = {run.dtype: set() for run in report.runs}  # type: dict[str, set[str]]
        for run, finding in report.findings():
            if finding.parity is not False:
                continue
            assert finding.node == node
            assert str(finding.verdict) == "mismatch", finding
            found[run.dtype].add(finding.quantity)
        assert found == {"float64": expected, "float32": expected}
        right = next(s.op for s in case.network.steps if s.name == node)
        assert gp.check(case, by(right, node))

    def test_of_a_divergence_too(self) -> None:
        case = Case.random(layered([Affine(3, 4)], Huber(0.3)), batch=6)
        report = gp.check(case, by(SteepHuber(0.3), "Div"))
        assert {f.quantity for f in accused(report)} == {"grad z1 -> Div"}
        assert gp.check(case, by(Huber(0.3), "Div"))

    def test_are_seen_from_end_to_end(self) -> None:
        def final(op: Op) -> Any:
            return lambda case: {
                f"grad {p}": by(op, "z2")(case).grad[p] for p in case.params
            }  # fmt: skip

        case = case_with("layer-norm")
        assert gp.check(case, final(LayerNorm(5)))
        report = gp.check(case, final(TwiceTheGain(5)), dtypes=["float64"])
        assert [f.quantity for f in accused(report)] == ["grad g2"]

    @pytest.mark.sample(1)
    @pytest.mark.parametrize(
        "case",
        [
            Case.random(layered([Swish(3)], LinearLoss()), batch=3, width=3),
            Case.random(layered([LayerNorm(4)], Huber()), batch=3, width=4),
            Case.random(Network(Node("m", Gate(), "x", "x"), divergence=Huber()), batch=3, width=3),
        ],
        ids=["swish", "layer-norm", "gate"],
    )
    def test_a_self_test_catches_all(self, case: Case) -> None:
        tested = selftest(case, backprop, dtypes=["float64"])
        assert tested, tested

    def test_at_a_kink_too(self) -> None:
        x = np.array([[1.0, 2.0, 1.5], [3.0, 1.0, 0.5], [1.2, 4.0, 1.0]])
        case = Case(layered([ShiftedReLU()], LinearLoss()), {}, x, np.full((3, 3), 1.5) + x / 7)
        tested = selftest(case, backprop, dtypes=["float64"])
        assert tested, tested
        assert any(r.fault == "wrong weight at a kink" and r.caught for r in tested.results)

    def test_an_op_with_alternatives_beside_it_is_still_explained(self) -> None:
        """Conventions look at the ops they know, and at no other."""
        case = Case.random(layered([Affine(3, 5), LayerNorm(5), ReLU()], L2()), batch=4)

        def summed(case: Case) -> Any:
            return {f"grad {p}": g * 4 for p, g in backprop(case).grad.items() if p in case.params}

        report = gp.check(case, summed, dtypes=["float64"])
        assert {str(f.verdict) for _, f in report.findings()} == {"convention"}
