"""A bar on the terminal for what takes longer than two seconds: what is done, and the time left."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Lock, Timer
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

__all__ = ["AFTER", "Progress", "bar", "told"]

#: Seconds before anything is shown.
AFTER = 2.0


class Progress:
    """``with Progress() as say``: a bar on standard error, gone in the end; none where piped.

    `say` is what the functions take as ``progress=``: told what is done, and which part of all.
    """

    def __enter__(self) -> Callable[[str, float], None]:
        self.timer: Timer | None = None
        self.lock, self.over = Lock(), False
        if not sys.stderr.isatty():
            return lambda message, done: None
        from rich.console import Console

        console = Console(stderr=True)
        if console.is_dumb_terminal:
            return lambda message, done: None
        self.bar = bar(console)
        self.timer = Timer(AFTER, self._show)
        self.timer.daemon = True
        self.timer.start()
        return lambda message, done: told(self.bar, message, done)

    def _show(self) -> None:
        with self.lock:
            if not self.over:
                self.bar.start()

    def __exit__(self, *exc: object) -> None:
        if self.timer is None:
            return
        self.timer.cancel()
        with self.lock:  # it may be starting just now
            self.over = True
            self.bar.stop()


def bar(console: Console, clock: Callable[[], float] = monotonic) -> Bar:
    """The message, a bar, the share that is done, and the time that is left."""
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    class TimeLeft(ProgressColumn):
        max_refresh = 0.5

        def render(self, task: Task) -> Text:
            return Text(_left(task.fields["left"], clock() - task.fields["told"]), style="dim")

    shown = Progress(
        TextColumn("{task.description}", markup=False,
                   table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeLeft(),
        console=console, transient=True, expand=True, get_time=clock,
        redirect_stdout=sys.stdout.isatty(),  # what is printed there is nobody's progress
    )  # fmt: skip
    shown.add_task("starting", total=1.0, began=clock(), told=clock(), left=None)
    return shown


def told(bar: Bar, message: str, done: float) -> None:
    """Show this, and expect that the rest goes on as fast as it went so far."""
    (task,) = bar.tasks
    now = bar.get_time()
    left = (now - task.fields["began"]) * (1 - done) / done if done else None
    bar.update(task.id, description=message, completed=done, told=now, left=left)


def _left(seconds: float | None, since: float) -> str:
    """In words: `seconds` as expected so long ago, nothing where nothing is expected.

    >>> _left(75.0, 3.0), _left(2.0, 3.0), _left(None, 3.0)
    ('1:12 left', '0:00 left', '')
    """
    if seconds is None:
        return ""
    minutes, rest = divmod(round(max(0.0, seconds - since)), 60)
    return f"{minutes}:{rest:02d} left"
