"""Best forms keep the digits of every element: every elementwise formula and the softmax family.

The truth is a textbook formula at 50 digits or more.  Points are log-spaced, of both signs, from
the smallest normal number to the largest, and thresholds where exponentials overflow or underflow.
The plain result and the truth lie within the bound, and the bound is some dozen units roundoff.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from gradparity.core import (
    KL,
    L2,
    BinaryCrossEntropy,
    BinaryKL,
    Bounded,
    CrossEntropy,
    LogSoftmax,
    Rounding,
    Softmax,
)
from gradparity.core.formulas.softmax import Exponentials

from .textbook import FORMULAS, sigma, softplus

DTYPES = ("float64", "float32")
#: Contexts of growing precision: where a truth cancels, 50 digits are not enough.
CONTEXTS = [mpmath.MPContext() for _ in range(4)]
for context, digits in zip(CONTEXTS, (50, 90, 400, 1200), strict=True):
    context.dps = digits
#: Where an exponential over- or underflows, and where 1 + e^z is 1 or e^z.
THRESHOLDS = (
    709.0, 709.78, 709.79, 710.5, 708.39, 708.4, 744.4, 745.13, 745.2,
    87.3, 87.34, 88.0, 88.72, 88.73, 89.5, 103.0, 103.97, 104.0,
    16.6, 17.0, 17.4, 36.0, 36.7, 37.5, 8.3, 8.7, 13.1, 37.6, 38.4, 38.6,
)  # fmt: skip


def points(dtype: str, dense: int, per_decade: float) -> Any:
    """Log-spaced points of both signs, with `dense` per decade from 1e-4 to 1e4."""
    info = np.finfo(dtype)
    low, high = np.log10(float(info.tiny)), np.log10(float(info.max))
    steps = round((high - low) * per_decade)
    middle = 10.0 ** np.linspace(-4, 4, 8 * dense + 1)
    wide = 10.0 ** np.linspace(low + 1e-3, high - 1e-3, steps)
    with np.errstate(over="ignore"):
        near = [np.nextafter(t, s, dtype=dtype) for t in THRESHOLDS for s in (-np.inf, np.inf)]
    ends = [float(info.tiny), float(info.max) / 2]
    x = np.unique(np.array([*middle, *wide, *THRESHOLDS, *map(float, near), *ends]).astype(dtype))
    x = x[np.isfinite(x) & (x >= info.tiny)]
    return np.concatenate([-x[::-1], x])


def at(kind: str, dtype: str) -> Any:
    return points(dtype, 5, 0.1) if kind == "sample" else points(dtype, 20, 2.0)


KINDS = ["sample", pytest.param("all", marks=pytest.mark.slow)]


def truth(f: Callable[[Any], Any]) -> Any:
    """f(context) as soon as two precisions agree to 25 digits, or below the smallest float."""
    last = None
    for M in CONTEXTS:
        now = f(M)
        if last is not None and abs(now - last) <= abs(now) * 10**-25 + M.mpf(10) ** -345:
            return now
        last = now
    raise AssertionError(f"the truth is not known: {last}")


#: Units roundoff that a bound may take up anywhere.
DOZENS = 64.0


def check(
    plain: Any, bounded: Any, true: Any, rounding: Rounding, allowed: Any = None
) -> list[Any]:
    """The elements where something is wrong; `allowed`: the width of the bound, in u and tiny."""
    plain, value, error = (
        np.asarray(a, np.float64).ravel() for a in (plain, bounded.value, bounded.full_error())
    )
    found = []
    for i, want in enumerate(true):
        if abs(want) > rounding.largest * (1 - 8 * rounding.u):
            continue
        M = CONTEXTS[0]
        if not np.isfinite([plain[i], value[i], error[i]]).all():
            found.append((i, "not finite", plain[i], value[i], error[i], want))
        elif abs(M.mpf(plain[i]) - M.mpf(value[i])) > error[i]:
            found.append((i, "plain", plain[i], value[i], error[i], want))
        elif abs(want - M.mpf(value[i])) > error[i]:
            found.append((i, "truth", plain[i], value[i], error[i], want))
        elif allowed is not None:
            units, tinies = allowed[i]
            if error[i] > units * rounding.u * abs(want) + tinies * rounding.tiny:
                found.append((i, "wide", plain[i], value[i], error[i], want))
    return found


@pytest.mark.sample(31)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: repr(f.op))
def test_activations(formula, dtype, kind):
    op, x, rounding = formula.op, at(kind, dtype), Rounding.of(dtype)
    x = formula.points(x)
    x = x[~np.isin(x, [kink.at for kink in getattr(op, "kinks", ()) if kink.at])]
    given = Bounded.exactly(x, rounding)
    with np.errstate(all="ignore"):
        y, bounded = op.forward(x), op.forward(given)
        (slope,), (slopes,) = (
            op.vjp(np.ones_like(x), (x,), y),
            op.vjp(Bounded.exactly(np.ones_like(x), rounding), (given,), bounded),
        )
    z = x.astype(np.float64)
    # Below a hundred a factor z carries what underflows in the other factor.
    width = [
        (DOZENS + formula.tail(a) * (abs(a) < formula.until), 16 * (1 + min(abs(a), 1e3)))
        for a in z.tolist()
    ]
    near = (formula.roots[0] < z) & (z < formula.roots[1])
    slope_width = [(w if not n else np.inf, t * 400) for (w, t), n in zip(width, near, strict=True)]
    true = [truth(lambda M, a=a: formula.value(M, M.mpf(float(a)))) for a in z]
    true_slope = [truth(lambda M, a=a: formula.slope(M, M.mpf(float(a)))) for a in z]
    found = check(y, bounded, true, rounding, width)
    assert [(z[i], *rest) for i, *rest in found] == []
    found = check(slope, slopes, true_slope, rounding, slope_width)
    assert [(z[i], *rest) for i, *rest in found] == []


def probabilities(x: Any) -> Any:
    """The points as probabilities: small ones, and those near 1."""
    small = x[(x > 0) & (x < 0.5)]
    return np.unique(np.concatenate([small, (1 - small)[1 - small < 1]]))


def xlog(M: Any, d: Any, y: Any) -> Any:
    return d * M.log(y) if d else M.mpf(0)


def bce(M: Any, z: Any, d: Any) -> Any:
    return d * softplus(M, -z) + (1 - d) * softplus(M, z)


def bce_of_probability(M: Any, y: Any, d: Any) -> Any:
    return -(xlog(M, d, y) + (1 - d) * (M.log1p(-y) if d < 1 else 0))


def entropy(M: Any, d: Any) -> Any:
    return -(xlog(M, d, d) + xlog(M, 1 - d, 1 - d))


BINARY = {
    BinaryCrossEntropy(): (bce, lambda M, z, d: (1 - d) * sigma(M, z) - d * sigma(M, -z)),
    BinaryCrossEntropy("probabilities"): (
        bce_of_probability,
        lambda M, y, d: (1 - d) / (1 - y) - d / y,
    ),
    BinaryKL(): (
        lambda M, z, d: bce(M, z, d) - entropy(M, d),
        lambda M, z, d: (1 - d) * sigma(M, z) - d * sigma(M, -z),
    ),
    BinaryKL("probabilities"): (
        lambda M, y, d: bce_of_probability(M, y, d) - entropy(M, d),
        lambda M, y, d: (1 - d) / (1 - y) - d / y,
    ),
    L2(): (lambda M, y, d: (y - d) ** 2 / 2, lambda M, y, d: y - d),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", [0.0, 1.0, 0.25])
@pytest.mark.parametrize("divergence", BINARY, ids=repr)
def test_losses_of_one_number(divergence, target, dtype, kind):
    x, rounding = at(kind, dtype), Rounding.of(dtype)
    if getattr(divergence, "on", "") == "probabilities":
        x = probabilities(x)
    y, d = x[:, np.newaxis], np.full((len(x), 1), target, dtype)
    given, desired = Bounded.exactly(y, rounding), Bounded.exactly(d, rounding)
    with np.errstate(all="ignore"):
        pairs = (
            (divergence.forward(y, d), divergence.forward(given, desired)),
            (divergence.gradient(y, d), divergence.gradient(given, desired)),
        )
    cancels = target not in (0, 1) or isinstance(divergence, BinaryKL)
    width = None if cancels else [(DOZENS, 32)] * len(x)
    for (plain, bounded), f in zip(pairs, BINARY[divergence], strict=True):
        true = [truth(lambda M, a=a, f=f: f(M, M.mpf(float(a)), M.mpf(target))) for a in x]
        found = check(plain, bounded, true, rounding, width)
        assert [(x[i], *rest) for i, *rest in found] == []


def rows(x: Any) -> Any:
    """Logits: a point beside ordinary numbers, twice, and with its opposite."""
    x = x[np.abs(x) < np.finfo(x.dtype).max / 4]
    one = np.ones_like(x)
    kinds = ([x, 0 * x, -one], [one, x, x], [x, -x, x / 2])
    return np.concatenate([np.stack(row, axis=-1) for row in kinds])


def shares(M: Any, z: Any) -> Any:
    e = [M.exp(M.mpf(float(a)) - M.mpf(float(max(z)))) for a in z]
    return [a / sum(e) for a in e]


def log_shares(M: Any, z: Any) -> Any:
    """-log sum_j e^(z_j - z_i), without a loss of digits where the others are small."""
    z = [M.mpf(float(a)) for a in z]
    others = (sum(M.exp(b - a) for j, b in enumerate(z) if j != i) for i, a in enumerate(z))
    return [-M.log1p(s) for s in others]


def columns(f: Callable[[Any, Any], Any], z: Any, K: int = 3) -> Any:
    """The truth of every element of a formula on rows."""
    return [truth(lambda M, row=row, k=k: f(M, row)[k]) for row in z for k in range(K)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_softmax_family(dtype, kind):
    z, rounding = rows(at(kind, dtype)), Rounding.of(dtype)
    z = z if kind == "all" else z[::11]
    given = Bounded.exactly(z, rounding)
    spread = np.minimum(np.ptp(z.astype(np.float64), axis=-1), 800)
    width = [(DOZENS + 8 * s, 64) for s in np.repeat(spread, 3)]
    targets = np.eye(3, dtype=dtype)[np.arange(len(z)) % 3]
    d = Bounded.exactly(targets, rounding)
    loss = CrossEntropy()
    smoothed = CrossEntropy(0.05)

    def loss_of(M: Any, row: Any, t: Any) -> Any:
        return -sum(a * b for a, b in zip(t, log_shares(M, row), strict=True) if a)

    # Two precisions agree on 0 where both cancel, so no truth may cancel.
    def gradient(M: Any, row: Any, t: Any) -> Any:
        y = shares(M, row)
        return [sum(y[i] * t[j] - t[i] * y[j] for j in range(3) if j != i) for i in range(3)]

    def pull(M: Any, row: Any, dy: Any) -> Any:
        y = shares(M, row)
        return [y[i] * sum(y[j] * (dy[i] - dy[j]) for j in range(3)) for i in range(3)]

    def smooth(M: Any, t: Any) -> Any:
        return [M.mpf(float(a)) - M.mpf(0.05) * (3 * M.mpf(float(a)) - 1) for a in t]

    def each(f: Callable[[Any, Any, Any], Any], of: Callable[[Any, Any], Any]) -> Any:
        return [
            truth(lambda M, row=row, t=t, k=k: f(M, row, of(M, t))[k])
            for row, t in zip(z, targets, strict=True)
            for k in range(3)
        ]

    def given_target(M: Any, t: Any) -> Any:
        return [M.mpf(float(a)) for a in t]

    def losses(of: Callable[[Any, Any], Any]) -> Any:
        return [
            truth(lambda M, row=row, t=t: loss_of(M, row, of(M, t)))
            for row, t in zip(z, targets, strict=True)
        ]

    softmax, log_softmax = Softmax(), LogSoftmax()
    with np.errstate(all="ignore"):
        y, log_y = softmax.f(z), log_softmax.f(z)
        by, blog = softmax.f(given), log_softmax.f(given)
        lse, blse = Exponentials.of(z).log_sum(), Exponentials.of(given).log_sum()
        jobs = [
            ("softmax", y, by, columns(shares, z), width),
            ("log-softmax", log_y, blog, columns(log_shares, z), width),
            ("log-sum-exp", lse, blse, [truth(lambda M, r=r: M.mpf(float(max(r))) - max(
                log_shares(M, r))) for r in z], None),
            ("softmax vjp", softmax.df(targets, z, y), softmax.df(d, given, by),
             each(pull, given_target), [(3 * u, t) for u, t in width]),
            ("log-softmax vjp", log_softmax.df(-targets, z, log_y),
             log_softmax.df(Bounded.exactly(-targets, rounding), given, blog),
             each(gradient, given_target), [(2 * u, t) for u, t in width]),
            ("loss", loss.forward(z, targets), loss.forward(given, d), losses(given_target),
             width[::3]),
            ("gradient", loss.gradient(z, targets), loss.gradient(given, d),
             each(gradient, given_target), width),
            ("smoothed loss", smoothed.forward(z, targets), smoothed.forward(given, d),
             losses(smooth), width[::3]),
            ("smoothed gradient", smoothed.gradient(z, targets), smoothed.gradient(given, d),
             each(gradient, smooth), None),
            ("KL", KL().forward(z, targets), KL().forward(given, d), losses(given_target), None),
        ]  # fmt: skip
    for what, plain, bounded, true, allowed in jobs:
        found = check(plain, bounded, true, rounding, allowed)
        row = 3 if len(true) > len(z) else 1
        assert [(what, z[i // row].tolist(), *rest) for i, *rest in found] == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("eps", [0.0, 0.05])
def test_cross_entropy_of_probabilities(eps, dtype):
    p, rounding = probabilities(at("sample", dtype)), Rounding.of(dtype)
    y = np.stack([p, 1 - p], axis=-1)
    t = np.array([1.0, 0.0], dtype) + 0 * y
    loss = CrossEntropy(eps, on="probabilities")
    given, d = Bounded.exactly(y, rounding), Bounded.exactly(t, rounding)
    at_class, other = 1 - eps, eps

    def value(M: Any, row: Any) -> Any:
        both = zip((at_class, other), row, strict=True)
        return -sum(xlog(M, M.mpf(a), M.mpf(float(b))) for a, b in both)

    true = [truth(lambda M, row=row: value(M, row)) for row in y]
    slopes = [
        truth(lambda M, a=a, b=b: -M.mpf(a) / M.mpf(float(b)))
        for row in y
        for a, b in zip((at_class, other), row, strict=True)
    ]
    with np.errstate(all="ignore"):
        pairs = (
            (loss.forward(y, t), loss.forward(given, d), true, [(DOZENS, 32)] * len(y)),
            (loss.gradient(y, t), loss.gradient(given, d), slopes, [(DOZENS, 32)] * 2 * len(y)),
        )
    for plain, bounded, want, width in pairs:
        assert check(plain, bounded, want, rounding, width) == []
