"""Checks of what an adapter computes: ops, divergences, branches, kinks, formats, options."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ... import core
from ...adapters.base import AdapterError, Trainer
from ...adapters.kinks import Kinks
from ...comparisons.cases.suite import LOSSES, OPS, builtin_cases, gated, shared_zero
from ...comparisons.cases.vocabulary.shaped import SHAPED
from ...comparisons.check.check import check
from ...comparisons.findings.finding import Verdict
from ...comparisons.report.diagnosis import diagnosis
from ...core import (
    Add,
    Affine,
    Case,
    Concatenate,
    CrossEntropy,
    LinearLoss,
    Multiply,
    Network,
    Node,
    ReLU,
    layered,
)
from ...core.network.backprop import backprop
from .subject import Subject, expect

__all__ = ["CHECKS"]

BUILTIN = builtin_cases()


def op(name: str, subject: Subject) -> None:
    """One op agrees with the formulas, alone at its special points and in a network."""
    cases = [BUILTIN[f"{where}-{name}"].make() for where in ("op", "net")]
    subject.has_parity([subject.adapted(case) for case in cases])


def shaped_op(name: str, subject: Subject) -> None:
    """One op on values of several axes: images, sequences, several inputs and outputs."""
    subject.has_parity([subject.adapted(SHAPED[name].case(batch=4, seed=11))])


def vector_activation(subject: Subject) -> None:
    """A user's function runs: one made of operators, and one written for this framework."""
    cube = _cube(lambda z: z * z * z)
    native = _cube(_not_for_a_framework, native={subject.name: lambda z: z * z * z})
    for each in (cube, native):
        net = layered([Affine(3, 2), each], subject.divergence)
        subject.has_parity([Case.random(net, batch=3, name="the user's function")])


def _cube(function: Callable[[Any], Any], **how: Any) -> core.VectorActivation:
    vjp = lambda dy, z: 3 * z * z * dy  # noqa: E731
    return core.VectorActivation(function, pullback=vjp, n_in=2, n_out=2, **how)


def _not_for_a_framework(z: Any) -> Any:
    """z^3 for NumPy's and the judge's own arrays; others must use the native function."""
    if type(z).__module__.split(".")[0] not in ("numpy", "gradparity"):
        raise TypeError("the op has a native function for this framework: call that one")
    return z * z * z


def loss(name: str, subject: Subject) -> None:
    """One divergence: the mean, the sum, and Err scaled as in mixed-precision training."""
    divergence, output, width = LOSSES[name]
    ways = {"mean": {}, "sum": {"reduction": "sum"}, "scale=2^10": {"scale": 2.0**10}}
    cases = [
        Case.random(
            layered([Affine(4, width), *output], divergence, **how),  # type: ignore[arg-type]
            batch=6, seed=3, name=f"{name} {way}",
        )
        for way, how in ways.items()
    ]  # fmt: skip
    subject.has_parity(cases)


CLASSIFIERS = (
    CrossEntropy(),
    CrossEntropy(0.02),
    CrossEntropy(0.02, on="probabilities"),
    core.KL(),
)


def class_labels(subject: Subject) -> None:
    """Targets may be class labels of any integer dtype."""
    labels = np.array([2, 0, 4, 4, 1, 3])
    subject.has_parity([
        replace(_classifier(each, labels.astype(dtype)), name=f"{each!r}, {dtype}")
        for dtype in ("int64", "int32", "uint8")
        for each in CLASSIFIERS
    ])  # fmt: skip


def soft_targets(subject: Subject) -> None:
    """Targets may be distributions, also with zeros."""
    d = np.abs(np.random.default_rng(4).standard_normal((6, 5)))
    d[0], d[1, 2:] = [0, 1, 0, 0, 0], 0
    d /= d.sum(1, keepdims=True)
    cases = [_classifier(each, d) for each in CLASSIFIERS]
    binary = layered([Affine(4, 5), core.Sigmoid()], core.BinaryKL(on="probabilities"))
    random = Case.random(binary, batch=6, seed=3)
    subject.has_parity([*cases, Case(binary, random.params, random.x, d, "BinaryKL")])


def _classifier(divergence: CrossEntropy, d: Any) -> Case:
    output = [core.Softmax()] if divergence.on == "probabilities" else []
    net = layered([Affine(4, 5), *output], divergence)
    random = Case.random(net, batch=len(d), seed=3)
    return Case(net, random.params, random.x, d, repr(divergence))


def branch_several_uses(subject: Subject) -> None:
    """A value with several consumers: a gate, a residual, a concatenation, and x used directly."""
    subject.has_parity([replace(subject.adapted(gated()), name="gated")])


def parity_of(name: str, nodes: Sequence[Node], subject: Subject) -> None:
    """Parity of a network of these nodes."""
    net = Network(*nodes, divergence=subject.divergence)
    subject.has_parity([Case.random(net, batch=4, name=name)])


#: A value that one node takes twice: each use has a gradient of its own.
USED_TWICE = (
    Node("z1", Affine(3, 4), "x"),
    Node("q1", Multiply(), "z1", "z1"),
    Node("s1", Add(), "q1", "q1", "z1"),
    Node("c1", Concatenate(), "s1", "s1"),
)
#: x used directly by several nodes.
X_DIRECTLY = (
    Node("z1", Affine(3, 3), "x"),
    Node("m1", Multiply(), "x", "z1"),
    Node("s1", Add(), "x", "m1", "x"),
)


def two_values(op: core.Op) -> tuple[Node, ...]:
    """An op of two values, each of which has a gradient of its own."""
    return Node("z1", Affine(3, 4), "x"), Node("z2", Affine(4, 4), "z1"), Node("m1", op, "z2", "z1")


def shared_parameters(subject: Subject) -> None:
    """Nodes may share a parameter, also transposed: its gradient is the sum over its uses."""
    net = Network(
        Node("z1", Affine(3, 3, bias=False), "x", W="E"),
        Node("y1", ReLU(), "z1"),
        Node("z2", Affine(3, 3, bias=False), "y1", W="E"),
        Node("z3", Affine(3, 3, bias=False), "z2", W="E.T"),
        divergence=subject.divergence, parameters={"E": (3, 3)},
    )  # fmt: skip
    subject.has_parity([Case.random(net, batch=4, name="shared parameters")])


def several_inputs(subject: Subject) -> None:
    """Inputs have names; integers and fixed inputs have no gradient, axis 0 may be no batch."""
    net = Network(
        Node("e", core.Embedding(5, 3), "ids"),
        Node("s", Add(), "e", "position"),
        Node("m", Multiply(), "s", "mask"),
        Node("y", core.Sum(1), "m"),
        divergence=subject.divergence, inputs=("ids", "position", "mask"), fixed=("mask",),
    )  # fmt: skip
    rng = np.random.default_rng(9)
    x = {
        "ids": rng.integers(0, 5, (4, 6)),
        "position": rng.standard_normal((1, 6, 3)),
        "mask": rng.integers(0, 2, (4, 6, 1)).astype(float),
    }
    subject.has_parity([Case.random(net, x=x, name="several inputs")])


def scalar_ends(subject: Subject) -> None:
    """A network may end at scalars of its own, in place of a divergence."""
    net = Network(
        Node("z1", Affine(3, 2), "x"), Node("a", core.Mean(), "z1"),
        Node("q1", Multiply(), "z1", "z1"), Node("b", core.Sum(), "q1"),
        ends={"a": 2.0, "b": -0.5},
    )  # fmt: skip
    subject.has_parity([Case.random(net, batch=4, name="scalar ends")])


def weighted_samples(subject: Subject) -> None:
    """A sample may have a weight: Err is the weighted mean or sum."""
    rng = np.random.default_rng(10)
    x = {"x": rng.standard_normal((4, 3)), "w": np.array([1.0, 0.0, 2.5, 0.5])}
    subject.has_parity([
        Case.random(
            Network(
                Node("z1", Affine(3, 2), "x"), divergence=subject.divergence,
                inputs=("x", "w"), weights="w", reduction=reduction,
            ),
            x=x, name=f"weighted {reduction}",
        )
        for reduction in ("mean", "sum")
    ])  # fmt: skip


def branch_dead_end(subject: Subject) -> None:
    """A value that does not reach Div is in the trace, with zero gradient."""
    net = Network(
        Node("z1", Affine(3, 4), "x"), Node("aside", Affine(4, 2), "z1"),
        Node("more", Affine(2, 2), "aside"), Node("z2", Affine(4, 3), "z1"),
        divergence=subject.divergence, output="z2",
    )  # fmt: skip
    case = Case.random(net, batch=4, name="dead end").astype(subject.dtypes[0])
    grad = subject.run(case).grad
    wrong = [key for key in ("aside", "more", "W_aside", "b_aside") if grad[key].any()]
    expect(not wrong, f"{wrong} do not reach Div, their gradients are zero; got others")
    subject.has_parity([case])


def branch_input(subject: Subject) -> None:
    """x is used directly by several nodes, or is the only value."""
    parity_of("x directly", X_DIRECTLY, subject)
    alone = layered([ReLU()], subject.divergence)
    subject.has_parity([Case.random(alone, width=3, name="x alone")])


def batch_of_one(subject: Subject) -> None:
    """A batch of a single sample works."""
    branches = [_one(case) for case in subject.gated()]
    subject.has_parity([replace(subject.small(batch=1), name="batch of one"), *branches])


def _one(case: Case) -> Case:
    return Case(case.network, case.params, case.x[:1], case.d[:1], "gated, batch of one")


def large(subject: Subject) -> None:
    """Parity holds beyond the block size of matrix products, and for other label smoothing."""
    small = subject.small().network
    assert small.divergence is not None
    between = [node.op for node in small.nodes[1:-1]]
    smoothed = getattr(small.divergence, "eps", 0) > 0
    divergence = CrossEntropy(eps=0.03) if smoothed else small.divergence
    deep = layered([Affine(2, 70), *between, Affine(70, 2)], divergence)
    wide = layered([Affine(2, 70)], small.divergence)
    subject.has_parity([
        Case.random(deep, batch=67, seed=6, name="67 samples"),
        Case.random(wide, batch=3, seed=6, name="70 outputs"),
    ])  # fmt: skip


def kinks(subject: Subject) -> None:
    """Exactly at kinks and ties each use has a gradient in the subdifferential."""
    ties = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [-1.0, -1.0, -1.0], [3.0, 0.0, -0.0]])
    d = np.array([[1.5], [-0.5], [1.0], [-1.25]])
    largest = Case(layered([core.Max()], LinearLoss()), {}, ties, d, "ties")
    x = np.array([[0.0, -0.0, 1.0, -1.0], [-0.0, 0.0, -1.0, 1.0]])
    bends = Network(
        Node("a", ReLU(), "x"), Node("b", core.LeakyReLU(0.1), "x"),
        Node("c", core.Hardtanh(), "x"),
        Node("s", Add(), "a", "b", "c"), divergence=LinearLoss(),
    )  # fmt: skip
    d = np.array([[1.0, -0.5, 1.5, -1.0], [-1.25, 0.75, 0.5, 1.0]])
    shared = replace(shared_zero(), name="shared zero")
    cases = [shared, largest, Case(bends, {}, x, d, "kinks")]
    subject.has_parity([subject.adapted(case) for case in cases])


def number_format(precision: str, subject: Subject) -> None:
    """Judge the results in a format; report a format that the adapter refuses, with its message."""
    cases = [subject.small(), *subject.gated()]
    cases = [case.astype(precision) for case in cases]
    try:
        traces = subject.adapter.run_all(cases)
    except AdapterError as error:
        raise unittest.SkipTest(f"not supported: {error}") from error
    said = [trace.precision or trace.dtype.name for trace in traces]
    expect(set(said) == {precision}, f"a {precision} case gave traces of {said}; give precision=")
    if precision in subject.dtypes:
        subject.has_parity(cases, [precision])
        return
    # `gradparity check --dtype` measures low precision; here it only must not be wrong.
    report = check(cases, subject.adapter, dtypes=[*subject.dtypes, precision])
    wrong = {f.verdict for _, f in report.findings()} & {Verdict.MISMATCH, Verdict.CONVENTION}
    expect(not wrong, diagnosis(report))


def trainer(subject: Subject) -> None:
    """One update of the trainer is W - eta dErr/dW."""
    make = _optional(subject, "trainer", "needed for `gradparity train`")
    case, eta, rows = subject.small(), 0.5, np.array([3, 0, 4])
    training = make(case, eta)
    expect(isinstance(training, Trainer), f"trainer() is {training!r}; return a Trainer")
    start = {key: p.copy() for key, p in training.params().items()}
    expect(
        all(np.array_equal(start[key], p) for key, p in case.params.items()),
        "the trainer does not start from the case's parameters",
    )
    hand = backprop(Case(case.network, case.params, case.x[rows], case.d[rows]))
    near = np.sqrt(np.finfo(case.dtype).eps)
    Err = training.step(rows)
    expect(abs(Err - hand.Err) <= near * abs(hand.Err), f"step() is {Err}, Err was {hand.Err}")
    for key, p in training.params().items():
        by_hand = start[key] - eta * hand.grad[key]
        apart = float(np.abs(p - by_hand).max())
        expect(apart <= near, f"after a step {key} is {apart:.3g} off {key} - eta dErr/d{key}")


def native_kinks(subject: Subject) -> None:
    """kinks() has the methods that `gradparity probe` needs."""
    found = _optional(subject, "kinks", "needed for `gradparity probe`")()
    expect(isinstance(found, Kinks), f"kinks() is {found!r}; see gradparity.adapters.kinks.Kinks")


def vjp(subject: Subject) -> None:
    """vjp(function, arguments, dz) differentiates any function: (z, one gradient per argument)."""
    differentiate = _optional(subject, "vjp", "needed to differentiate a user's function")
    dtype = subject.dtypes[0]  # small whole numbers: every product and sum is exact
    a, b, dz = (np.array(rows, dtype) for rows in ([[1, -2]], [[3, 5]], [[2, -1]]))
    z, gradients = differentiate(lambda a, b: a * b + a, (a, b), dz)
    found = {"z": z, **dict(zip(("da", "db"), gradients, strict=True))}
    for name, expected in {"z": a * b + a, "da": dz * (b + 1), "db": dz * a}.items():
        got = found[name]
        plain = type(got) is np.ndarray and got.dtype == a.dtype and np.array_equal(got, expected)
        expect(plain, f"vjp of a b + a: {name} is {got!r}, expected {expected!r}")


def with_overrides(subject: Subject) -> None:
    """with_overrides({op or node: function}) gives an adapter that uses that function instead."""
    replace_by = _optional(
        subject, "with_overrides", "needed to check a user's function in a network"
    )
    right = replace_by({ReLU: lambda z: z * (z > 0)})
    case = subject.adapted(gated())
    Subject(right).has_parity([case])
    case = case.astype(subject.dtypes[0])
    wrong = replace_by({"m1": lambda y1, y2: y1 * y2 + y1}).run(case)
    by_hand = wrong.value["y1"] * wrong.value["g1"] + wrong.value["y1"]
    expect(
        np.allclose(wrong.value["m1"], by_hand),
        "with_overrides({'m1': ...}) did not use the function",
    )


def _optional(subject: Subject, method: str, what_for: str) -> Any:
    found = getattr(subject.adapter, method, None)
    if found is None:
        raise unittest.SkipTest(f"optional, absent: {method}() ({what_for})")
    return found


CHECKS: dict[str, Callable[[Subject], None]] = {
    "dtype-float64": partial(number_format, "float64"),
    "dtype-float32": partial(number_format, "float32"),
    **{f"op-{name}": partial(op, name) for name in OPS if name != "vector-activation"},
    "op-vector-activation": vector_activation,
    **{f"op-{o.name.lower()}": partial(parity_of, o.name, two_values(o))
       for o in (Add(), Multiply(), Concatenate())},
    **{f"op-{name}": partial(shaped_op, name) for name in SHAPED},
    **{f"loss-{name}": partial(loss, name) for name in LOSSES},
    "loss-weights": weighted_samples,
    "loss-ends": scalar_ends,
    "targets-labels": class_labels,
    "targets-soft": soft_targets,
    "branch-several-uses": branch_several_uses,
    "branch-used-twice": partial(parity_of, "used twice", USED_TWICE),
    "branch-dead-end": branch_dead_end,
    "branch-input": branch_input,
    "inputs-several": several_inputs,
    "parameters-shared": shared_parameters,
    "batch-of-one": batch_of_one,
    "large": large,
    "kinks": kinks,
    **{f"dtype-{name}": partial(number_format, name) for name in ("float16", "bfloat16", "tf32")},
    "optional-trainer": trainer,
    "optional-kinks": native_kinks,
    "optional-vjp": vjp,
    "optional-with_overrides": with_overrides,
}  # fmt: skip
