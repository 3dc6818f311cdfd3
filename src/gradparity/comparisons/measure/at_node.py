"""What a correct implementation may have computed at one node, given what it had there.

The core's formulas are evaluated in `Bounded` arithmetic on the implementation's own inputs, so no
error of another node enters: parity by induction.  What a trace lacks, and what rests on that, is
left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.arithmetic.arrays import Array, total
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.rounding import Rounding
from ...core.formulas.op import Slopes, Ties
from ...core.network.backprop import risk, risk_gradient
from ...core.network.case import Case
from ...core.network.contract import formula_of, shares, value_of
from ...core.network.network import INPUT, Edge, Step
from ...core.network.trace import Trace

__all__ = ["Expected", "expected_at_divergence", "expected_at_node", "expected_sum"]


@dataclass(frozen=True)
class Expected:
    """One quantity: what was got, what is wanted, and what is valid at kinks.

    `upstream` is the gradient that arrives at the op, for the gradient by an input of it.
    """

    quantity: str
    got: Array
    want: Bounded
    valid: Slopes | Ties | None = None
    upstream: Array | None = None


def expected_at_node(step: Step, case: Case, trace: Trace, rounding: Rounding) -> list[Expected]:
    """The node's value, the gradient through each of its inputs, and its parameters' gradients."""
    given = [case.x if name == INPUT else trace.value.get(name) for name in step.inputs]
    got_z, got_dz = trace.value.get(step.name), trace.grad.get(step.name)
    if any(array is None for array in given) or (step.op.random and got_z is None):
        return []
    y = tuple(Bounded.exactly(array, rounding) for array in given)
    own = step.own(case.params)
    p = {letter: Bounded.exactly(array, rounding) for letter, array in own.items()}
    op = step.op
    with np.errstate(all="ignore"):
        if got_z is not None:
            op = op.observed(y[0], Bounded.rounded(got_z, rounding))
        z = value_of(step, op, p, y)
    found = [Expected(f"value {step.name}", got_z, z)]
    if got_dz is not None:
        dz = Bounded.rounded(got_dz, rounding)
        with np.errstate(all="ignore"):
            dy, dp = shares(step, op, dz, p, y, z)
            valid = [op.subdifferential(own, given[0], rounding.tiny)]
        valid += [None] * (len(dy) - 1)  # an op has its kinks in its first input
        for edge, dy_i, at in zip(step.edges, dy, valid, strict=True):
            found.append(Expected(_grad(edge), trace.edge_grad.get(edge), dy_i, at, got_dz))
        for letter, name in step.parameters.items():
            found.append(Expected(f"grad {name}", trace.grad.get(name), dp[letter]))
    return _there(found)


def expected_at_divergence(case: Case, trace: Trace, rounding: Rounding) -> list[Expected]:
    """Div and Err, and the gradients with respect to them and through the output's use by Div."""
    network = case.network
    edge = Edge(network.output, "Div")
    got_y, got_dDiv = trace.value.get(network.output), trace.grad.get("Div")
    found = []
    with np.errstate(all="ignore"):
        want_dDiv = risk_gradient(Bounded.exactly(np.ones(case.T), rounding), network)
        Div = None if trace.Div is None else Bounded.exactly(trace.Div, rounding)
        if got_y is not None:
            y, d = Bounded.exactly(got_y, rounding), Bounded.exactly(case.desired, rounding)
            with formula_of(network.divergence, "forward"):
                want_Div = network.divergence.forward(y, d)
            dDiv = want_dDiv if got_dDiv is None else Bounded.rounded(got_dDiv, rounding)
            with formula_of(network.divergence, "gradient"):
                dy = network.divergence.backward(dDiv, y, d, want_Div)
            found += [Expected("Div", trace.Div, want_Div)]
            Div = want_Div if Div is None else Div
        if Div is not None and trace.Err is not None:
            found += [Expected("Err", np.asarray(trace.Err, case.dtype), risk(Div, network))]
        found += [Expected("grad Div", got_dDiv, want_dDiv)]
        if got_y is not None:
            found += [Expected(_grad(edge), trace.edge_grad.get(edge), dy)]
    return _there(found)


def expected_sum(name: str, case: Case, trace: Trace, rounding: Rounding) -> list[Expected]:
    """The gradient of a value is the sum over its uses: the distributed chain rule."""
    got = trace.grad.get(name)
    given = [trace.edge_grad.get(edge) for edge in case.network.consumers(name)]
    if got is None or any(array is None for array in given):
        return []
    uses = [Bounded.exactly(array, rounding) for array in given]
    want = total(uses) if uses else Bounded(np.zeros(got.shape), 0.0, rounding)
    return [Expected(f"grad {name}", got, want)]


def _there(found: list[Expected]) -> list[Expected]:
    """Without what the trace has not."""
    return [e for e in found if e.got is not None]


def _grad(edge: Edge) -> str:
    return f"grad {edge.source} -> {edge.target}"
