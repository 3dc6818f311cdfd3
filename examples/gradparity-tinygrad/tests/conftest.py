"""Run the tests in tinygrad's interpreter, which needs no compiler and is the same anywhere.

Unless DEV says otherwise; tinygrad reads all three when it is imported.
"""

import os

os.environ.setdefault("DEV", "PYTHON")
os.environ.setdefault("NOOPT", "1")  # optimised kernels take longer to make than to interpret
os.environ.setdefault("PARALLEL", "0")
