"""The atlas of structures: what frameworks give on structured inputs that is not right."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from ...adapters.base import Adapter
from ..atlas.chosen import chosen_adapters, versions_of
from ..atlas.stored import Atlas
from ..running.progress import Progress, silent
from .measured import measured

__all__ = ["probe_structures"]


def probe_structures(
    *adapters: str | Adapter,
    compile: bool = False,
    names: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    progress: Progress = silent,
) -> Atlas:
    """Measure every op of the vocabulary on structured inputs: an atlas without kinks.

    Parameters
    ----------
    *adapters : names or adapters; every installed one by default.
    compile, names, dtypes, progress : see `gradparity.comparisons.structures.measured`.

    Raises
    ------
    AdapterError, ValueError : see `gradparity.comparisons.atlas.probe.probe`.
    """
    chosen = chosen_adapters(adapters)
    found = measured(*chosen, compile=compile, names=names, dtypes=dtypes, progress=progress)
    return Atlas(versions_of(chosen), platform.machine(), compile, (), structures=found)
