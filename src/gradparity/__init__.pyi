from . import adapters as adapters
from . import comparisons as comparisons
from . import core as core
from . import ops as ops
from . import optimizers as optimizers
from . import testing as testing
from .adapters import LayerStack as LayerStack
from .adapters import get_adapter as get_adapter
from .comparisons import GradientError as GradientError
from .comparisons import OwnOp as OwnOp
from .comparisons import Report as Report
from .comparisons import Verdict as Verdict
from .comparisons import align as align
from .comparisons import align_steps as align_steps
from .comparisons import check as check
from .comparisons import check_function as check_function
from .comparisons import check_op as check_op
from .comparisons import check_optimizer as check_optimizer
from .comparisons import check_schedule as check_schedule
from .comparisons import guard as guard
from .comparisons import judge as judge
from .comparisons import map_parameters as map_parameters
from .comparisons import record as record
from .comparisons import rule as rule
from .comparisons import transfer as transfer
from .core import Case as Case
from .core import Network as Network
from .core import Node as Node
from .core import Trace as Trace
from .core import backprop as backprop
from .core import layered as layered
from .testing import OwnNetwork as OwnNetwork

__all__ = [
    "Case",
    "GradientError",
    "LayerStack",
    "Network",
    "Node",
    "OwnNetwork",
    "OwnOp",
    "Report",
    "Trace",
    "Verdict",
    "adapters",
    "align",
    "align_steps",
    "backprop",
    "check",
    "check_function",
    "check_op",
    "check_optimizer",
    "check_schedule",
    "comparisons",
    "core",
    "get_adapter",
    "guard",
    "judge",
    "layered",
    "map_parameters",
    "ops",
    "optimizers",
    "record",
    "rule",
    "testing",
    "transfer",
]
