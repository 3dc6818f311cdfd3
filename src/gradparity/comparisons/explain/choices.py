"""Functions that are taken for each other: other ops, other divergences.

Each alternative is an op or a divergence itself, so the core's formulas evaluate it, and the bounds
on rounding are theirs.  A parameter (the slope, eps) is solved from the data, and spelled with few
digits if it can be; whoever asks tests the alternative inside its own bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array
from ...core.formulas.activations import GELU, Sigmoid, Softplus
from ...core.formulas.cross_entropies import KL, BinaryCrossEntropy, BinaryKL, CrossEntropy
from ...core.formulas.divergences import L2, Divergence
from ...core.formulas.embedding import Embedding
from ...core.formulas.layers import Softmax
from ...core.formulas.norms import Normalisation
from ...core.formulas.op import Activation, Op, Shape
from ...core.formulas.piecewise import ELU, LeakyReLU, RandomizedLeakyReLU, ReLU
from .allowed import Alternative
from .other_norms import other_norms

__all__ = [
    "ELEMENTS",
    "ENOUGH",
    "SAMPLES",
    "Scaled",
    "other_divergences",
    "other_ops",
    "solve",
    "spelled",
]

#: The name of the mean over the outputs, which is another reduction or another divergence.
ELEMENTS = "mean-elements"
#: That of a division by the number of samples where they have weights.
SAMPLES = "mean-samples"
#: Fewer equations than this fit almost any parameter: only one with two digits is believed.
ENOUGH = 4
#: Parameters that differ by less, relatively, may be two spellings of one.
NEAR = 1e-3
#: Numbers with so many digits are nobody's choice: one is as good as another.
LONG = 4
#: Slopes and the like to try where no value says which it is.
USUAL = {"leaky-slope": (0.01, 0.0, 0.1, 0.2, 0.3, 0.05, 0.02, 0.25), "elu-alpha": (1.0, 0.5, 2.0)}
#: Divergences that differ by the entropy of the target.
TWINS: dict[type[Divergence], type[Divergence]] = {
    CrossEntropy: KL,
    KL: CrossEntropy,
    BinaryCrossEntropy: BinaryKL,
    BinaryKL: BinaryCrossEntropy,
}
#: PyTorch's softplus is linear above this.
THRESHOLD = 20.0


@dataclass(frozen=True)
class Scaled(Divergence):
    """A constant times another divergence."""

    inner: Divergence
    factor: float

    def forward(self, y: Array, d: Array) -> Array:
        return self.factor * self.inner.forward(y, d)

    def gradient(self, y: Array, d: Array) -> Array:
        return self.factor * self.inner.gradient(y, d)

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        return self.inner.desired(d, shape, dtype)


@dataclass(frozen=True)
class After(Divergence):
    """A divergence of f(y), where y was meant."""

    f: Activation
    inner: Divergence

    def forward(self, y: Array, d: Array) -> Array:
        return self.inner.forward(self.f.f(y), d)

    def gradient(self, y: Array, d: Array) -> Array:
        inside = self.f.f(y)
        return self.f.df(self.inner.gradient(inside, d), y, inside)

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        return self.inner.desired(d, shape, dtype)


def spelled(value: float, equations: int, near: float = NEAR) -> Iterator[float]:
    """The value with 1, 2, ... digits as far as that stays near, and itself.

    Two digits are all that fewer than `ENOUGH` equations can tell from a coincidence.

    >>> list(spelled(0.0100001, 100)), list(spelled(0.3333, 1))
    ([0.01, 0.0100001], [])
    """
    if not math.isfinite(value) or value == 0.0:
        return
    seen: set[float] = set()
    for digits in (1, 2) if equations < ENOUGH else (1, 2, 3, 4, 6, 17):
        short = float(f"{value:.{digits}g}")
        if short not in seen and abs(short - value) <= near * abs(value):
            seen.add(short)
            yield short


def solve(residual: Array, direction: Array, bound: Array) -> tuple[float, int]:
    """t of residual = t direction by least squares in units of the bound, and how many tell it."""
    with np.errstate(all="ignore"):
        weight = 1.0 / np.maximum(bound, 1e-300)
        a, r = direction * weight, residual * weight
        telling = np.isfinite(a) & np.isfinite(r) & (np.abs(a) > 1.0)
        if not telling.any():
            return 0.0, 0
        largest = float(np.abs(a[telling]).max())
        a, r = a[telling] / largest, r[telling] / largest  # squares of large numbers overflow
        return float((a * r).sum() / (a * a).sum()), int(telling.sum())


# --- ops ------------------------------------------------------------------------------------------


def other_ops(op: Op, y: Array | None = None, got: Array | None = None) -> Iterator[Alternative]:
    """Ops that are taken for this one; a parameter is solved from its input y and its value.

    >>> [choice.instead for choice in other_ops(GELU())]
    [GELU(approximate='tanh')]
    """
    if isinstance(op, GELU):
        form = {"none": "tanh", "tanh": "none"}[op.approximate]
        name = {"none": "gelu-erf", "tanh": "gelu-tanh"}[form]
        forms = {"none": "the exact GELU, with erf", "tanh": "the approximation of GELU by tanh"}
        yield Alternative(name, None, forms[form], GELU(form))
    if isinstance(op, Softplus):
        t = THRESHOLD if op.threshold is None else None
        said = "softplus without a threshold" if t is None else f"softplus that is z above {t:g}"
        yield Alternative("softplus-threshold", math.inf if t is None else t, said, Softplus(t))
    if isinstance(op, ReLU | LeakyReLU | RandomizedLeakyReLU) and not op.random:
        given = _slope_of(op)
        for a in _values("leaky-slope", y, got, lambda z: z):
            said = f"a slope of {a:.6g} below zero, not {given:.6g}"
            yield Alternative("leaky-slope", a, said, LeakyReLU(a))
    if isinstance(op, ELU):
        for a in _values("elu-alpha", y, got, np.expm1):
            if a > 0:
                yield Alternative("elu-alpha", a, f"ELU with a = {a:.6g}, not {op.a:.6g}", ELU(a))
    if isinstance(op, Normalisation):
        yield from other_norms(op)
    if type(op) is Embedding and op.padding_idx is not None:
        said = f"the padding row {op.padding_idx} has a gradient, as every other row"
        yield Alternative("padding-gradient", None, said, replace(op, padding_idx=None))


def _slope_of(op: Op) -> float:
    if isinstance(op, RandomizedLeakyReLU):
        return (op.l + op.u) / 2
    return op.a if isinstance(op, LeakyReLU) else 0.0


def _values(
    name: str, y: Array | None, got: Array | None, f: Callable[[Array], Array]
) -> Iterator[float]:
    """The a of got = a f(y) for y < 0, or the usual ones where nothing was got."""
    if y is None or got is None:
        yield from USUAL[name]
        return
    y, got = np.asarray(y, dtype=np.float64), np.asarray(got, dtype=np.float64)
    telling = y < -1e-30  # a ratio of numbers that may have been flushed to zero says nothing
    if not telling.any():
        return
    a = float(np.median(got[telling] / f(y[telling])))
    if a == 0.0 and name == "leaky-slope":
        yield 0.0
    if telling.sum() == 1:  # any value of one element is some slope times it
        yield from (usual for usual in USUAL[name] if math.isclose(usual, a, rel_tol=NEAR))
    else:
        yield from spelled(a, int(telling.sum()))


# --- divergences ----------------------------------------------------------------------------------


def other_divergences(
    divergence: Divergence, K: int, eps: tuple[float, int] = (0.0, 0)
) -> Iterator[Alternative]:
    """Divergences that are taken for this one, on K outputs.

    `eps` is the label smoothing that was solved from the data, and from how many elements.

    >>> [choice.name for choice in other_divergences(L2(), K=4)]
    ['half', 'mse', 'mean-elements']
    """
    base = divergence
    if isinstance(base, L2):
        yield _scaled(base, "half", 2.0, "the sum of squares without the 1/2")
        mse = f"the mean of squares over the {K} outputs, without the 1/2"
        yield _scaled(base, "mse", 2.0 / K, mse, parameter=2.0 / K)
    twin = TWINS.get(type(base))
    if twin is not None:
        yield Alternative(
            "kl" if issubclass(twin, KL | BinaryKL) else "cross-entropy",
            None,
            f"{twin.__name__}, not {base.name}: they differ by the entropy of the target",
            twin(**vars(base)),
        )
    if isinstance(base, CrossEntropy):
        yield from _other_smoothing(base, K, *eps)
    if isinstance(base, CrossEntropy | BinaryCrossEntropy):
        yield from _other_places(base)
        said = "logarithms to the base 2: every element is 1/ln 2 times the formula"
        yield _scaled(base, "bits", 1.0 / math.log(2.0), said)
    if K > 1:
        said = f"every element is 1/{K} of the formula: the mean over the {K} outputs, not the sum"
        yield _scaled(base, ELEMENTS, 1.0 / K, said, parameter=1.0 / K)


def _scaled(
    base: Divergence, name: str, factor: float, said: str, parameter: float | None = None
) -> Alternative:
    return Alternative(name, parameter, said, Scaled(base, factor))


def _other_places(base: CrossEntropy | BinaryCrossEntropy) -> Iterator[Alternative]:
    """The last activation left out, or applied twice."""
    many = isinstance(base, CrossEntropy)
    f: Activation = Softmax() if many else Sigmoid()
    if base.on == "probabilities":
        said = f"the output is taken for logits: the {f.name.lower()} is applied twice"
        yield Alternative("on-logits", None, said, replace(base, on="logits"))
    else:
        said = f"the output is taken for probabilities: no {f.name.lower()} is applied"
        yield Alternative("on-probabilities", None, said, replace(base, on="probabilities"))
        name = "softmax-twice" if many else "sigmoid-twice"
        said = f"the {f.name.lower()} is applied twice: to the output, and in the divergence"
        yield Alternative(name, None, said, After(f, base))


def _other_smoothing(base: CrossEntropy, K: int, solved: float, n: int) -> Iterator[Alternative]:
    """Three ways to write it: eps on a wrong class is a / K of one form, a / (K-1) of another."""
    kinds = [type(base)]
    if type(base) in (CrossEntropy, KL):
        kinds.append(KL if type(base) is CrossEntropy else CrossEntropy)
    forms = {"smoothing-uniform": K, "eps": 1, "smoothing-others": K - 1}
    texts = {"smoothing-uniform": "(1 - a) d + a/K", "smoothing-others": "1 - a and a/(K-1)"}

    def choices(name: str, a: float) -> Iterator[Alternative]:
        eps = a / forms[name]
        if not 0.0 <= eps <= (1 + 1e-12) / K:
            return
        eps = min(eps, 1.0 / K)
        said = f"label smoothing with eps = {eps:.6g} on each wrong class, not {base.eps:.6g}"
        if name in texts:
            said = f"the smoothing form {texts[name]} with a = {a:.6g}; "
            said += f"in your form that is eps = {eps:.6g}, not {base.eps:.6g}"
        for kind in kinds:
            also = "" if kind is type(base) else f", and {kind.__name__}, not {base.name}"
            yield Alternative(name, a, said + also, _smoothed(base, kind, eps))

    if K < 2:
        return
    known: list[Alternative] = []
    if base.eps:
        said = f"no label smoothing: eps = {base.eps:.6g} is ignored"
        known = [
            Alternative("no-smoothing", None, said, _smoothed(base, kind, 0.0)) for kind in kinds
        ]
        for name in ("smoothing-uniform", "smoothing-others"):
            if forms[name] > 1:  # the number is the same and the form is not
                known += choices(name, base.eps)
    # In low precision the value alone may fit several: what the gradient says comes first.
    far = [n > 0 and abs(c.instead.eps - solved) > 0.05 * base.eps for c in known]
    yield from (c for c, is_far in zip(known, far, strict=True) if not is_far)
    yield from _solved_smoothing(base, forms, choices, solved, n)
    yield from (c for c, is_far in zip(known, far, strict=True) if is_far)


def _smoothed(base: CrossEntropy, kind: type[CrossEntropy], eps: float) -> CrossEntropy:
    """The divergence with this smoothing, and the rest of its arguments if it is of this kind."""
    return replace(base, eps=eps) if kind is type(base) else kind(eps, base.on)


def _solved_smoothing(
    base: CrossEntropy,
    forms: dict[str, int],
    choices: Callable[[str, float], Iterator[Alternative]],
    solved: float,
    n: int,
) -> Iterator[Alternative]:
    """Choose the form that needs the fewest digits; prefer ours among equals."""
    if n == 0 or solved <= 0.0 or abs(solved - base.eps) <= NEAR * base.eps:
        return
    found: list[tuple[int, str, float]] = []
    for name, factor in forms.items():
        if name != "smoothing-others" or factor > 1:
            found += [(_digits(a), name, a) for a in spelled(solved * factor, n)]
    rank = {"eps": 0, "smoothing-uniform": 1, "smoothing-others": 2}
    for _, name, a in sorted(found, key=lambda f: (f[0], rank[f[1]])):
        yield from choices(name, a)


def _digits(x: float) -> int:
    """How many significant digits the number has, written out; `LONG` stands for any more."""
    return next(n for n in range(1, LONG + 1) if n == LONG or float(f"{x:.{n}g}") == x)
