"""Matrix products and convolutions by fast algorithms, whose errors have a normwise bound.

Strassen's and Winograd's products and convolution by FFT add and subtract elements of other rows
and columns, so the error of an element is bounded by the largest of the tensor, not by its own
terms.  Such an arithmetic is accepted only if the errors scatter over the whole tensor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...core import Affine, Conv
from ...core.formulas.op import Op
from ...core.network.network import Network
from ...core.network.nodes import Step
from ...core.network.quantity import Quantity
from ...core.vocabulary.contractions import ConvTranspose, Einsum, MatMul
from ..findings.finding import Verdict
from ..measure.levels import Levels
from ..measure.scatter import is_scattered
from .forms import UsualForm, found_form

__all__ = ["FAST", "FastProduct", "fast_product", "has_products"]

#: The ops that are products, and the algorithms that are named.
FAST: dict[type[Op], str] = {
    Affine: "Strassen or Winograd products",
    Conv: "Winograd or FFT convolution",
    ConvTranspose: "Winograd or FFT convolution",
    Einsum: "Strassen or Winograd products",
    MatMul: "Strassen or Winograd products",
}
#: In units of the bounds of the elements, which differ, errors scatter by so much more.
UNEVEN = 2.0


@dataclass(frozen=True)
class FastProduct(UsualForm):
    """A product by a fast algorithm, as an explanation of a quantity."""

    @property
    def note(self) -> str:
        """The arithmetic, and what it costs if some element loses half of its digits."""
        lost = super().note.partition("; ")[0].partition(": ")[2]
        said = f"as {self.name} give it: errors within the bound of the tensor's largest element"
        return f"{said}; {lost}" if lost else said


def has_products(network: Network) -> bool:
    """Whether any op of the network is a product."""
    return any(type(step.op) in FAST for step in network.body)


def fast_product(step: Step | None, q: Quantity, levels: Levels) -> FastProduct | None:
    """A fast algorithm as the explanation of a product's results; None if it is not.

    Every error has to be within the worst case of the tensor's largest element, and they have to
    scatter.  The gradient of a bias is a sum, and no product.
    """
    if step is None or type(step.op) not in FAST:
        return None
    if q.is_gradient_by({step.parameters.get("b", "")}):
        return None
    worst = levels.worst_case(q)
    bound = np.asarray(worst.bound, np.float64)
    if not np.isfinite(bound).all() or np.any(worst.undecidable):
        return None
    largest = float(bound.max(initial=0.0))
    there = replace(worst, bound=np.full(worst.got.shape, largest))
    if there.outside.any() or not is_scattered(there.got, there.want, there.bound):
        return None
    careful = levels.sharpest(q)[1]
    if not is_scattered(careful.got, careful.want, careful.bound, UNEVEN):
        return None  # a few elements are far beyond bounds of their own that the others keep
    found = found_form((FAST[type(step.op)],), False, careful, there, levels.precision)
    product = FastProduct(**vars(found))
    return None if product.verdict is Verdict.VACUOUS else product
