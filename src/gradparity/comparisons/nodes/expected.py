"""What a correct implementation may have computed at one node, given what it had there.

The core's formulas are evaluated in `Bounded` arithmetic on the implementation's own inputs, so no
error of another node enters: parity by induction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.arrays import Array, total
from ...core.backprop import risk, risk_gradient
from ...core.bounded import Bounded
from ...core.case import Case
from ...core.network import INPUT, Edge, Step
from ...core.op import Slopes, Ties
from ...core.rounding import Rounding
from ...core.trace import Trace

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
    given = [case.x if name == INPUT else trace.value[name] for name in step.inputs]
    y = tuple(Bounded.exactly(array, rounding) for array in given)
    p = {
        letter: Bounded.exactly(case.params[name], rounding)
        for letter, name in step.parameters.items()
    }
    got_z, got_dz = trace.value[step.name], trace.grad[step.name]
    dz = Bounded.rounded(got_dz, rounding)
    with np.errstate(all="ignore"):
        op = step.op.observed(y[0], Bounded.rounded(got_z, rounding))
        z = op.forward(p, *y)
        dy = op.backward(dz, p, y, z)
        dp = op.gradients(dz, p, y, z)
        valid = op.subdifferential(given[0], rounding.tiny)
    found = [Expected(f"value {step.name}", got_z, z)]
    for edge, dy_i in zip(step.edges, dy, strict=True):
        found.append(Expected(_grad(edge), trace.edge_grad[edge], dy_i, valid, got_dz))
    for letter, name in step.parameters.items():
        found.append(Expected(f"grad {name}", trace.grad[name], dp[letter]))
    return found


def expected_at_divergence(case: Case, trace: Trace, rounding: Rounding) -> list[Expected]:
    """Div and Err, and the gradients with respect to them and through the output's use by Div."""
    network = case.network
    edge = Edge(network.output, "Div")
    got_y = trace.value[network.output]
    with np.errstate(all="ignore"):
        y, d = Bounded.exactly(got_y, rounding), Bounded.exactly(case.desired, rounding)
        Div = network.divergence.forward(y, d)
        dDiv = Bounded.rounded(trace.grad["Div"], rounding)
        dy = network.divergence.backward(dDiv, y, d, Div)
        got_Div = Bounded.exactly(trace.Div, rounding)
        Err = risk(got_Div, network)
        want_dDiv = risk_gradient(got_Div, network)
    return [
        Expected("Div", trace.Div, Div),
        Expected("Err", np.asarray(trace.Err, case.dtype), Err),
        Expected("grad Div", trace.grad["Div"], want_dDiv),
        Expected(_grad(edge), trace.edge_grad[edge], dy),
    ]


def expected_sum(name: str, case: Case, trace: Trace, rounding: Rounding) -> list[Expected]:
    """The gradient of a value is the sum over its uses: the distributed chain rule."""
    got = trace.grad[name]
    uses = [
        Bounded.exactly(trace.edge_grad[edge], rounding) for edge in case.network.consumers(name)
    ]
    want = total(uses) if uses else Bounded(np.zeros(got.shape), 0.0, rounding)
    return [Expected(f"grad {name}", got, want)]


def _grad(edge: Edge) -> str:
    return f"grad {edge.source} -> {edge.target}"
