"""The from-scratch core: hand-derived formulas in the lecture's letters, NumPy only.

op            what an op is: a formula pair, its kinks, its subdifferential
activations   scalar activations;  layers: affine maps, softmax, products, branches;  maxima
vocabulary    the ops of real networks beyond these, by family; all of them are in `gradparity.ops`
divergences   Div(Y, d) and its gradient;  network: named nodes;  case: a network with numbers
backprop      the forward and backward pass, giving a `Trace`;  scalar: the same, unit by unit
bounded       the arithmetic that carries a rounding bound through the same formulas;  rounding
varied        the same for variances and draws of the rounding;  carried: what both share;  sums
precision     the number formats;  contract: what the formulas of an op of one's own must return
descent       gradient descent and stationary points;  training: backprop in a loop
"""

from .arithmetic import bounded_rules as bounded_rules  # fills the tables of `bounded`
from .arithmetic import varied_rules as varied_rules  # fills the tables of `varied`
from .arithmetic.bounded import Bounded
from .arithmetic.precision import PRECISIONS, Precision
from .arithmetic.rounding import Rounding
from .formulas.activations import GELU, Identity, Sigmoid, SiLU, Softplus, Tanh
from .formulas.attention import Attention
from .formulas.choices import Ball, Kink, Slopes, Ties
from .formulas.cross_entropies import KL, BinaryCrossEntropy, BinaryKL, CrossEntropy
from .formulas.divergences import L2, Divergence, LinearLoss
from .formulas.embedding import Embedding
from .formulas.layers import (
    Add,
    Affine,
    Concatenate,
    LogSoftmax,
    Multiply,
    Products,
    Softmax,
    VectorActivation,
)
from .formulas.maxima import Max, Maximum, Maxout, MaxSubsets, Take
from .formulas.movements import Broadcast, Mean, Reshape, Select, Sum, Transpose
from .formulas.norms import BatchNorm, LayerNorm, Norm
from .formulas.op import Activation, Compound, Kinked, Movement, Op
from .formulas.piecewise import ELU, SELU, Hardtanh, LeakyReLU, RandomizedLeakyReLU, ReLU
from .formulas.recurrent import LSTMCell
from .formulas.risk import Risk, Weighted
from .formulas.windows import Conv, MaxPool, Windows
from .lecture.descent import classify_stationary_point, first_order_check, gradient_descent
from .lecture.scalar import scalar_backprop
from .lecture.training import Training, accuracy, minibatches, train
from .network.backprop import backprop
from .network.case import Case
from .network.given import checked_params
from .network.network import Edge, Network, Node, layered
from .network.quantity import Quantity
from .network.trace import Trace

__all__ = [
    "ELU", "GELU", "KL", "L2", "PRECISIONS", "SELU", "Activation", "Add", "Affine", "Attention",
    "Ball", "BatchNorm", "BinaryCrossEntropy", "BinaryKL", "Bounded", "Broadcast", "Case",
    "Compound", "Concatenate", "Conv", "CrossEntropy", "Divergence", "Edge", "Embedding",
    "Hardtanh", "Identity", "Kink", "Kinked", "LSTMCell", "LayerNorm", "LeakyReLU", "LinearLoss",
    "LogSoftmax", "Max", "MaxPool", "MaxSubsets", "Maximum", "Maxout", "Mean", "Movement",
    "Multiply", "Network", "Node", "Norm", "Op", "Precision", "Products", "Quantity",
    "RandomizedLeakyReLU", "ReLU", "Reshape", "Risk", "Rounding", "Select", "SiLU", "Sigmoid",
    "Slopes", "Softmax", "Softplus", "Sum", "Take", "Tanh", "Ties", "Trace", "Training",
    "Transpose", "VectorActivation", "Weighted", "Windows", "accuracy", "backprop",
    "checked_params", "classify_stationary_point", "first_order_check", "gradient_descent",
    "layered", "minibatches", "scalar_backprop", "train",
]  # fmt: skip
