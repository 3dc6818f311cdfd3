"""The arrays of a pytree by the names that recordings give them, as bits and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...base import Bits

__all__ = [
    "leaf_names", "named", "nested", "of_bits", "paths_in_words", "read", "replaced",
    "to_bits", "write",
]  # fmt: skip


def leaf_names(paths: Mapping[int, Any]) -> list[str]:
    """The names of leaves by their paths: "params.Dense_0.kernel" as "Dense_0.kernel".

    A name that several have ends with the number of the leaf.
    """
    tails = paths_in_words([path[1:] for path in paths.values()])
    given = zip(tails, paths.values(), strict=True)
    names = [".".join(tail) or f"arg{path[0].idx}" for tail, path in given]
    return [n if names.count(n) == 1 else f"{n}_{i}" for i, n in zip(paths, names, strict=True)]


def paths_in_words(paths: Sequence[Any]) -> list[tuple[str, ...]]:
    """The names along paths in a pytree.

    The last one is dropped where a variable of Flax NNX holds its array, alone, as its "value".
    """
    words = [tuple(part for entry in path if (part := _word(entry))) for path in paths]
    beside = Counter(each[:k] for each in words for k in range(len(each)))
    return [
        each[:-1] if each[1:] and each[-1] == "value" and beside[each[:-1]] == 1 else each
        for each in words
    ]


def _word(entry: Any) -> str:
    part = getattr(entry, "key", getattr(entry, "name", getattr(entry, "idx", None)))
    return str(part).strip(".")


def _flat(tree: Any) -> tuple[list[str], list[Any], Any]:
    """The names, leaves and structure of the first argument of a recorded function."""
    flat, structure = jax.tree_util.tree_flatten_with_path((tree,))
    paths = {i: path for i, (path, _) in enumerate(flat)}
    return leaf_names(paths), [leaf for _, leaf in flat], structure


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


def read(files: Any, path: str) -> dict[str, Any]:
    """The arrays in a file, of NumPy, because JAX may round those of 64 bits to 32.

    Parameters
    ----------
    files : the module `safetensors`.
    """
    return dict(files.numpy.load_file(path))


def write(files: Any, arrays: Mapping[str, Any], path: str) -> None:
    """Write a file of safetensors."""
    files.numpy.save_file({name: np.ascontiguousarray(a) for name, a in arrays.items()}, path)
