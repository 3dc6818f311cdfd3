"""The values that one line of the user's code gave, such as in the steps of a loop."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from ....core.formulas.op import Movement
from ....core.network.calls import Call
from ....core.vocabulary.rearranging import Split

__all__ = ["groups", "unnumbered"]


@lru_cache(maxsize=4096)
def unnumbered(node: str) -> str:
    """The name of a node without its number and step."""
    return re.sub(r"_\d+(\.step[\d_]+)?$", r"", node) if ".step" not in node else node.split(".")[0]


def groups(calls: Sequence[Call]) -> tuple[tuple[str, ...], ...]:
    """The first results that one line gave with the same op, of as many numbers, as in a loop.

    Parts of one value would be that value again, and are left out.
    """
    found: dict[tuple[object, ...], list[str]] = {}
    for call in calls:
        place, z = call.place, call.z[0]
        told = place.source and call.names[0] and not isinstance(call.op, Movement | Split)
        if told and z is not None and z.size > 1:
            key = (place.source, place.module, unnumbered(place.node), type(call.op), z.size)
            found.setdefault(key, []).append(call.names[0])
    return tuple(tuple(names) for names in found.values() if len(names) > 1)
