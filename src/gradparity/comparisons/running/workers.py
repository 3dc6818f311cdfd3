"""Run pieces of work in processes that are ended when they take too long."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError, as_completed
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, NamedTuple

__all__ = ["NoAnswer", "in_workers"]


class NoAnswer(NamedTuple):
    """Why a piece of work has no result."""

    why: str


def in_workers(
    call: Callable[[Any], Any], work: Sequence[tuple[Any, float]], number: int
) -> Iterator[tuple[Any, Any]]:
    """Yield each piece of work with the result of `call`, or `NoAnswer`, as they come.

    Parameters
    ----------
    call : can be pickled; its ``prepare()`` is called first in every process, outside all limits.
    work : each piece with its limit in seconds.
    number : how many processes; they are ended with this iterator.

    Raises
    ------
    ImportError : Pebble is missing.
    """
    try:
        from pebble import ProcessExpired, ProcessPool
    except ImportError as error:
        raise ImportError(
            "workers need Pebble; run: pip install 'gradparity[atlas]', or give --workers 0"
        ) from error
    context = multiprocessing.get_context("spawn")  # threads of frameworks do not survive a fork
    resource_tracker.ensure_running()  # it would unblock signals
    pool = ProcessPool(number, initializer=_begin, initargs=(call,), context=context)
    try:
        with _interrupts_blocked():  # processes start with the first piece of work
            asked = {pool.schedule(_do, args=(one,), timeout=limit): (one, limit)
                     for one, limit in work}  # fmt: skip
        for future in as_completed(asked):
            one, limit = asked[future]
            try:
                yield one, future.result()
            except TimeoutError:
                yield one, NoAnswer(f"no answer in {limit:g} s")
            except ProcessExpired as error:
                yield one, NoAnswer(f"the process ended with exit code {error.exitcode}")
    finally:
        pool.stop()
        pool.join()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Threads that start here, and their processes, get no Ctrl-C; it comes here afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_CALL: list[Any] = []


def _begin(call: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process ends them
    call.prepare()
    _CALL[:] = [call]


def _do(one: Any) -> Any:
    return _CALL[0](one)
