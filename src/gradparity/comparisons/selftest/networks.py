"""Networks for planted faults: every op and divergence, on inputs that show their faults.

Random numbers reveal a wrong formula but not a wrong subgradient; small integers, which hit kinks
and ties exactly, do the opposite.  With a batch as large as the width, transposed arrays fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ...core import Affine, Case, Compound, Identity, LinearLoss, Network, Op, layered
from ...core.arithmetic.arrays import NDArray
from ...core.network.backprop import backprop
from ..cases.suite import LOSSES, OPS, TWINS, gated, shared_zero
from ..cases.vocabulary import VOCABULARY
from ..cases.vocabulary.shaped import SHAPED

__all__ = ["Subject", "builtin_subjects", "elsewhere"]


@dataclass(frozen=True)
class Subject:
    """A network with several inputs, and the nodes where faults are planted (None for all).

    `own` marks a user's network, on which a fault without effect may count as a survivor.  Without
    `sums`, the sum over uses is left out for values with a single use.
    """

    name: str
    cases: tuple[Case, ...]
    nodes: frozenset[str] | None = None
    own: bool = False
    sums: bool = True
    seed: int = 0


def builtin_subjects(seed: int = 0) -> Iterator[Subject]:
    """Every op of the suite, every divergence, and networks whose values have several uses."""
    for name, (op, width) in OPS.items():
        yield _of_op(f"op-{name}", op, width, seed, TWINS.get(name, ""))
    for name, shaped in (SHAPED | VOCABULARY).items():
        mine = (shaped.case(6, seed, False), shaped.case(10, seed, True), shaped.case(4, seed + 1))
        nodes = frozenset(node.name for node in shaped.network().nodes)
        yield Subject(f"op-{name}", mine, nodes, sums=False)
    yield _of_op("op-affine-square", Affine(4, 4), 4, seed)
    for name, (divergence, output, width) in LOSSES.items():
        network = layered(output or [Identity()], divergence)
        cases = (Case.random(network, batch=T, seed=seed + T, width=width) for T in (width, 7, 9))
        yield Subject(f"loss-{name}", tuple(cases), frozenset(("Div", "Err")), sums=False)
    for name, case, nodes in (
        ("gated", gated(), frozenset(("m1", "r1", "q1", "c1", "x"))),
        ("shared-zero", shared_zero(), frozenset(("z1", "y1", "u1", "s1", "x"))),
    ):
        yield Subject(name, (case, _telling(case.network, 7, seed)), nodes)


def _of_op(name: str, op: Op | Compound, width: int, seed: int, twin: str = "") -> Subject:
    """The op alone, with cotangents of random sign."""
    network = layered([op], LinearLoss())
    square, again = (
        _telling(network, batch, seed + batch, width)
        for batch in (max(width, 3), max(width, 3) + 4)
    )
    nodes = frozenset(node.name for node in network.nodes)
    cases: tuple[Case, ...] = (square, _at_kinks(square), again)
    if twin:
        cases = tuple(replace(case, twin={network.output: twin}) for case in cases)
    return Subject(name, cases, nodes, sums=False)


def _telling(network: Network, batch: int, seed: int, width: int | None = None) -> Case:
    """A random case whose first sample has a nonzero gradient at every edge."""
    for i in range(100):
        case = Case.random(network, batch=batch, seed=seed + 1000 * i, width=width)
        if all(np.any(g[0]) for g in backprop(case).edge_grad.values()):
            break
    return case


def _at_kinks(case: Case, batch: int | None = None) -> Case:
    """The same network on small integers, which hit kinks and ties exactly."""
    rng = np.random.default_rng(case.T)
    network, T = case.network, batch or 2 * case.T + 4

    def drawn(name: str, a: NDArray) -> NDArray:
        if a.dtype.kind != "f" or name in network.fixed or a.shape[0] != case.T:
            return np.resize(a, (T, *a.shape[1:])) if a.shape[0] == case.T else a
        x = rng.integers(-2, 3, (T, *a.shape[1:])).astype(case.dtype)
        x[0] = 0.0
        return x

    inputs = {name: drawn(name, a) for name, a in case.inputs.items()}
    params = {name: np.clip(np.round(1.5 * p), -2, 2) for name, p in case.params.items()}
    if network.divergence is None:
        return Case(network, params, inputs, name=case.name)
    shapes = network.shapes({name: a.shape for name, a in inputs.items()})
    d = network.divergence.targets(rng, shapes[network.output])
    if d.dtype.kind == "f":
        d = d.astype(case.dtype)
    return Case(network, params, inputs, d, case.name, twin=case.twin)


def elsewhere(subject: Subject) -> Iterator[Case]:
    """Other inputs of a user's network, on which a fault without effect may have one.

    The batch size stays, because dErr/dDiv = 1/T depends on it; a single sample becomes five.
    """
    (case,) = subject.cases
    T = case.T if case.T > 1 else 5
    for i in range(3):
        rng = np.random.default_rng(subject.seed + i)
        drawn = {
            name: rng.standard_normal((T, *a.shape[1:])) if _is_drawn(case, name) else a
            for name, a in case.inputs.items()
        }
        other = Case.random(case.network, batch=T, seed=subject.seed + i, x=drawn)
        yield other
        yield _at_kinks(other, T)


def _is_drawn(case: Case, name: str) -> bool:
    """Whether an input is floats, one row a sample."""
    a = case.inputs[name]
    return a.dtype.kind == "f" and name not in case.network.fixed and a.shape[0] == case.T
