"""The loss of a sequence of labels summed over all its alignments with longer sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..arithmetic.arrays import Array, NDArray, like, log_add, moved, usual
from ..formulas.arguments import refused, true_or_false, whole
from ..formulas.op import Op, Shape
from ..formulas.softmax import log_softmax, softmax

__all__ = ["CTC"]


@dataclass(frozen=True)
class CTC(Op):
    """z = -log p, p the sum over all alignments pi of prod_t Y_{t, pi_t} (Graves et al. 2006).

    An alignment names a class for every frame t; without repetitions, and then without blanks, it
    reads as the labels.  Let l be the labels with blanks around each.  Over the places s of l,
    alpha_t(s) sums the alignments that are at s after frame t, and beta_t(s) what may follow.
    Frame t is at class k with probability q_tk = sum_{s: l_s = k} alpha_t(s) beta_t(s) / p, so
    dy_tk = dz (Y_tk - q_tk) for the logits y, Y = softmax(y).

    The inputs are labels (..., S) with -1 behind the last one, y (..., T, n), and, where sequences
    have several lengths, a mask (T,) or (..., T) that is 1 for frames, the first among them, and 0
    behind the last one.  Where no alignment exists, z is infinite and dy is NaN.

    Parameters
    ----------
    n : the number of classes, the blank among them.
    blank : the class of the blank.
    zero_infinity : whether z and dy are 0 where no alignment exists.

    >>> CTC(2).forward(np.array([[1]]), np.zeros((1, 2, 2)))  # 3 alignments of 4
    array([0.28768207])
    """

    n: int
    blank: int = 0
    zero_infinity: bool = False
    ops_inside: ClassVar[int] = 4
    n_inputs: ClassVar[int | None] = None
    integers: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole(self, "n", least=2)
        whole(self, "blank", least=0)
        if self.blank >= self.n:
            raise refused(self, "blank", self.blank, f"a class from 0 to {self.n - 1}")
        true_or_false(self, "zero_infinity")

    def output_shape(self, *shapes: Shape) -> Shape:
        labels, y, *masks = shapes
        fits = len(labels) > 0 and len(y) == len(labels) + 1 and labels[:-1] == y[:-2]
        known = len(masks) < 2 and all(mask in (y[-2:-1], y[:-1]) for mask in masks)
        if not fits or not known or y[-1] != self.n or not y[-2]:
            raise ValueError(
                f"{self!r} takes labels (..., S), y (..., T, {self.n}) with T > 0, and "
                f"at most one mask, (T,) or (..., T), received {', '.join(map(str, shapes))}"
            )
        return y[:-2]

    def sample_integers(self, rng: np.random.Generator, shape: Shape) -> NDArray:
        labels = rng.integers(0, self.n - 1, shape)
        labels += labels >= self.blank
        lengths = rng.integers(0, shape[-1] + 1, (*shape[:-1], 1))
        return np.where(np.arange(shape[-1]) < lengths, labels, -1)

    def check_integers(self, ids: NDArray) -> None:
        """Raises ValueError for what is no label, and for labels behind the last one."""
        if ids.size and (ids.min() < -1 or ids.max() >= self.n or (ids == self.blank).any()):
            raise ValueError(
                f"{self!r}: the labels run from {ids.min()} to {ids.max()}; give classes from 0 to "
                f"{self.n - 1} other than the blank {self.blank}, and -1 behind the last one"
            )
        if (np.diff((ids < 0).astype(int), axis=-1) < 0).any():
            raise ValueError(f"{self!r}: a label comes after -1; give the labels first")

    def without_value(self, *y: NDArray) -> str:
        labels, frames = np.asarray(y[0]), np.asarray(y[1]).shape[-2]
        given = np.broadcast_to(y[2] if len(y) > 2 else 1.0, (*labels.shape[:-1], frames))
        has = np.asarray(given != 0).sum(axis=-1)
        repeated = ((labels[..., 1:] == labels[..., :-1]) & (labels[..., 1:] >= 0)).sum(axis=-1)
        length = (labels >= 0).sum(axis=-1)
        few = has < length + repeated
        if not few.any():
            return ""
        at = tuple(int(i) for i in np.argwhere(few)[0])
        n, more = int(length[at] + repeated[at]), int(few.sum()) - 1
        which = f"of sequence {', '.join(map(str, at))} " if at else ""
        return (
            f"no alignment {which}exists{f', nor of {more} more' if more else ''}: its "
            f"{length[at]} labels, {repeated[at]} of them like the one before, need {n} frames, "
            f"and it has {has[at]}, so the loss is infinite; give more frames or fewer labels, or "
            "zero_infinity=True"
        )

    def log_probabilities(self, y: Array) -> Array:
        """log Y."""
        return log_softmax(y)

    def gradient(self, y: Array, q: Array) -> Array:
        """dz/dy, given the probability q of each class at each frame."""
        Y = softmax(y, -1)

        def less(a: Array) -> Array:
            return a - Y * a.sum(axis=-1, keepdims=True)

        forms = {
            "Y sum_k q_k - q": lambda: less(-q),
            "(Y - q) - Y sum_k (Y - q)_k": lambda: less(Y - q),
        }
        return usual(Y - q, forms)

    def _lattice(self, labels: NDArray, y: Array, mask: Any = 1) -> _Lattice:
        return _Lattice.of(labels, self.log_probabilities(y), mask, self.blank)

    def log_p(self, *y: Array) -> Array:
        """log p, which is -inf where no alignment exists."""
        lattice = self._lattice(*y)
        return lattice.log_p(lattice.alphas()[-1])

    def forward(self, *y: Array) -> Array:
        log_p = self.log_p(*y)
        return np.where(_dead(log_p), 0, -log_p) if self.zero_infinity else -log_p

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array | None, ...]:
        a, lattice = y[1], self._lattice(*y)
        alphas, betas = lattice.alphas(), lattice.betas()
        log_p = lattice.log_p(alphas[-1])
        none = _dead(log_p)[..., np.newaxis, np.newaxis]
        log_p = np.where(_dead(log_p), 0, log_p)[..., np.newaxis]
        at = [np.exp(b + c - log_p) for b, c in zip(alphas, betas, strict=True)]
        q = np.stack(at, axis=-2) @ like(np.eye(self.n)[lattice.path], a)
        gradient = np.where(lattice.frames[..., np.newaxis], self.gradient(a, q), 0)
        gradient = np.where(none, 0.0 if self.zero_infinity else np.nan, gradient)
        return None, np.expand_dims(dz, (-1, -2)) * gradient, *(None for _ in y[2:])


class _Lattice(NamedTuple):
    """The places of labels with blanks around each, over the frames.

    Attributes
    ----------
    path : (..., 2 S + 1), the class of each place.
    emitted : (..., T, 2 S + 1), the log-probability of each place at each frame.
    skips : where the place two before may come right before.
    last : places where an alignment may end.
    frames : (..., T), False behind the last frame.
    """

    path: NDArray
    emitted: Array
    skips: NDArray
    last: NDArray
    frames: NDArray

    @classmethod
    def of(cls, labels: NDArray, log_y: Array, mask: Any, blank: int) -> _Lattice:
        n = 2 * labels.shape[-1] + 1
        path = np.full((*labels.shape[:-1], n), blank)
        path[..., 1::2] = np.where(labels < 0, blank, labels)
        skips = np.zeros(path.shape, dtype=bool)
        skips[..., 2:] = (path[..., 2:] != blank) & (path[..., 2:] != path[..., :-2])
        end = 2 * (labels >= 0).sum(axis=-1, keepdims=True)
        place = np.arange(n)
        last = (place == end) | (place == end - 1)
        frames = np.broadcast_to(np.asarray(mask != 0, dtype=bool), log_y.shape[:-1])
        at = np.broadcast_to(path[..., np.newaxis, :], (*log_y.shape[:-1], n))
        emitted = moved(log_y, lambda a, _: np.take_along_axis(a, at, -1))
        return cls(path, emitted, skips, last, frames)

    def _nothing(self) -> Array:
        return like(np.full(self.path.shape, -np.inf), self.emitted)

    def alphas(self) -> Sequence[Array]:
        """log alpha_t(s) for every frame t."""
        place = np.arange(self.path.shape[-1])
        alphas = [np.where(place < 2, self.emitted[..., 0, :], self._nothing())]
        for t in range(1, self.frames.shape[-1]):
            a = alphas[-1]
            came = _log_add(a, self._shifted(a, 1))
            came = _log_add(came, np.where(self.skips, self._shifted(a, 2), self._nothing()))
            alphas.append(np.where(self.frames[..., t : t + 1], came + self.emitted[..., t, :], a))
        return alphas

    def betas(self) -> Sequence[Array]:
        """log beta_t(s) for every frame t."""
        betas = [np.where(self.last, 0 * self.emitted[..., 0, :], self._nothing())]
        for t in range(self.frames.shape[-1] - 1, 0, -1):
            b = betas[-1] + self.emitted[..., t, :]
            goes = _log_add(b, self._shifted(b, -1))
            goes = _log_add(goes, self._shifted(np.where(self.skips, b, self._nothing()), -2))
            betas.append(np.where(self.frames[..., t : t + 1], goes, betas[-1]))
        return betas[::-1]

    def log_p(self, alpha: Array) -> Array:
        """log p, of the last alpha: the sum over the places where an alignment may end."""
        ends: Array = np.where(self.last, alpha, self._nothing())
        total = ends[..., 0]
        for s in range(1, self.path.shape[-1]):
            total = _log_add(total, ends[..., s])
        return total

    def _shifted(self, a: Array, by: int) -> Array:
        """a at the place `by` before, nothing where there is none."""
        places = np.arange(self.path.shape[-1]) - by
        there = (places >= 0) & (places < self.path.shape[-1])
        return np.where(there, np.roll(a, by, axis=-1), self._nothing())


def _dead(a: Array) -> NDArray:
    return np.asarray(a == -np.inf, dtype=bool)


def _log_add(a: Array, b: Array) -> Array:
    """log(e^a + e^b), where either may be -inf."""
    none_a, none_b, zero = _dead(a), _dead(b), like(np.zeros(a.shape), a)
    both = log_add(np.where(none_a, zero, a), np.where(none_b, zero, b))
    return np.where(none_b, a, np.where(none_a, b, both))
