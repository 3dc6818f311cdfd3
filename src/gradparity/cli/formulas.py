"""`gradparity formulas`."""

from __future__ import annotations

import click


@click.command("formulas")
@click.argument("names", nargs=-1)
def command(names: tuple[str, ...]) -> None:
    """Print the formulas NAMES, or all, with their derivatives, as read from the code."""
    from ..comparisons.lecture.formulas import formulas as all_formulas

    known = {formula.name.lower(): formula for formula in all_formulas()}
    for name in names:
        if name.lower() not in known:
            raise click.UsageError(f"unknown formula {name!r}; `gradparity formulas` lists all")
    for formula in [known[name.lower()] for name in names] or known.values():
        click.echo(f"{formula.name}: {formula.statement}")
        for kind in ("forward", "backward", "kinks", "where"):
            for i, line in enumerate(getattr(formula, kind)):
                click.echo(f"    {kind if not i else '':<9} {line}")
        click.echo()
    click.echo(LEGEND)


LEGEND = """\
  affine(y, W, b) = y W + b;  absorb(a, b) = a + b;  total(y) = the sum of
  all y;  scatter_add sums columns back to where `take` took them;
  unbroadcast(dz, shape) sums dz over the axes that were broadcast;
  other forms of a formula, which lose digits, are left out."""
