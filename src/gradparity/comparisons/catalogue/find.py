"""A find, and a catalogue of them, as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..findings.stored import parsed, plain, record

__all__ = ["SCHEMA", "Catalogue", "Find"]

SCHEMA = "gradparity/finds/1"


@dataclass(frozen=True)
class Find:
    """One function of one framework that is wrong for one cause, in all dtypes together.

    Attributes
    ----------
    adapter, package, version : the adapter, and the package of the function with its version.
    spelling : the function as a user writes it.
    found : "smooth", "kink" or "structure", the atlas that visits the input; "told" where none
        does; "no answer" where the function does not return.
    quantities, dtypes : what is wrong, and in which number formats.
    quantity, dtype : those of the result below.
    at, got, true : the input, the result and the true one; for gradients at kinks the valid ones.
    lost, digits : the decimal digits that are lost, infinite where the result or the truth alone
        is infinite or NaN; and the digits of the format.
    users : "common", "seen" or "rare": how often networks meet the input.
    documented : what the framework's documentation says where it chose the result; else "".
    upstream : the address of the framework's issue; "" where none is known.
    code : one line of Python that prints the result and the true one.
    also : other functions, and calls with further arguments, that are wrong for the same cause.
    """

    adapter: str
    package: str
    version: str
    spelling: str
    found: str
    quantities: tuple[str, ...]
    dtypes: tuple[str, ...]
    quantity: str
    dtype: str
    at: str
    got: str
    true: str
    lost: float
    digits: float
    users: str
    documented: str
    upstream: str
    code: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """The finds of installed versions.

    Attributes
    ----------
    versions, machine : as in an atlas.
    finds : sorted by how many users meet the input, then by the digits lost.
    unconfirmed : candidates of the atlases that no line of Python reproduces; they are no finds.
    refused : functions of stored atlases that no adapter finds itself; they were not run.
    """

    versions: Mapping[str, Mapping[str, str]]
    machine: str
    finds: tuple[Find, ...]
    unconfirmed: tuple[str, ...]
    refused: tuple[str, ...] = ()

    def to_json(self) -> str:
        """JSON; infinities and NaN, for which JSON has no literal, are strings."""
        return json.dumps({"schema": SCHEMA, **plain(self)}, allow_nan=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Catalogue:
        """Read a catalogue that `to_json` wrote.

        Raises
        ------
        ValueError : the text is not JSON, has another schema, or is not a complete catalogue.

        >>> catalogue = Catalogue({"mine": {"mine": "1.0"}}, "x86_64", (), ())
        >>> Catalogue.from_json(catalogue.to_json()) == catalogue
        True
        """
        return record(cls, parsed(text), SCHEMA, "`gradparity finds --json FILE`")
