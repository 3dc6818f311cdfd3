"""Reported problems with ports, accumulated gradients and optimizers: two programs differ."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from field_case import Answers, aligned, case, leaf, normal
from torch import Tensor

import gradparity as gp

F = torch.nn.functional
NCHW = ("NCHW", "OIHW", "NCHW")


@case("a ported ResNet differs from the first convolution with a stride on", "gp.align")
def f01() -> Answers:
    x, w = normal(1, 2, 6, 6), normal(3, 2, 3, 3)

    def original(w: Tensor) -> Tensor:
        return F.conv2d(torch.tensor(x), w, stride=2, padding=1).square().sum()

    def port(padding: Any) -> Any:
        def loss(w: Any) -> Any:
            y = jax.lax.conv_general_dilated(x, w, (2, 2), padding, dimension_numbers=NCHW)
            return (y**2).sum()

        return aligned(original, loss, (leaf(w),), (w,))

    return Answers(port("SAME"), (port(((1, 1), (1, 1))),))


@case("a layer norm with the same weights gives other outputs", "gp.align")
def f02() -> Answers:
    x, dy = (normal(8, 12, seed=seed).astype("float32") for seed in (0, 1))

    def original(x: Tensor) -> Tensor:
        return (F.layer_norm(x, (12,)) * torch.tensor(dy)).sum()

    def port(eps: float) -> gp.Report:
        def loss(x: Any) -> Any:
            m = x.mean(1, keepdims=True)
            y = (x - m) * jax.lax.rsqrt(((x - m) ** 2).mean(1, keepdims=True) + eps)
            return (y * dy).sum()

        return aligned(original, loss, (leaf(x),), (x,))

    return Answers(port(1e-6), (port(1e-5),))


@case("a transposed convolution with the same kernel gives other outputs", "gp.align")
def f05() -> Answers:
    x, w = normal(1, 2, 3, 3), normal(2, 2, 3, 3, seed=1)
    images = x.transpose(0, 2, 3, 1)

    def original(w: Tensor) -> Tensor:
        return F.conv_transpose2d(torch.tensor(x), w, stride=2).square().sum()

    def port(flip: bool) -> gp.Report:
        def loss(w: Any) -> Any:
            kernel = w.transpose(2, 3, 1, 0) if flip else w.transpose(2, 3, 0, 1)
            y = jax.lax.conv_transpose(images, kernel, (2, 2), "VALID", transpose_kernel=flip)
            return (y**2).sum()

        return aligned(original, loss, (leaf(w),), (jnp.asarray(w),))

    return Answers(port(False), (port(True),))


@case("the row of the padding token is trained in one program alone", "gp.align")
def f06() -> Answers:
    ids = np.array([[0, 0, 3, 1, 5], [0, 2, 2, 4, 1], [0, 0, 0, 1, 3]])
    e, dy = normal(6, 4), normal(3, 5, 4, seed=1)

    def report(padding: int | None, ids: np.ndarray = ids) -> gp.Report:
        def original(e: Tensor) -> Tensor:
            y = F.embedding(torch.tensor(ids), e, padding_idx=padding)
            return (y * torch.tensor(dy)).sum()

        def port(e: Any) -> Any:
            return (e[ids] * dy).sum()

        return aligned(original, port, (leaf(e),), (jnp.asarray(e),))

    return Answers(report(0), (report(None), report(0, np.where(ids, ids, 2))))


@case("accumulated gradients of micro-batches are not those of the batch", "gp.align")
def f07() -> Answers:
    torch.manual_seed(0)
    w, x, d = torch.randn(6, 5, requires_grad=True), torch.randn(24, 6), torch.randint(0, 5, (24,))

    def step(sizes: list[int], by_size: bool = False) -> gp.Recording:
        w.grad = None
        with gp.record(name=f"{len(sizes)} parts", keep=True) as seen:
            for xs, ds in zip(x.split(sizes), d.split(sizes), strict=True):
                share = len(ds) / len(d) if by_size else 1 / len(sizes)
                (F.cross_entropy(xs @ w, ds) * share).backward()
        return seen

    whole = step([24])
    right = [step([12, 12]), step([5, 19], True)]
    return Answers(gp.align(whole, step([5, 19])), tuple(gp.align(whole, r) for r in right))


def torch_training(kind: Any, w0: Any, x: Any, d: Any) -> Any:
    """A training in PyTorch."""

    def begin() -> Any:
        w = torch.nn.Parameter(torch.tensor(w0))
        optimizer = kind([w], lr=0.1, weight_decay=0.01)

        def step(t: int, given: Any) -> Any:
            if given is not None:
                w.data = torch.tensor(given["W"])
            optimizer.zero_grad()
            loss = ((torch.tensor(x) @ w - torch.tensor(d)) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss, {"W": w}

        return {"W": w}, step

    return begin


@case("the same weight decay trains another model in the port", "gp.align_steps")
def f10() -> Answers:
    w0, x, d = normal(4, 3), normal(6, 4, seed=1), normal(6, 3, seed=2)

    def begin() -> Any:
        w, optimizer = jnp.asarray(w0), optax.adamw(0.1, weight_decay=0.01)
        state = optimizer.init(w)

        def step(t: int, given: Any) -> Any:
            nonlocal w, state
            w = w if given is None else jnp.asarray(given["W"])
            loss, grad = jax.value_and_grad(lambda w: ((x @ w - d) ** 2).mean())(w)
            change, state = optimizer.update(grad, state, w)
            w = w + change
            return loss, {"W": w}

        return {"W": w}, step

    def report(kind: Any) -> gp.Report:
        return gp.align_steps(torch_training(kind, w0, x, d), begin, steps=5)

    return Answers(report(torch.optim.Adam), (report(torch.optim.AdamW),))


@case("a dense layer after flattened images gives other outputs", "gp.align")
def f11() -> Answers:
    torch.manual_seed(0)
    conv, head, x = torch.nn.Conv2d(1, 3, 2), torch.nn.Linear(27, 4), torch.randn(2, 1, 4, 4)
    both = torch.nn.ModuleList([conv, head])

    def model(*order: int) -> Any:
        def loss(_: Any) -> Tensor:
            y = conv(x).permute(0, 2, 3, 1)
            return head(y.permute(order).flatten(1)).square().sum()

        return loss

    def original(_: Any) -> Tensor:
        return head(conv(x).flatten(1)).square().sum()

    wrong, right = (aligned(original, model(*o), (both,)) for o in ((0, 1, 2, 3), (0, 3, 1, 2)))
    return Answers(wrong, (right,))


@case("a fused loss with class weights and label smoothing differs", "gp.align")
def f14() -> Answers:
    torch.manual_seed(0)
    z, d = torch.randn(8, 4, dtype=torch.float64, requires_grad=True), torch.randint(0, 4, (8,))
    w = torch.tensor([0.2, 0.3, 1.0, 2.0], dtype=torch.float64)
    q = 0.9 * F.one_hot(d, 4).double() + 0.1 / 4

    def original(z: Tensor) -> Tensor:
        return F.cross_entropy(z, d, weight=w, label_smoothing=0.1)

    def of_each_class(z: Tensor) -> Tensor:
        return -(q * w * z.log_softmax(1)).sum() / w[d].sum()

    def of_the_label(z: Tensor) -> Tensor:
        return (-(q * z.log_softmax(1)).sum(1) * w[d]).sum() / w[d].sum()

    return Answers(aligned(original, of_the_label, (z,)), (aligned(original, of_each_class, (z,)),))


@case("a port evaluates otherwise than it trains", "gp.align")
def f15() -> Answers:
    torch.manual_seed(0)
    x, there = 1 + 2 * torch.randn(8, 3).double(), {"weight": jnp.ones(3), "bias": jnp.zeros(3)}

    def original(bn: Any) -> Tensor:
        return (bn(x) ** 3).sum()

    def port(keep: float, of: int) -> gp.Report:
        def loss(p: Any, stats: Any) -> Any:
            mean, var = jnp.mean(x.numpy(), 0), jnp.var(x.numpy(), 0)
            new = {"mean": (1 - keep) * mean, "var": (1 - keep) * var * (8 / of)}
            new = {name: keep * stats[name] + a for name, a in new.items()}
            y = (x.numpy() - mean) / jnp.sqrt(var + 1e-5) * p["weight"] + p["bias"]
            return (y**3).sum(), new

        bn, stats = torch.nn.BatchNorm1d(3).double(), {"mean": jnp.zeros(3), "var": jnp.ones(3)}
        return aligned(original, loss, (bn,), (there, stats), has_aux=True)

    return Answers(port(0.1, 8), (port(0.9, 7),))
