"""PyTorch's functions with kinks, and the ways it differentiates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

from ..kinks import (
    LOWEST,
    MIDDLE,
    TIES,
    Answer,
    NativeKink,
    Question,
    each,
    joined,
    spelled,
    tangents,
)
from .singular import FURTHER_POINTS, FURTHER_TIES, SINGULAR_POINTS

__all__ = ["TorchKinks"]


class TorchKinks:
    """See `gradparity.adapters.kinks.Kinks`."""

    @property
    def spellings(self) -> Sequence[NativeKink]:
        return spelled(POINTS + FURTHER_POINTS, TIED + FURTHER_TIES, SINGULAR_POINTS)

    def modes(self, compile: bool) -> Sequence[str]:
        return ("reverse", "forward", *(("jit reverse", "jit forward") if compile else ()))

    def function(self, native: Any) -> Callable[[Tensor], Tensor]:
        return native  # type: ignore[no-any-return]

    def answers(self, questions: Sequence[Question], mode: str) -> list[Answer | Exception]:
        ask = _forward if mode.endswith("forward") else _reverse
        # PyTorch warns of its own use of torch.jit and of what it cannot compile well.
        with torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not mode.startswith("jit"):
                return each(lambda question: ask(question, _as_it_is), questions)
            return each(lambda question: ask(question, _compiled), questions)


def _as_it_is(function: Any) -> Any:
    return function


def _compiled(function: Any) -> Any:
    # PyTorch refuses to compile the same line of code for more than a few functions.
    torch.compiler.reset()
    return torch.compile(function, fullgraph=True, dynamic=False)


def _reverse(question: Question, prepare: Callable[[Any], Any]) -> Answer:
    z = torch.tensor(question.z, requires_grad=True)
    y = prepare(question.function)(z)
    (derivative,) = torch.autograd.grad(y.sum(), z)
    return Answer(y.detach().numpy().copy(), derivative.numpy(force=True).copy())


def _forward(question: Question, prepare: Callable[[Any], Any]) -> Answer:
    z = torch.tensor(question.z)

    def changed(z: Tensor, tangent: Tensor) -> Any:
        return torch.func.jvp(question.function, (z,), (tangent,))

    push, changes = prepare(changed), []
    for tangent in tangents(question.z, question.elementwise):
        y, change = push(z, torch.tensor(tangent))
        changes.append(change.detach().numpy().copy())
    return Answer(y.detach().numpy().copy(), joined(changes, question.elementwise))


def _zero(z: Tensor) -> Tensor:
    return z.new_zeros(())


def _rows(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Apply a function of a whole tensor to every row."""
    return lambda z: torch.stack([function(row) for row in z.unbind(0)])


def _column(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Make a function of vectors one of scalars, as vectors of one element."""
    return lambda z: function(z.unsqueeze(-1))


def _pooled(z: Tensor) -> Tensor:
    return F.max_pool1d(z.unsqueeze(1), z.shape[-1]).flatten(1)


def _pooled_2d(z: Tensor) -> Tensor:
    return F.max_pool2d(z[:, None, None], (1, z.shape[-1])).flatten(1)


def _scattered(z: Tensor) -> Tensor:
    index = torch.zeros(z.shape, dtype=torch.int64)
    return z.new_zeros(z.shape[0], 1).scatter_reduce(1, index, z, "amax", include_self=False)


def _gathered(z: Tensor) -> Tensor:
    return z.gather(-1, z.argmax(-1, keepdim=True))


def _hinge(z: Tensor) -> Tensor:
    return F.hinge_embedding_loss(z, torch.full_like(z, -1), reduction="none")


def _ranked(z: Tensor) -> Tensor:
    ones = torch.ones_like(z)
    return F.margin_ranking_loss(z, ones - 1, ones, margin=1.0, reduction="none")


#: (as written, kinks, function)
POINTS: list[tuple[str, tuple[float, ...], Callable[[Tensor], Tensor]]] = [
    ("relu(z)", (0.0,), F.relu),
    ("relu6(z)", (0.0, 6.0), F.relu6),
    ("maximum(z, 0)", (0.0,), lambda z: torch.maximum(z, _zero(z))),
    ("maximum(0, z)", (0.0,), lambda z: torch.maximum(_zero(z), z)),
    ("minimum(z, 0)", (0.0,), lambda z: torch.minimum(z, _zero(z))),
    ("fmax(z, 0)", (0.0,), lambda z: torch.fmax(z, _zero(z))),
    ("fmax(0, z)", (0.0,), lambda z: torch.fmax(_zero(z), z)),
    ("fmin(z, 0)", (0.0,), lambda z: torch.fmin(z, _zero(z))),
    ("clamp(z, min=0)", (0.0,), lambda z: torch.clamp(z, min=0)),
    ("clamp(z, -1, 1)", (-1.0, 1.0), lambda z: torch.clamp(z, -1, 1)),
    ("clamp(z, min=tensor(0))", (0.0,), lambda z: torch.clamp(z, min=_zero(z))),
    ("where(z > 0, z, 0)", (0.0,), lambda z: torch.where(z > 0, z, 0)),
    ("where(z >= 0, z, 0)", (0.0,), lambda z: torch.where(z >= 0, z, 0)),
    ("z * (z > 0)", (0.0,), lambda z: z * (z > 0)),
    ("threshold(z, 0, 0)", (0.0,), lambda z: F.threshold(z, 0, 0)),
    ("hardtanh(z)", (-1.0, 1.0), F.hardtanh),
    ("leaky_relu(z)", (0.0,), F.leaky_relu),
    ("prelu(z, 1/4)", (0.0,), lambda z: F.prelu(z, z.new_full((1,), 0.25))),
    ("rrelu(z), evaluation", (0.0,), F.rrelu),
    ("elu(z)", (0.0,), F.elu),
    ("elu(z, 2)", (0.0,), lambda z: F.elu(z, 2.0)),
    ("selu(z)", (0.0,), F.selu),
    ("celu(z, 2)", (0.0,), lambda z: F.celu(z, 2.0)),
    ("hardsigmoid(z)", (-3.0, 3.0), F.hardsigmoid),
    ("hardswish(z)", (-3.0, 3.0), F.hardswish),
    ("softplus(z)", (20.0,), F.softplus),
    ("softshrink(z)", (-0.5, 0.5), F.softshrink),
    ("hardshrink(z)", (-0.5, 0.5), F.hardshrink),
    ("abs(z)", (0.0,), torch.abs),
    ("z * sign(z)", (0.0,), lambda z: z * torch.sign(z)),
    ("l1_loss(z, 0)", (0.0,), lambda z: F.l1_loss(z, torch.zeros_like(z), reduction="none")),
    ("smooth_l1_loss(z, 0)", (0.0,),
     lambda z: F.smooth_l1_loss(z, torch.zeros_like(z), reduction="none")),
    ("hinge_embedding_loss(z, -1)", (1.0,), _hinge),
    ("margin_ranking_loss(z, 0, 1, 1)", (1.0,), _ranked),
    ("norm(z)", (0.0,), _column(lambda z: torch.linalg.vector_norm(z, dim=-1))),
    ("norm(z, 1)", (0.0,), _column(lambda z: torch.linalg.vector_norm(z, 1, dim=-1))),
    ("norm(z, inf)", (0.0,),
     _column(lambda z: torch.linalg.vector_norm(z, float("inf"), dim=-1))),
    ("sqrt(z * z)", (0.0,), lambda z: (z * z).sqrt()),
    ("std((z, 0))", (0.0,), lambda z: torch.stack([z, torch.zeros_like(z)]).std(0)),
    ("sqrt(z)", (0.0,), torch.sqrt),
    ("atan2(z, 0)", (0.0,), lambda z: torch.atan2(z, _zero(z))),
]  # fmt: skip

#: (as written, tied inputs, function)
TIED: list[tuple[str, tuple[tuple[float, ...], ...], Callable[[Tensor], Tensor]]] = [
    ("max(z, dim)", TIES, lambda z: z.max(-1).values),
    ("amax(z, dim)", TIES, lambda z: z.amax(-1)),
    ("max(z)", TIES, _rows(lambda z: z.max())),
    ("aminmax(z, dim).max", TIES, lambda z: z.aminmax(dim=-1).max),
    ("min(z, dim)", LOWEST, lambda z: z.min(-1).values),
    ("amin(z, dim)", LOWEST, lambda z: z.amin(-1)),
    ("min(z)", LOWEST, _rows(lambda z: z.min())),
    ("maximum(...(z1, z2), ...)", TIES, lambda z: reduce(torch.maximum, z.unbind(-1))),
    ("fmax(...(z1, z2), ...)", TIES, lambda z: reduce(torch.fmax, z.unbind(-1))),
    ("max_pool1d(z)", TIES, _pooled),
    ("max_pool2d(z)", TIES, _pooled_2d),
    ("adaptive_max_pool1d(z)", TIES,
     lambda z: F.adaptive_max_pool1d(z.unsqueeze(1), 1).flatten(1)),
    ("topk(z, 1)", TIES, lambda z: z.topk(1).values),
    ("sort(z)[-1]", TIES, lambda z: z.sort(-1).values[..., -1]),
    ("kthvalue(z, k)", TIES, lambda z: z.kthvalue(z.shape[-1], -1).values),
    ("cummax(z)[-1]", TIES, lambda z: z.cummax(-1).values[..., -1]),
    ("gather(z, argmax(z))", TIES, _gathered),
    ("scatter_reduce(z, amax)", TIES, _scattered),
    ("vector_norm(z, inf)", TIES, lambda z: torch.linalg.vector_norm(z, float("inf"), dim=-1)),
    ("median(z, dim)", MIDDLE, lambda z: z.median(-1).values),
    ("median(z)", MIDDLE, _rows(lambda z: z.median())),
]  # fmt: skip
