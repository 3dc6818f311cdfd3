"""Adapters: anything that turns a case into a trace.  One small file per framework.

base       the protocol, and how adapters are found (entry points in `gradparity.adapters`)
natives    functions of others in place of an adapter's own: `native_function`, `replacing`
torch      a real `torch.nn.Module` of real `torch.nn` layers
jax        a pure `apply(params, x)` with a pytree of parameters

No derivative is ever written here, and no expected value ever comes from here.
"""

from .base import Adapter, adapter, available

__all__ = ["Adapter", "adapter", "available"]
