"""PyTorch's functions of one number, and the ways it evaluates and differentiates them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor

from ..smooth import Answer, Found, NativeSmooth, discovered
from ..smooth_excluded import with_unmeasured
from .smooth_calls import VARIANTS, VECTORS

__all__ = ["TorchSmooth"]

SPACES = {"F": F, "special": torch.special, "torch": torch}
#: Numbers that are in the domain of every function, the former or the latter.
ENDS = (0.1, 0.9), (1.1, 1.9)


class TorchSmooth:
    """See `gradparity.adapters.smooth.Smooth`."""

    def found(self, known: Collection[str]) -> Found:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            functions = discovered(
                SPACES, known, variants=VARIANTS, works=_works, full_like=torch.full_like,
                slope=_slope,
            )  # fmt: skip
        return with_unmeasured(SPACES, functions, self.vectors())

    def modes(self, compile: bool) -> Sequence[str]:
        slow = ("jit reverse", "jit forward") if compile else ()
        return ("reverse", "forward", "one element", *slow)

    def answer(self, function: Callable[[Tensor], Tensor], z: Any, dtype: str, mode: str) -> Answer:
        ask = _forward if mode.endswith("forward") else _reverse
        x = torch.tensor(np.asarray(z, np.float64)).to(getattr(torch, dtype))
        with torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if mode == "one element":
                found = [ask(function, one) for one in x.split(1)]
                return Answer(*(np.concatenate(each) for each in zip(*found, strict=True)))
            if mode.startswith("jit"):
                torch.compiler.reset()
                function = torch.compile(function, fullgraph=True, dynamic=False)
            return Answer(*ask(function, x))

    def vectors(self) -> Sequence[NativeSmooth]:
        return [NativeSmooth(*each) for each in VECTORS]

    def vector_answer(
        self, function: Any, v: Any, weights: Sequence[float], dtype: str, mode: str
    ) -> Answer:
        rows = torch.tensor(np.asarray(v, np.float64)).to(getattr(torch, dtype))
        w = torch.tensor(weights, dtype=rows.dtype)
        if mode.startswith("jit"):
            torch.compiler.reset()
            function = torch.compile(function, fullgraph=True, dynamic=False)
        with torch.inference_mode(False), torch.enable_grad():
            found = [_pulled(function, row, w) for row in rows]
        return Answer(*(np.stack(each) for each in zip(*found, strict=True)))


def _pulled(function: Any, row: Tensor, w: Tensor) -> tuple[Any, Any]:
    x = row.clone().requires_grad_()
    y = function(x, w)
    (slope,) = torch.autograd.grad(y, x, w if y.ndim else torch.ones_like(y))
    return _numbers(y.reshape(-1)), _numbers(slope)


def _reverse(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Any, Any]:
    x = x.clone().requires_grad_()
    y = function(x)
    if not y.requires_grad:
        return _numbers(y), np.full(y.shape, np.nan)
    (slope,) = torch.autograd.grad(y, x, torch.ones_like(y))
    return _numbers(y), _numbers(slope)


def _forward(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Any, Any]:
    y, slope = torch.func.jvp(function, (x,), (torch.ones_like(x),))
    return _numbers(y), _numbers(slope)


def _numbers(t: Tensor) -> Any:
    return t.detach().to(torch.float64).numpy().copy()


def _works(function: Callable[[Tensor], Tensor]) -> bool:
    """Whether it is elementwise, and neither random nor NaN, below or above 1."""
    return any(_elementwise(function, torch.linspace(*ends, 32)) for ends in ENDS)


def _elementwise(function: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    try:
        with torch.random.fork_rng(devices=()):
            y, again, alone = function(x), function(x), function(x[:1])
        right = y.shape == x.shape and y.dtype == x.dtype
        return bool(right and torch.equal(y, again) and torch.isclose(y[:1], alone))
    except Exception:  # it raises anything where its arguments are others
        return False


def _slope(function: Callable[[Tensor], Tensor]) -> bool:
    for at in (0.5, 1.5):
        with contextlib.suppress(Exception):  # it raises anything outside of its domain
            return bool(function(torch.full((1,), at, requires_grad=True)).requires_grad)
    return False
