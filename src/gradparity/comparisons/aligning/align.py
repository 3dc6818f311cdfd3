"""`align`: do two recorded programs compute the same, and where do they first part?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.received import received
from ...core.formulas.movements import Reshape
from ...core.formulas.op import Movement, Op
from ...core.network.calls import Call
from ...core.network.quantity import Quantity
from ..findings.finding import STRUCTURE, Finding, Verdict, as_written
from ..recording.recording import Recording
from ..report.records import Run
from ..report.report import Report
from .causes import Cause, cause_at
from .replay import replayed
from .values import Partners, Program

__all__ = ["align"]

#: The most differences that are looked for, each corrected before the next.
SEVERAL = 6
#: The most arrays of one size that are tried together.
MOST_PACKED = 24
HEALED = "has no partner, and all that depends on it has one"


def align(one: Recording, other: Recording) -> Report:
    """Compare two recorded programs: PyTorch and JAX, a model and its port, before and after.

    Values are paired by their elements in whatever layout; the first value of `one` that has no
    partner in `other`, although all that it is made of has, is where they part.  There other
    numbers, modes and arrangements of its op are tried, and what makes it pair is the cause: it is
    corrected in `one`, and the next difference is looked for.  Gradients by parameters are compared
    if all values pair.

    Parameters
    ----------
    one, other : recorded with ``keep=True``, of the same numbers, in float64 for the sharpest
        answer.

    Returns
    -------
    Report : a run with the verdict on each recording by itself, and one of the two against each
        other.

    Raises
    ------
    TypeError : something else than two recordings.
    ValueError : a recording has not ended, or has not kept its numbers.

    >>> import gradparity as gp, torch
    >>> x = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4).requires_grad_()
    >>> def loss(x, approximate):
    ...     return (torch.nn.functional.gelu(torch.sin(x), approximate=approximate) ** 3).sum()
    >>> one, other = (gp.record(loss, x, how, keep=True) for how in ("none", "tanh"))
    >>> report = gp.align(one, other)
    >>> report.exit_code
    1
    >>> [f.note for _, f in report.findings() if f.parity is False]
    ["approximate is none here and tanh there: with it, it pairs with 'gelu_1'"]
    """
    for what, given in (("one", one), ("other", other)):
        if not isinstance(given, Recording):
            raise TypeError(f"align: {what} is {received(given)}; give a recording, gp.record(...)")
        if not given.closed:
            raise ValueError(f"align: the recording {what} has not ended")
        if not given.calls:
            raise ValueError(
                f"align: the recording {what} has kept no numbers; record it with keep=True"
            )
    reports = [one.report(), other.report()]
    findings = [*_Alignment(Program.of(one), Program.of(other)).findings()]
    name = f"{one.name} against {other.name}"
    run = Run(name, f"{one.framework} and {other.framework}", "values", tuple(findings))
    graph = {name: reports[0].graphs[one.name]}
    runs = [run, *(_named(r.runs[0], which) for r, which in zip(reports, ("one", "other"),
                                                                strict=True))]  # fmt: skip
    versions = {**reports[0].environment, **reports[1].environment}
    return Report(tuple(runs), (), {}, versions, graph)


def _named(run: Run, which: str) -> Run:
    return replace(run, case=f"{which}: {run.case}")


class _Alignment:
    """The pairing of one program's values with another's."""

    def __init__(self, one: Program, other: Program) -> None:
        self.one, self.other = one, other
        self.near = max(one.near, other.near)
        self.partners = Partners({**other.leaves, **other.value}, self.near)

    def findings(self) -> Iterator[Finding]:
        """One for every value, and for every gradient where all values pair."""
        instead: dict[str, Op] = {}
        causes: dict[str, Cause] = {}
        value: Mapping[str, NDArray] = self.one.value
        for _ in range(SEVERAL):
            tried = ((call.place.node, self._cause(call, value)) for call in self._parted(value))
            node, cause = next(((n, c) for n, c in tried if c), ("", None))
            if cause is None:
                break
            causes[node], instead[node] = cause, cause.op
            value = replayed(self.one, instead)
        left = {call.place.node for call in self._parted(value)}
        yield from self._of_values(value, causes, left)
        if not causes and not left:
            yield from self._of_gradients()

    def _cause(self, call: Call, value: Mapping[str, NDArray]) -> Cause | None:
        def now(c: Call) -> Call:
            inputs = (replace(o, array=value.get(o.source, o.array)) for o in c.inputs)
            return replace(c, inputs=tuple(inputs))

        def after(name: str) -> list[Call]:
            return [now(c) for c in self.one.calls if any(o.source == name for o in c.inputs)]

        return cause_at(now(call), after, self._flattened(call, value), self.partners)

    def _flattened(self, call: Call, value: Mapping[str, NDArray]) -> NDArray | None:
        """What the first input of a call was before it was flattened; None if it was not."""
        nodes = {name: c for c in self.one.calls for name in c.names}
        made = nodes.get(call.inputs[0].source)
        while made is not None and isinstance(made.op, Reshape):
            o = made.inputs[0]
            array = value.get(o.source, o.array)
            if array.ndim > 2:
                return array
            made = nodes.get(o.source)
        return None

    def _lost(self, value: Mapping[str, NDArray]) -> dict[str, Call]:
        """The values without a partner, with the calls that gave them."""
        return {
            name: call
            for call in self.one.calls
            for name in self.one.gives(call)
            if not self.partners.of(value[name])
        }

    def _parted(self, value: Mapping[str, NDArray]) -> list[Call]:
        """The calls at which the programs part, the earliest first."""
        lost = self._lost(value)
        nodes = {call.place.node: call for call in self.one.calls}

        def heals(name: str, seen: frozenset[str] = frozenset()) -> bool:
            """Whether all that depends on a value without a partner has one again."""
            users = self.one.users.get(name, ())
            if not users or name in seen:
                return False
            after = (g for node in users for g in self.one.gives(nodes[node]))
            return all(g not in lost or heals(g, seen | {name}) for g in after)

        found: dict[str, Call] = {}
        for name, call in lost.items():
            before = [o.source for o in call.inputs if o.source]
            explained = any(b in lost and not heals(b) for b in before)
            if not explained and not heals(name) and not self._is_layout(call):
                found.setdefault(call.place.node, call)
        return list(found.values())

    def _is_layout(self, call: Call) -> bool:
        """Whether it only rearranges parameters, which the other program may hold in any layout."""
        sources = [o.source for o in call.inputs if o.source]
        return isinstance(call.op, Movement) and all(s in self.one.leaves for s in sources)

    def _of_values(
        self, value: Mapping[str, NDArray], causes: Mapping[str, Cause], left: set[str]
    ) -> Iterator[Finding]:
        lost = self._lost(value)
        for call in self.one.calls:
            node = call.place.node
            for name in self.one.gives(call):
                q, op = Quantity.value(name), as_written(call.op)
                found = Finding(q, node, op, Verdict.ROUNDING, self.one.value[name].size)
                found = replace(found, module=call.place.module, source=call.place.source)
                if node in causes:
                    cause = causes[node]
                    said = f"{cause.said}: with it, it pairs with {cause.partners[0]!r}"
                    yield replace(found, verdict=Verdict.MISMATCH, note=said)
                elif node in left:
                    said = "the other program has no such value, although it has all inputs of it"
                    yield replace(found, verdict=Verdict.MISMATCH, note=said)
                elif name in lost:
                    yield replace(found, verdict=Verdict.VACUOUS, elements=0, note=HEALED)
                else:
                    yield found

    def _of_gradients(self) -> Iterator[Finding]:
        """The gradients by parameters and inputs, paired in any layout, packed or not."""
        there = {name: total.got for name, total in self.other.recording.leaves.items()}
        packed = Partners(_together(there), self.near)
        own = {name: total.got for name, total in self.one.recording.leaves.items()}
        parts = {
            part
            for names, joined in _together(own).items()
            if Partners(there, self.near).of(joined)
            for part in names.split("+")
        }
        silent = {
            f.quantity.name
            for _, f in self.one.recording.report().findings()
            if f.final and f.verdict is Verdict.VACUOUS
        }
        for name, got in own.items():
            found = Finding(Quantity.grad(name), name, "", Verdict.ROUNDING, got.size, final=True)
            if name in silent:
                yield replace(found, verdict=Verdict.VACUOUS, note=STRUCTURE)
            elif packed.of(got) or name in parts or not np.any(got):
                yield found
            else:
                said = "the other program has no such gradient, although it has all values"
                yield replace(found, verdict=Verdict.MISMATCH, note=said)


def _together(arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Each array, and two or three of one size as one: q, k and v may be packed."""
    found = dict(arrays)
    by_size: dict[int, list[str]] = {}
    for name, array in arrays.items():
        by_size.setdefault(array.size, []).append(name)
    for names in by_size.values():
        for n in (2, 3):
            if len(names) <= MOST_PACKED:
                for some in combinations(names, n):
                    joined = [arrays[name].ravel() for name in some]
                    found["+".join(some)] = np.concatenate(joined)
    return found
