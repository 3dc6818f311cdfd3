"""A recording: the verdict on every op of a program, as it ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module

from ...core.arithmetic.arrays import NDArray
from ...core.network.calls import Call, Listener, NoFormula, Place, Sum, Unjudged
from ...core.network.quantity import Quantity
from ...core.network.states import State, states_of_update
from ...core.optimizers.update import ChangedGradient, Clipping, Update
from ..findings.finding import STRUCTURE, SUM, Finding, Verdict
from ..optimizers.in_recordings import finding_of_changed, findings_of_clipped, findings_of_update
from ..report.graph import Graph
from ..report.records import Run, environment
from ..report.report import Report
from ..running.progress import Progress, Steps
from .by_values import findings_by_values
from .calls import findings_of_call
from .functions import is_loose
from .graph import graph_of_nodes, in_order
from .not_finite import NotFinite
from .stale import CallsOfFunctions
from .sums import findings_of_sum
from .thinned import thinned

__all__ = ["ENOUGH", "Recording"]

#: The share of the nodes that has to be judged.
ENOUGH = 0.95
#: How many nodes of one op without a formula are held to differences.
BY_VALUES = 50
#: How many wrong nodes are explained while the program runs; it takes seconds for each.
EXPLAINED = 12
#: How many parameters are named whose gradients the program has changed.
NAMED = 4


class Recording(Listener):
    """The verdicts on a program, op by op; ``gradparity.check`` makes a report of it.

    Attributes
    ----------
    name : for reports.
    framework : whose program it is.
    findings : one per result, as they came.
    places : of every node by name, in the order in which they were judged.
    unjudged : the nodes that no formula was applied to.
    closed : whether the program has ended.

    Parameters
    ----------
    allow : conventions that pass.
    strict : whether `lossy` fails, and every node has to be judged.
    keep : whether to keep the numbers of every node in `calls`, for `align`.
    sample : how many channels of large matrix products and convolutions are judged; None for all.
    progress : told which part of the backward pass is done, as by `check`.
    """

    def __init__(
        self,
        name: str,
        framework: str = "torch",
        *,
        allow: Sequence[str] = (),
        strict: bool = False,
        keep: bool = False,
        sample: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.name, self.framework = name, framework
        self.versions = {framework: import_module(framework).__version__}
        self.allow, self.strict, self.keep = tuple(allow), strict, keep
        self.sample = sample
        self._steps = Steps(progress)
        #: The nodes without a formula that were held to their values, by op.
        self.by_values: Counter[str] = Counter()
        #: The nodes of which only some channels were judged, by op.
        self.thinned: Counter[str] = Counter()
        self.calls: list[Call] = []
        self.findings: list[Finding] = []
        self.places: dict[str, Place] = {}
        self.unjudged: list[Unjudged] = []
        #: Where optimizers made steps, and the steps that no rule was applied to.
        self.steps: dict[str, Place] = {}
        self.steps_unjudged: list[Unjudged] = []
        #: Gradients that the program changed between backward and a step, by parameter.
        self.changed: Counter[str] = Counter()
        #: Loops of which not every step was judged: steps, and those judged, by node.
        self.samples: dict[str, tuple[int, int]] = {}
        #: The ops on what has no gradient, in the order in which they ran, with ``keep=True``.
        self.preparations: list[Call] = []
        #: The arguments without a gradient by name, with ``keep=True``.
        self.given: dict[str, NDArray] = {}
        #: What the program changed or returned beside the loss, by name, with ``keep=True``.
        self.states: dict[str, State] = {}
        self.keeps_states, self.updates = keep, list[Update]()
        self.closed = False
        self._taken: dict[str, tuple[str, ...]] = {}
        self._ops: dict[str, str] = {}
        self._finals: list[Sum] = []
        #: The gradient of a leaf with a single use, by that of the use.
        self._alone: dict[Quantity, Sum] = {}
        self._not_finite, self._functions = NotFinite(), CallsOfFunctions()
        self._precisions: Counter[str] = Counter()
        self._waiting: list[Call] = []
        self._wrong = 0
        #: Whether an op was seen to run; a backward pass alone shows none.
        self.saw_forward = False

    def __repr__(self) -> str:
        return f"<Recording {self.name!r}: {self.coverage_in_words}>"

    # ---- while the program runs -----------------------------------------------------------------

    def expected(self, elements: int) -> None:
        """Know how much there is to do."""
        self._steps.left("elements", elements)

    def called(self, call: Call) -> None:
        """Judge one op; a function that has to be evaluated for it waits until the program ends."""
        if isinstance(call.op, NoFormula):
            self._without_formula(call, call.op)
            return
        self._functions.keep(call)
        if call.evaluate is not None:
            alone = replace(call, evaluate=None)
            found = findings_of_call(alone, self.allow, explain=False)
            telling = [f for f in found if f.verdict is not Verdict.VACUOUS]
            if not all(f.parity and not is_loose(f, call) for f in telling):
                self._wait_with(call)
                return
        self._judge(call)

    def finish(self) -> None:
        """The program has ended: judge what had to wait, so that nothing ran inside of it."""
        for call in self._waiting:
            if isinstance(call.op, NoFormula):
                self._judge_by_values(call, call.op)
            else:
                self._judge(call)
        self._waiting.clear()
        self._steps.end()
        self.closed = True

    def _judge(self, call: Call) -> None:
        found = self._functions.explained(self._found(call), call)
        self._not_finite.look(call)
        self._wrong += any(f.parity is False for f in found)
        self._note(call.place, _sources(call), found[0].op if found else repr(call.op))
        if self.keep:
            self.calls.append(call.copied())  # the program may overwrite or free its arrays later
        self._precisions[call.precision] += 1
        self.saw_forward = True
        self.findings += found
        self._steps.plan("elements", 0)
        self._steps.did(
            "elements", f"judging {call.place.module or call.place.node}", call.elements
        )

    def _without_formula(self, call: Call, op: NoFormula) -> None:
        """Let an op wait whose values have to be asked; only some of each kind, as this is slow."""
        waiting = sum(
            isinstance(other.op, NoFormula) and other.op.function == op.function
            for other in self._waiting
        )
        if self.strict or waiting >= BY_VALUES:
            self.not_judged(Unjudged(call.place, op.why, _sources(call)))
        else:
            self._wait_with(call)

    def _wait_with(self, call: Call) -> None:
        """Judge a call once the program has ended; its place is where it ran."""
        self.saw_forward = True
        self._note(call.place, _sources(call), repr(call.op))
        self._waiting.append(call.copied())

    def _judge_by_values(self, call: Call, op: NoFormula) -> None:
        """Hold the gradients of an op without a formula to its values."""
        found = findings_by_values(call, self.allow)
        if isinstance(found, str):
            self.not_judged(Unjudged(call.place, f"{op.why}; {found}", _sources(call)))
            return
        self._note(call.place, _sources(call), op.function)
        self.by_values[op.function] += 1
        self.findings += found

    def _found(self, call: Call) -> list[Finding]:
        """The findings of a call, on all of its channels or on a sample of them."""
        explain = self._wrong < EXPLAINED
        parts = thinned(call, self.sample) if self.sample else []
        if not parts:
            return findings_of_call(call, self.allow, explain=explain)
        self.thinned[call.place.function] += 1
        each = ((p, findings_of_call(p.call, self.allow, explain=explain)) for p in parts)
        return [part.placed(f) for part, found in each for f in found]

    def prepared(self, call: Call) -> None:
        """Keep an op on what has no gradient, for `align`."""
        self.preparations.append(call)

    def summed(self, total: Sum) -> None:
        """Judge the sum over the uses of a value; a single one is of interest if it is not kept."""
        kept = total
        if total.final:  # the program may add to its array, or free it, later
            got = total.got.copy()
            parts = (got,) if total.is_its_part else tuple(part.copy() for part in total.parts)
            kept = replace(total, got=got, parts=parts)
            self._finals.append(kept)
        if total.is_its_part:
            if total.final:
                self._alone[Quantity.through(total.source, total.uses[0])] = kept
            return
        found = findings_of_sum(total, self.allow)
        if len(total.parts) > 1 or total.accumulated or found.parity is False:
            self.findings.append(found)
        elif total.final:
            self._alone[Quantity.through(total.source, total.uses[0])] = kept

    def not_judged(self, what: Unjudged) -> None:
        """Note an op without a formula."""
        self._note(what.place, what.sources, what.place.function)
        self.unjudged.append(what)
        self.saw_forward |= bool(what.sources) or what.failed

    def updated(self, place: Place, update: Update) -> None:
        """Judge what an optimizer did to the parameters of a group."""
        self.steps[place.node] = place
        self.findings += findings_of_update(update, place.node)
        if self.keeps_states:
            self.updates.append(update)
            for name, state in states_of_update(update).items():
                first = self.states.get(name, state)
                self.left_state(name, replace(state, before=first.before))

    def clipped(self, place: Place, clipping: Clipping) -> None:
        """Judge gradients that were clipped."""
        self.steps[place.node] = place
        self.findings += findings_of_clipped(clipping, place.node)

    def gradient_changed(self, place: Place, changed: ChangedGradient) -> None:
        """Judge a gradient that was changed while a step ran."""
        self.steps[place.node] = place
        self.findings.append(finding_of_changed(changed, place.node, self.allow))

    def changed_between(self, place: Place, names: Sequence[str]) -> None:
        """Note gradients that the program changed between backward and a step, as it may."""
        self.changed.update(names)

    def step_not_judged(self, what: Unjudged) -> None:
        """Note a step without a rule."""
        self.steps_unjudged.append(what)

    def was_given(self, name: str, array: NDArray) -> None:
        """Keep an argument, for `align`."""
        self.given[name] = array

    def left_state(self, name: str, state: State) -> None:
        """Keep a state, for `align`."""
        self.states[name] = state

    def sampled(self, node: str, steps: int, judged: int) -> None:
        """Note a loop of which only some steps are judged."""
        self.samples[node] = steps, judged

    def _note(self, place: Place, taken: tuple[str, ...], op: str) -> None:
        self.places[place.node], self._taken[place.node] = place, taken
        self._ops[place.node] = op

    # ---- afterwards -----------------------------------------------------------------------------

    @property
    def leaves(self) -> dict[str, Sum]:
        """The parameters and inputs with a gradient by name, and what arrived in all passes."""
        found: dict[str, Sum] = {}
        for each in self._finals:
            found[each.source] = found[each.source].plus(each) if each.source in found else each
        return found

    @property
    def coverage(self) -> float:
        """The share of the nodes that were judged."""
        return 1.0 - len(self.unjudged) / len(self.places) if self.places else 0.0

    @property
    def coverage_in_words(self) -> str:
        """The coverage in words: how many nodes were judged, and which ops were not."""
        n, lacking = len(self.places), Counter(map(_what, self.unjudged))
        said = f"{n - len(self.unjudged)} of {n} nodes judged"
        names = ", ".join(f"{name} ({count})" for name, count in lacking.most_common())
        said = f"{said}; not judged: {names}" if lacking else said
        steps = dict.fromkeys(f"{u.place.function} ({u.why})" for u in self.steps_unjudged)
        unjudged = (f"not judged: {step}" for step in steps)
        return "; ".join([said, *unjudged, *self._samples_in_words(), *self._changed_in_words()])

    def _changed_in_words(self) -> Iterator[str]:
        if self.changed:
            few = ", ".join(list(self.changed)[:NAMED])
            more = len(self.changed) - NAMED
            few = f"{few} and {more} more" if more > 0 else few
            yield f"gradients changed by the program between backward and step: {few}"

    def _samples_in_words(self) -> Iterator[str]:
        if self.by_values:
            ops = ", ".join(f"{name} ({n})" for name, n in self.by_values.most_common())
            yield f"by differences of their values alone: {ops}"
        if self.thinned:
            ops = ", ".join(f"{name} ({n})" for name, n in self.thinned.most_common())
            yield f"{self.sample} channels of each were judged: {ops}"
        for (steps, judged), n in Counter(self.samples.values()).items():
            if n == 1:
                yield f"of a scan of {steps} steps, {judged} were judged"
            else:
                yield f"of {n} scans of {steps} steps, {judged} of each were judged"

    def report(self, name: str = "") -> Report:
        """Everything that was found, as a report, under this name or its own."""
        name = name or self.name
        order = self.order()
        found = [*self._not_finite.explained([*self._of_finals()], order), *self._of_unjudged()]
        position = {node: i for i, node in enumerate(order)}
        found.sort(key=lambda f: position.get(f.node, len(position)))
        findings = tuple(self._placed(f) for f in found)
        precision = max(self._precisions, key=self._precisions.__getitem__, default="float32")
        run = Run(name, self.framework, precision, findings, coverage=self.coverage_in_words)
        graphs = {name: self._graph()}
        return Report((run,), (), {}, {**environment(), **self.versions}, graphs)

    def _placed(self, f: Finding) -> Finding:
        """The finding with the place of its node in the program."""
        place = self.places.get(f.node) or self.steps.get(f.node)
        if place is None:
            return replace(f, strict=self.strict)
        return replace(f, strict=self.strict, module=place.module, source=place.source)

    def _of_finals(self) -> Iterator[Finding]:
        """All findings, those of parameters and inputs marked as final.

        The gradient of a parameter with a single use is that of the use.
        """
        alone = {
            Quantity.through(total.source, total.uses[0]): Quantity.grad(total.source)
            for total in self._finals
            if len(total.parts) == 1
        }
        summed = {f.quantity for f in self.findings if f.op == SUM}
        found = [
            replace(f, quantity=alone[f.quantity], final=True)
            if f.quantity in alone and alone[f.quantity] not in summed
            else f
            for f in self.findings
        ]
        there = {f.quantity for f in self.findings}
        found += [
            findings_of_sum(total, self.allow)
            for through, total in self._alone.items()
            if through not in there
        ]
        finals = [f for f in found if f.final]
        telling = any(f.verdict is not Verdict.VACUOUS for f in finals)
        for f in found:
            if f.final and telling and f.verdict is Verdict.VACUOUS:
                yield self._silent(f)
            else:
                yield f

    def _silent(self, f: Finding) -> Finding:
        """A final gradient that is right at every op, and zero or cancelled: nothing to test."""
        nothing = not f.bound and not f.got
        return replace(f, final=False) if nothing else replace(f, note=STRUCTURE)

    def _of_unjudged(self) -> Iterator[Finding]:
        """A finding for every node without a formula; those of a few nodes decide nothing."""
        enough = self.coverage >= (1.0 if self.strict else ENOUGH)
        verdict = Verdict.VACUOUS if enough else Verdict.INCONCLUSIVE
        for what in self.unjudged:
            node, note = what.place.node, f"not judged: {what.why}"
            yield Finding(Quantity.value(node), node, what.place.function, verdict, 0, note=note)

    def _graph(self) -> Graph:
        """The program as a graph, its nodes in the order in which they ran."""
        finals = {total.source: total.got.shape for total in self._finals}
        inputs = {name: shape for name, shape in finals.items() if name not in self.places}
        return graph_of_nodes(self.order(), self._taken, self._ops, inputs)

    def order(self) -> list[str]:
        """Every node after those whose values it takes, in the order in which they ran."""
        # PyTorch's are told in the order of backward, the last one first; JAX's as they run.
        nodes = list(self.places)
        return in_order(nodes if self.framework == "jax" else nodes[::-1], self._taken)


def _what(unjudged: Unjudged) -> str:
    """The op that was not judged, or the leaf."""
    return unjudged.place.function or unjudged.place.node


def _sources(call: Call) -> tuple[str, ...]:
    """The values that a call takes."""
    return tuple(o.source for o in call.inputs if o.source)
