"""Random networks: what is right is never accused, and what is wrong is named where it is wrong.

The quick tests are part of every run; the wide ones are for ``pytest -m slow -s`` on this file.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from gradparity import core
from gradparity.adapters import get_adapter
from gradparity.comparisons import Verdict, judge
from gradparity.comparisons.check.check import check
from gradparity.comparisons.explain.fault_sites import inputs_at
from gradparity.comparisons.findings.finding import SUM
from gradparity.comparisons.measure.at_node import (
    Reference,
    reference_at_node,
    reference_of_loss,
    reference_of_sum,
)
from gradparity.comparisons.measure.kinks import at_kink
from gradparity.core import Affine, Case, Network, Node, Rounding, Softmax, Take, Trace, backprop
from gradparity.core.network.nodes import INPUT, Step
from gradparity.core.network.quantity import Quantity

from faults import faulty, with_op
from random_cases import random_dag, random_layered

DTYPES = ("float64", "float32")
#: Kinds of numbers whose elements are of comparable sizes, so that 1e-5 of the largest is a signal.
ORDINARY = ("normal", "halves", "integers", "sparse", "saturated", "big", "small", "duplicates")
#: A single wrong element is off by this share of the largest of its tensor.
STEP = {"float64": 1e-11, "float32": 1e-5}

each_dtype = pytest.mark.parametrize("dtype", DTYPES)


# No false alarm ---------------------------------------------------------------------------------

#: Everything that is judged by a formula of its own; a compound is judged as its parts.
FORMULAS = {
    t.__name__
    for t in (getattr(core, name) for name in core.__all__)
    if isinstance(t, type)
    and issubclass(t, core.Op | core.Divergence)
    and t not in (core.Op, core.Activation, core.Kinked, core.Movement, core.Divergence)
} | {SUM}
#: Met in graphs of images and sequences: test_shaped_sweep.py and test_deep.py.
FORMULAS -= {"Attention", "BatchNorm", "Conv", "Embedding", "LSTMCell", "LayerNorm", "MaxPool"}
FORMULAS -= {"Broadcast", "Maximum", "Mean", "Norm", "Reshape", "Select", "Sum", "Transpose"}
FORMULAS -= {"Weighted", "Windows"}


def compared(cases: list[Case], implementation: Any) -> Counter[tuple[str, str]]:
    """How many quantities are at parity, by dtype and formula; a false alarm fails the test."""
    report = check(cases, implementation)
    found = report.findings()
    alarms = [f"{run.case}, {run.column}: {f}" for run, f in found if f.verdict.parity is False]
    assert not alarms, "\n".join(alarms)
    unknown = sum(f.verdict is Verdict.INCONCLUSIVE for _, f in found)
    assert unknown <= 0.1 * len(found)  # float32 overflows in some
    return Counter((run.dtype, f.op.split("(")[0]) for run, f in found if f.verdict.parity)


def of_every_formula(count: Counter[tuple[str, str]], least: int) -> None:
    few = {(d, op): count[d, op] for d in DTYPES for op in FORMULAS if count[d, op] < least}
    assert not few


#: Every second case by default, all of them as `slow`; and how often each formula is met in them.
each_amount = pytest.mark.parametrize(
    ("every", "least"), [(2, 2), pytest.param(1, 4, marks=pytest.mark.slow)]
)


def quick_cases(every: int) -> list[Case]:
    graphs = [random_dag(s) for s in range(0, 100, every)]
    graphs += [random_layered(s) for s in range(0, 10, every)]
    return graphs + [of_matrices(s) for s in range(8)]


def of_matrices(seed: int) -> Case:
    """Samples that are matrices, some with ties, and a weight for each of them."""
    rng = np.random.default_rng(seed)
    n, m, k, T = rng.integers(2, 6, 4).tolist()
    network = Network(
        Node("r", core.Reshape((n, m)), "x"), Node("t", core.Transpose((0, 2, 1)), "r"),
        Node("a1", Affine(n, k), "t"), Node("a2", Affine(n, k), "t"),
        Node("m", core.Maximum(ties=("even", "first", "last")[seed % 3]), "a1", "a2"),
        Node("sum", core.Sum(1), "m"), Node("mean", core.Mean(1), "m"),
        Node("one", core.Select(int(rng.integers(m)), 1), "m"),
        Node("row", core.Select(0, 0), "one"), Node("rows", core.Broadcast((T, k)), "row"),
        Node("all", core.Add(), "sum", "mean", "one", "rows"), Node("z", Affine(k, 3), "all"),
        divergence=core.CrossEntropy(), weights="w", inputs=("x", "w"),
        reduction=("mean", "sum")[seed % 2],
    )  # fmt: skip
    x = {"x": rng.integers(-2, 3, (T, n * m)).astype(float), "w": rng.uniform(0.5, 2.0, T)}
    case = Case.random(network, batch=T, seed=seed, x=x)
    params = dict(case.params)
    if seed % 2:
        params["W_a2"], params["b_a2"] = params["W_a1"], params["b_a1"]
    return Case(network, params, x, case.d, f"matrices-{seed}")


@pytest.mark.slow
@each_amount
def test_no_false_alarm_for_the_core_itself(every, least):
    count = compared(quick_cases(every), backprop)
    of_every_formula(count, least)
    assert count.total() > 5000 / every


@each_amount
def test_no_false_alarm_for_torch(every, least):
    pytest.importorskip("torch")
    count = compared(quick_cases(every), "torch")
    of_every_formula(count, least)
    assert count.total() > 5000 / every


@pytest.mark.slow
def test_no_false_alarm_for_jax():
    pytest.importorskip("jax")
    count = compared([*(random_dag(s) for s in range(1000, 1003)), of_matrices(0)], "jax")
    assert len({op for _, op in count}) > 15
    assert count.total() > 150


def test_a_tie_that_an_infinite_gradient_reaches_is_judged_without_a_warning():
    pytest.importorskip("torch")
    check([random_dag(143)], "torch")


def test_an_overflow_halfway_is_not_a_mismatch():
    # r r overflows in float32 and r r / 2 would not.
    pytest.importorskip("torch")
    report = check([random_dag(11_584)], "torch")
    assert not [f for _, f in report.findings() if f.verdict.parity is False]


def blocks(total: int, size: int) -> Iterator[range]:
    return (range(a, min(a + size, total)) for a in range(0, total, size))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "total"), [("dag", 3000), ("layered", 600), ("wide", 60), ("deep", 100)]
)
def test_no_false_alarm_for_torch_on_thousands(shape, total):
    pytest.importorskip("torch")
    count: Counter[tuple[str, str]] = Counter()
    for seeds in blocks(total, 30):
        count += compared([of_shape(shape, 10_000 + s) for s in seeds], "torch")
    print(f"\n{total} {shape}: {count.total()} quantities, {sorted(count.items())}")
    assert count.total() > 15 * total
    if shape == "dag":
        of_every_formula(count, 200)


@pytest.mark.slow
def test_no_false_alarm_for_jax_on_many():
    jax = pytest.importorskip("jax")
    count: Counter[tuple[str, str]] = Counter()
    count += compared([random_dag(s) for s in range(1003, 1012)], "jax")
    for seeds in blocks(150, 15):
        count += compared([random_dag(20_000 + s) for s in seeds], "jax")
        jax.clear_caches()
    print(f"\n150 dag: {count.total()} quantities, {sorted(count.items())}")
    of_every_formula(count, 6)


def of_shape(shape: str, seed: int) -> Case:
    if shape == "dag":
        return random_dag(seed)
    return random_layered(seed, wide=shape == "wide", deep=shape == "deep")


# Structural faults ------------------------------------------------------------------------------

FAULTS = {
    "doubled": lambda right, dz, y, z: tuple(2 * g for g in right(dz, y, z)),
    "0.1 % off": lambda right, dz, y, z: tuple(1.001 * g for g in right(dz, y, z)),
    "sign": lambda right, dz, y, z: tuple(-g for g in right(dz, y, z)),
    "zero": lambda right, dz, y, z: tuple(np.zeros_like(g) for g in right(dz, y, z)),
    "rows": lambda right, dz, y, z: tuple(np.roll(g, 1, 0) for g in right(dz, y, z)),
    "columns": lambda right, dz, y, z: tuple(np.roll(g, 1, 1) for g in right(dz, y, z)),
    "stale input": lambda right, dz, y, z: right(dz, tuple(np.roll(v, 1, 0) for v in y), z),
    "stale output": lambda right, dz, y, z: right(dz, y, np.roll(z, 1, 0)),
    "first row": lambda right, dz, y, z: right(dz * (np.arange(len(dz)) > 0)[:, None], y, z),
}
#: Mistakes that only one op invites.
OWN_FAULTS = {
    Affine: lambda right, dz, y, z: (dz @ y[1],),  # not transposed; only where W is square
    Softmax: lambda right, dz, y, z: (dz * z * (1 - z),),  # the diagonal of the Jacobian alone
    Take: lambda right, dz, y, z: right(np.roll(dz, 1, -1), y, z),
}


def faults_of(step: Step, rng: np.random.Generator) -> dict[str, Any]:
    """Two of the faults every op may have, and its own."""
    chosen = {str(name): FAULTS[name] for name in rng.permutation(list(FAULTS))[:2]}
    own = OWN_FAULTS.get(type(step.op))
    square = not isinstance(step.op, Affine) or step.op.n_in == step.op.n_out
    return chosen | ({"own": own} if own and square else {})


def surely_wrong(case: Case, trace: Trace, step: Step) -> set[str]:
    """Gradients that leave the node further from the right ones than any rounding explains.

    The right ones are what the right op makes of the numbers the trace has there.  They are within
    the bound themselves, so twice the bound is enough.  Elements at a kink do not count, because
    other gradients are valid there, nor those beside which something overflowed.
    """
    rounding = Rounding.of(case.dtype)
    y, z = inputs_at(case, trace.values(), step)
    dz = trace.grad[step.name]
    if not np.isfinite(dz).all():
        return set()
    expected = {e.quantity: e for e in reference_at_node(step, case, trace, rounding)}
    wrong = set()
    with np.errstate(all="ignore"):
        right = step.op.vjp(dz, y, z)
        for (_, edge), g in zip(step.taken, right, strict=False):
            e = expected[Quantity.use(case.network, edge)]
            bound = e.want.full_error()
            far = np.abs(trace.edge_grad[edge].astype(float) - g) > 2 * bound
            far &= np.abs(e.want.value) + bound < rounding.largest
            if (far & ~at_kink(e)).any():
                wrong.add(e.quantity)
    return wrong


def of_values(step: Step, fault: Any) -> Any:
    """The fault in what is passed back alone: the gradients by parameters stay right."""
    n = len(step.taken)

    def vjp(right: Any, dz: Any, y: Any, z: Any) -> Any:
        passed_back = lambda dz, v, z: right(dz, (*v[:n], *y[n:]), z)[:n]  # noqa: E731
        return *fault(passed_back, dz, y, z), *right(dz, y, z)[n:]

    return vjp


#: Ops whose gradients have usual forms, which may be as far off as a fault in a tail.
WITH_FORMS = (
    *(core.ELU, core.GELU, core.LogSoftmax, core.SELU, core.SiLU, core.Sigmoid, core.Softmax),
    *(core.Softplus, core.Tanh),
)


def plant_structural(case: Case, seed: int) -> Counter[str]:
    """Every node of the case with a wrong backward pass: the node and its edges are named."""
    rng = np.random.default_rng(seed)
    count: Counter[str] = Counter()
    for step in case.network.body:
        edges = {(step.name, Quantity.use(case.network, edge)) for _, edge in step.taken}
        for fault, wrong_vjp in faults_of(step, rng).items():
            op = faulty(step.op, vjp=of_values(step, wrong_vjp))
            trace = backprop(with_op(case, step.name, op))
            wrong = {(step.name, quantity) for quantity in surely_wrong(case, trace, step)}
            findings = judge(case, trace, explain=False)
            named = {(f.node, f.quantity) for f in findings if f.parity is False}
            told = wrong - named if isinstance(step.op, WITH_FORMS) else set()
            assert wrong - told <= named <= edges, (case.name, step, fault, named, wrong)
            count[fault if wrong else "equivalent"] += 1
            if told and case.precision.name == "float32":
                count["lossy in float32"] += len(told)
                told -= named_in_float64(case, step, op)
            count["lossy in float64"] += len(told)
    return count


def named_in_float64(case: Case, step: Step, op: Any) -> set[tuple[str, str]]:
    """What is wrong in float64."""
    case = case.astype("float64")
    findings = judge(case, backprop(with_op(case, step.name, op)), explain=False)
    return {(f.node, f.quantity) for f in findings if f.parity is False}


def structural(seeds: Iterable[int], dtype: str) -> Counter[str]:
    count: Counter[str] = Counter()
    for s in seeds:
        make = random_layered if s % 5 == 0 else random_dag
        count += plant_structural(make(s).astype(dtype), s)
    return count


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("dtype", "seeds", "more_than"),
    [
        ("float64", range(2000, 2025, 2), 60),
        ("float32", range(2000, 2025, 2), 60),
        pytest.param("float64", range(2000, 2025), 125, marks=pytest.mark.slow),
        pytest.param("float32", range(2000, 2025), 125, marks=pytest.mark.slow),
    ],
)
def test_a_wrong_backward_pass_names_its_node_and_edges(dtype, seeds, more_than):
    count = structural(seeds, dtype)
    assert min(count[fault] for fault in (*FAULTS, "own")) >= 1, count
    assert count.total() - count["equivalent"] > more_than, count
    assert count["lossy in float32"] <= 3, count
    assert count["lossy in float64"] == 0, count


@pytest.mark.slow
@each_dtype
def test_a_wrong_backward_pass_names_its_node_and_edges_on_thousands(dtype):
    count = structural(range(30_000, 31_500), dtype)
    print(f"\n{dtype}: {count.total()} planted, {count}")
    assert min(count[fault] for fault in (*FAULTS, "own")) >= 40, count
    # In a tail a usual form gives exactly 0, and so does a fault that leaves the tail out.
    assert count["lossy in float64"] + count["lossy in float32"] <= 0.005 * count.total(), count


# A single element -------------------------------------------------------------------------------


def expected_everywhere(case: Case, trace: Trace, rounding: Rounding) -> dict[str, Reference]:
    """The reference of every quantity except random slopes, which are free."""
    found = [
        *reference_of_loss(case, trace, rounding),
        *reference_of_sum(INPUT, case, trace, rounding),
    ]
    for step in case.network.body:
        found += reference_of_sum(step.name, case, trace, rounding)
        if not step.op.random:
            found += reference_at_node(step, case, trace, rounding)
    return {e.quantity: e for e in found if e.quantity != "Err"}


def own_bound(e: Reference, sharp: Reference) -> np.ndarray:
    """The bound of each element: the worst case, or in float32 15 sigma if that is less."""
    return np.minimum(e.want.full_error(), 1.5 * sharp.want.full_error())


def arrays(trace: Trace) -> dict[str, np.ndarray]:
    """The arrays of the trace by quantity: writing into one changes the trace."""
    edges = {f"grad {e[0]} -> {e[1]}": g for e, g in trace.edge_grad.items()}
    values = {f"value {name}": z for name, z in trace.value.items()}
    grads = {f"grad {name}": g for name, g in trace.grad.items()}
    return {"Div": trace.Div} | values | grads | edges


def plant_elements(case64: Case, seed: int, each: int = 5) -> Counter[tuple[str, str]]:
    """One wrong element in some quantities of PyTorch's trace: how many are caught, by dtype."""
    rng = np.random.default_rng(seed)
    count: Counter[tuple[str, str]] = Counter()
    torch = get_adapter("torch")
    clean = {f.quantity: f for f in judge(case64, torch.run(case64))}
    for dtype in DTYPES:
        case = case64.astype(dtype)
        trace = torch.run(case)
        worst = expected_everywhere(case, trace, Rounding.of(dtype))
        sharp = worst
        if dtype == "float32":
            sharp = expected_everywhere(case, trace, Rounding.of(dtype, statistical=True))
        for quantity in rng.permutation(sorted(worst))[:each]:
            e = worst[quantity]
            largest = float(np.abs(e.got).max())
            smooth = np.argwhere(np.broadcast_to(~at_kink(e), e.got.shape))
            if not 0 < largest < np.inf or not len(smooth):
                continue
            where = tuple(rng.choice(smooth))
            wrong = copy.deepcopy(trace)
            # Away from the formula: it shall not undo a rounding that was there.
            away = 1 if float(e.got[where]) >= e.want.value[where] else -1
            arrays(wrong)[quantity][where] += away * STEP[dtype] * largest
            moved = abs(float(arrays(wrong)[quantity][where]) - float(e.got[where]))
            if not moved > own_bound(e, sharp[quantity])[where]:
                count[dtype, "within its bound"] += 1
                continue
            found = {f.quantity: f for f in judge(case, wrong, lambda: clean, explain=False)}[
                quantity
            ]
            if found.parity and found.power is not None and found.power.untested:
                count[dtype, "within a usual form"] += 1
                continue
            assert found.parity is False, f"{case.name} {dtype} {where}: {found}"
            count[dtype, "caught"] += 1
    return count


def elements(seeds: Iterable[int]) -> Counter[tuple[str, str]]:
    pytest.importorskip("torch")
    count: Counter[tuple[str, str]] = Counter()
    for s in seeds:
        case = random_layered(s) if s % 5 == 0 else random_dag(s, ORDINARY[s % len(ORDINARY)])
        if case.name.rpartition("-")[2] in ORDINARY:
            count += plant_elements(case, s)
    return count


def nearly_all_caught(count: Counter[tuple[str, str]], least: int) -> None:
    """Every one beyond its own bound is caught, or `plant_elements` fails; few are not beyond."""
    for dtype in DTYPES:
        caught, hidden = count[dtype, "caught"], count[dtype, "within its bound"]
        assert caught > least, count
        assert caught >= 0.95 * (caught + hidden), count
        assert count[dtype, "within a usual form"] <= 0.01 * caught, count


@pytest.mark.parametrize(
    ("seeds", "least"),
    [(range(4000, 4018), 50), pytest.param(range(4000, 4035), 100, marks=pytest.mark.slow)],
)
def test_a_single_wrong_element_is_caught(seeds, least):
    nearly_all_caught(elements(seeds), least)


@pytest.mark.slow
def test_a_single_wrong_element_is_caught_in_thousands_of_networks():
    count = elements([*range(4035, 4070), *range(40_000, 42_000)])
    print(f"\n{count}")
    nearly_all_caught(count, 5000)
