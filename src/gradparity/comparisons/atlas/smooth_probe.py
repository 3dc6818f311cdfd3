"""The atlas of smooth regions: where the frameworks' functions lose digits."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace

from ...adapters.base import Adapter
from ..running.progress import Progress, silent
from .chosen import chosen_adapters, missing_of, versions_of
from .smooth.measured import measured
from .smooth.points import FORMATS
from .stored import Atlas

__all__ = ["probe_smooth"]


def probe_smooth(
    *adapters: str | Adapter,
    compile: bool = False,
    names: Sequence[str] = (),
    dtypes: Sequence[str] = FORMATS,
    progress: Progress = silent,
) -> Atlas:
    """Measure where functions of one number lose digits: an atlas without kinks.

    Parameters
    ----------
    *adapters : names or adapters; every installed one by default.  Those with ``smooth()``
        (`gradparity.adapters.smooth.Smooth`) have functions.
    compile, names, dtypes, progress : see `gradparity.comparisons.atlas.smooth.measured.measured`.

    Raises
    ------
    AdapterError, ValueError : see `gradparity.comparisons.atlas.probe.probe`.
    ImportError : mpmath is missing, which the true values need.
    """
    chosen = chosen_adapters(adapters)
    found = measured(*chosen, compile=compile, names=names, dtypes=dtypes, progress=progress)
    found = replace(found, missing=missing_of(chosen))
    return Atlas(versions_of(chosen), platform.machine(), compile, (), found)
