"""Judge one call of a function that `jax.grad` or `jax.value_and_grad` made, in a running program.

A call on numbers is recorded as soon as it has returned.  A call while JAX traces, such as inside
of `jax.jit`, has no numbers: the compiled program hands them over when it runs, and what was traced
is recorded on them.
"""

from __future__ import annotations

import ctypes
import io
import threading
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from functools import partial, wraps
from inspect import signature
from typing import Any, TypeAlias

from .recording import Recording

__all__ = ["Differentiated"]

#: Gives a function and its arguments.
Replay: TypeAlias = Callable[[], tuple[Callable[..., Any], Any]]
#: The functions of `jax` whose results are followed.
MAKERS = ("grad", "value_and_grad")


class Differentiated:
    """Record the N-th call of the functions that `jax.grad` and `jax.value_and_grad` make.

    A call while JAX traces counts whenever the compiled program runs it.  Calls inside of another
    such call belong to it, and those that raise do not count.  Only the thread in which `arm` was
    called is watched.

    Attributes
    ----------
    passes : how many calls have ended.
    elsewhere : how many were seen on other threads.
    error : what recording raised; the program does not see it.

    Parameters
    ----------
    new : makes the recording.
    judged : called with it when it has ended: on another thread if JAX was tracing.
    step : N.
    """

    def __init__(
        self, new: Callable[[], Recording], judged: Callable[[Recording], None], step: int = 1
    ) -> None:
        self.new, self.judged, self.step = new, judged, step
        self.passes = self.elsewhere = 0
        self.error: Exception | None = None
        self._plain: dict[str, Any] = {}
        self._thread = 0
        self._done = self._inside = self._ended = False
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None

    def arm(self) -> None:
        """Follow the functions that JAX makes, which has been imported."""
        import jax

        self._thread = threading.get_ident()
        for name in MAKERS:
            self._plain[name] = getattr(jax, name)
            setattr(jax, name, self._making(self._plain[name]))

    def disarm(self) -> None:
        """Leave JAX as it was; functions that have been made do what they did without it."""
        self._done = True
        if self._plain:
            import jax

            for name, plain in self._plain.items():
                if getattr(getattr(jax, name), "__wrapped__", None) is plain:
                    setattr(jax, name, plain)
            self._plain = {}

    def wait(self) -> None:
        """Wait for compiled programs that may hand something over, and for the recording of it.

        The script has ended, so that it is no longer ended from here.
        """
        self._ended = True
        if not self._done:
            import jax

            with suppress(Exception):  # of the script's own callbacks
                jax.effects_barrier()
        if self._worker is not None:
            self._worker.join()

    def _making(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        """`jax.grad` or `jax.value_and_grad`, whose results are followed."""
        taken = signature(plain)

        @wraps(plain)
        def making(*args: Any, **options: Any) -> Any:
            made = plain(*args, **options)
            if self._done:
                return made
            given = taken.bind(*args, **options)
            given.apply_defaults()
            fun, argnums, has_aux = (given.arguments[k] for k in ("fun", "argnums", "has_aux"))
            return self._followed(made, fun, argnums, has_aux)

        return making

    def _followed(self, made: Any, fun: Any, argnums: Any, has_aux: bool) -> Callable[..., Any]:
        @wraps(made)
        def followed(*args: Any, **kwargs: Any) -> Any:
            if self._done or self._inside:
                return made(*args, **kwargs)
            if threading.get_ident() != self._thread:
                self.elsewhere += 1
                return made(*args, **kwargs)
            self._inside = True
            try:
                out = made(*args, **kwargs)
                try:
                    numeric = not _traces((args, kwargs, out))
                    self._called(partial(fun, **kwargs), args, argnums, has_aux, numeric)
                except Exception as error:  # the program itself is not to end because of it
                    self._failed(error)
            finally:
                self._inside = False
            return out

        return followed

    def _called(self, f: Any, args: Any, argnums: Any, has_aux: bool, numeric: bool) -> None:
        """A call has returned: count it, and record it if it is the one, now or when it runs."""
        several = isinstance(argnums, Sequence)
        chosen = tuple(int(i) % len(args) for i in (argnums if several else (argnums,)))
        if not numeric:
            with redirect_stdout(io.StringIO()):  # f is called once more
                _hand_over(f, args, chosen, has_aux, partial(self._delivered, chosen))
        elif self._counted():
            with redirect_stdout(io.StringIO()):
                recording = self._recorded(f, args, chosen, has_aux)
            self.judged(recording)

    def _counted(self) -> bool:
        """Whether this is the call that is asked for; then no other will be."""
        with self._lock:
            if self._done:
                return False
            self.passes += 1
            if self.passes != self.step:
                return False
            self.disarm()
            return True

    def _failed(self, error: Exception) -> None:
        """Give up: the call that is being traced cannot be recorded."""
        self.error = error
        self.disarm()
        self.judged(self.new())

    def _delivered(self, argnums: Sequence[int], replay: Replay, wide: bool) -> None:
        """The compiled program runs; JAX must not be used on the thread that says so."""
        if not self._counted():
            return

        def work() -> None:
            import jax

            try:
                with jax.enable_x64(wide):
                    recording = self._recorded(*replay(), argnums, False)
                self.judged(recording)
            except SystemExit:  # the script is to end
                if not self._ended:
                    end = ctypes.py_object(SystemExit)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), end)

        self._worker = threading.Thread(target=work, name="gradparity")
        self._worker.start()

    def _recorded(
        self, f: Any, args: Sequence[Any], argnums: Sequence[int], has_aux: bool
    ) -> Recording:
        from ...adapters.jax.record.recorder import observe

        recording = self.new()
        try:
            observe(recording, f, tuple(args), argnums, has_aux)
            recording.finish()
        except Exception as error:  # the program itself is not to end because of it
            self.error = error
        return recording


def _traces(values: Any) -> bool:
    """Whether JAX traces: what is made then, or what was given and returned, has no numbers."""
    import jax

    each = [jax.numpy.zeros(()), *jax.tree.leaves(values)]
    return any(isinstance(x, jax.core.Tracer) for x in each)


def _hand_over(
    f: Callable[..., Any],
    args: Any,
    chosen: Sequence[int],
    has_aux: bool,
    to: Callable[[Replay, bool], None],
) -> None:
    """Let the program that is being traced give its numbers to a function, whenever it runs.

    That function gets one that gives `f` as it was traced and its arguments, which is not to be
    called before it has returned; and whether float64 is on.  As with `jax.grad`, the arguments at
    `chosen` alone are traced for `f`; what is traced around it is a constant of it.
    """
    import jax
    import numpy as np

    flat, tree = jax.tree_util.tree_flatten_with_path(tuple(args))
    leaves = [leaf for _, leaf in flat]
    numeric = jax.Array | np.ndarray | np.generic | float | int | complex
    at = [
        i for i, (path, leaf) in enumerate(flat)
        if path[0].idx in chosen and isinstance(leaf, numeric)
    ]  # fmt: skip

    def rebuilt(xs: Sequence[Any]) -> Any:
        full = list(leaves)
        for i, x in zip(at, xs, strict=True):
            full[i] = x
        return jax.tree.unflatten(tree, full)

    def of_arrays(*xs: Any) -> Any:
        out = f(*rebuilt(xs))
        return out[0] if has_aux else out

    traced = jax.make_jaxpr(of_arrays)(*(leaves[i] for i in at))
    wide = bool(jax.config.jax_enable_x64)
    everything = [*(leaves[i] for i in at), *traced.consts]
    moving = [k for k, x in enumerate(everything) if isinstance(x, jax.core.Tracer)]
    keys = {
        k: jax.random.key_impl(everything[k])
        for k in moving
        if jax.numpy.issubdtype(everything[k].dtype, jax.dtypes.prng_key)
    }

    def deliver(*numbers: Any) -> None:
        to(lambda: replayed([np.array(x) for x in numbers]), wide)

    def replayed(numbers: list[Any]) -> tuple[Callable[..., Any], Any]:
        given = list(everything)
        for k, x in zip(moving, numbers, strict=True):
            given[k] = jax.random.wrap_key_data(x, impl=keys[k]) if k in keys else x
        variables = [*traced.jaxpr.invars, *traced.jaxpr.constvars]
        given = [
            x if isinstance(x, jax.Array) else jax.numpy.asarray(x, v.aval.dtype)
            for x, v in zip(given, variables, strict=True)
        ]

        def again(*args: Any) -> Any:
            own = jax.tree.leaves(args)
            xs = [own[i] for i in at]
            return jax.core.eval_jaxpr(traced.jaxpr, given[len(at) :], *xs)[0]

        # What is traced in the other arguments is among the constants.
        blank = [0.0 if isinstance(x, jax.core.Tracer) else x for x in leaves]
        for i, x in zip(at, given, strict=False):
            blank[i] = x
        return again, jax.tree.unflatten(tree, blank)

    sent = (jax.random.key_data(everything[k]) if k in keys else everything[k] for k in moving)
    jax.debug.callback(deliver, *sent)
