"""Records as JSON and back: what is read may come from anyone, so every type is checked."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from ...core.arithmetic.received import received
from ...core.network.quantity import Quantity
from .finding import Verdict

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["parsed", "plain", "record"]

T = TypeVar("T")

#: Fields that older files lack.
LATER = {
    "coverage", "curves", "follows", "graphs", "measured", "missing", "module", "names", "source",
    "strict", "structures", "valid_set", "worst", "unexercised",
}  # fmt: skip
#: Type of a field -> its types in JSON, and their name in a message.
IN_JSON: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a string"),
    Quantity: ((str,), "a string"),
    bool: ((bool,), "true or false"),
    int: ((int,), "an integer"),
    float: ((int, float, str), "a number"),
    list: ((list,), "an array"),
    dict: ((dict,), "an object"),
    Verdict: ((str,), f"one of {', '.join(Verdict)}"),
}


def plain(x: Any) -> Any:
    """Objects, arrays and scalars of JSON; nan and infinities as strings."""
    return _converter().unstructure(x)


def parsed(text: str) -> Any:
    """The JSON in a text; ValueError, in one line, where it cannot be read."""
    if not isinstance(text, str | bytes | bytearray):
        raise TypeError(f"text is {received(text)}; give the text of a JSON file")
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not valid JSON ({error}); write the file again") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, whose keys must differ."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, n in Counter(name for name, _ in pairs).items() if n > 1)
        raise ValueError(f"the key {shortened(twice)} is there twice")
    return found


def record(kind: type[T], document: Any, schema: str, source: str) -> T:
    """The record in parsed JSON; fields that later versions add are ignored.

    Raises
    ------
    ValueError : in one line, what was received, where, and what to do.
    """
    from cattrs import BaseValidationError, transform_error

    found = document.get("schema") if isinstance(document, dict) else None
    if found != schema:
        raise ValueError(
            f"its schema is {shortened(found)}, not {schema!r}; give what {source} writes"
        )
    try:
        return _converter().structure(document, kind)
    except BaseValidationError as error:
        first, *more = transform_error(error, format_exception=lambda e, _: str(e))
        rest = f" (and {len(more)} more)" if more else ""
        raise ValueError(f"{first}{rest}; write it again with {source}") from None


@cache
def _converter() -> Converter:
    from cattrs import Converter
    from cattrs.gen import make_dict_structure_fn, make_mapping_structure_fn

    converter = Converter()
    converter.register_unstructure_hook(float, lambda x: x if math.isfinite(x) else str(x))
    converter.register_unstructure_hook(Quantity, str)
    for scalar in (str, Quantity, bool, int, float, Verdict):
        converter.register_structure_hook(scalar, _checked)

    @converter.register_structure_hook_factory(is_dataclass)
    def _of_record(kind: Any) -> Any:
        made = make_dict_structure_fn(kind, converter)
        needed = {field.name for field in fields(kind)} - LATER

        def structured(value: Any, _: Any) -> Any:
            missing = sorted(needed - _checked(value, dict).keys())
            if missing:
                raise ValueError(f"missing fields: {', '.join(missing)}")
            return made(value, kind)

        return structured

    @converter.register_structure_hook_factory(lambda kind: _origin(kind) in (dict, Mapping))
    def _of_mapping(kind: Any) -> Any:
        made = make_mapping_structure_fn(kind, converter)
        return lambda value, _: made(_checked(value, dict), kind)

    @converter.register_structure_hook_factory(lambda kind: _origin(kind) is tuple)
    def _of_tuple(kind: Any) -> Any:
        item, *rest = get_args(kind)

        def structured(value: Any, _: Any) -> Any:
            items: list[Any] = converter.structure(
                _checked(value, list),
                list[item],  # type: ignore[valid-type]
            )
            if rest != [...] and len(items) != 1 + len(rest):
                raise ValueError(f"expected {1 + len(rest)} items, received {len(items)}")
            return tuple(items)

        return structured

    return converter


def _origin(kind: Any) -> Any:
    return get_origin(kind)


def _checked(value: Any, kind: Any) -> Any:
    types, name = IN_JSON[kind]
    if type(value) in types:
        with suppress(ValueError, OverflowError):
            if kind in (str, Quantity):
                value.encode()  # a lone surrogate could not be written again
            return kind(value)
    raise ValueError(f"expected {name}, received {shortened(value)}")
