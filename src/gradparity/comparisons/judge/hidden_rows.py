"""A mask that hides a whole row is named once; whatever is NaN because of it follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.op import Op
from ...core.network.backprop import forward_pass
from ...core.network.case import Case
from ..findings.finding import FOLLOWS, Finding, Verdict
from ..measure.levels import NAN

__all__ = ["LOST", "hidden_row", "with_hidden_rows"]

#: The note of a gradient that something not finite arrives at.
LOST = "the gradient that arrives there is not finite, so nothing is known beyond it"


def with_hidden_rows(case: Case, findings: Sequence[Finding]) -> list[Finding]:
    """Explain NaN references by the first softmax, in forward order, of a row that is all -inf."""
    undecided = [f for f in findings if f.verdict is Verdict.INCONCLUSIVE and f.note in (NAN, LOST)]
    why = _first_hidden(case) if undecided else ""
    if not why:
        return list(findings)
    order = {step.name: i for i, step in enumerate(case.network.steps)}
    cause = min(undecided, key=lambda f: (f.quantity.is_gradient, order.get(f.node, len(order))))
    follows = f"{FOLLOWS} {cause.quantity}"
    told = {f.quantity: replace(f, note=follows, follows=cause.quantity) for f in undecided}
    told[cause.quantity] = replace(cause, note=why)
    return [told.get(f.quantity, f) for f in findings]


def _first_hidden(case: Case) -> str:
    """The node and the row in words; empty where no row is hidden."""
    value = forward_pass(case.network, case.given).value
    found = (
        hidden_row(step.op, [np.asarray(value[name]) for name in step.inputs], step.name)
        for step in case.network.body
    )
    return next(filter(None, found), "")


def hidden_row(op: Op, inputs: Sequence[NDArray], node: str) -> str:
    """Why an op has no finite value: a row of its softmax that is all -inf, say; or empty."""
    hidden = op.hidden_rows(*inputs)
    if hidden is None or not hidden.any():
        return op.without_value(*inputs)
    first, n = np.argwhere(hidden)[0].tolist(), int(hidden.sum()) - 1
    more = f" and {n} more" if n else ""
    return (
        f"row {first}{more} of the softmax at node {node!r} is hidden by the mask: every "
        "input is -inf, and 0/0 is NaN; leave at least one position of each row visible"
    )
