"""Tests of other people's code, as tests: the conformance suite for adapters."""
