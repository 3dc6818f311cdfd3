"""Every formula with its derivative, read off the code itself."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .. import core
from ..core import Activation, Compound, Divergence, Kinked, Op

__all__ = ["Formula", "formulas"]


@dataclass(frozen=True)
class Formula:
    """One op or divergence: its statement, and the code that evaluates it.

    Attributes
    ----------
    name : of the class in `gradparity.core`.
    statement : the first line of its docstring, the formula as the lecture writes it.
    forward, backward : the code, one line per statement.
    """

    name: str
    statement: str
    forward: tuple[str, ...]
    backward: tuple[str, ...]


def formulas() -> list[Formula]:
    """Every op, compound and divergence of the core, in alphabetical order.

    >>> next(f for f in formulas() if f.name == "Sigmoid").backward
    ('dz = dy * (y * (1 - y))',)
    """
    return sorted(_all(), key=lambda f: f.name.lower())


def _all() -> Iterator[Formula]:
    bases = (Op, Activation, Kinked, Compound, Divergence)
    for name in core.__all__:
        thing = getattr(core, name)
        if not inspect.isclass(thing) or thing in bases or not issubclass(thing, bases):
            continue
        statement = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
        if issubclass(thing, Compound):
            yield Formula(name, statement, _lines(thing.chain, "chain"), ())
        elif issubclass(thing, Divergence):
            yield Formula(
                name, statement, _lines(thing.forward, "Div"), _lines(thing.gradient, "dy")
            )
        elif issubclass(thing, Activation):
            backward = thing.slope if issubclass(thing, Kinked) else thing.df
            yield Formula(name, statement, _lines(thing.f, "y"), _lines(backward, "dz"))
        else:
            gradients = () if thing.gradients is Op.gradients else _lines(thing.gradients, "dp")
            backward_lines = _lines(thing.backward, "dy") + gradients
            yield Formula(name, statement, _lines(thing.forward, "z"), backward_lines)


def _lines(function: Any, result: str) -> tuple[str, ...]:
    """The statements of a function without docstring, `self.` and NumPy's prefix."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    body = tree.body[0].body  # type: ignore[attr-defined]
    lines: list[str] = []
    for statement in body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        said = ast.unparse(statement).replace("self.", "").replace("np.", "")
        lines += [line.replace("return ", f"{result} = ", 1) for line in said.splitlines()]
    return tuple(lines)
