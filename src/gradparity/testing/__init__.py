"""Tests of other people's code, as tests: the conformance suite for adapters."""

from .conformance import AdapterConformance, CheckResult, CheckResults, check_adapter, checks

__all__ = ["AdapterConformance", "CheckResult", "CheckResults", "check_adapter", "checks"]
