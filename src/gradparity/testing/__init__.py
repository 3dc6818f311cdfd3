"""Helpers for tests, under pytest and under other test runners.

The names below are loaded when they are first used; pytest is imported only where it is needed.

parametrize_with_checks  one test per check of an implementation, under pytest
AdapterConformance       test class for the author of an adapter;  check_adapter: as a function
OwnNetwork               your own implementation with the cases it is checked on
diagnosis                explains in words what is wrong in a report
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
