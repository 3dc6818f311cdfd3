"""PyTorch's loss of labels that are not aligned with their frames: Op -> (op, *inputs) -> value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

from ....core.vocabulary import alignments as ops

__all__ = ["FUNCTIONS"]


def _ctc(op: ops.CTC, labels: Tensor, y: Tensor, *mask: Tensor) -> Tensor:
    kept = mask[0] != 0 if mask else labels.new_ones(y.shape[-2])
    labels, frames = labels.flatten(0, -2), kept.expand(y.shape[:-1]).sum(-1).flatten()
    z = F.ctc_loss(
        y.log_softmax(-1).flatten(0, -3).transpose(0, 1),
        labels.clamp(min=0),
        frames,
        (labels >= 0).sum(-1),
        blank=op.blank,
        reduction="none",
        zero_infinity=op.zero_infinity,
    )
    return z.reshape(y.shape[:-2])


FUNCTIONS: dict[type[Any], Callable[..., Any]] = {ops.CTC: _ctc}
