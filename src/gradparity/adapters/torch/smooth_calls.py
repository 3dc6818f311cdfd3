"""How PyTorch's functions of vectors, and those with variants or several numbers, are called."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

__all__ = ["VARIANTS", "VECTORS"]


def _pair(x: Tensor, other: float) -> Tensor:
    return torch.stack([x, torch.full_like(x, other)], -1)


def _label(x: Tensor) -> Tensor:
    return torch.zeros_like(x, dtype=torch.long)


def _triplet(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The anchors (x, 0), the positives (0, 3) and the negatives (0, 1)."""
    zero = torch.zeros_like(x)
    return _pair(x, 0), _pair(zero, 3), _pair(zero, 1)


#: Functions whose arguments choose between formulas, or are several numbers.
VARIANTS: dict[str, list[tuple[str, str, Callable[[Tensor], Tensor]]]] = {
    "F.gelu": [
        ("gelu", "F.gelu(x)", F.gelu),
        ("gelutanh", "F.gelu(x, approximate='tanh')", lambda x: F.gelu(x, approximate="tanh")),
    ],
    "F.kl_div": [
        ("kldivergence(x, 0.5)", "F.kl_div(x, 0.5)",
         lambda x: F.kl_div(x, torch.full_like(x, 0.5), reduction="none")),
    ],
    "F.multi_margin_loss": [
        ("multimargin(x, 0)", "F.multi_margin_loss([x, 0], 0)",
         lambda x: F.multi_margin_loss(_pair(x, 0), _label(x), reduction="none")),
    ],
    "F.multilabel_margin_loss": [
        ("multimargin(x, 0)", "F.multilabel_margin_loss([x, 0], [0, -1])",
         lambda x: F.multilabel_margin_loss(
             _pair(x, 0), _pair(_label(x), -1), reduction="none")),
    ],
    "F.multilabel_soft_margin_loss": [
        ("bcewithlogits(x, 0)", "F.multilabel_soft_margin_loss([x], [0])",
         lambda x: F.multilabel_soft_margin_loss(
             x[:, None], torch.zeros_like(x)[:, None], reduction="none")),
        ("bcewithlogits(x, 1)", "F.multilabel_soft_margin_loss([x], [1])",
         lambda x: F.multilabel_soft_margin_loss(
             x[:, None], torch.ones_like(x)[:, None], reduction="none")),
    ],
    "F.triplet_margin_loss": [
        ("tripletmargin", "F.triplet_margin_loss([x, 0], [0, 3], [0, 1])",
         lambda x: F.triplet_margin_loss(*_triplet(x), reduction="none")),
    ],
    "F.triplet_margin_with_distance_loss": [
        ("tripletmargin", "F.triplet_margin_with_distance_loss([x, 0], [0, 3], [0, 1])",
         lambda x: F.triplet_margin_with_distance_loss(*_triplet(x), reduction="none")),
    ],
    "F.cosine_embedding_loss": [
        ("cosineembedding(x, 1)", "F.cosine_embedding_loss([x, 1], [1, 0], 1)",
         lambda x: F.cosine_embedding_loss(
             _pair(x, 1), _pair(torch.ones_like(x), 0), torch.ones_like(x), reduction="none")),
        ("cosineembedding(x, -1)", "F.cosine_embedding_loss([x, 1], [1, 0], -1)",
         lambda x: F.cosine_embedding_loss(
             _pair(x, 1), _pair(torch.ones_like(x), 0), -torch.ones_like(x), reduction="none")),
    ],
    "F.pairwise_distance": [
        ("pairwisedistance", "F.pairwise_distance([x, 1], [0, 0])",
         lambda x: F.pairwise_distance(_pair(x, 1), torch.zeros_like(_pair(x, 0)))),
    ],
    "F.glu": [
        ("glu(x, 1)", "F.glu([x, 1])", lambda x: F.glu(_pair(x, 1))[..., 0]),
        ("sigmoid", "F.glu([1, x])", lambda x: F.glu(_pair(x, 1).flip(-1))[..., 0]),
    ],
    "F.local_response_norm": [
        ("localresponsenorm", "F.local_response_norm([[x]], 1)",
         lambda x: F.local_response_norm(x[:, None, None], 1)[:, 0, 0]),
    ],
    "F.prelu": [
        ("leakyrelu", "F.prelu(x, 0.01)", lambda x: F.prelu(x, torch.full_like(x[:1], 0.01))),
    ],
    "F.threshold": [("relu", "F.threshold(x, 0, 0)", lambda x: F.threshold(x, 0, 0))],
    "torch.cdist": [
        ("hypot(x, 1)", "torch.cdist([[x, 1]], [[0, 0]])",
         lambda x: torch.cdist(_pair(x, 1)[:, None], torch.zeros(1, 2).to(x))[:, 0, 0]),
    ],
    "torch.float_power": [
        ("pow(x, 1.5)", "torch.float_power(x, 1.5)", lambda x: torch.float_power(x, 1.5).to(x)),
    ],
    "torch.kl_div": [],  # the same function, with a name that SciPy has given to another
}  # fmt: skip
#: Functions of a vector x and the weights w, as (formula, as written, function) each.
VECTORS: list[tuple[str, str, Callable[[Tensor, Tensor], Tensor]]] = [
    ("softmax", "F.softmax(x, 0)", lambda x, w: F.softmax(x, 0)),
    ("softmin", "F.softmin(x, 0)", lambda x, w: F.softmin(x, 0)),
    ("logsoftmax", "F.log_softmax(x, 0)", lambda x, w: F.log_softmax(x, 0)),
    ("logsumexp", "torch.logsumexp(x, 0)", lambda x, w: torch.logsumexp(x, 0)),
    ("crossentropy", "F.cross_entropy(x, 2)",
     lambda x, w: F.cross_entropy(x, torch.tensor(2))),
    ("norm", "linalg.vector_norm(x)", lambda x, w: torch.linalg.vector_norm(x)),
    ("normalize", "F.normalize(x, dim=0)", lambda x, w: F.normalize(x, dim=0)),
    ("cosine", "F.cosine_similarity(x, w, 0)", lambda x, w: F.cosine_similarity(x, w, 0)),
    ("var", "torch.var(x, correction=0)", lambda x, w: torch.var(x, correction=0)),
    ("std", "torch.std(x, correction=0)", lambda x, w: torch.std(x, correction=0)),
    ("var1", "torch.var(x)", lambda x, w: torch.var(x)),
    ("std1", "torch.std(x)", lambda x, w: torch.std(x)),
    ("layernorm", "F.layer_norm(x, [16])", lambda x, w: F.layer_norm(x, [16])),
    ("layernorm", "F.group_norm(x, 1)",
     lambda x, w: F.group_norm(x.reshape(1, 2, 8), 1).reshape(-1)),
    ("layernorm", "F.instance_norm(x)",
     lambda x, w: F.instance_norm(x.reshape(1, 1, 16)).reshape(-1)),
    ("layernorm", "F.batch_norm(x, None, None, training=True)",
     lambda x, w: F.batch_norm(x[:, None], None, None, training=True)[:, 0]),
    ("rmsnorm", "F.rms_norm(x, [16], eps=1e-5)", lambda x, w: F.rms_norm(x, [16], eps=1e-5)),
]  # fmt: skip
