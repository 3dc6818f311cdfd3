"""Import torchvision also where its wheel is for CUDA and PyTorch for the CPU alone.

Such a wheel cannot load its own library and fails to register the shapes of its ops.  No model here
uses one of them, so that module is replaced by an empty one.
"""

from __future__ import annotations

import sys
import types

__all__ = ["leave_out"]


def leave_out() -> None:
    """Put an empty module in the place of the one that registers the shapes."""
    name = "torchvision._meta_registrations"
    sys.modules[name] = types.ModuleType(name)
