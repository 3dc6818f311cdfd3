"""Run a script in this process as ``python SCRIPT`` would."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import click

__all__ = ["after_import", "run_script"]

#: What a shell expects of a program that Ctrl-C has stopped.
INTERRUPTED = 130
#: Code whose frames are left out of the tracebacks of a script.
PACKAGE = str(Path(__file__).parents[1]) + os.sep
#: Frames of PyTorch through which an op reaches this package, and the op's own code from there.
BRIDGES = tuple(
    os.path.join("torch", *file)
    for file in (["_compile.py"], ["_dynamo", "eval_frame.py"], ["_ops.py"])
)


def run_script(script: str, args: tuple[str, ...]) -> int:
    """Run a script as ``__main__`` and return its exit code.

    An exception is shown as Python shows it, without the frames of this package.
    """
    try:
        _execute(script, args)
    except SystemExit as end:
        return _exit_code(end.code)
    except BaseException as error:
        _leave_out_own_frames(error)
        sys.excepthook(type(error), error, error.__traceback__)
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _execute(script: str, args: tuple[str, ...]) -> None:
    path = os.path.abspath(script)
    main = ModuleType("__main__")
    main.__dict__.update(
        __file__=path, __cached__=None, __loader__=SourceFileLoader("__main__", path)
    )
    # It stays there, as threads and functions called at the end may still need it.
    sys.modules["__main__"] = main
    sys.argv = [script, *args]
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(script))
    with io.open_code(path) as file:
        source = file.read()
    exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)


def _exit_code(code: Any) -> int:
    """The exit code of a process that ends with ``sys.exit(code)``."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    click.echo(str(code), err=True)
    return 1


def _leave_out_own_frames(error: BaseException) -> None:
    """Remove the frames of this package from the tracebacks of an exception and its causes."""
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()
    while todo:
        each = todo.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = _of_others(each.__traceback__)
            todo += [each.__cause__, each.__context__]


def _of_others(traceback: TracebackType | None) -> TracebackType | None:
    """The entries of a traceback without own frames, and without the bridges next to them."""
    entries: list[TracebackType] = []
    bridges: list[TracebackType] = []
    own = False
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file.startswith(PACKAGE):
            own, bridges = True, []
        elif file.endswith(BRIDGES):
            bridges.append(traceback)
        else:
            entries += [*bridges, traceback] if not own else [traceback]
            own, bridges = False, []
        traceback = traceback.tb_next
    entries += bridges if not own else []
    following = None
    for entry in reversed(entries):
        entry.tb_next = following
        following = entry
    return following


def after_import(module: str, then: Callable[[], None]) -> None:
    """Call a function as soon as this module has been imported: at once if it has been."""
    if module in sys.modules:
        then()
    else:
        sys.meta_path.insert(0, _Finder(module, then))


class _Finder:
    """Finds one module as Python does, and calls a function once its code has run."""

    def __init__(self, module: str, then: Callable[[], None]) -> None:
        self.module, self.then = module, then

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self.then()

            loader.exec_module = exec_module
        return spec
