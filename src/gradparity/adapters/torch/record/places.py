"""Locate the ops of a program: the module, the user's source line, and names of leaves."""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

__all__ = ["Names", "source_line"]

#: Code whose lines are nobody's: that of PyTorch, and this package's own.
_INSIDE = (str(Path(torch.__file__).parent), str(Path(__file__).parents[3]))

#: References to the variables of a frame that are held by it, by who asks, and by the count.
OWN_REFERENCES = 3
#: How many items of a list are looked at.
MANY = 100


def source_line() -> str:
    """File and line of the innermost frame of the user's code, such as "model.py:92"."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return ""
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def variable_of(module: torch.nn.Module) -> str:
    """The variable of the user's code that holds a module, or the attribute of a ``self``.

    The outermost frame that has one counts, as inner functions may call every module "net"; ""
    if none has.
    """
    frame, frames = sys._getframe(1), []
    while frame is not None:
        if not frame.f_code.co_filename.startswith(_INSIDE):
            frames.append(frame)
        frame = frame.f_back  # type: ignore[assignment]
    for frame in reversed(frames):
        for variables in (_locals(frame), frame.f_globals):
            for name, value in _with_parts(variables):
                if value is module and not name.startswith("_") and name != "self":
                    return name
    return ""


def _locals(frame: Any) -> dict[str, Any]:
    """A copy of the variables of a frame.

    Before Python 3.13 a frame keeps the mapping that it was asked for, and with it every tensor
    that was in a variable: it is emptied, unless the program holds it as its own `locals`.
    """
    kept = frame.f_locals
    found = dict(kept)
    is_copy = kept is not frame.f_globals and frame.f_code.co_flags & inspect.CO_OPTIMIZED
    if is_copy and type(kept) is dict and sys.getrefcount(kept) <= OWN_REFERENCES:
        kept.clear()
    return found


def _with_parts(variables: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Variables by name with the items of lists, and the attributes of the ``self`` of a method."""
    for name, value in list(variables.items()):
        yield name, value
        if type(value) in (list, tuple):
            yield from ((f"{name}.{i}", item) for i, item in enumerate(value[:MANY]))
    own = getattr(variables.get("self"), "__dict__", None) or {}
    yield from list(own.items())
    yield from list((own.get("_modules") or {}).items())


def averaged_parameters(root: torch.nn.Module) -> Iterator[tuple[int, str]]:
    """Yield the ids of parameters whose gradients are averaged over processes, and by what."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    fsdp = sys.modules.get("torch.distributed.fsdp")  # imported by the program, if it uses it
    kinds: tuple[Any, ...] = (torch.nn.parallel.DistributedDataParallel,)
    kinds += (fsdp.FullyShardedDataParallel,) if fsdp else ()
    for wrapper in (module for module in root.modules() if isinstance(module, kinds)):
        if torch.distributed.get_world_size(wrapper.process_group) > 1:
            for parameter in wrapper.parameters():
                yield id(parameter), type(wrapper).__name__


class Names:
    """Paths of the modules that run, and names of parameters and other leaves, while it is open.

    A module that is called while no other runs is a root: its path is empty, and those of its
    modules are as in `named_modules`.  Where there are several roots, the names of the later ones
    begin with the variable that holds them, or with their class.

    Parameters
    ----------
    returned : called with every module that has returned, and what it returned.
    rooted : called with every root before it runs, and what the names in it begin with.
    """

    def __init__(
        self,
        returned: Callable[[torch.nn.Module, Any], None],
        rooted: Callable[[torch.nn.Module, str], None],
    ) -> None:
        self._returned, self._rooted = returned, rooted
        self._stack: list[str] = []
        self._paths: dict[torch.nn.Module, str] = {}
        self._leaves: dict[int, tuple[torch.Tensor, str]] = {}
        self._taken: dict[str, int] = {}
        self._roots = 0
        #: Parameters by id -> the wrapper that averages their gradients over processes.
        self.averaged: dict[int, str] = {}
        self._remove: list[Any] = []

    def open(self) -> None:
        """Follow the modules that run."""
        self._remove = [
            register_module_forward_pre_hook(self._enter),
            register_module_forward_hook(self._leave, always_call=True),
        ]

    def close(self) -> None:
        """Follow them no longer."""
        for handle in self._remove:
            handle.remove()

    @property
    def module(self) -> str:
        """Path of the module that runs; "" if none does, or the root alone."""
        return self._stack[-1] if self._stack else ""

    def _enter(self, module: torch.nn.Module, inputs: Any) -> None:
        if torch.compiler.is_compiling():
            return  # the compiler traces hooks of all modules, too
        if not self._stack and module not in self._paths:
            self._add_root(module)
        self._stack.append(self._paths.get(module, self.module))

    def _leave(self, module: torch.nn.Module, inputs: Any, output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        if self._stack:
            self._stack.pop()
        self._returned(module, output)

    def _add_root(self, root: torch.nn.Module) -> None:
        prefix = f"{self._name_of_root(root)}." if self._roots else ""
        self._roots += 1
        for path, module in root.named_modules():
            self._paths.setdefault(module, f"{prefix}{path}".rstrip("."))
        for name, parameter in root.named_parameters():
            self._leaves.setdefault(id(parameter), (parameter, self.unique(prefix + name)))
        self.averaged |= dict(averaged_parameters(root))
        self._rooted(root, prefix)

    def _name_of_root(self, root: torch.nn.Module) -> str:
        """A name that begins the path of no other module."""
        taken = {*self._paths.values()}
        try:
            name = variable_of(root)
        except Exception:  # an object of the user's that does not let itself be looked at
            name = ""
        if not name or name in taken:
            name = type(root).__name__
        names = (name if n == 1 else f"{name}_{n}" for n in itertools.count(1))
        return next(each for each in names if each not in taken)

    def name(self, leaf: torch.Tensor, name: str) -> None:
        """Give a leaf a name."""
        self._leaves[id(leaf)] = (leaf, self.unique(name))

    def known(self, leaf: torch.Tensor) -> str:
        """The name that a leaf has already; "" if it has none."""
        return self._leaves[id(leaf)][1] if id(leaf) in self._leaves else ""

    def of_leaf(self, leaf: torch.Tensor) -> str:
        """The name of a parameter, or a name for another tensor that the user made."""
        if id(leaf) not in self._leaves:
            kind = "parameter" if isinstance(leaf, torch.nn.Parameter) else "input"
            self._leaves[id(leaf)] = (leaf, self.numbered(kind))
        return self._leaves[id(leaf)][1]

    def numbered(self, name: str) -> str:
        """The name with the number of its use: "addmm_1", "addmm_2"."""
        self._taken[name] = self._taken.get(name, 0) + 1
        return f"{name}_{self._taken[name]}"

    def unique(self, name: str) -> str:
        """The name itself the first time, then with a number."""
        if name not in self._taken:
            self._taken[name] = 1
            return name
        return self.numbered(name)


#: A function that gives the place of the op that runs now.
Locate = Callable[[], tuple[str, str]]
