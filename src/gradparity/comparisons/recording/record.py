"""`record`: watch a program, and keep the verdict on every op of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, overload

from ...core.arithmetic.received import check_flag, check_text, received
from ..explain.allowed import parse_allowed
from .arming import new_recording
from .recording import Recording

__all__ = ["record"]


@overload
def record(
    *, name: str = "step", allow: Sequence[str] = (), strict: bool = False
) -> AbstractContextManager[Recording]: ...


@overload
def record(
    f: Callable[..., Any],
    *args: Any,
    name: str = "step",
    allow: Sequence[str] = (),
    strict: bool = False,
) -> Recording: ...


def record(
    f: Callable[..., Any] | None = None,
    *args: Any,
    name: str = "step",
    allow: Sequence[str] = (),
    strict: bool = False,
) -> Recording | AbstractContextManager[Recording]:
    """Watch a PyTorch program, unmodified, and judge every op of it, forward and backward.

    As a context manager it watches the code inside, forward pass and ``backward()``; with a
    function it calls ``f(*args)``, which returns the loss, and its ``backward()``.  Nothing is
    inserted: gradients are bitwise those of the run without it.  `check` makes a report of the
    recording.

    Parameters
    ----------
    f : returns a scalar tensor, or a tuple that begins with one.
    *args : given to `f`; modules and tensors that require gradients are used as they are, and their
        ``.grad`` is left as it was.
    name : shown in reports.
    allow : conventions that pass.
    strict : whether `lossy` is no parity, and all nodes have to be judged, not 95 % of them.

    Returns
    -------
    Recording, or a context manager that gives one.

    Raises
    ------
    RuntimeError : PyTorch has not been imported; nothing was differentiated inside.
    TypeError, ValueError : an argument that does not fit; `f` returned no scalar that requires a
        gradient.

    >>> import gradparity as gp, torch
    >>> x = torch.ones(3, requires_grad=True)
    >>> with gp.record() as step:
    ...     torch.tanh(x).sum().backward()
    >>> gp.check(step).exit_code
    0
    >>> gp.record(lambda x: torch.exp(x).sum(), x)
    <Recording 'step': 2 of 2 nodes judged>
    """
    check_text("name", name)
    check_flag("strict", strict)
    parse_allowed(allow)
    watched = _watched(name, allow, strict)
    if f is None:
        return watched
    if not callable(f):
        raise TypeError(f"record: f is {received(f)}; give a function that returns the loss")
    return _called(f, args, watched)


@contextmanager
def _watched(name: str, allow: Sequence[str], strict: bool) -> Iterator[Recording]:
    if "torch" not in sys.modules:
        raise RuntimeError("record watches PyTorch, which is not imported; import torch first")
    from ...adapters.torch.record.observer import observing

    recording = new_recording(name, allow=allow, strict=strict)
    with observing(recording):
        yield recording
    recording.closed = True
    if not recording.saw_forward:
        raise RuntimeError(
            "nothing was differentiated inside record(); let the block hold the forward pass and "
            "backward(), not backward() alone"
        )


def _called(
    f: Callable[..., Any], args: tuple[Any, ...], watched: AbstractContextManager[Recording]
) -> Recording:
    """Call f and differentiate what it returns; gradients are left as they were."""
    from ...adapters.torch.record.leaves import kept_gradients

    with kept_gradients(args), watched as recording:
        loss = f(*args)
        loss = loss[0] if isinstance(loss, tuple) and loss else loss
        if getattr(loss, "shape", None) != () or not loss.requires_grad:
            said = tuple(loss.shape) if hasattr(loss, "shape") else received(loss)
            raise ValueError(
                f"record: f returned {said}; return a scalar tensor that requires a gradient, such "
                "as loss.mean()"
            )
        loss.backward()
    return recording
