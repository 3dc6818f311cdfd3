"""Locate the fault behind a wrong final result: between it and the nearest right results.

A result judged from end to end is wrong wherever the fault is.  What is right nearer to the loss
clears everything beyond it, for the gradient that arrives there is made of it; so the walk goes
from the wrong result along the uses of its value, and ends at nodes where a right gradient arrives.
For a value it goes the other way, along what it is made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ...core.network.network import Network
from ...core.network.nodes import DIV, ERR, Edge
from ...core.network.quantity import Quantity
from ..explain.whole_mistakes import KNOWN
from ..findings.finding import FOLLOWS, Finding, Verdict
from .coarse import IN_FLOAT32

__all__ = ["Places", "Suspects", "placed"]

#: Maximum number of nodes, and of results to return, that are listed one by one.
FEW = 8


@dataclass
class Suspects:
    """The places to check for the fault behind one wrong result.

    Attributes
    ----------
    nodes : those whose formula may be the wrong one, the nearest to the loss first.
    passed : all that the walk came to, cleared or not.
    right : where it ended, because what is there is right.
    back : those of the nodes that can only be wrong in what they pass back.
    ask : the results that would let these nodes be judged at their own place.
    """

    nodes: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    right: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    ask: list[Quantity] = field(default_factory=list)


def placed(network: Network, findings: Sequence[Finding], whole: Iterable[str]) -> list[Finding]:
    """The findings, each mismatch from end to end with a word on where to look.

    Parameters
    ----------
    findings : of all results, whichever way they were judged.
    whole : the quantities that were judged from end to end.

    >>> from gradparity.comparisons.judge.end_to_end import judge_end_to_end
    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2), Tanh(), Affine(2, 2)], L2()), batch=4)
    >>> right = backprop(case).grad
    >>> given = {"grad W1": right["W1"] + 1, "grad W2": right["W2"]}
    >>> print(judge_end_to_end(case, given)[0].note)
    1 is added to every element; judged from end to end: the gradient at 'z2' is right, so ...
    """
    places = Places(network, findings, whole)
    known, wrong = (
        (*KNOWN, IN_FLOAT32),
        {q for q in places.found if q in places.whole and places.wrong(q)},
    )
    return [
        places.told(f) if f.quantity in wrong and not f.note.startswith(known) else f
        for f in findings
    ]


class Places:
    """The results known to be right and wrong, and where."""

    def __init__(self, network: Network, findings: Sequence[Finding], whole: Iterable[str]) -> None:
        self.network, self.whole = network, frozenset(whole)
        self.found = {f.quantity: f for f in findings if f.elements}
        self.order = [*network.inputs, *network.parameters]
        self.order += [*(node.name for node in network.nodes), DIV]
        self.steps = {step.name: step for step in network.body}
        self.maker = {v: step.name for step in network.body for v in step.values}
        self.owner = {
            Quantity.grad(p): step.name
            for step in network.body
            for p in step.parameters.values()
            if not network.has_own_uses(p)
        }

    # --- what is known --------------------------------------------------------------------------

    def wrong(self, q: Quantity) -> bool:
        return q in self.found and self.found[q].verdict is Verdict.MISMATCH

    def right(self, q: Quantity) -> bool:
        """Right in itself, or but for a convention, which says of all that was wrong what it is."""
        found = self.found.get(q)
        return found is not None and (found.parity is True or found.verdict is Verdict.CONVENTION)

    def right_from_the_loss_on(self, q: Quantity) -> bool:
        return q in self.whole and self.right(q)

    def _arrives_right(self, name: str) -> bool:
        """Whether the gradient that arrives at a node is right, by its own or its parameters'."""
        step = self.steps.get(name)
        outputs = step.outputs if step else (name,)
        if all(self.right_from_the_loss_on(Quantity.grad(output)) for output in outputs):
            return True
        own = [q for q, node in self.owner.items() if node == name and q in self.whole]
        known = [q for q in own if q in self.found]
        return bool(known) and all(self.right(q) for q in known)

    def _use(self, edge: Edge) -> Quantity:
        """The name of the gradient through a use, which the value's own is if there is no other."""
        through = Quantity.through(*edge)
        return through if through in self.found else self._asked(edge)

    # --- where to look --------------------------------------------------------------------------

    def suspects(self, q: Quantity) -> Suspects:
        """The places where the fault behind this result may be."""
        if not q.is_gradient:
            return self._in_order(self._forward(q))
        if q in self.owner:
            return self._in_order(self._of_parameter(q, self.owner[q]))
        found = Suspects(passed=[self.maker.get(q.name, q.name)])
        if q.target is not None:
            self._walk([Edge(q.name, q.target)], found)
        elif q.name == DIV:
            found.nodes.append(DIV)
        else:
            self._walk(self.network.consumers(q.name), found)
        return self._in_order(found)

    def _of_parameter(self, q: Quantity, node: str) -> Suspects:
        arriving = Quantity.grad(node)
        found = Suspects(nodes=[node], passed=[node], ask=[*self._values(node), arriving])
        others = [p for p, owner in self.owner.items() if owner == node and p != q]
        if self.right_from_the_loss_on(arriving) or (
            any(self.right_from_the_loss_on(p) for p in others) and not self._wrong_before(node)
        ):
            found.right.append(node)
        else:
            self._walk(self._uses_of_node(node), found)
        return found

    def _uses_of_node(self, node: str) -> list[Edge]:
        """The uses of all that a node gives."""
        return [e for v in self.steps[node].outputs for e in self.network.consumers(v)]

    def _wrong_before(self, node: str) -> bool:
        """Whether a gradient that this node passes something on to is wrong."""
        before, todo = set(), [node]
        while todo:
            for name in self._inputs(todo.pop()):
                todo += [name] if name not in before else []
                before.add(name)
        gradients = [q for q in self.found if q.is_gradient and self.wrong(q)]
        return any(self._at(q) in before for q in gradients)

    def _walk(self, edges: Iterable[Edge], found: Suspects) -> None:
        """Along the uses of a value, up to where what arrives is right."""
        todo, seen = list(edges), set()
        while todo:
            edge = todo.pop()
            node, use = edge.target.partition("[")[0], self._use(edge)
            if edge in seen:
                continue
            seen.add(edge)
            if self.right_from_the_loss_on(use):  # one of several: all beyond it is right as well
                continue
            found.passed.append(node)
            cleared = self.right(use) and use not in self.whole  # judged on what it was given
            if not cleared:
                found.nodes.append(node)
                found.ask += [*self._values(node), Quantity.grad(node), self._asked(edge)]
            if node != DIV and self._arrives_right(node):
                found.right.append(node)
                found.back += [] if cleared else [node]
            elif node != DIV:
                todo += self._uses_of_node(node)

    def _forward(self, q: Quantity) -> Suspects:
        """Along what a value is made of."""
        start = DIV if q == ERR else self.maker.get(q.name, q.name)
        found, todo = Suspects(), [start]
        values = {start: q}  # which may be a state of the node
        if q == ERR and self.right(Quantity(DIV)):
            return Suspects(nodes=[DIV], passed=[DIV], right=[DIV])
        while todo:
            node = todo.pop()
            if node in found.passed:
                continue
            found.passed.append(node)
            if not self.right(values.get(node, Quantity.value(node))):
                found.nodes.append(node)
                found.ask += self._values(node)
            for name in self._inputs(node):
                if self.right_from_the_loss_on(Quantity.value(name)):
                    found.right.append(name)
                else:
                    todo.append(name)
        return found

    def _inputs(self, node: str) -> list[str]:
        return list(dict.fromkeys(self.maker[name] for name in self._taken(node)))

    def _taken(self, node: str) -> list[str]:
        """The values that a node takes from others."""
        given = (self.network.output,) if node == DIV else self.steps[node].inputs
        return [name for name in given if name in self.maker]

    def _values(self, node: str) -> list[Quantity]:
        return [Quantity.value(name) for name in self._taken(node)]

    def _asked(self, edge: Edge) -> Quantity:
        alone = len(self.network.consumers(edge.source)) == 1
        return Quantity.grad(edge.source) if alone else Quantity.through(*edge)

    def _in_order(self, found: Suspects) -> Suspects:
        """Everything once: nodes the nearest to the loss first, and no result twice."""
        for names in (found.nodes, found.passed, found.right, found.back):
            names[:] = sorted(set(names), key=self.order.index, reverse=True)
        no_result = {Quantity.grad(DIV), *self.found}
        turned = self.network.turned
        found.ask = [
            q
            for q in dict.fromkeys(found.ask)
            if q not in no_result and q.name not in turned and q.target not in turned
        ]
        return found

    # --- in words -------------------------------------------------------------------------------

    def told(self, f: Finding) -> Finding:
        """A mismatch that was judged from end to end, with one sentence on where to look."""
        found = self.suspects(f.quantity)
        before = behind = self._nearer(f.quantity, found)
        if before:
            behind = f"the fault behind {before}"
        elif f.quantity.is_gradient and DIV in found.passed:
            values = [q for q in self.found if not q.is_gradient and self.wrong(q)]
            before = behind = next(iter(values), "")
        if before:
            said = f"{FOLLOWS} {behind}, or is wrong itself"
        else:
            said = self._look(f.quantity, found) + self._to_return(f.quantity, found)
        note = "; ".join(filter(None, (f.note, f"judged from end to end: {said}")))
        return replace(f, note=note, follows=before)

    def _nearer(self, q: Quantity, found: Suspects) -> str:
        """A wrong result that this one is made of, the one furthest on the way; "" if none is."""
        here = self._at(q)
        wrong = [o for o in self.found if self.wrong(o) and o.is_gradient == q.is_gradient]
        on_the_way = [o for o in wrong if self._at(o) != here and self._at(o) in found.passed]
        if on_the_way:
            furthest = max if q.is_gradient else min
            return furthest(on_the_way, key=lambda o: self.order.index(self._at(o)))
        if q.target or found.right == found.nodes == [here]:
            return ""
        same = [o for o in wrong if self._at(o) == here]
        first = min(same, key=lambda o: (o.target is None, o in self.owner, o == ERR))
        return first if first != q else ""

    def _at(self, q: Quantity) -> str:
        """The node whose value or arriving gradient a result is, or is made of."""
        return self.owner.get(q, self.maker.get(q.name, DIV if q == ERR else q.name))

    def _look(self, q: Quantity, found: Suspects) -> str:
        right = _listed([repr(name) for name in found.right])
        what = "gradient{} at" if q.is_gradient else "value{} of"
        plural = len(found.right) > 1
        verb = "are" if plural else "is"
        known = f"the {what.format('s' * plural)} {right} {verb} right, so " if right else ""
        if q.is_gradient and found.right == found.nodes:
            return f"{known}check the formula of {q}"
        if len(found.nodes) > FEW:
            own = [name for name in found.nodes if name not in self.network.turned]
            places = f"the {len(own)} nodes from {own[-1]!r} to {own[0]!r}"
        else:
            names = {name: repr(name) for name in found.nodes}
            names |= {name: f"the backward pass of {name!r}" for name in found.back}
            names |= {t: f"the transpose of {p!r}" for t, p in self.network.turned.items()}
            places = _listed([names[name] for name in found.nodes])
        if self._forward_unknown(q, found):
            places += ", or the forward pass"
        return f"{known}check {places}"

    def _forward_unknown(self, q: Quantity, found: Suspects) -> bool:
        known = map(Quantity.value, (ERR, DIV, self.network.output))
        return q.is_gradient and DIV in found.passed and not any(map(self.right, known))

    def _to_return(self, q: Quantity, found: Suspects) -> str:
        ask = [Quantity(ERR)] * (self._forward_unknown(q, found) and ERR not in self.found)
        ask += sorted(found.ask, key=lambda name: name.is_gradient)
        if not ask:
            return ""
        names = ", ".join(f'"{name}"' for name in ask)
        if len(ask) > FEW:
            names = 'the "value ..." and "grad ..." of these nodes'
        return f"; return {names} to locate the fault"


def _listed(names: Sequence[str]) -> str:
    """Join names by commas, the last one by "and".

    >>> _listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
