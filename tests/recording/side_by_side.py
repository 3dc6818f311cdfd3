"""Two programs with the same numbers, and the states in which two programs differ."""

from __future__ import annotations

from typing import Any

import numpy as np

import gradparity as gp


def numbers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def recorded(f: Any, g: Any, *arrays: Any) -> tuple[Any, Any]:
    """A function of PyTorch's tensors and one of JAX's arrays, recorded with the same numbers."""
    import jax.numpy as jnp
    import torch

    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    one = gp.record(f, *tensors, name="one", keep=True)
    return one, gp.record(g, *map(jnp.asarray, arrays), name="other", keep=True)


def other_states(one: Any, other: Any) -> dict[str, str]:
    """The states that differ, and why; everything else is the same."""
    report = gp.align(one, other)
    wrong = {f.node: f.note for f in report.runs[0].findings if f.parity is False}
    assert all(f.quantity.is_state for f in report.runs[0].findings if f.parity is False)
    assert report.exit_code == bool(wrong)
    assert ("states first part at" in report.runs[0].about) == bool(wrong)
    return wrong


def paired_states(one: Any, other: Any) -> list[str]:
    findings = gp.align(one, other).runs[0].findings
    return [f.node for f in findings if f.quantity.is_state and f.parity]
