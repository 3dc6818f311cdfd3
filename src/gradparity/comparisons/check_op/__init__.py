"""Check a user's forward and backward function against an op's formulas.

own_op            `check_op`, and `OwnOp`, which lists the checks by name
calls             shapes and dtypes, writes into arrays, and calls that affect one another
algebra           laws of every op: linearity, independence of samples
against_formulas  the formulas at random and special points, at kinks, and for other array layouts
frameworks        a framework's function alone, compiled, and with frozen arguments
compared          compare two results that must be equal
calling           call the user's functions and validate what they return
task              the input of a check
setting           one op with numbers to test it on;  points: the numbers;  widths: the shapes
"""
