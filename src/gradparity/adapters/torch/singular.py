"""PyTorch's functions with singular points, and further spellings of kinks and ties."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

from ..kinks import LOWEST, MIDDLE, TIES

__all__ = ["FURTHER_POINTS", "FURTHER_TIES", "SINGULAR_POINTS"]

Function = Callable[[Tensor], Tensor]


def _masked(function: Function) -> Function:
    """A function in the branch of `where` that is not taken."""
    return lambda z: torch.where(torch.zeros_like(z, dtype=torch.bool), function(z), 0.0)


def _power(exponent: float) -> Function:
    return lambda z: torch.pow(z, torch.full_like(z, exponent))


def _norm(order: float) -> Function:
    return lambda z: torch.linalg.vector_norm(z, order, dim=-1)


def _distance(order: float) -> Function:
    def distance(z: Tensor) -> Tensor:
        return torch.cdist(z.unsqueeze(1), torch.zeros_like(z).unsqueeze(1), order)

    return distance


def _classes(z: Tensor) -> Tensor:
    return torch.zeros(len(z), dtype=torch.int64)


def _against(loss: Any, target: float) -> Function:
    return lambda z: loss(z, torch.full_like(z, target), reduction="none")


def _attention(z: Tensor) -> Tensor:
    q = z[:, None]
    mask = torch.zeros(1, 1, dtype=torch.bool)
    return F.scaled_dot_product_attention(q, torch.ones_like(q), torch.ones_like(q), mask)


def _reduced(kind: str) -> Function:
    """Reduce elements 0 and 1, no element, and element 2."""

    def function(z: Tensor) -> Tensor:
        index = torch.tensor([0, 0, 2]).expand(z.shape)
        return z.new_zeros(len(z), 3).scatter_reduce(1, index, z, kind, include_self=False)

    return function


def _one_segment(kind: str) -> Function:
    def function(z: Tensor) -> Tensor:
        index = torch.zeros(z.shape[1], dtype=torch.int64)
        return z.new_zeros(len(z), 1).index_reduce(1, index, z, kind, include_self=False)

    return function


def _rows(function: Function) -> Function:
    return lambda z: torch.stack([function(row) for row in z.unbind(0)])


#: (as written, kinks, function)
FURTHER_POINTS: list[tuple[str, tuple[float, ...], Function]] = [
    ("clamp(z, 0, 0)", (0.0,), lambda z: torch.clamp(z, 0, 0)),
    ("clamp(z, tensor(0), tensor(0))", (0.0,),
     lambda z: torch.clamp(z, z.new_zeros(()), z.new_zeros(()))),
    ("clamp(z, max=0)", (0.0,), lambda z: torch.clamp(z, max=0)),
    ("clamp(z, 0, 1)", (0.0, 1.0), lambda z: torch.clamp(z, 0, 1)),
    ("hardtanh(z, 0, 1)", (0.0, 1.0), lambda z: F.hardtanh(z, 0.0, 1.0)),
    ("leaky_relu(z, -1)", (0.0,), lambda z: F.leaky_relu(z, -1.0)),
    ("leaky_relu(z, 0)", (0.0,), lambda z: F.leaky_relu(z, 0.0)),
    ("prelu(z, -1)", (0.0,), lambda z: F.prelu(z, z.new_full((1,), -1.0))),
    ("elu(z, 0.5)", (0.0,), lambda z: F.elu(z, 0.5)),
    ("softshrink(z, 0)", (0.0,), lambda z: F.softshrink(z, 0.0)),
    ("hardshrink(z, 0)", (0.0,), lambda z: F.hardshrink(z, 0.0)),
    ("threshold(z, 1, 1)", (1.0,), lambda z: F.threshold(z, 1, 1)),
    ("maximum(z, -z)", (0.0,), lambda z: torch.maximum(z, -z)),
    ("minimum(z, 2z)", (0.0,), lambda z: torch.minimum(z, 2 * z)),
    ("minimum(z, 1 - z)", (0.5,), lambda z: torch.minimum(z, 1 - z)),
    ("relu(z)^2", (0.0,), lambda z: F.relu(z) ** 2),
    ("hypot(z, 0)", (0.0,), lambda z: torch.hypot(z, torch.zeros_like(z))),
    ("copysign(z, 1)", (0.0,), lambda z: torch.copysign(z, torch.ones_like(z))),
    ("sgn(z)", (0.0,), torch.sgn),
    ("sign(z)", (0.0,), torch.sign),
    ("floor(z)", (0.0, 1.0), torch.floor),
    ("ceil(z)", (0.0, 1.0), torch.ceil),
    ("round(z)", (0.5, 1.5), torch.round),
    ("trunc(z)", (1.0,), torch.trunc),
    ("frac(z)", (1.0,), torch.frac),
    ("remainder(z, 1)", (0.0, 1.0), lambda z: torch.remainder(z, 1)),
    ("fmod(z, 1)", (1.0,), lambda z: torch.fmod(z, 1)),
    ("huber_loss(z, 0)", (-1.0, 1.0), _against(F.huber_loss, 0.0)),
    ("smooth_l1_loss(z, 0) at joints", (-1.0, 1.0), _against(F.smooth_l1_loss, 0.0)),
    ("smooth_l1_loss(z, 0, beta=0)", (0.0,),
     lambda z: F.smooth_l1_loss(z, torch.zeros_like(z), reduction="none", beta=0.0)),
    ("hinge_embedding_loss(z, 1)", (0.0,), _against(F.hinge_embedding_loss, 1.0)),
    ("logaddexp(z, z)", (0.0,), lambda z: torch.logaddexp(z, z)),
]  # fmt: skip

#: (as written, tied inputs, function)
FURTHER_TIES: list[tuple[str, tuple[tuple[float, ...], ...], Function]] = [
    ("sort(z, descending)[0]", TIES, lambda z: z.sort(-1, descending=True).values[..., 0]),
    ("sort(z, stable)[-1]", TIES, lambda z: z.sort(dim=-1, stable=True).values[..., -1]),
    ("sort(z)[0]", LOWEST, lambda z: z.sort(-1).values[..., 0]),
    ("topk(z, 1, largest=False)", LOWEST, lambda z: z.topk(1, largest=False).values),
    ("kthvalue(z, 1)", LOWEST, lambda z: z.kthvalue(1, -1).values),
    ("cummin(z)[-1]", LOWEST, lambda z: z.cummin(-1).values[..., -1]),
    ("aminmax(z, dim).min", LOWEST, lambda z: z.aminmax(dim=-1).min),
    ("minimum(...(z1, z2), ...)", LOWEST, lambda z: reduce(torch.minimum, z.unbind(-1))),
    ("fmin(...(z1, z2), ...)", LOWEST, lambda z: reduce(torch.fmin, z.unbind(-1))),
    ("quantile(z, 1)", TIES, lambda z: z.quantile(1.0, -1)),
    ("quantile(z, 0)", LOWEST, lambda z: z.quantile(0.0, -1)),
    ("quantile(z, 1/2)", MIDDLE, lambda z: z.quantile(0.5, -1)),
    ("nanquantile(z, 1/2)", MIDDLE, lambda z: z.nanquantile(0.5, -1)),
    ("nanmedian(z, dim)", MIDDLE, lambda z: z.nanmedian(-1).values),
    ("amax(z, both axes)", TIES, _rows(lambda z: z.reshape(2, 2).amax((0, 1)))),
    ("max_pool3d(z)", TIES,
     lambda z: F.max_pool3d(z[:, None, None, None], (1, 1, z.shape[-1])).flatten(1)),
    ("adaptive_max_pool2d(z)", TIES,
     lambda z: F.adaptive_max_pool2d(z[:, None, None], 1).flatten(1)),
    ("unfold(z).amax", TIES, lambda z: z.unfold(-1, 4, 4).amax(-1)),
    ("unfold(z).max", TIES, lambda z: z.unfold(-1, 4, 4).max(-1).values),
    ("index_reduce(z, amax)", TIES, _one_segment("amax")),
    ("index_reduce(z, amin)", LOWEST, _one_segment("amin")),
    ("gather(z, argmin(z))", LOWEST, lambda z: z.gather(-1, z.argmin(-1, keepdim=True))),
]  # fmt: skip

#: (as written, name in `gradparity.adapters.singular.SINGULAR`, function)
SINGULAR_POINTS: list[tuple[str, str, Function]] = [
    ("sqrt(z), limits", "to inf", torch.sqrt),
    ("z ** 0.5", "to inf", lambda z: z**0.5),
    ("pow(z, tensor(0.5))", "to inf", _power(0.5)),
    ("rsqrt(z)", "to -inf", torch.rsqrt),
    ("log(z)", "to inf", torch.log),
    ("log2(z)", "to inf", torch.log2),
    ("log10(z)", "to inf", torch.log10),
    ("log1p(z)", "to inf at -1", torch.log1p),
    ("reciprocal(z)", "to -inf", torch.reciprocal),
    ("1 / z", "to -inf", lambda z: 1 / z),
    ("z ** -1", "to -inf", lambda z: z**-1),
    ("z ** -2", "cusp", lambda z: z**-2),
    ("z ** 0", "power zero", lambda z: z**0),
    ("pow(z, tensor(0))", "power zero", _power(0.0)),
    ("z ** 1", "power one", lambda z: z**1),
    ("pow(z, tensor(1))", "power one", _power(1.0)),
    ("z ** 1.5", "flat at 0", lambda z: z**1.5),
    ("pow(z, tensor(1.5))", "flat at 0", _power(1.5)),
    ("z ** 2", "square", lambda z: z**2),
    ("pow(z, tensor(2))", "square", _power(2.0)),
    ("square(z)", "square", torch.square),
    ("z ** 3", "cube", lambda z: z**3),
    ("pow(z, tensor(3))", "cube", _power(3.0)),
    ("pow(0, z)", "zero to the z", lambda z: torch.pow(0.0, z)),
    ("pow(tensor(0), z)", "zero to the z", lambda z: torch.pow(torch.zeros_like(z), z)),
    ("pow(tensor(-2), z)", "negative to the z", lambda z: torch.pow(torch.full_like(z, -2.0), z)),
    ("abs(z) ** 0.5", "cusp", lambda z: z.abs() ** 0.5),
    ("abs(z) ** 1.5", "flat at 0", lambda z: z.abs() ** 1.5),
    ("asin(z)", "to inf at both ones", torch.asin),
    ("acos(z)", "to -inf at both ones", torch.acos),
    ("atanh(z)", "to inf at both ones", torch.atanh),
    ("acosh(z)", "to inf at 1", torch.acosh),
    ("erfinv(z)", "to inf at both ones", torch.erfinv),
    ("logit(z)", "to inf at 0 and 1", torch.logit),
    ("special.ndtri(z)", "to inf at 0 and 1", torch.special.ndtri),
    ("z * log(z)", "to -inf", lambda z: z * z.log()),
    ("xlogy(z, z)", "to -inf", lambda z: torch.xlogy(z, z)),
    ("xlogy(z, 2)", "log 2 at 0", lambda z: torch.xlogy(z, 2.0)),
    ("xlogy(0, z)", "flat at 0", lambda z: torch.xlogy(torch.zeros_like(z), z)),
    ("special.xlog1py(0, z)", "flat at -1",
     lambda z: torch.special.xlog1py(torch.zeros_like(z), z)),
    ("special.entr(z)", "to inf", torch.special.entr),
    ("sinc(z)", "flat at 0", torch.sinc),
    ("sin(z) / z", "flat at 0", lambda z: z.sin() / z),
    ("expm1(z) / z", "half at 0", lambda z: z.expm1() / z),
    ("where(z == 0, 1, sin(z) / z)", "flat at 0", lambda z: torch.where(z == 0, 1.0, z.sin() / z)),
    ("log(1 + exp(z))", "one at 1000", lambda z: (1 + z.exp()).log()),
    ("log(sigmoid(z))", "one at -1000", lambda z: z.sigmoid().log()),
    ("where(False, sqrt(z), 0)", "flat at 0", _masked(torch.sqrt)),
    ("where(False, z ** 0.5, 0)", "flat at 0", _masked(lambda z: z**0.5)),
    ("where(False, log(z), 0)", "flat at 0", _masked(torch.log)),
    ("where(False, 1 / z, 0)", "flat at 0", _masked(lambda z: 1 / z)),
    ("where(False, z / z, 0)", "flat at 0", _masked(lambda z: z / z)),
    ("where(False, exp(z), 0)", "flat at 1000", _masked(torch.exp)),
    ("where(False, asin(z), 0)", "flat at 2", _masked(torch.asin)),
    ("masked_fill(sqrt(z), True, 0)", "flat at 0",
     lambda z: z.sqrt().masked_fill(torch.ones_like(z, dtype=torch.bool), 0.0)),
    ("nan_to_num(sqrt(z)) * 0", "flat at 0", lambda z: torch.nan_to_num(z.sqrt()) * 0),
    ("relu(z), ends", "gate", F.relu),
    ("leaky_relu(z), ends", "leak", F.leaky_relu),
    ("elu(z), ends", "gate", F.elu),
    ("celu(z), ends", "gate", F.celu),
    ("selu(z), ends", "selu", F.selu),
    ("gelu(z), ends", "gate", F.gelu),
    ("gelu(z, tanh), ends", "gate", lambda z: F.gelu(z, approximate="tanh")),
    ("silu(z), ends", "gate", F.silu),
    ("z * sigmoid(z), ends", "gate", lambda z: z * z.sigmoid()),
    ("mish(z), ends", "gate", F.mish),
    ("softplus(z), ends", "gate", F.softplus),
    ("logaddexp(z, 0), ends", "gate", lambda z: torch.logaddexp(z, torch.zeros_like(z))),
    ("maximum(z, 0), ends", "gate", lambda z: torch.maximum(z, torch.zeros_like(z))),
    ("minimum(z, 0), ends", "gate down", lambda z: torch.minimum(z, torch.zeros_like(z))),
    ("logsigmoid(z), ends", "gate down", F.logsigmoid),
    ("hardswish(z), ends", "gate", F.hardswish),
    ("sigmoid(z), ends", "flat", torch.sigmoid),
    ("tanh(z), ends", "flat", torch.tanh),
    ("erf(z), ends", "flat", torch.erf),
    ("atan(z), ends", "flat", torch.atan),
    ("softsign(z), ends", "flat", F.softsign),
    ("tanhshrink(z), ends", "abs", lambda z: F.tanhshrink(z).abs()),
    ("hardtanh(z), ends", "flat", F.hardtanh),
    ("hardsigmoid(z), ends", "flat", F.hardsigmoid),
    ("relu6(z), ends", "flat", F.relu6),
    ("clamp(z, -1, 1), ends", "flat", lambda z: torch.clamp(z, -1, 1)),
    ("reciprocal(z), ends", "flat", torch.reciprocal),
    ("abs(z), ends", "abs", torch.abs),
    ("square(z), ends", "square at inf", torch.square),
    ("exp(z), ends", "exp", torch.exp),
    ("expm1(z), ends", "exp", torch.expm1),
    ("sqrt(z), inf", "flat at inf", torch.sqrt),
    ("log(z), inf", "flat at inf", torch.log),
    ("rsqrt(z), inf", "flat at inf", torch.rsqrt),
    ("bce(z, 0)", "probability of 0", _against(F.binary_cross_entropy, 0.0)),
    ("bce(z, 1)", "probability of 1", _against(F.binary_cross_entropy, 1.0)),
    ("bce_with_logits(z, 0)", "logits of 0", _against(F.binary_cross_entropy_with_logits, 0.0)),
    ("bce_with_logits(z, 1)", "logits of 1", _against(F.binary_cross_entropy_with_logits, 1.0)),
    ("bce(sigmoid(z), 0)", "logits of 0",
     lambda z: F.binary_cross_entropy(z.sigmoid(), torch.zeros_like(z), reduction="none")),
    ("kl_div(z, 0)", "no target", _against(F.kl_div, 0.0)),
    ("kl_div(log(1/2), z)", "to -inf",
     lambda z: F.kl_div(torch.full_like(z, math.log(0.5)), z, reduction="none")),
    ("vector_norm(z, 1)", "norm 1", _norm(1)),
    ("vector_norm(z)", "norm 2", _norm(2)),
    ("vector_norm(z, inf) at 0", "norm inf", _norm(math.inf)),
    ("vector_norm(z, 3)", "norm 3", _norm(3)),
    ("vector_norm(z, 1.5)", "norm 1.5", _norm(1.5)),
    ("norm(z, dim)", "norm 2", lambda z: torch.norm(z, dim=-1)),
    ("abs(z).sum", "norm 1", lambda z: z.abs().sum(-1)),
    ("sqrt((z * z).sum)", "norm 2", lambda z: (z * z).sum(-1).sqrt()),
    ("(z * z).sum", "norm squared", lambda z: (z * z).sum(-1)),
    ("vector_norm(z) ** 2", "norm squared", lambda z: _norm(2)(z) ** 2),
    ("cdist(z, 0, 1)", "norm 1", _distance(1.0)),
    ("cdist(z, 0)", "norm 2", _distance(2.0)),
    ("cdist(z, 0, inf)", "norm inf", _distance(math.inf)),
    ("cdist(z, 0, 3)", "norm 3", _distance(3.0)),
    ("dist(z, 0)", "norm 2", _rows(lambda z: torch.dist(z, torch.zeros_like(z)))),
    ("pairwise_distance(z, 0)", "norm 2", lambda z: F.pairwise_distance(z, torch.zeros_like(z))),
    ("pairwise_distance(z, 0, eps=0)", "norm 2",
     lambda z: F.pairwise_distance(z, torch.zeros_like(z), eps=0.0)),
    ("pdist((z, 0))", "norm 2", _rows(lambda z: F.pdist(torch.stack([z, torch.zeros_like(z)]))[0])),
    ("normalize(z)", "normalised", lambda z: F.normalize(z, dim=-1)),
    ("cosine_similarity(z, 1)", "cosine",
     lambda z: F.cosine_similarity(z, torch.ones_like(z), dim=-1)),
    ("std(z)", "equal, std", lambda z: z.std(-1)),
    ("std(z, correction=0)", "equal, population std", lambda z: z.std(-1, correction=0)),
    ("sqrt(var(z))", "equal, std", lambda z: z.var(-1).sqrt()),
    ("var(z)", "equal, var", lambda z: z.var(-1)),
    ("hypot(z1, z2)", "hypot", lambda z: torch.hypot(z[:, 0], z[:, 1])),
    ("abs(complex(z1, z2))", "hypot", lambda z: torch.complex(z[:, 0], z[:, 1]).abs()),
    ("atan2(z1, z2)", "atan2", lambda z: torch.atan2(z[:, 0], z[:, 1])),
    ("prod(z)", "prod", lambda z: z.prod(-1)),
    ("cumprod(z)", "cumprod", lambda z: z.cumprod(-1)),
    ("det(z)", "det", lambda z: torch.linalg.det(z.reshape(-1, 2, 2))),
    ("topk(z, 2)", "first two", lambda z: z.topk(2).values),
    ("sort(z)[-2:]", "first two", lambda z: z.sort(-1).values[:, -2:]),
    ("sort(z)", "all sorted", lambda z: z.sort(-1).values),
    ("cummax(z)", "running maximum", lambda z: z.cummax(-1).values),
    ("max_pool1d(z, 2, 1)", "overlapping", lambda z: F.max_pool1d(z[:, None], 2, 1)),
    ("unfold(z, 2, 1).amax", "overlapping", lambda z: z.unfold(-1, 2, 1).amax(-1)),
    ("adaptive_max_pool1d(z, 2)", "overlapping", lambda z: F.adaptive_max_pool1d(z[:, None], 2)),
    ("max(z, dim), ends", "largest", lambda z: z.max(-1).values),
    ("amax(z, dim), ends", "largest", lambda z: z.amax(-1)),
    ("sort(z)[-1], ends", "largest", lambda z: z.sort(-1).values[:, -1]),
    ("max_pool1d(z), ends", "largest", lambda z: F.max_pool1d(z[:, None], 3)),
    ("softmax(z)[0]", "softmax", lambda z: z.softmax(-1)[:, 0]),
    ("exp(log_softmax(z))[0]", "softmax", lambda z: z.log_softmax(-1)[:, 0].exp()),
    ("log_softmax(z)[0]", "log_softmax", lambda z: z.log_softmax(-1)[:, 0]),
    ("z[0] - logsumexp(z)", "log_softmax", lambda z: z[:, 0] - z.logsumexp(-1)),
    ("log(softmax(z))[0]", "log_softmax", lambda z: z.softmax(-1).log()[:, 0]),
    ("cross_entropy(z, 0)", "cross_entropy",
     lambda z: F.cross_entropy(z, _classes(z), reduction="none")),
    ("logsumexp(z)", "logsumexp", lambda z: z.logsumexp(-1)),
    ("logcumsumexp(z)[-1]", "logsumexp", lambda z: z.logcumsumexp(-1)[:, -1]),
    ("log(exp(z).sum)", "logsumexp", lambda z: z.exp().sum(-1).log()),
    ("logaddexp(z1, z2)", "logaddexp", lambda z: torch.logaddexp(z[:, 0], z[:, 1])),
    ("logaddexp2(z1, z2)", "logaddexp", lambda z: torch.logaddexp2(z[:, 0], z[:, 1])),
    ("softmax(masked_fill(z, True, -inf))", "fully masked",
     lambda z: z.masked_fill(torch.ones_like(z, dtype=torch.bool), -math.inf).softmax(-1)),
    ("softmax(z + -inf)", "fully masked", lambda z: (z - math.inf).softmax(-1)[:, 0]),
    ("scaled_dot_product_attention(z, mask)", "fully masked", _attention),
    ("multi_margin_loss(z, 0)", "multi margin",
     lambda z: F.multi_margin_loss(z, _classes(z), reduction="none")),
    ("scatter_reduce(z, amax), empty", "segment maxima", _reduced("amax")),
    ("scatter_reduce(z, sum), empty", "segment sums", _reduced("sum")),
    ("scatter_reduce(z, mean), empty", "segment means", _reduced("mean")),
    ("scatter_reduce(z, prod), empty", "segment products", _reduced("prod")),
]  # fmt: skip
