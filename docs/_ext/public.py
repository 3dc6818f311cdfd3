"""Which names are public, where each has its home, and which of them nobody has documented."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sphinx.pycode import ModuleAnalyzer

__all__ = ["comment", "homes", "members", "names", "undocumented"]

Modules = Mapping[str, Sequence[str]]


def names(modules: Modules) -> Iterator[tuple[str, str, Any]]:
    """(module, name, what it is): of every module the names given, or its ``__all__``."""
    for module, given in modules.items():
        loaded = importlib.import_module(module)
        for name in given or loaded.__all__:
            yield module, name, getattr(loaded, name)


def homes(modules: Modules) -> dict[str, str]:
    """Full name -> the full name it is documented under: the first that has the same thing.

    A module is documented under its own.
    """
    first: dict[int, str] = {}
    found = {}
    for module, name, thing in names(modules):
        full = thing.__name__ if inspect.ismodule(thing) else f"{module}.{name}"
        found[f"{module}.{name}"] = first.setdefault(id(thing), full)
    return found


def members(kind: type) -> list[str]:
    """The public methods and properties that no class it is made of has."""
    return [
        name
        for name, value in vars(kind).items()
        if not name.startswith("_")
        and name not in getattr(kind, "_fields", ())  # of a named tuple
        and not any(hasattr(base, name) for base in kind.__mro__[1:])
        and (inspect.isroutine(value) or isinstance(value, property | enum.Enum))
    ]


def undocumented(modules: Modules) -> list[str]:
    """Names, and their fields, methods and members, of which no docstring says anything."""
    return sorted({said for each in names(modules) for said in _silent(*each)})


def _silent(module: str, name: str, thing: Any) -> Iterator[str]:
    full = f"{module}.{name}"
    said = comment(module, name, thing) if _constant(thing) else thing.__doc__ or ""
    # A dataclass without a docstring is given its signature as one.
    if not said.strip() or re.match(rf"{name}\((\w+: |\))", said):
        yield full
    if inspect.isclass(thing):
        yield from (f"{full}.{member}" for member in members(thing) if not _says(thing, member))
        told = " ".join(kind.__doc__ or "" for kind in thing.__mro__ if kind is not object)
        for field in dataclasses.fields(thing) if dataclasses.is_dataclass(thing) else ():
            if not field.name.startswith("_") and not re.search(rf"\b{field.name}\b", told):
                yield f"{full}.{field.name}"


def _constant(thing: Any) -> bool:
    return not callable(thing) and not inspect.ismodule(thing)


def _says(kind: type, member: str) -> str:
    """The docstring of a method or property, or the comment above a member of an enumeration."""
    if isinstance(inspect.getattr_static(kind, member), enum.Enum):
        comments = ModuleAnalyzer.for_module(kind.__module__).find_attr_docs()
        return " ".join(comments.get((kind.__name__, member), ()))
    return inspect.getdoc(getattr(kind, member)) or ""


def comment(module: str, name: str, thing: Any) -> str:
    """The `#:` comment of a constant, from the file of the package that defines it."""
    for at, loaded in sorted(sys.modules.items()):
        inside = at == module or at.startswith(f"{module}.")
        if inside and vars(loaded).get(name) is thing:
            said = ModuleAnalyzer.for_module(at).find_attr_docs().get(("", name))
            if said:
                return " ".join(said).strip()
    return ""
