"""The optional interface of adapters that `gradparity finds` uses.

An adapter's ``finds()`` writes Python that anyone can run to see one wrong result of its framework.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from .structures import NativeEdge

__all__ = [
    "NO_ANSWER", "Asked", "AskedOfVector", "Finds", "Told", "begins", "filled", "listed",
    "spaced_call", "stacked", "waited",
]  # fmt: skip

#: Seconds that a call has, and what is said where it needs more.
LIMIT = 20
NO_ANSWER = f"no answer in {LIMIT} s"


class Asked(NamedTuple):
    """A result at one number: the call as written, of x, and what is asked of it.

    `at`, `true` : Python that gives the number and the true result; `quantity` : "value" or
    "derivative"; `modes` : the modes of `gradparity.adapters.smooth.Smooth` in which it is wrong.
    """

    call: str
    at: str
    true: str
    dtype: str
    quantity: str
    modes: Sequence[str]


class AskedOfVector(NamedTuple):
    """One element of a result of a vector x, or of its gradient by x.

    `numbers`, `true` : Python that gives the vector and the true element; `weights` : those of the
    linear functional whose gradient it is, and the w of the call; `element` : its index, None for a
    result that is one number; `several` : whether the value is a vector; the rest as in `Asked`.
    """

    call: str
    numbers: Sequence[str]
    weights: Sequence[float]
    element: int | None
    several: bool
    true: str
    dtype: str
    quantity: str
    modes: Sequence[str]


class Told(NamedTuple):
    """A wrong result with the truth, which was derived by hand.

    `code` prints the result, `NO_ANSWER` where the call does not return, and the truth; `at` : the
    input in words.
    """

    spelling: str
    quantity: str
    dtype: str
    at: str
    users: str
    code: str


@runtime_checkable
class Finds(Protocol):
    """The result of ``adapter.finds()``.

    Attributes
    ----------
    package : the name of the framework in ``adapter.versions()``.
    calls : a function as the atlas of kinks writes it -> Python, of the tensor z.  Compositions
        that users write are left out.
    told : results that no atlas visits.
    structured : (op of the vocabulary, structure) -> a result that is wrong where the op departs.
    edges : functions of `gradparity.adapters.structures.Structures`.
    written : ops that the adapter writes in the framework's operators, not as one function.
    documented : the beginning of a spelling -> what the framework's documentation says about it.
    upstream : the beginning of a spelling -> the address of the framework's issue.
    """

    package: str
    calls: Mapping[str, str]
    told: Sequence[Told]
    structured: Mapping[tuple[str, str], Told]
    edges: Sequence[NativeEdge]
    written: Collection[str]
    documented: Mapping[str, str]
    upstream: Mapping[str, str]

    def package_of(self, spelling: str) -> str:
        """The package whose version counts for a function."""
        ...

    def of_region(self, asked: Asked) -> Iterator[str]:
        """Lines of Python to try, the plainest first; each prints the result and the truth."""
        ...

    def of_vector(self, asked: AskedOfVector) -> Iterator[str]:
        """As `of_region`, of an element of a vector."""
        ...

    def of_edge(self, call: str, arrays: Mapping[str, Any], truth: str) -> str:
        """A line of Python that prints the answer for NumPy arrays, and the right one."""
        ...

    def of_point(self, call: str, point: Sequence[float], dtype: str, mode: str, valid: str) -> str:
        """A line of Python that prints the gradient at z, and the valid ones."""
        ...


def spaced_call(call: str, spaces: Mapping[str, str]) -> str:
    """A call with the whole name of its module.

    >>> spaced_call("nn.gelu(x)", {"nn": "jax.nn"})
    'jax.nn.gelu(x)'
    """
    space, _, rest = call.partition(".")
    return f"{spaces.get(space, space)}.{rest}"


def arrays(call: str, full_like: str) -> str:
    """A call whose further arguments are arrays.

    >>> arrays("f(x, 3)", "full_like")
    'f(x, full_like(x, 3))'
    """
    name, _, inside = call.removesuffix(")").partition("(")
    number = re.compile(r"-?[\d.]+(e-?\d+)?")
    each = re.split(r", (?![^\[]*\])", inside)  # not inside of brackets
    given = [f"{full_like}(x, {one})" if number.fullmatch(one) else one for one in each]
    return f"{name}({', '.join(given)})"


def stacked(call: str, stack: str, full_like: str) -> str:
    """A call whose lists of numbers are arrays, with the numbers in their last axis.

    >>> stacked("f([x, 1], 0)", "stack", "full_like")
    'f(stack([x, full_like(x, 1)], -1), 0)'
    """

    def made(found: re.Match[str]) -> str:
        each = found[1].split(", ")
        columns = (one if one == "x" else f"{full_like}(x, {one})" for one in each)
        return f"{stack}([{', '.join(columns)}], -1)"

    return re.sub(r"\[([^\[\]]+)\]", made, call)


def listed(a: Any) -> str:
    """Python of the numbers of an array.

    >>> import numpy as np
    >>> listed(np.array([[1.0, -np.inf]])), listed(np.array([0, -1]))
    ("[[1.0, float('-inf')]]", '[0, -1]')
    """
    if a.ndim:
        return f"[{', '.join(map(listed, a))}]"
    return repr(a.item()) if abs(a) < float("inf") else f"float('{a.item()}')"


def waited(made: str, usual: str, asked: str, true: str, limit: float = LIMIT) -> str:
    """A line of Python that asks a process of its own, and prints `NO_ANSWER` if it gets none.

    `made` : statements, which define f, a function that returns a list of numbers; `usual`,
    `asked` : its arguments, those of the first call return.  Time counts from its answer.
    """
    code = f"{made}; print(f({usual}), flush=True); print(f({asked}))"
    return (
        "import json, subprocess, sys, threading; "
        f"p = subprocess.Popen([sys.executable, '-c', {code!r}], stdout=subprocess.PIPE, "
        f"text=True); p.stdout.readline(); t = threading.Timer({limit:g}, p.kill); t.start(); "
        "out = p.communicate()[0]; t.cancel(); "
        f"print({NO_ANSWER!r} if p.returncode == -9 else json.loads(out), {true})"
    )


def filled(numbers: Sequence[str], array: str, full: str, kind: str) -> str:
    """Python of a vector, short where all its numbers are equal.

    >>> filled(["1.0", "1.0"], "torch.tensor", "torch.full", "dtype=torch.float32")
    'torch.full((2,), 1.0, dtype=torch.float32'
    """
    if len(set(numbers)) == 1:
        return f"{full}(({len(numbers)},), {numbers[0]}, {kind}"
    return f"{array}([{', '.join(numbers)}], {kind}"


def begins(spelling: str, table: Mapping[str, str]) -> str:
    """The entry of a table whose key begins the spelling, or nothing.

    >>> begins("F.gelu(x)", {"F.gelu(": "a"}), begins("F.elu(x)", {"F.gelu(": "a"})
    ('a', '')
    """
    return next((said for start, said in table.items() if spelling.startswith(start)), "")
