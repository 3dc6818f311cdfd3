"""Judge one call of a function that `jax.grad` or `jax.value_and_grad` made, in a running program.

A call on numbers is recorded as soon as it has returned.  A call while JAX traces, such as inside
of `jax.jit`, has no numbers: the compiled program hands them over when it runs, and what was traced
is recorded on them.
"""

from __future__ import annotations

import ctypes
import io
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any

from .recording import Recording

if TYPE_CHECKING:
    from ...adapters.jax.record.traced import Replay, Traced

__all__ = ["Differentiated"]

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
            if self._done:
                return plain(*args, **options)
            given = taken.bind(*args, **options)
            given.apply_defaults()
            fun, argnums, has_aux = (given.arguments[k] for k in ("fun", "argnums", "has_aux"))
            if not callable(fun):
                return plain(*args, **options)
            seen = _Seen(fun, argnums, has_aux)
            given.arguments["fun"] = seen.once
            return self._followed(plain(*given.args, **given.kwargs), seen)

        return making

    def _followed(self, made: Any, seen: _Seen) -> Callable[..., Any]:
        @wraps(made)
        def followed(*args: Any, **kwargs: Any) -> Any:
            if self._done or self._inside:
                return made(*args, **kwargs)
            if threading.get_ident() != self._thread:
                self.elsewhere += 1
                return made(*args, **kwargs)
            self._inside = True
            try:
                return self._called(made, seen, args, kwargs)
            finally:
                self._inside = False

        return followed

    def _called(self, made: Any, seen: _Seen, args: Any, kwargs: Any) -> Any:
        """Call what JAX made; count the call, and record it if it is the one, now or when it runs.

        The program never calls a function twice, as the first call may use up what it holds; only
        if it cannot be traced, it is called as it is, with what it held.
        """
        from ...adapters.jax.record.traced import held, restore, traces

        numeric = not traces((args, kwargs))
        kept = held(seen.fun)
        try:
            with redirect_stdout(io.StringIO()) as printed:
                traced = seen.by(args, kwargs)
                out = made(*args, **kwargs)
        except Exception as error:
            restore(kept)
            seen.call = None
            out = made(*args, **kwargs)  # if this raises, the call does not count
            if not numeric or self.passes + 1 == self.step:
                self._failed(error)
            else:
                self._counted()
            return out
        sys.stdout.write(printed.getvalue())
        try:
            if not numeric or not traced.is_numeric:
                argnums = seen.chosen(args)
                traced.hand_over(lambda replay, wide: self._delivered(replay, argnums, wide))
            elif self._counted():
                self.judged(self._recorded(*traced.now(), seen.chosen(args)))
        except Exception as error:  # the program itself is not to end because of it
            self._failed(error)
        return out

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

    def _delivered(self, replay: Replay, argnums: Sequence[int], wide: bool) -> None:
        """The compiled program runs; JAX must not be used on the thread that says so."""
        if not self._counted():
            return

        def work() -> None:
            import jax

            try:
                with jax.enable_x64(wide):
                    recording = self._recorded(*replay(), argnums)
                self.judged(recording)
            except SystemExit:  # the script is to end
                if not self._ended:
                    end = ctypes.py_object(SystemExit)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), end)

        self._worker = threading.Thread(target=work, name="gradparity")
        self._worker.start()

    def _recorded(self, f: Any, args: Sequence[Any], argnums: Sequence[int]) -> Recording:
        from ...adapters.jax.record.recorder import observe

        recording = self.new()
        try:
            observe(recording, f, tuple(args), argnums)
            recording.finish()
        except Exception as error:  # the program itself is not to end because of it
            self.error = error
        return recording


class _Seen:
    """A function that is given to `jax.grad`, and the call of it that is traced.

    Attributes
    ----------
    fun : the function itself.
    once : what JAX gets in its place: the same, but the call after `by` is traced.
    call : that call, until it has begun.
    """

    def __init__(self, fun: Callable[..., Any], argnums: Any, has_aux: bool) -> None:
        self.fun, self.argnums, self.has_aux = fun, argnums, has_aux
        self.call: Traced | None = None

        @wraps(fun)
        def once(*args: Any, **kwargs: Any) -> Any:
            call, self.call = self.call, None
            return fun(*args, **kwargs) if call is None else call.call(fun, args, kwargs)

        self.once = once

    def chosen(self, args: Sequence[Any]) -> tuple[int, ...]:
        """The positions of the arguments by which it is differentiated."""
        several = isinstance(self.argnums, Sequence)
        return tuple(int(i) % len(args) for i in (self.argnums if several else (self.argnums,)))

    def by(self, args: Sequence[Any], kwargs: Any) -> Traced:
        """Let the next call be traced."""
        from ...adapters.jax.record.traced import Traced

        self.call = Traced(args, kwargs, self.chosen(args), self.has_aux)
        return self.call
