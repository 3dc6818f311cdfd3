"""Every convention is planted and named; faults are not explained away as one."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from crossed import crossed
from gradparity.comparisons.explain.allowed import NAMES, Alternative, is_allowed
from gradparity.comparisons.explain.alternatives import with_network
from gradparity.comparisons.explain.at_node import conventions
from gradparity.comparisons.explain.choices import Scaled, other_divergences
from gradparity.comparisons.measure.at_node import reference_at_node
from gradparity.comparisons.measure.levels import Levels, measure
from gradparity.core import (
    ELU,
    GELU,
    KL,
    L2,
    Affine,
    BinaryCrossEntropy,
    BinaryKL,
    Case,
    CrossEntropy,
    LeakyReLU,
    Quantity,
    ReLU,
    Rounding,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
    Trace,
    backprop,
    layered,
)

both = pytest.mark.parametrize("dtype", ["float64", "float32"])


def made(op=None, divergence=None, dtype="float64", batch=16, widths=(5, 7, 6), **given) -> Case:
    a, b, c = widths
    ops = [Affine(a, b), op or Tanh(), Affine(b, c), *given.pop("last", [])]
    net = layered(ops, divergence or L2(), reduction=given.pop("reduction", "mean"))
    return Case.random(net, batch=batch, seed=1, dtype=dtype, **given)


def named(case: Case, trace: Trace, only: str = "") -> dict[str, list[Alternative]]:
    """The conventions of every quantity that is wrong; an empty list for a mismatch."""
    places = [(s, partial(reference_at_node, s, case, trace)) for s in case.network.steps]
    if only:
        float64 = Rounding.of("float64")
        places = [(p, f) for p, f in places if only in {e.quantity for e in f(float64)}]
    found = {}
    for place, expected in places:
        levels = Levels(expected, case.precision)
        for quantity in [Quantity(only)] if only else levels.quantities():
            e, measured = levels.sharpest(quantity)
            cs = list(conventions(place, quantity, case, trace, e))
            if measured.outside.any():
                found[quantity] = cs
            else:
                assert not cs
            widest = levels.roundings[-1]
            assert not [c for c in cs if measure(c.instead(widest), widest).outside.any()]
    return found


def first(found: dict[str, list[Alternative]]) -> dict[str, tuple[str, float | None]]:
    return {q: (cs[0].name, cs[0].parameter) if cs else ("", None) for q, cs in found.items()}


def same(got: tuple[str, float | None], expected: tuple[str, float | None], dtype: str) -> bool:
    near = 1e-4 if dtype == "float32" else 1e-9
    return got == expected or (
        got[0] == expected[0]
        and None not in (got[1], expected[1])
        and math.isclose(got[1], expected[1], rel_tol=near)
    )


def soft(case: Case) -> Case:
    """The case with desired outputs that are distributions, none of them sure."""
    K = case.shapes[case.network.output][-1]
    rng = np.random.default_rng(5)
    d = rng.dirichlet(np.ones(K), case.T) if K > 1 else rng.uniform(0.1, 0.9, (case.T, 1))
    return Case(case.network, case.params, case.x, d.astype(case.dtype), case.name)


SMOOTHED = CrossEntropy(eps=0.01)
OUT = "grad z2 -> Div"


# --- the batch ------------------------------------------------------------------------------------


@both
def test_the_sum_where_the_mean_was_asked_for(dtype):
    case = made(dtype=dtype)
    found = named(case, backprop(with_network(case, reduction="sum")))
    assert first(found) == {"Err": ("sum", 16.0), "grad Div": ("sum", 16.0)}
    assert found["Err"][0].said == (
        "every element is 16 times the formula: the sum over the batch of 16, not the mean"
    )


@both
def test_the_mean_where_the_sum_was_asked_for(dtype):
    case = made(dtype=dtype, reduction="sum")
    found = named(case, backprop(with_network(case, reduction="mean")))
    assert first(found) == {"Err": ("mean", 1 / 16), "grad Div": ("mean", 1 / 16)}


@both
@pytest.mark.parametrize(
    ("reduction", "factor", "name"),
    [
        ("mean", 16.0, "sum"),
        ("mean", 1 / 16, "mean"),
        ("mean", 1 / 6, "mean-elements"),
        ("sum", 1 / 16, "mean"),
        ("sum", 1 / 96, "mean-elements"),
    ],
)
@pytest.mark.parametrize("quantity", ["W1", "b2", "Div", "edge"])
def test_a_gradient_of_another_reduction(dtype, reduction, factor, name, quantity):
    case = made(dtype=dtype, reduction=reduction)
    trace = backprop(case)
    edge = case.network.edges[-1]
    tensor = trace.edge_grad[edge] if quantity == "edge" else trace.grad[quantity]
    tensor *= np.asarray(factor, dtype)
    changed = OUT if quantity == "edge" else f"grad {quantity}"
    # What comes after a wrong gradient of Div is wrong by itself: compare what was changed.
    (c,) = named(case, trace)[changed]
    assert (c.name, c.parameter) == (name, factor)


def test_one_instance_has_no_mean():
    case = made(batch=1)
    assert named(case, backprop(with_network(case, reduction="sum"))) == {}
    trace = backprop(case)
    trace.grad["W1"] *= 1.001
    assert named(case, trace) == {"grad W1": []}


# --- divergences ----------------------------------------------------------------------------------


OTHER_DIVERGENCES = [
    (L2(), Scaled(L2(), 2.0), ("half", None)),
    (L2(), Scaled(L2(), 2 / 6), ("mse", 2 / 6)),
    (L2(), Scaled(L2(), 1 / 6), ("mean-elements", 1 / 6)),
    (SMOOTHED, Scaled(SMOOTHED, 1 / math.log(2)), ("bits", None)),
    (SMOOTHED, Scaled(SMOOTHED, 1 / 6), ("mean-elements", 1 / 6)),
    (BinaryCrossEntropy(), Scaled(BinaryCrossEntropy(), 1 / 6), ("mean-elements", 1 / 6)),
    (SMOOTHED, CrossEntropy(), ("no-smoothing", None)),
    (SMOOTHED, CrossEntropy.from_uniform(0.01, K=6), ("smoothing-uniform", 0.01)),
    (SMOOTHED, CrossEntropy.from_others(0.01, K=6), ("smoothing-others", 0.01)),
    (SMOOTHED, CrossEntropy(0.02), ("eps", 0.02)),
    (CrossEntropy(), CrossEntropy(0.03), ("eps", 0.03)),
    (CrossEntropy(), CrossEntropy.from_uniform(0.1, K=6), ("smoothing-uniform", 0.1)),
    # 0.06 is as short, and the form that was asked for.
    (CrossEntropy(), CrossEntropy.from_others(0.3, K=6), ("eps", 0.06)),
    (CrossEntropy(), CrossEntropy(1 / 7), ("eps", 1 / 7)),
    (CrossEntropy(), KL(0.03), ("eps", 0.03)),
    (KL(0.01), KL(0.02), ("eps", 0.02)),
]


@pytest.mark.sample(4)
@crossed("dtype, given", ["float64", "float32"], OTHER_DIVERGENCES)
def test_another_divergence(dtype, given):
    asked, did, expected = given
    case = made(divergence=asked, dtype=dtype)
    found = first(named(case, backprop(with_network(case, did))))
    assert set(found) == {"Div", OUT}
    for name, parameter in found.values():
        assert same((name, parameter), expected, dtype)


@both
@pytest.mark.parametrize(
    ("asked", "did", "name"),
    [
        (SMOOTHED, KL(0.01), "kl"),
        (KL(0.01), SMOOTHED, "cross-entropy"),
        (BinaryCrossEntropy(), BinaryKL(), "kl"),
        (BinaryKL(), BinaryCrossEntropy(), "cross-entropy"),
    ],
)
def test_the_entropy_changes_the_value_alone(dtype, asked, did, name):
    case = soft(made(divergence=asked, dtype=dtype))
    assert first(named(case, backprop(with_network(case, did)))) == {"Div": (name, None)}


@pytest.mark.sample(4)
@both
@pytest.mark.parametrize(
    ("last", "asked", "name"),
    [
        ([Softmax()], CrossEntropy(0.01, on="probabilities"), "on-logits"),
        ([Sigmoid()], CrossEntropy(on="logits"), "on-probabilities"),
        ([Sigmoid()], BinaryCrossEntropy(on="probabilities"), "on-logits"),
        ([Sigmoid()], BinaryCrossEntropy(on="logits"), "on-probabilities"),
        ([], CrossEntropy(0.01), "softmax-twice"),
        ([], BinaryCrossEntropy(), "sigmoid-twice"),
    ],
)
def test_logits_for_probabilities(dtype, last, asked, name):
    case = made(divergence=asked, dtype=dtype, last=last)
    (choice,) = [c for c in other_divergences(asked, 6) if c.name == name]
    found = first(named(case, backprop(with_network(case, choice.instead))))
    assert set(found.values()) == {(name, None)}
    assert len(found) == 2


@both
def test_two_classes_have_two_forms(dtype):
    case = made(divergence=CrossEntropy(), dtype=dtype, widths=(5, 7, 2))
    found = named(case, backprop(with_network(case, CrossEntropy(0.05))))
    for cs in found.values():
        got = {(c.name, c.parameter) for c in cs}
        assert got == {("eps", 0.05), ("smoothing-uniform", 0.1)}
        assert cs[0].name == "eps"


def test_value_and_gradient_have_to_be_of_one_divergence():
    case = made()
    doubled = backprop(with_network(case, Scaled(L2(), 2.0)))
    trace = backprop(case)
    edge = case.network.edges[-1]
    trace.edge_grad[edge] = doubled.edge_grad[edge]
    assert named(case, trace)[OUT] == []


# --- ops ------------------------------------------------------------------------------------------

SLOPES = [0.01, 0.2, 0.3, 1 / 3, 11 / 48]


@both
@pytest.mark.parametrize(
    ("asked", "did", "expected"),
    [
        (GELU(), GELU("tanh"), ("gelu-tanh", None)),
        (GELU("tanh"), GELU(), ("gelu-erf", None)),
        *[(ReLU(), LeakyReLU(a), ("leaky-slope", a)) for a in SLOPES],
        *[(LeakyReLU(0.1), LeakyReLU(a), ("leaky-slope", a)) for a in SLOPES],
        (LeakyReLU(), ReLU(), ("leaky-slope", 0.0)),
        (ELU(), ELU(0.5), ("elu-alpha", 0.5)),
        (ELU(), ELU(1.05), ("elu-alpha", 1.05)),
    ],
)
def test_another_function(dtype, asked, did, expected):
    case = made(asked, dtype=dtype)
    found = first(named(case, backprop(with_network(case, ops={"y1": did}))))
    assert set(found) == {"value y1", "grad z1 -> y1"}
    for name, parameter in found.values():
        assert same((name, parameter), expected, dtype)


@pytest.mark.parametrize(("asked", "did"), [(None, 20.0), (20.0, None)])
def test_a_threshold(asked, did):
    case = made(Softplus(asked))
    x = np.array(case.x) * 15
    case = Case(case.network, case.params, x, case.d)
    found = first(named(case, backprop(with_network(case, ops={"y1": Softplus(did)}))))
    assert found["value y1"] == ("softplus-threshold", did or math.inf)


def test_value_and_gradient_have_to_be_of_one_function():
    case = made(GELU())
    trace, other = backprop(case), backprop(with_network(case, ops={"y1": GELU("tanh")}))
    edge = case.network.steps[1].edges[0]
    trace.edge_grad[edge] = other.edge_grad[edge]
    assert named(case, trace)["grad z1 -> y1"] == []


def test_what_is_taken_at_a_kink_decides_nothing():
    case = made(LeakyReLU(0.1))
    params = {**case.params, "W1": np.zeros_like(case.params["W1"]), "b1": np.zeros(7)}
    case = Case(case.network, params, case.x, case.d)
    did = LeakyReLU(0.01, subgradient="left")
    found = named(case, backprop(with_network(case, ops={"y1": did})))
    assert found == {"grad z1 -> y1": []}  # 0.01 is no slope of it, and nothing says what it is


# --- parameters -----------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("lam", [1e-4, 2e-4, 5e-3, 1e-2, 0.1, 3e-3])
@pytest.mark.parametrize("p", ["W1", "b1"])
def test_weight_decay(dtype, lam, p):
    case = made(dtype=dtype)
    trace = backprop(case)
    trace.grad[p] = trace.grad[p] + case.params[p] * np.asarray(lam, dtype)
    (c,) = named(case, trace)[f"grad {p}"]
    assert (c.name, c.parameter) == ("weight-decay", lam)
    assert is_allowed(c, [f"weight-decay={lam}"])


def test_a_decay_of_any_strength_is_told_with_its_value():
    case = made()
    trace = backprop(case)
    trace.grad["W1"] = trace.grad["W1"] + math.pi * 1e-3 * case.params["W1"]
    (c,) = named(case, trace)["grad W1"]
    assert c.name == "weight-decay"
    assert c.parameter == pytest.approx(math.pi * 1e-3, rel=1e-9)


@both
def test_a_square_gradient_transposed(dtype):
    case = made(dtype=dtype, widths=(5, 5, 6))
    trace = backprop(case)
    trace.grad["W1"] = trace.grad["W1"].T.copy()
    assert first(named(case, trace)) == {"grad W1": ("transposed", None)}


def test_a_symmetric_gradient_is_right_either_way():
    net = layered([Affine(3, 3, bias=False)], L2())
    x = np.eye(3)
    W = np.array([[1.0, 2, 3], [2, 4, 5], [3, 5, 6]])
    case = Case(net, {"W1": W}, x, np.zeros((3, 3)))
    trace = backprop(case)
    trace.grad["W1"] = trace.grad["W1"].T.copy()
    assert named(case, trace) == {}


def test_no_weights_no_decay():
    case = made()
    case = Case(case.network, {p: 0 * W for p, W in case.params.items()}, case.x, case.d)
    trace = backprop(case)
    trace.grad["b2"] = trace.grad["b2"] * 1.001
    assert named(case, trace) == {"grad b2": []}


# --- what is no convention ------------------------------------------------------------------------

FAULTS = {
    "one element": lambda g, rng: np.concatenate([g.ravel()[:1] * 1.5, g.ravel()[1:]]),
    "a sign": lambda g, rng: -g,
    "noise": lambda g, rng: g + 0.01 * np.abs(g).max() * rng.standard_normal(g.shape),
    "three times": lambda g, rng: 3 * g,
    "a thousandth more": lambda g, rng: 1.001 * g,
    "shuffled": lambda g, rng: np.roll(g, 1, axis=0),
    "zero": lambda g, rng: 0 * g,
    "twice": lambda g, rng: 2 * g,
}
NETS = {
    "l2": (Tanh(), L2(), []),
    "ce": (ReLU(), SMOOTHED, []),
    "hard": (LeakyReLU(), CrossEntropy(), []),
    "probabilities": (GELU(), CrossEntropy(0.02, on="probabilities"), [Softmax()]),
    "binary": (ELU(), BinaryCrossEntropy(), []),
}


@both
@pytest.mark.parametrize("net", NETS)
def test_what_is_right_has_no_convention(dtype, net):
    op, divergence, last = NETS[net]
    case = made(op, divergence, dtype, last=last)
    assert named(case, backprop(case)) == {}


@crossed("dtype, net, fault", ["float64", "float32"], list(NETS), list(FAULTS))
def test_a_fault_is_not_explained_away(dtype, net, fault):
    op, divergence, last = NETS[net]
    case = made(op, divergence, dtype, last=last)
    rng = np.random.default_rng(77)
    right = backprop(case)
    tensors = {f"grad {p}": (right.grad, p) for p in case.params}
    tensors |= {f"grad {s} -> {t}": (right.edge_grad, (s, t)) for s, t in right.edge_grad}
    tensors |= {f"value {v}": (right.value, v) for v in right.value}
    for quantity, (where, key) in tensors.items():
        kept = where[key]
        where[key] = FAULTS[fault](kept, rng).reshape(kept.shape).astype(kept.dtype)
        try:
            found = named(case, right, quantity).get(quantity, [])
        finally:
            where[key] = kept
        assert not found, (quantity, [(c.name, c.parameter) for c in found])


@pytest.mark.sample(4)
@crossed("dtype, fault", ["float64", "float32"], list(FAULTS))
def test_a_fault_in_div_is_not_explained_away(dtype, fault):
    for divergence in (L2(), SMOOTHED, CrossEntropy(), BinaryCrossEntropy()):
        case = made(divergence=divergence, dtype=dtype)
        trace = backprop(case)
        trace.Div = FAULTS[fault](trace.Div, np.random.default_rng(0)).astype(dtype)
        found = first(named(case, trace))["Div"]
        # Twice the Div of L2 is what it is without the 1/2; only the gradient says otherwise.
        assert found == (("half", None) if (fault, divergence) == ("twice", L2()) else ("", None))


def test_the_document_lists_every_name():
    from pathlib import Path

    page = Path(__file__).parents[2] / "docs" / "reference" / "conventions.md"
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"]
    assert rows == [f"| `{name}` | {meaning} |" for name, meaning in NAMES]
