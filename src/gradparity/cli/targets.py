"""Targets of a command: the built-in cases, ``package.module:object``, or ``file.py:object``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

__all__ = ["apart", "builtin", "load", "program"]


def builtin(patterns: tuple[str, ...]) -> tuple[list[Any], dict[str, str]]:
    """The built-in cases whose name contains a pattern (all without any), and their purposes."""
    from ..comparisons.cases.suite import builtin_cases

    chosen = {
        name: b
        for name, b in builtin_cases().items()
        if not patterns or any(pattern in name for pattern in patterns)
    }
    if not chosen:
        raise ValueError(
            f"no built-in case contains {' or '.join(patterns)}; see `gradparity list`"
        )
    try:
        made = [b.make() for b in chosen.values()]
    except ImportError as error:
        raise ValueError(f"{error}, or choose other cases with --case") from error
    return made, {name: b.about for name, b in chosen.items()}


def load(target: str) -> tuple[Any, dict[str, str]]:
    """The cases that a target names: an object of a file or a module; a function is called."""
    from ..adapters.base import required
    from ..comparisons.running.raised import raised
    from ..core import Case, Network

    found = _named(target, "an object; write file.py:object or package.module:object")
    try:
        if callable(found) and required(found):
            raise ValueError(
                "it takes arguments; a target is a case, a network, a list of them, or a function "
                "without arguments that returns one.  Code of your own is checked in Python, by "
                "gradparity.check(case, function)"
            )
        found = found() if callable(found) else found
        alone = isinstance(found, Case | Network) or not isinstance(found, Iterable)
        cases = [found] if alone else list(found)
    except (Exception, SystemExit) as error:  # the target's own code may do anything
        raise ValueError(f"cannot load {target!r}: it {raised(error)}") from error
    for i, case in enumerate(cases):
        if not isinstance(case, Case | Network):
            raise ValueError(
                f"{target!r} gives {type(case).__name__}; give a Case, a Network or a list of them"
            )
        if isinstance(case, Network):
            name = target if alone else f"{target}[{i}]"
            cases[i] = Case.random(case, name=name)
    return cases, {}


#: What a function that makes a program returns.
MADE = "a function without arguments that returns (f, args) or (f, *args), as gp.record takes them"


def program(target: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The function and its arguments that ``file.py:make`` or ``package.module:make`` returns.

    Raises
    ------
    ValueError : there is no such function, or it fails or returns something else.
    """
    from ..adapters.base import required
    from ..comparisons.running.raised import raised
    from ..core.arithmetic.received import received

    make = _named(target, "a function; write file.py:make or package.module:make")
    if not callable(make):
        raise ValueError(f"{target!r} is {received(make)}; give {MADE}")
    if required(make):
        raise ValueError(f"{target!r} takes arguments; give {MADE}")
    try:
        made = make()
    except (Exception, SystemExit) as error:
        raise ValueError(f"cannot call {target!r}: it {raised(error)}") from error
    if type(made) is not tuple or not made or not callable(made[0]):
        raise ValueError(f"{target!r} returned {received(made)}; give {MADE}")
    f, *args = made
    if len(args) == 1 and type(args[0]) is tuple:
        return f, args[0]
    return f, tuple(args)


def _named(target: str, wanted: str) -> Any:
    """The object that ``file.py:name`` or ``package.module:name`` names.

    Raises
    ------
    ValueError : it names no object, or the module fails or has no such name.
    """
    from ..comparisons.running.raised import raised

    where, _, name = target.rpartition(":")
    if not where or not name:
        raise ValueError(f"{target!r} does not name {wanted}")
    if where.endswith(".py") and not Path(where).is_file():
        raise ValueError(f"cannot load {target!r}: there is no file {where}")
    try:
        found = _of_file(where) if where.endswith(".py") else _imported(where)
    except (Exception, SystemExit) as error:  # the target's own code may do anything
        raise ValueError(f"cannot load {target!r}: it {raised(error)}") from error
    for part in name.split("."):
        found = _attribute(target, found, part)
    return found


def _attribute(target: str, found: Any, name: str) -> Any:
    """An attribute of a module or of an object in it."""
    from ..comparisons.running.raised import raised
    from ..core.formulas.arguments import did_you_mean

    try:
        return getattr(found, name)
    except AttributeError:
        names = [n for n in dir(found) if not n.startswith("_")]
        raise ValueError(
            f"cannot load {target!r}: no {name!r} is defined there;{did_you_mean(name, names)} "
            "give one of its names"
        ) from None
    except (Exception, SystemExit) as error:  # of a property, or of a module's own __getattr__
        raise ValueError(f"cannot load {target!r}: it {raised(error)}") from error


def _imported(where: str) -> Any:
    """A module, looked for in the current folder first."""
    sys.path.insert(0, "")  # as `python -m` does
    return import_module(where)


def _of_file(where: str) -> Any:
    """The module that a file makes, whatever its name; its folder is searched for its imports."""
    path = Path(where).resolve()
    sys.path.insert(0, str(path.parent))
    own = path.stem if path.stem not in sys.modules else f"_{path.stem}_of_gradparity"
    spec = spec_from_file_location(own, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{where} is not a Python file")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


@contextmanager
def apart(target: str) -> Iterator[None]:
    """Forget at the end of the block what a target in another folder imported from there.

    So two versions of a program may import modules of the same names from folders of their own.
    """
    where = target.rpartition(":")[0]
    folder = Path(where).resolve().parent if where.endswith(".py") else Path.cwd()
    path, before = list(sys.path), dict(sys.modules)
    try:
        yield
    finally:
        sys.path[:] = path
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if before.get(name) is module or not file:
                continue
            own = Path(file)
            if own.is_relative_to(folder) and "site-packages" not in own.parts:
                del sys.modules[name]
                if name in before:
                    sys.modules[name] = before[name]
