"""The optional interface of adapters that `gradparity finds` uses.

An adapter's ``finds()`` writes Python that anyone can run to see one wrong result of its framework.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

__all__ = ["Asked", "Finds", "Told", "begins", "spaced_call"]


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


class Told(NamedTuple):
    """A wrong result that no atlas visits, with the truth, which was derived by hand.

    `code` prints the result and the truth; `at` : the input in words.
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
    documented : the beginning of a spelling -> what the framework's documentation says about it.
    upstream : the beginning of a spelling -> the address of the framework's issue.
    """

    package: str
    calls: Mapping[str, str]
    told: Sequence[Told]
    documented: Mapping[str, str]
    upstream: Mapping[str, str]

    def package_of(self, spelling: str) -> str:
        """The package whose version counts for a function."""
        ...

    def of_region(self, asked: Asked) -> Iterator[str]:
        """Lines of Python to try, the plainest first; each prints the result and the truth."""
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
    given = [
        f"{full_like}(x, {one})" if number.fullmatch(one) else one for one in inside.split(", ")
    ]
    return f"{name}({', '.join(given)})"


def begins(spelling: str, table: Mapping[str, str]) -> str:
    """The entry of a table whose key begins the spelling, or nothing.

    >>> begins("F.gelu(x)", {"F.gelu(": "a"}), begins("F.elu(x)", {"F.gelu(": "a"})
    ('a', '')
    """
    return next((said for start, said in table.items() if spelling.startswith(start)), "")
