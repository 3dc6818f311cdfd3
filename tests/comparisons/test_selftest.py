"""The tester of the tester: it tells a judge that sees from one that does not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gradparity.comparisons import Verdict, judge
from gradparity.comparisons.cases.suite import LOSSES, OPS, gated
from gradparity.comparisons.cases.vocabulary import VOCABULARY
from gradparity.comparisons.cases.vocabulary.layers import CASES as LAYERS
from gradparity.comparisons.cases.vocabulary.shaped import SHAPED
from gradparity.comparisons.explain.derivations import BACKWARD, GRADIENTS
from gradparity.comparisons.explain.fault_sites import fault_sites, quantity
from gradparity.comparisons.explain.faults import ARRAY, Place, nudged
from gradparity.comparisons.explain.replay import mutants, plant, replay
from gradparity.comparisons.findings.finding import Finding
from gradparity.comparisons.selftest.as_text import SCHEMA
from gradparity.comparisons.selftest.networks import builtin_subjects
from gradparity.comparisons.selftest.results import SelfTest
from gradparity.comparisons.selftest.run import selftest
from gradparity.core import L2, Affine, Case, LinearLoss, ReLU, Tanh, backprop, layered

DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "selftest.md"


def smooth_case(**other) -> Case:
    return Case.random(layered([Affine(4, 4), Tanh()], L2()), batch=4, **other)


# The judge as it is -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_the_core() -> SelfTest:
    """The self-test of a small network, which nothing is wrong with."""
    return selftest(smooth_case(), backprop)


DTYPES = ["float64", "float32"]
FAULTS = {*ARRAY, *BACKWARD, *GRADIENTS, "a use left out"}


def assert_all_caught(found: SelfTest, more_than: int) -> None:
    """Every fault that was planted was noticed, and found at its place."""
    assert found.exit_code == 0, str(found)
    assert found
    caught = [r for r in found.results if r.caught]
    assert len(caught) > more_than
    assert all(r.named_rightly for r in caught)


@pytest.mark.slow
def test_every_fault_in_every_op_and_divergence_is_caught_at_its_place():
    found = selftest(None, backprop, dtypes=["float64"])
    assert_all_caught(found, 2000)
    assert {r.fault for r in found.results if r.caught} == FAULTS


@pytest.mark.sample(1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_faults_in_a_sample_of_ops_are_caught_at_their_place(dtype, monkeypatch):
    """In one op or divergence of 24, others in float32; the slow tests have all of them."""
    subjects = [s for s in builtin_subjects() if s.name.startswith(("op-", "loss-"))]
    some = subjects[DTYPES.index(dtype) * 12 :: 24]
    run = sys.modules[selftest.__module__]
    monkeypatch.setattr(run, "builtin_subjects", lambda seed: some)
    assert_all_caught(selftest(None, backprop, dtypes=[dtype]), 75)


@pytest.mark.slow
def test_every_fault_in_every_op_and_divergence_is_caught_in_float32():
    found = selftest(None, backprop, dtypes=["float32"])
    assert_all_caught(found, 2000)
    assert {r.fault for r in found.results if r.caught} >= FAULTS - {"through float32"}


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", ["attention-bias", "attention-mask", "attention-scaled"])
def test_the_cases_of_attention_hide_no_fault(name):
    case = {**SHAPED, **VOCABULARY}[name].case()
    assert_all_caught(selftest(case, backprop), 300)


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_sequences_hide_no_fault(monkeypatch, name):
    some = [s for s in builtin_subjects() if s.name == f"op-{name}"]
    run = sys.modules[selftest.__module__]
    monkeypatch.setattr(run, "builtin_subjects", lambda seed: some)
    assert_all_caught(selftest(None, backprop), 120)


def test_every_op_and_divergence_is_a_subject():
    names = {subject.name for subject in builtin_subjects()}
    assert {f"op-{name}" for name in OPS} | {f"loss-{name}" for name in LOSSES} <= names


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_random_numbers_catch_them_too(seed):
    assert selftest(None, backprop, seed=seed).exit_code == 0


@pytest.mark.slow
def test_every_fault_in_every_installed_adapter_is_caught():
    found = selftest()
    assert found.exit_code == 0, str(found)
    assert "numpy" in {r.adapter for r in found.results}


@pytest.mark.sample(1)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_faults_in_the_trace_of_a_framework_are_caught(dtype):
    pytest.importorskip("torch")
    found = selftest(smooth_case(), "torch", dtypes=[dtype])
    assert found.exit_code == 0, str(found)
    assert {r.dtype for r in found.results} == {dtype}


# A judge that is blind --------------------------------------------------------------------------


def test_a_blind_judge_fails(monkeypatch):
    clean: dict[str, list[Finding]] = {}

    def all_rounding(case, trace, float64=None, **how):
        """Findings of the first trace in each dtype, all of them right, whatever comes later."""
        if case.precision.name not in clean:
            clean[case.precision.name] = judge(case, trace, float64, **how)
        return [replace(f, verdict=Verdict.ROUNDING) for f in clean[case.precision.name]]

    monkeypatch.setattr(sys.modules[selftest.__module__], "judge", all_rounding)
    found = selftest(smooth_case(), backprop)
    assert found.exit_code == 1
    assert not found
    assert not any(r.caught for r in found.results)
    assert {r.fault for r in found.survivors} > {"wrong sign", "one element NaN", "stale gradient"}
    assert "SURVIVED" in str(found)


def test_a_judge_that_is_blind_in_one_place_fails_there_alone(monkeypatch):
    def blind_to_b1(case, trace, float64=None, **how):
        findings = judge(case, trace, float64, **how)
        return [replace(f, verdict=Verdict.ROUNDING) if f.quantity == "grad b1" else f
                for f in findings]  # fmt: skip

    monkeypatch.setattr(sys.modules[selftest.__module__], "judge", blind_to_b1)
    found = selftest(smooth_case(), backprop, dtypes=["float64"])
    assert found.exit_code == 1
    assert {r.quantity for r in found.survivors} == {"grad b1"}


def test_a_judge_that_accuses_the_wrong_place_is_told(monkeypatch):
    def elsewhere(case, trace, float64=None, **how):
        return [replace(f, node="z1") for f in judge(case, trace, float64, **how)]

    monkeypatch.setattr(sys.modules[selftest.__module__], "judge", elsewhere)
    found = selftest(smooth_case(), backprop, dtypes=["float64"])
    assert all(r.named_rightly == (r.node == "z1") for r in found.results if r.caught)


def test_an_accusation_without_a_fault_is_told():
    def wrong(case):
        trace = backprop(case)
        trace.grad["W1"] = 3 * trace.grad["W1"]
        return trace

    found = selftest(smooth_case(), wrong, dtypes=["float64"])
    assert found.exit_code == 1
    assert len(found.alarms) == 1
    assert "grad W1" in found.alarms[0]
    assert "grad W1" not in {r.quantity for r in found.results}  # a fault beside a fault
    assert "ACCUSED WITHOUT A FAULT" in str(found)


# Equivalent mutants and survivors ---------------------------------------------------------------


def test_float32_through_float32_is_equivalent(of_the_core):
    found = of_the_core
    same = [r for r in found.results if r.fault == "through float32" and r.dtype == "float32"]
    assert same
    assert all(r.equivalent and not r.caught and not r.survived for r in same)
    assert found.exit_code == 0


def dead() -> Case:
    """A layer of ReLUs that are all below zero: nothing comes through."""
    network = layered([Affine(3, 4), ReLU(), Affine(4, 2)], L2())
    case = Case.random(network, batch=5, seed=1)
    params = {**case.params, "b1": np.full(4, -100.0)}
    return Case(network, params, case.x, case.d, "dead")


def test_on_a_dead_layer_faults_survive_and_the_reason_is_told():
    found = selftest(dead(), backprop, dtypes=["float64"])
    assert found.exit_code == 1
    lost = [r for r in found.survivors if r.quantity == "grad W1"]
    assert {"doubled", "wrong sign", "one element off"} <= {r.fault for r in lost}
    assert all("zero there" in r.note for r in lost)
    assert any(r.caught for r in found.results)  # the layer above is alive
    assert "zero there" in str(found)


def test_a_kink_that_the_numbers_do_not_meet_is_told():
    case = Case.random(layered([Affine(3, 4), ReLU()], L2()), batch=5)
    found = selftest(case, backprop, dtypes=["float64"])
    (kink,) = [r for r in found.results if r.fault == "wrong weight at a kink"]
    assert kink.survived
    assert "no element is exactly at a kink" in kink.note


def test_below_the_bound_is_told_with_both_numbers():
    network = layered([Affine(2000, 1)], LinearLoss())
    case = Case.random(network, batch=1, seed=0)
    x = np.where(np.arange(2000) % 2, -case.x, case.x)
    params = {**case.params, "W1": np.ones((2000, 1))}
    x[0, -1] -= x.sum() - 1e-9  # what is left of the sum is born of cancellation
    found = selftest(Case(network, params, x, case.d), backprop, dtypes=["float64"])
    (hidden,) = [
        r for r in found.survivors if (r.quantity, r.fault) == ("value z1", "one element off")
    ]
    assert "below its own bound" in hidden.note or "within the bound there" in hidden.note


# Planting ---------------------------------------------------------------------------------------


@pytest.mark.sample(15)
@pytest.mark.parametrize("index", range(len(fault_sites(gated()))))
def test_a_replayed_trace_is_wrong_in_one_place_alone(index):
    case = gated()
    trace, site = backprop(case), fault_sites(case)[index]
    wrong = replay(case, trace, site, 1.5 * quantity(trace, site))
    bad = {(f.node, f.quantity) for f in judge(case, wrong) if f.verdict.parity is False}
    assert (site.node, site.quantity) in bad
    assert {node for node, _ in bad} == {site.node}


def test_replaying_what_was_there_changes_nothing_but_rounding():
    case = gated()
    trace = backprop(case)
    for site in fault_sites(case):
        again = replay(case, trace, site, quantity(trace, site))
        for other in fault_sites(case):
            np.testing.assert_allclose(
                quantity(again, other), quantity(trace, other), rtol=1e-12, atol=1e-14
            )


def test_a_planted_fault_leaves_the_trace_it_was_planted_in():
    case = smooth_case()
    trace = backprop(case)
    before = trace.grad["W1"].copy()
    site = next(s for s in fault_sites(case) if s.quantity == "grad W1")
    assert plant(case, trace, site, "doubled") is not None
    assert np.array_equal(trace.grad["W1"], before)
    assert plant(case, trace, site, "no such fault") is None


@pytest.mark.parametrize("fault", ARRAY)
def test_a_fault_keeps_the_shape(fault):
    for shape in ((), (3,), (4, 4), (2, 5)):
        g = np.random.default_rng(0).standard_normal(shape)
        wrong = ARRAY[fault](g, Place(7, np.ones(shape, bool)))
        assert wrong is None or wrong.shape == shape


def test_a_nudge_is_of_the_size_asked_for():
    for dtype, step in ((np.float64, 1e-11), (np.float32, 2e-5)):
        g = np.array([0.5, -2.0, 1.0], dtype)
        moved = nudged(g)
        assert moved.dtype == dtype
        assert (moved != g).tolist() == [False, True, False]
        assert abs(moved[1] / g[1] - 1) == pytest.approx(step, rel=0.02)


def test_in_float32_a_nudge_is_larger_where_several_ops_lie_inside():
    for dtype, step in ((np.float64, 1e-11), (np.float32, 6e-5)):
        g = np.array([0.5, -2.0, 1.0], dtype)
        assert nudged(g, ops_inside=3)[1] / g[1] - 1 == pytest.approx(step, rel=0.02)


def test_the_nudge_of_a_layer_has_the_size_of_its_op():
    case = VOCABULARY["multi-head"].case().astype("float32")
    trace = backprop(case)
    sites = {s.kind: s for s in fault_sites(case) if s.node == "y1"}
    for kind, step in (("value", 6e-5), ("parameter", 6e-5), ("sum", 2e-5)):
        right = quantity(trace, sites[kind])
        wrong = dict(mutants(case, trace, sites[kind]))["one element off"]
        assert np.max(wrong / right - 1) == pytest.approx(step, rel=0.05), kind


def test_a_nudge_keeps_away_from_kinks():
    case = Case(layered([ReLU()], LinearLoss()), {}, np.array([[0.0, 1.0]]), np.array([[9.0, 1]]))
    trace = backprop(case)
    (edge,) = [s for s in fault_sites(case) if s.quantity == "grad x -> y1"]
    wrong = dict(mutants(case, trace, edge))["one element off"]
    assert (wrong != trace.edge_grad[edge.key]).tolist() == [[False, True]]


# What is given and what comes out ---------------------------------------------------------------


def test_nothing_planted_is_unknown():
    assert selftest([], backprop).exit_code == 2
    assert str(SelfTest(())).endswith("UNKNOWN  nothing was planted")


def test_refusals():
    with pytest.raises(ValueError, match="float16"):
        selftest(smooth_case(), backprop, dtypes=["float16"])
    with pytest.raises(TypeError, match="Case or a Network"):
        selftest(5, backprop)
    with pytest.raises(TypeError, match="implementation"):
        selftest(smooth_case(), 5)
    with pytest.raises(TypeError, match="return a Trace"):
        selftest(smooth_case(), lambda case: None)


def test_the_table_fits_and_the_json_is_versioned(of_the_core):
    found = of_the_core
    table = str(found).split("planted in")[0]
    assert max(map(len, table.splitlines())) <= 80
    document = json.loads(found.to_json())
    assert document["schema"] == SCHEMA == "gradparity/selftest/1"
    assert len(document["results"]) == len(found.results)
    assert document["caught"] == document["planted"] > 100


def test_importing_it_imports_no_framework():
    code = (
        "import sys, gradparity.comparisons.selftest.run;"
        "print(sorted({'torch', 'jax', 'click'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_documentation_shows_every_row_of_the_table():
    _, _, rest = DOCS.read_text(encoding="utf-8").partition("<!-- begin: gradparity selftest -->")
    shown, end, _ = rest.partition("<!-- end: gradparity selftest -->")
    assert end
    lines = shown.splitlines()
    for row in ("fault", *ARRAY, *BACKWARD, *GRADIENTS, "planted in", "numpy", "jax"):
        assert any(line.startswith(row[:28]) for line in lines), row
    counts = [word.split("/") for line in lines for word in line.split() if word.count("/") == 1]
    assert counts
    assert all(a == b for a, b in counts if a.isdigit() and b.isdigit())
