"""The built-in suite: complete, telling, and at parity in PyTorch and JAX."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gradparity import core
from gradparity.comparisons import Verdict, compare
from gradparity.comparisons.cases.suite import LOSSES, OPS, builtin_cases
from gradparity.comparisons.check.check import check
from gradparity.comparisons.report.change_records import Kind

BUILTIN = builtin_cases()
FRAMEWORKS = ("torch", "jax")


def test_every_op_and_divergence_of_the_core_is_in_the_suite():
    abstract = {core.Op, core.Activation, core.Kinked, core.Compound, core.Divergence}
    abstract |= {core.Movement, core.Windows}  # windows are a part of convolutions and pooling
    public = {thing for name in core.__all__ if isinstance(thing := getattr(core, name), type)}
    kinds = {
        t
        for t in public
        if isinstance(t, type)
        and issubclass(t, core.Op | core.Compound | core.Divergence)
        and t not in abstract
    }
    used = {type(d) for d, _, _ in LOSSES.values()}
    for builtin in BUILTIN.values():
        case = builtin.make()
        used |= {type(step.op) for step in case.network.steps} | {type(case.network.divergence)}
    used |= {type(op) for op, _ in OPS.values()}
    assert kinds <= used


def test_the_points_are_met_exactly():
    x = BUILTIN["op-hardtanh"].make().x
    assert {0.0, 1.0, -1.0, 300.0, -300.0} <= set(x.ravel())
    assert np.signbit(x[x == 0]).any()
    assert not np.signbit(x[x == 0]).all()
    assert BUILTIN["net-relu"].make().T == 1


#: JAX compiles every case: one in so many is a sample.
SAMPLE = 16

#: Cases with kinks, at which frameworks choose differently; they are in every sample.
KINKED = ("op-hardtanh", "op-minimum", "op-relu-maximum")


@cache
def report_of(adapter, every=1):
    names = dict.fromkeys((*list(BUILTIN)[::every], *KINKED))
    return check([BUILTIN[name].make() for name in names], adapter)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("adapter", "every"),
    [
        ("torch", 4),
        ("jax", SAMPLE),
        *(pytest.param(a, 1, marks=pytest.mark.slow) for a in FRAMEWORKS),
    ],
)
def test_the_suite_is_at_parity(adapter, every):
    """A sample by default; `gradparity check` has all, and .ci/run runs it."""
    pytest.importorskip("sklearn")
    pytest.importorskip(adapter)
    report = report_of(adapter, every)
    assert report.exit_code == 0, str(report)
    kinks = [f for _, f in report.findings() if f.kinks]
    assert len(kinks) > 20 / every
    assert {f.verdict for _, f in report.findings()} >= {
        Verdict.EXACT,
        Verdict.ROUNDING,
        Verdict.SUBGRADIENT,
    }


def test_a_framework_that_took_over_differs_at_kinks_alone():
    """The strongest upgrade there is: another framework.  All that is no choice is rounding."""
    for name in ("sklearn", "torch", "jax"):
        pytest.importorskip(name)
    before, after = (
        replace(
            report,
            runs=tuple(
                replace(run, adapter="framework")
                for run in report.runs
                if "rrelu" not in run.case  # its slopes are drawn by the framework
            ),
        )
        for report in (report_of("torch", SAMPLE), report_of("jax", SAMPLE))
    )
    changes = compare(before, after)
    assert {c.kind for c in changes.changes} == {Kind.CHOICE}
    assert changes.bits


def test_no_quantity_of_the_digits_is_vacuous():
    """Every quantity of the digits is a signal well above its own bound."""
    pytest.importorskip("sklearn")
    report = check([BUILTIN["digits-ten-eps-0.01"].make()], "torch")
    assert Verdict.VACUOUS not in {f.verdict for _, f in report.findings()}
