"""The batch axis: which inputs have one, and whether samples stay independent of each other.

Shapes do not show the latter: attention over (T, D), a flip, a softmax over axis 0 keep the shape
and mix samples.  So a NaN put into one sample must stay there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations, islice
from typing import Any

import numpy as np

from ..arithmetic.arrays import Array, NDArray
from ..formulas.op import Op
from .backprop import forward
from .case import Case
from .nodes import TARGET

__all__ = ["batched_inputs", "op_keeps_samples", "sample_rows", "samples_stay_apart"]

#: Sets of inputs that are tried; twelve inputs as long as the batch have fewer.
TRIALS = 1 << 12


def batched_inputs(case: Case) -> tuple[str, ...]:
    """The inputs whose axis 0 is the batch; every other input is the same for all samples.

    A mask (8, 8) for eight samples shows that the length of axis 0 does not decide.  So these are
    the most inputs that can be longer there such that the output has as many samples more.

    Raises
    ------
    ValueError : no set of inputs can be longer: the network keeps no batch axis.

    >>> from gradparity.core import *
    >>> net = Network(Node("y1", Add(), "x", "mask"), divergence=L2(), inputs=("x", "mask"))
    >>> batched_inputs(Case.random(net, x={"x": np.ones((2, 2, 3)), "mask": np.ones((2, 3))}))
    ('x',)
    """
    network, T = case.network, case.desired.shape[0]
    output = case.shapes[network.output]
    shapes = {name: a.shape for name, a in case.inputs.items()}
    found = [name for name, shape in shapes.items() if shape[0] == T]
    chosen = (some for n in range(len(found), 0, -1) for some in combinations(found, n))
    for some in islice(chosen, TRIALS):
        longer = {name: (T + 1, *shapes[name][1:]) for name in some}
        longer[TARGET] = (T + 1, *case.desired.shape[1:])
        try:
            if network.shapes({**shapes, **longer})[network.output] == (T + 1, *output[1:]):
                return some
        except ValueError:
            continue
    received = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    raise ValueError(
        f"the network keeps no batch axis: its output has shape {output}, the inputs {received}, "
        f"and with {T + 1} samples the shapes do not fit, so no minibatch can be taken; give ops "
        "that take any number of samples, or batch_size=None to train on all samples at once"
    )


def sample_rows(
    case: Case, inputs: Mapping[str, Any] | None = None
) -> Callable[[Array], dict[str, Any]]:
    """A function from the indices of samples to their inputs by name.

    `inputs` are the case's in a framework's arrays, by default its own.  Inputs without a batch
    axis stay whole.  The function raises ValueError where the network keeps no batch axis and not
    all samples are asked for, or where the mean has weights that sum to 0.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(2, 3)], L2()), batch=5)
    >>> sample_rows(case)(np.array([4, 0]))["x"].shape
    (2, 2)
    """
    network, everything = case.network, np.arange(case.desired.shape[0])
    batched: tuple[str, ...] = ()
    refused: ValueError | None = None
    try:
        batched = batched_inputs(case)
    except ValueError as error:
        refused = error

    def taken(rows: Array) -> dict[str, Any]:
        if refused is not None and not np.array_equal(rows, everything):
            raise refused
        given = (inputs or case.inputs).items()
        part = {n: a[rows] if n in batched else a for n, a in given}
        weights = part.get(network.weights or "")
        if weights is not None and network.reduction == "mean" and not weights.sum():
            raise ValueError(
                f"the weights {network.weights!r} of a minibatch, samples {rows.tolist()}, sum to "
                "0, and the weighted mean divides by their sum; give a larger batch_size, leave "
                'out samples whose weight is 0, or give reduction="sum"'
            )
        return part

    return taken


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
