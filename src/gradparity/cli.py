"""The command line: `gradparity check`, `list`, `formulas`, `train`."""

from __future__ import annotations

import pkgutil
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradparity")
def main() -> None:
    """Do two implementations of a neural network compute the same gradient?

    Exit codes: 0 parity, 1 a difference, 2 unknown, nothing compared, or a usage error.
    """


@main.command()
@click.argument("target", required=False)
@click.option("--adapter", "adapters", multiple=True, help="Use this adapter (repeatable).")
@click.option("--dtype", "dtypes", multiple=True, help="float64 or float32 (repeatable).")
@click.option("--case", "patterns", multiple=True, help="Only cases whose name contains this.")
@click.option("--device", help="Device, as the framework calls it.")
@click.option("--detail", type=click.Choice(["auto", "all", "none"]), default="auto",
              help="Node by node for few cases and digits, for all, or for none.")  # fmt: skip
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the report as JSON to this file, '-' for standard output.")  # fmt: skip
def check(
    target: str | None,
    adapters: tuple[str, ...],
    dtypes: tuple[str, ...],
    patterns: tuple[str, ...],
    device: str | None,
    detail: str,
    json_path: Path | None,
) -> None:
    """Check the built-in cases, or TARGET: package.module:object, a Case or a Network of yours.

    The object may also be a list of cases, or a function without arguments that returns any of
    these.
    """
    from .adapters.base import AdapterError
    from .comparisons.check import DTYPES
    from .comparisons.check import check as run_check

    if json_path is not None and (json_path.is_dir() or not json_path.parent.is_dir()):
        raise click.UsageError(f"cannot write {str(json_path)!r}; give a file in a folder there is")
    if target and patterns:
        raise click.UsageError(f"--case chooses among the built-in cases; leave it out of {target}")
    try:
        cases, about = _load(target) if target else _builtin(patterns)
        with Progress() as say:
            report = run_check(
                cases, *adapters, dtypes=dtypes or DTYPES, device=device, progress=say, about=about
            )
    except (AdapterError, ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    if json_path is not None:
        document = report.to_json()
        if str(json_path) == "-":
            click.echo(document)
        else:
            try:
                json_path.write_text(document + "\n", encoding="utf-8")
            except OSError as error:
                raise click.UsageError(f"cannot write {json_path}: {error}") from error
    if json_path is None or str(json_path) != "-":
        _print(report, detail)
    sys.exit(report.exit_code)


@main.command("list")
def list_() -> None:
    """List the built-in cases and the adapters."""
    from .adapters.base import AdapterError, adapter, available
    from .comparisons.suite import builtin_cases

    for name, case in builtin_cases().items():
        click.echo(textwrap.shorten(f"{name:<29} {case.about}", 80, placeholder="..."))
    click.echo()
    for name in available():
        try:
            found = " · ".join(f"{k} {v}" for k, v in adapter(name).versions().items())
        except AdapterError as error:
            found = str(error)
        click.echo(f"adapter {name:<21} {found}")


@main.command()
@click.argument("names", nargs=-1)
def formulas(names: tuple[str, ...]) -> None:
    """Print every formula with its derivative, read off the code (or only those NAMES)."""
    from .comparisons.formulas import formulas as all_formulas

    known = {formula.name.lower(): formula for formula in all_formulas()}
    for name in names:
        if name.lower() not in known:
            raise click.UsageError(f"no formula is called {name!r}; see `gradparity formulas`")
    for formula in [known[name.lower()] for name in names] or known.values():
        click.echo(f"{formula.name}: {formula.statement}")
        for kind in ("forward", "backward", "kinks", "where"):
            for i, line in enumerate(getattr(formula, kind)):
                click.echo(f"    {kind if not i else '':<9} {line}")
        click.echo()
    click.echo(LEGEND)


LEGEND = """\
  affine(y, W, b) = y W + b;  absorb(a, b) = a + b;  scatter_add sums columns
  back to where `take` took them;  wider(form, other) is form: `other` is an
  equal form, whose rounding is admitted too."""


def _builtin(patterns: tuple[str, ...]) -> tuple[list[Any], dict[str, str]]:
    from .comparisons.suite import builtin_cases

    chosen = {
        name: b
        for name, b in builtin_cases().items()
        if not patterns or any(pattern in name for pattern in patterns)
    }
    if not chosen:
        raise ValueError(
            f"no built-in case contains {' or '.join(patterns)}; see `gradparity list`"
        )
    return [b.make() for b in chosen.values()], {name: b.about for name, b in chosen.items()}


def _load(target: str) -> tuple[Any, dict[str, str]]:
    """The cases that ``package.module:object`` names; a function is called."""
    from .core import Case, Network

    if ":" not in target:
        raise ValueError(f"{target!r} names no object; write package.module:object")
    sys.path.insert(0, "")  # as `python -m` does: modules of the current directory count
    try:
        found = pkgutil.resolve_name(target)
        found = found() if callable(found) else found
        alone = isinstance(found, Case | Network) or not isinstance(found, Iterable)
        cases = [found] if alone else list(found)
    except (Exception, SystemExit) as error:  # the target's own code may do anything
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"cannot load {target!r}: {said}") from error
    for i, case in enumerate(cases):
        if not isinstance(case, Case | Network):
            raise ValueError(
                f"{target!r} gives {type(case).__name__}; give a Case, a Network or a list of them"
            )
        if isinstance(case, Network):
            name = target if alone else f"{target}[{i}]"
            cases[i] = Case.random(case, name=name)
    return cases, {}


def _print(report: Any, detail: str) -> None:
    """To a terminal in colour and at its width; plain and 80 wide when piped."""
    from rich.console import Console

    from .comparisons.render import renderable, text

    console = Console(highlight=False)
    if console.is_terminal:
        console.print(renderable(report, detail))
    else:
        click.echo(text(report, detail))


class Progress:
    """A line on the terminal that says what is being done; nothing when piped."""

    def __enter__(self) -> Callable[[str], None]:
        from rich.console import Console

        self.status = Console(stderr=True).status("starting") if sys.stderr.isatty() else None
        if self.status is None:
            return lambda message: None
        self.status.start()
        return lambda message: self.status.update(message)  # type: ignore[union-attr]

    def __exit__(self, *exc: object) -> None:
        if self.status is not None:
            self.status.stop()


@main.command()
@click.argument("data", type=click.Choice(["digits"]))
@click.option("--problem", type=click.Choice(["ten", "two", "eleven"]), default="ten",
              help="Which digit; a 2 or not; which digit or none of the above.")  # fmt: skip
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32")
@click.option("--adapter", "adapters", multiple=True, help="Use this adapter (repeatable).")
@click.option("--epochs", type=click.IntRange(1), help="Other than the problem's recipe.")
@click.option("--eps", type=float, help="Label smoothing, other than the recipe's.")
@click.option("--seed", type=click.IntRange(0), default=0)
def train(
    data: str,
    problem: str,
    dtype: str,
    adapters: tuple[str, ...],
    epochs: int | None,
    eps: float | None,
    seed: int,
) -> None:
    """Train the hand core and every adapter side by side on the same minibatches of DATA.

    Exit codes: 0 the losses agree at every step, within what rounding explains; 1 some do not; 2
    nothing was compared, or a usage error.
    """
    from .adapters.base import AdapterError
    from .comparisons.trajectories import train_digits

    try:
        with Progress() as say:
            found = train_digits(
                problem, *adapters, dtype=dtype, epochs=epochs, eps=eps, seed=seed,
                progress=lambda done: say(f"training, {done:.0%}"),
            )  # fmt: skip
    except (AdapterError, ImportError, ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(str(found))
    sys.exit(found.exit_code)


if __name__ == "__main__":
    main()
