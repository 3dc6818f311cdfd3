"""Finds of structures: ops that depart on structured inputs, and answers where an error is due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...adapters.finds import Finds
from ..atlas.structures.departures import Departure
from ..structures.edges import ERROR, QUESTIONS, Edge, in_words
from .confirmed import run

__all__ = ["NUMBERS", "asked_ops", "edge_line", "wrong_structures"]

#: Structures that are nothing but numbers, at which the atlas of accuracy measures functions too.
NUMBERS = ("large offset", "equal values")
#: Documented everywhere in Python.
FROM_END = "index -1"


def asked_ops(native: Finds, names: Sequence[str]) -> list[str]:
    """The names to measure for these parts of spellings: the same, and ops of the vocabulary."""
    ops = [op for (op, _), told in native.structured.items() for n in names if n in told.spelling]
    return [*dict.fromkeys([*names, *ops])]


def wrong_structures(departures: Iterable[Departure], native: Finds) -> list[list[Departure]]:
    """Group wrong and documented answers by the function that gives them, the wrong ones first."""
    groups: dict[str, list[Departure]] = {}
    for one in departures:
        if one.status not in ("wrong", "documented") or one.function in native.written:
            continue
        if one.status == "documented" and one.structure == FROM_END:
            continue
        told = native.structured.get((one.function, one.structure))
        groups.setdefault(told.spelling if told else one.function, []).append(one)
    return [sorted(each, key=lambda d: d.status != "wrong") for each in groups.values()]


def edge_line(native: Finds, one: Departure, kind: str) -> tuple[Any, str] | None:
    """The answer of a function, and a line of Python that prints it; None if no line does."""
    for edge in QUESTIONS.get(kind, ()):
        if edge.structure != one.structure:
            continue
        truth = ERROR if isinstance(edge.truth, str) else in_words(edge.truth)
        code = native.of_edge(one.function, _named(kind, edge), truth)
        out = run(code)
        if out is not None and in_words(np.asarray(out.got)) == one.got:
            return out.got, code
    return None


def _named(kind: str, edge: Edge) -> dict[str, Any]:
    """The arrays of a question under the names that spellings give them."""
    if kind == "one hot":
        return {"labels": edge.arrays[0]}
    others = "labels" if "label" in kind else "ids"
    return dict(zip(("x", others), edge.arrays, strict=False))
