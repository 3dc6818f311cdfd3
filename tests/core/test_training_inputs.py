"""Training and the scalar form of networks with several inputs, integers, and shared parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.comparisons.cases.deep import lstm, transformer
from gradparity.core import (
    L2,
    Add,
    Affine,
    Case,
    CrossEntropy,
    Embedding,
    LinearLoss,
    Multiply,
    Network,
    Node,
    ReLU,
    Sum,
    Tanh,
    accuracy,
    backprop,
    layered,
    minibatches,
    scalar_backprop,
    train,
)
from gradparity.core.network.batch import batched_inputs, sample_rows

Array = Any


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def by_backprop(case: Case, batched: tuple[str, ...], eta: float, **how: Any) -> Any:
    """The parameters and losses of training whose every step is a case of its own."""
    params = {name: p.copy() for name, p in case.params.items()}
    losses = []
    for rows in minibatches(len(case.d), **how):
        inputs = {n: a[rows] if n in batched else a for n, a in case.inputs.items()}
        trace = backprop(Case(case.network, params, inputs, case.d[rows]))
        losses.append(trace.Err)
        for name in case.network.trained:
            params[name] = params[name] - eta * trace.grad[name]
    return params, losses


def same(got: Any, params: Any, losses: Any) -> None:
    assert got.losses == pytest.approx(losses, rel=1e-12)
    assert got.params.keys() == params.keys()
    for name, p in params.items():
        np.testing.assert_allclose(got.params[name], p, rtol=1e-11, atol=1e-13, err_msg=name)


def two(T: int = 10) -> Case:
    """tanh(a A + b B) through one matrix W twice, which the gradient sums over."""
    net = Network(
        Node("za", Affine(3, 4), "a"), Node("zb", Affine(2, 4, bias=False), "b"),
        Node("s", Add(), "za", "zb"), Node("h", Tanh(), "s"),
        Node("u", Affine(4, 4, bias=False), "h", W="W"), Node("g", Tanh(), "u"),
        Node("y", Affine(4, 4, bias=False), "g", W="W"),
        divergence=L2(), inputs=("a", "b"), parameters={"W": (4, 4)},
    )  # fmt: skip
    return Case.random(net, x={"a": numbers(T, 3), "b": numbers(T, 2, seed=1)})


def test_two_inputs_and_a_tied_matrix_are_trained_as_in_a_loop_by_hand() -> None:
    case, eta = two(), 0.2
    p = {name: a.copy() for name, a in case.params.items()}
    losses = []
    for rows in minibatches(10, 4, 3, seed=5):
        a, b, d, n = case.inputs["a"][rows], case.inputs["b"][rows], case.d[rows], len(rows)
        h = np.tanh(a @ p["W_za"] + p["b_za"] + b @ p["W_zb"])
        g = np.tanh(h @ p["W"])
        y = g @ p["W"]
        losses.append(((y - d) ** 2).sum() / 2 / n)
        dy = (y - d) / n
        du = dy @ p["W"].T * (1 - g**2)
        ds = du @ p["W"].T * (1 - h**2)
        gradients = {
            "W": g.T @ dy + h.T @ du, "W_za": a.T @ ds, "b_za": ds.sum(0), "W_zb": b.T @ ds,
        }  # fmt: skip
        for name, gradient in gradients.items():
            p[name] -= eta * gradient
    got = train(case.network, case.params, case.inputs, case.d, eta=eta, batch_size=4, epochs=3,
                seed=5)  # fmt: skip
    same(got, p, losses)


def test_an_embedding_classifier_of_sequences_converges() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 20, (80, 5))
    labels = (ids < 10).sum(axis=1) // 3  # 0 for at most two small ids, 1 for more
    net = Network(
        Node("e", Embedding(20, 6), "ids"), Node("s", Sum((1,)), "e"), Node("z", Affine(6, 2), "s"),
        divergence=CrossEntropy(), inputs=("ids",),
    )  # fmt: skip
    params = Case.random(net, x={"ids": ids}).params
    assert accuracy(net, params, ids, labels) < 0.8
    for inputs in (ids, {"ids": ids}):
        got = train(net, params, inputs, labels, eta=0.5, batch_size=16, epochs=300, tolerance=1e-4)
        assert got.stopped_by == "converged"
        assert accuracy(net, got.params, inputs, labels) == 1.0


@pytest.mark.parametrize(("batch", "size"), [(8, 3), (8, None), (5, 2)])
def test_the_transformer_keeps_its_mask_whole(batch: int, size: int | None) -> None:
    case = transformer(batch)  # the mask is (8, 8)
    assert batched_inputs(case) == ("x",)
    how = {"batch_size": size, "epochs": 2, "seed": 1}
    got = train(case.network, case.params, case.inputs, case.d, eta=0.1, **how)
    same(got, *by_backprop(case, ("x",), 0.1, **how))
    assert got.epoch_losses[-1] < got.epoch_losses[0]
    assert 0 <= accuracy(case.network, got.params, case.inputs, case.d) <= 1


def test_the_lstm_shares_its_matrices_over_the_steps() -> None:
    case = lstm(6)
    batched = batched_inputs(case)
    how = {"batch_size": 4, "epochs": 2, "seed": 1}
    got = train(case.network, case.params, case.inputs, case.d, eta=0.1, **how)
    same(got, *by_backprop(case, batched, 0.1, **how))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_weights_are_taken_by_row_and_an_epoch_is_the_weighted_risk(reduction: str) -> None:
    net = Network(
        Node("z", Affine(3, 2), "x"),
        divergence=L2(), reduction=reduction, inputs=("x", "w"), weights="w",
    )  # fmt: skip
    w = np.array([1.0, 0.0, 2.0, 0.5, 3.0, 1.0, 0.25])
    case = Case.random(net, x={"x": numbers(7, 3), "w": w})
    how = {"batch_size": 3, "epochs": 2, "seed": 3}
    got = train(net, case.params, case.inputs, case.d, eta=0.01, **how)
    params, losses = by_backprop(case, ("x", "w"), 0.01, **how)
    same(got, params, losses)
    parts = [w[rows].sum() if reduction == "mean" else 1.0 for rows in minibatches(7, 3, 1, 3)]
    whole = w.sum() if reduction == "mean" else 1.0
    assert got.epoch_losses[0] == pytest.approx(np.dot(losses[:3], parts) / whole, rel=1e-13)
    labels = np.zeros(7, int)
    assert accuracy(net, params, {"x": case.inputs["x"]}, labels) == accuracy(
        net, params, case.inputs, labels
    )


def test_an_input_first_without_a_batch_axis_does_not_count_the_samples() -> None:
    net = Network(
        Node("s", Add(), "shift", "x"), Node("z", Affine(3, 2), "s"),
        divergence=L2(), inputs=("shift", "x"), fixed=("shift",),
    )  # fmt: skip
    case = Case.random(net, x={"shift": numbers(1, 3), "x": numbers(9, 3)})
    got = train(net, case.params, case.inputs, case.d, eta=0.1, batch_size=4, epochs=2)
    assert got.steps == 6
    same(got, *by_backprop(case, ("x",), 0.1, batch_size=4, epochs=2))


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"a": (4, 4, 2), "b": (4, 4, 2)}, ("a", "b")),
        ({"a": (4, 4, 2), "b": (4, 2)}, ("a",)),
        ({"a": (4, 2), "b": (4, 4, 2)}, ("b",)),
        ({"a": (4, 2), "b": (1, 2)}, ("a",)),
    ],
)
def test_the_batch_axis_is_found_by_shapes_and_not_by_lengths(shapes: Any, expected: Any) -> None:
    net = Network(Node("m", Multiply(), "a", "b"), divergence=LinearLoss(), inputs=("a", "b"))
    given = {name: numbers(*shape) for name, shape in shapes.items()}
    case = Case.random(net, x=given)
    assert batched_inputs(case) == expected
    rows = np.array([3, 1])
    for name, a in sample_rows(case)(rows).items():
        np.testing.assert_array_equal(a, given[name][rows] if name in expected else given[name])


def test_accuracy_of_a_label_for_every_place_of_a_sequence() -> None:
    y = np.array([[[2.0, 1], [0, 1]], [[0, np.nan], [3, 4]]])
    net = layered([Tanh()], CrossEntropy())
    assert accuracy(net, {}, y, np.array([[0, 0], [1, 1]])) == 0.5
    with pytest.raises(ValueError, match=r"labels have shape \(2,\) and the outputs \(2, 2, 2\)"):
        accuracy(net, {}, y, np.array([0, 0]))
    with pytest.raises(ValueError, match="inputs: missing 'x', unknown 'y'"):
        accuracy(net, {}, {"y": y}, np.array([0, 0]))
    with pytest.raises(ValueError, match=r"the output has shape \(3,\); accuracy takes one row"):
        accuracy(layered([Sum((1,))], L2()), {}, np.ones((3, 2)), np.array([0, 0, 1]))


def chained(*ids: int) -> Case:
    """Ids, a fixed mask and a float input, with a weight for each sample; W of two nodes."""
    net = Network(
        Node("e", Embedding(5, 3, padding_idx=1), "ids"), Node("m", Multiply(), "e", "mask"),
        Node("s", Add(), "m", "x"), Node("z", Affine(3, 3, bias=False), "s", W="W"),
        Node("y", ReLU(), "z"), Node("o", Affine(3, 3, bias=False), "y", W="W"),
        divergence=CrossEntropy(eps=0.01), inputs=("ids", "x", "mask", "w"), fixed=("mask",),
        weights="w", parameters={"W": (3, 3)},
    )  # fmt: skip
    T = len(ids)
    x = {
        "ids": np.array(ids), "x": numbers(T, 3), "mask": numbers(T, 3, seed=1).round(),
        "w": np.arange(T) / 2,
    }  # fmt: skip
    return Case.random(net, x=x)


@pytest.mark.parametrize("case", [two(), chained(0, 3, 3, 1, 4)], ids=["two", "chained"])
def test_the_scalar_form_of_several_inputs_is_backprop(case: Case) -> None:
    vector, scalar = backprop(case), scalar_backprop(case)
    assert scalar.Err == pytest.approx(vector.Err, rel=1e-13)
    np.testing.assert_allclose(scalar.Div, vector.Div, rtol=1e-13)
    for name in ("value", "grad", "edge_grad"):
        v, s = getattr(vector, name), getattr(scalar, name)
        assert v.keys() == s.keys(), name
        for key in v:
            assert v[key].shape == s[key].shape, key
            np.testing.assert_allclose(s[key], v[key], rtol=1e-11, atol=1e-14, err_msg=str(key))
