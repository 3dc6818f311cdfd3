"""PyTorch's functions that take indices, labels or empty axes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

from ..structures import NativeEdge

__all__ = ["EDGES"]


def _numpy(function: Callable[..., Any], *arrays: Any, **numbers: Any) -> Any:
    given = [torch.tensor(a.astype("int64") if a.dtype.kind == "i" else a) for a in arrays]
    found = function(*given, **numbers)
    return (found if isinstance(found, Tensor) else found[0]).numpy()


FROM_END = {"index -1": "indices below zero count from the end"}
AS_NUMPY = {"index -1": "as NumPy's take_along_axis, which counts from the end"}
NLL = "F.nll_loss(F.log_softmax(x, -1), labels)"

_FUNCTIONS: tuple[tuple[str, str, Callable[..., Any], dict[str, str]], ...] = (
    ("F.cross_entropy(x, labels)", "ignored labels", F.cross_entropy, {}),
    (NLL, "ignored labels", lambda x, labels: F.nll_loss(F.log_softmax(x, -1), labels), {}),
    ("F.multi_margin_loss(x, labels)", "labels of margins", F.multi_margin_loss, {}),
    ("F.one_hot(labels, 4)", "one hot", partial(F.one_hot, num_classes=4), {}),
    ("F.embedding(ids, x)", "rows", lambda x, ids: F.embedding(ids, x), {}),
    ("torch.index_select(x, 0, ids)", "rows", lambda x, ids: torch.index_select(x, 0, ids), {}),
    ("x[ids]", "rows", lambda x, ids: x[ids], FROM_END),
    ("torch.take_along_dim(x, ids, 0)", "along", lambda x, i: torch.take_along_dim(x, i, 0),
     AS_NUMPY),
    ("torch.gather(x, 0, ids)", "along", lambda x, ids: torch.gather(x, 0, ids), {}),
    ("x.scatter(0, ids, 1.0)", "scattered", lambda x, ids: x.scatter(0, ids, 1.0), {}),
    ("x.index_add(0, ids, ones)", "added rows",
     lambda x, i: x.index_add(0, i, torch.ones(len(i), x.shape[1])), {}),
    ("x.index_fill(0, ids, 1.0)", "filled rows", lambda x, i: x.index_fill(0, i, 1.0),
     FROM_END),
    ("torch.sum(x, 0)", "sum", lambda x: x.sum(0), {}),
    ("torch.prod(x, 0)", "prod", lambda x: x.prod(0), {}),
    ("torch.mean(x, 0)", "mean", lambda x: x.mean(0), {}),
    ("torch.var(x, 0)", "variance", lambda x: x.var(0), {}),
    ("torch.std(x, 0)", "variance", lambda x: x.std(0), {}),
    ("torch.logsumexp(x, 0)", "logsumexp", lambda x: x.logsumexp(0), {}),
    ("torch.linalg.vector_norm(x, dim=0)", "norm",
     lambda x: torch.linalg.vector_norm(x, dim=0), {}),
    ("torch.linalg.vector_norm(x, inf, dim=0)", "max",
     lambda x: torch.linalg.vector_norm(x, float("inf"), dim=0), {}),
    ("torch.amax(x, 0)", "max", lambda x: x.amax(0), {}),
    ("torch.max(x, 0)", "max", lambda x: x.max(0), {}),
    ("torch.min(x, 0)", "max", lambda x: x.min(0), {}),
    ("torch.argmax(x, 0)", "max", lambda x: x.argmax(0), {}),
    ("torch.median(x, 0)", "median", lambda x: x.median(0), {}),
    ("torch.nanmedian(x, 0)", "median", lambda x: x.nanmedian(0), {}),
    ("torch.quantile(x, 0.5, 0)", "median", lambda x: x.quantile(0.5, 0), {}),
    ("torch.softmax(x, 0)", "nothing", lambda x: x.softmax(0), {}),
    ("torch.cumsum(x, 0)", "nothing", lambda x: x.cumsum(0), {}),
    ("torch.logcumsumexp(x, 0)", "nothing", lambda x: x.logcumsumexp(0), {}),
    ("torch.sort(x, 0)", "nothing", lambda x: x.sort(0), {}),
    ("F.layer_norm(x.T, (0,)).T", "nothing", lambda x: F.layer_norm(x.T, (0,)).T, {}),
    ("F.normalize(x, dim=0)", "nothing", lambda x: F.normalize(x, dim=0), {}),
    ("F.mse_loss(x, x)", "mean of all", lambda x: F.mse_loss(x, x), {}),
    ("torch.softmax(x, -1)", "masked softmax", lambda x: x.softmax(-1), {}),
    ("torch.log_softmax(x, -1)", "masked log softmax", lambda x: x.log_softmax(-1), {}),
    ("torch.logsumexp(x, -1)", "masked logsumexp", lambda x: x.logsumexp(-1), {}),
)  # fmt: skip


def _weighted(x: Any, labels: Any, weights: Any) -> tuple[Any, Any]:
    logits = torch.tensor(x, requires_grad=True)
    loss = F.cross_entropy(
        logits, torch.tensor(labels), torch.tensor(weights), label_smoothing=0.25
    )
    (gradient,) = torch.autograd.grad(loss, logits)
    return loss.detach().numpy(), gradient.numpy()


EDGES = (
    *(
        NativeEdge(spelling, kind, partial(_numpy, function), documented)
        for spelling, kind, function, documented in _FUNCTIONS
    ),
    NativeEdge("F.cross_entropy(x, labels, w, label_smoothing)", "weighted labels", _weighted),
)
