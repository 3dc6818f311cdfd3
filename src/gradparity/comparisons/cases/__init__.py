"""The built-in cases: synthetic networks (suite) and real handwritten digits (digits)."""
