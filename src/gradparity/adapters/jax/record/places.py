"""The name of an equation, and its place in the program of a user."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from ....core.network.calls import Place
from .needed import FUNCTIONS, closed

__all__ = ["function_name", "place_of"]


def place_of(eqn: Any, node: str) -> Place:
    """The place of an equation that is this node.

    The module is the path of name scopes, or that of the classes that were being called where it is
    longer: Flax NNX names no scopes, and Equinox not those of modules.
    """
    module = max(_scopes(eqn), _classes(eqn), key=len)
    return Place(node, function_name(eqn), ".".join(module), _source(eqn))


def function_name(eqn: Any) -> str:
    """The name of an equation: of a function with a derivative of its own, else the primitive's.

    A function without a name, such as a lambda, has the primitive's.
    """
    if eqn.primitive.name in FUNCTIONS:
        inner = closed(eqn.params.get("call_jaxpr") or eqn.params["fun_jaxpr"])[0]
        said = str(getattr(getattr(inner, "debug_info", None), "func_src_info", ""))
        name = said.partition(" at ")[0].strip("_")
        if name.isidentifier():
            return name
    return str(eqn.primitive.name)


def _scopes(eqn: Any) -> list[str]:
    """The name stack without transformations: "GPT", "Dense_0"."""
    parts = str(eqn.source_info.name_stack).split("/")
    return [part for part in parts if part and "(" not in part]


def _classes(eqn: Any) -> list[str]:
    """The classes of the modules that were being called, outer ones first: "CNN", "Conv".

    Those of private names and of private packages are wrappers, such as a vmap of a module.
    """
    found = []
    for frame in reversed(_frames(eqn)):
        owner, _, method = frame.function_name.rpartition(".")
        name = owner.rpartition(".")[2]
        if method == "__call__" and not name.startswith("_") and not _is_private(frame.file_name):
            found.append(name)
    return found


def _is_private(file: str) -> bool:
    return PurePath(file).parent.name.startswith("_")


def _frames(eqn: Any) -> list[Any]:
    """The frames outside of JAX, inner ones first."""
    try:
        from jax._src.source_info_util import user_frames

        return list(user_frames(eqn.source_info.traceback))
    except Exception:  # a private name of JAX
        return []


def _source(eqn: Any) -> str:
    """File and line of the innermost frame outside of JAX, such as "model.py:92"."""
    return next((f"{PurePath(f.file_name).name}:{f.start_line}" for f in _frames(eqn)), "")
