"""autograd keeps every promise of an adapter."""

from gradparity.testing import AdapterConformance


class TestAutograd(AdapterConformance):
    adapter = "autograd"
