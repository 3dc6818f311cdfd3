from .conformance import AdapterConformance as AdapterConformance
from .conformance import check_adapter as check_adapter
from .own_network import OwnNetwork as OwnNetwork
from .parametrize import parametrize_with_checks as parametrize_with_checks
from .run.outcome import diagnosis as diagnosis

__all__ = [
    "AdapterConformance",
    "OwnNetwork",
    "check_adapter",
    "diagnosis",
    "parametrize_with_checks",
]
