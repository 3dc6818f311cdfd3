"""Whole layers of sequences: PyTorch's own layers, JAX's scans, and wrong gradients of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import gradparity as gp
from gradparity import ops
from gradparity.core import Case, LinearLoss, Network, Node, Op, backprop

from faults import with_op

LAYERS: dict[str, Op] = {
    "rnn": ops.RNN(4, 3),
    "lstm": ops.LSTM(4, 3),
    "gru": ops.GRU(4, 3),
    "gru-reset-before": ops.GRU(4, 3, reset_after=False),
    "lstm-both-ways": ops.LSTM(4, 3, bidirectional=True),
    "gru-both-ways": ops.GRU(4, 3, bidirectional=True),
    "reset-before-both-ways": ops.GRU(4, 3, bidirectional=True, reset_after=False),
    "multi-head": ops.MultiHeadAttention(4, 2),
    "multi-head-causal": ops.MultiHeadAttention(4, 2, causal=True, bias=False),
    "multi-head-cross": ops.MultiHeadAttention(4, 2, cross=True),
}


def case_of(op: Op, steps: int = 5, batch: int = 3, seed: int = 0) -> Case:
    names = ("x", "memory")[: op.n_inputs]
    network = Network(Node("y1", op, *names), divergence=LinearLoss(), inputs=names)
    rng = np.random.default_rng(seed)
    shapes = {"x": (batch, steps, 4), "memory": (batch, 2, 4)}
    return Case.random(network, seed=seed, x={n: rng.standard_normal(shapes[n]) for n in names})


@pytest.mark.sample(7)
@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_right_layer_is_right(name: str, framework: str) -> None:
    report = gp.check(case_of(LAYERS[name]), framework)
    assert report.exit_code == 0, str(report)


@pytest.mark.parametrize("name", LAYERS)
def test_parameters_are_exported_bitwise(name: str) -> None:
    case, adapter = case_of(LAYERS[name]), gp.get_adapter("torch")
    found = adapter.export(case.network, adapter.build(case.network, case.params))
    assert list(found) == list(case.params)
    for parameter, array in case.params.items():
        assert found[parameter].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    ("name", "layer"), [("lstm-both-ways", torch.nn.LSTM), ("gru", torch.nn.GRU),
                        ("rnn", torch.nn.RNN), ("multi-head", torch.nn.MultiheadAttention)]
)  # fmt: skip
def test_the_twin_is_a_layer_of_pytorch(name: str, layer: type[torch.nn.Module]) -> None:
    case = case_of(LAYERS[name])
    module: Any = gp.get_adapter("torch").build(case.network, case.params)
    assert isinstance(module.y1, layer)
    assert len(list(module.y1.parameters())) == len(case.params)


def other_steps(op: Any, dz: Any, y: Any, z: Any) -> Any:
    """Without what the next step returns: every step has only its own dz."""
    if isinstance(op, ops.MultiHeadAttention):
        q, *others = op.vjp(dz, y, z)
        return 0.99 * q, *others
    found = [op.vjp(np.where(np.arange(5)[:, None] == t, dz, 0), y, z) for t in range(5)]
    own = [g[0] * (np.arange(5)[:, None] == t) for t, g in enumerate(found)]
    return (sum(own), *op.vjp(dz, y, z)[1:])


def without_a_sample(op: Any, dz: Any, y: Any, z: Any) -> Any:
    found = list(op.vjp(dz, y, z))
    n = op.n_inputs
    found[n:] = op.vjp(np.where(np.arange(len(dz))[:, None, None] == 0, 0, dz), y, z)[n:]
    return tuple(found)


def last_element(op: Any, dz: Any, y: Any, z: Any) -> Any:
    found = [g.copy() for g in op.vjp(dz, y, z)]
    found[-1].flat[0] *= 1.001
    return tuple(found)


@pytest.mark.parametrize("wrong", [other_steps, without_a_sample, last_element])
@pytest.mark.parametrize("name", LAYERS)
def test_a_wrong_gradient_is_found_at_its_node(name: str, wrong: Any) -> None:
    op, case = LAYERS[name], case_of(LAYERS[name])

    class Wrong(type(op)):  # type: ignore[misc]
        def vjp(self, dz: Any, y: Any, z: Any) -> Any:
            return wrong(op, dz, y, z)

    other = Wrong(**vars(op))

    def mine(case: Case) -> Any:
        return backprop(with_op(case, "y1", other))

    report = gp.check(case, mine, dtypes=["float64"])
    bad = {str(f.quantity) for run in report.runs for f in run.findings if f.parity is False}
    assert report.exit_code == 1
    final = {"last_element": f"grad {list(case.params)[-1]}", "other_steps": "grad x -> y1"}
    assert final.get(wrong.__name__, f"grad {next(iter(case.params))}") in bad
    assert not any("value" in q or "Div" in q for q in bad)


@pytest.mark.parametrize(("op", "gates"), [(ops.LSTM(4, 3), "f, i, g, o"),
                                           (ops.GRU(4, 3), "u, r, n")])  # fmt: skip
def test_other_gates_are_named(op: Any, gates: str) -> None:
    blocks = [1, 0, *range(2, len(gates.split(", ")))]
    order = np.concatenate([np.arange(3) + 3 * k for k in blocks])

    def function(x: Any, *p: Any) -> Any:
        return op.forward(x, *(a[..., order] for a in p))

    def gradients(dz: Any, x: Any, *p: Any) -> Any:
        q = tuple(a[..., order] for a in p)
        dx, *dp = op.vjp(dz, (x, *q), op.forward(x, *q))
        return dx, *(a[..., np.argsort(order)] for a in dp)

    report = gp.check_op(function, gradients, reference=op, shape=(2, 4), dtypes=["float64"])
    notes = [f.note for run in report.runs for f in run.findings if f.parity is False]
    assert any(f"right with its gates in the order {gates}" in note for note in notes)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ops.MultiHeadAttention(4, 3), "3 heads do not divide a width of 4"),
        (lambda: ops.MultiHeadAttention(4, 2, causal=True, cross=True), "give one of both"),
        (lambda: ops.LSTM(4, 3).output_shape((2, 5, 3)), r"give \(\.\.\., T, 4\)"),
        (lambda: ops.RNN(4, 3).output_shape((2, 0, 4)), "T >= 1"),
    ],
)
def test_what_does_not_fit_is_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
