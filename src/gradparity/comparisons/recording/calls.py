"""One call of a recording as a case of one node, and its findings.

The names in such a case are those of the op's inputs, "y0", "y1", ...; findings are given the names
that the recording has for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.precision import Precision
from ...core.arithmetic.rounding import Rounding
from ...core.formulas.op import Kinked, Op
from ...core.network.calls import Call
from ...core.network.case import Case
from ...core.network.composed import Composed
from ...core.network.network import Network
from ...core.network.nodes import Edge, Node
from ...core.network.quantity import Quantity
from ...core.network.trace import Trace
from ...core.programs.indexing import Within
from ..explain.allowed import REDUCTIONS
from ..findings.finding import Finding, Verdict, as_written
from ..judge.node_by_node import judge_what_is_there
from ..measure.at_node import Reference, reference_at_node
from ..measure.levels import NAN
from .functions import held_to_differences, is_loose, of_function, where_it_is
from .mistaken import known_mistake

__all__ = ["findings_of_call"]

NODE = "z"
#: What is said of a value that is so many bounds off, while the same op in float64 is right.
OVERWRITTEN = "its inputs or its result were overwritten after it ran, such as through .numpy()"
FAR = 1e3
#: The most ops of a function whose mistakes are looked for.
SHORT = 40


def findings_of_call(
    call: Call, allow: Sequence[str] = (), *, explain: bool = True
) -> list[Finding]:
    """The verdicts on everything that one op returned, forward and backward.

    Every result is named as in the recording: "value addmm_1", and "grad relu_1 -> addmm_1" for the
    gradient through a use.
    """
    case, trace = _as_case(call)

    def judged(explain: bool) -> list[Finding]:
        evidence = _evidence(call)
        return judge_what_is_there(case, trace, evidence, allow, explain=explain, node=NODE)

    found = judged(explain and not call.is_function)
    found = [_undecided_at_kinks(f, call) for f in found]
    if call.is_function:
        found = [
            _with_left_slopes(f, call) or _of_function(f, call, case, trace, allow) for f in found
        ]
        silent = any(f.verdict is Verdict.MISMATCH and not f.note for f in found)
        if explain and silent and _is_short(call.op):
            notes = {f.quantity: f.note for f in judged(True)}
            found = [f if f.note else replace(f, note=notes.get(f.quantity, "")) for f in found]
        if explain:
            found = [_where(f, call, case, trace) for f in found]
    return [_named(_told(f, call), call, case.network) for f in found]


def _with_left_slopes(f: Finding, call: Call) -> Finding | None:
    """The finding of a gradient that takes the left slopes at kinks of its ops; None for others.

    The formula takes the right slopes there.  Frameworks take the left ones of ReLU and its like,
    0 at 0, which are as valid.
    """
    if f.parity is True or not f.quantity.is_gradient or not isinstance(call.op, Composed):
        return None
    op = call.op
    for step in op.network.body:
        if isinstance(step.op, Kinked) and step.op.kinks:
            op = op.with_op(step.name, replace(step.op, subgradient="left"))
    if op is call.op:
        return None
    e = _reference(f, call, *_as_case(replace(call, op=op)))
    with np.errstate(all="ignore"):
        away = np.abs(np.asarray(e.got, np.float64) - e.want.value)
        right = bool((away <= e.want.full_error()).all())
    return (
        replace(f, verdict=Verdict.SUBGRADIENT, outside=0, worst=(), note=LEFT) if right else None
    )


def _reference(f: Finding, call: Call, case: Case, trace: Trace) -> Reference:
    """The reference that a gradient is held to."""
    step = case.network.body[0]
    each = reference_at_node(step, case, trace, Rounding.of(call.precision))
    return next(e for e in each if e.quantity == f.quantity)


def _wanted(f: Finding, call: Call, case: Case, trace: Trace) -> NDArray:
    """The gradient by the formula."""
    return np.asarray(_reference(f, call, case, trace).want.value)


#: What is said of a gradient that takes the other slopes.
LEFT = "the left slopes at the kinks of its ops"
#: What is said of elements that are wrong, where nothing says why.
VAGUE = ("every wrong element should be zero", "every wrong element is zero where the formula")


def _where(f: Finding, call: Call, case: Case, trace: Trace) -> Finding:
    """The finding of a wrong gradient with the inputs where it is wrong, if nothing says more."""
    vague = not f.note or f.note.startswith(VAGUE)
    if f.verdict is not Verdict.MISMATCH or not f.quantity.is_gradient or not vague:
        return f
    return where_it_is(f, call, case.network.body[0], _wanted(f, call, case, trace))


def _is_short(op: Op) -> bool:
    """Whether there are few ops in it, so that mistakes can be tried at it."""
    return not isinstance(op, Composed) or len(op.network.body) <= SHORT


def _of_function(f: Finding, call: Call, case: Case, trace: Trace, allow: Sequence[str]) -> Finding:
    """A function with a backward of its own, whose gradient is not that of its ops."""
    if not f.quantity.is_gradient or f.verdict is Verdict.VACUOUS:
        return f
    if f.parity is True and not is_loose(f, call):
        return f
    if f.verdict is Verdict.INCONCLUSIVE and not f.outside and f.note != NAN:
        return f
    step, reference = case.network.body[0], _reference(f, call, case, trace)
    want = np.asarray(reference.want.value)
    if f.parity is True:
        return held_to_differences(f, call, step, want)
    return of_function(f, call, step, want, reference.want.full_error(), allow)


def _as_case(call: Call) -> tuple[Case, Trace]:
    names = tuple(f"y{i}" for i in range(len(call.inputs)))
    constant = tuple(n for n, o in zip(names, call.inputs, strict=True) if not o.source)
    network = _network(call.op, names, constant)
    given = {n: o.array for n, o in zip(names, call.inputs, strict=True)}
    case = Case.observed(
        network,
        given,
        call.precision,
        call.place.node,
        as_stored=not call.fused,
        remade={n: o.made for n, o in zip(names, call.inputs, strict=True) if o.made is not None},
    )
    step = network.body[0]
    values = dict(zip(step.values, call.z, strict=True))
    grad = dict(zip(step.outputs, call.dz, strict=False))
    arrived = any(dz is not None for dz in grad.values())
    edges: dict[Edge | tuple[str, str], NDArray] = {}
    for edge, operand in zip(step.edges, (call.inputs[names.index(n)] for n in step.inputs),
                             strict=True):  # fmt: skip
        if edge is not None and operand.asked and arrived:
            edges[edge] = _claimed(operand.array, operand.gradient, case.dtype)
    return case, Trace(
        Err=None,  # type: ignore[arg-type]
        Div=None,  # type: ignore[arg-type]
        value={n: z for n, z in values.items() if z is not None},
        grad={n: dz for n, dz in grad.items() if dz is not None},
        edge_grad=edges,
        precision=call.precision,
        added={
            n: added
            for n, added in zip(step.outputs, call.added, strict=False)
            if added is not None
        },
    )


def _claimed(array: NDArray, gradient: NDArray | None, dtype: np.dtype[Any]) -> NDArray:
    """The gradient through an edge; None counts as a claim that it is zero."""
    return np.zeros(array.shape, dtype) if gradient is None else gradient


@cache
def _network_of(op: Op, names: tuple[str, ...], constant: tuple[str, ...]) -> Network:
    return _new_network(op, names, constant)


def _network(op: Op, names: tuple[str, ...], constant: tuple[str, ...]) -> Network:
    """The network of one node; the same one for equal ops."""
    try:
        return _network_of(op, names, constant)
    except TypeError:  # an op that is no value
        return _new_network(op, names, constant)


def _new_network(op: Op, names: tuple[str, ...], constant: tuple[str, ...]) -> Network:
    letters = op.parameter_shapes()
    values = names[: len(names) - len(letters)]
    given = dict(zip(letters, names[len(values) :], strict=True))
    return Network.open(Node(NODE, op, *values, **given), inputs=names, fixed=constant)


def _evidence(call: Call) -> Any:
    """The findings of the same op in float64, computed only if they are asked for.

    None where an input was overwritten: computed again, it would not be.
    """
    alone = call.remark or call.is_function  # it cannot be run by itself
    if call.again is None or alone or call.precision == "float64":
        return None

    @cache
    def found() -> dict[Quantity, Finding]:
        assert call.again is not None
        wide = call.again()
        if wide is None:
            return {}
        case, trace = _as_case(wide)
        judged = judge_what_is_there(case, trace, explain=False, node=NODE)
        return {f.quantity: f for f in judged}

    return found


def _undecided_at_kinks(f: Finding, call: Call) -> Finding:
    """A gradient behind a kink inside of a composed op cannot be held to one value."""
    if f.verdict is not Verdict.MISMATCH or not f.quantity.is_gradient:
        return f
    if not isinstance(call.op, Composed | Within):
        return f
    tiny = Precision.of(call.precision).tiny
    if f.kinks or not call.op.meets_kinks(tuple(o.array for o in call.inputs), tiny):
        return f
    note = f"{call.op.name} is at a kink here, behind which several gradients are valid"
    return replace(f, verdict=Verdict.INCONCLUSIVE, note=note)


def _told(f: Finding, call: Call) -> Finding:
    """The finding with what is known of the program, and without what is true of batches alone."""
    if f.verdict is Verdict.MISMATCH and f.quantity.is_gradient:
        f = replace(f, note=known_mistake(call) or f.note)
    if f.convention in REDUCTIONS:  # an op of a program has no batch to divide by
        f = replace(f, verdict=Verdict.MISMATCH, convention="", declared=False)
    if f.quantity.is_value and _is_another_value(f):
        f = replace(f, note=f"{OVERWRITTEN}; {f.note}")
    if f.note.startswith("every element is ") and ": " in f.note and _keeps_first_axis(call):
        f = replace(f, note=f.note.partition(": ")[0])  # a factor, but of no batch
    if call.remark and f.parity is False:
        f = replace(f, note="; ".join(filter(None, (f.note, call.remark))))
    return f


def _named(f: Finding, call: Call, network: Network) -> Finding:
    """The finding under the names of the recording."""
    step, node = network.body[0], call.place.node
    if not f.quantity.is_gradient:
        at = step.values.index(f.quantity.name)
        name = (
            node if len(step.values) == 1 else f"{node}.{step.values[at].partition('.')[2] or at}"
        )
        q = Quantity.value(name)
    else:
        edge = Edge(f.quantity.name, f.quantity.target or NODE)
        i = step.edges.index(edge)
        position = int(step.inputs[i][1:])
        q = Quantity.through(call.inputs[position].source, node)
    return replace(f, quantity=q, node=node, op=as_written(call.op), final=False)


def _is_another_value(f: Finding) -> bool:
    """Whether a value is far from its formula, and that of the same op in float64 is not."""
    far = f.error > FAR * f.bound
    return f.verdict is Verdict.MISMATCH and far and "right in float64" in f.note


def _keeps_first_axis(call: Call) -> bool:
    """Whether all that it takes and returns is as long, so that it sums over no batch."""
    arrays = [o.array for o in call.inputs if o.source] + [z for z in call.z if z is not None]
    shapes = [a.shape for a in arrays]
    return len({shape[:1] for shape in shapes}) == 1 and all(shapes)
