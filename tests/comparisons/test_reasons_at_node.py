"""Why a node is wrong: another function, of which all its results are, or samples left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.explain.mistakes import mistake
from gradparity.core import (
    L2,
    Affine,
    BatchNorm,
    Case,
    Conv,
    LSTMCell,
    Network,
    Node,
    Op,
    Reshape,
    Tanh,
    Trace,
    backprop,
    layered,
)
from gradparity.core.formulas.smooth import sigmoid

from faults import faulty, with_op

RNG = np.random.default_rng(0)
CONV = Conv(2, 3, (3, 3), padding=1)
IMAGES = Case.random(
    Network(
        Node("c", CONV, "x"),
        Node("t", Tanh(), "c"),
        Node("f", Reshape((75,)), "t"),
        Node("z", Affine(75, 3), "f"),
        divergence=L2(),
    ),
    x=RNG.standard_normal((6, 2, 5, 5)),
)
SQUARE = Case.random(layered([Affine(4, 4), Tanh(), Affine(4, 3)], L2()), batch=8)

Change = Callable[[Any], Any]


def on_other(op: Op, to: Change, back: Change) -> Op:
    """The op on other inputs, with the gradients by its own: consistent, and another function."""
    return faulty(
        op,
        forward=lambda right, *y: right(*to(list(y))),
        vjp=lambda right, dz, y, z: tuple(back(list(right(dz, tuple(to(list(y))), z)))),
    )


def on_slot(op: Op, slot: int, to: Change, back: Change | None = None) -> Op:
    """As `on_other`, where one input is another; the change is its own inverse by default."""

    def at(change: Change) -> Change:
        return lambda y: [change(a) if i == slot else a for i, a in enumerate(y)]

    return on_other(op, at(to), at(back or to))


def mirrored(a: Any) -> Any:
    return a[..., ::-1, ::-1]


def told(case: Case, mine: Any, dtypes: tuple[str, ...] = ("float64",)) -> list[str]:
    """The paragraphs about what is wrong."""
    parts = gp.check(case, mine, dtypes=list(dtypes)).diagnosis().split("\n\n")
    return [" ".join(part.split()) for part in parts if "verdict " in part]


def of_op(node: str, op: Op) -> Any:
    return lambda case: backprop(with_op(case, node, op))


def weighed(op: Op, slot: int, weights: Any) -> Op:
    """The op with these weights of the samples in the gradient by one input."""

    def vjp(right: Any, dz: Any, y: Any, z: Any) -> Any:
        found = list(right(dz, y, z))
        w = np.asarray(weights, dz.dtype).reshape(-1, *[1] * (dz.ndim - 1))
        found[slot] = right(dz * w, y, z)[slot]
        return tuple(found)

    return faulty(op, vjp=vjp)


class TestSamples:
    """A sample that is missing in one gradient, or there twice."""

    @pytest.mark.sample(13)
    @pytest.mark.parametrize("dtypes", [("float64",), ("float32",), ("float64", "float32")])
    @pytest.mark.parametrize("slot", [1, 2])
    @pytest.mark.parametrize(
        ("case", "node", "op"), [(SQUARE, "z1", Affine(4, 4)), (IMAGES, "c", CONV)]
    )
    @pytest.mark.parametrize(
        ("at", "times", "words"),
        [(3, 0, "sample 3 is left out"), (0, 0, "sample 0 is left out"),
         (5, 2, "sample 5 counts 2 times")],
    )  # fmt: skip
    def test_of_one_parameter(
        self, at: int, times: int, words: str, case: Case, node: str, op: Op, slot: int,
        dtypes: tuple[str, ...],
    ) -> None:  # fmt: skip
        weights = np.where(np.arange(case.T) == at, times, 1)
        (only,) = told(case, of_op(node, weighed(op, slot, weights)), dtypes)
        letter = {1: "W", 2: "b"}[slot]
        name = f"{letter}1" if node == "z1" else f"{letter}_c"
        assert only.startswith(f"grad {name}, at node '{node}'")
        assert f"{words}, and every other sample counts once" in only

    def test_of_a_bias_of_one_number(self) -> None:
        case = Case.random(layered([Affine(4, 1)], L2()), batch=32)
        (only,) = told(case, of_op("z1", weighed(Affine(4, 1), 2, np.arange(32) != 17)))
        assert "sample 17 is left out" in only

    def test_a_micro_batch_of_all_parameters_is_one_cause(self) -> None:
        def mine(case: Case) -> Trace:
            trace = backprop(case)
            for node, y in (("z1", case.x), ("z2", trace.value["y1"])):
                dz = trace.grad[node][4:]
                trace.grad[f"W{node[1]}"] = trace.grad[f"W{node[1]}"] - y[4:].T @ dz
                trace.grad[f"b{node[1]}"] = trace.grad[f"b{node[1]}"] - dz.sum(axis=0)
            return trace

        (only,) = told(SQUARE, mine)
        assert "samples 4 to 7 are left out" in only
        assert all(f"grad {name}" in only for name in ("W1", "b1", "W2", "b2"))

    def test_noise_is_no_sample(self) -> None:
        def mine(case: Case) -> Trace:
            trace = backprop(case)
            trace.grad["b1"] = trace.grad["b1"] + RNG.standard_normal(4)
            return trace

        (only,) = told(SQUARE, mine)
        assert "sample" not in only


class TestRearrangedInputs:
    @pytest.mark.parametrize("dtypes", [("float64",), ("float32",), ("float64", "float32")])
    def test_a_mirrored_kernel(self, dtypes: tuple[str, ...]) -> None:
        (only,) = told(IMAGES, of_op("c", on_slot(CONV, 1, mirrored)), dtypes)
        assert only.startswith("value c, at node 'c'")
        assert "right if W_c is mirrored along the axes (2, 3)" in only
        assert "the same grad x -> c at node 'c', grad W_c at node 'c'" in only

    def test_in_the_backward_pass_alone(self) -> None:
        def vjp(right: Any, dz: Any, y: Any, z: Any) -> Any:
            return (right(dz, (y[0], mirrored(y[1]), y[2]), z)[0], *right(dz, y, z)[1:])

        (only,) = told(IMAGES, of_op("c", faulty(CONV, vjp=vjp)))
        assert only.startswith("grad x -> c, at node 'c'")
        assert "right if W_c is mirrored along the axes (2, 3)" in only

    @pytest.mark.parametrize(
        ("case", "node", "op", "words"),
        [
            (IMAGES, "c", on_slot(CONV, 1, lambda W: W.swapaxes(2, 3)),
             "right if W_c has its axes in the order (0, 1, 3, 2)"),
            (IMAGES, "c", on_slot(CONV, 2, lambda b: 0 * b), "right if b_c is left out"),
            (IMAGES, "c", on_slot(CONV, 2, lambda b: -b), "right if b_c has the other sign"),
            (SQUARE, "z1", on_slot(Affine(4, 4), 1, lambda W: W.T), "right if W1 is transposed"),
            (SQUARE, "z1", on_slot(Affine(4, 4), 1, lambda W: W[:, [1, 0, 2, 3]]),
             "right if W1 has its slices along axis 1 in the order [1, 0, 2, 3]"),
            (SQUARE, "z1",
             on_slot(Affine(4, 4), 0, lambda x: np.roll(x, 1, 0), lambda g: np.roll(g, -1, 0)),
             "it is the formula with its rows shifted by one"),
            (IMAGES, "c",
             on_other(CONV, lambda y: [y[0], y[1][[1, 0, 2]], y[2][[1, 0, 2]]],
                      lambda g: [g[0], g[1][[1, 0, 2]], g[2][[1, 0, 2]]]),
             "it is the formula with its slices of axis 1 at 0 and 1 exchanged"),
        ],
    )  # fmt: skip
    def test_is_one_paragraph(self, case: Case, node: str, op: Op, words: str) -> None:
        for dtypes in (("float64",), ("float64", "float32")):
            (only,) = told(case, of_op(node, op), dtypes)
            assert only.startswith(f"value {node}, at node '{node}'")
            assert words in only


class TestModes:
    @pytest.mark.parametrize("training", [True, False])
    def test_of_batch_norm(self, training: bool) -> None:
        op, other = BatchNorm(5, training=training), BatchNorm(5, training=not training)
        case = Case.random(layered([Affine(4, 5), op, Tanh(), Affine(5, 3)], L2()), batch=8)

        def forward(right: Any, *y: Any) -> Any:
            return (other.forward(*y), *y[3:]) if training else other.forward(*y)[0]

        wrong = faulty(op, forward=forward, vjp=lambda right, dz, y, z: other.vjp(dz, y, None))
        (only,) = told(case, of_op("z2", wrong))
        assert only.startswith("value z2, at node 'z2'")
        said = f"right with training = {not training}, where the network has training = {training}"
        assert said in only
        assert "grad z1 -> z2" in only
        assert "grad g2" in only


class TestCells:
    CELL = LSTMCell(3, 4)
    NET = Network(
        Node("s1", CELL, "x1", "h0", "c0", W="W", U="U", b="b"),
        Node("s2", CELL, "x2", "s1.h", "s1.c", W="W", U="U", b="b"),
        Node("o", Affine(4, 2), "s2.h"),
        divergence=L2(),
        inputs=("x1", "x2", "h0", "c0"),
        parameters={"W": (3, 16), "U": (4, 16), "b": (16,)},
    )
    CASE = Case.random(
        NET,
        x={name: RNG.standard_normal((6, 3 if name[0] == "x" else 4)) for name in NET.inputs},
    )

    def of_cells(self, op: Op, *nodes: str) -> Any:
        def mine(case: Case) -> Trace:
            for node in nodes:
                case = with_op(case, node, op)
            return backprop(case)

        return mine

    @pytest.mark.sample(3)
    @pytest.mark.parametrize("nodes", [("s1",), ("s1", "s2")])
    @pytest.mark.parametrize(("blocks", "gates"), [([1, 0, 2, 3], "f, i, g, o"),
                                                   ([0, 1, 3, 2], "i, f, o, g"),
                                                   ([1, 2, 3, 0], "o, i, f, g")])  # fmt: skip
    def test_gates_in_another_order(
        self, blocks: list[int], gates: str, nodes: tuple[str, ...]
    ) -> None:
        order = np.concatenate([np.arange(4) + 4 * k for k in blocks])
        back = np.argsort(order)
        wrong = on_other(
            self.CELL,
            lambda y: [*y[:3], *(p[..., order] for p in y[3:])],
            lambda g: [*g[:3], *(p[..., back] for p in g[3:])],
        )
        (only,) = told(self.CASE, self.of_cells(wrong, *nodes))
        assert only.startswith("value s1.h, at node 's1'")
        assert (
            f"right with its gates in the order {gates}, where the network has i, f, g, o" in only
        )

    def test_no_tanh_of_the_state(self) -> None:
        def gates(x: Any, h: Any, W: Any, U: Any, b: Any) -> Any:
            i, f, g, o = np.split(x @ W + h @ U + b, 4, axis=-1)
            return sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)

        def forward(right: Any, x: Any, h: Any, c: Any, *p: Any) -> Any:
            i, f, g, o = gates(x, h, *p)
            return o * (f * c + i * g), f * c + i * g

        def vjp(right: Any, dz: Any, y: Any, z: Any) -> Any:
            (dh, dc), (x, h, c, *p) = dz, y
            i, f, g, o = gates(x, h, *p)
            new = f * c + i * g
            dc = dc + dh * o
            parts = (dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g),
                     dh * new * o * (1 - o))  # fmt: skip
            ds = np.concatenate(parts, axis=-1)
            return ds @ p[0].T, ds @ p[1].T, dc * f, x.T @ ds, h.T @ ds, ds.sum(axis=0)

        wrong = faulty(self.CELL, forward=forward, vjp=vjp)
        (only,) = told(self.CASE, self.of_cells(wrong, "s1", "s2"))
        assert only.startswith("value s1.h, at node 's1'")
        assert "right with no tanh at the new cell state" in only


class TestTwoFaults:
    """The first one never hides the second."""

    MIRRORED = on_slot(CONV, 1, mirrored)

    def test_a_sample_is_lost_too(self) -> None:
        wrong = weighed(self.MIRRORED, 1, np.arange(6) != 3)
        first, second = told(IMAGES, of_op("c", wrong))
        assert "right if W_c is mirrored along the axes (2, 3)" in first
        assert second.startswith("grad W_c, at node 'c'")
        assert "not the gradient of the function that the value is of either" in second
        assert "sample 3 is left out" in second

    @pytest.mark.parametrize("name", ["W_c", "b_c", "W_z"])
    def test_an_unknown_one_too(self, name: str) -> None:
        def mine(case: Case) -> Trace:
            trace = backprop(with_op(case, "c", self.MIRRORED))
            noise = np.random.default_rng(1).standard_normal(trace.grad[name].shape)
            trace.grad[name] = trace.grad[name] + noise
            return trace

        paragraphs = told(IMAGES, mine)
        assert len(paragraphs) == 2
        assert "right if W_c is mirrored along the axes (2, 3)" in paragraphs[0]
        assert paragraphs[1].startswith(f"grad {name}, at node")

    def test_a_convention_of_another_function_is_told(self) -> None:
        """Only the gradient of the function that the value is of follows from the value."""

        def mine(case: Case) -> Trace:
            trace = backprop(with_op(case, "z1", on_slot(Affine(4, 4), 2, lambda b: -b)))
            trace.grad["W1"] = trace.grad["W1"].T
            return trace

        first, second = told(SQUARE, mine)
        assert "right if b1 has the other sign" in first
        assert second.startswith("grad W1, at node 'z1'")
        assert "CONVENTION transposed" in second


def test_a_mistake_as_near_to_the_right_gradient_explains_nothing() -> None:
    """Beside large elements, small ones that are left out are less than the room of rounding."""
    case = Case.random(layered([Tanh()], L2()), batch=4, width=3)
    trace = backprop(case)
    bound = np.zeros((4, 3))
    for first, said in ((1.0, "exactly what this mistake gives: a sample left out"), (1e-20, "")):
        dz = np.ones((4, 3))
        dz[0] = first
        trace.grad["y1"] = dz
        got = dz * (1 - np.tanh(case.x) ** 2)
        got[0] = 0.0 if said else got[0]
        got[2, 1] *= 1 + 3e-16
        assert mistake(case, trace, "grad x -> y1", got, bound) == said


def test_a_mistake_that_gives_infinities_explains_no_finite_gradient() -> None:
    """1/w is finite where x/w^2, the gradient by the other input, is not."""
    net = Network(Node("q", gp.ops.Divide(), "x", "w"), divergence=L2(), inputs=("x", "w"))
    x, w = np.ones((4, 3)), np.full((4, 3), 1e-200)
    trace = backprop(Case.random(net, x={"x": x, "w": np.ones((4, 3))}))
    case = Case(net, {}, {"x": x, "w": w}, np.ones((4, 3)))
    trace.value["q"], trace.grad["q"] = x / w, np.ones((4, 3))
    assert mistake(case, trace, "grad x -> q", np.zeros((4, 3)), np.zeros((4, 3))) == ""
