"""Tensors that a user's code returns."""

from __future__ import annotations

from typing import Any

__all__ = ["on_host"]


def on_host(result: Any) -> Any:
    """A PyTorch tensor without its graph, on the CPU and dense; anything else as it is."""
    return result.detach().cpu().to_dense() if hasattr(result, "detach") else result
