"""Linear systems, whose solution depends on what the system is made of and on its right side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ....core.arithmetic.arrays import NDArray
from .needed import closed
from .primitives.table import Operands
from .wide import evaluated

__all__ = ["solved"]

#: The largest number of unknowns for which the system is written out.
MOST = 2000


def solved(eqn: Any, given: Operands, arrays: Sequence[NDArray]) -> list[NDArray] | None:
    """The solution of a `custom_linear_solve` for other floats, in float64.

    The system is written out as a matrix.  How the program solves it, and what it keeps for that,
    such as a factorisation, has no part in the solution.

    Parameters
    ----------
    arrays : the float inputs, in order.
    """
    floats = [k for k, x in enumerate(given.ins) if x is not None and x.dtype.kind == "f"]
    full: list[Any] = list(given.ins)
    for k, array in zip(floats, arrays, strict=True):
        full[k] = np.asarray(array, np.float64)
    lengths = eqn.params["const_lengths"]
    consts, sides = full[: lengths.matvec], full[sum(lengths) :]
    if len(sides) != 1 or sides[0].size > MOST:
        return None
    (b,) = sides
    try:
        with jax.enable_x64(True):
            of = closed(eqn.params["jaxprs"].matvec)

            def system(x: Any) -> Any:
                (out,) = evaluated(*of, [*map(jnp.asarray, consts), x.reshape(b.shape)])
                return out.reshape(-1)

            matrix = np.asarray(jax.vmap(system)(jnp.eye(b.size))).T
            return [np.linalg.solve(matrix, np.ravel(b)).reshape(b.shape)]
    except Exception:  # a system of other dtypes, or without a solution
        return None
