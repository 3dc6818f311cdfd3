"""The evidence can be produced: tiny counts of what `python -m benchmarks.evidence` counts."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("jax")

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "explanation" / "evidence.md"
SECTIONS = ("faults", "alarms", "cost")


@pytest.fixture(scope="module", autouse=True)
def _benchmarks_importable():
    sys.path.insert(0, str(ROOT))
    yield
    sys.path.remove(str(ROOT))


@pytest.fixture(scope="module")
def planted():
    from benchmarks.evidence import faults

    some = [next(faults.cases(1, [kind], [1.0])) for kind in ("small", "exact kinks", "DAG")]
    return faults.measure(some, ends=["small"])


#: Kind -> triples: implementations (orders of summation) times dtypes.
TRIPLES = {"scaled": 3 * 4, "summation order": 5 * 2, "small": 3 * 2, "exact kinks": 3 * 2}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("scaled", "summation order", "small"), id="sample"),
        pytest.param(tuple(TRIPLES), id="all", marks=pytest.mark.slow),
    ],
)
def alarms(request):
    from benchmarks.evidence import alarms

    kinds = request.param
    counted = alarms.measure({kind: (1, 1, int(kind == "small")) for kind in kinds}, first=1000)
    return counted, sum(TRIPLES[kind] for kind in kinds)


def test_every_fault_is_planted_in_either_dtype(planted):
    from benchmarks.evidence import faults
    from benchmarks.evidence import planted as catalogue

    for dtype in faults.DTYPES:
        tally = planted.by_fault[dtype]
        assert all(tally.judged("node by node", fault) for fault in catalogue.FAULTS)
        for checker in ("node by node", "assert_close", "allclose"):
            by_scale = planted.by_scale[dtype].judged(checker)
            assert tally.judged(checker) == by_scale == tally.judged("node by node")


def test_every_checker_is_asked(planted):
    from benchmarks.evidence import checkers

    double = planted.by_fault["float64"]
    wanted = [c for c in checkers.CHECKERS if checkers.AGAINST.get(c, True)]
    assert all(double.judged(checker) for checker in wanted)


def test_node_by_node_catches_nearly_all_and_never_the_right_one(planted):
    from benchmarks.evidence.checkers import WRONG

    for dtype, least in (("float64", 0.99), ("float32", 0.95)):
        tally = planted.by_fault[dtype]
        caught, of = tally.of("node by node", WRONG), tally.judged("node by node")
        assert caught >= least * of, (dtype, caught, of)
        assert planted.right[dtype].judged("node by node") > 0
        assert planted.right[dtype].of("node by node", WRONG) == 0


def test_no_false_alarm_and_every_triple_is_counted(alarms):
    counted, triples = alarms
    assert not counted.alarms
    assert counted.triples() == triples == sum(counted.by_run.values())
    assert not [key for key in counted.low if key[2] == "not finite, passed"]


def test_the_plans_have_every_kind():
    from benchmarks.evidence import alarms, networks

    assert set(alarms.FULL) == set(alarms.QUICK) == set(networks.KINDS)
    assert all(n and m for n, m, _ in alarms.FULL.values())
    dtypes = {"scaled": 4}
    runs = {"summation order": 5}
    triples = [n * m * dtypes.get(k, 2) * runs.get(k, 3) for k, (n, m, _) in alarms.FULL.items()]
    assert sum(triples) >= 10_000


@pytest.mark.parametrize("order", ["positive terms first", "largest first", "reversed"])
def test_an_order_is_a_right_sum(order):
    from benchmarks.evidence import networks, orders

    from gradparity.core import backprop

    case = networks.case_of(networks.architecture("small", 0), 0).astype("float64")
    got, want = orders.summing(order)(case), backprop(case)
    for name in case.params:
        np.testing.assert_allclose(got.grad[name], want.grad[name], rtol=1e-9, atol=1e-12)


def test_cost_is_a_multiple_of_one_pass():
    from benchmarks.evidence import cost

    calls = cost.contestants(cost._case((3, 2), 4, "float64"), differences=False)
    found = cost.measure(calls, turns=1)
    assert found[cost.UNIT] == 1
    assert set(found) == set(calls)


def test_tables_are_written_between_their_markers(tmp_path):
    from benchmarks.evidence.tables import markdown, write

    path = tmp_path / "evidence.md"
    path.write_text(
        "a\n<!-- evidence:cost -->\nold\n<!-- /evidence:cost -->\nb\n", encoding="utf-8"
    )
    write(path, "cost", markdown(["x", "n"], [["y", 1]]))
    text = path.read_text(encoding="utf-8")
    assert "old" not in text
    assert text.startswith("a\n<!-- evidence:cost -->\n| x | n |")
    assert text.endswith("| y | 1 |\n<!-- /evidence:cost -->\nb\n")
    with pytest.raises(ValueError, match="no section"):
        write(path, "faults", "")


def test_the_document_has_a_section_and_a_command_for_each_table():
    text = DOCUMENT.read_text(encoding="utf-8")
    for what in SECTIONS:
        inside = re.search(
            f"<!-- evidence:{what} -->(.*?)<!-- /evidence:{what} -->", text, re.DOTALL
        )
        assert inside, what
        assert "| --- |" in inside[1], f"no table of {what}"
        assert f"python -m benchmarks.evidence {what}" in text
    assert "python -m benchmarks.evidence all --write docs/explanation/evidence.md" in text
