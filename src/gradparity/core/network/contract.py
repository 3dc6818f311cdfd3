"""Checks of what a user's op returns; their errors name the node and the formula.

An op from outside the package is evaluated once, on a few random numbers, when a case is made of
its network: a shape, a dtype or a number of gradients that does not fit is reported there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..arithmetic.arrays import Array, NDArray
from ..formulas.op import Op, Shape
from .declared import FormulaError, called
from .nodes import Step

__all__ = [
    "FormulaError",
    "check_own_formulas",
    "gradients_of",
    "is_foreign",
    "sampled_integers",
    "value_of",
]


def value_of(step: Step, op: Op, y: tuple[Array, ...]) -> dict[str, Array]:
    """Every value of a node by name, in any arithmetic.

    Raises
    ------
    FormulaError : the formula raised, or returned another number of values.

    >>> from gradparity.core import *
    >>> class Sinh(Activation):
    ...     def f(self, z):
    ...         return np.sinh(z)
    >>> step = layered([Sinh()], L2()).steps[0]
    >>> value_of(step, step.op, (Bounded.exactly(np.ones((1, 1)), Rounding.of("float32")),))
    Traceback (most recent call last):
    gradparity.core.network.declared.FormulaError: node 'y1', Sinh.forward: TypeError: ...
    """
    z = called(_where(step, "forward"), op.forward, *y)
    n = len(step.values)
    if n > 1 and (not isinstance(z, tuple | list) or len(z) != n):
        raise FormulaError(
            f"{_where(step, 'forward')} returned {_described(z)}; return a tuple of {n}, one entry "
            "per output and state"
        )
    return {name: _array(a) for name, a in step.named(z).items()}


def gradients_of(
    step: Step, op: Op, dz: Any, y: tuple[Array, ...], z: Any
) -> tuple[Array | None, ...]:
    """The gradient by every input of a node, in any arithmetic; None where there is none.

    Raises
    ------
    FormulaError : the formula raised, or did not return one gradient for each input.
    """
    found = called(_where(step, "vjp"), op.vjp, dz, y, z)
    if not isinstance(found, tuple | list) or len(found) != len(y):
        raise FormulaError(
            f"{_where(step, 'vjp')} returned {_described(found)}; return a tuple of {len(y)}, one "
            "gradient per input"
        )
    return tuple(None if g is None else _array(g) for g in found)


def _array(a: Any) -> Any:
    """A sum over all axes is a NumPy number and not an array."""
    return np.asarray(a) if isinstance(a, np.generic) else a


def _described(found: Any) -> str:
    return str(len(found)) if isinstance(found, tuple | list) else type(found).__name__


def _where(step: Step, formula: str) -> str:
    return f"node {step.name!r}, {step.op.name}.{formula}"


def sampled_integers(op: Op, rng: np.random.Generator, shape: Shape) -> NDArray:
    """Integers for an op's first input, from its `sample_integers`.

    Raises
    ------
    FormulaError : it raised, or returned something else than valid integers of this shape.
    """
    where = f"{op.name}.sample_integers"
    found = called(where, op.sample_integers, rng, shape)
    array = np.asarray(found) if isinstance(found, np.ndarray | np.generic | list) else None
    if array is None or array.dtype.kind not in "iu" or array.shape != shape:
        said = f"{array.dtype} of shape {array.shape}" if array is not None else _described(found)
        raise FormulaError(f"{where} returned {said}; return integers of shape {shape}")
    try:
        op.check_integers(array)
    except ValueError as error:
        raise FormulaError(f"{where} returned what check_integers refuses: {error}") from None
    return array


def is_foreign(op: Op) -> bool:
    """Whether this op comes from outside the package."""
    return not type(op).__module__.startswith("gradparity.")


def check_own_formulas(
    steps: Iterable[Step],
    shapes: Mapping[str, Shape],
    dtype: np.dtype[Any],
    integers: Mapping[str, NDArray],
) -> None:
    """Try the formulas of these nodes: on random numbers of these shapes, and the integers given.

    Raises
    ------
    FormulaError : a formula raises, or returns another shape or dtype than it must.
    """
    for step in steps:
        _check_op(step, shapes, dtype, integers)


def _check_op(
    step: Step,
    shapes: Mapping[str, Shape],
    dtype: np.dtype[Any],
    integers: Mapping[str, NDArray],
) -> None:
    rng = np.random.default_rng(0)

    def drawn(name: str) -> Array:
        if name in integers:
            return integers[name]
        if name in step.parameters.values():
            return rng.uniform(0.5, 1.5, shapes[name]).astype(dtype)
        return rng.standard_normal(shapes[name]).astype(dtype)

    y = tuple(drawn(name) for name in step.inputs)
    with np.errstate(all="ignore"):
        try:
            value = value_of(step, step.op, y)
            for name, z in value.items():
                _fits(_where(step, "forward"), "z", z, shapes[name], dtype)
            given = [rng.standard_normal(shapes[name]).astype(dtype) for name in step.outputs]
            dz = given[0] if len(given) == 1 else tuple(given)
            found = gradients_of(step, step.op, dz, y, step.joined(value))
        except NotImplementedError:  # perhaps not needed
            return
    names = [f"dy[{i}]" if len(y) > 1 else "dy" for i in range(len(y))]
    letters, n = step.op.parameter_shapes(), len(step.taken)
    names[n : n + len(letters)] = [f"d{letter}" for letter in letters]
    for name, given_y, edge, g in zip(names, y, step.edges, found, strict=True):
        if g is not None:
            _fits(_where(step, "vjp"), name, g, given_y.shape, dtype)
        elif edge is not None and step.name != "Div" and given_y.dtype.kind == "f":
            raise FormulaError(f"{_where(step, 'vjp')} returned None for {name}; return an array")


def _fits(where: str, name: str, got: Any, shape: Shape, dtype: np.dtype[Any]) -> None:
    """A formula's result has this shape and dtype."""
    if not isinstance(got, np.ndarray | np.generic):
        raise FormulaError(f"{where} returned {type(got).__name__} for {name}; return an array")
    if got.shape != shape:
        raise FormulaError(
            f"{where} returned {name} of shape {got.shape}, expected {shape}, for a small batch"
        )
    if got.dtype != dtype:
        raise FormulaError(
            f"{where} returned {name} of dtype {got.dtype} for inputs of {dtype}; nothing in a "
            "formula may force a dtype, as np.where(c, 1.0, 0.0) and np.zeros(shape) do"
        )
