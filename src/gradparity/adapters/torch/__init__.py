"""The PyTorch adapter: a real `torch.nn.Module` of real `torch.nn` layers."""

from .adapter import TorchAdapter

__all__ = ["TorchAdapter"]
