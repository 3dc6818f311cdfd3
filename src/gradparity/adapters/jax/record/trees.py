"""The arrays of a pytree by the names that recordings give them, as bits and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...base import Bits

__all__ = ["leaf_name", "named", "names_of_path", "nested", "of_bits", "replaced", "to_bits"]


def leaf_name(path: Any) -> str:
    """The path of a leaf among arguments: "params.Dense_0.kernel" as "Dense_0.kernel"."""
    return ".".join(names_of_path(path[1:])) or f"arg{path[0].idx}"


def names_of_path(path: Any) -> tuple[str, ...]:
    """The names along a path in a pytree."""
    parts = []
    for entry in path:
        part = getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", None)))
        parts.append(str(part).strip("."))
    if parts[1:] and parts[-1] == "value":  # a variable of Flax NNX holds its array there
        parts.pop()
    return tuple(part for part in parts if part)


def _flat(tree: Any) -> tuple[list[str], list[Any], Any]:
    """The names, leaves and structure of the first argument of a recorded function."""
    flat, structure = jax.tree_util.tree_flatten_with_path((tree,))
    names = [leaf_name(path) for path, _ in flat]
    kept = [n if names.count(n) == 1 else f"{n}_{i}" for i, n in enumerate(names)]
    return kept, [leaf for _, leaf in flat], structure


def named(tree: Any) -> dict[str, Any]:
    """The arrays of a pytree by name."""
    names, leaves, _ = _flat(tree)
    return {n: a for n, a in zip(names, leaves, strict=True) if hasattr(a, "dtype")}


def replaced(tree: Any, arrays: Mapping[str, Any]) -> Any:
    """A pytree like this one, with other arrays at these names."""
    names, leaves, structure = _flat(tree)
    own = [arrays.get(n, a) for n, a in zip(names, leaves, strict=True)]
    return jax.tree_util.tree_unflatten(structure, own)[0]


def nested(arrays: Mapping[str, Any]) -> Any:
    """Nested dictionaries, of which the keys make up the names; one array alone is itself."""
    if [*arrays] == ["arg0"]:
        return arrays["arg0"]
    made: dict[str, Any] = {}
    for name, array in arrays.items():
        inner = made
        *path, last = name.split(".")
        for key in path:
            inner = inner.setdefault(key, {})
        inner[last] = array
    return made


def to_bits(array: Any) -> Bits:
    """The bits of an array."""
    found = np.asarray(array)
    return Bits(np.ascontiguousarray(found).view(f"u{found.itemsize}").reshape(found.shape),
                found.dtype.name)  # fmt: skip


def of_bits(bits: Bits) -> Any:
    """The array that has these bits.

    Raises
    ------
    ValueError : JAX makes no array of this dtype.
    """
    array = jnp.asarray(bits.array.view(jnp.dtype(bits.dtype)))
    if array.dtype.name != bits.dtype:
        raise ValueError(
            f"JAX makes {array.dtype.name} of {bits.dtype}, which is not bitwise the same; first "
            'call jax.config.update("jax_enable_x64", True)'
        )
    return array
