"""Notes of an evaluation of a jaxpr: values, equations, scans and conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.network.calls import Place

__all__ = [
    "Choice", "Equation", "Key", "Scan", "Value", "bind", "distinct_leaves", "is_complex",
    "is_float", "is_key", "numbers",
]  # fmt: skip

#: Where a tap is: the path of its equation, "in" or "out", and the position.
Key: TypeAlias = tuple[Any, ...]


class Scan(NamedTuple):
    """A scan: its node, how many constants and carries it has, and in how many others it is."""

    node: str
    place: Place
    constants: int
    carries: int
    reverse: bool
    depth: int


class Choice(NamedTuple):
    """A condition inside of a scan, which takes another branch at every step."""

    node: str
    place: Place


class Value(NamedTuple):
    """A value of the program: its numbers, its name, and whether it depends on what varies.

    It is `cut` if it does so through `stop_gradient` alone, so that it has no gradient.
    """

    x: Any
    name: str = ""
    active: bool = False
    cut: bool = False

    @property
    def varies(self) -> bool:
        """Whether it has a gradient in the program itself."""
        return self.active and not self.cut


@dataclass
class Equation:
    """One equation, and the names of what it takes.

    Attributes
    ----------
    eqn : JAX's.
    sources : for each input the name of the value, "" for one that has no gradient.
    lengths : how often it runs, of each scan that it is in.
    branches : the path of each condition in a scan that it is in, and which branch.
    idle : whether nothing needs its gradient: it may have no formula.
    aside : whether the loss is not made of its results, such as a new state of an optimizer: no
        gradient arrives at them.
    """

    eqn: Any
    place: Place
    sources: tuple[str, ...]
    lengths: tuple[int, ...] = ()
    names: tuple[str, ...] = field(default=())
    branches: tuple[tuple[Key, int], ...] = ()
    idle: bool = False
    aside: bool = False


def is_float(x: Any) -> bool:
    """Whether it has a gradient by its dtype."""
    return bool(jnp.issubdtype(jnp.result_type(x), jnp.floating))


def is_complex(x: Any) -> bool:
    """Whether it holds complex numbers."""
    return bool(jnp.issubdtype(jnp.result_type(x), jnp.complexfloating))


def is_key(x: Any) -> bool:
    """Whether it holds random keys, which are not arrays."""
    return bool(jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key))


def numbers(x: Any) -> NDArray:
    """An array of JAX as NumPy's; formats that NumPy lacks, such as bfloat16, as float32."""
    x = jnp.asarray(x)
    other = is_float(x) and x.dtype not in (np.float16, np.float32, np.float64)
    return np.asarray(x.astype(jnp.float32) if other else x)


def bind(eqn: Any, *ins: Any, **other: Any) -> list[Any]:
    """The results of an equation for other inputs, and other parameters."""
    given = eqn.primitive.get_bind_params(eqn.params)
    functions, params = given if isinstance(given, tuple) else ((), given)
    outs = eqn.primitive.bind(*functions, *ins, **{**params, **other})
    return list(outs) if eqn.primitive.multiple_results else [outs]


def distinct_leaves(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The leaves of a tree, each object once; and the function that makes such a tree of them."""
    leaves, structure = jax.tree.flatten(tree)
    distinct = {id(x): x for x in leaves}
    places = {key: i for i, key in enumerate(distinct)}
    order = [places[id(x)] for x in leaves]

    def restore(found: Sequence[Any]) -> Any:
        return jax.tree.unflatten(structure, [found[i] for i in order])

    return [*distinct.values()], restore
