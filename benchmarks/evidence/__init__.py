"""The evidence: planted faults, false alarms and cost, compared with other checkers."""
