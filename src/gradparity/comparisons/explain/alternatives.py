"""Other choices that people make in good faith: another mean or sum, smoothing form, weight decay.

`choices` lists the alternatives to an op and to a divergence; here are those to a reduction and to
a single tensor, and all of them for results judged from end to end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array
from ...core.arithmetic.bounded import Bounded
from ...core.formulas.cross_entropies import CrossEntropy
from ...core.formulas.divergences import Divergence
from ...core.formulas.op import Op, attributes
from ...core.network.backprop import backprop
from ...core.network.case import Case
from ...core.network.nodes import DIV, ERR, INPUT
from ...core.network.quantity import Quantity
from .allowed import Alternative
from .choices import ELEMENTS, ENOUGH, SAMPLES, Scaled, other_divergences, other_ops, solve, spelled
from .other_logs import other_logs

__all__ = [
    "TRANSPOSED",
    "Transform",
    "alternatives",
    "decays",
    "losses",
    "plus_decay",
    "samples_and_outputs",
    "scales",
    "with_network",
]

#: What is said of a gradient that came transposed.
TRANSPOSED = "it is the formula transposed: the numbers agree once it is transposed"

#: Nodes of one op that are tried one by one, and listed.
FEW_NODES = 8

#: (name of a parameter, formula) -> its gradient instead; None where nothing is said about it.
Transform = Callable[[str, Bounded], Bounded | None]


# --- tensors --------------------------------------------------------------------------------------


def scales(case: Case) -> Iterator[tuple[str, float, str]]:
    """(name, factor, said) of what a gradient is multiplied by under another mean or sum.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 1)], L2()), batch=4)
    >>> [(name, factor) for name, factor, _ in scales(case)]
    [('sum', 4.0), ('mean', 0.25)]
    """
    T, K = samples_and_outputs(case)
    if case.network.weights is not None:
        yield from _weighted_scales(case, T, K)
        return
    if case.network.reduction == "mean":
        if T > 1:
            said = f"every element is {T} times the formula: the sum over the batch of {T}, "
            yield "sum", float(T), said + "not the mean"
            said = f"every element is 1/{T} of the formula: divided by the batch of {T} once more"
            yield "mean", 1.0 / T, said
        if K > 1:
            said = f"every element is 1/{K} of the formula: the mean over {T * K} elements, "
            yield ELEMENTS, 1.0 / K, said + f"not over the batch of {T}"
        return
    if T > 1:
        said = f"every element is 1/{T} of the formula: the mean over the batch of {T}, "
        yield "mean", 1.0 / T, said + "not the sum"
    if K > 1:
        said = f"every element is 1/{T * K} of the formula: the mean over {T * K} elements"
        yield ELEMENTS, 1.0 / (T * K), f"{said}, not the sum over the batch"


def _weighted_scales(case: Case, T: int, K: int) -> Iterator[tuple[str, float, str]]:
    """As `scales`, where every sample has a weight: the mean divides by the sum of the weights."""
    assert case.network.weights is not None
    weights = np.asarray(case.inputs[case.network.weights], np.float64)
    total = float(np.broadcast_to(weights, case.shapes[DIV]).sum())
    mean = case.network.reduction == "mean"
    divided = total if mean else 1.0  # by what the formula divides the weighted sum
    others = {
        "sum": (1.0, "the weighted sum, not divided by the sum of the weights"),
        "mean": (total, "the weighted mean, not the sum"),
        SAMPLES: (float(T), f"divided by the {T} samples"),
        ELEMENTS: (divided * K, f"the mean over the {K} outputs too"),
    }
    for name, (by, said) in others.items():
        if by not in (0.0, divided):
            factor = divided / by
            yield name, factor, f"every element is {factor:.6g} times the formula: {said}"


def decays(residual: Array, W: Array, bound: Array) -> Iterator[tuple[float, str]]:
    """(lambda, said) of residual = lambda W, solved and spelled.

    >>> W = np.arange(1.0, 7.0)
    >>> [lam for lam, _ in decays(1e-3 * W, W, np.full(6, 1e-12))]
    [0.001]
    """
    lam, _ = solve(residual, W, bound)
    if not 1e-9 < lam <= 1.0:
        return
    signal = np.abs(lam * W) / np.maximum(bound, 1e-300)
    near = min(0.02 + 3.0 / max(1.0, float(signal.max())), 0.25)
    n = int((signal > 1.0).sum())
    for short in spelled(lam, n, near):
        if n >= ENOUGH or f"{short:e}"[:8] in ("1.000000", "2.000000", "5.000000"):
            yield short, f"the formula plus {short:.6g} times the parameter: weight decay"


def plus_decay(want: Bounded, W: Array, lam: float) -> Bounded:
    """The gradient of a parameter with weight decay: want + lambda W."""
    decayed: Bounded = want + Bounded.exactly(W, want.rounding) * lam
    return decayed


# --- whole cases ----------------------------------------------------------------------------------


def with_network(
    case: Case,
    divergence: Divergence | None = None,
    reduction: str | None = None,
    ops: Mapping[str, Op] | None = None,
) -> Case:
    """The case with another divergence, reduction, or ops at some nodes."""
    return replace(case, network=case.network.changed(divergence, reduction, ops), x=case.inputs)


def samples_and_outputs(case: Case) -> tuple[int, int]:
    """T and K: how many Div there are, and how many outputs each is made of."""
    if case.network.divergence is None:
        return case.T, 1
    return int(np.prod(case.shapes[DIV], dtype=np.int64)), case.shapes[case.network.output][-1]


def losses(
    case: Case, eps: Callable[[Case], tuple[float, int]]
) -> Iterator[tuple[Alternative, Case]]:
    """Alternatives to the loss, the likeliest first: another divergence, mean or sum, or both.

    Each is the divergence of one sample, and the case with it as Err has it: over the outputs too.
    `eps` solves the label smoothing of a case from the data, and says from how many elements.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2)], L2()), batch=4)
    >>> [loss.name for loss, _ in losses(case, lambda case: (0.0, 0))][:4]
    ['sum', 'half', 'mse', 'mean-elements']
    """
    old = case.network.divergence
    if old is None:
        return
    K = samples_and_outputs(case)[1]
    new = "sum" if case.network.reduction == "mean" else "mean"
    other = with_network(case, reduction=new)
    scaled = {name: (f, said) for name, f, said in scales(case)}

    def both(name: str, c: Alternative) -> Alternative:
        return replace(c, name=f"{name}+{c.name}", said=f"{scaled[name][1]}; and {c.said}")

    if new in scaled:
        yield Alternative(new, *scaled[new], old), other
    if SAMPLES in scaled:
        scaled_loss = with_network(case, Scaled(old, scaled[SAMPLES][0]))
        yield Alternative(SAMPLES, *scaled[SAMPLES], old), scaled_loss
    for c in other_divergences(old, K, eps(case)):
        yield c, with_network(case, c.instead)
    if new in scaled:
        for c in other_divergences(old, K, eps(other)):
            yield both(new, c), with_network(other, c.instead)
    if ELEMENTS in scaled:
        for c in other_divergences(old, K):
            if c.name not in (ELEMENTS, "mse"):  # a mean over the outputs already
                factor = scaled[ELEMENTS][0]
                yield both(ELEMENTS, c), with_network(case, Scaled(c.instead, factor))


def alternatives(case: Case, results: Mapping[Quantity, Array]) -> Iterator[Alternative]:
    """Alternatives to end-to-end results, the likeliest first: another `Case` or a `Transform`.

    Parameters
    ----------
    case : what was asked for.
    results : what was got, by quantity: "Err", "Div", "grad W1", "value z1", ...

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2)], L2()), batch=4)
    >>> [a.name for a in alternatives(case, {})][:4]
    ['sum', 'half', 'mse', 'mean-elements']
    """
    for loss, changed in losses(case, lambda other: _eps_of(other, results)):
        yield replace(loss, instead=changed)
    yield from _ops_of(case, results)
    yield from _tensors(case, results)
    div, err = (results.get(Quantity(name)) for name in (DIV, ERR))
    if div is not None or err is not None:
        y = backprop(case).value[case.network.output]
        for loss in other_logs(case, y, div, err):
            yield replace(loss, instead=with_network(case, loss.instead))


def _eps_of(case: Case, results: Mapping[Quantity, Array]) -> tuple[float, int]:
    """The label smoothing of gradients, which are linear in it."""
    divergence, K = case.network.divergence, samples_and_outputs(case)[1]
    if not isinstance(divergence, CrossEntropy) or K < 2:
        return 0.0, 0
    ends = [backprop(with_network(case, replace(divergence, eps=e))) for e in (0.0, 1.0 / K)]
    names = [q for q in results if q.is_gradient_by(ends[0].grad) and q.name != INPUT]
    residual, direction = [np.zeros(0)], [np.zeros(0)]
    for q in names:
        got, (low, high) = np.asarray(results[q], np.float64), (end.grad[q.name] for end in ends)
        if got.shape == low.shape:
            residual.append((got - low).ravel())
            direction.append((high - low).ravel().astype(np.float64))
    d = np.concatenate(direction)
    bound = np.full(d.shape, 1e-6 * np.abs(d).max(initial=1e-300))
    t, n = solve(np.concatenate(residual), d, bound)
    return t / K, n


def _ops_of(case: Case, results: Mapping[Quantity, Array]) -> Iterator[Alternative]:
    """Another op at every node that has the same one, whatever its width, or at one of them."""
    tried: list[Op] = []
    for op in (s.op for s in case.network.body):
        others = list(other_ops(op))
        if not others or any(_alike(op, other) for other in tried):
            continue  # without others: an op of one's own, which need not be comparable
        tried.append(op)
        nodes = [s for s in case.network.body if _alike(s.op, op)]
        alone = [[s] for s in nodes] if 1 < len(nodes) <= FEW_NODES else []
        for some in (nodes, *alone):
            where = ", ".join(repr(s.name) for s in some[:FEW_NODES])
            for c in others:
                if c.instead != op:
                    ops = {s.name: replace(c.instead, **_width(s.op)) for s in some}
                    said = f"{c.said}, at {where}"
                    yield replace(c, said=said, instead=with_network(case, ops=ops))


def _width(op: Op) -> dict[str, Any]:
    """The arguments that say how wide an op is, and nothing about its function."""
    return {name: given for name, given in attributes(op).items() if name in ("n", "d")}


def _alike(op: Op, other: Op) -> bool:
    """Whether two ops are one function but for their widths."""
    return type(op) is type(other) and attributes(op) | _width(other) == attributes(other)


def _tensors(case: Case, results: Mapping[Quantity, Array]) -> Iterator[Alternative]:
    """Alternatives applied to the gradient of a parameter afterwards."""
    for name, factor, said in scales(case):
        yield Alternative(name, factor, said, _times(factor))
    yield Alternative("transposed", None, TRANSPOSED, _transposed)
    grad = backprop(case).grad
    for p, W in case.params.items():
        got = results.get(Quantity.grad(p))
        if got is None or np.shape(got) != W.shape:
            continue
        want = np.asarray(grad[p], np.float64)
        unit = float(np.finfo(case.dtype).eps) * np.abs(want).max(initial=1e-300)
        for lam, said in decays(got - want, W, np.full(W.shape, unit)):
            yield Alternative("weight-decay", lam, said, _decayed(case, lam))


def _times(factor: float) -> Transform:
    return lambda p, want: want * factor


def _transposed(p: str, want: Bounded) -> Bounded | None:
    return want.T if want.ndim == 2 else None


def _decayed(case: Case, lam: float) -> Transform:
    return lambda p, want: plus_decay(want, case.params[p], lam) if p in case.params else None
