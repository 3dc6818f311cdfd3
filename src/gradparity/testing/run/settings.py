"""Settings of a test: marker, then command line, then configuration file, then defaults.

Imports pytest alone; names are looked up only if some are given.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Settings", "in_force", "of_config", "of_test", "refuse_bad", "report_path"]


@dataclass(frozen=True)
class Settings:
    """Defaults of the fixture `gradparity` and of `parametrize_with_checks`.

    Attributes
    ----------
    adapters : names; every registered adapter if None.
    dtypes : names; those of `gradparity.check` if None.
    allow : conventions that pass.
    seed : seed of the random numbers that a network is given.
    strict : whether `lossy` fails.
    required : adapters whose absence fails instead of skipping.
    """

    adapters: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    allow: tuple[str, ...] = ()
    seed: int = 0
    strict: bool = False
    required: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the chosen adapters, installed or not."""
        from ...adapters.base import available

        return tuple(available()) if self.adapters is None else self.adapters

    @property
    def options(self) -> dict[str, Any]:
        """Keywords of `gradparity.check`."""
        given = {"dtypes": self.dtypes, "allow": self.allow, "strict": self.strict}
        return {name: value for name, value in given.items() if value}

    def changed(self, **given: Any) -> Settings:
        """A copy with these settings replaced; raises TypeError or ValueError for invalid ones."""
        return replace(self, **{name: PARSERS[name](value) for name, value in given.items()})


def of_config(config: pytest.Config) -> Settings:
    """Read the command line and the configuration file.

    Raises
    ------
    pytest.UsageError : naming the option, the value received, and what to give.
    """
    found = Settings()
    for option, field in (
        ("adapters", "adapters"),
        ("dtypes", "dtypes"),
        ("seed", "seed"),
        ("strict", "strict"),
        ("require", "required"),
    ):
        source, value = _given(config, option)
        if value:
            try:
                found = found.changed(**{field: value})
            except (TypeError, ValueError) as error:
                raise pytest.UsageError(f"{source}: {error}") from None
    return found


def in_force() -> Settings:
    """Settings of the current run of pytest; the defaults without the plugin."""
    plugin = sys.modules.get("_gradparity_pytestplugin")
    configs = plugin.configs if plugin is not None else []
    return of_config(configs[-1]) if configs else Settings()


def of_test(node: pytest.Item | Any, config: pytest.Config) -> Settings:
    """Settings of one test: its markers (the closest wins by keyword), then the configuration.

    A marker that cannot be followed fails the test.
    """
    __tracebackhide__ = True
    found = of_config(config)
    for marker in reversed([*node.iter_markers("gradparity")]):
        said = f"@pytest.mark.gradparity in {node.nodeid}"
        unknown = [*map(repr, marker.args), *sorted(set(marker.kwargs) - set(MARKER))]
        if unknown:
            pytest.fail(f"{said} is given {', '.join(unknown)}; it takes the keywords "
                        f"{', '.join(MARKER)}", pytrace=False)  # fmt: skip
        try:
            found = found.changed(**marker.kwargs)
        except (TypeError, ValueError) as error:
            raise pytest.fail.Exception(f"{said}: {error}", pytrace=False) from None
    return found


def refuse_bad(config: pytest.Config) -> None:
    """Stop before the first test if an option cannot be followed.

    Raises
    ------
    pytest.UsageError : a bad value, a required adapter that is missing, a file that cannot be
        written.
    """
    from ...adapters.base import AdapterError, get_adapter

    found = of_config(config)
    for name in found.required:
        if name not in found.names:
            raise pytest.UsageError(
                f"--gradparity-require: {name!r} is not among the adapters {', '.join(found.names)}"
                "; add it to --gradparity-adapters, or give --gradparity-require= to require none"
            )
        try:
            get_adapter(name)
        except AdapterError as error:
            raise pytest.UsageError(f"--gradparity-require: {error}") from error
    source, value = _given(config, "report")
    if value:
        _refuse_unwritable(source, value, report_path(config))


def report_path(config: pytest.Config) -> Path:
    """Path of the report: relative to the start folder, or in the ini file to the root folder."""
    given = config.getoption("gradparity_report")
    if given is None:
        return Path(config.rootpath, config.getini("gradparity_report"))
    return Path(config.invocation_params.dir, given)


def _refuse_unwritable(source: str, value: str, path: Path) -> None:
    if path.suffix not in (".json", ".html"):
        raise pytest.UsageError(
            f"{source}: {value!r} ends in neither .json nor .html; the ending chooses the format"
        )
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        with tempfile.TemporaryFile(dir=path.parent):
            pass  # only writing shows whether the folder can be written
    except OSError as error:
        raise pytest.UsageError(
            f"{source}: cannot write {value!r} ({error.strerror or error}); "
            "give a file in a folder that exists"
        ) from None


def _given(config: pytest.Config, name: str) -> tuple[str, str]:
    """The source of a setting and its text; an empty option unsets it."""
    value = config.getoption(f"gradparity_{name}")
    if value is not None:
        return f"--gradparity-{name}", str(value)
    value = config.getini(f"gradparity_{name}")
    said = ",".join(value) if isinstance(value, list) else str(value)
    return f"{os.path.basename(config.inipath or 'ini')}: gradparity_{name}", said


def _names(what: str, given: Any, known: Collection[str], example: str) -> tuple[str, ...]:
    """Known names in a string, separated by commas or blanks, or in a list."""
    if isinstance(given, str):
        given = given.replace(",", " ").split()
    if not isinstance(given, Iterable) or not all(isinstance(name, str) for name in given):
        raise TypeError(f"{what} is {given!r}; give names, such as {example}")
    if not given:
        raise ValueError(f"{what} is empty; give names, such as {example}")
    for name in given:
        if name not in known:
            raise ValueError(f"unknown name {name!r} in {what}; valid names: {', '.join(known)}")
    return tuple(dict.fromkeys(given))


def _adapters(given: Any) -> tuple[str, ...]:
    from ...adapters.base import available

    return _names("adapters", given, available(), "'torch,jax'")


def _dtypes(given: Any) -> tuple[str, ...]:
    from ...core.arithmetic.precision import PRECISIONS

    return _names("dtypes", given, PRECISIONS, "'float64,float32'")


def _allow(given: Any) -> tuple[str, ...]:
    from ...comparisons.explain.allowed import parse_allowed

    names = tuple(given) if not isinstance(given, str) and isinstance(given, Iterable) else given
    parse_allowed(names)
    return tuple(names)


def _seed(given: Any) -> int:
    try:
        seed = int(given) if isinstance(given, str | int) and given is not True else -1
    except ValueError:
        seed = -1
    if seed < 0:
        raise ValueError(f"seed is {given!r}; give a whole number that is not negative, such as 0")
    return seed


def _strict(given: Any) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    found = given if isinstance(given, bool) else words.get(str(given).lower())
    if found is None:
        raise ValueError(f"strict is {given!r}; give true or false")
    return found


#: Setting -> its parser, which raises TypeError or ValueError.
PARSERS: dict[str, Callable[[Any], Any]] = {
    "adapters": _adapters,
    "dtypes": _dtypes,
    "allow": _allow,
    "seed": _seed,
    "strict": _strict,
    "required": _adapters,
}
MARKER = ("adapters", "dtypes", "allow", "seed", "strict")
