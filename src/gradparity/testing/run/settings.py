"""Settings of a test: marker, then command line, then configuration file, then defaults.

Imports pytest alone; names are looked up only where some are given.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable
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
    seed : of the random numbers that a network is given.
    required : adapters whose absence fails instead of skipping.
    """

    adapters: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    allow: tuple[str, ...] = ()
    seed: int = 0
    required: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the chosen adapters, installed or not."""
        from ...adapters.base import available

        return tuple(available()) if self.adapters is None else self.adapters

    @property
    def options(self) -> dict[str, Any]:
        """As keywords of `gradparity.check`."""
        given = {"dtypes": self.dtypes, "allow": self.allow}
        return {name: value for name, value in given.items() if value}


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
        ("require", "required"),
    ):
        source, value = _given(config, option)
        if value:
            try:
                found = replace(found, **{field: PARSERS[field](value)})
            except (TypeError, ValueError) as error:
                raise pytest.UsageError(f"{source}: {error}") from None
    return found


def in_force() -> Settings:
    """Those of the run of pytest that is going on; the defaults without the plugin."""
    plugin = sys.modules.get("_gradparity_pytestplugin")
    configs = plugin.configs if plugin is not None else []
    return of_config(configs[-1]) if configs else Settings()


def of_test(node: pytest.Item | Any, config: pytest.Config) -> Settings:
    """Settings of one test: its markers (the closest wins by keyword), then the configuration.

    A marker that cannot be followed fails the test.
    """
    __tracebackhide__ = True
    found: dict[str, Any] = {}
    for marker in node.iter_markers("gradparity"):
        said = f"@pytest.mark.gradparity in {node.nodeid}"
        unknown = [*map(repr, marker.args), *sorted(set(marker.kwargs) - set(MARKER))]
        if unknown:
            pytest.fail(f"{said} is given {', '.join(unknown)}; it takes the keywords "
                        f"{', '.join(MARKER)}", pytrace=False)  # fmt: skip
        mine, wrong = {}, ""
        try:
            mine = {name: PARSERS[name](value) for name, value in marker.kwargs.items()}
        except (TypeError, ValueError) as error:
            wrong = str(error)
        if wrong:  # out here, for what fails inside is shown with the error it stands for
            pytest.fail(f"{said}: {wrong}", pytrace=False)
        found = mine | found
    return replace(of_config(config), **found)


def refuse_bad(config: pytest.Config) -> None:
    """Everything that cannot work is said before the first test runs.

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
    """Resolve a path: from the start folder for the command line, from the root for the file."""
    given = config.getoption("gradparity_report")
    if given is None:
        return Path(config.rootpath, config.getini("gradparity_report"))
    return Path(config.invocation_params.dir, given)


def _refuse_unwritable(source: str, value: str, path: Path) -> None:
    if path.suffix not in (".json", ".html"):
        raise pytest.UsageError(
            f"{source}: {value!r} ends in neither .json nor .html, which say what is written"
        )
    try:
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        with tempfile.TemporaryFile(dir=path.parent):
            pass  # whether it may be written is only known by writing there
    except OSError as error:
        raise pytest.UsageError(
            f"{source}: cannot write {value!r} ({error.strerror or error}); "
            "give a file in a folder that exists"
        ) from None


def _given(config: pytest.Config, name: str) -> tuple[str, str]:
    """Where a setting was made, and what was written there; an empty option unsets it."""
    value = config.getoption(f"gradparity_{name}")
    if value is not None:
        return f"--gradparity-{name}", str(value)
    value = config.getini(f"gradparity_{name}")
    said = ",".join(value) if isinstance(value, list) else str(value)
    return f"{os.path.basename(config.inipath or 'ini')}: gradparity_{name}", said


def _names(what: str, given: Any) -> tuple[str, ...]:
    """Names in a string, separated by commas or blanks, or in a list."""
    if isinstance(given, str):
        given = given.replace(",", " ").split()
    if not isinstance(given, Iterable) or not all(isinstance(name, str) for name in given):
        raise TypeError(f"{what} is {given!r}; give names, such as {EXAMPLES[what]}")
    if not given:
        raise ValueError(f"{what} names none; give such as {EXAMPLES[what]}")
    return tuple(dict.fromkeys(given))


EXAMPLES = {
    "adapters": "'torch,jax'",
    "dtypes": "'float64,float32'",
    "allow": "['sum']",
}


def _adapters(given: Any) -> tuple[str, ...]:
    from ...adapters.base import available

    names = _names("adapters", given)
    for name in names:
        if name not in available():
            known = ", ".join(available())
            raise ValueError(f"no adapter is called {name!r}; registered are {known}")
    return names


def _dtypes(given: Any) -> tuple[str, ...]:
    from ...core.arithmetic.precision import PRECISIONS

    names = _names("dtypes", given)
    for name in names:
        if name not in PRECISIONS:
            raise ValueError(f"dtype {name!r} cannot be judged; give any of {tuple(PRECISIONS)}")
    return names


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


#: What a setting is read with; each raises TypeError or ValueError for what it cannot be.
PARSERS: dict[str, Callable[[Any], Any]] = {
    "adapters": _adapters,
    "dtypes": _dtypes,
    "allow": _allow,
    "seed": _seed,
    "required": _adapters,
}
MARKER = ("adapters", "dtypes", "allow", "seed")
