"""Labels, indices and empty axes whose right answer is exact, or an error.

The answers were derived by hand; those that must be an error have no value in the definition of the
function.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["ERROR", "QUESTIONS", "Edge", "agrees", "in_words"]

#: The truth where the function has no value.
ERROR = "an error"
INF = float("inf")


class Edge(NamedTuple):
    """Arrays for a function, and the right answer: an array, or `ERROR`.

    `too` : an answer that is right too, where an error is right and a convention gives a value.
    """

    structure: str
    arrays: tuple[Any, ...]
    truth: Any
    too: Any = None


#: Four rows of classes or features.
X = np.arange(12, dtype=np.float32).reshape(3, 4)
LABELS = np.array([0, 3, 1])
#: An axis without elements, beside one with.
EMPTY = np.zeros((0, 2), np.float32)
MASKED = np.array([[-INF, -INF, -INF]], np.float32)


def _one(index: int) -> Any:
    """Labels or indices, the second of them out of range."""
    return np.array([0, index, 1])


def _indexed(x: Any, size: int, labels: str = "index", along: bool = False) -> tuple[Edge, ...]:
    found = []
    for index in (-1, size, size + 100):
        ids = np.repeat(_one(index)[:, np.newaxis], x.shape[1], 1) if along else _one(index)
        found.append(Edge(f"{labels} {index}", (x, ids), ERROR))
    return tuple(found)


def _empty(truth: Any, too: Any = None) -> tuple[Edge, ...]:
    full = truth if truth is ERROR else np.full(2, truth, np.float32)
    return (Edge("empty axis", (EMPTY,), full, None if too is None else np.full(2, too)),)


#: Kind of function -> what it is asked.
QUESTIONS: dict[str, tuple[Edge, ...]] = {
    "labels": _indexed(X, 4, "label"),
    "ignored labels": (
        *_indexed(X, 4, "label"),
        Edge("all labels ignored", (X, np.full(3, -100)), ERROR, np.float32(np.nan)),
    ),
    "labels of margins": _indexed(X, 4, "label"),
    "one hot": tuple(Edge(f"label {i}", (_one(i),), ERROR) for i in (-1, 4, 104)),
    "rows": (
        *_indexed(X, 3),
        Edge("equal indices", (X, np.array([1, 1])), X[[1, 1]]),
        Edge("no indices", (X, np.array([], int)), X[:0]),
    ),
    "along": _indexed(X, 3, along=True),
    "scattered": _indexed(X, 3, along=True),
    "filled rows": _indexed(X, 3),
    "added rows": (
        *_indexed(X, 3),
        Edge("equal indices", (X, np.array([1, 1])), X + np.array([[0], [2], [0]], np.float32)),
        Edge("no indices", (X, np.array([], int)), X),
    ),
    "sum": _empty(0.0),
    "prod": _empty(1.0),
    "norm": _empty(0.0),
    "logsumexp": _empty(-INF),
    "mean": _empty(ERROR, np.nan),
    "variance": _empty(ERROR, np.nan),
    "median": _empty(ERROR, np.nan),
    "max": _empty(ERROR),
    "nothing": (Edge("empty axis", (EMPTY,), EMPTY),),
    "mean of all": (Edge("empty axis", (EMPTY,), ERROR, np.float32(np.nan)),),
    "masked softmax": (Edge("fully masked row", (MASKED,), ERROR, np.full((1, 3), np.nan)),),
    "masked log softmax": (Edge("fully masked row", (MASKED,), ERROR, np.full((1, 3), np.nan)),),
    "masked logsumexp": (Edge("fully masked row", (MASKED,), np.array([-INF], np.float32)),),
}


def agrees(found: Any, edge: Edge) -> bool:
    """Whether an answer is right: bitwise, except for the sign of zero; an exception is an error.

    >>> agrees(np.zeros(2), QUESTIONS["sum"][0]), agrees(np.ones(2), QUESTIONS["sum"][0])
    (True, False)
    >>> agrees(IndexError("4 is out of range"), QUESTIONS["one hot"][1])
    True
    """
    if isinstance(found, Exception):
        return edge.truth is ERROR
    truths = [truth for truth in (edge.truth, edge.too) if truth is not None and truth is not ERROR]
    return any(np.array_equal(found, truth, equal_nan=True) for truth in truths)


def in_words(answer: Any) -> str:
    """An answer in a few words."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, Exception):
        return f"{type(answer).__name__}"
    numbers = np.asarray(answer).reshape(-1)
    said = " ".join(f"{x + 0.0:.6g}" for x in numbers[:6])
    return f"[{said}{' ...' if len(numbers) > 6 else ''}]" if np.ndim(answer) else said
