"""End to end: correct results pass at any depth, faults do not, kinks are explained or admitted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import gradparity
from crossed import crossed
from gradparity.comparisons.findings.finding import Finding, Verdict
from gradparity.comparisons.judge.end_to_end import judge_end_to_end
from gradparity.core import (
    L2,
    Affine,
    Case,
    CrossEntropy,
    LinearLoss,
    Max,
    RandomizedLeakyReLU,
    ReLU,
    Softmax,
    Tanh,
    Trace,
    VectorActivation,
    backprop,
    layered,
)

from random_cases import random_dag, random_layered

Results = dict[str, Any]
PASSES = {Verdict.EXACT, Verdict.ROUNDING}
SINGLE = "float32"


def finals(case: Case, trace: Trace) -> Results:
    names = [*case.network.parameter_shapes, "x"]
    return {"Err": trace.Err, "Div": trace.Div, **{f"grad {n}": trace.grad[n] for n in names}}


def mlp(
    depth: int, width: int, act: Any, dtype: str = SINGLE, positive: bool = False, batch: int = 16
) -> Case:
    hidden = [op for _ in range(depth - 1) for op in (Affine(width, width), act())]
    net = layered([*hidden, Affine(width, 10)], CrossEntropy())
    case = Case.random(net, batch=batch, seed=depth + width)
    if positive:
        params = {
            p: np.abs(a) * (width**-0.5 if a.ndim == 2 else 1) for p, a in case.params.items()
        }
        case = Case(net, params, case.x, case.d)
    return case.astype(dtype)


def judged(case: Case, results: Results, **kwargs: Any) -> dict[str, Finding]:
    return {f.quantity: f for f in judge_end_to_end(case, results, **kwargs)}


def verdicts(case: Case, results: Results) -> set[Verdict]:
    return {f.verdict for f in judge_end_to_end(case, results)}


@crossed(
    "dtype, act, positive, sizes",
    ["float32", "float64"],
    [ReLU, Tanh],
    [False, True],
    [(2, 16), (5, 64), (10, 16), (20, 64)],
)
def test_a_correct_network_passes_at_any_depth(
    dtype: str, act: Any, positive: bool, sizes: tuple[int, int]
) -> None:
    depth, width = sizes
    case = mlp(depth, width, act, dtype, positive)
    found = judged(case, finals(case, backprop(case)))
    assert {f.verdict for f in found.values()} <= PASSES
    assert max(f.error / f.bound for f in found.values()) < 0.7


@crossed("name, dtype, act", ["torch", "jax"], ["float32", "float64"], [ReLU, Tanh, Softmax])
def test_a_framework_passes(name: str, dtype: str, act: Any) -> None:
    pytest.importorskip(name)
    case = mlp(4, 16, act, dtype)
    assert verdicts(case, finals(case, gradparity.get_adapter(name).run(case))) <= PASSES


@pytest.mark.slow
@pytest.mark.parametrize("act", [ReLU, Tanh])
@pytest.mark.parametrize(("depth", "width"), [(2, 1024), (10, 256), (20, 512), (5, 1024)])
def test_a_wide_and_deep_network_passes_and_a_fault_in_it_does_not(
    act: Any, depth: int, width: int
) -> None:
    case = mlp(depth, width, act, batch=32)
    results = finals(case, backprop(case))
    assert verdicts(case, results) <= PASSES
    results["grad W1"] = planted("element", results["grad W1"], 1e-3, case)
    assert judged(case, results)["grad W1"].verdict is Verdict.MISMATCH


@crossed("seed, dtype", range(20), ["float32", "float64"])
def test_no_correct_random_graph_is_accused(seed: int, dtype: str) -> None:
    try:
        case = random_dag(seed).astype(dtype)
    except ValueError as beyond:
        pytest.skip(str(beyond))
    for finding in judge_end_to_end(case, finals(case, backprop(case))):
        assert finding.verdict.parity is not False, str(finding)


def test_equal_units_whose_gradient_cancels_are_vacuous() -> None:
    case = random_layered(298).astype(SINGLE)
    found = judged(case, finals(case, backprop(case)))
    assert found["grad W1"].verdict is found["grad b1"].verdict is Verdict.VACUOUS


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 400))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_correct_random_graph_is_accused_in_a_wide_sweep(seed: int, dtype: str) -> None:
    test_no_correct_random_graph_is_accused(seed, dtype)


def planted(kind: str, g: Any, relative: float, case: Case) -> Any:
    g = g.copy()
    if kind == "element":
        g.flat[int(np.argmax(np.abs(g)))] *= 1 + relative
    changed = {
        "scale": g * (1 + relative),
        "sign": -g,
        "transposed": g.T,
        "sum for mean": g * case.T,
        "zeroed": 0 * g,
    }
    return np.ascontiguousarray(changed.get(kind, g)).astype(case.dtype)


FAULTS = [
    *(("float32", "element", r) for r in (1e-3, 1e-4)),
    ("float32", "scale", 3e-5),
    ("float64", "element", 1e-11),
    ("float64", "scale", 1e-12),
    *((d, k, 0.0) for d in ("float32", "float64") for k in ("sign", "sum for mean", "zeroed")),
]


@pytest.mark.sample(2)
@crossed("fault, act, at", FAULTS, [ReLU, Tanh], [(2, "grad W1"), (10, "grad b1"), (20, "grad x")])
def test_a_planted_fault_is_a_mismatch_and_nothing_else_is(
    fault: tuple[str, str, float], act: Any, at: tuple[int, str]
) -> None:
    (dtype, kind, relative), (depth, quantity) = fault, at
    case = mlp(depth, 16, act, dtype)
    results = finals(case, backprop(case))
    results[quantity] = planted(kind, results[quantity], relative, case)
    wide = case.astype("float64")
    there = finals(wide, backprop(wide))
    there[quantity] = planted(kind, there[quantity], relative, wide)
    found = judged(case, results, float64=lambda: judged(wide, there))
    named = kind == "sum for mean"
    assert found[quantity].verdict is (Verdict.CONVENTION if named else Verdict.MISMATCH)
    assert found[quantity].convention == ("sum" if named else "")
    assert {f.verdict for q, f in found.items() if q != quantity} <= PASSES


def test_a_transposed_matrix_and_a_wrong_element_are_named() -> None:
    case = mlp(3, 16, Tanh)
    results = finals(case, backprop(case))
    results["grad W2"] = planted("transposed", results["grad W2"], 0, case)
    results["grad W1"] = planted("element", results["grad W1"], 1e-3, case)
    found = judged(case, results)
    assert "transposed" in found["grad W2"].note
    one = found["grad W1"]
    assert one.outside == 1
    assert one.index == np.unravel_index(np.argmax(np.abs(results["grad W1"])), (16, 16))
    assert one.node == "z1"
    assert one.error == pytest.approx(1e-3 * 2**24, rel=0.05)


def integers(seed: int, T: int = 6, hidden: int = 1, dtype: str = SINGLE) -> Case:
    """Small integers: many units exactly at zero."""
    rng = np.random.default_rng(seed)
    sizes = [5, *[8] * hidden]
    ops = [op for n, m in pairwise(sizes) for op in (Affine(n, m), ReLU())]
    net = layered([*ops, Affine(sizes[-1], 4)], CrossEntropy())
    params = {p: rng.integers(-2, 3, s) / 4 for p, s in net.parameter_shapes.items()}
    x = rng.integers(-3, 4, (T, 5)).astype(float)
    return Case(net, params, x, rng.integers(0, 4, T)).astype(dtype)


def with_slope(case: Case, slope: Callable[[Any], Any]) -> Trace:
    """The trace of a network whose ReLU takes this slope at zero, valid or not."""

    class Odd(ReLU):
        def df(self, dy: Any, z: Any, y: Any) -> Any:
            at_zero = np.asarray(slope(z) * dy, dtype=dy.dtype)
            return np.where(z == 0, at_zero, super().slope(dy, z, y))

    odd = {n.name: Odd() for n in case.network.nodes if n.op == ReLU()}
    return backprop(Case(case.network.changed(ops=odd), case.params, case.x, case.d))


@pytest.mark.sample(7)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [1, 2])
@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_a_named_slope_at_the_kinks_is_parity(dtype: str, hidden: int, slope: float) -> None:
    case = integers(3, hidden=hidden, T=32, dtype=dtype)
    found = judged(case, finals(case, with_slope(case, lambda z: slope)))
    assert all(f.verdict.parity for f in found.values())
    taken = found["grad W1"]
    assert (taken.verdict is Verdict.SUBGRADIENT) == (slope != 1.0)
    assert ({0.0: "left", 0.5: "middle", 1.0: ""}[slope]) in taken.note


@pytest.mark.sample(4)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", [1, 3, 5, 7])
def test_any_slopes_in_the_interval_are_found_and_others_are_not_excused(
    dtype: str, seed: int
) -> None:
    case = integers(seed, dtype=dtype)
    assert (backprop(case).value["z1"] == 0).any()
    mixed = with_slope(case, lambda z: np.random.default_rng(seed).random(z.shape))
    found = judged(case, finals(case, mixed))
    assert found["grad W1"].verdict is Verdict.SUBGRADIENT
    assert "least squares" in found["grad W1"].note
    assert (
        judged(case, finals(case, with_slope(case, lambda z: 1.7)))["grad W1"].verdict
        is Verdict.MISMATCH
    )


@pytest.mark.sample(2)
@pytest.mark.parametrize("seed", range(4))
def test_kinks_do_not_excuse_a_fault_that_none_of_them_reaches(seed: int) -> None:
    case = integers(seed, T=32, hidden=2)
    results = finals(case, with_slope(case, lambda z: 0.0))
    results["grad W3"] = results["grad W3"] * np.float32(1.001)
    found = judged(case, results)
    assert found["grad W3"].verdict is Verdict.MISMATCH
    assert found["grad W1"].verdict is Verdict.SUBGRADIENT


def test_a_gradient_through_one_use_is_judged_beside_a_fault_at_kinks() -> None:
    """The least squares over slopes takes gradients by values, and must leave this one out."""
    case = integers(3)
    trace = backprop(case)
    (use,) = (edge for edge in trace.edge_grad if edge.source == "y1")
    through = f"grad {use.source} -> {use.target}"
    given = {"grad b1": -trace.grad["b1"], through: trace.edge_grad[use]}
    found = judged(case, given)
    assert found["grad b1"].verdict is Verdict.MISMATCH
    assert found[through].verdict in PASSES


def near_kink() -> tuple[Case, Results]:
    """A unit at 1e-9, which an implementation took to be negative."""
    net = layered([Affine(2, 2), ReLU(), Affine(2, 2)], L2())
    params = {
        "W1": [[1.0, 0.5], [1.0, -0.25]],
        "b1": [0.0, 1.0],
        "W2": [[1.0, 2.0], [0.5, -1.0]],
        "b2": [0.0, 0.5],
    }
    x = np.array([[1.0, -1.0 + 2.0**-24], [0.75, 0.5]])
    case = Case(net, params, x, np.ones((2, 2))).astype(SINGLE)
    other = Case(net, params, np.array([[1.0, -1.0 - 2.0**-23], [0.75, 0.5]]), np.ones((2, 2)))
    return case, finals(case, backprop(other.astype(SINGLE)))


def test_a_sign_flipped_by_rounding_is_rounding_where_its_value_shows_it() -> None:
    case, results = near_kink()
    alone = judged(case, results)["grad W1"]
    assert alone.verdict in (Verdict.INCONCLUSIVE, Verdict.ROUNDING)
    z1 = backprop(case).value["z1"].copy()
    z1[0, 0] = -np.float32(2.0**-23)
    shown = judged(case, {**results, "value z1": z1})
    assert shown["grad W1"].verdict is Verdict.ROUNDING
    assert "other side of a kink" in shown["grad W1"].note
    assert shown["value z1"].verdict is Verdict.ROUNDING


@pytest.mark.parametrize("ties", ["first", "last", "even"])
def test_named_rules_at_ties_are_parity_and_a_copy_to_all_is_not(ties: str) -> None:
    def case(rule: str) -> Case:
        net = layered([Affine(3, 6), Max((3, 3), ties=rule), Affine(2, 2)], L2())
        rng = np.random.default_rng(0)
        params = {p: rng.integers(-2, 3, s) / 2 for p, s in net.parameter_shapes.items()}
        params["W1"][:, 1] = params["W1"][:, 0]
        params["b1"][1] = params["b1"][0] = 4.0
        x = rng.integers(-2, 3, (9, 3)).astype(float)
        return Case(net, params, x, np.ones((9, 2))).astype(SINGLE)

    ours = case("first")
    results = finals(ours, backprop(case(ties)))
    found = judged(ours, results)
    assert all(f.verdict.parity for f in found.values())
    assert (found["grad W1"].verdict is Verdict.SUBGRADIENT) == (ties != "first")
    results["grad W1"] = results["grad W1"].copy()
    results["grad W1"][:, 0] = results["grad W1"][:, 1] = backprop(ours).grad["W1"][:, 0] * 1.5
    assert judged(ours, results)["grad W1"].verdict in (Verdict.MISMATCH, Verdict.INCONCLUSIVE)


def centred(dtype: str) -> Case:
    def centre(z: Any) -> Any:
        return z - z.sum(axis=-1, keepdims=True) * 0.25

    op = VectorActivation(centre, pullback=lambda dy, z: centre(dy), n_in=4, n_out=4)
    ops = [Affine(5, 4), op, Tanh(), Affine(4, 3)]
    net = layered(ops, CrossEntropy())
    case = Case.random(net, batch=64, seed=2)
    params = {**case.params, "W1": np.repeat(case.params["W1"][:, :1], 4, axis=1)}
    return Case(net, params, case.x, case.d).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_that_is_all_rounding_is_vacuous(dtype: str) -> None:
    """The bias in front of a centring op: every shift of all of b leaves Err as it is."""
    case = centred(dtype)
    net = layered([Affine(5, 1), VectorActivation(lambda z: z - z, pullback=lambda dy, z: dy - dy,
                   n_in=1, n_out=1), Affine(1, 3)], CrossEntropy())  # fmt: skip
    zero = Case.random(net, batch=8, dtype=dtype)
    found = judged(zero, finals(zero, backprop(zero)))
    assert found["grad b1"].verdict is found["grad W1"].verdict is Verdict.VACUOUS
    noise = judged(case, finals(case, backprop(case)))
    assert {f.verdict for f in noise.values()} <= {*PASSES, Verdict.VACUOUS}
    wrong = {**finals(case, backprop(case)), "grad b1": np.full(4, 0.1, dtype)}
    assert judged(case, wrong)["grad b1"].verdict is Verdict.MISMATCH


def test_a_rescaled_loss_gets_the_same_verdicts_and_figures() -> None:
    net = layered([Affine(6, 8), Tanh(), Affine(8, 4)], LinearLoss())
    case = Case.random(net, batch=9, seed=1)
    seen = []
    for power in (-20, 0, 60):
        scaled = Case(net, case.params, case.x, np.ldexp(case.d, power)).astype(SINGLE)
        results = finals(scaled, backprop(scaled))
        results["grad W1"] = planted("element", results["grad W1"], 1e-4, scaled)
        seen.append(
            [(f.verdict, f.error, f.bound, f.index) for f in judged(scaled, results).values()]
        )
    assert seen[0] == seen[1] == seen[2]
    assert seen[1][2][0] is Verdict.MISMATCH


def test_not_a_number_is_a_mismatch_and_overflow_of_the_dtype_is_not() -> None:
    case = mlp(3, 16, Tanh)
    results = finals(case, backprop(case))
    results["grad b1"] = np.where(np.arange(16) == 3, np.nan, results["grad b1"]).astype(SINGLE)
    found = judged(case, results)["grad b1"]
    assert found.verdict is Verdict.MISMATCH
    assert found.index == (3,)
    net = layered([Affine(4, 4), Affine(4, 2)], L2())
    big = Case.random(net, batch=3)
    big = Case(net, {p: a * 1e15 for p, a in big.params.items()}, big.x * 1e10, big.d).astype(
        SINGLE
    )
    found_big = judged(big, finals(big, backprop(big)))
    assert found_big["grad W1"].verdict is Verdict.INCONCLUSIVE
    assert "overflows" in found_big["grad W1"].note


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "tf32"])
def test_low_precision_is_judged_by_its_own_roundoff(dtype: str) -> None:
    case = mlp(3, 16, Tanh, dtype)
    exact = backprop(case.astype("float64"))
    rounded = finals(case, exact)
    rounded = {q: np.asarray(case.precision.round(a), case.dtype) for q, a in rounded.items()}
    assert verdicts(case, rounded) <= PASSES
    coarse = {**rounded, "grad W3": (rounded["grad W3"] * 1.5).astype(case.dtype)}
    assert judged(case, coarse)["grad W3"].verdict is Verdict.MISMATCH


def test_float64_decides_what_float32_leaves_open() -> None:
    case = mlp(2, 16, Tanh)
    results = finals(case, backprop(case))
    right = lambda: judged(case, results)  # noqa: E731
    bound = judged(case, results)["Err"].bound * 2.0**-24 * results["Err"]
    wrong = judged(case, {**results, "Err": -results["Err"]})
    for times, expected in ((3, Verdict.ROUNDING), (30, Verdict.IMPRECISE)):
        off = {**results, "Err": results["Err"] + times * bound}
        assert judged(case, off, float64=right)["Err"].verdict is expected
        alone = Verdict.INCONCLUSIVE if expected is Verdict.ROUNDING else Verdict.MISMATCH
        assert judged(case, off)["Err"].verdict is alone
        assert judged(case, off, float64=lambda: wrong)["Err"].verdict is Verdict.MISMATCH


def test_sorted_inputs_are_no_fault() -> None:
    """All positive terms first: partial sums grow large and come down again."""
    net = layered([Affine(512, 4), Tanh(), Affine(4, 2)], L2())
    case = Case.random(net, batch=64, seed=3)
    params = {**case.params, "W1": -np.sort(-case.params["W1"], axis=0)}
    sorted_case = Case(net, params, np.abs(case.x) + 1.0, case.d).astype(SINGLE)
    one_by_one = np.cumsum(sorted_case.x[..., None] * sorted_case.params["W1"], axis=1)[:, -1]
    z1 = one_by_one + sorted_case.params["b1"]
    results = {"value z1": z1.astype(SINGLE)}
    assert verdicts(sorted_case, results) <= PASSES


def test_an_op_that_draws_its_own_numbers_is_inconclusive() -> None:
    case = Case.random(layered([Affine(3, 4), RandomizedLeakyReLU()], L2()), batch=4)
    assert verdicts(case, {"Err": backprop(case).Err}) == {Verdict.INCONCLUSIVE}


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({}, "no result was returned; give any of 'Err'"),
        ([1.0], "it returned a list; return a Trace or a dict"),
        (None, "it returned None; return a Trace or a dict"),
        ({"W1": np.zeros((3, 2), SINGLE)}, "W1: no such result.*did you mean 'grad W1'"),
        ({"grad W1": np.zeros((2, 2), SINGLE)}, r"shape \(2, 2\), expected \(3, 2\)"),
        ({"grad W1": np.zeros((3, 2))}, "has dtype float64, expected float32"),
        ({"grad W1": [[0.0]]}, "grad W1: is a list, expected an array"),
        ({"grad W1": None}, "grad W1: is None, expected an array; did the backward pass"),
    ],
)
def test_results_that_cannot_be_judged_are_refused(results: Any, message: str) -> None:
    case = Case.random(layered([Affine(3, 2)], L2()), batch=4, dtype=SINGLE)
    with pytest.raises(ValueError, match=message):
        judge_end_to_end(case, results)


def test_arrays_of_the_frameworks_are_taken() -> None:
    torch, jnp = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    case = mlp(2, 4, Tanh, "bfloat16")
    results = finals(case, backprop(case))
    native = {
        "grad W1": torch.tensor(results["grad W1"]).to(torch.bfloat16).requires_grad_(),
        "grad W2": jnp.asarray(results["grad W2"], jnp.bfloat16),
    }
    for q, finding in judged(case, native).items():
        assert finding.verdict is judged(case, results)[q].verdict
        assert finding.parity is True
        assert finding.power is not None


def test_a_wrong_slope_at_a_kink_is_said_to_be_at_the_kink() -> None:
    """Two rows of padding in front of units without bias."""
    case = Case.random(layered([Affine(4, 6, bias=False), ReLU(), Affine(6, 3)], CrossEntropy()))
    x = np.array(case.x)
    x[[3, 7]] = 0.0
    case = Case(case.network, case.params, x, case.d)
    trace = backprop(case)
    trace.grad["x"][[3, 7]] *= 1.7
    found = judged(case, {"grad x": trace.grad["x"]})["grad x"]
    assert found.verdict is Verdict.MISMATCH
    assert "12 at y1" in found.note


@pytest.mark.slow
def test_a_slope_that_is_zero_in_the_reference_lets_rounding_through() -> None:
    """A softmax that cancels to a residue: with a slope of zero the bound there is zero."""
    ops = [Affine(3, 1), ReLU(subgradient="left"), Affine(1, 4), ReLU(), Affine(4, 3)]
    accused = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        network = layered(ops, CrossEntropy())
        params = {
            name: rng.integers(-1, 2, shape).astype(float)
            for name, shape in network.parameter_shapes.items()
        }
        case = Case(network, params, rng.integers(-1, 2, (5, 3)).astype(float), np.arange(5) % 3)
        taken = layered(
            [o if not isinstance(o, ReLU) else ReLU(subgradient=s) for o, s in zip(
                ops, (None, 0.85, None, 0.3, None), strict=True)], CrossEntropy()
        )  # fmt: skip
        theirs = backprop(Case(taken, params, case.x, case.d)).grad["x"]
        found = judged(case, {"grad x": theirs})["grad x"]
        accused += [seed] if found.verdict is Verdict.MISMATCH else []
    assert not accused
