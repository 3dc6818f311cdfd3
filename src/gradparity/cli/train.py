"""`gradparity train`."""

from __future__ import annotations

import sys

import click

from .progress import Progress


@click.command("train")
@click.argument("data", type=click.Choice(["digits"]))
@click.option("--problem", type=click.Choice(["ten", "two", "eleven"]), default="ten",
              help="Which digit; a 2 or not; which digit or none of the above.")  # fmt: skip
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32")
@click.option("--adapter", "adapters", multiple=True, help="Use this adapter (repeatable).")
@click.option("--epochs", type=click.IntRange(1), help="Other than the problem's recipe.")
@click.option("--eps", type=float, help="Label smoothing, other than the recipe's.")
@click.option("--seed", type=click.IntRange(0), default=0)
def command(
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
    from ..adapters.base import AdapterError
    from ..comparisons.lecture.trajectories import train_digits

    try:
        with Progress() as say:
            found = train_digits(
                problem, *adapters, dtype=dtype, epochs=epochs, eps=eps, seed=seed,
                progress=say,
            )  # fmt: skip
    except (AdapterError, ImportError, ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    click.echo(str(found))
    sys.exit(found.exit_code)
