"""A batch as its samples, each of which is run alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...core import Case, backprop
from ...core.network.nodes import DIV

__all__ = ["ALONE", "as_batch", "independent", "samples"]

ALONE = "each sample alone"
#: The formulas in float64 agree so far where samples do not depend on each other.
AGREE = 1e-10


def samples(case: Case) -> list[Case]:
    """One case for each sample.

    >>> from gradparity.core import LinearLoss, Tanh, layered
    >>> case = Case(layered([Tanh()], LinearLoss()), {}, np.ones((3, 2)), np.ones((3, 2)))
    >>> [one.x.shape for one in samples(case)]
    [(1, 2), (1, 2), (1, 2)]
    """

    def only(a: Any, i: int) -> Any:
        return a[i : i + 1] if a.ndim and len(a) == case.T else a

    found = []
    for i in range(case.T):
        inputs = {name: only(a, i) for name, a in case.inputs.items()}
        x = inputs if len(inputs) > 1 or not isinstance(case.x, np.ndarray) else inputs["x"]
        d = None if case.d is None else only(case.d, i)
        found.append(Case(case.network, case.params, x, d, case.name, case.precision, case.twin))
    return found


def as_batch(case: Case, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The output, Div, and their gradients and those of the inputs, as the whole batch has them."""
    output, n = case.network.output, len(results) if case.network.reduction == "mean" else 1
    names = [f"grad {name}" for name in (*case.differentiated, output)]
    joined = {f"value {output}": 1, DIV: 1, **dict.fromkeys(names, n)}
    return {
        name: np.concatenate([one[name] for one in results]) / parts
        for name, parts in joined.items()
        if all(name in one for one in results)
    }


def independent(case: Case) -> set[str]:
    """The results that the formulas give for each sample alone as for the batch."""
    wide = case.astype("float64")
    try:
        whole = _formulas(wide)
        apart = as_batch(wide, [_formulas(one) for one in samples(wide)])
    except ValueError:  # an op that needs several samples, or arrays that are not in samples
        return set()
    return {
        name
        for name, a in apart.items()
        if name in whole
        and np.shape(whole[name]) == a.shape
        and np.allclose(a, whole[name], rtol=AGREE, atol=AGREE, equal_nan=True)
    }


def _formulas(case: Case) -> dict[str, Any]:
    """The output, Div, and the gradients of values, which several uses may add up to."""
    trace, output = backprop(case), case.network.output
    found: dict[str, Any] = {f"value {output}": trace.value[output], DIV: trace.Div}
    for edge, gradient in trace.edge_grad.items():
        name = f"grad {edge[0]}"
        found[name] = found[name] + gradient if name in found else gradient
    return found
