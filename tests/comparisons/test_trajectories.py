"""Training runs side by side: correct trainers stay inside the bound, faults leave it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from crossed import crossed
from gradparity.adapters.base import Trainer, get_adapter
from gradparity.cli import main
from gradparity.comparisons.cases.deep import conv_net, lstm, transformer
from gradparity.comparisons.cases.digits import RECIPES
from gradparity.comparisons.lecture.perturbed import PerturbedRuns, hand_core
from gradparity.comparisons.lecture.trajectories import Trajectories, train_digits, trajectories
from gradparity.core import (
    Affine,
    BatchNorm,
    BinaryCrossEntropy,
    Case,
    CrossEntropy,
    Embedding,
    LeakyReLU,
    MaxSubsets,
    Multiply,
    Network,
    Node,
    ReLU,
    Reshape,
    Sigmoid,
    Sum,
    layered,
)
from gradparity.core.network.backprop import training_gradients

ETA = 0.25
DTYPES = ["float32", "float64"]


class StraightThrough(ReLU):
    """A ReLU whose gradient passes everywhere: wrong."""

    def df(self, dy: Any, z: Any, y: Any) -> Any:
        return dy


def make(hidden: Any = None, dtype: str = "float32", seed: int = 0, T: int = 64) -> Case:
    ops = [Affine(6, 24), hidden or ReLU(), Affine(24, 3)]
    return Case.random(layered(ops, CrossEntropy(eps=0.01)), batch=T, seed=seed, dtype=dtype)


def train(case: Case, trainer: Trainer, epochs: int = 10, **kwargs: Any) -> Trajectories:
    return trajectories(case, {"it": trainer}, eta=ETA, batch_size=8, epochs=epochs, **kwargs)


def faulty(case: Case, change: Callable[[int, dict[str, Any], int], None]) -> Trainer:
    """The hand core, whose gradients ``change(step, gradients, rows)`` alters before the update."""
    params = {name: p.copy() for name, p in case.params.items()}
    steps = 0

    def step(rows: Any) -> float:
        nonlocal steps
        x, d = case.x[rows], case.desired[rows]
        Div, grad = training_gradients(case.network, params, x, d)
        change(steps, grad, len(rows))
        for name, gradient in grad.items():
            params[name] -= case.dtype.type(ETA) * gradient
        steps += 1
        return float(Div.mean())

    return Trainer(step, lambda: params)


def reordered(case: Case, seed: int) -> Trainer:
    """A correct implementation that sums in another order: inputs and hidden units permuted."""
    rng = np.random.default_rng(seed)
    i, h = rng.permutation(6), rng.permutation(24)
    back_i, back_h = np.argsort(i), np.argsort(h)
    p = case.params
    params = {"W1": p["W1"][i][:, h], "b1": p["b1"][h], "W2": p["W2"][h], "b2": p["b2"]}
    core = hand_core(Case(case.network, params, case.x[:, i], case.d), ETA)

    def original() -> dict[str, Any]:
        q = core.params()
        W1 = q["W1"][:, back_h][back_i]
        return {"W1": W1, "b1": q["b1"][back_h], "W2": q["W2"][back_h], "b2": q["b2"]}

    return Trainer(core.step, original)


@pytest.mark.sample(1)
@crossed("dtype, seed", DTYPES, range(5), every=2)
def test_a_correct_trainer_stays_inside(dtype: str, seed: int) -> None:
    case = make(dtype=dtype, seed=seed)
    found = train(case, reordered(case, seed), epochs=25, seed=seed)
    (run,) = found.runs
    assert found, found
    assert found.judged == len(found.core) == 200
    assert (run.losses != found.core).any()  # it does round otherwise
    assert 0 < found.ratios(run).max() < 0.5


@pytest.mark.sample(2)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_framework_stays_inside(name: str, dtype: str) -> None:
    pytest.importorskip(name)
    case = make(dtype=dtype, T=60)  # minibatches of 8 and of 7
    found = train(case, get_adapter(name).trainer(case, ETA))  # type: ignore[attr-defined]
    assert found.exit_code == 0, found


def of_ids(dtype: str) -> Case:
    """An embedding of integers, a mask for all samples, and a weight for each."""
    net = Network(
        Node("e", Embedding(20, 6), "ids"), Node("m", Multiply(), "e", "mask"),
        Node("s", Sum((1,)), "m"), Node("z", Affine(6, 5), "s"), Node("y", ReLU(), "z"),
        Node("o", Affine(5, 3), "y"),
        divergence=CrossEntropy(eps=0.01), inputs=("mask", "ids", "w"), fixed=("mask",),
        weights="w",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    x = {"ids": rng.integers(0, 20, (40, 5)), "mask": rng.random((5, 6)), "w": rng.random(40)}
    return Case.random(net, x=x, dtype=dtype)


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("task", "dtype"),
    [
        ("ids", "float32"),
        ("ids", "float64"),
        ("lstm", "float32"),
        pytest.param("transformer", "float64", marks=pytest.mark.slow),
    ],
)
def test_a_framework_stays_inside_on_several_inputs(task: str, dtype: str) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    deep = {"transformer": transformer, "lstm": lstm}
    case = deep[task](8).astype(dtype) if task in deep else of_ids(dtype)
    trainers = {n: get_adapter(n).trainer(case, ETA) for n in ("torch", "jax")}  # type: ignore[attr-defined]
    found = trajectories(case, trainers, eta=ETA, batch_size=3, epochs=2)
    assert found.exit_code == 0, found
    assert found.judged == len(found.core)
    assert all(0 < found.ratios(run).max() < 0.5 for run in found.runs)


def test_running_statistics_are_not_trained() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    ops = [Affine(4, 3), BatchNorm(3, training=False), Affine(3, 2)]
    case = Case.random(layered(ops, CrossEntropy()), batch=12)
    trainers = {n: get_adapter(n).trainer(case, ETA) for n in ("torch", "jax")}  # type: ignore[attr-defined]
    found = trajectories(case, trainers, eta=ETA, batch_size=5, epochs=2)
    assert found.exit_code == 0, found
    for run in found.runs:
        for name in case.network.buffers:
            np.testing.assert_array_equal(run.params[name], case.params[name])


def test_a_network_without_a_batch_axis_is_trained_on_all_samples_at_once() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    nodes = Node("z1", Affine(3, 2), "x"), Node("y1", Reshape((4, 2), keep=0), "z1")
    case = Case.random(Network(*nodes, divergence=CrossEntropy()), batch=4)
    trainers = {n: get_adapter(n).trainer(case, ETA) for n in ("torch", "jax")}  # type: ignore[attr-defined]
    assert trajectories(case, trainers, eta=ETA, epochs=3).exit_code == 0
    with pytest.raises(ValueError, match="keeps no batch axis"):
        trajectories(case, trainers, eta=ETA, batch_size=2)


def test_a_wrong_gradient_leaves_the_bound_on_several_inputs() -> None:
    case = of_ids("float32")
    params = {**case.params, "b_o": case.params["b_o"] + np.float32([1e-4, 0, 0])}
    other = Case(case.network, params, case.inputs, case.d)
    test = (dict(case.inputs), case.d.argmax(1) if case.d.ndim > 1 else case.d)
    found = train(case, hand_core(other, ETA), epochs=2, test=test)
    assert found.exit_code == 1
    assert set(found.accuracy) == {"core", "it"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_trainer_starts_from_the_parameters_and_leaves_them(name: str, dtype: str) -> None:
    pytest.importorskip(name)
    case = make(dtype=dtype)
    before = {k: p.copy() for k, p in case.params.items()}
    trainer = get_adapter(name).trainer(case, ETA)  # type: ignore[attr-defined]
    for k, p in trainer.params().items():
        np.testing.assert_array_equal(p, before[k])
        assert p.dtype == case.dtype
    trainer.step(np.arange(8))
    for k, p in trainer.params().items():
        assert (p != before[k]).any()
        np.testing.assert_array_equal(case.params[k], before[k])


def scaled_w1(step: int, grad: dict[str, Any], rows: int) -> None:
    grad["W1"] = grad["W1"] * grad["W1"].dtype.type(1.001)


def summed(step: int, grad: dict[str, Any], rows: int) -> None:
    for name in grad:
        grad[name] = grad[name] * grad[name].dtype.type(rows)


def late(step: int, grad: dict[str, Any], rows: int) -> None:
    if step >= 150:
        scaled_w1(step, grad, rows)


def without_bias(step: int, grad: dict[str, Any], rows: int) -> None:
    grad["b1"] = grad["b1"] * 0


@crossed("dtype, seed, fault", DTYPES, [0, 1, 2], [scaled_w1, summed, late, without_bias])
def test_a_wrong_gradient_leaves_the_bound(fault: Any, seed: int, dtype: str) -> None:
    case = make(dtype=dtype, seed=seed)
    epochs = 25 if fault is late else 5
    found = train(case, faulty(case, fault), epochs=epochs, seed=seed)
    left = found.outside(found.runs[0])
    assert found.exit_code == 1
    assert left is not None
    assert left < 20 + (150 if fault is late else 0)
    assert left > 150 or fault is not late
    assert f"PART  it leaves the bound at step {left}" in str(found)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wrong", [StraightThrough(), LeakyReLU(0.01), LeakyReLU(1e-3)], ids=repr)
def test_a_wrong_relu_leaves_the_bound(wrong: Any, dtype: str) -> None:
    case = make(dtype=dtype)
    other = Case(make(wrong, dtype).network, case.params, case.x, case.d)
    found = train(case, hand_core(other, ETA))
    assert found.exit_code == 1


def test_a_sum_for_the_mean_leaves_the_bound_at_once() -> None:
    case = make()
    n = case.network
    summing = Network(*n.nodes, divergence=n.divergence, reduction="sum")
    found = train(case, hand_core(Case(summing, case.params, case.x, case.d), ETA))
    assert found.outside(found.runs[0]) == 0
    assert found.exit_code == 1


def test_another_order_of_minibatches_leaves_the_bound() -> None:
    case = make()
    core = hand_core(case, ETA)
    found = train(case, Trainer(lambda rows: core.step(rows[::-1][1:]), core.params))
    assert found.exit_code == 1


def test_a_trainer_that_stops_being_finite_leaves_the_bound() -> None:
    case = make()

    def spoil(step: int, grad: dict[str, Any], rows: int) -> None:
        if step == 20:
            grad["W2"] = grad["W2"] * np.nan

    found = train(case, faulty(case, spoil))
    assert found.outside(found.runs[0]) == 21
    assert "?" in str(found)


def test_a_unit_far_on_the_other_side_is_unexplained() -> None:
    case = make()

    def jump(step: int, grad: dict[str, Any], rows: int) -> None:
        if step == 20:  # b1 of one unit is moved, so that it is on its other side everywhere
            grad["b1"] = grad["b1"].copy()
            grad["b1"][0] += 1000.0

    found = train(case, faulty(case, jump))
    assert found.runs[0].unexplained is not None
    assert found.exit_code == 1


@pytest.mark.parametrize("taken", ["left", 0.5])
def test_another_subgradient_at_the_kink_resynchronises_the_reference(taken: Any) -> None:
    """Units exactly at 0 for every instance: each implementation may take another slope."""
    case = make()
    W1, b1 = case.params["W1"].copy(), case.params["b1"].copy()
    W1[:, :3], b1[:3] = 0.0, 0.0
    case = replace(case, params={**case.params, "W1": W1, "b1": b1})
    other = Case(make(ReLU(subgradient=taken)).network, case.params, case.x, case.d)
    found = train(case, hand_core(other, ETA))
    (run,) = found.runs
    assert found.exit_code == 0, found
    assert run.branch in (1, 2)  # both move these units, if at all, by different amounts
    assert run.resyncs[0] == 1
    assert np.abs(run.losses - found.core).max() > found.bound[-1]  # the runs themselves part


def test_the_bound_is_one_of_rounding() -> None:
    """It grows with the roundoff, never falls, and is far below what one tells apart."""
    bounds = [train(make(dtype=d), hand_core(make(dtype=d), ETA)).bound for d in DTYPES]
    for bound in bounds:
        assert (np.diff(bound) >= 0).all()
    ratio = bounds[0] / bounds[1]
    assert 1e7 < ratio.min() <= ratio.max() < 1e9
    assert bounds[0][-1] < 1e-4


def test_the_perturbed_runs_stay_on_the_sides_of_the_core() -> None:
    case = make()
    perturbed, core = PerturbedRuns(case, ETA, seed=0), hand_core(case, ETA)
    for _ in range(30):
        rows = np.arange(8)
        Errs = perturbed.step(rows, core.params())
        assert len(set(Errs)) == 4
        core.step(rows)
    assert 0 < perturbed.rounding_error["z1"] <= perturbed.largest_distance["z1"] < 1e-3


def test_it_is_reproducible() -> None:
    runs = [train(make(), reordered(make(), 1), seed=3) for _ in range(2)]
    for a, b in [(r.core, r.bound) for r in runs], [(r.runs[0].losses, r.judged) for r in runs]:
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])
    assert str(runs[0]) == str(runs[1])


def test_nothing_compared_is_unknown() -> None:
    found = trajectories(make(), {}, eta=ETA, skipped={"mine": "has no trainer"})
    assert found.exit_code == 2
    assert not found
    assert "nothing was compared" in str(found)
    assert "skipped: mine has no trainer" in str(found)


def test_where_the_core_diverges_it_is_unknown() -> None:
    case = make()
    found = trajectories(case, {"it": hand_core(case, 1e30)}, eta=1e30, batch_size=8, epochs=2)
    assert found.judged < 3
    assert found.exit_code == 2
    assert "UNKNOWN" in str(found)


def test_a_smooth_network_has_no_branches() -> None:
    case = make(Sigmoid())
    (run,) = train(case, reordered(case, 0)).runs
    assert (run.branch, run.resyncs) == (None, [])


def test_what_is_not_followed_is_refused() -> None:
    ops = [Affine(4, 4), MaxSubsets(((0, 1), (2, 3))), Affine(2, 2)]
    case = Case.random(layered(ops, CrossEntropy()), batch=8)
    with pytest.raises(ValueError, match="branches of scalar activations"):
        trajectories(case, {}, eta=ETA)
    with pytest.raises(ValueError, match="give float32 or float64"):
        trajectories(make(dtype="float16"), {}, eta=ETA)
    with pytest.raises(ValueError, match="node 'p1': training with MaxPool"):
        trajectories(conv_net(4), {}, eta=ETA)
    ended = Network(Node("s", Sum(), "x"), ends={"s": 1.0})
    with pytest.raises(ValueError, match=r"ends at s and has no divergence; .* give divergence="):
        trajectories(Case.random(ended, width=3), {}, eta=ETA)


def test_progress_is_told_up_to_the_end() -> None:
    told: list[float] = []
    train(make(), hand_core(make(), ETA), progress=lambda message, done: told.append(done))
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_the_text_fits_80_columns() -> None:
    case = make(dtype="float64")
    names = ["jax", "torch"]
    found = trajectories(
        case, {n: reordered(case, i) for i, n in enumerate(names)}, eta=ETA, batch_size=8,
        epochs=20, about=("x " * 100,), test=(case.x, case.d),
    )  # fmt: skip
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert set(found.accuracy) == {"core", "jax", "torch"}
    assert any(line.startswith("AGREE  jax, torch: within the bound") for line in lines)


def test_the_command_line() -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("torch")
    arguments = ["train", "digits", "--problem", "two", "--adapter", "torch", "--epochs", "2"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "AGREE  torch" in result.stdout
    assert "held-out accuracy: core" in result.stdout
    assert "digits-two float32" in result.stdout
    assert result.stderr == ""


def test_a_fault_on_the_command_line_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("torch")
    from gradparity.adapters.torch.adapter import TorchAdapter

    original = TorchAdapter.trainer
    monkeypatch.setattr(
        TorchAdapter, "trainer", lambda self, case, eta: original(self, case, eta * 1.001)
    )
    arguments = ["train", "digits", "--adapter", "torch", "--epochs", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1, result.output
    assert "PART  torch leaves the bound" in result.stdout


def test_an_adapter_without_a_trainer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("torch")
    from gradparity.adapters.torch.adapter import TorchAdapter

    monkeypatch.delattr(TorchAdapter, "trainer")
    arguments = ["train", "digits", "--adapter", "torch", "--problem", "two", "--epochs", "1"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "skipped: torch has no trainer" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--problem", "two", "--eps", "0.1"], "no classes to smooth"),
        (["--adapter", "nothing"], "no adapter is called"),
        (["--problem", "twelve"], "twelve"),
        (["--epochs", "0"], "epochs"),
    ],
)
def test_usage_errors(arguments: list[str], said: str) -> None:
    pytest.importorskip("sklearn")
    result = CliRunner().invoke(main, ["train", "digits", *arguments])
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", RECIPES)
def test_the_digits_are_learned_alike(problem: str, dtype: str) -> None:
    for name in ("sklearn", "torch", "jax"):
        pytest.importorskip(name)
    found = train_digits(problem, dtype=dtype)
    outside = {run.name for run in found.runs if found.outside(run) is not None}
    # On probabilities PyTorch's binary_cross_entropy divides by no less than 1e-12; see below.
    assert outside == ({"torch"} if (problem, dtype) == ("two", "float64") else set()), found
    assert found.judged == len(found.core)
    assert min(found.accuracy.values()) >= 0.97


@pytest.mark.slow
def test_it_is_its_clamped_gradient_that_takes_pytorch_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the same loss written in logarithms PyTorch stays inside."""
    pytest.importorskip("sklearn")
    torch = pytest.importorskip("torch")
    from gradparity.adapters.torch.layers import LOSSES

    def loss(divergence: Any, y: Any, d: Any) -> Any:
        return -torch.where(d > 0, torch.log(y), torch.log(1 - y)).sum(-1)

    monkeypatch.setitem(LOSSES, BinaryCrossEntropy, loss)
    assert train_digits("two", "torch", dtype="float64").exit_code == 0
