"""One mistake at one node that explains all results which were judged from end to end.

Each mistake of the catalogue is made at each node of the network, and what follows from it is
computed: it explains the results if it gives all of them, the right ones as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import total
from ...core.formulas.divergences import Divergence
from ...core.network.backprop import backprop
from ...core.network.case import Case
from ...core.network.network import Network
from ...core.network.nodes import Edge
from ...core.network.quantity import Quantity, by_quantity
from ...core.network.trace import Trace
from ..measure.measured import Measured
from .alternatives import with_network
from .arguments import complements
from .fault_sites import FaultSite, fault_sites, if_other, mistaken
from .mistakes import lost_uses
from .replay import replay
from .samples import weights_of_samples

__all__ = ["KNOWN", "exchanged", "whole_mistakes"]

#: How the notes begin that say where and why.
KNOWN = (
    "exactly what this mistake gives, made ",
    "exchanged: ",
    "the samples are weighed otherwise: ",
    "its uses are summed otherwise: ",
)
#: In larger networks the search would take longer than the judgement.
NODES = 60
#: How many bounds the explanation may leave, and how many roundings of the tensor's largest.
ROOM, FEW = 4.0, 64.0


def whole_mistakes(case: Case, measured: Mapping[Quantity, Measured]) -> dict[Quantity, str]:
    """Explain the wrong results in words, by quantity; the dict is empty if nothing fits.

    Parameters
    ----------
    case : the case, in the precision of the results.
    measured : every result, with its error and bound.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 4), Tanh(), Affine(4, 2)], L2()), batch=8)
    >>> trace = backprop(case)
    >>> dz = trace.grad["y1"] * (1 - trace.value["z1"] ** 2)
    >>> wrong = {"grad W1": case.x.T @ dz, "grad b1": dz.sum(0)}
    >>> measured = {Quantity(q): Measured(a, trace.grad[q[5:]], np.abs(a - trace.grad[q[5:]]),
    ...                                   np.full(a.shape, 1e-14)) for q, a in wrong.items()}
    >>> whole_mistakes(case, measured)["grad W1"]
    "exactly what this mistake gives, made at node 'y1': input and output exchanged"
    """
    wrong = [q for q, m in measured.items() if m.off and np.isfinite(m.got).all()]
    if not wrong or len(case.network.steps) > NODES:
        return {}
    exact = case if case.precision.name == "float64" else case.astype("float64")
    with np.errstate(all="ignore"):
        trace = backprop(exact)
    alone = dict(exchanged(measured, wrong, case.precision.unit))
    alone |= {q: said for q, said in _lost(exact, trace, measured, wrong) if q not in alone}
    if len(alone) == len(wrong):
        return alone
    found = list(_explaining(exact, trace, measured, case.precision.unit))[:2]
    if found:
        return dict.fromkeys(wrong, f"{KNOWN[0]}{', or '.join(found)}")
    other = _other_number(exact, measured, case.precision.unit)
    if other:
        return dict.fromkeys(wrong, other)
    weights = weights_of_samples(case, measured)
    if weights:
        of_parameters = [q for q in wrong if q.is_gradient_by(case.network.trained)]
        return dict.fromkeys(of_parameters, f"{KNOWN[2]}{weights}")
    return alone


def _lost(
    case: Case, trace: Trace, measured: Mapping[Quantity, Measured], wrong: list[Quantity]
) -> Iterator[tuple[Quantity, str]]:
    """Sums over several uses of which some are missing, such as time steps."""
    for q in wrong:
        if q.is_gradient and q.target is None and len(case.network.consumers(q.name)) > 1:
            said = lost_uses(case, trace, q.name, measured[q].got, measured[q].bound)
            if said:
                yield q, f"{KNOWN[3]}{said}"


def exchanged(
    measured: Mapping[Quantity, Measured], wrong: list[Quantity], unit: float
) -> Iterator[tuple[Quantity, str]]:
    """Gradients of one shape that were taken for each other."""
    for a, b in combinations(wrong, 2):
        m, n = measured[a], measured[b]
        same = a.is_gradient and b.is_gradient and m.got.shape == n.got.shape
        if same and _is(m, n.want, unit) and _is(n, m.want, unit):
            said = f"{KNOWN[1]}{a} and {b}"
            yield a, said
            yield b, said


def _explaining(
    case: Case, trace: Trace, measured: Mapping[Quantity, Measured], unit: float
) -> Iterator[str]:
    """The mistakes, each with its node, those at the nodes nearest to the loss first."""
    wrong = {q for q, m in measured.items() if m.off}
    right = {q for q, m in measured.items() if not m.off and not m.vacuous}
    upstream = _upstream(case.network)
    with np.errstate(all="ignore"):
        for site in reversed(fault_sites(case)):
            source = site.key.source if isinstance(site.key, Edge) else site.key
            reached = {site.quantity} | upstream(str(source))
            if not wrong <= reached or right & reached:
                continue
            for name, array in _mistakes(case, trace, site):
                if array is None:
                    continue
                given = by_quantity(replay(case, trace, site, array))
                if all(_is(m, given.get(q), unit) for q, m in measured.items()):
                    yield f"at node {site.node!r}: {name}"


def _other_number(case: Case, measured: Mapping[Quantity, Measured], unit: float) -> str:
    """The number of the loss that explains all results where it is taken from 1; or ""."""
    divergence = case.network.divergence
    for words, other in () if divergence is None else complements(divergence):
        assert isinstance(other, Divergence)
        with np.errstate(all="ignore"):
            given = by_quantity(backprop(with_network(case, other)))
        if all(_is(m, given.get(q), unit) for q, m in measured.items()):
            return words
    return ""


def _upstream(network: Network) -> Callable[[str], frozenset[Quantity]]:
    """The gradients that a wrong gradient of a value makes wrong too, by the name of the value."""
    maker = {name: step for step in network.body for name in step.values}

    @cache
    def found(name: str) -> frozenset[Quantity]:
        reached = {Quantity.grad(name)}
        for edge in (e for e in maker[name].edges if e) if name in maker else ():
            reached |= {Quantity.use(network, edge)} | found(edge.source)
        return frozenset(reached)

    return found


def _mistakes(case: Case, trace: Trace, site: FaultSite) -> Iterator[tuple[str, Any]]:
    """Wrong derivations of a formula, and a use that is left out of a sum."""
    yield from mistaken(case, trace, site)
    if site.kind != "sum":
        return
    edges = [e for e in case.network.consumers(site.key) if e in trace.edge_grad]
    uses = [trace.edge_grad[e] for e in edges]
    for i, edge in enumerate(edges if len(uses) > 1 else ()):
        rest = total([*uses[:i], *uses[i + 1 :]])
        lost = f"the gradient of {site.key} through {edge.target!r} left out"
        yield lost, if_other(rest, trace.grad[site.key])


def _is(m: Measured, other: Any, unit: float) -> bool:
    """Whether a result is this, within its bound."""
    if other is None:
        return False
    want = np.asarray(other, np.float64)
    room = ROOM * m.bound + FEW * unit * np.abs(want).max(initial=0.0)
    return bool(want.shape == m.got.shape and np.all(np.abs(m.got - want) <= room))
