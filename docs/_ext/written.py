"""Text of the reference that is read off the code: each function gives Markdown."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["WRITTEN"]


def formulas() -> Iterator[str]:
    """Every op and divergence: its statement, and the code that evaluates it."""
    from gradparity import core
    from gradparity.comparisons.lecture.formulas import formulas

    for formula in formulas():
        yield f"(formula-{formula.name.lower()})=\n## {formula.name}\n"
        yield f"```text\n{formula.statement}\n```\n"
        for part in ("forward", "backward", "kinks", "where"):
            lines = getattr(formula, part)
            if lines:
                language = "text" if part == "kinks" else "python"
                yield "\n".join((f"{part}:\n\n```{language}", *lines, "```\n"))
        home = "core" if formula.name in core.__all__ else "ops"
        yield f"API: {{py:obj}}`gradparity.{home}.{formula.name}`\n"


def plugin() -> Iterator[str]:
    """The options, the keys of the configuration file and the marker of the pytest plugin."""
    from _gradparity_pytestplugin import OPTIONS
    from gradparity.testing.run.settings import MARKER

    yield "| option | key in the file | what it says |\n|---|---|---|"
    for name, metavar, said in OPTIONS:
        value = f"={metavar}" if metavar else ""
        yield f"| `--gradparity-{name}{value}` | `gradparity_{name}` | {said} |"
    keywords = ", ".join(f"`{name}=`" for name in MARKER)
    yield f"\nThe marker `@pytest.mark.gradparity` takes the keywords {keywords}."


WRITTEN = {"formulas": formulas, "plugin": plugin}
