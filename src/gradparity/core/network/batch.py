"""The batch axis: whether samples, the entries of axis 0, stay independent of each other.

Shapes do not show it: attention over (T, D), a flip, a softmax over axis 0 keep the shape and mix
samples.  So a NaN put into one sample must stay there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..arithmetic.arrays import NDArray
from ..formulas.op import Op
from .backprop import forward
from .case import Case

__all__ = ["op_keeps_samples", "samples_stay_apart"]


def op_keeps_samples(op: Op, *y: NDArray) -> bool:
    """Whether axis 0 of the op's values is a batch of independent samples.

    Parameters
    ----------
    y : all inputs, the parameters last; axis 0 of the first is the batch, and of every other value
        that is as long there.  Integers cannot hold a NaN: where no float has samples, those of one
        sample are replaced by another's, and no other value may change.

    >>> from gradparity.core import Softmax
    >>> op_keeps_samples(Softmax(), np.ones((4, 3))), op_keeps_samples(Softmax(0), np.ones((4, 3)))
    (True, False)
    """
    n = len(y) - len(op.parameter_shapes())
    T = y[0].shape[0]
    named = {str(i): a for i, a in enumerate(y)}
    samples = [str(i) for i in range(n) if y[i].ndim and y[i].shape[0] == T]
    larger = [(T + 1, *a.shape[1:]) if str(i) in samples else a.shape for i, a in enumerate(y)]
    try:
        op.output_shape(*larger[: len(y) - bool(op.random)])
    except ValueError:
        return False

    def values(given: Mapping[str, NDArray]) -> dict[str, Any]:
        z = op.forward(*given.values())
        return dict(enumerate(z)) if isinstance(z, tuple) else {"z": z}  # type: ignore[arg-type]

    if not any(named[i].dtype.kind == "f" for i in samples):
        return _integers_stay_apart(values, named, samples, T)
    return _stay_apart(values, named, samples, T)


def samples_stay_apart(case: Case) -> bool:
    """Whether every value of the case has the batch as axis 0, and no sample influences another.

    >>> from gradparity.core import *
    >>> samples_stay_apart(Case.random(layered([Affine(3, 2), Tanh()], L2()), batch=4))
    True
    """
    names = {name for step in case.network.body for name in step.values}
    given = {n: a for n, a in case.given.items() if n not in case.params}
    samples = [n for n, a in given.items() if a.ndim and a.shape[0] == case.T]

    def values(changed: Mapping[str, NDArray]) -> dict[str, Any]:
        found = forward(case.network, {**case.given, **changed})
        return {name: found[name] for name in names}

    return _stay_apart(values, given, samples, case.T)


def _integers_stay_apart(
    values: Callable[[Mapping[str, NDArray]], Mapping[Any, Any]],
    given: Mapping[str, NDArray],
    samples: list[str],
    T: int,
) -> bool:
    before = {name: np.asarray(z) for name, z in values(given).items()}
    if any(not z.ndim or z.shape[0] != T for z in before.values()):
        return False
    for t, other in ((0, 1), (T - 1, 0)):
        changed = {name: a.copy() for name, a in given.items()}
        for name in samples:
            changed[name][t] = given[name][other]
        after = values(changed)
        others = np.arange(T) != t
        if any(np.any(z[others] != after[name][others]) for name, z in before.items()):
            return False
    return True


def _stay_apart(
    values: Callable[[Mapping[str, NDArray]], Mapping[Any, Any]],
    given: Mapping[str, NDArray],
    samples: list[str],
    T: int,
) -> bool:
    if not any(given[name].dtype.kind == "f" for name in samples):
        return False  # integers cannot tell
    for t in {0, T - 1}:
        marked = {name: a.copy() for name, a in given.items()}
        for name in samples:
            if marked[name].dtype.kind == "f":
                marked[name][t] = np.nan
        with np.errstate(all="ignore"):
            found = values(marked)
        for z in found.values():
            z = np.asarray(z)
            if not z.ndim or z.shape[0] != T:
                return False
            stray = np.isnan(z)
            stray[t] = False
            if stray.any():
                return False
    return True
