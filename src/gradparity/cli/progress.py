"""A line on the terminal that says what is being done."""

from __future__ import annotations

import sys
from collections.abc import Callable

__all__ = ["Progress"]


class Progress:
    """A line on the terminal that says what is being done; nothing when piped."""

    def __enter__(self) -> Callable[[str], None]:
        from rich.console import Console

        self.status = Console(stderr=True).status("starting") if sys.stderr.isatty() else None
        if self.status is None:
            return lambda message: None
        self.status.start()
        return lambda message: self.status.update(message)  # type: ignore[union-attr]

    def __exit__(self, *exc: object) -> None:
        if self.status is not None:
            self.status.stop()
