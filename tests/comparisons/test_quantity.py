"""The names of results, made and read in one place."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

import gradparity as gp
from gradparity.comparisons.findings.quantities import EVERYTHING, shapes_of_results
from gradparity.comparisons.findings.stored import plain, record
from gradparity.core import L2, Affine, BatchNorm, Case, Multiply, Network, Node, ReLU, layered
from gradparity.core import backprop as run
from gradparity.core.network.nodes import Edge
from gradparity.core.network.quantity import Quantity, by_quantity

FORMS = {
    "value z1": Quantity.value("z1"),
    "value z1.mean": Quantity.value("z1.mean"),
    "Div": Quantity.value("Div"),
    "Err": Quantity.value("Err"),
    "grad W1": Quantity.grad("W1"),
    "grad Div": Quantity.grad("Div"),
    "grad z1 -> y1": Quantity.through("z1", "y1"),
    "grad y1 -> m[1]": Quantity.through("y1", "m[1]"),
    "grad y1 -> Div": Quantity.through("y1", "Div"),
}


def twice_used() -> Case:
    """A value with two uses by one node, a shared parameter and a state."""
    net = Network(
        Node("z1", Affine(3, 2), "x"), Node("m", Multiply(), "z1", "z1"),
        Node("n", BatchNorm(2), "m"), Node("z2", Affine(2, 2), "n", W="V"),
        Node("z3", Affine(2, 2), "z2", W="V"), divergence=L2(), parameters={"V": (2, 2)},
    )  # fmt: skip
    return Case.random(net, batch=4)


class TestForms:
    @pytest.mark.parametrize(("text", "made"), FORMS.items())
    def test_are_read_as_they_are_made(self, text: str, made: Quantity) -> None:
        assert str(made) == text == made
        assert Quantity.parse(text) == made
        assert type(Quantity.parse(text)) is type(made) is Quantity

    @pytest.mark.parametrize(
        ("text", "is_value", "is_gradient", "name", "target"),
        [
            ("value z1", True, False, "z1", None),
            ("Div", False, False, "Div", None),
            ("Err", False, False, "Err", None),
            ("grad W1", False, True, "W1", None),
            ("grad Div", False, True, "Div", None),
            ("grad z1 -> m[0]", False, True, "z1", "m[0]"),
            ("everything", False, False, "everything", None),
        ],
    )
    def test_have_parts(
        self, text: str, is_value: bool, is_gradient: bool, name: str, target: str | None
    ) -> None:
        q = Quantity(text)
        assert (q.is_value, q.is_gradient, q.name, q.target) == (
            is_value, is_gradient, name, target,
        )  # fmt: skip
        assert type(q.name) is str

    @pytest.mark.parametrize(
        "text",
        ["", "z1", "everything", "value", "value ", "value Div", "value z1 -> y1", "grad", "grad ",
         "grad  W1", "Grad W1", "grad W1 ", "grad W1\n", "grad z1 ->", "grad z1->y1", "grad 1",
         "grad a -> b -> c", "grad a[0]", "grad a -> b[x]", "grad z1.", "gradient W1", None, 3],
    )  # fmt: skip
    def test_of_another_kind_are_refused(self, text: object) -> None:
        with pytest.raises(
            ValueError, match=r"^received .*; expected 'value NODE', 'grad NAME'"
        ) as e:
            Quantity.parse(text)  # type: ignore[arg-type]
        assert repr(text) in str(e.value)

    def test_gradient_by_one_of_some_names(self) -> None:
        assert Quantity.grad("W1").is_gradient_by({"W1"})
        assert not Quantity.grad("W1").is_gradient_by({"b1"})
        assert not Quantity.value("z1").is_gradient_by({"z1"})
        assert not Quantity.through("z1", "y1").is_gradient_by({"z1"})

    def test_use_of_a_parameter_is_its_own_only_where_it_is_shared(self) -> None:
        net = twice_used().network
        assert Quantity.use(net, Edge("W1", "z1")) == "grad W1"
        assert Quantity.use(net, Edge("V", "z3")) == "grad V -> z3"
        assert Quantity.use(net, Edge("z1", "m[0]")) == "grad z1 -> m[0]"


class TestOfACase:
    def test_every_result_is_read_and_has_the_shape_of_its_array(self) -> None:
        case = twice_used()
        found, shapes = by_quantity(run(case)), shapes_of_results(case)
        assert {"Err", "Div", "grad Div", "grad z1 -> m[1]", "grad V -> z2"} <= shapes.keys()
        for q, shape in shapes.items():
            assert Quantity.parse(q) == q
            assert q.shape(case) == shape
        for q, array in found.items():
            assert type(q) is Quantity
            assert getattr(array, "shape", ()) == q.shape(case)

    def test_a_name_that_the_network_lacks_has_no_shape(self) -> None:
        case = Case.random(layered([Affine(3, 2)], L2()), batch=4)
        with pytest.raises(KeyError, match="W7"):
            Quantity.grad("W7").shape(case)


class TestAsAString:
    def test_is_a_key_like_the_plain_one(self) -> None:
        assert {"grad W1": 1}[Quantity.grad("W1")] == {Quantity.grad("W1"): 1}["grad W1"] == 1
        assert repr(Quantity.grad("W1")) == "'grad W1'"
        assert f"{Quantity.grad('W1')}" == "grad W1"

    def test_survives_copies_and_pickles(self) -> None:
        q = Quantity.through("z1", "y1")
        copies = [copy.copy(q), copy.deepcopy(q)]
        copies += [pickle.loads(pickle.dumps(q, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)]
        assert all(type(c) is Quantity and c == q for c in copies)

    def test_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            Quantity.grad("W1").name = "W2"  # type: ignore[misc]
        with pytest.raises(AttributeError):
            Quantity.grad("W1").other = 1  # type: ignore[attr-defined]

    def test_is_a_plain_string_in_json(self) -> None:
        assert json.dumps({Quantity.grad("W1"): Quantity.value("z1")}) == '{"grad W1": "value z1"}'
        assert type(plain(Quantity.grad("W1"))) is str


class TestInFindings:
    def test_is_made_of_a_plain_string(self) -> None:
        found = gp.comparisons.Finding("grad W1", "z1", "", gp.Verdict.EXACT, 1)
        assert found.quantity.is_gradient
        assert type(EVERYTHING) is Quantity

    def test_is_read_back_from_json(self) -> None:
        case = Case.random(layered([Affine(3, 2), ReLU()], L2()), batch=4)
        report = gp.check(case, lambda case: {"grad W1": run(case).grad["W1"]})
        again = gp.comparisons.Report.from_json(report.to_json())
        assert again == report
        for run_again in again.runs:
            names = [*(f.quantity for f in run_again.findings), *run_again.missing]
            assert {"grad W1", "grad b1", "grad x"} <= {*names}
            assert {type(q) for q in names} == {Quantity}

    @pytest.mark.parametrize("bad", [3, None, ["grad W1"], {"grad": "W1"}, "\ud800", True])
    def test_of_another_type_in_json_is_refused(self, bad: object) -> None:
        finding = gp.comparisons.Finding("grad W1", "z1", "", gp.Verdict.EXACT, 1)
        document = {**plain(finding), "quantity": bad, "schema": "s"}
        with pytest.raises(ValueError, match="expected a string, received"):
            record(gp.comparisons.Finding, document, "s", "a test")
