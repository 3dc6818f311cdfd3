"""Why a result is wrong: what it is instead, found by fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.explain.derivations import BACKWARD
from gradparity.comparisons.explain.hints import hint
from gradparity.core import (
    ELU,
    L2,
    Add,
    Affine,
    Attention,
    BatchNorm,
    Case,
    CrossEntropy,
    LayerNorm,
    LeakyReLU,
    Network,
    Node,
    ReLU,
    Sigmoid,
    Softmax,
    Softplus,
    Tanh,
    Trace,
    backprop,
    layered,
)
from gradparity.core.network.quantity import by_quantity

from faults import faulty, with_op

RNG = np.random.default_rng(0)
WANT = RNG.standard_normal((8, 6))
CUBE = RNG.standard_normal((4, 3, 5, 5))


def said(got: Any, want: Any = WANT) -> str:
    return hint(got, want, np.full(want.shape, 1e-14))


class TestRightNumbersInWrongPlaces:
    @pytest.mark.parametrize(
        ("got", "words"),
        [
            (WANT[::-1], "mirrored: its rows are in reverse order"),
            (WANT[:, ::-1], "mirrored: its columns are in reverse order"),
            (WANT[[1, 0, *range(2, 8)]], "with its rows 0 and 1 exchanged"),
            (np.roll(WANT, 1, 0), "with its rows shifted by one"),
            (np.roll(WANT, 2, 1), "with its columns shifted by 2"),
            (
                WANT[:, [2, 3, 0, 1, 4, 5]],
                "with its columns in blocks of 2, in the order [1, 0, 2]",
            ),
            (WANT[[3, 1, 0, 2, 7, 4, 6, 5]], "rows in another order [3, 1, 0, 2, 7, 4, 6, 5]"),
        ],
    )
    def test_of_a_matrix(self, got: Any, words: str) -> None:
        assert words in said(got)

    @pytest.mark.parametrize(
        ("got", "words"),
        [
            (CUBE[..., ::-1, ::-1], "mirrored along the axes (2, 3)"),
            (CUBE.transpose(0, 1, 3, 2), "with its axes in the order (0, 1, 3, 2)"),
            (CUBE[[0, 2, 1, 3]], "with its slices of axis 0 at 1 and 2 exchanged"),
        ],
    )
    def test_of_a_kernel(self, got: Any, words: str) -> None:
        assert words in said(got, CUBE)

    def test_a_wide_bound_of_one_element_is_no_excuse(self) -> None:
        """Attention: one element without a bound made every arrangement fit."""
        bound = np.full(WANT.shape, 1e-14)
        bound[0, 0] = 1e3
        assert hint(WANT + RNG.standard_normal(WANT.shape), WANT, bound) == ""

    def test_noise_is_nothing(self) -> None:
        assert said(WANT * (1 + RNG.standard_normal(WANT.shape))) == ""


class TestFactorsOfSlices:
    def test_of_micro_batches(self) -> None:
        got = WANT * np.repeat([2.0, 0.5], 4)[:, None]
        assert (
            said(got)
            == "rows 0 to 3 are 2 times the formula and rows 4 to 7 are 0.5 times the formula"
        )

    def test_of_some(self) -> None:
        got = WANT * np.array([1, 3, 1, 1, 1, 1])
        assert said(got) == "column 1 is 3 times the formula; every other column is right"

    def test_of_each(self) -> None:
        assert "every row is a multiple of the formula" in said(
            WANT * np.arange(2.0, 10.0)[:, None]
        )

    def test_single_numbers_are_multiples_of_anything(self) -> None:
        assert "multiple" not in said(RNG.standard_normal((8, 1)), WANT[:, :1])


def value_of(case: Case, name: str, op: Any) -> Trace:
    """A trace whose forward and backward pass have another op at one node."""
    return backprop(with_op(case, name, op))


class TestNumbers:
    """An argument of an op is fitted, also where no convention lists it."""

    @pytest.mark.parametrize(
        ("op", "other", "words"),
        [
            (LayerNorm(5), LayerNorm(5, eps=3.1e-4), "right with eps = 0.00031"),
            (BatchNorm(5), BatchNorm(5, eps=2e-7), "right with eps = 2e-07"),
            (BatchNorm(5), BatchNorm(5, momentum=0.37), "right with momentum = 0.37"),
        ],
    )
    def test_of_a_norm(self, op: Any, other: Any, words: str) -> None:
        case = Case.random(layered([op, Affine(5, 3)], L2()), batch=16, width=5)
        node = case.network.nodes[0].name
        report = gp.check(case, lambda c: value_of(c, node, other), dtypes=["float64"])
        assert not report
        assert words in report.diagnosis()

    def test_of_softmax_by_another_axis(self) -> None:
        case = Case.random(layered([Softmax()], L2()), batch=6, width=5)
        node = case.network.nodes[0].name
        report = gp.check(case, lambda c: value_of(c, node, Softmax(axis=0)), dtypes=["float64"])
        assert "right with axis = 0, where the network has axis = -1" in report.diagnosis()

    @pytest.mark.parametrize(
        ("op", "value", "slope", "words"),
        [
            (Softplus(), lambda z: np.log1p(np.exp(2 * z)) / 2, lambda z: 1 / (1 + np.exp(-2 * z)),
             "right as f(b z) / b with b = 2.0"),
            (Sigmoid(), lambda z: 1 / (1 + np.exp(-1.7 * z)),
             lambda z: 1.7 * np.exp(-1.7 * z) / (1 + np.exp(-1.7 * z)) ** 2,
             "right if its first input is multiplied by 1.7"),
        ],
    )  # fmt: skip
    def test_of_a_scale(self, op: Any, value: Any, slope: Any, words: str) -> None:
        case = Case.random(layered([op], L2()), batch=8, width=4)
        node = case.network.nodes[0].name

        def mine(case: Case) -> Trace:
            trace = backprop(case)
            trace.value[node] = value(case.x)
            return trace

        assert words in gp.check(case, mine, dtypes=["float64"]).diagnosis()

    def test_of_attention_without_its_scale(self) -> None:
        net = Network(
            Node("a", Attention(), "q", "k", "v"), divergence=L2(), inputs=("q", "k", "v")
        )
        rng = np.random.default_rng(0)
        case = Case.random(net, x={name: rng.standard_normal((2, 3, 4)) for name in "qkv"})

        def mine(case: Case) -> Trace:
            trace, (q, k, v) = backprop(case), (case.inputs[n] for n in "qkv")
            e = np.exp(q @ k.transpose(0, 2, 1))
            trace.value["a"] = e / e.sum(-1, keepdims=True) @ v
            return trace

        said = gp.check(case, mine, dtypes=["float64"]).diagnosis()
        assert "right with scale = 1.0, where the network has scale = None" in said

    def test_a_right_value_is_not_asked(self) -> None:
        case = Case.random(layered([LeakyReLU(0.01)], L2()), batch=6, width=5)
        assert gp.check(case, backprop)


class TestPaths:
    NET = Network(
        Node("a", Tanh(), "x"),
        Node("b", Sigmoid(), "x"),
        Node("c", ELU(), "x"),
        Node("s", Add(), "a", "b", "c"),
        divergence=L2(),
    )

    @pytest.mark.parametrize(
        ("times", "words"),
        [
            ((1, 1, 0), "the gradient through 'c' is left out"),
            ((0, 0, 1), "only the gradient through 'c' is in it: the last one was assigned"),
            ((1, 0, 0), "only the gradient through 'a' is in it: those of its other uses were not"),
            ((1, 2, 1), "it counts the gradient through 'b' 2 times"),
        ],
    )
    def test_of_a_sum(self, times: tuple[int, ...], words: str) -> None:
        def mine(case: Case) -> Trace:
            trace = backprop(case)
            uses = [trace.edge_grad["x", name] for name in "abc"]
            trace.grad["x"] = sum(t * g for t, g in zip(times, uses, strict=True))
            return trace

        report = gp.check(Case.random(self.NET, batch=8, width=3), mine, dtypes=["float64"])
        assert words in report.diagnosis()

    def test_from_end_to_end(self) -> None:
        """Nothing but the gradient of x is returned."""

        def mine(case: Case) -> dict[str, Any]:
            trace = backprop(case)
            return {"grad x": trace.edge_grad["x", "a"] + trace.edge_grad["x", "c"]}

        report = gp.check(Case.random(self.NET, batch=8, width=3), mine)
        assert "its uses are summed otherwise: the gradient through 'b' is left out" in str(report)
        assert report.diagnosis().count("verdict ") == 1

    def test_time_steps_of_a_shared_parameter(self) -> None:
        """Three steps share W; only the gradients of the last two are in the result."""
        steps = [Node(f"z{i}", Affine(3, 3, bias=False), v, W="W") for i, v in enumerate("xuv")]
        turns = [Node("u", Tanh(), "z0"), Node("v", Tanh(), "z1")]
        nodes = (steps[0], turns[0], steps[1], turns[1], steps[2])
        net = Network(*nodes, divergence=L2(), parameters={"W": (3, 3)})
        case = Case.random(net, batch=8, width=3)

        def mine(case: Case) -> dict[str, Any]:
            uses = backprop(case).edge_grad
            return {
                "grad W": sum(g for (name, to), g in uses.items() if name == "W" and to != "z0")
            }

        said = gp.check(case, mine).diagnosis()
        assert "its uses are summed otherwise: the gradient through 'z0' is left out" in said


class TestOneMistakeForAllResults:
    """Only the gradients of the parameters are returned, as most people's code does."""

    def parameters(self, case: Case, wrong: Case) -> dict[str, Any]:
        grad = backprop(wrong).grad
        return {f"grad {name}": grad[name] for name in case.network.trained}

    @pytest.mark.sample(3)
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize(
        ("layers", "at", "mistake"),
        [
            ([Affine(5, 6), ReLU(), Affine(6, 3)], 1, "the sign of the gradient asked"),
            ([Affine(5, 6), Tanh(), Affine(6, 3)], 1, "input and output exchanged"),
            (
                [Affine(5, 6), Tanh(), Affine(6, 6), Sigmoid(), Affine(6, 3)],
                3,
                "a term left out",
            ),
            ([Affine(5, 6), LayerNorm(6), Affine(6, 3)], 1, "the variance taken for a constant"),
        ],
    )
    def test_it_is_named_at_its_node(
        self, layers: list[Any], at: int, mistake: str, dtype: str
    ) -> None:
        case = Case.random(layered(layers, CrossEntropy()), batch=16)
        node, slip = case.network.nodes[at].name, BACKWARD[mistake]
        op = faulty(layers[at], vjp=lambda right, dz, y, z: slip(layers[at], dz, y, z))
        report = gp.check(case, lambda c: self.parameters(c, with_op(c, node, op)), dtypes=[dtype])
        said = report.diagnosis()
        assert f"made at node '{node}': {mistake}" in " ".join(said.split())
        assert said.count("verdict ") == 1  # one cause, one paragraph
        assert "judged from end to end" not in said  # where it is, is known

    def test_exchanged_parameters(self) -> None:
        case = Case.random(layered([Affine(4, 4), Tanh(), Affine(4, 4)], L2()), batch=8)

        def mine(case: Case) -> dict[str, Any]:
            grad = backprop(case).grad
            return {"grad W1": grad["W2"], "grad W2": grad["W1"], "grad b2": grad["b2"]}

        said = gp.check(case, mine).diagnosis()
        assert "exchanged: grad W1 and grad W2" in said
        assert said.count("verdict ") == 1

    def test_exchanged_parameters_of_a_trace(self) -> None:
        case = Case.random(layered([Affine(4, 4), Tanh(), Affine(4, 4)], L2()), batch=8)

        def mine(case: Case) -> Trace:
            trace = backprop(case)
            trace.grad["W1"], trace.grad["W2"] = trace.grad["W2"], trace.grad["W1"]
            return trace

        said = gp.check(case, mine).diagnosis()
        assert "exchanged: grad W1 and grad W2" in said
        assert said.count("verdict ") == 1

    def test_two_mistakes_are_not_one(self) -> None:
        case = Case.random(layered([Affine(5, 6), ReLU(), Affine(6, 3)], CrossEntropy()), batch=16)

        def mine(case: Case) -> dict[str, Any]:
            grad = backprop(case).grad
            noise = np.random.default_rng(1).standard_normal(grad["W1"].shape)
            return {"grad W1": grad["W1"] + noise, "grad W2": grad["W2"]}

        assert "exactly what this mistake" not in gp.check(case, mine).diagnosis()


class TestNorms:
    @pytest.mark.parametrize("op", [LayerNorm(5), BatchNorm(5)])
    @pytest.mark.parametrize(
        "mistake", ["the variance taken for a constant", "the mean and the variance taken for"]
    )
    def test_statistics_that_are_not_differentiated(self, op: Any, mistake: str) -> None:
        slip = next(fault for name, fault in BACKWARD.items() if name.startswith(mistake))
        case = Case.random(layered([Affine(4, 5), op, Tanh()], L2()), batch=8)
        wrong = faulty(op, vjp=lambda right, dz, y, z: slip(op, dz, y, z))
        node = next(s.name for s in case.network.steps if s.op == op)

        def mine(case: Case) -> dict[str, Any]:
            """Everything but the running statistics, which few return."""
            given = by_quantity(backprop(with_op(case, node, wrong)))
            return {q: a for q, a in given.items() if ".mean" not in q and ".var" not in q}

        said = " ".join(gp.check(case, mine, dtypes=["float64"]).diagnosis().split())
        assert mistake in said
        assert f"at node '{node}'" in said


class TestArithmetic:
    def test_float32_inside_of_float64(self) -> None:
        case = Case.random(layered([Affine(6, 8), Tanh(), Affine(8, 3)], CrossEntropy()), batch=32)

        def mine(case: Case) -> dict[str, Any]:
            grad = backprop(case.astype("float32")).grad
            return {f"grad {p}": grad[p].astype(case.dtype) for p in case.network.trained}

        said = gp.check(case, mine, dtypes=["float64"]).diagnosis()
        assert "why         as far off as float32 arithmetic is" in said
        assert said.count("verdict ") == 1

    def test_a_small_fault_is_not_put_down_to_it(self) -> None:
        case = Case.random(layered([Affine(6, 8), Tanh(), Affine(8, 3)], CrossEntropy()), batch=32)

        def mine(case: Case) -> dict[str, Any]:
            grad = backprop(case).grad
            return {f"grad {p}": grad[p] * (1 + 1e-9) for p in case.network.trained}

        assert "float32" not in gp.check(case, mine, dtypes=["float64"]).diagnosis()


class TestSamples:
    NET = layered([Affine(6, 8), Tanh(), Affine(8, 3)], CrossEntropy(eps=0.1))

    @pytest.mark.parametrize(
        ("weights", "words"),
        [
            ([2] * 8 + [0] * 8, "samples 0 to 7 count 2 times, and samples 8 to 15 are left out"),
            ([1] * 15 + [0], "samples 0 to 14 count 1 times, and sample 15 is left out"),
            ([3] + [1] * 15, "sample 0 counts 3 times, and samples 1 to 15 count 1 times"),
        ],
    )
    def test_how_often_each_counts(self, weights: list[float], words: str) -> None:
        case = Case.random(self.NET, batch=16)

        def mine(case: Case) -> dict[str, Any]:
            parts = [
                backprop(Case(case.network, case.params, case.x[t : t + 1], case.d[t : t + 1],
                              precision=case.precision)).grad
                for t in range(case.T)
            ]  # fmt: skip
            return {
                f"grad {p}": sum(w * g[p] for w, g in zip(weights, parts, strict=True))
                / case.dtype.type(16)
                for p in case.network.trained
            }

        said = gp.check(case, mine).diagnosis()
        assert words in said
        assert said.count("verdict ") == 1


def test_another_eps_of_one_of_two_layers_is_named_there() -> None:
    """All that is returned are the gradients of the parameters."""
    layers = [Affine(6, 8), LayerNorm(8), Tanh(), Affine(8, 8), LayerNorm(8), Affine(8, 3)]
    case = Case.random(layered(layers, CrossEntropy()), batch=16)
    last = [node.name for node in case.network.nodes if isinstance(node.op, LayerNorm)][-1]

    def mine(case: Case) -> dict[str, Any]:
        grad = backprop(with_op(case, last, LayerNorm(8, eps=1e-6))).grad
        return {f"grad {p}": grad[p] for p in case.network.trained}

    report = gp.check(case, mine, dtypes=["float64"])
    assert f"eps = 1e-06, not 1e-05, at '{last}'" in report.diagnosis()
    assert report.diagnosis().count("verdict ") == 1


def test_a_constant_that_is_added() -> None:
    assert said(WANT + 0.01) == "0.01 is added to every element"


def test_a_missing_sum_over_the_batch() -> None:
    case = Case.random(layered([Affine(4, 3)], L2()), batch=16)
    said = gp.check(case, lambda c: {"grad b1": backprop(c).grad["z1"]}).diagnosis()
    assert "has shape (16, 3), expected (3,); it was not summed over axis 0" in said
