"""Helpers for tests, under pytest and under other test runners.

The names below are loaded when they are first used; pytest is imported only where it is needed.

parametrize_with_checks  one test per check of an implementation, under pytest
AdapterConformance       the test class of whoever writes an adapter;  check_adapter: a function
OwnNetwork               an implementation of one's own with the cases it is checked on
diagnosis                what is wrong in a report, in words
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
