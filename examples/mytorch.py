"""Layers as a course on deep learning has its students write them: classes, and NumPy alone.

Each layer stores what its backward pass needs.  As the course has them, a weight W has shape
(out, in) and a bias b (out, 1); backward gives the gradient by the layer's input and leaves those
by its parameters in dLdW and dLdb.  Below are three mistakes that students make.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


class Linear:
    """Z = A W^T + b."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.W = np.zeros((n_out, n_in))
        self.b = np.zeros((n_out, 1))

    def forward(self, A: Array) -> Array:
        self.A = A
        return A @ self.W.T + self.b.T

    def backward(self, dLdZ: Array) -> Array:
        self.dLdW = dLdZ.T @ self.A
        self.dLdb = dLdZ.sum(axis=0, keepdims=True).T
        return dLdZ @ self.W


class ReLU:
    """A = max(Z, 0)."""

    def forward(self, Z: Array) -> Array:
        self.A = np.maximum(Z, 0)
        return self.A

    def backward(self, dLdA: Array) -> Array:
        return dLdA * (self.A > 0)


class Tanh:
    """A = tanh(Z)."""

    def forward(self, Z: Array) -> Array:
        self.Z, self.A = Z, np.tanh(Z)
        return self.A

    def backward(self, dLdA: Array) -> Array:
        return dLdA * (1 - self.A**2)


class CrossEntropyLoss:
    """The mean over the batch of -sum_i Y_i log softmax(Z)_i."""

    def forward(self, Z: Array, Y: Array) -> float:
        e = np.exp(Z - Z.max(axis=1, keepdims=True))
        self.softmax, self.Y = e / e.sum(axis=1, keepdims=True), Y
        return -(Y * np.log(self.softmax)).sum() / len(Z)

    def backward(self) -> Array:
        return (self.softmax - self.Y) / len(self.Y)


# Three mistakes ---------------------------------------------------------------------------------


class LinearAveragingTwice(Linear):
    """The batch is averaged over in the loss, and once more in the bias."""

    def backward(self, dLdZ: Array) -> Array:
        dLdA = super().backward(dLdZ)
        self.dLdb = dLdZ.mean(axis=0, keepdims=True).T
        return dLdA


class ReLUOfItsOutput(ReLU):
    """The mask asks whether the output is >= 0, which it always is."""

    def backward(self, dLdA: Array) -> Array:
        return dLdA * (self.A >= 0)


class TanhOfItsInput(Tanh):
    """1 - Z^2 for 1 - A^2: the derivative in terms of the wrong variable."""

    def backward(self, dLdA: Array) -> Array:
        return dLdA * (1 - self.Z**2)
