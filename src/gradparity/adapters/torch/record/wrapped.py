"""Functions of PyTorch that are wrapped while a recording runs, and put back afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any

import torch
from torch.utils.checkpoint import CheckpointFunction
from torch.utils.hooks import BackwardHook

__all__ = ["wrapped_checkpoints", "wrapped_hooks", "wrapped_passes"]


@contextmanager
def wrapped_passes(
    begin: Callable[[Any], None], end: Callable[[bool], None], transformed: Callable[[], None]
) -> Iterator[None]:
    """Tell of every backward pass.

    Parameters
    ----------
    begin : called before it with the tensors that it begins at.
    end : called after it with whether it ran to its end.
    transformed : called instead before the pass of a transform of `torch.func`.
    """
    engine = torch.autograd
    run = engine._engine_run_backward

    @wraps(run)
    def running(*args: Any, **kwargs: Any) -> Any:
        if torch._C._functorch.peek_interpreter_stack() is not None:
            transformed()  # no leaf takes part in it
            return run(*args, **kwargs)
        begin(args[0] if args else ())
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
def wrapped_checkpoints(around: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Run the backward pass of every reentrant checkpoint inside of ``around()``."""
    backward = CheckpointFunction.backward

    def computing(ctx: Any, *gradients: Any) -> Any:
        with around():
            return backward(ctx, *gradients)

    CheckpointFunction.backward = staticmethod(computing)
    try:
        yield
    finally:
        CheckpointFunction.backward = staticmethod(backward)


@contextmanager
def wrapped_hooks(
    registered: Callable[[torch.Tensor], None], at_node: Callable[[Any, Iterable[Any]], None]
) -> Iterator[None]:
    """Tell of the hooks that the program registers.

    Parameters
    ----------
    registered : called with every tensor that was given a hook on its gradient.
    at_node : called with every node of autograd that was made for hooks of a module, and these.
    """
    register, apply = torch.Tensor.register_hook, BackwardHook._apply_on_tensors

    @wraps(register)
    def registering(self: torch.Tensor, hook: Any) -> Any:
        handle = register(self, hook)
        registered(self)
        return handle

    @wraps(apply)
    def applying(self: Any, register_at: Callable[[Any], None], args: Any) -> Any:
        def registering_at(node: Any) -> None:
            register_at(node)
            at_node(node, [*self.user_hooks, *self.user_pre_hooks])

        return apply(self, registering_at, args)

    torch.Tensor.register_hook, BackwardHook._apply_on_tensors = registering, applying
    try:
        yield
    finally:
        torch.Tensor.register_hook, BackwardHook._apply_on_tensors = register, apply
