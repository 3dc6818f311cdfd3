"""Formulas with their derivatives, extracted from the source code."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ... import core
from ...core import Activation, Compound, Divergence, Kinked, Movement, Op, vocabulary
from ...core.formulas import arguments
from ...core.vocabulary.pairs import Elementwise
from ...core.vocabulary.rearranging import Rearrangement

__all__ = ["Formula", "formulas"]


@dataclass(frozen=True)
class Formula:
    """One op or divergence: its statement, and the code that evaluates it.

    Attributes
    ----------
    name : of the class in `gradparity.ops`.
    statement : the first lines of its docstring, the formula as the lecture writes it.
    forward, backward : the code, one line per statement.
    kinks : the kinks, their valid slopes, and the slope taken.
    where : the functions of the core that the code calls.
    """

    name: str
    statement: str
    forward: tuple[str, ...]
    backward: tuple[str, ...]
    kinks: tuple[str, ...] = ()
    where: tuple[str, ...] = ()


def formulas(*classes: type) -> list[Formula]:
    """Every op, compound and divergence of `gradparity.ops`, in alphabetical order; or of these.

    Raises
    ------
    TypeError : a class that is neither an op nor a divergence.
    OSError : Python cannot find the source of a class, such as one typed at a prompt.

    >>> next(f for f in formulas() if f.name == "Tanh").backward
    ('dz = dy * tanh_slope(z, y)',)
    """
    bases = (Op, Activation, Kinked, Compound, Divergence, Rearrangement)
    if classes:
        for kind in classes:
            if not (inspect.isclass(kind) and issubclass(kind, bases)):
                raise TypeError(f"{kind!r} is not a class of op or divergence")
        return [_formula(kind) for kind in classes]
    kinds = (getattr(module, name) for module in (core, *_families()) for name in module.__all__)
    found = [t for t in kinds if inspect.isclass(t) and issubclass(t, bases) and t not in bases]
    return sorted((_formula(kind) for kind in found), key=lambda f: f.name.lower())


def _families() -> list[Any]:
    """The modules of the vocabulary."""
    found = pkgutil.iter_modules(vocabulary.__path__)
    return [import_module(f"{vocabulary.__name__}.{module.name}") for module in found]


def _formula(kind: Any) -> Formula:
    forward, backward = _methods(kind)
    statement = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    where = tuple(_where(kind, [method for _, method in forward + backward]))
    kinks = tuple(_kinks(kind))
    return Formula(kind.__name__, statement, _code(forward), _code(backward), kinks, where)


def _code(methods: list[tuple[str, Any]]) -> tuple[str, ...]:
    return tuple(line for result, method in methods for line in _lines(method, result))


def _methods(kind: Any) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """(name of the result, method) of the forward and the backward pass."""
    if issubclass(kind, Compound):
        return [("chain", kind.chain)], []
    if issubclass(kind, Divergence):
        return [("Div", kind.forward)], [("dy", kind.gradient)]
    if issubclass(kind, Activation) and kind.forward is Activation.forward:
        return [("y", kind.f)], [("dz", kind.slope if issubclass(kind, Kinked) else kind.df)]
    if issubclass(kind, Movement):
        return [("z", kind.move)], [("dy", kind.move_back)]
    if issubclass(kind, Elementwise):
        return [("z", kind.f)], [("dy", kind.shares)]
    parameters = kind.vjp_parameters
    own = [] if parameters is Op.vjp_parameters else [("dp", parameters)]
    return [("z", kind.forward)], [("dy", kind.vjp), *own]


def _kinks(kind: Any) -> Iterator[str]:
    if not issubclass(kind, Kinked):
        return
    try:
        op = kind()
    except TypeError:  # its kinks depend on its arguments
        return
    for kink in op.kinks:
        low, high = kink.interval
        yield (
            f"at z = {kink.at:g} any slope in [{low:.5g}, {high:.5g}] is valid; "
            f"subgradient={op.subgradient!r} takes {op.taken_at(kink):.5g}"
        )


def _where(kind: Any, methods: list[Any]) -> Iterator[str]:
    """The helpers that the code calls, each once, in the order of their calls."""
    waiting, seen = [*methods], set[str]()
    while waiting:
        caller = waiting.pop(0)
        module = inspect.getmodule(caller)
        if module is arguments:  # checks of arguments are not part of a formula
            continue
        for node in ast.walk(_body(caller)):
            name = getattr(node, "id", "")
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) != "np":
                name = node.attr
            helper = getattr(kind, name, getattr(module, name, None))
            if name in seen or not inspect.isfunction(helper) or name in METHODS:
                continue
            home = ("gradparity.core.", kind.__module__)
            if (helper.__module__ or "").startswith(home) and name not in ARITHMETIC:
                seen.add(name)
                waiting.append(helper)
                given = ", ".join(a for a in inspect.signature(helper).parameters if a != "self")
                called = f"{name}({given})"
                lines = _lines(helper, called)
                yield from lines if lines != [f"{called} = {called}"] else ()


#: Methods shown under a name of their own, and array functions that are not part of a formula.
METHODS = frozenset(
    "f df slope forward vjp vjp_parameters gradient chain move move_back shares "
    "output_shape".split()
)
ARITHMETIC = frozenset(
    "usual like erf erfc erfcx erfinv ndtri lgamma digamma trigamma i0e i0e_less_i1e i1e_ratio "
    "affine absorb total scatter_add split of_shape moved moved_back unbroadcast".split()
)


def _tree(function: Any) -> Any:
    return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]


def _lines(function: Any, result: str) -> list[str]:
    """The statements of a function as equations, without docstring, `self.` and `np.`."""
    equations = _Equations(result).visit(_body(function))
    code = ast.unparse(equations).replace("self.", "").replace("np.", "")
    return [line for line in code.splitlines() if line]


def _body(function: Any) -> ast.Module:
    """The statements of a function that are part of its formula."""
    return ast.Module(_used(_branched(_Plain().visit(_tree(function)).body)), [])


def _used(body: list[Any]) -> list[Any]:
    """Leave out what only other forms of the formula need: assigned or defined, and never read."""
    read = {
        node.id
        for statement in body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    kept = [s for s in body if (name := _defined(s)) is None or name in read]
    return kept if len(kept) == len(body) else _used(kept)


def _defined(statement: Any) -> str | None:
    """The one name that a statement gives a meaning, if there is one."""
    if isinstance(statement, ast.FunctionDef):
        return statement.name
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else None


class _Equations(ast.NodeTransformer):
    """Turn the returns of a function, but not those of functions inside it, into equations."""

    def __init__(self, result: str) -> None:
        self.result = result

    def visit_Return(self, node: ast.Return) -> ast.AST:
        if node.value is None:
            return node
        equation = ast.Assign([ast.Name(self.result, ast.Store())], node.value)
        return ast.copy_location(equation, node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node


class _Plain(ast.NodeTransformer):
    """Leave out the usual forms, for a formula is shown in its best one, and types."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        return node.args[0] if ast.unparse(node.func) == "usual" else node

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        self.generic_visit(node)
        return None if isinstance(node.value, ast.Dict) else node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.returns = None
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node


def _branched(body: list[Any]) -> list[Any]:
    """Turn returns into equations; the code after an `if` that returns is its `else`.

    Docstrings and checks of the arguments are not part of a formula.
    """
    kept = [
        s
        for s in body
        if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        and not (isinstance(s, ast.If) and isinstance(s.body[-1], ast.Raise))
    ]
    for i, statement in enumerate(kept):
        if isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Return):
            statement.orelse = statement.orelse or _branched(kept[i + 1 :])
            return kept[: i + 1]
    return [part for s in kept for part in (s.body if isinstance(s, ast.With) else [s])]
