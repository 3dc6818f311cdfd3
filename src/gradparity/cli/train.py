"""`gradparity train`."""

from __future__ import annotations

import sys

import click

from . import options
from .progress import progress_bar


@click.command("train")
@click.argument("data", type=click.Choice(["digits"]))
@click.option("--problem", type=click.Choice(["ten", "two", "eleven"]), default="ten",
              help="Which digit; a 2 or not; which digit or none of them.")  # fmt: skip
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32")
@options.adapters
@click.option("--epochs", type=click.IntRange(1), help="Number of epochs; by default the recipe's.")
@click.option("--eps", type=float, help="Label smoothing; by default the recipe's.")
@options.seed
def command(
    data: str,
    problem: str,
    dtype: str,
    adapters: tuple[str, ...],
    epochs: int | None,
    eps: float | None,
    seed: int,
) -> None:
    """Train gradparity's own NumPy network and every adapter on the same minibatches of DATA.

    Exit codes: 0 the losses agree at every step, up to rounding; 1 some do not; 2 nothing was
    compared, or a usage error.
    """
    from ..comparisons.lecture.trajectories import train_digits

    with options.usage_errors(), progress_bar() as say:
        found = train_digits(
            problem, *adapters, dtype=dtype, epochs=epochs, eps=eps, seed=seed, progress=say
        )
    click.echo(str(found))
    sys.exit(found.exit_code)
