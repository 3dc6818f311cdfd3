"""The adapters that an atlas is of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from ...adapters.base import INSTALL, Adapter, AdapterError, get_adapter, installed
from ..findings.layout import grouped

__all__ = ["chosen_adapters", "missing_of", "refuse_unknown", "versions_of"]


def chosen_adapters(adapters: Sequence[str | Adapter]) -> list[Adapter]:
    """Adapters by name or as they are; every installed one where none is given.

    Raises
    ------
    AdapterError : an adapter is unknown or its framework is missing, or none is installed.
    ValueError : two adapters have the same name.
    """
    chosen = [get_adapter(a) if isinstance(a, str) else a for a in adapters]
    chosen = chosen or [*installed().values()]
    if not chosen:
        raise AdapterError(f"no framework is installed to measure; {' or '.join(INSTALL.values())}")
    called = [each.name for each in chosen]
    if len(set(called)) != len(called):
        raise ValueError(f"the adapters are named {called}; give each name once")
    return chosen


def versions_of(chosen: Sequence[Adapter]) -> dict[str, dict[str, str]]:
    """The versions of each adapter and its libraries; the number of threads changes no atlas."""
    return {
        each.name: {k: v for k, v in each.versions().items() if not k.endswith("threads")}
        | {k: v for k, v in _libraries(each).items() if v}
        for each in chosen
    }


def missing_of(chosen: Sequence[Adapter]) -> dict[str, tuple[str, ...]]:
    """The libraries of each adapter that are not installed, where any is not."""
    missing = {e.name: tuple(k for k, v in _libraries(e).items() if not v) for e in chosen}
    return {name: libraries for name, libraries in missing.items() if libraries}


def refuse_unknown(names: Sequence[str], known: Iterable[str]) -> None:
    """Raise ValueError where a name is part of no function's.

    >>> refuse_unknown(["gleu"], ["F.gelu(x)", "F.tanh(x)"])
    Traceback (most recent call last):
    ValueError: no function's name contains 'gleu'; near names: 'F.gelu(x)'
    """
    known = [*dict.fromkeys(known)]
    for name in names:
        if any(name in one for one in known):
            continue
        said = f"no function's name contains {name!r}"
        if near := _near(name, known):
            said += f"; near names: {', '.join(map(repr, near))}"
        raise ValueError(said)


def _near(name: str, known: Sequence[str]) -> list[str]:
    """Functions whose own word is spelt nearly like that of a name, at most three of a word."""
    by_word = grouped((_word(one), one) for one in known)
    words = difflib.get_close_matches(_word(name), by_word, n=3, cutoff=0.6)
    return [one for word in words for one in by_word[word][:3]]


def _word(name: str) -> str:
    """The last part of a function's name, in small letters."""
    return name.partition("(")[0].rpartition(".")[2].lower()


def _libraries(adapter: Adapter) -> dict[str, str]:
    """An adapter's optional ``libraries()``: name -> version, "" for those not installed."""
    offer = getattr(adapter, "libraries", None)
    return {} if offer is None else offer()
