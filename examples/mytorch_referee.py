"""A course's own layers against the hand-derived formulas: two lines, and three mistakes found.

python examples/mytorch_referee.py                             # the diagnoses
python examples/mytorch_referee.py --write examples/README.md  # and into this page
"""

from __future__ import annotations

import inspect
from functools import partial

from mytorch import (
    CrossEntropyLoss,
    Linear,
    LinearAveragingTwice,
    ReLU,
    ReLUOfItsOutput,
    Tanh,
    TanhOfItsInput,
)

import gradparity as gp
from gradparity import core
from gradparity.testing import diagnosis

from pages import main

NETWORK = gp.layered(
    [core.Affine(8, 16), core.ReLU(), core.Affine(16, 16), core.Tanh(), core.Affine(16, 4)],
    core.CrossEntropy(),
)


def course(Linear=Linear, ReLU=ReLU, Tanh=Tanh):
    return [Linear(8, 16), ReLU(), Linear(16, 16), Tanh(), Linear(16, 4)]


#: What a student handed in -> the layers that are used instead.
MISTAKES = {
    "averaging the bias twice": {"Linear": LinearAveragingTwice},
    "the mask of ReLU asks its output": {"ReLU": ReLUOfItsOutput},
    "tanh' of the input": {"Tanh": TanhOfItsInput},
}


def diagnoses() -> dict[str, gp.Report]:
    """What is said of the right network, and of each mistake."""
    case = gp.Case.random(NETWORK, batch=32, seed=0, name="homework")
    return {
        name: gp.check(case, gp.LayerStack(partial(course, **layers), CrossEntropyLoss))
        for name, layers in {"no mistake": {}, **MISTAKES}.items()
    }


def text() -> str:
    """Every diagnosis under its name, as Markdown."""
    parts = []
    for name, report in diagnoses().items():
        said = diagnosis(report) if not report else str(report).splitlines()[-1]
        parts.append(f"{name[0].upper()}{name[1:]}:\n\n```\n{said}\n```")
    return "\n\n".join(parts)


def lines() -> str:
    """What is given to the referee, as it stands here."""
    given = "gp.check(NETWORK, gp.LayerStack(course, CrossEntropyLoss))"
    return f"```python\n{inspect.getsource(course).strip()}\n\n\n{given}\n```"


if __name__ == "__main__":
    main(__doc__, mytorch=text, mytorch_lines=lines)
