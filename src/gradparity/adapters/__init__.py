"""Adapters: anything that turns a case into a trace.

base       the protocol, the registry (entry points in `gradparity.adapters`), and helpers that make
           a trace: `walk`, `taps`, `risk`
overrides  user functions that replace an adapter's own: `native_function`, `with_overrides`
operators  ops that every array library writes alike
course     layers in NumPy with a backward pass each, as courses write them: `LayerStack`
torch      a real `torch.nn.Module` of real `torch.nn` layers
jax        a pure `apply(params, x)` with a pytree of parameters

Authors of other adapters use the names below too.  This package contains no derivatives and no
reference values.
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
