"""The JAX adapter: a pure `apply(params, x)` with a pytree of parameters."""

from .adapter import JaxAdapter

__all__ = ["JaxAdapter"]
