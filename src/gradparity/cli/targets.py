"""Targets of a command: the built-in cases, or ``package.module:object``."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterable
from typing import Any

__all__ = ["builtin", "load"]


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
    """The cases that ``package.module:object`` names; a function is called."""
    from ..adapters.base import required
    from ..comparisons.running.raised import raised
    from ..core import Case, Network

    if ":" not in target:
        raise ValueError(f"{target!r} does not name an object; write package.module:object")
    sys.path.insert(0, "")  # as `python -m` does: modules of the current directory count
    try:
        found = pkgutil.resolve_name(target)
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
