"""Every op on structured inputs, stored and run in other ways, and judged."""
