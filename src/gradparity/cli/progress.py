"""A progress bar on the terminal for commands that take longer than two seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from time import monotonic

__all__ = ["progress_bar"]

#: Seconds before anything is shown.
AFTER = 2.0
#: Seconds between lines where there is no terminal.
EVERY = 30.0


def _lines(clock: Callable[[], float] = monotonic) -> Callable[[str, float], None]:
    """A line on standard error every `EVERY` seconds."""
    last = clock()

    def say(message: str, done: float) -> None:
        nonlocal last
        if clock() - last >= EVERY:
            last = clock()
            print(f"{done:.0%} {message}", file=sys.stderr, flush=True)

    return say


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """``with progress_bar() as say``: a bar on standard error, erased at the end; lines if piped.

    `say` is for ``progress=``: it takes a description of the current step and the fraction done.
    """
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    ellipsis = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    bar = Progress(
        TextColumn("{task.description}", markup=False, table_column=ellipsis),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
        transient=True,
        expand=True,
        speed_estimate_period=3600.0,  # one step may take minutes, where it is compiled first
        redirect_stdout=sys.stdout.isatty(),  # piped output must not pass through the bar
    )
    task = bar.add_task("starting", total=1.0)
    timer = Timer(AFTER, bar.start)
    timer.daemon = True
    if not bar.console.is_dumb_terminal:
        timer.start()
    try:
        yield lambda message, done: bar.update(task, description=message, completed=done)
    finally:
        timer.cancel()
        if timer.ident is not None:
            timer.join()  # it may be starting the bar just now
        bar.stop()
