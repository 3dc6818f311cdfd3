"""A course's own network against the hand-derived formulas: ten lines, and three mistakes found.

python examples/mytorch_referee.py                             # the diagnoses
python examples/mytorch_referee.py --write examples/README.md  # and into this page
"""

from __future__ import annotations

import inspect
from functools import partial

from mytorch import MLP, Linear, LinearAveragingTwice, ReLU, ReLUOfItsOutput, Tanh, TanhOfItsInput

import gradparity as gp
from gradparity import core
from gradparity.testing import diagnosis

from pages import main

NETWORK = gp.layered(
    [core.Affine(8, 16), core.ReLU(), core.Affine(16, 16), core.Tanh(), core.Affine(16, 4)],
    core.CrossEntropy(),
)


def course(case, Linear=Linear, ReLU=ReLU, Tanh=Tanh):
    net = MLP(Linear(8, 16), ReLU(), Linear(16, 16), Tanh(), Linear(16, 4))
    for k, layer in enumerate(net.layers[::2], start=1):
        layer.W, layer.b = case.params[f"W{k}"].T, case.params[f"b{k}"][:, None]
    results, names = {"Err": net.forward(case.x, case.desired)}, "x z1 y1 z2 y2 z3".split()
    net.backward()
    results |= {f"value {name}": A for name, A in zip(names[1:], net.A, strict=True)}
    results |= {f"grad {name}": dLdA for name, dLdA in zip(names, net.dLdA, strict=True)}
    for k, layer in enumerate(net.layers[::2], start=1):
        results |= {f"grad W{k}": layer.dLdW.T, f"grad b{k}": layer.dLdb[:, 0]}
    return results


#: What a student handed in -> the layers that are used instead.
MISTAKES = {
    "averaging the bias twice": {"Linear": LinearAveragingTwice},
    "the mask of ReLU asks its output": {"ReLU": ReLUOfItsOutput},
    "tanh' of the input": {"Tanh": TanhOfItsInput},
}


def diagnoses() -> dict[str, gp.Report]:
    """What is said of the right network, and of each mistake."""
    case = gp.Case.random(NETWORK, batch=32, seed=0, name="homework")
    found = {"no mistake": gp.check(case, course)}
    for name, layers in MISTAKES.items():
        handed_in = partial(course, **layers)
        handed_in.__name__ = "course"
        found[name] = gp.check(case, handed_in)
    return found


def text() -> str:
    """Every diagnosis under its name, as Markdown."""
    parts = []
    for name, report in diagnoses().items():
        said = diagnosis(report) if not report else str(report).splitlines()[-1]
        parts.append(f"{name[0].upper()}{name[1:]}:\n\n```\n{said}\n```")
    return "\n\n".join(parts)


def lines() -> str:
    """The function that is given to the referee, as it stands here."""
    return f"```python\n{inspect.getsource(course).strip()}\n```"


if __name__ == "__main__":
    main(__doc__, mytorch=text, mytorch_lines=lines)
