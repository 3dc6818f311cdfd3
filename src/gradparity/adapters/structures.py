"""The optional interface of adapters that `gradparity probe --structures` uses.

An adapter's ``structures()`` runs a case in other ways than `Adapter.run` does, and lists the
framework's functions that take indices, labels or empty axes.  It contains no values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..core.network.case import Case

__all__ = ["NativeEdge", "Structures", "Way"]


class Way(NamedTuple):
    """A way to run a case.

    `equal` : it needs all samples to be equal, because it stores only one of them.
    """

    name: str
    equal: bool = False


class NativeEdge(NamedTuple):
    """A function of a framework whose right answer may be an error.

    Attributes
    ----------
    spelling : as a user writes it.
    kind : what it computes, one of `gradparity.comparisons.structures.edges.QUESTIONS`; or
        "weighted labels": from logits, labels and class weights to a loss and its gradient, with
        a label smoothing of 1/4 and the labels -100 ignored.
    function : from NumPy arrays, as the kind has them, to a NumPy array.
    documented : structure -> what the framework's documentation says about it, if it does.
    """

    spelling: str
    kind: str
    function: Callable[..., Any]
    documented: Mapping[str, str] = {}


@runtime_checkable
class Structures(Protocol):
    """The result of ``adapter.structures()``.

    Attributes
    ----------
    edges : functions that take indices, labels or empty axes.
    documented : (op of the vocabulary, structure) -> what the framework's documentation says about
        its answer there.
    """

    edges: Sequence[NativeEdge]
    documented: Mapping[tuple[str, str], str]

    def ways(self, compile: bool) -> Sequence[Way]:
        """The ways to run a case, the plain one first; `compile` : include slow compilers."""
        ...

    def run(self, case: Case, way: str) -> Mapping[str, Any]:
        """The results as `gradparity.comparisons.judge.by_name.judge_results` takes them.

        They are the output, Div, and the gradients of the output, the inputs and the parameters,
        as NumPy arrays.
        """
        ...
