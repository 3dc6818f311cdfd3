"""Adapters: anything that turns a case into a trace.  One small file per framework.

base       the protocol, how adapters are found (entry points in `gradparity.adapters`), and what
           makes a trace: `walk`, `taps`, `risk`
overrides    functions of others in place of an adapter's own: `native_function`, `with_overrides`
layers     layers in NumPy with backward passes of their own, as courses have them: `LayerStack`
torch      a real `torch.nn.Module` of real `torch.nn` layers
jax        a pure `apply(params, x)` with a pytree of parameters

The names below are what an adapter of another's is written with, too.  No derivative is ever
written here, and no expected value ever comes from here.
"""

from .base import (
    Adapter,
    AdapterError,
    DeviceError,
    Trainer,
    available,
    get_adapter,
    risk,
    taps,
    walk,
)
from .course.layers import LayerError, LayerStack
from .overrides import NativeAdapter, Overrides, no_function

__all__ = [
    "Adapter",
    "AdapterError",
    "DeviceError",
    "LayerError",
    "LayerStack",
    "NativeAdapter",
    "Overrides",
    "Trainer",
    "available",
    "get_adapter",
    "no_function",
    "risk",
    "taps",
    "walk",
]
