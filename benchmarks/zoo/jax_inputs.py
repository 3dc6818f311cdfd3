"""Inputs of the functions of JAX, and the types of their builders.

Libraries are imported by the builders, so that the process which forks has not started JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["IMAGE", "Build", "Zoo", "applied", "array", "installed", "integers", "keras_in", "key"]

#: Builds a function of its parameters, and them.
Build = Callable[[], tuple[Callable[[Any], Any], Any]]
Zoo = dict[str, Build]
IMAGE = (2, 16, 16, 3)


def installed(*names: str) -> None:
    """Raise ImportError unless these libraries are here; imports none."""
    lacking = [name for name in names if find_spec(name) is None]
    if lacking:
        raise ImportError(f"not installed: {', '.join(lacking)}")


def key(seed: int = 0) -> Any:
    """A random key."""
    return import_module("jax").random.key(seed)


def array(*shape: int, seed: int = 1) -> Any:
    """Normal numbers."""
    return import_module("jax").random.normal(key(seed), shape)


def integers(*shape: int, most: int = 20, seed: int = 2) -> Any:
    """Integers below `most`."""
    return import_module("jax").random.randint(key(seed), shape, 0, most)


def keras_in(keras: Any, x: Any) -> None:
    """Let layers of Keras compute in the format of an array."""
    keras.config.set_floatx(str(x.dtype))
    keras.config.set_dtype_policy(str(x.dtype))


def applied(module: Any, *x: Any, **rngs: Any) -> tuple[Any, Any]:
    """A Linen module as a function of its parameters; what else it has may change."""
    variables = dict(module.init({"params": key(), **rngs}, *x))
    params = variables.pop("params")
    return (
        lambda p: module.apply(
            {"params": p, **variables}, *x, mutable=list(variables), rngs=rngs or None
        )[0],
        params,
    )
