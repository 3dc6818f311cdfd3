"""Sequences of several lengths: PyTorch's packed ones, and a mask that keeps the state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gradparity as gp
from gradparity import ops
from gradparity.core import backprop

from .test_planted import Plant

LENGTHS = np.array([5, 3, 2])
T, B, D, H = 5, 3, 3, 4


def packed(layer: nn.Module, x: torch.Tensor, batch_first: bool = False) -> torch.Tensor:
    of = nn.utils.rnn
    line, last = layer(of.pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first))
    out, _ = of.pad_packed_sequence(line, batch_first)
    return out.square().sum() + (last[0] if isinstance(last, tuple) else last).exp().sum()


@pytest.mark.sample(5)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_packed_sequences_are_judged(kind: Any, batch_first: bool) -> None:
    torch.manual_seed(0)
    layer = kind(D, H, batch_first=batch_first, bidirectional=True)
    x = torch.randn(*((B, T) if batch_first else (T, B)), D, requires_grad=True)
    with gp.record() as seen:
        packed(layer, x, batch_first).backward()
    report = gp.check(seen)
    assert report.exit_code == 0, report.diagnosis()
    assert "differences" not in seen.coverage_in_words


def without_biases(plant: Plant, layers: int) -> gp.Recording:
    torch.manual_seed(0)
    layer = nn.LSTM(D, H, layers, bias=False, bidirectional=True)
    x = torch.randn(T, B, D, requires_grad=True)
    with plant, gp.record() as seen:
        layer(x)[0].square().sum().backward()
    return seen


@pytest.mark.parametrize("layers", [1, 2])
def test_an_lstm_without_biases_is_judged(layers: int) -> None:
    right = without_biases(Plant(backward=True), layers)
    assert gp.check(right).exit_code == 0, gp.check(right).diagnosis()
    assert not right.unjudged
    plant = Plant(backward=True)
    without_biases(plant, layers)
    kernel = plant.calls.index("mkldnn_rnn_layer_backward")
    wrong = without_biases(Plant(backward=True, at=kernel, by=1e-3), layers)
    accused = {wrong.places[f.node].function for f in wrong.findings if f.parity is False}
    assert accused == {"aten.mkldnn_rnn_layer.default"}


class Shifted(torch.autograd.Function):
    """Packs sequences; its gradient goes to the step after the right one."""

    @staticmethod
    def forward(ctx, x):
        ctx.shape = x.shape
        return torch._pack_padded_sequence(x, torch.tensor(LENGTHS), False)[0]

    @staticmethod
    def backward(ctx, dz):
        steps = torch._pack_padded_sequence(
            torch.arange(T)[:, None, None].expand(T, B, 1), torch.tensor(LENGTHS), False
        )[0].flatten()  # fmt: skip
        rows = torch._pack_padded_sequence(
            torch.arange(B)[None, :, None].expand(T, B, 1), torch.tensor(LENGTHS), False
        )[0].flatten()  # fmt: skip
        return dz.new_zeros(ctx.shape).index_put(((steps + 1) % T, rows), dz)


def test_a_gradient_at_another_step_is_accused() -> None:
    x = torch.randn(T, B, D, requires_grad=True)
    with gp.record() as seen:
        Shifted.apply(x).square().sum().backward()
    assert {seen.places[f.node].function for f in seen.findings if f.parity is False} == {"Shifted"}


def masked(cell: Any, states: tuple[str, ...]) -> gp.Network:
    """The steps of a cell; where a sequence is over, the mask keeps its state."""
    nodes: list[gp.Node] = []
    held = {s: f"{s}_0" for s in states}
    letters = dict.fromkeys("WUb")
    letters = {letter: f"{letter}_all" for letter in letters}
    for t in range(T):
        nodes.append(gp.Node(f"s{t}", cell, f"x_{t}", *held.values(), **letters))
        for s in states:
            new = f"s{t}" if len(states) == 1 else f"s{t}.{s}"
            nodes.append(gp.Node(f"{s}{t}", ops.Where(), f"ids_{t}", new, held[s]))
            held[s] = f"{s}{t}"
    nodes.append(gp.Node("z", ops.Identity(), held["h"]))
    shapes = cell.parameter_shapes()
    inputs = [f"{kind}_{t}" for t in range(T) for kind in ("x", "ids")]
    return gp.Network(
        *nodes, divergence=ops.LinearLoss(), inputs=(*inputs, *(f"{s}_0" for s in states)),
        parameters={f"{letter}_all": shape for letter, shape in shapes.items()},
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "cell", "states"), [
    (nn.RNN, ops.RNNCell(D, H), ("h",)), (nn.LSTM, ops.LSTMCell(D, H), ("h", "c")),
], ids=["RNN", "LSTM"])  # fmt: skip
def test_a_mask_that_keeps_the_state_is_a_packed_layer(
    kind: Any, cell: Any, states: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    layer = kind(D, H).double()
    x, d = torch.randn(T, B, D).double(), torch.randn(B, H).double()
    _, last = layer(nn.utils.rnn.pack_padded_sequence(x, torch.tensor(LENGTHS)))
    last = last[0] if isinstance(last, tuple) else last
    (last[0] * d).sum(-1).mean().backward()
    given: dict[str, Any] = {f"x_{t}": x[t].numpy() for t in range(T)}
    given |= {f"ids_{t}": (t < LENGTHS).astype(int)[:, None] for t in range(T)}
    given |= {f"{s}_0": np.zeros((B, H)) for s in states}
    w, u, b, c = (p.detach().numpy() for p in layer.parameters())
    params = {"W_all": w.T.copy(), "U_all": u.T.copy(), "b_all": b + c}
    case = gp.Case(masked(cell, states), params, given, d.numpy())
    ours = backprop(case)
    np.testing.assert_allclose(ours.value["z"], last[0].detach().numpy(), rtol=1e-12)
    for name, p in zip(("W_all", "U_all", "b_all"), list(layer.parameters())[:3], strict=True):
        np.testing.assert_allclose(ours.grad[name], p.grad.numpy().T, rtol=1e-10, atol=1e-14)
    report = gp.check(case, "torch")
    assert report.exit_code == 0, report.diagnosis()


def test_a_bias_of_attention_with_a_slope_that_is_learned() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 5, 4, requires_grad=True) for _ in range(3))
    slopes = torch.rand(3, requires_grad=True)
    far = -torch.arange(5.0).sub(torch.arange(5.0)[:, None]).abs()
    with gp.record() as seen:
        nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=slopes[:, None, None] * far
        ).square().sum().backward()  # fmt: skip
    report = gp.check(seen)
    assert report.exit_code == 0, report.diagnosis()


class Halved(torch.autograd.Function):
    """Attention whose bias has half of its gradient."""

    @staticmethod
    def forward(ctx, q, k, v, bias):
        ctx.save_for_backward(q, k, v, bias)
        return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)

    @staticmethod
    def backward(ctx, dz):
        y = [a.detach().requires_grad_() for a in ctx.saved_tensors]
        with torch.enable_grad():
            z = nn.functional.scaled_dot_product_attention(*y[:3], attn_mask=y[3])
        *others, bias = torch.autograd.grad(z, y, dz)
        return *others, bias / 2


def test_a_wrong_gradient_of_the_bias_is_accused() -> None:
    torch.manual_seed(0)
    y = [torch.randn(2, 3, 5, 4, requires_grad=True) for _ in range(3)]
    with gp.record() as seen:
        Halved.apply(*y, torch.randn(3, 5, 5, requires_grad=True)).square().sum().backward()
    accused = [f for f in seen.findings if f.parity is False]
    assert {seen.places[f.node].function for f in accused} == {"Halved"}
    assert len(accused) == 1
