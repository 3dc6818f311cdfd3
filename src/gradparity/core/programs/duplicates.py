"""Numbers that are written to places which several of them may share: one of them is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, moved, unbroadcast
from ..formulas.choices import Ties
from ..formulas.op import Op, Shape

__all__ = ["PutOne", "winners"]


def winners(ids: NDArray, x: NDArray, z: NDArray) -> NDArray:
    """True at the number that each place kept: the last one that is equal to what stands there.

    >>> winners(np.array([0, 0, 2]), np.array([5.0, 6.0, 7.0]), np.array([5.0, 0.0, 7.0])).tolist()
    [True, False, True]
    """
    flat, x = ids.ravel(), np.broadcast_to(x, ids.shape).ravel()
    stands = z.ravel()[flat]
    kept = (x == stands) | ((x != x) & (stands != stands))
    order = np.lexsort((np.arange(flat.size), kept, flat))
    last = np.append(flat[order][1:] != flat[order][:-1], True)[: flat.size]
    wins = np.zeros(flat.size, bool)
    wins[order[last]] = True
    return (wins & (flat >= 0)).reshape(ids.shape)


@dataclass(frozen=True)
class PutOne(Op):
    """z = y with x at the places ids, of which each keeps one;  dx = dz for that one, 0 for others.

    dy = dz, but 0 where x is written.  Where several x of a place are equal to the one that it
    keeps, nothing tells which that is: any weights >= 0 that sum to one are valid.

    Parameters
    ----------
    to_all : take dx = dz for all x of a place, which is wrong; PyTorch does.

    The inputs are the ids, which count the elements of y in order, negative where x is not
    written; whether each x is kept; then y and x, which is broadcast to the ids.

    >>> ids, kept = np.array([0, 0, 2]), np.array([False, True, True])
    >>> PutOne().forward(ids, kept, np.zeros(3), np.array([5.0, 6.0, 7.0]))
    array([6., 0., 7.])
    """

    to_all: bool = False
    n_inputs: ClassVar[int | None] = 4
    integers: ClassVar[bool] = True

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[2]

    def forward(self, *y: Array) -> Array:
        ids, kept, a, x = y
        shape, size = a.shape, int(np.prod(a.shape))
        met = np.zeros(size, bool)
        met[ids[kept]] = True

        def put(numbers: NDArray, fill: float) -> NDArray:
            out = np.zeros(size, numbers.dtype)
            out[ids[kept]] = np.broadcast_to(numbers, ids.shape)[kept]
            return out.reshape(shape)

        return np.where(met.reshape(shape), moved(x, put), a)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        ids, kept, a, x = y
        met = np.zeros(int(np.prod(a.shape)), bool)
        met[ids[kept]] = True
        taken = moved(dz, lambda numbers, _: numbers.reshape(-1)[ids])
        dx = np.where(ids >= 0 if self.to_all else kept, taken, 0)
        return None, None, np.where(met.reshape(a.shape), 0, dz), unbroadcast(dx, x.shape)

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Ties | None:
        ids, kept, a, x = y
        z = self.forward(ids, kept, a, x).ravel()
        at = np.flatnonzero((ids >= 0) & (np.broadcast_to(x, ids.shape) == z[ids]))
        number = np.broadcast_to(np.arange(x.size).reshape(x.shape), ids.shape)
        routes = np.unique(np.stack([ids.ravel()[at], number.ravel()[at]]), axis=1)
        several = np.bincount(routes[0], minlength=z.size)[routes[0]] > 1
        return Ties.of(routes[0][several], routes[1][several], 3)
