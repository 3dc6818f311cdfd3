"""The evidence: faults planted, alarms raised and what it costs, beside other checkers."""
