"""Check the two recordings to compare: both have ended and kept their numbers."""

from __future__ import annotations

from ....core.arithmetic.received import received
from ...recording.recording import Recording

__all__ = ["check_recordings"]


def check_recordings(who: str, one: Recording, other: Recording) -> None:
    """Refuse anything else than two recordings of which the numbers are known."""
    for what, given in (("one", one), ("other", other)):
        if not isinstance(given, Recording):
            raise TypeError(f"{who}: {what} is {received(given)}; give a recording, gp.record(...)")
        if not given.closed:
            raise ValueError(f"{who}: the recording {what} has not ended")
        if not given.calls:
            raise ValueError(
                f"{who}: the recording {what} has kept no numbers; record it with keep=True"
            )
