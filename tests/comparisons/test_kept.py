"""References kept for many traces of one case give the findings that new ones give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradparity.comparisons import judge
from gradparity.comparisons.cases.suite import gated
from gradparity.comparisons.cases.vocabulary import VOCABULARY
from gradparity.comparisons.cases.vocabulary.shaped import SHAPED
from gradparity.comparisons.explain.fault_sites import fault_sites
from gradparity.comparisons.explain.replay import mutants, replay
from gradparity.comparisons.measure.at_node import reference_at_node
from gradparity.comparisons.measure.kept import KeptReferences
from gradparity.comparisons.measure.levels import roundings
from gradparity.core import L2, Affine, Case, LinearLoss, Tanh, backprop, layered
from gradparity.core.arithmetic.rounding import Forms

CASES = {
    "random": lambda: VOCABULARY["dropout"].case(),
    "gated": gated,
    "kinks": lambda: SHAPED["maximum"].case(),
    "states": lambda: SHAPED["batch-norm"].case(),
    "two outputs": lambda: SHAPED["lstm-cell"].case(),
    "usual forms": lambda: Case.random(layered([Affine(3, 3), Tanh()], L2()), batch=4),
}
FAULTS = ("one element off", "one element NaN")


@pytest.mark.sample(6)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_kept_references_give_the_same_findings_for_every_fault(name, dtype):
    case = CASES[name]().astype(dtype)
    trace, kept = backprop(case), KeptReferences()
    planted = [trace] + [
        replay(case, trace, site, wrong)
        for site in fault_sites(case)
        for fault, wrong in mutants(case, trace, site)
        if wrong is not None and fault in FAULTS
    ]
    assert len(planted) > 10
    for each in planted:
        given = judge(case, each, explain=False, kept=kept)
        assert repr(given) == repr(judge(case, each, explain=False))


def test_a_node_is_evaluated_again_only_where_its_own_inputs_changed(monkeypatch):
    case = Case.random(layered([Affine(3, 3), Tanh()], L2()), batch=4)
    trace, kept, evaluated = backprop(case), KeptReferences(), []

    def counted(step, *args):
        evaluated.append(step.name)
        return reference_at_node(step, *args)

    monkeypatch.setattr("gradparity.comparisons.measure.kept.reference_at_node", counted)
    sharp, nodes = roundings(case.precision)[0], list(case.network.body)
    wrong = {}
    for kind in ("parameter", "value"):
        site = next(s for s in fault_sites(case) if s.kind == kind and s.node == nodes[0].name)
        array = dict(mutants(case, trace, site))["wrong sign"]
        wrong[kind] = array, replay(case, trace, site, array)
    for each in (trace, wrong["parameter"][1]):
        found = [e for step in nodes for e in kept.at_node(step, case, each, sharp)]
    assert evaluated == [step.name for step in nodes]
    assert any(e.got is wrong["parameter"][0] for e in found)
    kept.at_node(nodes[1], case, wrong["value"][1], sharp)  # it takes that value
    assert evaluated[2:] == [nodes[1].name]


def test_a_form_of_the_own_output_is_evaluated_again_for_another_output():
    case = Case.random(layered([Affine(3, 3), Tanh()], LinearLoss()), batch=4)
    trace, kept = backprop(case), KeptReferences()
    step = case.network.body[-1]
    other = replace(trace, value={**trace.value, step.name: 2 * trace.value[step.name]})
    own = replace(roundings(case.precision)[0], forms=Forms(own_output=True))
    for each in (trace, other):
        given, new = (at(step, case, each, own) for at in (kept.at_node, reference_at_node))
        assert [e.quantity for e in given] == [e.quantity for e in new]
        for a, b in zip(given, new, strict=True):
            assert np.array_equal(a.want.value, b.want.value)
