"""A NumPy network that adds the terms of its matrix products in a chosen order.

Every order is correct: it sums the same terms and rounds after each addition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gradparity.comparisons.explain.faults import faulty
from gradparity.core import Affine, Case, Op, Trace, backprop

__all__ = ["ORDERS", "summing"]

Sum = Callable[[np.ndarray], np.ndarray]


def _one_by_one(terms: np.ndarray) -> np.ndarray:
    return np.add.accumulate(terms, axis=-1)[..., -1]


def _sorted_by(key: Callable[[np.ndarray], np.ndarray]) -> Sum:
    def added(terms: np.ndarray) -> np.ndarray:
        order = np.argsort(key(terms), axis=-1, kind="stable")
        return _one_by_one(np.take_along_axis(terms, order, axis=-1))

    return added


def _blocked(terms: np.ndarray, size: int = 16) -> np.ndarray:
    starts = range(0, terms.shape[-1], size)
    parts = [_one_by_one(terms[..., a : a + size]) for a in starts]
    return _one_by_one(np.stack(parts, axis=-1))


def _pairwise(terms: np.ndarray) -> np.ndarray:
    while terms.shape[-1] > 1:
        odd = terms[..., -1:] if terms.shape[-1] % 2 else terms[..., :0]
        even = terms[..., : terms.shape[-1] // 2 * 2]
        terms = np.concatenate([even[..., ::2] + even[..., 1::2], odd], axis=-1)
    return terms[..., 0]


ORDERS: dict[str, Sum] = {
    "positive terms first": _sorted_by(lambda terms: terms <= 0),
    "largest first": _sorted_by(lambda terms: -terms),
    "reversed": lambda terms: _one_by_one(terms[..., ::-1]),
    "blocks of 16": _blocked,
    "pairwise": _pairwise,
}


def summing(order: str) -> Callable[[Case], Trace]:
    """Return the implementation: a function of a case, as `gradparity.check` accepts."""
    add = ORDERS[order]

    def times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Compute a b one column of b at a time, because all terms at once do not fit."""
        columns = [add(a * b[:, j]) for j in range(b.shape[1])]
        return np.stack(columns, axis=-1)

    def ordered(op: Affine) -> Op:
        return faulty(
            op,
            forward=lambda right, y, W, b: times(y, W) + b,
            vjp=lambda right, dz, y, z: (times(dz, y[1].T), times(y[0].T, dz), add(dz.T)),
        )

    def run(case: Case) -> Trace:
        network = case.network
        ops = {n.name: ordered(n.op) for n in network.nodes if isinstance(n.op, Affine)}
        return backprop(replace(case, network=network.changed(ops=ops)))

    return run
