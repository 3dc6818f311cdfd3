"""Find implementations by name, and run each on its own copies of the cases.

If one raises an exception or writes into its arguments, that is reported, and the others still run.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from ...adapters.base import Adapter, AdapterError, DeviceError, get_adapter, installed
from ...core.arithmetic.arrays import NDArray, native
from ...core.arithmetic.received import cut, printable, received
from ...core.network.case import Case
from ...core.network.trace import Trace
from .raised import raised

__all__ = [
    "Function",
    "Implementation",
    "Outcome",
    "Result",
    "check_device",
    "compiles",
    "is_own",
    "outcomes",
    "resolved",
]

#: What an implementation gives: everything, or some results by name.
Result = Trace | Mapping[str, Any]
Implementation = str | Adapter | Callable[[Case], Result]


class Function:
    """A user's function from a case to what it computed, as an adapter."""

    def __init__(self, function: Callable[[Case], Result], name: str) -> None:
        self.function, self.name = function, cut(printable(str(name)))

    def versions(self) -> dict[str, str]:
        return {}

    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Result:
        return self.function(case if dtype is None else case.astype(dtype))


def resolved(given: Sequence[Implementation]) -> list[Any]:
    """Each under a name of its own; one given twice is run once; all that are installed if none.

    Raises
    ------
    AdapterError, TypeError, ValueError : an unknown name, a framework that is missing, something
        that is no implementation, or two adapters of one name.
    """
    if not given:
        return list(installed().values())
    chosen: list[Any] = []
    for one in given:
        each = _implementation(one)
        if any(each is other for other in chosen):
            continue
        names = [other.name for other in chosen]
        if each.name in names:
            if not isinstance(each, Function):
                raise ValueError(f"two implementations are named {each.name!r}; rename one")
            each.name = next(name for i in count(2) if (name := f"{each.name} ({i})") not in names)
        chosen.append(each)
    return chosen


def compiles(given: Sequence[Implementation]) -> bool:
    """Whether one of them compiles each program before it runs; all that are installed if none."""
    return any(getattr(each, "compiles", False) for each in resolved(given))


def _implementation(given: Implementation) -> Any:
    if isinstance(given, str):
        return get_adapter(given)
    if isinstance(given, Adapter):
        return given
    if hasattr(given, "run"):  # the one method that counts
        return Function(given.run, getattr(given, "name", type(given).__name__))
    if hasattr(given, "named_parameters"):
        raise TypeError(
            f"implementation is the module {type(given).__name__}; give a function of a case that "
            'loads its parameters, calls it and returns the gradients, or "torch" to check '
            "PyTorch's own layers (docs/how-to/own-network.md)"
        )
    if callable(given):
        return Function(given, getattr(given, "__name__", type(given).__name__))
    raise TypeError(
        f"implementation is {_received(given)}; give a name, an adapter or a function of a case"
    )


def _received(given: Any) -> str:
    """A wrong implementation in a message, without its arrays."""
    if isinstance(given, Mapping):
        return f"a dict of {reprlib.repr(list(given))}; pass the function, without calling it"
    if isinstance(given, Trace):
        return "a Trace; pass the function, without calling it"
    return received(given)


def is_own(each: Any) -> bool:
    """Whether a user's own code is in it: a function, or functions in an adapter's place."""
    return isinstance(each, Function) or bool(
        getattr(getattr(each, "overrides", None), "given", {})
    )


def check_device(device: str | None, chosen: Sequence[Any]) -> None:
    """Raise ValueError for a device that no implementation would be given."""
    if device is not None and chosen and all(isinstance(each, Function) for each in chosen):
        raise ValueError(
            f"device is {received(device)}, and {', '.join(each.name for each in chosen)} "
            "would not be "
            "given it: a function of a case chooses its own; leave device= out"
        )


class Outcome(NamedTuple):
    """The outcome of running an implementation on one case.

    result : what it returned, unless it failed.
    failed : what it raised, in one line.
    changed : which of the arrays it was given it wrote into, in one line.
    """

    result: Any = None
    failed: str = ""
    changed: str = ""


def outcomes(each: Any, cases: Sequence[Case], device: str | None = None) -> list[Outcome]:
    """One for every case; where many cannot be run together, they are run one by one."""
    if not isinstance(each, Function) and len(cases) > 1:
        try:
            return _together(each, cases, device)
        except DeviceError:
            raise
        except (Exception, SystemExit):
            pass  # whose fault it is shows one by one
    return [_alone(each, case, device) for case in cases]


def _alone(each: Any, case: Case, device: str | None) -> Outcome:
    lent = _Lent(case)
    try:
        if isinstance(each, Function):
            result = each.run(lent.case)
        else:
            (result,) = each.run_all([lent.case], device=device)
    except DeviceError:
        raise
    except AdapterError as error:  # its message says it all
        return Outcome(failed=str(error), changed=lent.changed())
    except (Exception, SystemExit) as error:
        return Outcome(failed=f"it {raised(error)}", changed=lent.changed())
    return Outcome(_signed(result, each.name), changed=lent.changed())


def _together(each: Any, cases: Sequence[Case], device: str | None) -> list[Outcome]:
    lent = [_Lent(case) for case in cases]
    results = list(each.run_all([one.case for one in lent], device=device))
    return [
        Outcome(_signed(result, each.name), changed=own.changed())
        for own, result in zip(lent, results, strict=True)
    ]


def _signed(result: Any, name: str) -> Any:
    """The result under the implementation's name; a trace in the machine's own byte order.

    A function may have started from another's trace: what is wrong with it is its own.
    """
    if not isinstance(result, Trace):
        return result
    arrays = {
        kind: _native(getattr(result, kind)) for kind in ("Div", "value", "grad", "edge_grad")
    }
    return replace(result, adapter=name, **arrays)


def _native(given: Any) -> Any:
    """An array, or every array of a mapping, in the machine's own byte order."""
    if isinstance(given, Mapping):
        return {name: _native(array) for name, array in given.items()}
    return native(given) if isinstance(given, np.ndarray) else given


class _Lent:
    """A case of one's own, to be looked over when it comes back.

    Its arrays can be written to, for frameworks complain of those that cannot.
    """

    def __init__(self, case: Case) -> None:
        self.original, self.case = case, replace(case)
        self.arrays = _arrays(self.case)
        for array in self.arrays.values():
            array.flags.writeable = True

    def changed(self) -> str:
        """The arrays that were written into, in one line."""
        before = _arrays(self.original)
        written = [_written(name, before[name], self.arrays[name]) for name in before]
        said = "; ".join(filter(None, written))
        return f"it wrote into what it was given: {said}; work on a copy" if said else ""


def _written(name: str, before: NDArray, after: NDArray) -> str:
    if after.shape != before.shape:
        return f"{name} has shape {after.shape} and had {before.shape}"
    other = np.argwhere(before != after)
    if not len(other):
        return ""
    at = tuple(map(int, other[0]))
    return f"{name}{list(at)} was {before[at]:.6g} and is {after[at]:.6g}"


def _arrays(case: Case) -> dict[str, NDArray]:
    targets = {} if case.d is None else {"d": case.d, "desired": case.desired}
    return {**case.inputs, **targets, **case.params}
