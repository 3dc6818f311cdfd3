"""`gradparity list`."""

from __future__ import annotations

import textwrap

import click


@click.command("list")
def command() -> None:
    """List the built-in cases and the adapters."""
    from ..adapters.base import AdapterError, available, get_adapter
    from ..comparisons.cases.suite import builtin_cases

    for name, case in builtin_cases().items():
        click.echo(textwrap.shorten(f"{name:<29} {case.about}", 80, placeholder="..."))
    click.echo()
    for name in available():
        try:
            found = " · ".join(f"{k} {v}" for k, v in get_adapter(name).versions().items())
        except AdapterError as error:
            found = str(error)
        click.echo(f"adapter {name:<21} {found}")
