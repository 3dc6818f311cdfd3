"""Final gradients that test nothing: which of them are zero by structure, and which are not tested.

The gradient of a bias before a batch norm is zero whatever the data: its terms cancel, and every
implementation returns rounding.  Nothing can be tested there.  A gradient that is zero because of
the data, or too small for this dtype, could have been tested on other data or in float64.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.varied import Noise, Varied
from ...core.network.case import Case
from ...core.network.network import Network
from ...core.network.quantity import Quantity
from ..findings.finding import ONLY_AT_KINKS, STRUCTURE, Finding, Verdict
from ..measure.end_to_end import LEAST, quantities
from ..measure.varied_pass import varied_pass

__all__ = ["with_untested"]

#: Points near the case at which a gradient that is zero by structure must be zero too.
NEARBY = 2
#: A gradient within so many standard deviations of zero is rounding in float64.  A gradient that is
#: well determined there is many orders of magnitude beyond.
SLACK = 1024.0
#: How far they are from it, in units of the root mean square of an array.
STEP = 0.25


def with_untested(
    case: Case, got: Mapping[Quantity, NDArray], findings: Sequence[Finding]
) -> list[Finding]:
    """Say in the notes of final gradients that test nothing what they are.

    Parameters
    ----------
    case : the case, in the precision of the results.
    got : the results.
    findings : the verdicts on them.
    """
    silent = [f.quantity for f in findings if f.final and f.verdict is Verdict.VACUOUS]
    structural = _zero_by_structure(case, silent) if silent else frozenset()
    return [
        replace(f, note=STRUCTURE)
        if f.quantity in structural
        else replace(f, note="; ".join(filter(None, (f.note, ONLY_AT_KINKS))))
        if f.final and f.verdict is Verdict.SUBGRADIENT and not np.any(got.get(f.quantity, 1.0))
        else f
        for f in findings
    ]


def _zero_by_structure(case: Case, names: Collection[Quantity]) -> frozenset[Quantity]:
    """The gradients that cancel to zero, up to the rounding of float64, here and nearby.

    A gradient whose terms are all exactly zero does not cancel: other data may bring it to life.
    """
    wide = case.astype("float64")
    left = _cancelling(wide, names)
    rng = np.random.default_rng(0)
    for _ in range(NEARBY):
        if left:
            left &= _cancelling(_near(wide, rng), left)
    return left


def _cancelling(case: Case, names: Collection[Quantity]) -> frozenset[Quantity]:
    """The gradients whose every element is rounding in float64, but whose terms are not zero.

    A gradient of what does not lead to the loss has no terms at all, and is zero by structure.
    """
    used = _leading_to_an_end(case.network)
    with np.errstate(all="ignore"):
        passed = varied_pass(case, Noise.of("float64"))
        return frozenset(
            q
            for q, want in quantities(passed, {}, names)
            if q in names and (q.name not in used or _cancels(want))
        )


def _leading_to_an_end(network: Network) -> set[str]:
    """The names of the values, parameters and inputs that an end of the network depends on."""
    found = set(network.ends)
    for step in reversed(network.steps):
        if found.intersection(step.values):
            found.update(step.inputs)
    return found


def _cancels(want: Any) -> bool:
    if not isinstance(want, Varied):
        return False
    tells = np.isfinite(want.value) & (np.abs(want.value) > SLACK * want.sigma + LEAST)
    return not tells.any() and bool(np.any(want.sigma > LEAST))


def _near(case: Case, rng: np.random.Generator) -> Case:
    """The case at a random point nearby: parameters and inputs that have a gradient are moved."""

    def moved(name: str, a: NDArray) -> NDArray:
        if name not in case.finals:
            return a
        scale = float(np.sqrt(np.mean(np.square(a)))) or 1.0
        return a + STEP * scale * rng.standard_normal(a.shape)

    params = {name: moved(name, a) for name, a in case.params.items()}
    inputs = {name: moved(name, a) for name, a in case.inputs.items()}
    try:
        return Case(case.network, params, inputs, case.d, case.name, case.precision, case.twin)
    except ValueError:  # an op is not defined there
        return case
