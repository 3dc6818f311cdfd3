"""`record`: watch a program, and keep the verdict on every op of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, overload

import numpy as np

from ...core.arithmetic.received import check_flag, check_text, received
from ..explain.allowed import parse_allowed
from ..running.progress import Progress, silent
from .converted import converted, in_format, parse_format
from .recording import Recording
from .thinned import check_sample

__all__ = ["record", "require_torch"]

#: What to do instead of watching a block in which JAX differentiates.
FOR_JAX = (
    "a step of JAX is recorded by its function: gp.record(loss, params, batch); for one of "
    "Optax let it return (loss, new_params), with has_aux=True, or use gp.check_optimizer or "
    "gp.align_steps"
)


@overload
def record(
    *,
    name: str = "step",
    allow: Sequence[str] = (),
    strict: bool = False,
    keep: bool = False,
    sample: int | None = None,
    progress: Progress | None = silent,
) -> AbstractContextManager[Recording]: ...


@overload
def record(
    f: Callable[..., Any],
    *args: Any,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    taps: bool = True,
    dtype: str | None = None,
    name: str = "step",
    allow: Sequence[str] = (),
    strict: bool = False,
    keep: bool = False,
    sample: int | None = None,
    progress: Progress | None = silent,
) -> Recording: ...


def record(
    f: Callable[..., Any] | None = None,
    *args: Any,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    taps: bool = True,
    dtype: str | None = None,
    name: str = "step",
    allow: Sequence[str] = (),
    strict: bool = False,
    keep: bool = False,
    sample: int | None = None,
    progress: Progress | None = silent,
) -> Recording | AbstractContextManager[Recording]:
    """Watch a program, unmodified, and judge every op of it, forward and backward.

    **PyTorch.**  As a context manager it watches the code inside, forward pass and ``backward()``;
    with a function it calls ``f(*args)``, which returns the loss, and its ``backward()``.  Nothing
    is inserted: gradients are bitwise those of the run without it.

    **JAX.**  With a function whose arguments hold arrays of JAX or floats, every equation of its
    jaxpr is judged: calls are inlined, and -0.0 is added on every edge, whose gradient is that of
    the edge.  XLA may round the last bits of the program otherwise with these taps.  With
    ``taps=False`` each equation is evaluated and differentiated alone instead, as JAX does outside
    of ``jax.jit``.

    `check` makes a report of the recording.

    Parameters
    ----------
    f : returns a scalar, or a tuple that begins with one.
    *args : given to `f`.  PyTorch: modules and tensors that require gradients are used as they are,
        and their ``.grad`` is left as it was.  JAX: any pytrees.
    argnums, has_aux : JAX: as for `jax.grad`.
    taps : JAX: whether `f` is compiled as one program, with the taps.
    dtype : "float64" or "float32": the number format of copies of the arguments, which are given to
        `f` instead; models, tensors and arrays in lists, tuples and mappings, and pytrees of JAX.
        None: the arguments themselves.
    name : shown in reports.
    allow : conventions that pass.
    strict : whether `lossy` fails, and all nodes have to be judged, not 95 % of them.
    keep : whether to keep the numbers of every node, and states that change; `align` needs them.
    sample : PyTorch: how many channels of a matrix product, a convolution or attention to judge,
        with all rows of the batch; the report lists the ops that had more.  None: all channels.
    progress : told what is being judged and which part is done, as by `check`; None: off.

    Returns
    -------
    Recording, or a context manager that gives one.

    Raises
    ------
    RuntimeError : a block, and PyTorch has not been imported or differentiated nothing.
    TypeError, ValueError : an argument that does not fit; arrays of both frameworks; `f` returned
        no scalar that has a gradient.

    >>> import gradparity as gp, torch
    >>> x = torch.ones(3, requires_grad=True)
    >>> with gp.record() as step:
    ...     torch.tanh(x).sum().backward()
    >>> gp.check(step).exit_code
    0
    >>> gp.record(lambda x: torch.exp(x).sum(), x)
    <Recording 'step': 2 of 2 nodes judged>

    >>> import jax.numpy as jnp
    >>> step = gp.record(lambda x: jnp.exp(x).sum(), jnp.ones(3))
    >>> wide = gp.record(lambda x: jnp.exp(x).sum(), jnp.ones(3), dtype="float64", name="wide")
    >>> [run.case for run in gp.check([step, wide]).runs]
    ['step', 'wide']
    """
    check_text("name", name)
    check_flag("strict", strict)
    check_flag("keep", keep)
    check_flag("taps", taps)
    check_sample("record", sample)
    parse_allowed(allow)
    settings = {"allow": allow, "strict": strict, "keep": keep, "sample": sample}
    settings["progress"] = progress
    form = parse_format(dtype)
    if f is None:
        if form is not None:
            raise TypeError("record: dtype is for a function, whose arguments can be copied")
        return _Watched(name, settings)
    if not callable(f):
        raise TypeError(f"record: f is {received(f)}; give a function that returns the loss")
    for_jax = argnums != 0 or has_aux or not taps
    framework = framework_of(args, for_jax=for_jax)
    with in_format(framework, form):
        args = converted(framework, args, form)
        if framework == "jax":
            if sample is not None:
                raise TypeError("record: sample is for PyTorch, and the arguments are of JAX")
            return _of_jax(f, args, argnums, has_aux, taps, name, settings)
        if for_jax:
            raise TypeError(
                "record: argnums, has_aux and taps are for JAX, and no argument is of JAX"
            )
        try:
            return _called(f, args, _Watched(name, settings, args))
        except _JaxError:
            with in_format("jax", form):
                return _of_jax(f, args, 0, False, True, name, settings)


def require_torch(what: str, for_jax: str = FOR_JAX) -> None:
    """Refuse to watch a block before PyTorch has been imported.

    Raises
    ------
    RuntimeError : says what to do, and `for_jax` where JAX has been imported.
    """
    if "torch" not in sys.modules:
        hint = f"; {for_jax}" if "jax" in sys.modules else ""
        raise RuntimeError(
            f"{what} watches PyTorch, which is not imported; import torch first{hint}"
        )


def _of_jax(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: int | Sequence[int],
    has_aux: bool,
    taps: bool,
    name: str,
    settings: Mapping[str, Any],
) -> Recording:
    from ...adapters.jax.record.arguments import check_call
    from ...adapters.jax.record.recorder import observe

    check_call(f, args, argnums, has_aux)
    recording = Recording(name, "jax", **settings)
    observe(recording, f, args, argnums, has_aux, taps=taps)
    recording.finish()
    return recording


def framework_of(args: Any, *, for_jax: bool = False) -> str:
    """Tell from the arguments of a function whose they are: "jax", or "torch" for anything else.

    Where only JAX has been imported, anything is JAX's.  Python floats are, if options are given
    that are for JAX alone; otherwise the function may use either.

    Raises
    ------
    TypeError : some are of PyTorch and some of JAX.
    """
    found = {kind for each in _leaves(args) if (kind := _kind(each))}
    if len(found) > 1:
        raise TypeError("record: some arguments are of PyTorch and some of JAX; give one of both")
    if found:
        return found.pop()
    if args and "torch" not in sys.modules and "jax" in sys.modules:
        return "jax"
    plain = any(isinstance(leaf, np.ndarray | np.generic) for leaf in _leaves(args))
    plain |= for_jax and _has_floats(args)
    return "jax" if plain and "jax" in sys.modules else "torch"


def _has_floats(args: Any) -> bool:
    """Whether Python floats are among the leaves of arguments."""
    return any(isinstance(leaf, float) for leaf in _leaves(args))


class _JaxError(Exception):
    """A function of Python floats returned no tensor of PyTorch."""


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _kind(leaf: Any) -> str:
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and isinstance(leaf, torch.Tensor | torch.nn.Module):
        return "torch"
    if jax is None:
        return ""
    return "jax" if any(isinstance(x, jax.Array) for x in jax.tree.leaves(leaf)) else ""


class _Watched(AbstractContextManager[Recording]):
    """The context manager that `record` returns: it watches one block."""

    def __init__(self, *settings: Any) -> None:
        self._block = _watching(*settings)
        self._is_entered = False

    def __enter__(self) -> Recording:
        if self._is_entered:
            raise RuntimeError(
                "this record() has watched a block already; call record() again for each with "
                "block, with a name of its own: with gp.record(name='second') as second:"
            )
        self._is_entered = True
        return self._block.__enter__()

    def __exit__(self, *error: Any) -> bool | None:
        return self._block.__exit__(*error)


@contextmanager
def _watching(
    name: str,
    settings: Mapping[str, Any],
    args: tuple[Any, ...] = (),
) -> Iterator[Recording]:
    require_torch("record")
    from ...adapters.torch.record.observer import observing

    recording = Recording(name, **settings)
    with observing(recording, args=args):
        yield recording
    recording.finish()
    if not recording.saw_forward:
        why = f"; {recording.unjudged[0].why}" if recording.unjudged else ""
        jax = f"; {FOR_JAX}" if "jax" in sys.modules else ""
        raise RuntimeError(
            "nothing was differentiated inside record(); let the block hold the forward pass and "
            f"backward(), not backward() alone{why}{jax}"
        )


def _called(
    f: Callable[..., Any], args: tuple[Any, ...], watched: AbstractContextManager[Recording]
) -> Recording:
    """Call f and differentiate what it returns; gradients are left as they were."""
    from ...adapters.torch.record.leaves import kept_gradients
    from ...adapters.torch.record.states import tell_of_returned

    with kept_gradients(args), watched as recording:
        out = f(*args)
        loss = out[0] if isinstance(out, tuple) and out else out
        if "jax" in sys.modules and _kind(loss) != "torch":
            if _has_floats(args):
                raise _JaxError
            if _kind(loss) == "jax":
                raise TypeError(
                    f"record: f returned {received(loss)}, and no argument holds floats of JAX; "
                    "give f the arrays by which to differentiate: gp.record(f, *args)"
                )
        if getattr(loss, "shape", None) == () and not loss.requires_grad:
            raise ValueError(
                "record: what f returned requires no gradient; give it a module, or a tensor made "
                "with requires_grad=True"
            )
        if getattr(loss, "shape", None) != ():
            said = tuple(loss.shape) if hasattr(loss, "shape") else received(loss)
            raise ValueError(
                f"record: f returned {said}; return a scalar tensor that requires a gradient, such "
                "as loss.mean()"
            )
        loss.backward()
    if recording.keep and isinstance(out, tuple):
        tell_of_returned(recording, out[1:], args)
    return recording
