"""Whole layers written as nodes, against the one function that a framework has for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Verdict
from gradparity.core import (
    Affine,
    Attention,
    Case,
    Concatenate,
    LinearLoss,
    LSTMCell,
    Network,
    Node,
    Reshape,
    Select,
    Transpose,
)
from gradparity.core.vocabulary.rearranging import Repeat, Stack, Tile
from gradparity.core.vocabulary.sequences import GRUCell

torch = pytest.importorskip("torch")

#: Samples; two layers of cells, in both directions.
BATCH, LAYERS, DIRECTIONS = 4, 2, ("", "_reverse")


def case_of(nodes: list[Node], shapes: dict[str, Any], parameters: Any = None) -> Case:
    """Random inputs of these shapes per sample, and parameters shared by the nodes."""
    rng = np.random.default_rng(0)
    network = Network(
        *nodes,
        divergence=LinearLoss(),
        reduction="sum",
        inputs=tuple(shapes),
        parameters=parameters,
    )
    inputs = {name: rng.standard_normal((BATCH, *shape)) for name, shape in shapes.items()}
    return Case.random(network, seed=1, x=inputs)


def by_torch(case: Case, run: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The output, and the gradients of all inputs and parameters."""
    given = {**case.inputs, **case.params}
    leaves = {name: torch.tensor(a, requires_grad=True) for name, a in given.items()}
    z = run(leaves)
    (z * torch.tensor(case.desired)).sum().backward()
    grads = {f"grad {name}": leaf.grad.numpy() for name, leaf in leaves.items()}
    return {f"value {case.network.output}": z.detach().numpy(), **grads}


def unequal(case: Case, run: Callable[[dict[str, Any]], Any]) -> dict[str, Verdict]:
    """The quantities without parity; every one that `by_torch` returns must be judged."""
    returned = set(by_torch(case, run))
    report = gp.check(case, lambda case: by_torch(case, run), dtypes=["float64"])
    findings = [f for _, f in report.findings() if f.quantity in returned]
    assert {f.quantity for f in findings} == returned
    return {f.quantity: f.verdict for f in findings if f.parity is not True}


@pytest.mark.parametrize("causal", [False, True])
def test_attention_with_grouped_queries(causal):
    def case(copies: Any) -> Case:
        nodes = [
            Node("keys", copies, "k"),
            Node("values", copies, "v"),
            Node("z", Attention(causal=causal), "q", "keys", "values"),
        ]
        return case_of(nodes, {"q": (4, 3, 2), "k": (2, 3, 2), "v": (2, 3, 5)})

    def run(y: dict[str, Any]) -> Any:
        attend = torch.nn.functional.scaled_dot_product_attention
        return attend(y["q"], y["k"], y["v"], is_causal=causal, enable_gqa=True)

    assert unequal(case(Repeat(2, axis=1)), run) == {}
    assert unequal(case(Tile(2, axis=1)), run)["value z"] is Verdict.MISMATCH


def test_attention_with_several_heads():
    width, heads, length = 4, 2, 3
    nodes, parameters = [], {}
    for letter, source in (("q", "x"), ("k", "memory"), ("v", "memory")):
        parameters |= {f"W{letter}": (width, width), f"b{letter}": (width,)}
        nodes += [
            Node(f"{letter}_all", Affine(width, width), source, W=f"W{letter}", b=f"b{letter}"),
            Node(f"{letter}_rows", Reshape((length, heads, width // heads)), f"{letter}_all"),
            Node(letter, Transpose((0, 2, 1, 3)), f"{letter}_rows"),
        ]
    parameters |= {"Wo": (width, width), "bo": (width,)}
    nodes += [
        Node("a", Attention(), "q", "k", "v"),
        Node("a_rows", Transpose((0, 2, 1, 3)), "a"),
        Node("a_all", Reshape((length, width)), "a_rows"),
        Node("z", Affine(width, width), "a_all", W="Wo", b="bo"),
    ]
    shapes = {"x": (length, width), "memory": (length, width)}
    module = torch.nn.MultiheadAttention(width, heads, batch_first=True, dtype=torch.float64)

    def run(y: dict[str, Any]) -> Any:
        own = {
            "in_proj_weight": torch.cat([y["Wq"].T, y["Wk"].T, y["Wv"].T]),
            "in_proj_bias": torch.cat([y["bq"], y["bk"], y["bv"]]),
            "out_proj.weight": y["Wo"].T,
            "out_proj.bias": y["bo"],
        }
        given = (y["x"], y["memory"], y["memory"])
        return torch.func.functional_call(module, own, given, {"need_weights": False})[0]

    # A bias of the keys adds the same to all scores of a row, which a softmax does not see.
    assert unequal(case_of(nodes, shapes, parameters), run) == {"grad bk": Verdict.VACUOUS}


def both_ways(d: int, h: int) -> Iterator[tuple[int, str, int]]:
    """(layer, direction, width of its input), in PyTorch's order."""
    for layer in range(LAYERS):
        for way in DIRECTIONS:
            yield layer, f"l{layer}{way}", d if layer == 0 else 2 * h


def unrolled(cell: Any, d: int, h: int, length: int) -> Case:
    """Two layers of cells in both directions; the steps of each share its parameters."""
    nodes = [Node(f"x_0_{t}", Select(t), "x") for t in range(length)]
    shapes: dict[str, Any] = {"x": (length, d)}
    parameters: dict[str, Any] = {}
    for layer, name, width in both_ways(d, h):
        op = cell(width, h)
        own = {letter: f"{letter}_{name}" for letter in op.parameter_shapes()}
        parameters |= {own[letter]: shape for letter, shape in op.parameter_shapes().items()}
        state = [f"{s}_{name}" for s in ("h", "c")[: op.n_inputs - 1]]
        shapes |= dict.fromkeys(state, (h,))
        order = range(length)
        for t in reversed(order) if name.endswith("reverse") else order:
            step = f"s_{name}_{t}"
            nodes.append(Node(step, op, f"x_{layer}_{t}", *state, **own))
            state = [f"{step}.{s}" for s in op.outputs] if len(op.outputs) > 1 else [step]
        if name.endswith("reverse"):
            end = ".h" if len(op.outputs) > 1 else ""
            for t in order:
                sides = [f"s_l{layer}{way}_{t}{end}" for way in DIRECTIONS]
                nodes.append(Node(f"x_{layer + 1}_{t}", Concatenate(), *sides))
    nodes.append(Node("z", Stack(), *(f"x_{LAYERS}_{t}" for t in range(length))))
    return case_of(nodes, shapes, parameters)


@pytest.mark.parametrize(("cell", "layer"), [(LSTMCell, "LSTM"), (GRUCell, "GRU")])
def test_two_recurrent_layers_in_both_directions(cell, layer):
    d, h, length = 3, 2, 3
    case = unrolled(cell, d, h, length)
    module = getattr(torch.nn, layer)(
        d, h, LAYERS, batch_first=True, bidirectional=True, dtype=torch.float64
    )

    def run(y: dict[str, Any]) -> Any:
        own, names = {}, [name for _, name, _ in both_ways(d, h)]
        for name in names:
            own |= {
                f"weight_ih_{name}": y[f"W_{name}"].T,
                f"weight_hh_{name}": y[f"U_{name}"].T,
                f"bias_ih_{name}": y[f"b_{name}"],
                # A GRU has its second bias inside of r (h U + c); an LSTM adds up both.
                f"bias_hh_{name}": y[f"c_{name}"] if layer == "GRU" else 0 * y[f"b_{name}"],
            }
        start = torch.stack([y[f"h_{name}"] for name in names])
        if layer == "LSTM":
            start = (start, torch.stack([y[f"c_{name}"] for name in names]))
        return torch.func.functional_call(module, own, (y["x"], start))[0]

    assert unequal(case, run) == {}
