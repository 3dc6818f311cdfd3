"""Low precision: who is right there, who is imprecise, and what nobody can have."""

from __future__ import annotations

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Verdict, judge
from gradparity.comparisons.cases.vocabulary.shaped import SHAPED
from gradparity.comparisons.check.check import check
from gradparity.core import (
    L2,
    Affine,
    BatchNorm,
    Case,
    CrossEntropy,
    LayerNorm,
    LinearLoss,
    Network,
    Node,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    backprop,
    layered,
)
from gradparity.core.arithmetic.precision import PRECISIONS, rounded_to

LOW = ["tf32", "float16", "bfloat16"]


def network(scale: float = 1.0):
    ops = [Affine(12, 16), ReLU(subgradient="left"), Affine(16, 16), Tanh(), Affine(16, 5)]
    return layered(ops, CrossEntropy(eps=0.01), scale=scale)


def case_of(precision: str, *, batch: int = 32, seed: int = 0, scale: float = 1.0) -> Case:
    return Case.random(network(scale), batch=batch, seed=seed).astype(precision)


def right_in_float64(case: Case):
    """The findings of the same implementation in float64, all of them right."""
    wide = Case.random(case.network, batch=case.T, seed=0)
    return lambda: {f.quantity: f for f in judge(wide, backprop(wide))}


@pytest.mark.sample(2)
@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("implementation", ["numpy", "torch", "jax"])
def test_a_right_implementation_is_never_a_mismatch(implementation, precision):
    case = case_of(precision)
    run = backprop if implementation == "numpy" else gp.get_adapter(implementation).run
    found = judge(case, run(case), right_in_float64(case))
    wrong = [f for f in found if f.verdict.parity is False and f.verdict is not Verdict.IMPRECISE]
    assert not wrong
    if implementation != "jax":  # JAX adds biases up in the storage type
        assert not [f for f in found if f.verdict is Verdict.IMPRECISE]
    assert sum(f.parity is True for f in found) > 20


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("name", SHAPED)
def test_a_right_op_of_any_shape_is_never_a_mismatch(name, precision):
    case = SHAPED[name].case().astype(precision)
    assert not [f for f in judge(case, backprop(case)) if f.verdict.parity is False]


@pytest.mark.sample(9)
@pytest.mark.parametrize("name", SHAPED)
def test_scattered_errors_in_an_op_of_any_shape_are_explained_by_every_coarser_rounding(name):
    case = SHAPED[name].case().astype("float32")
    trace = backprop(case)
    y = next(iter(SHAPED[name].network().steps[0].values))
    noise = np.random.default_rng(0).standard_normal(trace.value[y].shape)
    trace.value[y] *= (1 + 1e-2 * noise).astype("float32")
    assert [f for f in judge(case, trace) if f.quantity == f"value {y}" and f.parity is False]


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("fault", ["sign", "factor", "element"])
def test_a_wrong_gradient_is_found_in_every_precision(precision, fault):
    case = case_of(precision)
    trace = backprop(case)
    dW = trace.grad["W2"]
    if fault == "sign":
        trace.grad["W2"] = -dW
    elif fault == "factor":
        trace.grad["W2"] = case.precision.round(dW * dW.dtype.type(1.1))
    else:
        dW[np.unravel_index(np.abs(dW).argmax(), dW.shape)] *= dW.dtype.type(1.1)
    (found,) = [f for f in judge(case, trace) if f.parity is False]
    assert found.quantity == "grad W2"


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_bias_gradients_that_jax_sums_in_storage_are_imprecise_with_the_factor(precision):
    """Found by the judge in JAX itself."""
    report = check(case_of("float64"), "jax", dtypes=["float64", precision])
    assert report.exit_code == 1
    imprecise = {f.quantity: f for _, f in report.findings() if f.verdict is Verdict.IMPRECISE}
    assert "grad b1" in imprecise
    assert "grad b2" in imprecise
    assert not [f for _, f in report.findings() if f.verdict is Verdict.MISMATCH]
    note = imprecise["grad b1"].note
    assert f"as far as summing in {precision}" in note
    assert "right in float64" in note
    factor = float(note.split("; ")[1].split(" times")[0])
    assert factor > 1
    assert factor == pytest.approx(
        imprecise["grad b1"].error / imprecise["grad b1"].bound, rel=0.01
    )


def test_float32_with_tf32_products_is_imprecise_and_as_declared_it_is_right():
    case = case_of("float32")
    rounded = gp.get_adapter("torch").run(case.astype("tf32"))
    rounded.precision = ""
    found = judge(case, rounded, right_in_float64(case))
    imprecise = [f for f in found if f.verdict is Verdict.IMPRECISE]
    assert {"value z1", "grad W1"} <= {f.quantity for f in imprecise}
    assert all("TF32" in f.note for f in imprecise)
    assert not [f for f in found if f.verdict is Verdict.MISMATCH]
    declared = judge(case.astype("tf32"), rounded)
    assert {f.parity for f in declared} == {True}


@pytest.mark.parametrize("mode", ["nearest", "toward zero"])
def test_tf32_operands_are_rounded_exactly_in_either_way(mode):
    """So that one wrong element of 1e-4 is found, far below the 1e-3 of a rounded operand."""
    case = Case.random(layered([Affine(64, 32)], LinearLoss()), batch=16).astype("tf32")
    trace = backprop(case)
    digits = PRECISIONS["tf32"].factors
    y, W = (rounded_to(a, digits, mode) for a in (case.x, case.params["W1"]))
    dz = rounded_to(trace.grad["z1"], digits, mode)
    trace.value["z1"] = (y @ W + case.params["b1"]).astype(np.float32)
    trace.grad["W1"] = y.T @ dz
    trace.edge_grad["x", "z1"] = trace.grad["x"] = dz @ W.T
    trace.Div = (case.desired * trace.value["z1"]).sum(-1)
    trace.Err = float(trace.Div.mean())
    assert {f.parity for f in judge(case, trace)} == {True}
    i = np.unravel_index(np.abs(trace.grad["W1"]).argmax(), (64, 32))
    trace.grad["W1"][i] *= np.float32(1 + 1e-4)
    (found,) = [f for f in judge(case, trace) if f.parity is False]
    assert (found.quantity, found.index) == ("grad W1", i)


@pytest.mark.parametrize("implementation", ["numpy", "torch", "jax"])
def test_overflow_that_everyone_has_is_inconclusive_never_an_alarm_and_never_a_pass(implementation):
    ops = [Affine(12, 16), ReLU(subgradient="left"), Affine(16, 5)]
    case = Case.random(layered(ops, LinearLoss(), scale=2.0**15), batch=1).astype("float16")
    run = backprop if implementation == "numpy" else gp.get_adapter(implementation).run
    trace = run(case)
    found = judge(case, trace, right_in_float64(case))
    assert not np.isfinite(trace.grad["W2"]).all()
    assert not [f for f in found if f.verdict.parity is False]
    for f in found:
        name = f.quantity.removeprefix("grad ")
        if name in trace.grad and not np.isfinite(trace.grad[name]).all():
            assert f.verdict in (Verdict.INCONCLUSIVE, Verdict.VACUOUS)
    assert any(f.verdict is Verdict.INCONCLUSIVE for f in found)


def test_underflow_that_everyone_has_is_vacuous():
    case = case_of("float16", scale=2.0**-24)
    found = {f.quantity: f.verdict for f in judge(case, backprop(case))}
    assert found["grad W1"] is Verdict.VACUOUS


def test_an_infinity_where_the_formula_is_finite_is_a_mismatch():
    case = case_of("float16")
    trace = backprop(case)
    trace.grad["W1"][0, 0] = np.float16(np.inf)
    (found,) = [f for f in judge(case, trace, right_in_float64(case)) if f.parity is False]
    assert found.verdict is Verdict.MISMATCH


def test_one_wrong_element_is_no_lack_of_precision():
    """Right in float64 and small: but rounding is never in one element alone."""
    case = case_of("float32")
    trace = backprop(case)
    trace.grad["W2"][3, 4] += np.float32(1e-3) * np.abs(trace.grad["W2"]).max()
    (found,) = [f for f in judge(case, trace, right_in_float64(case)) if f.parity is False]
    assert found.verdict is Verdict.MISMATCH


def test_a_result_stored_in_float16_is_imprecise():
    case = case_of("float32")
    trace = backprop(case)
    trace.grad["W2"] = trace.grad["W2"].astype(np.float16).astype(np.float32)
    (found,) = [f for f in judge(case, trace, right_in_float64(case)) if f.parity is False]
    assert found.verdict is Verdict.IMPRECISE


def test_an_op_that_a_framework_has_not_is_told_and_the_rest_is_judged():
    from gradparity.core import RandomizedLeakyReLU

    without = Case.random(layered([Affine(4, 3), RandomizedLeakyReLU()], LinearLoss()), batch=8)
    other = Case.random(layered([Affine(4, 3), Sigmoid(), Softmax()], LinearLoss()), batch=8)
    report = check([without, other], "torch", dtypes="float16")
    (first, second) = report.runs
    assert first.verdict is Verdict.INCONCLUSIVE
    assert "Half" in first.findings[0].note
    assert second.exit_code == 0
    assert report.exit_code == 2
    assert "Half" in str(report)


@pytest.mark.parametrize("precision", ["float64", "float32", *LOW])
def test_an_affine_map_of_one_sample_without_an_axis_for_it(precision):
    network = Network(Node("z", Affine(3, 5), "x"), divergence=LinearLoss())
    case = Case.random(network, x=np.array([1.0, -2.0, 3.0])).astype(precision)
    assert not [f for f in judge(case, backprop(case)) if f.parity is not True]


def stored(a: np.ndarray) -> np.ndarray:
    """Rounded to bfloat16."""
    return np.asarray(PRECISIONS["bfloat16"].round(a), np.float32)


def summed_in_storage(rows: np.ndarray) -> np.ndarray:
    """The sum over the batch, each partial sum stored in bfloat16."""
    total = np.zeros(rows.shape[1:], np.float32)
    for row in rows:
        total = stored(total + row)
    return total


@pytest.mark.parametrize("op", [LayerNorm(8), BatchNorm(8), Affine(8, 4)], ids=lambda op: op.name)
def test_summing_in_storage_precision_shows_from_a_thousand_rows_on(op):
    """The gradient of the scale or of the matrix; the terms themselves are stored too."""
    case = Case.random(layered([op], L2()), batch=1024, width=8, dtype="bfloat16")
    trace, (node,) = backprop(case), case.network.nodes
    x, dz = case.x, trace.grad[node.name]
    if isinstance(op, Affine):
        name, terms = "W1", x[:, :, None] * dz[:, None, :]
    else:
        axis = -1 if isinstance(op, LayerNorm) else 0
        c = x - x.mean(axis, keepdims=True)
        h = stored(c / np.sqrt((c * c).mean(axis, keepdims=True) + 1e-5))
        name, terms = "g1", dz * h
    right = stored(np.sum(stored(terms), axis=0, dtype=np.float32))
    for gradient, wrong in ((right, False), (summed_in_storage(stored(terms)), True)):
        trace.grad[name] = gradient
        found = {f.quantity: f for f in judge(case, trace, lambda: right_in_float64_of(case))}
        assert (found[f"grad {name}"].verdict is Verdict.IMPRECISE) is wrong


def right_in_float64_of(case: Case):
    wide = case.astype("float64")
    return {f.quantity: f for f in judge(wide, backprop(wide))}
