"""Do two implementations of a neural network compute the same gradient, and if not, where and why?

The names below are loaded when they are first used: importing `gradparity` imports nothing else.

PYTEST_DONT_REWRITE: nothing here needs it, and pytest would warn where it is imported before.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
