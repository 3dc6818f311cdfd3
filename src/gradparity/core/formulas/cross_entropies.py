"""Cross-entropies and KL divergences of probabilities or logits: Div(Y, d) and dDiv/dY.

A divergence on logits contains the output activation and is computed stably from z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, usual
from ..arithmetic.precision import Precision
from .arguments import one_of
from .divergences import Divergence, not_a_number
from .op import Shape
from .smooth import sigmoid, softplus, softplus_slope
from .softmax import Exponentials

__all__ = [
    "KL",
    "BinaryCrossEntropy",
    "BinaryKL",
    "CrossEntropy",
]


class _OfProbabilities(Divergence):
    """A divergence of probabilities, which an output holds itself or as logits."""

    labels: ClassVar[bool] = True
    #: The activation that makes probabilities of logits.
    activation: ClassVar[str]
    #: Which of the two, "logits" or "probabilities", where a divergence has the choice.
    on: str = ""

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        d = super().desired(d, shape, dtype)
        not_a_number(self, d)
        self._check("d", d, "targets are probabilities")
        return d

    def check_output(self, y: Array) -> None:
        if self.on == "probabilities":
            remedy = f"end in {self.activation}(), or give on='logits'"
            self._check("the output y", y, remedy)

    def _check(self, what: str, x: Array, why: str) -> None:
        outside = (x < 0.0) | (x > 1.0)
        if outside.any():
            value, index = float(x[outside][0]), tuple(int(i) for i in np.argwhere(outside)[0])
            raise ValueError(
                f"{self.name}: {what}[{', '.join(map(str, index))}] = {value!r} is outside "
                f"[0, 1]; {why}"
            )


class OfBinaryTargets(_OfProbabilities):
    """A divergence of one target in [0, 1] for each output."""

    activation: ClassVar[str] = "Sigmoid"

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        d = d[..., np.newaxis] if d.ndim == len(shape) - 1 and shape[-1] == 1 else d
        return super().desired(d, shape, dtype)

    def targets(self, rng: np.random.Generator, shape: Shape) -> Array:
        return rng.integers(0, 2, shape).astype(np.float64)


@dataclass(frozen=True)
class BinaryCrossEntropy(OfBinaryTargets):
    """Div = sum_i -d_i log Y_i - (1 - d_i) log(1 - Y_i), 0 <= d_i <= 1.

    On probabilities y = Y: dDiv/dy = -d/y + (1 - d)/(1 - y).  On logits Y = sigmoid(z):
    Div = sum_i max(z, 0) - d z + log(1 + e^-|z|), dDiv/dz = Y - d.

    Parameters
    ----------
    on : "logits" or "probabilities".
    """

    on: str = "logits"

    def __post_init__(self) -> None:
        one_of(self, "on", ("logits", "probabilities"))

    def forward(self, y: Array, d: Array) -> Array:
        if self.on == "logits":
            forms = {
                "max(z, 0) - d z + log1p(e^-|z|)": lambda: (
                    np.maximum(y, 0) - d * y + np.log1p(np.exp(-abs(y)))
                ),
                "(1 - d) z + softplus(-z)": lambda: (1 - d) * y + softplus(-y),
            }
            return usual(d * softplus(-y) + (1 - d) * softplus(y), forms).sum(axis=-1)
        form = {"-d log y - (1 - d) log(1 - y)": lambda: -(_d_log(d, y) + _d_log(1 - d, 1 - y))}
        return usual(-(_d_log(d, y) + _d_log1p(1 - d, -y)), form).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        if self.on == "logits":
            slope = softplus_slope  # Optax differentiates softplus(z) and softplus(-z)
            best = (1 - d) * slope(y) - d * slope(-y)
            return usual(best, {"sigmoid(z) - d": lambda: sigmoid(y) - d})
        g = _over(1 - d, 1 - y) - _over(d, y)
        return usual(g, {"(y - d) / (y (1 - y))": lambda: (y - d) / (y * (1 - y))})

    def target_gradient(self, y: Array, d: Array) -> Array:
        if self.on == "logits":
            return usual(
                -y + 0 * d, {"softplus(-z) - softplus(z)": lambda: softplus(-y) - softplus(y)}
            )
        form = {"log(1 - y) - log y": lambda: np.log(1 - y) - np.log(y)}
        return usual(np.log1p(-y) - np.log(y), form)


@dataclass(frozen=True)
class BinaryKL(BinaryCrossEntropy):
    """KL(d || Y) = binary cross-entropy minus the entropy of d: same gradient, another value."""

    def forward(self, y: Array, d: Array) -> Array:
        entropy = -(_d_log(d, d) + _d_log(1 - d, 1 - d)).sum(axis=-1)
        return super().forward(y, d) - entropy

    def target_gradient(self, y: Array, d: Array) -> Array:
        form = {"log d - log(1 - d)": lambda: np.log(d) - np.log(1 - d)}
        return super().target_gradient(y, d) + usual(np.log(d) - np.log1p(-d), form)


@dataclass(frozen=True)
class CrossEntropy(_OfProbabilities):
    """Div = -sum_i t_i log y_i, with label smoothing t_i = d_i - eps (K d_i - 1).

    For a one-hot d: t_c = 1 - (K-1) eps at the class and eps elsewhere.  On probabilities:
    dDiv/dy_i = -t_i / y_i.  On logits, y = softmax(z): dDiv/dz_i = y_i sum_j t_j - t_i.

    Parameters
    ----------
    eps : mass given to each wrong class, in [0, 1/K].  Others write it differently, see
        `from_uniform` (PyTorch, Optax, Keras: a/K on every class) and `from_others` (a/(K-1) on
        each wrong class).
    on : "logits" or "probabilities".
    """

    eps: float = 0.0
    on: str = "logits"
    activation: ClassVar[str] = "Softmax"
    classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        one_of(self, "on", ("logits", "probabilities"))
        real = isinstance(self.eps, int | float | np.floating) and self.eps is not False
        if not real or not 0.0 <= self.eps <= 0.5:
            raise ValueError(f"{self.name}(eps={self.eps!r}): {_EPS_RANGE}")
        # A NumPy scalar would force its own dtype on the formula.
        object.__setattr__(self, "eps", float(self.eps))

    @classmethod
    def from_uniform(cls, a: float, K: int, on: str = "logits") -> CrossEntropy:
        """Convert the form of PyTorch, Optax and Keras, (1 - a) d + a/K: eps = a / K.

        >>> CrossEntropy.from_uniform(0.1, K=10)
        CrossEntropy(eps=0.01, on='logits')
        """
        return cls._of(a, a / _classes(K), K, on)

    @classmethod
    def from_others(cls, a: float, K: int, on: str = "logits") -> CrossEntropy:
        """Convert the form 1 - a on the class and a/(K-1) on the others: eps = a / (K-1)."""
        return cls._of(a, a / (_classes(K) - 1), K, on)

    @classmethod
    def _of(cls, a: float, eps: float, K: int, on: str) -> CrossEntropy:
        if not 0.0 <= eps <= (1.0 + 2.0**-50) / K:  # the conversion itself is rounded
            raise ValueError(f"a = {a!r} with K = {K} classes is eps = {eps!r}: {_EPS_RANGE}")
        return cls(min(eps, 1.0 / K), on)

    def uniform(self, K: int) -> float:
        """The a of the form (1 - a) d + a/K (PyTorch's ``label_smoothing``): a = K eps.

        >>> CrossEntropy(eps=0.02).uniform(K=5)
        0.1
        """
        return K * self.eps

    def others(self, K: int) -> float:
        """The a of the form 1 - a on the class and a/(K-1) on each wrong one: a = (K-1) eps."""
        return (K - 1) * self.eps

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        width = shape[-1]
        if self.eps > 1 / width:
            raise ValueError(
                f"{self.name}(eps={self.eps!r}) with K = {width} classes: {_EPS_RANGE}"
            )
        if d.ndim == len(shape) - 1:
            if d.shape[1:] != shape[1:-1]:
                raise ValueError(
                    f"{self.name}: labels have shape {d.shape}, the output {shape}; give one label "
                    "for each sample"
                )
            return one_hot(d, width, dtype)
        if d.dtype.kind not in "f":
            raise ValueError(
                f"{self.name}: d of shape {d.shape} has dtype {d.dtype}; class indices have shape "
                f"{shape[:-1]}, distributions are floats of the output's shape"
            )
        d = super().desired(d, shape, dtype)
        total = d.sum(axis=-1)
        worst = np.unravel_index(int(np.argmax(np.abs(total - 1))), total.shape)
        # A target of a wider dtype may have been rounded to float32 on its way here.
        eps = max(2 * Precision.of(dtype).unit, 2.0**-23)
        if abs(total[worst] - 1) > width * eps:
            raise ValueError(
                f"{self.name}: row {', '.join(map(str, worst))} of d sums to "
                f"{float(total[worst])!r}; divide each row by its sum (probabilities sum to one)"
            )
        return d

    def targets(self, rng: np.random.Generator, shape: Shape) -> Array:
        return rng.integers(0, shape[-1], shape[:-1])

    def smoothed(self, d: Array) -> Array:
        """The target t (T, K): d with eps on each wrong class."""
        if d.ndim < 1:
            raise ValueError(
                f"{self.name}: d has shape {d.shape}, expected (..., K); "
                "`desired(labels, shape, dtype)` makes it from class labels"
            )
        K = d.shape[-1]
        return d - self.eps * (K * d - 1) if self.eps else d

    def forward(self, y: Array, d: Array) -> Array:
        t = self.smoothed(d)
        if self.on == "logits":
            return _of_logits(t, Exponentials.of(y))
        return -_d_log(t, y).sum(axis=-1)

    def gradient(self, y: Array, d: Array) -> Array:
        t = self.smoothed(d)
        if self.on == "logits":
            return Exponentials.of(y).loss_gradient(t)
        return -_over(t, y)

    def target_gradient(self, y: Array, d: Array) -> Array:
        return self._through_smoothing(d, -self._log(y))

    def _log(self, y: Array) -> Array:
        """The logarithm of the probabilities."""
        return Exponentials.of(y).log_softmax() if self.on == "logits" else np.log(y)

    def _through_smoothing(self, d: Array, dt: Array) -> Array:
        """The gradient by d of that by the target t."""
        return dt - self.eps * (d.shape[-1] * dt) if self.eps else dt

    def forward_and_gradient(self, y: Array, d: Array) -> tuple[Array, Array]:
        if self.on != "logits" or type(self) is not CrossEntropy:
            return super().forward_and_gradient(y, d)
        t, of = self.smoothed(d), Exponentials.of(y)
        return _of_logits(t, of), of.loss_gradient(t)


@dataclass(frozen=True)
class KL(CrossEntropy):
    """KL(t || y) = cross-entropy minus the entropy of t: same gradient, another value."""

    def forward(self, y: Array, d: Array) -> Array:
        t = self.smoothed(d)
        return super().forward(y, d) + _d_log(t, t).sum(axis=-1)

    def target_gradient(self, y: Array, d: Array) -> Array:
        return self._through_smoothing(d, (np.log(self.smoothed(d)) + 1) - self._log(y))


_EPS_RANGE = (
    "give eps in [0, 1/K]; at 1/K the target is uniform, and above it the true class would be the "
    "least probable one (eps is the mass of each wrong class: PyTorch's label_smoothing is K eps)"
)


def _classes(K: int) -> int:
    if isinstance(K, bool) or not isinstance(K, int | np.integer) or K < 2:
        raise ValueError(f"K = {K!r} classes: give a whole number >= 2")
    return int(K)


def one_hot(labels: Array, K: int, dtype: Any) -> Array:
    """Rows of the identity: integer labels (...) in [0, K) to (..., K)."""
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels of shape {labels.shape} have dtype {labels.dtype}; give integers")
    if labels.size and not (labels.min() >= 0 and labels.max() < K):
        bad = labels[(labels < 0) | (labels >= K)][0]
        raise ValueError(f"label {bad} is out of range: {K} outputs have labels 0 to {K - 1}")
    return np.eye(K, dtype=Precision.of(dtype).dtype)[labels]


def _of_logits(t: Array, of: Exponentials) -> Array:
    """-sum_i t_i log softmax(z)_i, a sum of terms of one sign."""
    form = {
        "sum t log sum e^z - sum t z": lambda: (
            of.log_sum()[..., 0] * t.sum(axis=-1) - (t * of.z).sum(axis=-1)
        )
    }
    return usual(-(t * of.log_softmax()).sum(axis=-1), form)


def _d_log(d: Array, y: Array) -> Array:
    """d log y with 0 log 0 = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(d > 0, d * np.log(y), 0)


def _d_log1p(d: Array, y: Array) -> Array:
    """d log(1 + y) with 0 log 0 = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(d > 0, d * np.log1p(y), 0)


def _over(d: Array, y: Array) -> Array:
    """d / y with 0 / 0 = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(d > 0, d / y, 0)
