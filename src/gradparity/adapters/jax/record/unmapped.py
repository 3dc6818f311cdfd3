"""Primitives that the table has no rule for: they are evaluated at other numbers, by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from ....core.arithmetic.arrays import NDArray
from ....core.network.calls import NoFormula
from ...mapped import Mapped, UnmappedError
from .equations import Equation, bind
from .primitives.table import Operands
from .solves import solved
from .wide import wide_params

__all__ = ["by_values", "evaluated"]


def by_values(eqn: Any, given: Operands) -> Mapped:
    """A primitive without a formula, whose gradients are held to differences of its values.

    Raises
    ------
    UnmappedError : it holds functions, which may close over one value twice.
    """

    def floats(arrays: Sequence[NDArray | None]) -> tuple[int, ...]:
        return tuple(k for k, x in enumerate(arrays) if x is not None and x.dtype.kind == "f")

    held = jax.tree.leaves(list(eqn.params.values()))
    solves = eqn.primitive.name == "custom_linear_solve"
    if not solves and any(isinstance(each, Jaxpr | ClosedJaxpr) for each in held):
        raise UnmappedError("there is no formula for it")
    name = eqn.primitive.name
    op = NoFormula(name, f"there is no formula for {name}")
    return Mapped(op, floats(given.ins), floats(given.outs))


def evaluated(
    equation: Equation, given: Operands, outputs: Sequence[int], arrays: Sequence[NDArray]
) -> list[NDArray] | None:
    """The float results of an equation for other floats, in float64; None where it does not run."""
    if equation.eqn.primitive.name == "custom_linear_solve":
        return solved(equation.eqn, given, arrays)
    given_floats = [k for k, x in enumerate(given.ins) if x is not None and x.dtype.kind == "f"]
    full: list[Any] = list(given.ins)
    for k, array in zip(given_floats, arrays, strict=True):
        full[k] = np.asarray(array, np.float64)
    try:
        with jax.enable_x64(True):
            ins = [None if x is None else jnp.asarray(x) for x in full]
            outs = bind(equation.eqn, *ins, **wide_params(equation.eqn))
            return [np.asarray(outs[i]) for i in outputs]
    except Exception:  # a primitive that has other dtypes
        return None
