"""What the formulas of an op of one's own must return, and errors that name node and formula.

An op from outside the package is evaluated once, on a few random numbers, when a case is made of
its network: a shape, a dtype or a letter that does not fit is told there, and not far away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..arithmetic.arrays import Array
from ..formulas.divergences import Divergence
from ..formulas.op import Op, Params
from .network import Network, Step

__all__ = ["FormulaError", "check_own_formulas", "formula_of", "shares", "value_of"]

#: Instances to try a formula on.
FEW = 3


class FormulaError(TypeError, ValueError):
    """A formula of an op or a divergence raised, or returned what does not fit; says which."""


def _failed(where: str, error: Exception) -> FormulaError:
    """The same error, with the place in front."""
    return FormulaError(f"{where}: {type(error).__name__}: {error}")


#: What is raised as it is: it names its place already, or a formula that nobody has written.
KNOWN = (FormulaError, NotImplementedError)


@contextmanager
def formula_of(divergence: Divergence, formula: str) -> Iterator[None]:
    """Raises FormulaError for whatever is raised inside, naming the divergence and the formula."""
    try:
        yield
    except KNOWN:
        raise
    except Exception as error:
        raise _failed(f"{divergence.name}.{formula}", error) from error


def value_of(step: Step, op: Op, p: Params, y: tuple[Array, ...]) -> Array:
    """z of a node, in any arithmetic.

    Raises
    ------
    FormulaError : the formula raised; the message names the node, the formula, and what it raised.

    >>> from gradparity.core import *
    >>> class Sine(Activation):
    ...     def f(self, z):
    ...         return np.sin(z)
    >>> step = layered([Sine()], L2()).steps[0]
    >>> value_of(step, step.op, {}, (Bounded.exactly(np.ones((1, 1)), Rounding.of("float32")),))
    Traceback (most recent call last):
    gradparity.core.network.contract.FormulaError: node 'y1', Sine.forward: TypeError: ...
    """
    try:
        return op.forward(p, *y)
    except KNOWN:
        raise
    except Exception as error:
        raise _failed(_where(step, "forward"), error) from error


def shares(
    step: Step, op: Op, dz: Array, p: Params, y: tuple[Array, ...], z: Array
) -> tuple[tuple[Array, ...], Params]:
    """dy for every input and dp for every parameter of a node, in any arithmetic.

    Raises
    ------
    FormulaError : a formula raised, or did not return one gradient for each.
    """
    formula = "backward"
    try:
        dy = op.backward(dz, p, y, z)
        formula = "gradients"
        dp = op.gradients(dz, p, y, z)
    except KNOWN:
        raise
    except Exception as error:
        raise _failed(_where(step, formula), error) from error
    if not isinstance(dy, tuple | list) or len(dy) != len(y):
        got: Any = len(dy) if isinstance(dy, tuple | list) else type(dy).__name__
        raise FormulaError(
            f"{_where(step, 'backward')} returned {got}; return a tuple of {len(y)}, one gradient "
            "per input"
        )
    if not isinstance(dp, Mapping) or set(dp) != set(step.parameters):
        got = sorted(dp) if isinstance(dp, Mapping) else type(dp).__name__
        raise FormulaError(
            f"{_where(step, 'gradients')} returned {got}; return a dict with a gradient for each "
            f"of the parameters {sorted(step.parameters)}"
        )
    # A sum over all axes is a NumPy number and no array.
    return tuple(dy), {k: np.asarray(g) if isinstance(g, np.generic) else g for k, g in dp.items()}


def _where(step: Step, formula: str) -> str:
    return f"node {step.name!r}, {step.op.name}.{formula}"


def check_own_formulas(
    network: Network, widths: Mapping[str, int], desired: Array, dtype: np.dtype[Any]
) -> None:
    """Try the formulas of every op, and of a divergence, that is not the core's.

    Raises
    ------
    FormulaError : a formula raises, or returns another shape or dtype than it must.
    """
    for step in network.steps:
        if _is_foreign(step.op):
            _check_op(step, [widths[name] for name in step.inputs], widths[step.name], dtype)
    if _is_foreign(network.divergence):
        _check_divergence(network.divergence, widths[network.output], desired[:FEW])


def _is_foreign(thing: Op | Divergence) -> bool:
    return not type(thing).__module__.startswith("gradparity.")


def _check_op(step: Step, ins: list[int], out: int, dtype: np.dtype[Any]) -> None:
    rng = np.random.default_rng(0)
    y = tuple(rng.standard_normal((FEW, width)).astype(dtype) for width in ins)
    shapes = step.op.parameter_shapes()
    p = {name: rng.uniform(0.5, 1.5, shape).astype(dtype) for name, shape in shapes.items()}
    with np.errstate(all="ignore"):
        try:
            z = value_of(step, step.op, p, y)
            _fits(_where(step, "forward"), "z", z, (FEW, out), dtype)
            dz = rng.standard_normal((FEW, out)).astype(dtype)
            dy, dp = shares(step, step.op, dz, p, y, z)
        except NotImplementedError:  # not written yet, and perhaps not needed
            return
    for i, (given, found) in enumerate(zip(y, dy, strict=True)):
        name = f"dy[{i}]" if len(y) > 1 else "dy"
        _fits(_where(step, "backward"), name, found, given.shape, dtype)
    for letter, found in dp.items():
        _fits(_where(step, "gradients"), f"d{letter}", found, shapes[letter], dtype)


def _check_divergence(divergence: Divergence, width: int, d: Array) -> None:
    T = len(d)
    y = np.random.default_rng(0).standard_normal((T, width)).astype(d.dtype)
    try:
        with np.errstate(all="ignore"):
            with formula_of(divergence, "forward"):
                Div = divergence.forward(y, d)
            with formula_of(divergence, "gradient"):
                dy = divergence.backward(np.ones(T, d.dtype), y, d, Div)
    except NotImplementedError:
        return
    _fits(f"{divergence.name}.forward", "Div", Div, (T,), d.dtype)
    _fits(f"{divergence.name}.gradient", "dy", dy, (T, width), d.dtype)


def _fits(where: str, name: str, got: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """A formula's result has this shape and dtype."""
    if not isinstance(got, np.ndarray | np.generic):
        raise FormulaError(f"{where} returned {type(got).__name__} for {name}; return an array")
    if got.shape != shape:
        raise FormulaError(
            f"{where} returned {name} of shape {got.shape}, expected {shape}, for {FEW} instances"
        )
    if got.dtype != dtype:
        raise FormulaError(
            f"{where} returned {name} of dtype {got.dtype} for inputs of {dtype}; nothing in a "
            "formula may force a dtype, as np.where(c, 1.0, 0.0) and np.zeros(shape) do"
        )
