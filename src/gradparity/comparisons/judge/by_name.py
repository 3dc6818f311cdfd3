"""Results by name: node by node where they allow it, from end to end where they do not.

A quantity can be judged at its node if what the formula takes there was returned too: a value needs
the values it is made of, a gradient the gradient that arrives and those values.  The rest is judged
with the rounding of the whole network.  The induction holds all the same: whatever a step is
judged on is x, a parameter, or itself a result with a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...core import Movement
from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.precision import PRECISIONS, Precision
from ...core.arithmetic.received import printable
from ...core.network.case import Case
from ...core.network.nodes import DIV, ERR, Edge
from ...core.network.quantity import Quantity, by_quantity
from ...core.network.trace import Trace
from ..explain.end_to_end import with_layout
from ..findings.finding import Evidence, Finding, Verdict
from ..findings.quantities import EVERYTHING, edges_of, problem, shapes_of_results
from .dtypes import beyond_half, finding_of_dtypes
from .end_to_end import judge_final
from .hidden_rows import with_hidden_rows
from .location import placed
from .node_by_node import judge_what_is_there
from .reductions import meant_alike, meant_once
from .returned import Results, sorted_results
from .traces import check_trace

__all__ = ["judge_results", "judge_trace", "precision_of", "results_of"]


def judge_results(
    case: Case,
    results: Mapping[str, Any],
    float64: Evidence | None = None,
    allow: Sequence[str] = (),
) -> list[Finding]:
    """A verdict on every result, and a finding for whatever cannot be compared.

    Parameters
    ----------
    case : the case, in the precision the results were computed in.
    results : any of "Err", "Div" (T,), "value <node>" (T, D), "grad <name>" for a parameter, a
        node, "x" or "Div", and "grad <node> -> <node>" for one use of a value; arrays of NumPy,
        PyTorch or JAX, of the case's dtype.
    float64 : gives the findings of the same implementation in float64, by quantity.
    allow : conventions that pass.

    Returns
    -------
    list of Finding, in the order of the results.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2), Tanh()], L2()), batch=4)
    >>> trace = backprop(case)
    >>> mine = {"value z1": trace.value["z1"], "value y1": 1.01 * trace.value["y1"]}
    >>> for finding in judge_results(case, mine):
    ...     print(finding.verdict, finding.quantity, "at", finding.node)
    rounding value z1 at z1
    mismatch value y1 at y1
    """
    given = sorted_results(case, results)
    order = list(given.problems)
    if EVERYTHING not in given.problems:
        order = [Quantity(printable(str(name))) for name in results]
    found = _judged(case, given, order, float64, allow)
    if given.finer:
        found = _with_finer(case, given, found, allow)
    if given.coarser:
        found = _with_coarser(case, given, order, found, float64, allow)
    return [*found, *finding_of_dtypes(case, given.finer, given.arrays)]


def _judged(
    case: Case,
    given: Results,
    order: Sequence[Quantity],
    float64: Evidence | None,
    allow: Sequence[str],
) -> list[Finding]:
    """The verdicts on the results that can be judged, and the problems with the others."""
    found = dict(given.problems)
    found |= _node_by_node(case, given.arrays, float64, allow)
    rest = {q: a for q, a in given.arrays.items() if q not in found}
    if rest:
        # Values that were returned settle which branches were taken.
        values = {q: a for q, a in given.arrays.items() if q.is_value}
        judged = judge_final(case, {**values, **rest}, float64, allow)
        # Those judged at their nodes had another gradient to start from: each kind for itself.
        final = meant_alike(case, [f for f in judged if f.quantity in rest])
        arrived = [f for f in final if f.quantity.is_gradient and not f.final]
        found = {f.quantity: f for f in (*meant_once(case, list(found.values()), arrived), *final)}
    told = placed(case.network, [found[q] for q in order], rest)
    return with_hidden_rows(case, with_layout(told, given.turned, allow))


def _with_finer(
    case: Case, given: Results, found: list[Finding], allow: Sequence[str]
) -> list[Finding]:
    """Judge once more without rounding the results of a finer dtype.

    A difference of two finer numbers is right on them, and may be far off on the rounded ones.

    Parameters
    ----------
    case, given, allow : as for `_judged`.
    found : the verdicts on the rounded results.
    """
    if not any(map(_unsure, found)):
        return found
    digits = {a.dtype: np.finfo(a.dtype).nmant for a in given.finer.values()}
    finest = max(digits, key=digits.__getitem__)
    finest = finest if finest.name in PRECISIONS else np.dtype(np.float64)
    wide = {q: given.finer.get(q, a).astype(finest) for q, a in given.arrays.items()}
    there = given._replace(arrays=wide, problems={})
    again = _judged(case.astype(finest.name), there, list(wide), None, allow)
    return _better(found, again)


def _unsure(f: Finding) -> bool:
    return f.parity is False or f.verdict is Verdict.INCONCLUSIVE


def _better(found: Sequence[Finding], again: Sequence[Finding]) -> list[Finding]:
    """Take what is right when it is judged in another valid way."""
    right = {f.quantity: f for f in again if f.parity is True}
    return [right.get(f.quantity, f) if _unsure(f) else f for f in found]


def _with_coarser(
    case: Case,
    given: Results,
    order: Sequence[Quantity],
    found: list[Finding],
    float64: Evidence | None,
    allow: Sequence[str],
) -> list[Finding]:
    """Judge once more with the results of a coarser dtype, where others may rest on them.

    A result that is right on them is right, whether the implementation rounded them before it used
    them or only as it returned them.  Of a coarser result itself, errors beyond half of its digits
    are told.

    Parameters
    ----------
    case, given, order, float64, allow : as for `_judged`.
    found : the verdicts without the coarser results.
    """
    wide = {q: array.astype(case.dtype) for q, array in given.coarser.items()}
    problems = {q: f for q, f in given.problems.items() if q not in wide}
    there = given._replace(arrays={**given.arrays, **wide}, problems=problems)
    again = {f.quantity: f for f in _judged(case, there, order, float64, allow)}
    found = _better(found, [f for q, f in again.items() if q not in wide])

    def told(f: Finding) -> Finding:
        other = again[f.quantity]
        if other.parity is False and beyond_half(other, case, given.coarser[f.quantity].dtype):
            return replace(other, note="; ".join(filter(None, (other.note, f"it {f.note}"))))
        return f

    return [told(f) if f.quantity in wide else f for f in found]


def precision_of(case: Case, result: Any) -> Precision:
    """The precision that results are judged in: a coarser one only if they all have its dtype."""
    given = results_of(case, result)
    return case.precision if given.dtype is None else Precision.of(given.dtype)


def judge_trace(
    case: Case,
    trace: Trace,
    float64: Evidence | None = None,
    allow: Sequence[str] = (),
) -> list[Finding]:
    """As `judge`; where something is missing or unfit, that is said and the rest is judged."""
    try:
        check_trace(case, trace)
    except (TypeError, ValueError) as error:
        drawn = {Quantity.value(step.draw) for step in case.network.body}
        given: dict[str, Any] = {q: a for q, a in by_quantity(trace).items() if q not in drawn}
        found = judge_results(case, given, float64, allow)
        there = {f.quantity for f in found}
        lacking = [q for q in shapes_of_results(case) if q not in there]
        if all(f.elements for f in found) and not lacking:
            return [problem(case, EVERYTHING, str(error)), *found]
        return [*found, *(problem(case, q, "the trace lacks it") for q in lacking)]
    return with_hidden_rows(case, judge_what_is_there(case, trace, float64, allow))


def results_of(case: Case, result: Any) -> Results:
    """Sort the results of an implementation by name: what can be compared, and problems."""
    if result is None:
        return Results({}, frozenset(), {})
    return sorted_results(case, by_quantity(result) if isinstance(result, Trace) else result)


def _node_by_node(
    case: Case,
    arrays: Mapping[Quantity, NDArray],
    float64: Evidence | None,
    allow: Sequence[str],
) -> dict[Quantity, Finding]:
    """Findings of the results that can be judged on the implementation's own numbers."""
    named = _names_of_uses(case, arrays)

    def evidence() -> Mapping[str, Finding]:
        assert float64 is not None
        found = float64()
        return {**found, **{use: found[q] for q, use in named.items() if q in found}}

    trace = _trace(case, arrays)
    judged = judge_what_is_there(case, trace, float64 and evidence, allow)
    there = {f.quantity: f for f in judged}
    found = {q: there[q] for q in arrays if q in there}
    for q, use in named.items():
        if use in there:
            found[q] = replace(there[use], quantity=q, final=q.is_gradient_by(case.finals))
        else:
            found.pop(q, None)  # the sum over its uses is itself
    return found


def _names_of_uses(case: Case, arrays: Mapping[Quantity, NDArray]) -> dict[Quantity, Quantity]:
    """The gradient of a value with a single use is the one through it, whatever it was called."""
    network, named = case.network, {}
    for name in (*case.differentiated, *(n for step in network.body for n in step.outputs)):
        uses, q = network.consumers(name), Quantity.grad(name)
        if len(uses) == 1 and network.has_own_uses(name) and q in arrays:
            use = Quantity.through(*uses[0])
            if use not in arrays:
                named[q] = use
    return named


def _trace(case: Case, arrays: Mapping[Quantity, NDArray]) -> Trace:
    """A trace of the returned results alone."""
    network = case.network
    names = [name for step in network.body for name in step.values]
    value = {name: a for name in names if (a := arrays.get(Quantity.value(name))) is not None}
    turned = (step for step in network.body if {*step.inputs} <= {*case.params})
    for step in (step for step in turned if isinstance(step.op, Movement)):  # such as W="E.T"
        value.setdefault(step.name, step.op.forward(*(case.params[n] for n in step.inputs)))
    grad = {q.name: a for q, a in arrays.items() if q.is_gradient and q.target is None}
    edge_grad: dict[Edge | tuple[str, str], NDArray] = {}
    for edge in edges_of(case):
        through = arrays.get(Quantity.through(*edge))
        if len(network.consumers(edge.source)) == 1:
            through = grad.get(edge.source) if through is None else through
            if through is not None:
                grad.setdefault(edge.source, through)
        if through is not None:
            edge_grad[edge] = through
    Err, Div = arrays.get(Quantity(ERR)), arrays.get(Quantity(DIV))
    return Trace(Err, Div, value, grad, edge_grad, precision=case.precision.name)  # type: ignore[arg-type]  # may lack anything
