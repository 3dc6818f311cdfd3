"""The name of one result of an implementation: a value, a gradient, or the loss."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

from ..formulas.op import Shape
from .case import Case
from .network import Network
from .nodes import DIV, ERR, Edge
from .trace import Trace

__all__ = ["Quantity", "by_quantity"]

_VALUE, _GRADIENT, _UPDATE, _THROUGH = "value ", "grad ", "update ", " -> "
_STATE = "state "
_NAME = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_FORM = re.compile(rf"value (?!(Div|Err)$){_NAME}|grad {_NAME}( -> {_NAME}(\[\d+\])?)?")


class Quantity(str):
    """The name of a result; a string, so it is equal to the plain one and serves as a key.

    ==================  =============================================================
    "value z1"          z1, the value of a node
    "Div"               Div(Y, d) of every sample
    "Err"               Err, the loss
    "grad W1"           dErr/dW1 of a parameter, an input or "Div"; of a value, the sum
                        over its uses: dErr/dz1 = sum over y of dErr/d(z1 -> y)
    "grad z1 -> y1"     dErr/d(z1 -> y1), through one use of z1 alone
    "update W1"         what a step of an optimizer adds to W1
    "state n.mean"      what a program left in a state, such as a running mean
    ==================  =============================================================

    `Quantity(text)` takes any text, for findings about something else ("everything", "inputs");
    `Quantity.parse(text)` refuses what is not one of these forms.

    >>> q = Quantity.through("z1", "y1")
    >>> q, q.name, q.target, q.is_gradient
    ('grad z1 -> y1', 'z1', 'y1', True)
    >>> Quantity.grad("W1") == "grad W1"
    True
    >>> from gradparity.core import *
    >>> Quantity.parse("value z1").shape(Case.random(layered([Affine(3, 2)], L2()), batch=4))
    (4, 2)
    """

    __slots__ = ()

    @classmethod
    def value(cls, name: str) -> Quantity:
        """Name a value: "value z1", and "Div" and "Err" as they are."""
        return cls(name if name in (DIV, ERR) else _VALUE + name)

    @classmethod
    def grad(cls, name: str) -> Quantity:
        """Name the gradient of the loss by a parameter, an input, "Div", or all uses of a value."""
        return cls(_GRADIENT + name)

    @classmethod
    def through(cls, source: str, target: str) -> Quantity:
        """Name the gradient through one use of a value."""
        return cls(_GRADIENT + source + _THROUGH + target)

    @classmethod
    def update(cls, name: str) -> Quantity:
        """Name what a step of an optimizer adds to a parameter."""
        return cls(_UPDATE + name)

    @classmethod
    def state(cls, name: str) -> Quantity:
        """Name what a program left in a state, such as a running mean."""
        return cls(_STATE + name)

    @classmethod
    def use(cls, network: Network, edge: Edge) -> Quantity:
        """Name the gradient through a use; a parameter with a single use has no other gradient.

        >>> from gradparity.core import *
        >>> net = layered([Affine(3, 2)], L2())
        >>> [Quantity.use(net, edge) for edge in net.steps[0].edges]
        ['grad x -> z1', 'grad W1', 'grad b1']
        """
        own = network.has_own_uses(edge.source)
        return cls.through(*edge) if own else cls.grad(edge.source)

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """Read a name; it need not be one that some network has.

        Raises
        ------
        ValueError : it has none of the forms.
        """
        if isinstance(text, str) and (text in (DIV, ERR) or _FORM.fullmatch(text)):
            return cls(text)
        raise ValueError(
            f"received {text!r}; expected 'value NODE', 'grad NAME', 'grad NODE -> NODE', 'Div' or "
            "'Err', such as 'value z1', 'grad W1' or 'grad z1 -> y1'"
        )

    @property
    def is_value(self) -> bool:
        """True for the value of a node, and not for "Div" and "Err"."""
        return self.startswith(_VALUE)

    @property
    def is_update(self) -> bool:
        """True for what a step of an optimizer adds to a parameter."""
        return self.startswith(_UPDATE)

    def by_step(self, step: str) -> Quantity:
        """Name what one step of a recording did, such as "update w by AdamW_1"."""
        return Quantity(f"{self} by {step}")

    def is_of_step(self, step: str) -> bool:
        """True for what this step of a recording did."""
        return self.endswith(f" by {step}")

    @property
    def is_state(self) -> bool:
        """True for what a program left in a state, such as a running mean."""
        return self.startswith(_STATE)

    @property
    def is_gradient(self) -> bool:
        """True for any gradient."""
        return self.startswith(_GRADIENT)

    def is_gradient_by(self, names: Container[str]) -> bool:
        """True for the gradient by one of these, and not through one of several uses of it."""
        return self.is_gradient and self.target is None and self.name in names

    @property
    def name(self) -> str:
        """The node, parameter or input: z1 for "value z1", "grad z1" and "grad z1 -> y1"."""
        return self.removeprefix(_VALUE).removeprefix(_GRADIENT).partition(_THROUGH)[0]

    @property
    def target(self) -> str | None:
        """The use of the value, for a gradient through one use; None for all others."""
        return self.partition(_THROUGH)[2] or None

    def shape(self, case: Case) -> Shape:
        """The shape of the result in a case; KeyError for a name that its network lacks."""
        own = case.network.parameter_shapes
        return own[self.name] if self.name in own else case.shapes[self.name]


def by_quantity(trace: Trace) -> dict[Quantity, Any]:
    """Collect everything in a trace by name; keys that name nothing are kept as they are.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Tanh()], L2()), batch=4, width=3)
    >>> list(by_quantity(backprop(case)))
    ['Err', 'Div', 'value y1', 'grad Div', 'grad y1', 'grad x', 'grad y1 -> Div', 'grad x -> y1']
    """
    found: dict[Quantity, Any] = {Quantity(ERR): trace.Err, Quantity(DIV): trace.Div}
    if trace.Err is None and trace.Div is None:  # a network that ends elsewhere
        found = {}
    kinds = (_VALUE, trace.value), (_GRADIENT, trace.grad), (_GRADIENT, trace.edge_grad)
    for kind, arrays in kinds:
        if isinstance(arrays, Mapping):
            found |= {Quantity(kind + _plain(name)): array for name, array in arrays.items()}
    return found


def _plain(name: Any) -> str:
    return _THROUGH.join(map(str, name)) if isinstance(name, tuple) else str(name)
