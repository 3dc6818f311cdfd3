"""Whole layers of sequences: recurrent ones over all steps, and attention with several heads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, NDArray, affine, like, split
from ..formulas.arguments import positive, true_or_false
from ..formulas.attention import Attention
from ..formulas.op import Op, Shape
from ..formulas.recurrent import LSTMCell
from .sequences import GRUCell, RNNCell, rows, weight_gradient

__all__ = ["GRU", "LSTM", "RNN", "MultiHeadAttention"]

#: What is appended to the letters of the direction that runs backwards.
REVERSE = "r"


@dataclass(frozen=True)
class Recurrent(Op):
    """A cell over all steps of a sequence, from states of zero; z holds h of every step.

    Backpropagation through time (Werbos 1990): from the last step to the first, the cell gets
    dh_t = dz_t + the gradient by its state that step t + 1 returned.  dW, dU and the gradients of
    the biases are sums over all steps and samples.

    Parameters
    ----------
    d, h : widths of x and of the state.
    bidirectional : whether a second cell with parameters of its own, Wr, Ur, ..., runs from the
        last step to the first; z has its h behind that of the first cell.

    x has shape (..., T, d), the batch first; z has (..., T, h), or (..., T, 2 h).
    """

    ops_inside: ClassVar[int] = 8

    d: int
    h: int
    bidirectional: bool = False

    def __post_init__(self) -> None:
        positive(self, "d", "h")
        true_or_false(self, "bidirectional")

    @property
    def cell(self) -> Op:
        """The cell of one step, on what `_of_cell` gives."""
        raise self._unwritten("cell(self)")

    def initial(self, letter: str, rng: np.random.Generator, shape: Shape) -> NDArray:
        """Numbers as PyTorch draws them, uniform up to 1 / sqrt(h): larger ones are chaotic."""
        drawn: NDArray = rng.uniform(-1.0, 1.0, shape)
        return drawn / math.sqrt(self.h)

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of the parameters of one direction."""
        return ("W", "U", "b", "c")

    def parameter_shapes(self) -> dict[str, Shape]:
        own = self.cell.parameter_shapes()
        shapes = {"W": (self.d, *own["W"][1:]), "U": own["U"], "b": own["b"], "c": own["b"]}
        ways = ("", REVERSE) if self.bidirectional else ("",)
        return {letter + way: shapes[letter] for way in ways for letter in self.letters}

    def output_shape(self, *shapes: Shape) -> Shape:
        x = shapes[0]
        if len(x) < 2 or x[-1] != self.d or not x[-2]:
            raise ValueError(
                f"{self.name}({self.d}, {self.h}): x {x} does not fit; give (..., T, {self.d}) "
                "with T >= 1 steps"
            )
        return (*x[:-1], self.h * (2 if self.bidirectional else 1))

    def _of_cell(self, x: Array, p: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        """The inputs of the cell: the second bias is one more row of W, for an input of 1."""
        W, U, b, c = p
        one = like(np.ones((*x.shape[:-1], 1)), x)
        row = np.reshape(c, (1, -1))
        return np.concatenate([x, one], axis=-1), (np.concatenate([W, row], axis=0), U, b)

    def _of_layer(self, dx: Array, dp: tuple[Array, ...]) -> tuple[Array, ...]:
        """The gradients by x and by the layer's parameters, from those by what the cell takes."""
        dW, dU, db = dp
        return dx[..., : self.d], dW[: self.d], dU, db, db

    def _ways(self, y: tuple[Array, ...]) -> list[tuple[Array, tuple[Array, ...]]]:
        """The inputs of the cell in each direction, in the order of its steps."""
        x, n = y[0], len(self.letters)
        turned = [x, x[..., ::-1, :]][: 2 if self.bidirectional else 1]
        return [self._of_cell(a, y[1 + i * n : 1 + (i + 1) * n]) for i, a in enumerate(turned)]

    def _zeros(self, x: Array) -> list[Array]:
        """The initial states: as many as the cell takes."""
        shape = (*x.shape[:-2], self.h)
        return [like(np.zeros(shape), x) for _ in range((self.cell.n_inputs or 2) - 1)]

    def forward(self, *y: Array) -> Array:
        found = []
        for way, (x, p) in enumerate(self._ways(y)):
            states, steps = self._zeros(x), []
            for t in range(x.shape[-2]):
                states = _several(self.cell.forward(x[..., t, :], *states, *p))
                steps.append(states[0])
            h = np.stack(steps, axis=-2)
            found.append(h[..., ::-1, :] if way else h)
        return np.concatenate(found, axis=-1) if self.bidirectional else found[0]

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        dx, gradients = [], []
        for way, (x, p) in enumerate(self._ways(y)):
            part = slice(way * self.h, (way + 1) * self.h)
            dh, h = (a[..., ::-1, part] if way else a[..., part] for a in (dz, z))
            own, *others = self._of_layer(*self._through_time(dh, x, p, h))
            dx.append(own[..., ::-1, :] if way else own)
            gradients += others
        return (dx[0] + dx[1] if self.bidirectional else dx[0], *gradients)

    def _through_time(
        self, dz: Array, x: Array, p: tuple[Array, ...], h: Array
    ) -> tuple[Array, tuple[Array, ...]]:
        """The gradients by x and by the cell's parameters; h is the value of every step."""
        T, cell = x.shape[-2], self.cell
        before, after = self._states(x, p, h)
        n = len(before)
        arriving = [[dz[..., T - 1, :], *self._zeros(x)[1:]]]
        for t in range(T - 1, 0, -1):
            taken = (x[..., t, :], *(s[..., t, :] for s in before), *p)
            z = tuple(s[..., t, :] for s in after)
            found = cell.vjp(_one_of(tuple(arriving[0])), taken, _one_of(z))
            arriving.insert(0, [dz[..., t - 1, :] + found[1], *found[2 : 1 + n]])
        ds = tuple(np.stack([step[k] for step in arriving], axis=-2) for k in range(n))
        # All steps at once: each gradient of a parameter is one sum over steps and samples.
        found = cell.vjp(_one_of(ds), (x, *before, *p), _one_of(tuple(after)))
        return found[0], tuple(found[1 + n :])

    def _states(self, x: Array, p: tuple[Array, ...], h: Array) -> tuple[list[Array], list[Array]]:
        """Every state of the cell, before and after all steps."""
        states = [[state] for state in self._zeros(x)]
        for t in range(x.shape[-2]):
            states[0].append(h[..., t, :])
            if len(states) > 1:  # those beside h, which z does not hold
                taken = (state[t] for state in states)
                new = _several(self.cell.forward(x[..., t, :], *taken, *p))
                for state, value in zip(states[1:], new[1:], strict=True):
                    state.append(value)
        before = [np.stack(state[:-1], axis=-2) for state in states]
        return before, [np.stack(state[1:], axis=-2) for state in states]


def _several(z: Any) -> list[Array]:
    return list(z) if isinstance(z, tuple) else [z]


def _one_of(z: tuple[Array, ...]) -> Any:
    return z[0] if len(z) == 1 else z


@dataclass(frozen=True)
class RNN(Recurrent):
    """`RNNCell` over all steps: h_t = tanh(x_t W + b + h_t-1 U + c), with h_0 = 0 (Elman 1990).

    With dh_t = dz_t + ds_t+1 U^T and ds_t = dh_t (1 - h_t^2): dx_t = ds_t W^T,
    dW = sum x_t^T ds_t, dU = sum h_t-1^T ds_t, db = dc = sum ds_t; see `Recurrent`.

    >>> RNN(4, 3).output_shape((5, 6, 4))
    (5, 6, 3)
    """

    @property
    def cell(self) -> RNNCell:
        return RNNCell(self.d + 1, self.h)


@dataclass(frozen=True)
class LSTM(Recurrent):
    """`LSTMCell` over all steps, from states of 0 (Hochreiter and Schmidhuber 1997).

    The cell's formula is on x_t W + b + h_t-1 U + c, so db = dc; dh_t = dz_t + the gradient by the
    state h that step t + 1 returns, and dc_t is the one by its cell state.  See `Recurrent`.

    >>> LSTM(4, 3, bidirectional=True).output_shape((5, 6, 4))
    (5, 6, 6)
    """

    @property
    def cell(self) -> LSTMCell:
        return LSTMCell(self.d + 1, self.h)


@dataclass(frozen=True)
class GRU(Recurrent):
    """`GRUCell` over all steps, from a state of 0 (Cho et al. 2014); see there and `Recurrent`.

    Parameters
    ----------
    d, h, bidirectional : as in `Recurrent`.
    reset_after : as in `GRUCell`; without it there is no second bias c.

    >>> GRU(4, 3).parameter_shapes()
    {'W': (4, 9), 'U': (3, 9), 'b': (9,), 'c': (9,)}
    """

    reset_after: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        true_or_false(self, "reset_after")

    @property
    def cell(self) -> GRUCell:
        return GRUCell(self.d, self.h, self.reset_after)

    @property
    def letters(self) -> tuple[str, ...]:
        return tuple(self.cell.parameter_shapes())

    def _of_cell(self, x: Array, p: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        return x, p

    def _of_layer(self, dx: Array, dp: tuple[Array, ...]) -> tuple[Array, ...]:
        return dx, *dp


@dataclass(frozen=True)
class MultiHeadAttention(Op):
    """z = A V + c, where A has `Attention` of each head side by side (Vaswani et al. 2017).

    q, k, v = the three blocks of x W + b; head i has the columns i D to (i + 1) D of each block,
    with D = d / heads.  dA = dz V^T, dV = A^T dz, dc = sum dz; with dq, dk and dv of `Attention`
    side by side as ds: dx = ds W^T, dW = x^T ds, db = sum ds.

    Parameters
    ----------
    d : width of x and z; W is (d, 3 d), b (3 d,), V (d, d) and c (d,).
    heads : the number of heads, which divides d.
    causal : as in `Attention`.
    bias : whether there are b and c.
    cross : whether k and v come from a second input, the memory (..., S, d), in place of x.

    >>> MultiHeadAttention(4, 2).output_shape((5, 6, 4))
    (5, 6, 4)
    """

    ops_inside: ClassVar[int] = 3

    d: int
    heads: int
    causal: bool = False
    bias: bool = True
    cross: bool = False

    def __post_init__(self) -> None:
        positive(self, "d", "heads")
        true_or_false(self, "causal", "bias", "cross")
        if self.d % self.heads:
            raise ValueError(
                f"MultiHeadAttention(d={self.d}, heads={self.heads}): {self.heads} heads do not "
                f"divide a width of {self.d}; give a divisor of d"
            )
        if self.causal and self.cross:
            raise ValueError(
                "MultiHeadAttention(causal=True, cross=True): positions of a memory have no order "
                "with those of x; give one of both"
            )

    @property
    def n_inputs(self) -> int:  # type: ignore[override]
        return 2 if self.cross else 1

    @property
    def attention(self) -> Attention:
        """The attention of every head."""
        return Attention(self.causal)

    def parameter_shapes(self) -> dict[str, Shape]:
        d = self.d
        if not self.bias:
            return {"W": (d, 3 * d), "V": (d, d)}
        return {"W": (d, 3 * d), "b": (3 * d,), "V": (d, d), "c": (d,)}

    def output_shape(self, *shapes: Shape) -> Shape:
        x, memory = shapes[0], shapes[self.n_inputs - 1]
        fit = min(len(x), len(memory)) >= 2 and x[-1] == memory[-1] == self.d and memory[-2]
        if not fit or x[:-2] != memory[:-2]:
            also = f" and memory {memory} do" if self.cross else " does"
            raise ValueError(
                f"MultiHeadAttention({self.d}, {self.heads}): x {x}{also} not fit; give "
                f"(..., T, {self.d})" + (f" and (..., S, {self.d})" if self.cross else "")
            )
        return x

    def _parameters(self, y: tuple[Array, ...]) -> tuple[Array, ...]:
        """W, b, V and c; zeros for biases that it has not."""
        p = y[self.n_inputs :]
        if self.bias:
            return p
        W, V = p
        zeros = (like(np.zeros(a.shape[-1]), a) for a in (W, V))
        return W, next(zeros), V, next(zeros)

    def _sources(self) -> tuple[tuple[int, int, int], ...]:
        """(input, first column, last column) of each product with columns of W."""
        d = self.d
        return ((0, 0, d), (1, d, 3 * d)) if self.cross else ((0, 0, 3 * d),)

    def _heads(self, a: Array) -> Array:
        """(..., T, d) as (..., heads, T, D)."""
        parts = np.reshape(a, (*a.shape[:-1], self.heads, self.d // self.heads))
        return np.swapaxes(parts, -2, -3)

    def _joined(self, a: Array) -> Array:
        """(..., heads, T, D) as (..., T, d)."""
        apart = np.swapaxes(a, -2, -3)
        return np.reshape(apart, (*apart.shape[:-2], self.d))

    def _attention(self, y: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array]:
        """q, k and v of every head, and what they give."""
        W, b = self._parameters(y)[:2]
        blocks: list[Array] = []
        for i, first, last in self._sources():
            s = affine(y[i], W[:, first:last], b[first:last])
            blocks += split(s, (self.d,) * ((last - first) // self.d), -1)
        heads = tuple(self._heads(a) for a in blocks)
        return heads, self.attention.forward(*heads)

    def forward(self, *y: Array) -> Array:
        _, _, V, c = self._parameters(y)
        return affine(self._joined(self._attention(y)[1]), V, c)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        W, _, V, _ = self._parameters(y)
        heads, found = self._attention(y)
        A = self._joined(found)
        parts = self.attention.vjp(self._heads(dz @ V.mT), heads, found)
        ds = [self._joined(a) for a in parts]
        dy, dW, db = [], [], []
        for i, first, last in self._sources():
            block = np.concatenate(ds[first // self.d : last // self.d], axis=-1)
            dy.append(block @ W[:, first:last].mT)
            dW.append(weight_gradient(y[i], block))
            db.append(rows(block).sum(axis=0))
        dV, dc = weight_gradient(A, dz), rows(dz).sum(axis=0)
        W_and_b = np.concatenate(dW, axis=-1), np.concatenate(db, axis=-1)
        return (*dy, *W_and_b, dV, dc) if self.bias else (*dy, W_and_b[0], dV)
