"""What a zoo is made of: a name, and how to build the model and its arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .torchvision_ops import leave_out

__all__ = ["Build", "Zoo", "image", "import_torchvision"]

#: Builds a model and the positional and keyword arguments of a call.
Build = Callable[[], tuple[nn.Module, tuple[Any, ...], dict[str, Any]]]
Zoo = dict[str, Build]


def image(side: int = 64, channels: int = 3, batch: int = 2) -> tuple[torch.Tensor]:
    """A batch of images as the only argument."""
    return (torch.randn(batch, channels, side, side),)


def import_torchvision() -> None:
    """Import torchvision, without its ops where they cannot be loaded."""
    try:
        import torchvision
    except RuntimeError:
        for loaded in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[loaded]
        leave_out()
        import torchvision  # noqa: F401
