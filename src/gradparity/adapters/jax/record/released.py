"""Give memory that compiling has freed back to the system."""

from __future__ import annotations

import ctypes

__all__ = ["release"]


def release() -> None:
    """Let the allocator of the C library return pages that are free, if it can.

    A compiler frees as much as the program then takes, in pieces that do not fit it.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):  # another C library
        return
