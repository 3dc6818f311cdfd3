"""Move parameters from one program to another, bit by bit, along a map of their parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from os import PathLike, fspath
from typing import Any

import numpy as np

from ....adapters.base import Bits
from ....core.arithmetic.arrays import NDArray
from ....core.arithmetic.received import cut, received
from .arrangements import index_of
from .leaves import Leaves
from .mapping import Match, ParameterMap

__all__ = ["ARRAYS", "moved_arrays", "transfer"]

#: Framework -> the module of an adapter that knows its arrays.
ARRAYS = {
    "torch": "gradparity.adapters.torch.states",
    "jax": "gradparity.adapters.jax.record.trees",
}
#: Framework -> the module of safetensors for its arrays.
FILES = {"torch": "safetensors.torch", "jax": "safetensors.numpy"}


def transfer(given: Any, mapping: ParameterMap, *, like: Any = None, to: Any = None) -> Any:
    """Move parameters of the first program of a map into the form of the second one, bitwise.

    Every number goes to its place as it is: transposed, with axes in another order, mirrored,
    packed, split, stacked, or flattened in another order.  The numbers may be others than the
    recorded ones, such as those of a checkpoint; the shapes may not.  ``mapping.inverse()`` moves
    back.

    Parameters
    ----------
    given : what the first program has: a PyTorch module or state dict, a pytree of JAX (the first
        argument of the recorded function), or the path of a file of safetensors.
    mapping : `map_parameters` of the two.
    like : a module, state dict or pytree of the second program; what the map does not know, such as
        running statistics, is taken from there.  None: a state dict, or nested dictionaries, of
        what the map knows.
    to : the path of a file of safetensors to write as well; tied weights of PyTorch are written
        once, as `safetensors.torch.load_model` reads them.

    Returns
    -------
    A state dict for PyTorch, a pytree for JAX.

    Raises
    ------
    TypeError : something else than a map.
    ValueError : a parameter is missing, has another shape, or cannot be moved: several parameters
        are summed in one, or nothing tells two of them apart; or a file is not one of safetensors.
    OSError : a file cannot be read or written.
    ImportError : a file is given, and safetensors is not installed.

    >>> import gradparity as gp, jax, torch
    >>> import jax.numpy as jnp
    >>> layer, x = torch.nn.Linear(3, 2), torch.arange(6.0).reshape(2, 3)
    >>> params = {"w": jnp.asarray(layer.weight.detach().numpy().T),
    ...           "b": jnp.asarray(layer.bias.detach().numpy())}
    >>> one = gp.record(lambda m: torch.sin(m(x)).sum(), layer, keep=True)
    >>> x = jnp.asarray(x.numpy())
    >>> other = gp.record(lambda p: jnp.sin(x @ p["w"] + p["b"]).sum(), params, keep=True)
    >>> mapping = gp.map_parameters(one, other)
    >>> found = gp.transfer(torch.nn.Linear(3, 2), mapping)
    >>> found["w"].shape
    (3, 2)
    >>> gp.transfer(found, mapping.inverse())["weight"].shape
    torch.Size([2, 3])
    """
    if not isinstance(mapping, ParameterMap):
        raise TypeError(
            f"transfer: mapping is {received(mapping)}; give gp.map_parameters(one, other)"
        )
    files = None
    if to is not None or isinstance(given, str | PathLike):
        files = _safetensors(mapping)
    first, second = mapping.sides
    if like is None and mapping.only_other:
        raise ValueError(
            f"transfer: the map has nothing for {', '.join(mapping.only_other)}; give like=, a "
            "module or pytree to take it from"
        )
    source = import_module(ARRAYS[first.framework])
    target = import_module(ARRAYS[second.framework])
    arrays = _read(given, first, source, files)
    moved: dict[str, Bits] = {}
    for match in mapping.matches:
        taken = {name: _bits(arrays, name, first, source) for name in match.one}
        for name, bits in _moved(match, taken, first, second):
            before = moved.setdefault(name, bits)
            if not np.array_equal(before.array, bits.array):
                raise ValueError(
                    f"transfer: {name!r} is several parameters of the first program, whose numbers "
                    "are not the same"
                )
    try:
        made = {name: target.of_bits(bits) for name, bits in moved.items()}
    except ValueError as error:
        raise ValueError(f"transfer: {error}") from error
    if like is not None:
        _check_like(like, made, target)
        result = target.replaced(like, made)
    else:
        result = target.nested(made) if second.framework == "jax" else made
    if to is not None:
        with _told(files, fspath(to), "written"):
            target.write(files, target.named(result), fspath(to))
    return result


def moved_arrays(arrays: Mapping[str, NDArray], mapping: ParameterMap) -> dict[str, NDArray]:
    """Plain arrays of the first program of a map in the form of the second one.

    Raises
    ------
    ValueError : one is missing, or cannot be moved.
    """
    first, second = mapping.sides
    found: dict[str, NDArray] = {}
    for match in mapping.matches:
        missing = [name for name in match.one if name not in arrays]
        if missing:
            raise ValueError(f"the map has {missing[0]!r}, which is none of {', '.join(arrays)}")
        taken = {n: Bits(_as_integers(arrays[n]), arrays[n].dtype.name) for n in match.one}
        for name, bits in _moved(match, taken, first, second):
            found[name] = bits.array.view(bits.dtype)
    return found


def _as_integers(a: NDArray) -> NDArray:
    return np.ascontiguousarray(a).view(f"u{a.itemsize}").reshape(a.shape)


def _safetensors(mapping: ParameterMap) -> Any:
    """The module `safetensors`, with its modules for the arrays of both sides."""
    if find_spec("safetensors") is None:
        raise ImportError("transfer: files need safetensors; pip install safetensors")
    for side in mapping.sides:
        import_module(FILES[side.framework])
    return import_module("safetensors")


@contextmanager
def _told(files: Any, path: str, done: str) -> Iterator[None]:
    """Name the file in errors that are raised inside."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"transfer: there is no file {path!r}") from error
    except OSError as error:
        raise OSError(f"transfer: {path!r} cannot be {done}: {error}") from error
    except files.SafetensorError as error:
        what = "of a file of safetensors" if done == "read" else "in a folder that exists"
        raise ValueError(
            f"transfer: {path!r} cannot be {done} as safetensors: {error}; give a path {what}"
        ) from error


def _read(given: Any, side: Leaves, source: Any, files: Any) -> Mapping[str, Any]:
    """The arrays of an argument, by name."""
    if isinstance(given, str | PathLike):
        with _told(files, fspath(given), "read"):
            found: Mapping[str, Any] = source.read(files, fspath(given))
        return found
    try:
        named: Mapping[str, Any] = source.named(given)
    except (AttributeError, TypeError) as error:
        what = "a module or a state dict" if side.framework == "torch" else "a pytree of arrays"
        raise ValueError(f"transfer: given is {received(given)}; give {what}") from error
    return named


def _bits(arrays: Mapping[str, Any], name: str, side: Leaves, source: Any) -> Bits:
    if name not in arrays:
        raise ValueError(
            f"transfer: no parameter {name!r} is given, which the map has; "
            + (f"those given are {cut(', '.join(arrays))}" if arrays else "none is given")
        )
    bits: Bits = source.to_bits(arrays[name])
    if bits.dtype.startswith(("int", "uint", "bool")):
        raise ValueError(
            f"transfer: {name!r} is given in {bits.dtype}, and the recorded one in floats; give "
            "floats"
        )
    if bits.array.shape != side.value[name].shape:
        raise ValueError(
            f"transfer: {name!r} has the shape {bits.array.shape}, and the recorded one "
            f"{side.value[name].shape}"
        )
    return bits


def _check_like(like: Any, made: Mapping[str, Any], target: Any) -> None:
    own = target.named(like)
    for name, array in made.items():
        if name not in own:
            raise ValueError(f"transfer: like has no parameter {name!r}, which the map has")
        if tuple(own[name].shape) != tuple(array.shape):
            raise ValueError(
                f"transfer: {name!r} of like has the shape {tuple(own[name].shape)}, and "
                f"the moved one {tuple(array.shape)}"
            )


def _moved(
    match: Match, taken: Mapping[str, Bits], first: Leaves, second: Leaves
) -> Iterator[tuple[str, Bits]]:
    """(name, bits) of the parameters that a match gives."""
    if match.also:
        names = ", ".join([*match.other, *match.also])
        raise ValueError(
            f"transfer: nothing tells {names} apart, and {match.one[0]} is one of them; record "
            "with other numbers, such as random ones added to every parameter"
        )
    dtype = next(iter(taken.values())).dtype
    if match.layout == "summed":
        yield match.other[0], _sum(match, taken, second)
        return
    if match.layout.startswith("split along"):
        axis = int(match.layout.rpartition(" ")[2])
        (name,), k = match.one, len(match.other)
        whole = taken[name].array
        parts = [np.split(a, k, axis) for a in (first.value[name], first.gradient[name], whole)]
        for there, value, gradient, part in zip(match.other, *parts, strict=True):
            index = _index(name, there, (value, gradient), _of(second, there), second.near)
            yield there, Bits(part.ravel()[index], dtype)
        return
    (there,) = match.other
    value, gradient = _of(second, there)
    if match.layout.startswith("packed along"):
        axis, k = int(match.layout.rpartition(" ")[2]), len(match.one)
        parts = [np.split(a, k, axis) for a in (value, gradient)]
        each = [
            taken[n].array.ravel()[_index(n, there, _of(first, n), (a, g), second.near)]
            for n, a, g in zip(match.one, *parts, strict=True)
        ]
        yield there, Bits(np.concatenate(each, axis), dtype)
        return
    (name,) = match.one
    index = _index(name, there, _of(first, name), (value, gradient), second.near)
    yield there, Bits(taken[name].array.ravel()[index], dtype)


def _of(side: Leaves, name: str) -> tuple[Any, Any]:
    return side.value[name], side.gradient[name]


def _index(name: str, there: str, one: tuple[Any, Any], other: tuple[Any, Any], near: float) -> Any:
    """The destination of every element of a parameter."""
    found = index_of(one[0], other[0], (one[1], other[1]), near)
    if found is None:
        raise ValueError(
            f"transfer: the elements of {name!r} are in another order in {there!r}, and equal or "
            "rounded ones hide which; record both with the same numbers, all different"
        )
    return found


def _sum(match: Match, taken: Mapping[str, Bits], second: Leaves) -> Bits:
    """Several parameters as the sum that the other program has."""
    if len(match.one) == 1:
        raise ValueError(
            f"transfer: {match.one[0]!r} is the sum of {' and '.join(match.other)}, and a sum does "
            "not tell its terms; set these by hand, such as the first to the sum, the others to 0"
        )
    (there,), dtype = match.other, next(iter(taken.values())).dtype
    if dtype not in ("float16", "float32", "float64"):
        raise ValueError(f"transfer: {there!r} is a sum, which is not computed in {dtype}")
    shape = second.value[there].shape
    total = sum(bits.array.view(dtype).reshape(shape) for bits in taken.values())
    whole = np.asarray(total)
    return Bits(whole.view(f"u{whole.itemsize}"), dtype)
