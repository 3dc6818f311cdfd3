"""Checks of what an op declares: numbers of inputs, names of outputs, and shapes.

An op from outside the package may declare anything; each error names the node, the op, the value
received and what to give.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..formulas.arguments import did_you_mean, is_identifier, is_whole, whole_numbers
from ..formulas.op import Op, Shape

__all__ = ["KNOWN", "FormulaError", "called", "check_declared", "parameters_of", "shapes_of_values"]


class FormulaError(TypeError, ValueError):
    """A formula of an op raised, or returned what does not fit; the message says which."""


#: Raised as they are: they name their place already, or a formula that is not implemented.
KNOWN = (FormulaError, NotImplementedError)


def called(where: str, formula: Callable[..., Any], *arguments: Any) -> Any:
    """Call a formula; an exception becomes a `FormulaError` that names the node and the formula."""
    try:
        return formula(*arguments)
    except KNOWN:
        raise
    except Exception as error:
        raise FormulaError(f"{where}: {type(error).__name__}: {error}") from error


def check_declared(node: str, op: Op) -> None:
    """Check the number of inputs, the names of outputs, states and buffers, and the parameters.

    Raises
    ------
    FormulaError : naming the node, the op and what is wrong.
    """
    where = f"node {node!r}, {op.name}"
    shapes = parameters_of(f"node {node!r}", op)
    for kind, least in (("outputs", 1), ("states", 0), ("buffers", 0)):
        names = getattr(op, kind)
        words = isinstance(names, tuple | list) and all(isinstance(n, str) for n in names)
        if not words or len(names) < least:
            such = f"({names!r},)" if isinstance(names, str) else "('h', 'c')"
            raise FormulaError(
                f"{where}.{kind} is {names!r}; give a tuple of names, such as {such}"
            )
        bad = next((n for n in names if n and not is_identifier(n)), None)
        if bad is not None:
            raise FormulaError(
                f"{where}.{kind} is {names!r}, and {bad!r} is not a Python identifier; give names "
                "such as 'h'"
            )
    for letter in op.buffers:
        if letter not in shapes:
            valid = ", ".join(map(repr, shapes)) or "none"
            raise FormulaError(
                f"{where}.buffers names {letter!r}, which parameter_shapes does not have;"
                f"{did_you_mean(letter, shapes)} valid names: {valid}"
            )
    n = op.n_inputs
    if n is not None and not is_whole(n, 1):
        kind = ", a string" if isinstance(n, str) else ""
        raise FormulaError(
            f"{where}.n_inputs is {n!r}{kind}; give a whole number >= 1, or None for two or more"
        )


def parameters_of(place: str, op: Op) -> Mapping[str, Shape]:
    """The shapes of an op's parameters by letter.

    Raises
    ------
    FormulaError : `parameter_shapes` raised, or returned something else.

    >>> from gradparity.core import Affine
    >>> parameters_of("node 'z'", Affine(3, 2))
    {'W': (3, 2), 'b': (2,)}
    """
    where = f"{place}, {op.name}.parameter_shapes"
    shapes: Any = called(where, op.parameter_shapes)
    if not isinstance(shapes, Mapping):
        raise FormulaError(
            f"{where} returned {shapes!r}; return a dict of letter -> shape, such as "
            "{'W': (3, 2)}, or {} for none"
        )
    for letter, shape in shapes.items():
        if not isinstance(letter, str):
            raise FormulaError(
                f"{where} returned a parameter named {letter!r}; give a string, such as 'W'"
            )
        if not isinstance(shape, tuple) or whole_numbers(shape, 0) is None:
            raise FormulaError(
                f"{where} returned the shape {shape!r} for {letter!r}; give a tuple of whole "
                "numbers >= 1, such as (3, 2)"
            )
    return shapes


def shapes_of_values(
    node: str, op: Op, names: Sequence[str], given: Sequence[Shape]
) -> dict[str, Shape]:
    """The shape of each value of a node, of these names, for the shapes of all inputs.

    Raises
    ------
    FormulaError : `output_shape` returned something else, or raised another error than:
    ValueError : the shapes do not fit.
    """
    where = f"node {node!r}, {op.name}.output_shape"
    try:
        found = op.output_shape(*given)
    except (*KNOWN, ValueError):
        raise
    except Exception as error:
        raise FormulaError(f"{where}: {type(error).__name__}: {error}") from error
    several = len(names) > 1
    each = found if several else (found,)
    if isinstance(each, tuple | list) and len(each) == len(names):
        shapes = [whole_numbers(shape, 0) for shape in each]
        fit = {name: shape for name, shape in zip(names, shapes, strict=True) if shape is not None}
        if len(fit) == len(names):
            return fit
    give = "a shape, a tuple of whole numbers"
    if several:
        give = f"{len(names)} shapes, one per output and state, each a tuple of whole numbers"
    raise FormulaError(
        f"{where} returned {found!r} for inputs of shapes {', '.join(map(str, given))}; "
        f"return {give}"
    )
