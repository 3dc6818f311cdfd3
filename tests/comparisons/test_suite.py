"""The built-in suite: complete, telling, and at parity in PyTorch and JAX."""

from __future__ import annotations

import numpy as np
import pytest

from gradparity import core
from gradparity.comparisons import Verdict
from gradparity.comparisons.cases.suite import LOSSES, OPS, builtin_cases
from gradparity.comparisons.check.check import check

BUILTIN = builtin_cases()


def test_every_op_and_divergence_of_the_core_is_in_the_suite():
    abstract = {core.Op, core.Activation, core.Kinked, core.Compound, core.Divergence}
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
        used |= {type(node.op) for node in case.network.nodes} | {type(case.network.divergence)}
    used |= {type(op) for op, _ in OPS.values()}
    assert kinds <= used


def test_the_points_are_met_exactly():
    x = BUILTIN["op-hardtanh"].make().x
    assert {0.0, 1.0, -1.0, 300.0, -300.0} <= set(x.ravel())
    assert np.signbit(x[x == 0]).any()
    assert not np.signbit(x[x == 0]).all()
    assert BUILTIN["net-relu"].make().T == 1


@pytest.mark.parametrize("adapter", ["torch", "jax"])
def test_the_suite_is_at_parity(adapter):
    pytest.importorskip("sklearn")
    cases = [builtin.make() for builtin in BUILTIN.values()]
    report = check(cases, adapter)
    assert report.exit_code == 0, str(report)
    kinks = [f for _, f in report.findings() if f.kinks]
    assert len(kinks) > 20
    assert {f.verdict for _, f in report.findings()} >= {
        Verdict.EXACT,
        Verdict.ROUNDING,
        Verdict.SUBGRADIENT,
    }


def test_no_quantity_of_the_digits_is_vacuous():
    """Every quantity of the digits is a signal well above its own bound."""
    pytest.importorskip("sklearn")
    report = check([BUILTIN["digits-ten-eps-0.01"].make()], "torch")
    assert Verdict.VACUOUS not in {f.verdict for _, f in report.findings()}
