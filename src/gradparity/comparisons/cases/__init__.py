"""The built-in cases: synthetic networks (suite, shaped), and real digits (digits, deep)."""
