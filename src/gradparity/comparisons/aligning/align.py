"""`align`: do two recorded programs compute the same, and where do they first part?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ...core.network.calls import Place
from ...core.network.quantity import Quantity
from ..findings.finding import STRUCTURE, Finding, Verdict, as_written
from ..recording.recording import Recording
from ..report.records import ALIGNED, Run
from ..report.report import Report
from .answer import answer, formats_in_words
from .causes.search import Found, Search, lost_in, parted_of
from .causes.shares import other_shares
from .counterpart import counterpart
from .gradients import Unpaired, cut_of, is_noise, parting_of_gradients, unpaired_gradients
from .inputs import other_inputs, parse_inputs, rounded_in_words
from .padding import untested_padding
from .parameters.mapped import Mapped, parse_parameters
from .parameters.mapping import ParameterMap
from .programs.backward import with_gradients_in_float64
from .programs.checked import check_recordings
from .programs.edits import Edit
from .programs.effort import Effort
from .programs.partners import Known
from .programs.side import Side
from .programs.values import NEAR, Program, nearness
from .states import findings_on_states

__all__ = ["align"]

#: The most differences that are looked for, each corrected before the next.
SEVERAL = 6
#: Verdicts by which a gradient is that of the formulas, up to rounding and what kinks leave open.
RIGHT = (Verdict.EXACT, Verdict.ROUNDING, Verdict.LOSSY, Verdict.SUBGRADIENT, Verdict.VACUOUS)
#: The share of the values without a partner that pair with a change which says something.
WEAK = 0.05
SPENT = "; not every change was tried, as there are too many"
HEALED = "has no partner, and all that depends on it has one"


def align(
    one: Recording,
    other: Recording,
    *,
    inputs: Mapping[str, str] | None = None,
    parameters: ParameterMap | Mapping[str, str | Sequence[str]] | None = None,
) -> Report:
    """Compare two recorded programs: PyTorch and JAX, a model and its port, before and after.

    Values are paired by their elements in whatever layout; the first value of `one` that has no
    partner in `other`, although all that it is made of has, is where they part.  There other
    numbers, modes and arrangements of its op are tried, and what makes it pair is the cause: it is
    corrected in `one`, and the next difference is looked for.  Gradients by parameters, and states
    such as running statistics after the step, are compared if all values pair.

    Parameters
    ----------
    one, other : recorded with ``keep=True``, of the same numbers, in float64 for the sharpest
        answer.
    inputs : which inputs of `other` those of `one` are, name -> name: also arguments without a
        gradient, such as "arg1" or "arg1.mask".  Without it inputs are paired by their numbers.
        One that holds other numbers in the other program is told first, and corrected.
    parameters : which parameters of `other` those of `one` are: a map of `map_parameters`, or name
        -> name or names.  Their gradients are then compared with each other alone; without a map
        any gradient of the same numbers is a partner.

    Returns
    -------
    Report : a run with the verdict on each recording by itself, and one of the two against each
        other.

    Raises
    ------
    TypeError : something else than two recordings, or than a map.
    ValueError : a recording has not ended, or has not kept its numbers; it has no such parameter.

    >>> import gradparity as gp, torch
    >>> x = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4).requires_grad_()
    >>> def loss(x, approximate):
    ...     return (torch.nn.functional.gelu(torch.sin(x), approximate=approximate) ** 3).sum()
    >>> one, other = (gp.record(loss, x, how, keep=True) for how in ("none", "tanh"))
    >>> report = gp.align(one, other)
    >>> report.exit_code
    1
    >>> [f.note for _, f in report.findings() if f.parity is False]
    ["approximate is none here and tanh there; with it, it pairs with 'gelu_1'..."]
    """
    check_recordings("align", one, other)
    programs = Program.of(one), Program.of(other)
    named = parse_inputs(inputs, *programs)
    mapped = {**_with_gradients(named, *programs), **parse_parameters(parameters, *programs)}
    reports = [one.report(), other.report()]
    are_right = all(f.verdict in RIGHT for report in reports for _, f in report.findings())
    alignment = _Alignment(*programs, mapped, named, are_right)
    findings = tuple(alignment.findings())
    name = f"{one.name} against {other.name}"
    about = answer(one, other, findings)
    untested = {**alignment.untested, **untested_padding(alignment.sides[1])}
    about += "".join(f"; {why}" for why in untested.values())
    about += rounded_in_words(alignment.rounded)
    about += formats_in_words(*programs, alignment.sides[0].near)
    about += SPENT if alignment.effort.is_spent else ""
    for recording, report in zip((one, other), reports, strict=True):
        about += f"; {recording.name!r} is not right by itself" if report.exit_code == 1 else ""
    run = Run(name, f"{one.framework} and {other.framework}", ALIGNED, findings, about=about)
    graph = {name: reports[0].graphs[one.name]}
    runs = [run, *(_named(r.runs[0], which) for r, which in zip(reports, ("one", "other"),
                                                                strict=True))]  # fmt: skip
    versions = {**reports[0].environment, **reports[1].environment}
    return Report(tuple(runs), (), {}, versions, graph)


def _named(run: Run, which: str) -> Run:
    return replace(run, case=f"{which}: {run.case}")


def _with_gradients(inputs: Mapping[str, str], one: Program, other: Program) -> dict[str, Mapped]:
    """The inputs of a map that both programs have a gradient by."""
    both = ((n, m) for n, m in inputs.items() if n in one.leaves and m in other.leaves)
    return {name: Mapped((name,), (there,)) for name, there in both}


class _Alignment:
    """The pairing of one program's values with another's."""

    def __init__(
        self,
        one: Program,
        other: Program,
        mapped: Mapping[str, Mapped],
        inputs: Mapping[str, str],
        are_right: bool,
    ) -> None:
        self.mapped, self.are_right = mapped, are_right
        near = nearness(one, other)
        known = Known(one.value, one.leaves, other.value, other.leaves)
        one, self.inputs, self.rounded = other_inputs(one, other, inputs, near, known)
        self.effort = Effort()
        self.sides = self._as_sides(one, other, near, known)
        #: (which program, node, change, where `one` parts) of each difference.
        self.found: list[tuple[int, str, Edit, str]] = []
        self.shares = other_shares(*self.sides)
        self.untested = untested_padding(self.sides[0])

    def _as_sides(
        self, one: Program, other: Program, near: float, known: Known
    ) -> tuple[Side, Side]:
        return Side(one, near, known, self.effort), Side(other, near, known, self.effort)

    def findings(self) -> Iterator[Finding]:
        """One for every value, and for every gradient and state where all values pair."""
        if not self.shares and all(each.fits for each in self.inputs):
            self._correct()
        left = parted_of(self.sides)
        yield from self._of_values(left)
        yield from self._of_losses(any(left))
        if not self.found and not self.inputs and not any(left):
            yield from self._of_gradients()
            yield from findings_on_states(*self.sides)

    def _correct(self) -> None:
        """Find the differences one after the other, in either program, and correct each there.

        What a change of little effect leads to counts only if all pairs in the end.
        """
        sure: tuple[int, tuple[Side, Side]] | None = None
        for _ in range(SEVERAL):
            parted = parted_of(self.sides)
            best = Search(self.sides, parted).found() if any(parted) else None
            if best is None:
                break
            if sure is None and self._is_weak(best):
                sure = len(self.found), self.sides
            which, node, edit, made, _ = best
            at = node if which == 0 else self._explained(made, parted[0])
            self.found.append((which, node, edit, at))
            self.sides = (made, self.sides[1]) if which == 0 else (self.sides[0], made)
        if sure is not None and any(parted_of(self.sides)):
            del self.found[sure[0] :]
            self.sides = sure[1]

    def _explained(self, made: Side, parted: list[str]) -> str:
        """Where this program parts from the other one, and pairs with a changed one."""
        one = self.sides[0]
        before, left = ([c.place.node for c in one.lost(x).values()] for x in (self.sides[1], made))
        return next((n for n in [*parted, *before] if n not in left), (parted or [""])[0])

    def _is_weak(self, best: Found) -> bool:
        """Whether a change that may fit by chance leaves nearly all values without a partner."""
        return not best.edit.plain and best.lost > (1 - WEAK) * lost_in(*self.sides)

    def _of_values(self, left: tuple[list[str], list[str]]) -> Iterator[Finding]:
        one, other = self.sides
        lost = one.lost(other)
        notes: dict[str, str] = {}
        told = [(each.node, str(each)) for each in self.inputs]
        told += [(at, self._said(which, node, edit)) for which, node, edit, at in self.found]
        for at, said in _once(told):
            notes[at] = f"{notes[at]}; next, {said}" if at in notes else said
        if self.shares:
            notes = dict([self.shares])
        if not all(each.fits for each in self.inputs):
            left = [], []  # nothing that is made of other data can be compared
        more = [n for n in left[0] if not one.is_preparation(one.nodes[n])]
        # What is done to data is told where nothing that is made of it is.
        for node in (more if more or notes else left[0]) if not self.shares else []:
            notes.setdefault(node, counterpart(one, other, node))
        if left[1] and not left[0] and not notes:
            where = _where(other.nodes[left[1][0]].place)
            notes[""] = f"this program has no value that the other one has at {where}"
        ends = [call.place.node for call in one.program.calls][-1:]
        if "" in notes:  # it shows in the other program alone
            notes.setdefault(ends[0] if ends else "", notes.pop(""))
        for call in one.program.calls:
            node = call.place.node
            for name in one.program.gives(call):
                size = one.program.value[name].size
                found = _finding(Quantity.value(name), call.place, as_written(call.op), size)
                if node in notes:  # several results of a node are one difference
                    yield replace(found, verdict=Verdict.MISMATCH, note=notes.pop(node))
                elif name in lost:
                    yield replace(found, verdict=Verdict.VACUOUS, elements=0, note=HEALED)
                else:
                    yield found

    def _of_losses(self, told: bool) -> Iterator[Finding]:
        """The losses, where they differ and nothing else says so."""
        one, other = self.sides
        for name in one.program.losses:
            there = [other.value[n] for n in other.program.losses]
            if not told and not one.ends_alike(name, one.value[name], other):
                numbers = float(one.value[name].reshape(())), float(there[0].reshape(()))
                said = "the losses are {:.9g} here and {:.9g} there".format(*numbers)
                q, place = Quantity.value(name), one.program.recording.places[self._node(name)]
                found = _finding(q, place, "", 1)
                yield replace(found, verdict=Verdict.MISMATCH, note=said)

    def _node(self, name: str) -> str:
        return next(c.place.node for c in self.sides[0].program.calls if name in c.names)

    def _said(self, which: int, node: str, edit: Edit) -> str:
        """A difference in words, with the place in the other program."""
        said = edit.said.format(here=("here", "there")[which], there=("there", "here")[which])
        if which == 1:
            return f"at {_where(self.sides[1].nodes[node].place)} of the other program: {said}"
        name = self.sides[0].nodes[node].names[0]
        partners = self.sides[1].partners.of(self.sides[0].value[name])
        if not partners or self.sides[0].value[name].size < 2:
            return f"{said}; with it, what is made of it pairs"
        return f"{said}; with it, it pairs with {self._partner(partners[0])}"

    def _partner(self, name: str) -> str:
        """A value of the other program, with its place."""
        for call in self.sides[1].program.calls:
            if name in call.names:
                return _where(call.place)
        return repr(name)

    def _parting(self, mine: bool) -> tuple[str, str]:
        """The node of `one` at which gradients part, and why."""
        one, other = self.sides
        found = cut_of(other, one)
        if found:
            there = _where(other.nodes[found.node].place)
            said = f"the gradient of {found.name or 'an input'} through {found.through} is missing "
            said += f"there: it is a constant at {there} of the other program, such as after "
            return found.through, f"{said}detach or stop_gradient"
        found = cut_of(one, other)
        if found:
            there = _where(other.nodes[found.through].place)
            said = "the gradient of an input is missing here: it is a constant, such as after "
            said += "detach or stop_gradient; in the other program "
            name = f"it is {found.name!r}, which" if found.name else "what it is computed from"
            return found.node, f"{said}{name} has a gradient through {there}"
        node, said = parting_of_gradients(one, other) if mine else ("", "")
        said = said.format(here="here", there="there")
        if "through" not in said:
            back, reason = parting_of_gradients(other, one)
            if reason and ("through" in reason or not said):
                reason = reason.format(here="there", there="here")
                said = f"at {_where(other.nodes[back].place) if back in other.nodes else back} of "
                said += f"the other program: {reason}"
        return node, said

    def _part_in_gradients(self, sides: tuple[Side, Side], unpaired: Unpaired) -> bool:
        mine, theirs, _ = unpaired
        return bool(mine or theirs) or any(m.note(*sides) for m in self.mapped.values())

    def _by_formulas(self) -> tuple[tuple[Side, Side], Unpaired] | None:
        """The programs with gradients computed anew in float64, if these are the same.

        Each recorded gradient is right by itself; in fewer digits they differ behind a kink that
        the two programs have on different sides.
        """
        programs = [side.program for side in self.sides]
        if all(program.near <= NEAR["float64"] for program in programs):
            return None
        found = [with_gradients_in_float64(program) for program in programs]
        made = [each for each in found if each is not None]
        if len(made) < 2 or not any(turned for _, turned in made):
            return None
        one, other = (program for program, _ in made)
        sides = self._as_sides(one, other, self.sides[0].near, self.sides[0].known)
        unpaired = unpaired_gradients(*sides)
        return None if self._part_in_gradients(sides, unpaired) else (sides, unpaired)

    def _of_gradients(self) -> Iterator[Finding]:
        """The gradients by parameters and inputs, paired in any layout, packed or not."""
        unpaired = unpaired_gradients(*self.sides)
        if self.are_right and self._part_in_gradients(self.sides, unpaired):
            by_formulas = self._by_formulas()
            if by_formulas is not None:
                self.sides, unpaired = by_formulas
        one, other = self.sides
        mine, theirs, alone = unpaired
        node, said = self._parting(bool(mine)) if mine or theirs or alone else ("", "")
        places = one.program.recording.places
        for name, total in one.program.recording.leaves.items():
            place = places.get(node, Place(name)) if name in mine else Place(name)
            found = _finding(Quantity.grad(name), place, "", total.got.size, final=True)
            if name in mine:
                said = said or "the other program has no such gradient, although all values pair"
                yield replace(found, verdict=Verdict.MISMATCH, note=said)
            elif name in alone:
                note = "the other program has no gradient by it, so it is not compared"
                note += f"; {said}" if "through" in said else ""
                yield replace(found, verdict=Verdict.INCONCLUSIVE, note=note)
            elif is_noise(one, name):
                yield replace(found, verdict=Verdict.VACUOUS, note=STRUCTURE)
            elif name in self.mapped and (by_map := self.mapped[name].note(one, other)) is not None:
                verdict = Verdict.MISMATCH if by_map else found.verdict
                same = f"it is that of {self.mapped[name]} of the other program"
                yield replace(found, verdict=verdict, note=by_map or same)
            else:
                yield replace(found, note=self.untested.get(name, ""))
        for name in [] if mine else theirs:
            place, note = Place(name), f"{said}; this program has no such gradient"
            size = other.program.recording.leaves[name].got.size
            found = _finding(Quantity.grad(name), place, "", size, final=True)
            yield replace(found, verdict=Verdict.MISMATCH, note=f"of the other program: {note}")


def _once(told: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What is told of each node; the same of several but for their numbers is told of the first."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for at, said in told:
        alike.setdefault(re.sub(r"\d+", "#", said), []).append((at, said))
    for (at, said), *others in alike.values():
        if others:
            said += f", and so at {others[0][0]!r}"
            said += f" and {len(others) - 1} more" if others[1:] else ""
        yield at, said


def _finding(q: Quantity, place: Place, op: str, size: int, final: bool = False) -> Finding:
    found = Finding(q, place.node, op, Verdict.ROUNDING, size, final=final)
    return replace(found, module=place.module, source=place.source)


def _where(place: Place) -> str:
    """A node with its module and the line of the user's code, where they are known."""
    more = ", ".join(filter(None, (place.module, place.source)))
    return f"{place.node!r} ({more})" if more else repr(place.node)
