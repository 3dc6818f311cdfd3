"""The optional interface of adapters that `gradparity probe --smooth` uses.

An adapter's ``smooth()`` finds the framework's functions of one number by their names, and
evaluates and differentiates them.  It contains no values.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple, Protocol, runtime_checkable

from .kinks import Answer

__all__ = [
    "Answer",
    "Found",
    "NativeSmooth",
    "Smooth",
    "discovered",
    "parts",
    "plain_name",
    "public",
]

#: Other names of the same functions, in lower case without underscores.
ALIASES = {
    "swish": "silu", "hardsilu": "hardswish", "expit": "sigmoid", "logistic": "sigmoid",
    "psi": "digamma", "gammaln": "lgamma", "power": "pow", "floatpower": "pow",
    "integerpow": "pow", "logexpit": "logsigmoid", "igamma": "gammainc", "igammac": "gammaincc",
    "regularizedincompletebeta": "betainc", "mvlgamma": "multigammaln", "radians": "deg2rad",
    "degrees": "rad2deg", "scaledmodifiedbesselk0": "k0e", "scaledmodifiedbesselk1": "k1e",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "besseli0e": "i0e",
    "besseli1e": "i1e", "modifiedbesseli0": "i0", "modifiedbesseli1": "i1",
    "binarycrossentropywithlogits": "bcewithlogits", "sigmoidbinarycrossentropy": "bcewithlogits",
    "binarycrossentropy": "bce", "exponential": "exp", "squarederror": "mse",
}  # fmt: skip


class NativeSmooth(NamedTuple):
    """A function of a framework.

    Attributes
    ----------
    name : of the formula, such as "gelu" or "pow(x, 3)".
    spelling : as a user writes it.
    function : elementwise, from any shape to the same shape; or of a vector and weights.
    slope : whether it has a derivative; of others the values alone are measured.
    """

    name: str
    spelling: str
    function: Callable[..., Any]
    slope: bool = True


class Found(NamedTuple):
    """All functions of a framework's namespaces.

    Attributes
    ----------
    functions : those that have a formula.
    uncovered : as a user writes them, those that have none.
    excluded : those that need none, with the reason.
    """

    functions: tuple[NativeSmooth, ...]
    uncovered: tuple[str, ...] = ()
    excluded: Mapping[str, str] = MappingProxyType({})


@runtime_checkable
class Smooth(Protocol):
    """The result of ``adapter.smooth()``."""

    def found(self, known: Collection[str]) -> Found:
        """The framework's functions among those whose formulas are known by name."""
        ...

    def modes(self, compile: bool) -> Sequence[str]:
        """Names of the ways to evaluate and differentiate; `compile` : include slow compilers."""
        ...

    def answer(self, function: Callable[[Any], Any], z: Any, dtype: str, mode: str) -> Answer:
        """Values and derivatives at z, float64 numbers of the format `dtype`, as float64."""
        ...


def plain_name(name: str) -> str:
    """The name under which a function's formula is known.

    >>> plain_name("log_sigmoid"), plain_name("huber_loss"), plain_name("swish")
    ('logsigmoid', 'huber', 'silu')
    """
    plain = name.lower().replace("_", "").removesuffix("loss")
    return ALIASES.get(plain, plain)


def parts(known: str) -> tuple[str, tuple[float | None, ...]]:
    """The name and arguments in the name of a formula, None for x.

    >>> parts("pow(x, 3)"), parts("gelu")
    (('pow', (None, 3.0)), ('gelu', (None,)))
    """
    name, _, inside = known.partition("(")
    arguments = inside.removesuffix(")").split(", ") if inside else ["x"]
    return name, tuple(None if each == "x" else float(each) for each in arguments)


def discovered(
    spaces: Mapping[str, Any],
    known: Collection[str],
    *,
    variants: Mapping[str, Sequence[tuple[str, str, Callable[[Any], Any]]]],
    works: Callable[[Callable[[Any], Any]], bool],
    full_like: Callable[[Any, float], Any],
    slope: Callable[[Callable[[Any], Any]], bool] = bool,
) -> tuple[NativeSmooth, ...]:
    """Search namespaces for functions that are known by name.

    Parameters
    ----------
    spaces : as a user writes it -> a module.
    variants : functions whose arguments choose between formulas, as (formula, as written,
        function) each; empty for those that are left out.
    works : whether a function takes an array of three numbers to three numbers.
    full_like : an array filled with one number.
    slope : whether a function that works has a derivative; all by default.
    """
    by_name: dict[str, list[str]] = {}
    for each in known:
        by_name.setdefault(parts(each)[0], []).append(each)
    functions: dict[Any, NativeSmooth] = {}
    for spelling, name, native in public(spaces):
        if spelling in variants:
            made = [NativeSmooth(*variant) for variant in variants[spelling]]
        else:
            names = by_name.get(plain_name(name), [])
            made = [_called(one, spelling, native, works, full_like) for one in names]
        for one in made:
            if one.name in known:
                functions.setdefault((one.name, id(native)), one)
    working = [one for one in functions.values() if works(one.function)]
    return tuple(one._replace(slope=slope(one.function)) for one in working)


def public(spaces: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Every function of the namespaces: as a user writes it, its name, and itself."""
    for space, module in spaces.items():
        for name in sorted(dir(module)):
            native = getattr(module, name, None)
            hidden = name.startswith("_") or name.endswith("_")
            if not hidden and callable(native) and not isinstance(native, type | ModuleType):
                yield f"{space}.{name}", name, native


def _called(
    known: str,
    spelling: str,
    native: Callable[..., Any],
    works: Callable[[Callable[[Any], Any]], bool],
    full_like: Callable[[Any, float], Any],
) -> NativeSmooth:
    """The call of a function with the further arguments of a formula: as numbers, or arrays."""
    _, arguments = parts(known)
    keywords = {"reduction": "none"} if "reduction" in _parameters(native) else {}
    said = ", ".join("x" if a is None else f"{a:g}" for a in arguments)

    def with_numbers(x: Any) -> Any:
        return native(*(x if a is None else _number(a) for a in arguments), **keywords)

    def with_arrays(x: Any) -> Any:
        return native(*(x if a is None else full_like(x, a) for a in arguments), **keywords)

    call = with_numbers if len(arguments) == 1 or works(with_numbers) else with_arrays
    return NativeSmooth(known, f"{spelling}({said})", call)


def _number(a: float) -> float | int:
    return int(a) if math.floor(a) == a else a


def _parameters(native: Callable[..., Any]) -> Iterable[str]:
    try:
        return inspect.signature(native).parameters
    except (TypeError, ValueError):  # built into the framework
        return ()
