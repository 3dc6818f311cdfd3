"""The faults of the evidence: what is planted, where, and how the other results change.

A fault is planted in a trace as an implementation with that fault would have computed it: what
depends on the wrong quantity is computed from it by the right formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from gradparity.comparisons.explain.fault_sites import FaultSite, fault_sites, quantity
from gradparity.comparisons.explain.replay import mutants, replay
from gradparity.core import Affine, Case, Trace
from gradparity.core.arithmetic.precision import rounded_to

__all__ = ["FAULTS", "KIND_OF_NETWORK", "planted"]

Rng = np.random.Generator
#: (the right array, T, a generator that draws the same in either dtype) -> the wrong one
Change = Callable[[np.ndarray, int, Rng], np.ndarray]
SINGLE = {"float64": 1e-11, "float32": 1e-5}


def _is_parameter(site: FaultSite, letter: str) -> bool:
    if site.kind != "parameter" or site.step is None:
        return False
    return bool(site.step.parameters[letter] == site.key.source)


def _weight(case: Case, site: FaultSite) -> bool:
    return _is_parameter(site, "W")


def _bias(case: Case, site: FaultSite) -> bool:
    return _is_parameter(site, "b")


def _edge(case: Case, site: FaultSite) -> bool:
    """Return a use of a value that a parameter depends on."""
    return site.kind == "edge" and site.step in case.network.body and site.step.needs


def _output(case: Case, site: FaultSite) -> bool:
    return site.kind == "edge" and site.step in case.network.loss


def _affine_edge(case: Case, site: FaultSite) -> bool:
    return _edge(case, site) and site.step is not None and isinstance(site.step.op, Affine)


def _sum(case: Case, site: FaultSite) -> bool:
    return (
        site.kind == "sum" and site.step is not None and len(case.network.consumers(site.key)) > 1
    )


def _off(g: np.ndarray, one: np.ndarray) -> np.ndarray:
    return np.where(one, g * g.dtype.type(1 + SINGLE[g.dtype.name]), g)


def _largest_off(g: np.ndarray, T: int, rng: Rng) -> np.ndarray:
    return _off(g, np.arange(g.size).reshape(g.shape) == np.argmax(np.abs(g)))


def _any_off(g: np.ndarray, T: int, rng: Rng) -> np.ndarray:
    return _off(g, np.arange(g.size).reshape(g.shape) == int(rng.integers(g.size)))


def _row_repeated(g: np.ndarray, T: int, rng: Rng) -> np.ndarray:
    row = int(rng.integers(1, len(g))) if len(g) > 1 else 0
    return np.where((np.arange(len(g)) == row)[:, None], g[row - 1 : row or None][:1], g)


def _coarser(g: np.ndarray, T: int, rng: Rng) -> np.ndarray:
    if g.dtype == np.float64:
        return g.astype(np.float32).astype(np.float64)
    return np.asarray(rounded_to(g, 8), np.float32)


#: name -> (where it may be planted, the change, or the name under which `mutants` has it)
FAULTS: dict[str, tuple[Callable[[Case, FaultSite], bool], Change | str]] = {
    "largest element of a dW off by 1e-5 (1e-11)": (_weight, _largest_off),
    "any element of a dW off by 1e-5 (1e-11)": (_weight, _any_off),
    "a dW times 1.00001": (_weight, lambda g, T, rng: g * g.dtype.type(1.00001)),
    "a dW times 1.001": (_weight, lambda g, T, rng: g * g.dtype.type(1.001)),
    "a dy times 1.001": (_edge, lambda g, T, rng: g * g.dtype.type(1.001)),
    "sign of every gradient": (_output, lambda g, T, rng: -g),
    "square W not transposed": (_affine_edge, "matrix not transposed"),
    "1/T left out of a dW": (_weight, lambda g, T, rng: g * g.dtype.type(T)),
    "a db all zero": (_bias, lambda g, T, rng: np.zeros_like(g)),
    "a row of a dW is the row before": (_weight, _row_repeated),
    "a sample left out of a dW": (_weight, "a sample left out"),
    "one of two uses left out": (_sum, "a use left out"),
    "negative gradients cut at a ReLU": (_edge, "negative gradients cut"),
    "a term of a derivative left out": (_edge, "a term left out"),
    "slope 1.7 at the kink": (_edge, "wrong weight at a kink"),
    "a dW through bfloat16 (float32)": (_weight, _coarser),
    "a dy through bfloat16 (float32)": (_edge, _coarser),
}

#: Faults that need a kind of network.
KIND_OF_NETWORK = {"slope 1.7 at the kink": "exact kinks", "one of two uses left out": "DAG"}


def planted(case: Case, trace: Trace, fault: str, seed: int) -> Trace | None:
    """Return the trace with this fault at a random place; None if it applies nowhere.

    The place is the same for either dtype of one case.
    """
    where, change = FAULTS[fault]
    rng = np.random.default_rng(seed)
    possible = [site for site in fault_sites(case) if where(case, site)]
    for i in rng.permutation(len(possible)):
        site = possible[i]
        right = quantity(trace, site)
        with np.errstate(all="ignore"):
            if isinstance(change, str):
                # Whether it applies is a matter of the op; whether it changes anything, of numbers.
                found = dict(mutants(case, trace, site))
                if change not in found:
                    continue
                wrong = found[change]
            else:
                wrong = change(right, case.T, rng)
        if wrong is None:
            return replace(trace)
        return replay(case, trace, site, np.asarray(wrong, right.dtype))
    return None
