"""Reported problems with one program: own backward passes, ties, numbers that are not finite."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from field_case import Answers, aligned, case, checked, function, leaf, normal
from torch import Tensor

import gradparity as gp
from gradparity.core import Affine, CrossEntropy, Softmax, layered

F = torch.nn.functional


@case("`allclose` accuses a batch norm by hand that is right", "gp.align, gp.check")
def f03() -> Answers:
    torch.manual_seed(0)
    bn, x, dy = torch.nn.BatchNorm2d(3), 5 + torch.randn(32, 3, 8, 8), torch.randn(32, 3, 8, 8)

    def original(bn: Any) -> Tensor:
        return (bn(x) * dy).sum()

    def by_hand(bn: Any) -> Tensor:
        m = x.mean((0, 2, 3), keepdim=True)
        v = x.var((0, 2, 3), unbiased=False, keepdim=True)
        y = (x - m) / torch.sqrt(v + bn.eps) * bn.weight[:, None, None] + bn.bias[:, None, None]
        return (y * dy).sum()

    return Answers(None, (aligned(original, by_hand, (bn,)), checked(by_hand, bn)))


@case("a custom function trains, and gradcheck fails with a cryptic error", "gp.check_function")
def f04() -> Answers:
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.s = torch.rsqrt(1 + torch.clamp(x, max=0) ** 2)
        return x * ctx.s

    torch.manual_seed(0)
    x = torch.randn(4, dtype=torch.float64, requires_grad=True)
    wrong = function(forward, lambda ctx, dy: ctx.s**3, "ISRLU")
    right = function(forward, lambda ctx, dy: ctx.s**3 * dy, "ISRLU")
    step = checked(lambda x: (3 * right(x)).sum(), x)
    return Answers(gp.check_function(wrong, x), (gp.check_function(right, x), step))


def pool(share: str) -> Any:
    """A max pooling with a backward pass by hand, and a choice at ties."""

    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.max_pool2d(x, 2)

    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        dx = torch.zeros_like(x)
        for n, c, i, j in np.ndindex(*dy.shape):
            at = n, c, slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2)
            tied = (x[at] == x[at].max()).to(dy.dtype)
            if share == "last":
                k = int(tied.flatten().nonzero()[-1])
                tied = F.one_hot(torch.tensor(k), 4).reshape(2, 2).to(dy.dtype)
            dx[at] = tied / (tied.sum() if share == "even" else 1) * dy[n, c, i, j]
        return dx

    return function(forward, backward, "Pool")


@case("a few gradients of a max pooling differ where values are tied", "gp.check")
def f08() -> Answers:
    x, dy = np.random.default_rng(0).integers(-1, 2, (1, 1, 6, 6)), normal(1, 1, 3, 3, seed=1)

    def report(f: Any) -> gp.Report:
        return checked(lambda x: (f(x) * torch.tensor(dy)).sum(), leaf(x.astype(float)))

    torch_own = report(lambda x: F.max_pool2d(x, 2))
    return Answers(report(pool("all")), (torch_own, report(pool("last")), report(pool("even"))))


@case("gradcheck accuses `relu` at 0 and at subnormal numbers", "gp.check")
def f09() -> Answers:
    x, dy = np.array([0.0, 5e-324, 1e-311, -1e-311]), np.arange(1.0, 5.0)
    here = checked(lambda x: (F.relu(x) * torch.tensor(dy)).sum(), leaf(x))
    return Answers(None, (here, checked(lambda x: (jax.nn.relu(x) * dy).sum(), x)))


def rnn(truncated: bool) -> Any:
    """A recurrent layer with a backward pass by hand."""

    def forward(ctx: Any, x: Tensor, wi: Tensor, wh: Tensor, bi: Tensor, bh: Tensor) -> Tensor:
        h = [x.new_zeros(len(x), len(wh))]
        for t in range(x.shape[1]):
            h.append(torch.tanh(x[:, t] @ wi.T + bi + h[-1] @ wh.T + bh))
        ctx.save_for_backward(x, wh, *h)
        return h[-1]

    def backward(ctx: Any, dh: Tensor) -> Any:
        x, wh, *h = ctx.saved_tensors
        dwi, dwh, db = x.new_zeros(len(wh), x.shape[2]), torch.zeros_like(wh), wh.new_zeros(len(wh))
        for t in reversed(range(x.shape[1])):
            a = dh * (1 - h[t + 1] ** 2)
            dwi, dwh, db, dh = dwi + a.T @ x[:, t], dwh + a.T @ h[t], db + a.sum(0), a @ wh
            if truncated:
                break
        return None, dwi, dwh, db, db

    return function(forward, backward, "ByHand")


@case("backpropagation through time by hand is not that of `nn.RNN`", "gp.check, gp.align")
def f12() -> Answers:
    torch.manual_seed(0)
    layer = torch.nn.RNN(1, 2, batch_first=True).double()
    x, d = torch.randn(4, 3, 1).double(), torch.randn(4, 2).double()

    def by_hand(truncated: bool) -> Any:
        return lambda layer: (rnn(truncated)(x, *layer.parameters()) * d).sum()

    def original(layer: Any) -> Tensor:
        return (layer(x)[1][0] * d).sum()

    right = aligned(original, by_hand(False), (layer,)), checked(by_hand(False), layer)
    return Answers(checked(by_hand(True), layer), right)


class Linear:
    """A dense layer by hand."""

    def __init__(self, n: int, m: int) -> None:
        self.W, self.b = np.zeros((m, n)), np.zeros((m, 1))

    def forward(self, a: Any) -> Any:
        self.A = a
        return a @ self.W.T + self.b.T

    def backward(self, d: Any) -> Any:
        self.dLdW, self.dLdb = d.T @ self.A, d.sum(0)[:, None]
        return d @ self.W


class SoftmaxByHand:
    """A softmax by hand, with the whole Jacobian or its diagonal alone."""

    def __init__(self, whole: bool) -> None:
        self.whole = whole

    def forward(self, z: Any) -> Any:
        e = np.exp(z - z.max(1, keepdims=True))
        self.S = e / e.sum(1, keepdims=True)
        return self.S

    def backward(self, d: Any) -> Any:
        if self.whole:
            return self.S * (d - (d * self.S).sum(1, keepdims=True))
        return d * self.S * (1 - self.S)


class Loss:
    """A cross-entropy of probabilities by hand."""

    def forward(self, a: Any, y: Any) -> Any:
        self.a, self.y = a, y
        return -(y * np.log(a)).sum() / len(a)

    def backward(self) -> Any:
        return -self.y / self.a / len(self.a)


@case("a softmax and a cross-entropy by hand do not learn", "gp.check")
def f13() -> Answers:
    network = layered([Affine(5, 4), Softmax()], CrossEntropy(on="probabilities"))

    def report(whole: bool) -> gp.Report:
        stack = gp.LayerStack(lambda: [Linear(5, 4), SoftmaxByHand(whole)], Loss)
        return gp.check(network, stack, dtypes=["float64"])

    return Answers(report(False), (report(True),))


@case("the norm of a row of zeros has the gradient NaN", "gp.check")
def f16() -> Answers:
    x = np.array([[0.0, 0, 0, 0], [1, 2, 3, 4]])
    right = checked(lambda x: torch.linalg.vector_norm(x, dim=1).sum(), leaf(x))
    return Answers(checked(lambda x: jnp.linalg.norm(x, axis=1).sum(), x), (right,))


@case("one padded sequence makes every gradient NaN", "gp.check")
def f17() -> Answers:
    keep = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
    s, w = leaf(normal(3, 4)), leaf(normal(4, 2, seed=1))

    def report(softmax: Any) -> gp.Report:
        def loss(s: Tensor, w: Tensor) -> Tensor:
            return (softmax(s.masked_fill(~keep, -torch.inf), -1) @ w).square().sum()

        return checked(loss, s, w)

    return Answers(report(torch.softmax), (report(torch._safe_softmax),))
