"""The row of a padding token that no id takes: whether it has a gradient is not tested."""

from __future__ import annotations

import numpy as np

from ...core.formulas.embedding import Embedding
from .programs.side import Side

__all__ = ["untested_padding"]


def untested_padding(side: Side) -> dict[str, str]:
    """Table -> why its padding row is not tested, for the tables of a program with such a row."""
    found: dict[str, str] = {}
    for call in side.program.calls:
        row = call.op.padding_idx if isinstance(call.op, Embedding) else None
        ids = [o.array for o in call.inputs if o.array.dtype.kind in "iu"]
        tables = [o.source for o in call.inputs if o.source in side.program.leaves]
        if row is not None and ids and tables and not any(np.any(a == row) for a in ids):
            said = f"no id is {row}, so nothing is tested at that row of {tables[0]}, which gets "
            found[tables[0]] = f"{said}no gradient by padding_idx"
    return found
