"""Alternatives to a whole case and to single tensors, and the names that a user declares."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradparity.comparisons.explain.allowed import NAMES, Alternative, is_allowed, parse_allowed
from gradparity.comparisons.explain.alternatives import alternatives, with_network
from gradparity.comparisons.explain.choices import Scaled
from gradparity.core import (
    ELU,
    GELU,
    KL,
    L2,
    Affine,
    BinaryCrossEntropy,
    BinaryKL,
    Bounded,
    Case,
    CrossEntropy,
    Divergence,
    LeakyReLU,
    Op,
    Quantity,
    ReLU,
    Rounding,
    Softplus,
    Tanh,
    backprop,
    layered,
)

SMOOTHED = CrossEntropy(eps=0.01)


def made(op: Op, divergence: Divergence) -> Case:
    return Case.random(layered([Affine(5, 7), op, Affine(7, 6)], divergence), batch=16, seed=1)


# --- end to end -----------------------------------------------------------------------------------


def results_of(case: Case) -> dict[Quantity, np.ndarray]:
    trace = backprop(case)
    gradients = {Quantity.grad(p): trace.grad[p] for p in case.params}
    return gradients | {Quantity("Err"): np.asarray(trace.Err)}


def agreeing(case: Case, results: dict[Quantity, np.ndarray]) -> list[tuple[str, float | None]]:
    """The alternatives of the whole case that give these results."""
    found = []
    for a in alternatives(case, results):
        if isinstance(a.instead, Case):
            there = results_of(a.instead)
            close = [np.allclose(results[q], there[q], rtol=1e-9, atol=1e-12) for q in results]
            if all(close):
                found.append((a.name, a.parameter))
    return found


@pytest.mark.parametrize(
    ("asked", "op", "change", "expected"),
    [
        (L2(), Tanh(), {"reduction": "sum"}, ("sum", 16.0)),
        (L2(), Tanh(), {"divergence": Scaled(L2(), 2.0)}, ("half", None)),
        (L2(), Tanh(), {"divergence": Scaled(L2(), 2.0), "reduction": "sum"}, ("sum+half", None)),
        (SMOOTHED, Tanh(), {"divergence": CrossEntropy(0.02)}, ("eps", 0.02)),
        (
            SMOOTHED,
            Tanh(),
            {"divergence": CrossEntropy.from_uniform(0.01, K=6), "reduction": "sum"},
            ("sum+smoothing-uniform", 0.01),
        ),
        (SMOOTHED, GELU(), {"ops": {"y1": GELU("tanh")}}, ("gelu-tanh", None)),
        (L2(), ReLU(), {"ops": {"y1": LeakyReLU(0.2)}}, ("leaky-slope", 0.2)),
    ],
)
def test_results_alone(asked, op, change, expected):
    case = made(op, asked)
    found = agreeing(case, results_of(with_network(case, **change)))
    assert found[0] == expected


def test_tensors_of_results():
    case = made(Tanh(), L2())
    results = results_of(case)
    results["grad W1"] = results["grad W1"] + 0.01 * case.params["W1"]
    found = [a for a in alternatives(case, results) if not isinstance(a.instead, Case)]
    decay = next(a for a in found if a.name == "weight-decay")
    assert decay.parameter == 0.01
    want = Bounded.exactly(backprop(case).grad["W1"], Rounding.of("float64"))
    np.testing.assert_allclose(decay.instead("W1", want).value, results["grad W1"])
    assert decay.instead("value z1", want) is None
    (turned,) = [a for a in found if a.name == "transposed"]
    assert turned.instead("W1", want).shape == (7, 5)
    assert {a.name: a.parameter for a in found}["sum"] == 16.0


# --- what the user expects ------------------------------------------------------------------------


def test_names_are_parsed_and_refused():
    assert parse_allowed(["sum", "eps=0.01"]) == (("sum", None), ("eps", 0.01))
    with pytest.raises(ValueError, match=r"did you mean 'weight-decay'\? valid names: sum"):
        parse_allowed(["weight_decay"])
    with pytest.raises(ValueError, match=r"valid names: sum, mean, .*softplus-threshold"):
        parse_allowed(["some"])
    with pytest.raises(ValueError, match="not a number"):
        parse_allowed(["eps=much"])
    with pytest.raises(TypeError, match="list"):
        parse_allowed("sum")
    with pytest.raises(TypeError, match=r"allow is None; give a list of names, such as \['sum'\]"):
        parse_allowed(None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("sum=3", "'sum=3': sum has no number; give 'sum'"),
        ("half=2", "half has no number"),
        ("norm-eps=-7", "'norm-eps=-7': give a finite number > 0"),
        ("eps=0", "give a finite number > 0"),
        ("weight-decay=nan", "'weight-decay=nan': give a finite number, such as"),
        ("weight-decay=inf", "give a finite number, such as"),
        ("leaky-slope=-inf", "give a finite number, such as"),
        ("softplus-threshold=nan", "give a number, such as"),
    ],
)
def test_numbers_that_a_convention_cannot_have_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        parse_allowed([given])


def test_numbers_that_a_convention_can_have():
    assert parse_allowed(["softplus-threshold=inf"]) == (("softplus-threshold", np.inf),)
    assert parse_allowed(["leaky-slope=-0.1"]) == (("leaky-slope", -0.1),)


@pytest.mark.parametrize(
    ("name", "parameter", "expected", "is_declared"),
    [
        ("sum", 16.0, ["sum"], True),
        ("sum", 16.0, ["mean"], False),
        ("weight-decay", 1e-3, ["weight-decay=0.001"], True),
        ("weight-decay", 1.01e-3, ["weight-decay=0.001"], False),
        ("sum+eps", 0.01, ["eps=0.01"], False),
        ("sum+eps", 0.01, ["eps=0.01", "sum"], True),
        ("softplus-threshold", math.inf, ["softplus-threshold=inf"], True),
        ("softplus-threshold", 20.0, ["softplus-threshold=inf"], False),
    ],
)
def test_declared(name, parameter, expected, is_declared):
    c = Alternative(name, parameter, "")
    assert is_allowed(c, expected) is is_declared


def test_every_name_that_is_given_has_a_meaning():
    names = {name for name, _ in NAMES}
    cases = [
        made(Tanh(), L2()),
        made(ReLU(), SMOOTHED),
        made(ELU(), BinaryCrossEntropy()),
        made(Softplus(), KL(0.1)),
        made(GELU("tanh"), BinaryKL("probabilities")),
    ]
    for case in cases:
        for a in alternatives(case, results_of(with_network(case, reduction="sum"))):
            assert set(a.name.split("+")) <= names
    assert len(names) == len(NAMES)
