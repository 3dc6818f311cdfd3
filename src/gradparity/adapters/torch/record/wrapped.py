"""Functions of PyTorch that are wrapped while a recording runs, and put back afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch

__all__ = ["wrapped_hooks", "wrapped_passes"]


@contextmanager
def wrapped_passes(begin: Callable[[], None], end: Callable[[bool], None]) -> Iterator[None]:
    """Call `begin` before every backward pass, and `end` with whether it ran to its end."""
    engine = torch.autograd
    run = engine._engine_run_backward

    @wraps(run)
    def running(*args: Any, **kwargs: Any) -> Any:
        if torch._C._functorch.peek_interpreter_stack() is not None:
            return run(*args, **kwargs)  # the pass of a transform, which no leaf takes part in
        begin()
        completed = False
        try:
            found = run(*args, **kwargs)
            completed = True
            return found
        finally:
            end(completed)

    engine._engine_run_backward = running
    try:
        yield
    finally:
        engine._engine_run_backward = run


@contextmanager
def wrapped_hooks(registered: Callable[[torch.Tensor], None]) -> Iterator[None]:
    """Call `registered` with every tensor that was given a hook on its gradient."""
    register = torch.Tensor.register_hook

    @wraps(register)
    def registering(self: torch.Tensor, hook: Any) -> Any:
        handle = register(self, hook)
        registered(self)
        return handle

    torch.Tensor.register_hook = registering
    try:
        yield
    finally:
        torch.Tensor.register_hook = register
