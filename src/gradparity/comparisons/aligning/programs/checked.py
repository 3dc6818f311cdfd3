"""Check the two recordings to compare: both have ended and kept numbers that can be compared."""

from __future__ import annotations

from collections.abc import Sequence

from ....core.arithmetic.received import received
from ....core.network.calls import Call, Operand
from ...recording.recording import Recording

__all__ = ["check_recordings"]


def check_recordings(who: str, one: Recording, other: Recording) -> None:
    """Refuse anything but two recordings whose numbers are known."""
    for what, given in (("one", one), ("other", other)):
        if not isinstance(given, Recording):
            raise TypeError(f"{who}: {what} is {received(given)}; give a recording, gp.record(...)")
        if not given.closed:
            raise ValueError(f"{who}: the recording {what} has not ended")
        if not given.calls:
            raise ValueError(
                f"{who}: the recording {what} has kept no numbers; record it with keep=True"
            )
        nothing = [_of_nothing(given.calls, loss) for loss in _losses(given.calls)]
        if nothing and nothing[0] and all(nothing):
            said = _empty_in_words(given, nothing[0])
            raise ValueError(f"{who}: {said}; record it with data in it")


def _losses(calls: Sequence[Call]) -> list[Call]:
    """The calls that give one number which no other call takes."""
    used = {o.name for call in calls for o in call.inputs}
    return [
        c
        for c in calls
        if not used.intersection(c.names) and [z.size for z in c.z if z is not None] == [1]
    ]


def _of_nothing(calls: Sequence[Call], loss: Call) -> tuple[Call, Operand] | None:
    """Where a loss that is made of arrays without elements alone, takes one of them."""
    by = {name: call for call in calls for name in call.names if name}
    found, left, seen = None, [loss], {loss.place.node}
    while left:
        call = left.pop()
        for o in call.inputs:
            if not o.name or o.array.dtype.kind != "f":
                continue
            if not o.array.size:
                found = found or (call, o)
                continue
            if o.name not in by:
                return None
            if (made_by := by[o.name]).place.node not in seen:
                seen.add(made_by.place.node)
                left.append(made_by)
    return found


def _empty_in_words(recording: Recording, where: tuple[Call, Operand]) -> str:
    """Which value of which program is empty, and where numbers are made of it."""
    call, empty = where
    at = f"{call.place.node!r}" + (f" ({call.place.source})" if call.place.source else "")
    said = f"the loss of {recording.name!r} is made of {empty.name!r}, which is empty, of shape "
    given = [f", as {n!r} of shape {a.shape}" for n, a in recording.given.items() if not a.size]
    return f"{said}{empty.array.shape}{''.join(given[:1])}, and goes into {at}"
